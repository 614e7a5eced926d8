//! What WASI boxes ask of other hosts, over TLS: a server of the test's, with certificates of the test's.

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use tests::{
    On, TestNode,
    client::{Raw, curl, run},
    node::workspace,
    on_each,
};

on_each!(hosts_that_an_arrow_names_are_reached_and_no_others);

/// Answers each request with the bytes of its body, as they come and in the chunks in which they come. Yields its port.
fn serve(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let session = ServerConnection::new(config.clone()).expect("a session");
            thread::spawn(move || echo(StreamOwned::new(session, socket)));
        }
    });
    port
}

/// A client that will not go on with the handshake, or goes away, ends it.
fn echo<S: Read + Write>(mut stream: S) -> std::io::Result<()> {
    let mut heard = Vec::new();
    let mut part = [0; 16 << 10];
    let head = loop {
        if let Some(at) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => heard.extend_from_slice(&part[..length]),
        }
    };
    let has_body = heard[..head].windows(8).any(|bytes| bytes.eq_ignore_ascii_case(b"chunked\r"));
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-From: afar\r\n\r\n")?;
    let mut tail = heard.split_off(head);
    if !has_body {
        tail = b"5\r\nhello\r\n0\r\n\r\n".to_vec();
    }
    loop {
        stream.write_all(&tail)?;
        stream.flush()?;
        if tail.ends_with(b"0\r\n\r\n") {
            return Ok(());
        }
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => tail = part[..length].to_vec(),
        }
    }
}

/// Certificates by OpenSSL, for a host.
pub struct Certificates<'a> {
    pub folder: &'a Path,
    pub host: &'a str,
}

impl Certificates<'_> {
    /// One that is its own root, in PEM, and a server with it.
    pub fn server(&self, name: &str, protocol: &str) -> (String, ServerConfig) {
        let path = |end: &str| self.folder.join(format!("{name}.{end}")).to_string_lossy().into_owned();
        let kind = if self.host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"])
            .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName={kind}:{}", self.host)])
            .args(["-addext", "basicConstraints=critical,CA:false"])
            .args(["-keyout", &path("key"), "-out", &path("pem")]));
        let read = |end: &str| fs::read_to_string(path(end)).expect("PEM");
        let chain = vec![CertificateDer::from_pem_slice(read("pem").as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(read("key").as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the versions");
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).expect("its key");
        config.alpn_protocols = vec![protocol.into()];
        (read("pem"), config)
    }
}

fn hosts_that_an_arrow_names_are_reached_and_no_others(on: On) {
    let folder = tempfile::tempdir().expect("a folder");
    // by its name where there is a resolver that knows it, and in QEMU by the address that the test has there
    let host = if on == On::Linux { "localhost" } else { "10.0.2.2" };
    let certificates = Certificates { folder: folder.path(), host };
    let (root, config) = certificates.server("good", "http/1.1");
    let good = serve(config);
    let unknown = serve(certificates.server("unknown", "http/1.1").1);
    // it is trusted as well, and speaks another protocol
    let (other, config) = certificates.server("strange", "h9");
    let strange = serve(config);
    let wasi = workspace().join("examples/wasi");
    let component = |name: &str| wasi.join(name).to_string_lossy().into_owned();
    let (front, relay, trials) = (component("front"), component("relay"), component("trials"));
    let mut system = format!(
        r#"
[system]
name = "outgoing"

[box.net]
component = "net"
arrows."pearwood:hardware/nic" = {{ device = "nic0" }}

[box.tls]
component = "tls"
config.trust = [{{ names = "{host}", roots = '''
{root}{other}''' }}]
arrows."pearwood:net/tcp" = {{ box = "net", connect = ["{host}:{good}", "{host}:{unknown}", "{host}:{strange}"] }}
arrows."pearwood:net/names" = {{ box = "net" }}

[box.fetch]
component = "fetch"
arrows."pearwood:net/tcp" = {{ box = "tls", connect = ["{host}:{good}", "{host}:{unknown}", "{host}:{strange}"] }}

[box.numbers]
component = "{trials}"
arrows."wasi:http/outgoing-handler" = []

[box.relay]
component = "{relay}"
config.origin = "https://{host}:{good}"
arrows."wasi:http/client" = {{ box = "fetch", host = "{host}" }}
arrows."example:numbers/arithmetic" = {{ box = "numbers" }}
"#
    );
    let boxes = [
        ("good", format!("https://{host}:{good}"), ""),
        ("unknown", format!("https://{host}:{unknown}"), "ErrorCode::TlsCertificateError"),
        ("strange", format!("https://{host}:{strange}"), "ErrorCode::TlsAlertReceived"),
        ("denied", format!("https://{host}:1"), "ErrorCode::HttpRequestDenied"),
        ("elsewhere", format!("https://other.example:{good}"), "ErrorCode::HttpRequestDenied"),
    ];
    let mut handlers = String::from("{ box = \"relay\", path = \"/relay/\" }");
    for (name, origin, _) in &boxes {
        system += &format!(
            "\n[box.{name}]\ncomponent = \"{front}\"\nconfig.origin = \"{origin}\"\n\
             arrows.\"wasi:http/outgoing-handler\" = {{ box = \"fetch\"{} }}\n",
            if *name == "elsewhere" { String::new() } else { format!(", host = \"{host}\"") },
        );
        handlers += &format!(", {{ box = \"{name}\", path = \"/{name}/\" }}");
    }
    system += &format!(
        "\n[box.http]\ncomponent = \"http\"\narrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [80] }}\n\
         arrows.\"pearwood:http/handler\" = [{handlers}]\n"
    );
    fs::write(folder.path().join("system.toml"), system).expect("a file");
    let node = TestNode::start_with_disks(folder.path(), on, &[]);
    for path in ["/good/", "/relay/"] {
        let answer = curl(&[], &node.url(path));
        assert_eq!((answer.status, answer.header("x-from"), &*answer.text()), (200, Some("afar"), "hello"), "{path}");
        // both ways at once: what is sent comes back before more is sent
        let mut raw = Raw::connect(&node.authority());
        raw.say(
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
                .as_bytes(),
        );
        for part in ["first", "other"] {
            raw.say(format!("5\r\n{part}\r\n").as_bytes());
            raw.hear_until(part.as_bytes());
        }
        raw.say(b"0\r\n\r\n");
        assert!(raw.hear_all().ends_with(b"0\r\n\r\n"), "{path}");
        let body: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).take(1 << 20).collect();
        let file = folder.path().join("body");
        fs::write(&file, &body).expect("a file");
        let upload = format!("@{}", file.display());
        let answer = curl(&["--header", "Transfer-Encoding: chunked", "--data-binary", &upload], &node.url(path));
        assert!(answer.status == 200 && answer.body == body, "{path}: {} of {} bytes", answer.body.len(), body.len());
    }
    for (name, _, code) in &boxes[1..] {
        let position = node.node.console().position();
        assert_eq!(curl(&[], &node.url(&format!("/{name}/"))).status, 502, "{name}");
        node.wait_for(position, &format!("gave an error in place of a response: {code}"));
    }
    for name in ["tls", "fetch", "good", "relay"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    node.power_off();
}
