//! HTTPS end to end: what curl and OpenSSL get from `examples/https`, and what others do.

use hello::Seeded;
use pearwood::node::DiskFile;
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tests::{
    On, TestNode,
    browser::Browser,
    client::{Raw, curl, run},
    node::workspace,
    on_each,
};

/// Hostile handshakes, as the box's own tests have them.
#[path = "../../components/tls/tests/common/hello.rs"]
mod hello;

on_each!(
    two_versions_of_tls,
    http_2_with_real_clients,
    sessions_go_on,
    keys_are_kept,
    bytes_of_no_protocol_harm_nobody
);

const LARGE: usize = 1 << 20;

/// The example with a large file, and with a certificate of the operator's own for another name.
struct Site {
    folder: TempDir,
    node: TestNode,
    port: u16,
    on: On,
}

impl Site {
    fn start(on: On) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let text = |name: &str| path(name).to_string_lossy().into_owned();
        fs::create_dir_all(path("public/private")).expect("folders");
        let example = workspace().join("examples/https");
        for file in ["public/index.html", "public/private/note.html"] {
            fs::copy(example.join(file), path(file)).expect("a file");
        }
        let large: Vec<u8> = (0..LARGE).map(|n| (n / 5) as u8).collect();
        fs::write(path("public/large.bin"), large).expect("a file");
        let (key, chain) = (text("own.key"), text("own.pem"));
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
            .args(["-subj", "/CN=own.example", "-addext", "subjectAltName=DNS:own.example"])
            .args(["-keyout", &key, "-out", &chain]));
        let read = |path: &str| fs::read_to_string(path).expect("PEM");
        let system = fs::read_to_string(example.join("system.toml")).expect("the example");
        let edwards = "{ names = \"edwards.localhost\", key = \"edwards\" }";
        let own = format!("{{ names = \"own.example\", key = \"own\", chain = '''\n{}''' }}, {edwards}]", read(&chain));
        let keys = format!(
            "component = \"keys\"\nconfig.keys = {{ default = \"new\", edwards = \"new-ed25519\", own = '''\n{}''' }}",
            read(&key)
        );
        let system = system.replace("component = \"keys\"", &keys);
        let system = system.replace("\"127.0.0.1\"] }]", &format!("\"127.0.0.1\"] }}, {own}"));
        let http = "component = \"http\"\n";
        let system = system.replace(http, &format!("{http}config.access-log = \"common\"\n"));
        assert!(system.contains("own.example") && system.contains("access-log"), "{system}");
        fs::write(path("system.toml"), system).expect("a file");
        let (node, port) = Self::start_node(folder.path(), on);
        fs::write(path("node.pem"), node.authority_certificate()).expect("a file");
        Site { folder, node, port, on }
    }

    fn start_node(folder: &Path, on: On) -> (TestNode, u16) {
        let node = TestNode::start_with_disks(folder, on, &[DiskFile::new(folder.join("disk.img"), 4 << 20)]);
        node.wait_for(0, "listening on port 443");
        let port = node.node.port(443);
        (node, port)
    }

    /// The node is turned off and started again, with the same disk.
    fn start_again(self) -> Self {
        let Site { folder, node, on, .. } = self;
        node.power_off();
        let (node, port) = Self::start_node(folder.path(), on);
        Site { folder, node, port, on }
    }

    /// The certificate that it shows (PEM).
    fn certificate(&self) -> String {
        let said = self.openssl(&["-servername", "localhost"], "");
        let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {said}"));
        let end = said.find("-----END CERTIFICATE-----").expect("its end");
        said[begin..end].into()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// What OpenSSL's client says after a request.
    fn openssl(&self, arguments: &[&str], request: &str) -> String {
        let address = format!("127.0.0.1:{}", self.port);
        let mut client = Command::new("openssl")
            .args(["s_client", "-connect", &address])
            .args(arguments)
            .args((!request.is_empty()).then_some("-ign_eof"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl");
        client.stdin.take().expect("its input").write_all(request.as_bytes()).expect("it reads");
        let output = client.wait_with_output().expect("it ends");
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    fn curl(&self, arguments: &[&str], name: &str, trusted: &str, path: &str) -> tests::client::Answer {
        let resolve = format!("{name}:{}:127.0.0.1", self.port);
        let fixed = ["--resolve", &resolve, "--cacert", trusted];
        curl(&[&fixed[..], arguments].concat(), &format!("https://{name}:{}{path}", self.port))
    }
}

fn two_versions_of_tls(on: On) {
    let site = Site::start(on);
    let (node, own) = (site.path("node.pem"), site.path("own.pem"));
    for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        let page = site.curl(version, "localhost", &node, "/");
        assert!(page.status == 200 && page.text().contains("Hello over TLS"), "{version:?}: {page:?}");
        assert_eq!(site.curl(version, "own.example", &own, "/").status, 200, "{version:?}");
        assert_eq!(site.curl(version, "edwards.localhost", &node, "/").status, 200, "{version:?}");
        let large = site.curl(version, "localhost", &node, "/large.bin").body;
        assert!(large == fs::read(Path::new(&site.path("public/large.bin"))).expect("it"), "{} bytes", large.len());
    }
    // what is private is not sent in the clear, and `http` knows which is which
    let redirect = curl(&[], &site.node.url("/private/note.html"));
    assert_eq!((redirect.status, redirect.header("location")), (301, Some("https://localhost/private/note.html")));
    assert_eq!(site.curl(&[], "localhost", &node, "/private/note.html").status, 200);
    assert_eq!(curl(&[], &site.node.url("/")).status, 200);
    // the connection is for the names of its certificate
    for (host, expected) in [("localhost", 200), ("LOCALHOST.", 200), ("own.example", 421)] {
        let answer = site.curl(&["--header", &format!("Host: {host}")], "localhost", &node, "/");
        assert_eq!(answer.status, expected, "{host}");
    }
    // of another name, of an old version
    for arguments in [&["--cacert", own.as_str()][..], &["--insecure", "--tlsv1.1", "--tls-max", "1.1"]] {
        let url = format!("https://localhost:{}/", site.port);
        let output = Command::new("curl").arg("--silent").args(arguments).arg(&url).output().expect("curl");
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
    }
    if std::env::var_os("PEARWOOD_SCANNER").is_some() {
        scan(&site);
    }
    site.node.power_off();
}

/// What a scanner of TLS finds weak: nothing.
fn scan(site: &Site) {
    let report = site.path("report.json");
    let address = format!("localhost:{}", site.port);
    let output = Command::new("testssl")
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "batch",
            "--ip",
            "127.0.0.1",
            "--add-ca",
            &site.path("node.pem"),
        ])
        .args(["--jsonfile", &report, &address])
        .output()
        .expect("testssl");
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a report");
    let of = |id: &str| findings.iter().find(|one| one["id"] == id).map(|one| one["severity"].clone());
    for id in ["TLS1_2", "TLS1_3", "heartbleed", "CRIME_TLS", "BREACH", "ROBOT"] {
        assert!(of(id).is_some_and(|severity| severity == "OK"), "{id}: {:?}", of(id));
    }
    let weak = findings.iter().filter(|one| {
        let is_weak =
            ["LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"].iter().any(|severity| one["severity"] == *severity);
        // what the certificate of a home's own authority lacks, and headers that are the site's to send
        let is_own = ["cert_", "DNS_CAA", "HSTS", "overall"]
            .iter()
            .any(|id| one["id"].as_str().is_some_and(|own| own.starts_with(id)));
        is_weak && !is_own
    });
    let weak: Vec<_> = weak.map(|one| format!("{} {}: {}", one["id"], one["severity"], one["finding"])).collect();
    assert_eq!(weak, Vec::<String>::new(), "of {} findings", findings.len());
    eprintln!("{} findings, nothing weak", findings.len());
}

/// curl, nghttp2's clients and Chromium choose HTTP/2 where it is offered, and get what others get.
fn http_2_with_real_clients(on: On) {
    let site = Site::start(on);
    let node = site.path("node.pem");
    let curl = |arguments: &[&str], path| site.curl(&[&["--http2"], arguments].concat(), "localhost", &node, path);
    assert!(curl(&[], "/?by-curl").text().contains("Hello over TLS"));
    site.node.wait_for(0, "\"GET /?by-curl HTTP/2.0\" 200 ");
    let large = fs::read(site.path("public/large.bin")).expect("it");
    assert!(curl(&[], "/large.bin").body == large);
    assert_eq!(curl(&["--range", "5-9"], "/large.bin").body, &large[5..10]);
    let head = curl(&["--head"], "/large.bin");
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    // answered before it is over
    fs::write(site.path("upload"), vec![b'x'; 200_000]).expect("a file");
    assert_eq!(curl(&["--data-binary", &format!("@{}", site.path("upload"))], "/").status, 405);
    assert_eq!(curl(&[], "/nowhere").status, 404);
    let all = [("/", 2_000), ("/large.bin", 20)];
    for (path, requests) in all {
        let url = format!("https://127.0.0.1:{}{path}", site.port);
        let said = run(Command::new("h2load").args(["-n", &requests.to_string(), "-c", "4", "-m", "16", &url])).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let all_well = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(said.contains("Application protocol: h2") && said.contains(&all_well), "{said}");
    }
    match Browser::find() {
        Ok(browser) => {
            let url = format!("https://localhost:{}/?by-chromium", site.port);
            let page = browser.document_by(&["--ignore-certificate-errors"], &url);
            assert!(page.contains("Hello over TLS"), "{page}");
            site.node.wait_for(0, "\"GET /?by-chromium HTTP/2.0\" 200 ");
        }
        Err(why) => eprintln!("\n*** SKIPPED: no browser: {why} ***\n"),
    }
    site.node.power_off();
}

/// `http` is replaced while many requests are under way in streams: none fails.
#[test]
fn streams_outlive_their_server() {
    let site = Site::start(On::Linux);
    let mut system = fs::read_to_string(site.path("system.toml")).expect("the system");
    let resolve = format!("localhost:{}:127.0.0.1", site.port);
    let mut clients: Vec<_> = ["/?[1-20000]", "/large.bin?[1-300]"]
        .map(|path| {
            let url = format!("https://localhost:{}{path}", site.port);
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--fail", "--http2", "--insecure", "--resolve", &resolve]);
            curl.args(["--parallel", "--parallel-max", "20", "--output", "/dev/null"]);
            curl.args(["--write-out", "%{http_version} %{size_download}\n", &url]);
            curl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl")
        })
        .into();
    for number in 1..=2 {
        site.node.wait_for(0, "HTTP/2.0\" 200 ");
        let component = "component = \"http\"\n";
        system = system.replace(component, &format!("{component}config.server = \"{number}\"\n"));
        system = system.replace(&format!("config.server = \"{}\"\n", number - 1), "");
        fs::write(site.path("system.toml"), &system).expect("a file");
        site.node.node.type_line("deploy trial=0 drain=20").expect("it takes a line");
        site.node.wait_for(0, &format!("deployment {number}: done"));
    }
    let goes_on = clients.iter_mut().any(|client| client.try_wait().expect("curl").is_none());
    assert!(goes_on, "all were served before the last change: it proves too little");
    for client in clients {
        let output = client.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.lines().all(|line| line.starts_with("2 ")), "{said}");
        let sizes: std::collections::BTreeSet<_> = said.lines().collect();
        assert_eq!(sizes.len(), 1, "all of a length: {sizes:?}");
    }
    site.node.power_off();
}

fn sessions_go_on(on: On) {
    let site = Site::start(on);
    let session = site.path("session");
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for version in ["-tls1_3", "-tls1_2"] {
        let first =
            site.openssl(&[version, "-servername", "localhost", "-alpn", "http/1.1", "-sess_out", &session], request);
        assert!(first.contains("\nNew, TLSv1.") && first.contains("ALPN protocol: http/1.1"), "{version}: {first}");
        assert!(first.contains("Hello over TLS"), "{version}: {first}");
        let second = site.openssl(&[version, "-servername", "localhost", "-sess_in", &session], request);
        assert!(second.contains("\nReused, TLSv1.") && second.contains("Hello over TLS"), "{version}: {second}");
    }
    site.node.power_off();
}

/// Keys outlive the node, and whoever has the disk has none: what is on it is sealed, and opens with the node's secret alone.
fn keys_are_kept(on: On) {
    let site = Site::start(on);
    let first = site.certificate();
    let trusted = site.path("node.pem");
    assert_eq!(site.curl(&[], "localhost", &trusted, "/").status, 200);
    // nobody trusts it who has not been told to
    let url = format!("https://localhost:{}/", site.port);
    let output = Command::new("curl").arg("--silent").arg(&url).output().expect("curl");
    assert_eq!(output.status.code(), Some(60), "{output:?}");
    let site = site.start_again();
    assert_eq!(site.certificate(), first);
    assert_eq!(site.curl(&[], "localhost", &trusted, "/").status, 200);
    let folder = site.folder.path().to_path_buf();
    site.node.power_off();
    let all = fs::read(folder.join("disk.img")).expect("the disk");
    assert!(!all.windows(7).any(|part| part == b"default"));
    // the first volume
    let disk = &all[1 << 20..];
    assert!(disk.starts_with(b"PEARKEYS"));
    // what is in the clear is 80 bytes; a text, a structure or a number that is small would show
    let length = 80 + u32::from_le_bytes(disk[12..16].try_into().expect("four")) as usize;
    let sealed = &disk[80..length];
    assert!(sealed.len() > 64 && disk[length..1 << 20].iter().all(|byte| *byte == 0));
    let distinct = sealed.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(distinct * 4 > sealed.len().min(256), "{distinct} of {}", sealed.len());
    drop(site.folder);
}

/// What clients know of the node outlives the instances that they know it from: the certificate, and how to go on with a session.
#[test]
fn other_instances_go_on() {
    let site = Site::start(On::Linux);
    let (session, trusted) = (site.path("session"), site.path("node.pem"));
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let first = site.openssl(&["-servername", "localhost", "-sess_out", &session], request);
    assert!(first.contains("\nNew, TLSv1.3"), "{first}");
    let certificate = site.certificate();
    let mut system = fs::read_to_string(site.path("system.toml")).expect("the system");
    for (number, (name, line)) in (1..).zip([("tls", "config.handshake-timeout = 11"), ("keys", "memory = \"8 MiB\"")])
    {
        let component = format!("component = \"{name}\"");
        system = system.replace(&component, &format!("{component}\n{line}"));
        fs::write(site.path("system.toml"), &system).expect("a file");
        site.node.node.type_line("deploy trial=0 drain=20").expect("it takes a line");
        site.node.wait_for(0, &format!("deployment {number}: done"));
        let again = site.openssl(&["-servername", "localhost", "-sess_in", &session], request);
        assert!(again.contains("\nReused, TLSv1.3") && again.contains("Hello over TLS"), "{name}: {again}");
        assert_eq!(site.curl(&[], "localhost", &trusted, "/").status, 200, "{name}");
        assert_eq!(site.certificate(), certificate, "{name}");
    }
    // what the node has lent them until now they do themselves, and say so
    let begin = site.node.node.console().lines_from(0).len();
    let absent = "pearwood:hardware/crypto is not there";
    assert!(!site.node.node.console().lines_from(0).iter().any(|line| line.contains(absent)));
    system = system.replace("arrows.\"pearwood:hardware/crypto\" = { node = true }\n", "");
    fs::write(site.path("system.toml"), &system).expect("a file");
    site.node.node.type_line("deploy trial=0 drain=20").expect("it takes a line");
    site.node.wait_for(0, "deployment 3: done");
    // they prefer another cipher then, and a session goes on with its own only
    let again = site.openssl(&["-servername", "localhost", "-sess_in", &session], request);
    assert!(again.contains("TLS_CHACHA20_POLY1305_SHA256") && again.contains("Hello over TLS"), "{again}");
    assert_eq!(site.curl(&[], "localhost", &trusted, "/").status, 200);
    for name in ["tls", "keys"] {
        site.node.wait_for(begin, &format!("{name}: {absent}"));
    }
    site.node.power_off();
}

fn bytes_of_no_protocol_harm_nobody(on: On) {
    let site = Site::start(on);
    let address = format!("127.0.0.1:{}", site.port);
    let mut state = 1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    for round in 0..200_usize {
        let mut bytes: Vec<u8> = (0..round * 7 % 700).map(|_| random()).collect();
        // half of them look like a handshake at first
        if round % 2 == 0 && bytes.len() > 9 {
            let length = (bytes.len() - 5) as u16;
            bytes[..3].copy_from_slice(&[22, 3, 1]);
            bytes[3..5].copy_from_slice(&length.to_be_bytes());
            bytes[5..9].copy_from_slice(&[1, 0, (length - 4).to_be_bytes()[0], (length - 4).to_be_bytes()[1]]);
        }
        let mut raw = Raw::connect(&address);
        raw.say(&bytes);
        if bytes.len() > 9 && round % 2 == 0 {
            raw.hear_some();
        }
    }
    /// More than a handshake may take.
    const PATIENCE: Duration = Duration::from_secs(60);
    // and handshakes that are wrong somewhere. Three of four are waited for until the node closes them, the others are left open.
    let mut random = Seeded(1);
    for _ in 0..2_000 {
        let mut socket = TcpStream::connect(&address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        // it may be closed before all is said
        if socket.write_all(&hello::connection(&mut random)).is_ok() && random.below(4) > 0 {
            drop(socket.shutdown(Shutdown::Write));
            let error = socket.read_to_end(&mut Vec::new()).err().map(|error| error.kind());
            assert_ne!(error, Some(ErrorKind::WouldBlock), "the node leaves it open");
        }
    }
    for name in ["tls", "keys", "http", "net"] {
        assert_eq!(site.node.box_status(name)["restarts"], 0, "{name}");
    }
    assert_eq!(site.curl(&[], "localhost", &site.path("node.pem"), "/").status, 200);
    site.node.power_off();
}
