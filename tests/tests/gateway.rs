//! A gateway to servers that are no boxes: two of the test's own, of which one dies.

use crate::outgoing::Certificates;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;
use tests::{
    On, TestNode,
    client::{Raw, curl},
    load,
};

/// Answers with its name, and sends back what comes once it was asked for another protocol.
#[derive(Clone)]
struct Server {
    name: &'static str,
    port: u16,
    answered: Arc<(Mutex<usize>, Condvar)>,
    /// those that are open; none: it is dead
    sockets: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Server {
    fn start(name: &'static str, config: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let sockets = Arc::new(Mutex::new(Some(Vec::new())));
        let server = Server { name, port, answered: Arc::default(), sockets };
        let (own, config) = (server.clone(), config.map(Arc::new));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                match &mut *own.sockets.lock().expect("a lock") {
                    Some(sockets) => sockets.push(socket.try_clone().expect("a socket")),
                    None => return,
                }
                let (own, config) = (own.clone(), config.clone());
                thread::spawn(move || match config {
                    Some(config) => {
                        own.serve(StreamOwned::new(ServerConnection::new(config).expect("a session"), socket))
                    }
                    None => own.serve(socket),
                });
            }
        });
        server
    }

    /// A client that goes away ends it.
    fn serve<S: Read + Write>(&self, mut stream: S) -> std::io::Result<()> {
        let (mut heard, mut part) = (Vec::new(), [0; 4 << 10]);
        loop {
            let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                match stream.read(&mut part)? {
                    0 => return Ok(()),
                    length => heard.extend_from_slice(&part[..length]),
                }
                continue;
            };
            let rest = heard.split_off(end + 4);
            let head = String::from_utf8_lossy(&heard).to_lowercase();
            let value = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.find(|line| line.0 == name).map(|line| line.1.to_owned()).unwrap_or_default()
            };
            if value("upgrade") == "websocket" {
                stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                )?;
                stream.flush()?;
                loop {
                    match stream.read(&mut part)? {
                        0 => return Ok(()),
                        length => stream.write_all(&part[..length])?,
                    }
                    stream.flush()?;
                }
            }
            let body = format!("{} {} for {}\n", self.name, value("host"), value("x-forwarded-for"));
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
            stream.flush()?;
            *self.answered.0.lock().expect("a lock") += 1;
            self.answered.1.notify_all();
            heard = rest;
        }
    }

    /// Whatever it does ends, and nobody listens there.
    fn die(&self) {
        let sockets = self.sockets.lock().expect("a lock").take().unwrap_or_default();
        // the one that waits for a connection lets the port go
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        for socket in sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Until it has answered so many requests more.
    fn wait_for(&self, more: usize) {
        let (count, changes) = &*self.answered;
        let mut count = count.lock().expect("a lock");
        let until = *count + more;
        while *count < until {
            count = changes.wait(count).expect("a lock");
        }
    }
}

/// Longer than the test: it is stopped.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_server_dies_and_no_request_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, config) = Certificates { folder: folder.path(), host: "localhost" }.server("shop", "http/1.1");
    let (secured, plain) = (Server::start("secured", Some(config)), Server::start("plain", None));
    let (https, http) = (format!("localhost:{}", secured.port), format!("127.0.0.1:{}", plain.port));
    let system = format!(
        r#"
[system]
name = "gateway"

[box.net]
component = "net"
arrows."pearwood:hardware/nic" = {{ device = "nic0" }}

[box.tls]
component = "tls"
config.trust = [{{ names = "localhost", roots = '''
{root}''' }}]
arrows."pearwood:net/tcp" = {{ box = "net", connect = ["{https}"] }}
arrows."pearwood:net/names" = {{ box = "net" }}

[box.shop]
component = "fetch"
memory = "64 MiB"                       # room for more requests at once than the test has
arrows."pearwood:net/tcp" = [{{ box = "tls", connect = ["{https}"] }}, {{ box = "net", connect = ["{http}"] }}]
arrows."pearwood:net/names" = {{ box = "net" }}
config.upstreams = ["https://{https}", "http://{http}"]
config.health.path = "/health"

[box.http]
component = "http"
arrows."pearwood:net/tcp" = {{ box = "net", listen = [80] }}
arrows."pearwood:http/handler" = {{ box = "shop" }}
"#
    );
    fs::write(folder.path().join("system.toml"), system).expect("a file");
    let node = TestNode::start_with_disks(folder.path(), On::Linux, &[]);
    let forged = ["--header", "X-Forwarded-For: 9.9.9.9"];
    let answers: Vec<_> = (0..8).map(|_| curl(&forged, &node.url("/")).text()).collect();
    let authority = node.authority();
    for name in ["secured", "plain"] {
        assert!(answers.contains(&format!("{name} {authority} for 127.0.0.1\n")), "{answers:?}");
    }

    // what was open goes on over whichever it has
    let mut chat = Raw::connect(&node.authority());
    chat.say(b"GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let agreed = String::from_utf8_lossy(&chat.hear_until(b"\r\n\r\n")).to_lowercase();
    assert!(agreed.starts_with("http/1.1 101 ") && agreed.contains("\r\nupgrade: websocket\r\n"), "{agreed}");
    for word in ["\x01hello", "GET / HTTP/1.1\r\n\r\n"] {
        chat.say(word.as_bytes());
        chat.hear_until(word.as_bytes());
    }
    drop(chat);

    let position = node.node.console().position();
    let load = load::start(&node.url("/"), 16, LONG);
    secured.wait_for(500);
    plain.wait_for(500);
    secured.die();
    plain.wait_for(2_000);
    let load = load.stop();
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
    node.wait_for(position, &format!("upstream https://{https} is left out for"));
    // what must not be done twice goes to the other as well, since the first is not even reached
    for _ in 0..4 {
        let answer = curl(&["--data", "order"], &node.url("/"));
        assert_eq!((answer.status, answer.text()), (200, format!("plain {authority} for 127.0.0.1\n")));
    }
    plain.die();
    assert_eq!(curl(&[], &node.url("/")).status, 502, "none is left");
    for name in ["tls", "shop", "http"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    node.power_off();
}
