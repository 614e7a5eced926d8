//! Certificates from an authority: Pebble, the test server of Let's Encrypt, which Debian has as the package `pebble`. Nothing of the node
//! knows that it is one for tests, but that it is told to trust it.

use pearwood::node::DiskFile;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use tests::client::{curl, run};
use tests::{On, TestNode};

/// Where this machine is for a node in QEMU.
const HOST: &str = "10.0.2.2";
/// Seconds for which a certificate is good: it is renewed after two thirds of that.
const LIFE: u32 = 60;

/// A program that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str], folder: &Path) -> Ends {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    // one in five nonces is refused, and it looks at proofs at once
    command.env("PEBBLE_WFE_NONCEREJECT", "20").env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
    Ends(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; Debian has it in the package `pebble`")))
}

fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

/// A connection over TLS that stays open, by OpenSSL's client.
struct Held {
    client: Ends,
    said: BufReader<ChildStdout>,
}

impl Held {
    fn open(name: &str, port: u16) -> Self {
        let address = format!("127.0.0.1:{port}");
        let client = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-servername", name, "-alpn", "http/1.1", "-ign_eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut client = Ends(client.expect("openssl"));
        let said = BufReader::new(client.0.stdout.take().expect("what it says"));
        Held { client, said }
    }

    /// Asks for a page, and yields all that the client says until it has come: first of all the certificate.
    fn ask(&mut self, name: &str) -> String {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        self.client.0.stdin.as_mut().expect("its input").write_all(request.as_bytes()).expect("it reads");
        let mut said = String::new();
        while !said.ends_with("</p>\n") {
            assert!(self.said.read_line(&mut said).expect("text") > 0, "the connection has ended: {said}");
        }
        said
    }
}

/// What is between these, with them.
fn certificate(said: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {said}"));
    let end = said.find(END).expect("its end") + END.len();
    said[begin..end].into()
}

#[test]
fn certificates_are_had_and_renewed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    run(Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pebble".split(' '))
        .args(["-addext", &format!("subjectAltName=IP:{HOST},IP:127.0.0.1")])
        .args(["-keyout", &path("pebble.key"), "-out", &path("pebble.pem")]));
    let authority = free();
    let trusted = fs::read_to_string(path("pebble.pem")).expect("PEM");
    fs::create_dir(folder.join("public")).expect("a folder");
    fs::write(folder.join("public/index.html"), "<p>Hello</p>\n").expect("a file");
    let names = ["one.example", "two.example"];
    let system = format!(
        r#"
[system]
name = "acme"

[box.net]
component = "net"
arrows."pearwood:hardware/nic" = {{ device = "nic0" }}

[box.acme]
component = "acme"
config.directory = "https://{HOST}:{authority}/dir"
config.contact = "anna@example.org"
config.terms-agreed = true
config.certificates = [
    {{ names = ["one.example", "www.one.example"] }},
    {{ names = "two.example", key = "two", challenge = "tls-alpn-01" }},
]
arrows."pearwood:keys/acme" = {{ box = "keys" }}
arrows."pearwood:http/handler" = {{ box = "fetch", host = "{HOST}" }}

[box.fetch]
component = "fetch"
arrows."pearwood:net/tcp" = {{ box = "tls", connect = ["{HOST}:{authority}"] }}

[box.tls]
component = "tls"
config.certificates = [{{ names = ["one.example", "www.one.example"] }}, {{ names = "two.example", key = "two" }}]
config.trust = [{{ names = "{HOST}", roots = '''
{trusted}''' }}]
arrows."pearwood:net/tcp" = {{ box = "net", listen = [443], connect = ["{HOST}:{authority}"] }}
arrows."pearwood:net/names" = {{ box = "net" }}
arrows."pearwood:keys/tls" = {{ box = "keys" }}
arrows."pearwood:hardware/crypto" = {{ node = true }}

[box.keys]
component = "keys"
config.keys = {{ default = "new", two = "new" }}
arrows."pearwood:hardware/crypto" = {{ node = true }}
arrows."pearwood:hardware/block" = {{ device = "disk0" }}

[box.http]
component = "http"
config.ports = [80, 443]
config.idle-timeout = "10 min"
arrows."pearwood:net/tcp" = [{{ box = "net", listen = [80] }}, {{ box = "tls", listen = [443] }}]
arrows."pearwood:http/handler" = [{{ box = "site" }}, {{ box = "acme", path = "/.well-known/acme-challenge/" }}]

[box.site]
component = "site"
assets = "./public"
"#
    );
    fs::write(folder.join("system.toml"), system).expect("a file");
    let node = TestNode::start_with_disks(folder, On::Qemu, &[DiskFile::new(folder.join("disk.img"), 4 << 20)]);
    node.wait_for(0, "listening on port 443");
    // the node is there before the authority is, and serves meanwhile with a certificate of its own
    node.wait_for(0, "the authority is not reached");
    let (http, https) = (node.node.port(80), node.node.port(443));
    let first = certificate(&Held::open(names[0], https).ask(names[0]));

    let dns = format!("127.0.0.1:{}", UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port());
    let (management, own) = (free(), format!("127.0.0.1:{}", free()));
    let config = format!(
        r#"{{"pebble": {{"listenAddress": "127.0.0.1:{authority}", "managementListenAddress": "127.0.0.1:{management}",
            "certificate": "pebble.pem", "privateKey": "pebble.key", "httpPort": {http}, "tlsPort": {https},
            "ocspResponderURL": "", "certificateValidityPeriod": {LIFE}}}}}"#
    );
    fs::write(folder.join("config.json"), config).expect("a file");
    let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
    let resolver = [&["-dns01", &dns, "-management", &own], &off[..]].concat();
    let _resolver = start("pebble-challtestsrv", &resolver, folder);
    let _pebble = start("pebble", &["-config", "config.json", "-dnsserver", &dns, "-strict"], folder);

    let mut had = [(); 2].map(|()| 0);
    for (name, had) in names.iter().zip(&mut had) {
        node.wait_for(
            0,
            &format!("acme: {name}, www.{name}: there is a certificate until").replace(", www.two.example", ""),
        );
        *had = node.node.console().position();
    }
    for line in
        ["one.example: proved by http-01", "www.one.example: proved by http-01", "two.example: proved by tls-alpn-01"]
    {
        node.wait_for(0, &format!("acme: {line}"));
    }
    // it is shown at once, and believed by whoever believes the authority
    let root = curl(&["--insecure"], &format!("https://127.0.0.1:{management}/roots/0"));
    fs::write(folder.join("root.pem"), &root.body).expect("a file");
    for name in ["one.example", "www.one.example", "two.example"] {
        let resolve = format!("{name}:{https}:127.0.0.1");
        let page = curl(&["--resolve", &resolve, "--cacert", &path("root.pem")], &format!("https://{name}:{https}/"));
        assert!(page.status == 200 && page.text() == "<p>Hello</p>\n", "{name}: {page:?}");
    }
    // they are renewed, and who is connected stays so
    for (name, had) in names.iter().zip(had) {
        let mut held = Held::open(name, https);
        let before = certificate(&held.ask(name));
        assert_ne!(before, first);
        node.wait_for(
            had,
            &format!("acme: {name}, www.{name}: there is a certificate until").replace(", www.two.example", ""),
        );
        held.ask(name);
        assert_ne!(certificate(&Held::open(name, https).ask(name)), before, "{name}");
    }
    // of what others ask, nothing is a proof
    assert_eq!(curl(&[], &node.url("/.well-known/acme-challenge/../x")).status, 404);
    for name in ["acme", "keys", "tls", "fetch", "http"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    node.power_off();
}
