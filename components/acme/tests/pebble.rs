//! Certificates from Pebble, the test server of Let's Encrypt, which Debian has as the package `pebble`. It is asked for only if
//! `PEARWOOD_PEBBLE` is set. What goes over the network is curl's to carry.

mod common;

use common::Box;
use pearwood_acme::{Acme, Certificate, Config, Keys, Method, Next, Proof, Request, Response};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(program: &str, arguments: &[&str], folder: &Path) -> Ends {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    // one in five nonces is refused, and it looks at once
    command.env("PEBBLE_WFE_NONCEREJECT", "20").env("PEBBLE_VA_NOSLEEP", "1");
    Ends(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; Debian has it in the package `pebble`")))
}

/// Answers with what the client proves.
fn serve(listener: TcpListener, acme: Arc<Mutex<Acme>>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
        let proof = acme.lock().unwrap().proof(token).unwrap_or_else(|| "none".into());
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", proof.len());
        let _ = stream.write_all(format!("{head}{proof}").as_bytes());
    }
}

fn ask(request: &Request, folder: &Path) -> Result<Response, String> {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--http1.1",
        "--max-time",
        "30",
        "--cacert",
        "pebble.pem",
        "--dump-header",
        "head",
    ]);
    match request.method {
        Method::Get => {}
        Method::Head => drop(command.arg("--head")),
        Method::Post => {
            std::fs::write(folder.join("body"), &request.body).unwrap();
            command.args(["--header", "content-type: application/jose+json", "--data-binary", "@body"]);
        }
    }
    let output = command.arg(&request.url).current_dir(folder).output().expect("curl");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let head = std::fs::read_to_string(folder.join("head")).unwrap();
    let head = head.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_string())
    };
    Ok(Response {
        status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default(),
        nonce: header("replay-nonce"),
        location: header("location"),
        retry_after: header("retry-after"),
        body: if request.method == Method::Head { Vec::new() } else { output.stdout },
    })
}

#[test]
fn a_certificate_is_had() {
    if std::env::var_os("PEARWOOD_PEBBLE").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let make = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pebble -addext subjectAltName=IP:127.0.0.1 -keyout pebble.key -out pebble.pem";
    let made = Command::new("openssl").args(make.split(' ')).current_dir(folder).output().expect("openssl");
    assert!(made.status.success());
    let (port, management, https) = (free(), free(), free());
    let names = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = listener.local_addr().unwrap().port();
    let config = format!(
        r#"{{"pebble": {{"listenAddress": "127.0.0.1:{port}", "managementListenAddress": "127.0.0.1:{management}",
            "certificate": "pebble.pem", "privateKey": "pebble.key", "httpPort": {http}, "tlsPort": {https}, "ocspResponderURL": ""}}}}"#
    );
    std::fs::write(folder.join("config.json"), config).unwrap();
    let (dns, own) = (format!("127.0.0.1:{names}"), format!("127.0.0.1:{}", free()));
    let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
    let _names = start("pebble-challtestsrv", &[&["-dns01", &dns, "-management", &own], &off[..]].concat(), folder);
    let _pebble = start("pebble", &["-config", "config.json", "-dnsserver", &dns, "-strict"], folder);

    let mut keys = Box::new();
    let all = ["a.example", "www.a.example"].map(String::from);
    let config = Config {
        directory: format!("https://127.0.0.1:{port}/dir"),
        contact: vec!["mailto:anna@example.org".into()],
        agreed: true,
        external: None,
        certificates: vec![Certificate { key: "default".into(), names: all.into(), proof: Proof::Http }],
    };
    let acme = Arc::new(Mutex::new(Acme::new(config, &mut keys).unwrap()));
    std::thread::spawn({
        let acme = acme.clone();
        move || serve(listener, acme)
    });
    let today = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // how far the clock has been put forward
    let mut ahead = 0;
    for _ in 0..1_000 {
        let now = today() + ahead;
        let next = acme.lock().unwrap().next(now, &mut keys);
        match next {
            Next::Ask(request) => {
                // it may not listen yet
                let response = (0..100).find_map(|_| match ask(&request, folder) {
                    Err(why) if why.contains("connect") => {
                        std::thread::sleep(Duration::from_millis(100));
                        None
                    }
                    other => Some(other),
                });
                acme.lock().unwrap().answer(now, &mut keys, response.expect("Pebble listens"));
            }
            Next::Wait(until) => {
                let stored = keys.stored("default").unwrap();
                assert!(until <= now + 60 || !stored.is_empty(), "{:?}", acme.lock().unwrap().take_log());
                if until > now + 60 {
                    return assert!(stored.len() >= 2, "it comes with what it was signed with");
                }
                ahead += until - now;
            }
        }
    }
    panic!("it asks without end: {:?}", acme.lock().unwrap().take_log());
}
