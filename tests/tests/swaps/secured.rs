//! Clients over TLS: some change to another protocol, as WebSockets do, and wait for each message to come back; others take their time
//! over a file.

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tests::node::PATIENCE;

/// Messages of a connection, and the time between them.
const MESSAGES: usize = 20;
const PAUSE: Duration = Duration::from_millis(150);
/// Bytes of a file that are read at once.
const PART: usize = 16 << 10;

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Where the node is, and what is known of its sessions.
#[derive(Clone)]
pub struct Opens {
    port: u16,
    config: Arc<ClientConfig>,
}

/// What clients have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// connections that came to their end, and messages that came back over them
    pub sockets: u64,
    pub messages: u64,
    pub downloads: u64,
    /// handshakes that went on with the session of one before
    pub resumed: u64,
    /// what went wrong, in words; each the end of a client
    pub failures: Vec<String>,
}

/// Clients at work.
pub struct Clients {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Opens {
    /// `authority`: the certificate that the node is held against (PEM).
    pub fn new(port: u16, authority: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(64);
        Opens { port, config: Arc::new(config) }
    }

    /// A connection that has said what it asks for, and heard the head of the answer: what came after it.
    fn ask(&self, request: &str, status: &str) -> Result<(Stream, Vec<u8>, bool), String> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| format!("no connection: {error}"))?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(self.config.clone(), name).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(request.as_bytes()).map_err(|error| format!("no request: {error}"))?;
        let (mut heard, mut part) = (Vec::new(), [0; 4_096]);
        let end = loop {
            if let Some(at) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut part).map_err(|error| format!("no answer: {error}"))? {
                0 => return Err("closed before an answer".into()),
                length => heard.extend_from_slice(&part[..length]),
            }
        };
        let rest = heard.split_off(end);
        let head = String::from_utf8_lossy(&heard).into_owned();
        if !head.starts_with(&format!("HTTP/1.1 {status} ")) {
            return Err(format!("answered {head:?}"));
        }
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((stream, rest, resumed))
    }

    /// Whether a connection goes on with the session of one before.
    pub fn resumes(&self) -> Result<bool, String> {
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (mut stream, _, resumed) = self.ask(request, "200")?;
        // with the ticket for the next one
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.to_string())?;
        Ok(resumed)
    }

    fn socket(&self, seen: &mut Seen) -> Result<(), String> {
        let request = "GET /echo/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        let (mut stream, early, resumed) = self.ask(request, "101")?;
        if !early.is_empty() {
            return Err("something came before anything was said".into());
        }
        for number in 0..MESSAGES {
            let said: Vec<u8> = (0..1 + number * 97).map(|n| (n * 7 + number) as u8).collect();
            let mut came = vec![0; said.len()];
            stream.write_all(&said).map_err(|error| format!("message {number}: {error}"))?;
            stream.read_exact(&mut came).map_err(|error| format!("message {number} did not come back: {error}"))?;
            if came != said {
                return Err(format!("message {number} came back as another"));
            }
            seen.messages += 1;
            thread::sleep(PAUSE);
        }
        stream.conn.send_close_notify();
        stream.flush().map_err(|error| error.to_string())?;
        match stream.read(&mut [0]) {
            Ok(0) => {}
            other => return Err(format!("no end after the last message: {other:?}")),
        }
        seen.sockets += 1;
        seen.resumed += u64::from(resumed);
        Ok(())
    }

    fn download(&self, path: &str, body: &[u8], seen: &mut Seen) -> Result<(), String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (mut stream, mut came, resumed) = self.ask(&request, "200")?;
        let mut part = vec![0; PART];
        loop {
            match stream.read(&mut part).map_err(|error| format!("{} bytes of a file: {error}", came.len()))? {
                0 => break,
                length => came.extend_from_slice(&part[..length]),
            }
            thread::sleep(PAUSE);
        }
        if came != body {
            return Err(format!("{} bytes in place of a file of {}", came.len(), body.len()));
        }
        seen.downloads += 1;
        seen.resumed += u64::from(resumed);
        Ok(())
    }
}

impl Clients {
    /// So many of either kind, each with one connection after another.
    pub fn start(opens: &Opens, count: usize, path: &'static str, body: &[u8]) -> Self {
        let over = Arc::<AtomicBool>::default();
        let start = |number: usize| {
            let (over, opens, body) = (over.clone(), opens.clone(), body.to_vec());
            thread::spawn(move || {
                let mut seen = Seen::default();
                while !over.load(Relaxed) {
                    let done = match number % 2 {
                        0 => opens.socket(&mut seen),
                        _ => opens.download(path, &body, &mut seen),
                    };
                    if let Err(why) = done {
                        seen.failures.push(format!("client {number}: {why}"));
                        break;
                    }
                }
                seen
            })
        };
        let clients = (0..2 * count).map(start).collect();
        Clients { over, clients }
    }

    pub fn end(self) -> Seen {
        self.over.store(true, Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let Seen { sockets, messages, downloads, resumed, failures } = client.join().expect("a client");
            all.sockets += sockets;
            all.messages += messages;
            all.downloads += downloads;
            all.resumed += resumed;
            all.failures.extend(failures);
        }
        all
    }
}
