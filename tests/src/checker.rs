//! Clients that verify every answer, on connections that they keep.

use crate::node::PATIENCE;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

/// What a path may be answered with.
#[derive(Debug, Clone)]
pub struct Expected {
    pub path: &'static str,
    pub bodies: Vec<Vec<u8>>,
}

/// What the clients have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub requests: u64,
    /// connections that were opened since the node ended one with an answer that said so
    pub reopened: u64,
    /// what went wrong, in words; each the end of a client
    pub failures: Vec<String>,
}

/// Clients, each with a connection of its own.
pub struct Checkers {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Checkers {
    /// Each asks for one path after another, again and again.
    pub fn start(authority: &str, clients: usize, expected: &[Expected]) -> Self {
        let over = Arc::<AtomicBool>::default();
        let start = |number: usize| {
            let (over, authority, expected) = (over.clone(), authority.to_string(), expected.to_vec());
            thread::spawn(move || {
                let mut seen = Seen::default();
                if let Err(why) = ask(&authority, &expected, &over, &mut seen) {
                    seen.failures.push(format!("client {number}: {why}"));
                }
                seen
            })
        };
        let clients = (0..clients).map(start).collect();
        Checkers { over, clients }
    }

    pub fn end(self) -> Seen {
        self.over.store(true, Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().expect("a client");
            all.requests += seen.requests;
            all.reopened += seen.reopened;
            all.failures.extend(seen.failures);
        }
        all
    }
}

fn ask(authority: &str, expected: &[Expected], over: &AtomicBool, seen: &mut Seen) -> Result<(), String> {
    let mut connection = None;
    for Expected { path, bodies } in expected.iter().cycle() {
        if over.load(Relaxed) {
            return Ok(());
        }
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => open(authority).map_err(|error| format!("cannot connect: {error}"))?,
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| format!("cannot ask: {error}"))?;
        let (head, body) = read(&mut stream)?;
        seen.requests += 1;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{path}: {}", head.lines().next().unwrap_or_default()));
        }
        if !bodies.contains(&body) {
            return Err(format!("{path}: a wrong body of {} bytes", body.len()));
        }
        if head.to_ascii_lowercase().contains("connection: close") {
            seen.reopened += 1;
        } else {
            connection = Some(stream);
        }
    }
    Ok(())
}

fn open(authority: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// An answer's head, and its body as long as the head says.
fn read(stream: &mut TcpStream) -> Result<(String, Vec<u8>), String> {
    let mut bytes = Vec::new();
    let mut more = |bytes: &mut Vec<u8>| {
        let mut buffer = [0; 65_536];
        match stream.read(&mut buffer) {
            Ok(0) => Err(format!("the connection was closed after {} bytes of an answer", bytes.len())),
            Ok(length) => {
                bytes.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) => Err(format!("{error} after {} bytes of an answer", bytes.len())),
        }
    };
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length =
        head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.ok_or("an answer without a length")?;
    while bytes.len() < end + length {
        more(&mut bytes)?;
    }
    let body = bytes.split_off(end);
    if body.len() == length { Ok((head, body)) } else { Err(format!("{} bytes where {length} were said", body.len())) }
}
