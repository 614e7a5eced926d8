//! Exact numbers of requests over kept connections: each round, one request on every connection, then all answers.

use anyhow::{Context, Result, anyhow, bail};
use message::chunked;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub struct Client {
    port: u16,
    connections: Vec<TcpStream>,
    request: Vec<u8>,
}

impl Client {
    /// Each connection has had an answer before the next is made: QEMU's forwarding lets few wait, and others then
    /// wait a second for their turn.
    pub fn connect(port: u16, path: &str, connections: usize) -> Result<Self> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let first = |_| {
            let mut stream = open(port)?;
            stream.write_all(&request)?;
            if read_answer(&mut stream)? { Ok(stream) } else { open(port) }
        };
        let connections = (0..connections).map(first).collect::<Result<_>>()?;
        Ok(Client { port, connections, request })
    }

    /// Requests one after another on the first connection, or on another where an answer has said that it was its last.
    pub fn run_anew(&mut self, requests: usize) -> Result<()> {
        let stream = self.connections.first_mut().context("no connection")?;
        for _ in 0..requests {
            stream.write_all(&self.request)?;
            if !read_answer(stream)? {
                *stream = open(self.port)?;
            }
        }
        Ok(())
    }

    pub fn run(&mut self, requests: usize) -> Result<()> {
        let mut left = requests;
        while left > 0 {
            let round = left.min(self.connections.len());
            for stream in &mut self.connections[..round] {
                stream.write_all(&self.request)?;
            }
            for stream in &mut self.connections[..round] {
                if !read_answer(stream)? {
                    *stream = open(self.port)?;
                }
            }
            left -= round;
        }
        Ok(())
    }
}

/// What is to come of a body.
enum Body {
    Left(usize),
    Chunks(chunked::Decoder),
    /// what has come of the trailer section
    Trailers(Vec<u8>),
}

impl Body {
    /// Whether it is whole with these bytes, which are the next ones.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool> {
        loop {
            match self {
                Body::Left(left) => {
                    *left = left.saturating_sub(bytes.len());
                    return Ok(*left == 0);
                }
                Body::Chunks(decoder) => {
                    let step = decoder.step(bytes, usize::MAX);
                    let (used, step) = step.map_err(|_| anyhow!("the node's answer is not chunked as it says"))?;
                    bytes = &bytes[used..];
                    match step {
                        chunked::Step::Data(_) => {}
                        chunked::Step::Pause => return Ok(false),
                        chunked::Step::End => *self = Body::Trailers(Vec::new()),
                    }
                }
                Body::Trailers(lines) => {
                    lines.extend_from_slice(bytes);
                    return Ok(*lines == b"\r\n" || lines.ends_with(b"\r\n\r\n"));
                }
            }
        }
    }
}

fn open(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect to the node")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// Reads one answer, which must be no error. False: it is the connection's last.
fn read_answer(stream: &mut TcpStream) -> Result<bool> {
    let mut answer = Vec::new();
    let mut buffer = [0; 65_536];
    let head = loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            bail!("the node closed the connection after {:?}", String::from_utf8_lossy(&answer));
        }
        answer.extend_from_slice(&buffer[..length]);
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
    if !status.is_some_and(|status| (200..400).contains(&status)) {
        bail!("the node answered {:?}", text.lines().next().unwrap_or_default());
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mut body = if field("transfer-encoding") == Some("chunked") {
        Body::Chunks(chunked::Decoder::default())
    } else if status == Some(204) || status == Some(304) {
        Body::Left(0)
    } else {
        Body::Left(field("content-length").context("an answer without a length")?.parse()?)
    };
    let mut is_whole = body.take(&answer[head..])?;
    while !is_whole {
        match stream.read(&mut buffer)? {
            0 => bail!("the node closed the connection within an answer"),
            length => is_whole = body.take(&buffer[..length])?,
        }
    }
    Ok(!text.lines().any(|line| line == "connection: close"))
}
