//! As much HTTP/1.1 as a browser needs of a server on the same machine: one request for each connection.

use anyhow::{Error, Result, bail};
use message::{Framing, Limits, Refusal, fields, request, status::reason};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// The most bytes of a request's body: a component.
pub const MAX_BODY: u64 = 128 << 20;

const PATIENCE: Duration = Duration::from_secs(10);

/// Nothing from elsewhere, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// the parameter `name`
    pub name: Option<String>,
    pub host: String,
    /// where the page comes from that asks, if the browser says it
    pub origin: Option<String>,
    /// it has the header that only a page of this origin can send
    pub is_ours: bool,
    /// bytes of the body
    length: u64,
    /// where the body begins
    head: usize,
}

pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Answer {
    pub fn text(status: u16, body: &str) -> Self {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

impl Asked {
    pub fn is_get(&self) -> bool {
        self.method == "GET"
    }

    /// None: the head has not ended yet.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let limits = Limits { head_bytes: MAX_HEAD, ..Limits::default() };
        let mut scratch = Vec::new();
        let refused = |refusal: Refusal| Error::msg(refusal.why);
        let Some((head, _)) = request::parse(bytes, &mut scratch, &limits).map_err(refused)? else { return Ok(None) };
        let (path, query) = head.target.as_str().split_once('?').unwrap_or((head.target.as_str(), ""));
        let mut asked = Asked {
            method: head.method.into(),
            path: path.into(),
            name: query.split('&').find_map(|part| part.strip_prefix("name=")).map(decoded),
            host: head.authority.into(),
            length: match head.says.framing {
                Framing::None => 0,
                Framing::Length(length) => length,
                Framing::Chunked => bail!("a body without a length"),
            },
            head: head.length,
            ..Asked::default()
        };
        for (name, value) in fields::valid(head.headers).flatten() {
            match name.to_ascii_lowercase().as_str() {
                "origin" => asked.origin = Some(String::from_utf8_lossy(value).into_owned()),
                "x-pearwood" => asked.is_ours = true,
                _ => {}
            }
        }
        Ok(Some(asked))
    }
}

/// A request, and the connection that waits for its answer.
pub struct Exchange {
    stream: TcpStream,
    pub asked: Asked,
    /// what came after the head
    rest: Vec<u8>,
}

impl Exchange {
    /// Reads a request's head. None: what came is none, and was told so.
    pub fn begin(mut stream: TcpStream) -> Result<Option<Self>> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer)?;
            if length == 0 || bytes.len() + length > MAX_HEAD {
                bail!("no request");
            }
            bytes.extend_from_slice(&buffer[..length]);
            match Asked::read(&bytes) {
                Ok(Some(asked)) => {
                    let rest = bytes.split_off(asked.head);
                    return Ok(Some(Exchange { stream, asked, rest }));
                }
                Ok(None) => {}
                Err(_) => {
                    write_head(&mut stream, 400, "text/plain", Some(0))?;
                    return Ok(None);
                }
            }
        }
    }

    /// The request's body.
    pub fn body(&mut self) -> Result<Vec<u8>> {
        if self.asked.length > MAX_BODY {
            bail!("a body of more than {} MiB", MAX_BODY >> 20);
        }
        let mut body = std::mem::take(&mut self.rest);
        let left = self.asked.length.saturating_sub(body.len() as u64);
        Read::by_ref(&mut self.stream).take(left).read_to_end(&mut body)?;
        if body.len() as u64 != self.asked.length {
            bail!("the body has {} bytes, not {}", body.len(), self.asked.length);
        }
        Ok(body)
    }

    pub fn answer(mut self, answer: &Answer) -> Result<()> {
        let Answer { status, kind, body } = answer;
        write_head(&mut self.stream, *status, kind, Some(body.len()))?;
        self.stream.write_all(body.as_bytes())?;
        // what has come and was not read would have the answer lost with the connection
        let mut left = self.asked.length.saturating_sub(self.rest.len() as u64).min(MAX_BODY);
        self.stream.shutdown(std::net::Shutdown::Write)?;
        let mut buffer = [0; 64 << 10];
        while left > 0 {
            match self.stream.read(&mut buffer)? {
                0 => break,
                length => left = left.saturating_sub(length as u64),
            }
        }
        Ok(())
    }

    /// Begins an answer of lines that come when they come.
    pub fn lines(mut self) -> Result<Lines> {
        write_head(&mut self.stream, 200, "application/x-ndjson", None)?;
        Ok(Lines(self.stream))
    }
}

/// Lines, until it is dropped.
pub struct Lines(TcpStream);

impl Lines {
    /// An error: nobody reads any more.
    pub fn write(&mut self, line: &str) -> Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }
}

fn write_head(stream: &mut TcpStream, status: u16, kind: &str, length: Option<usize>) -> Result<()> {
    let length = length.map_or_else(String::new, |length| format!("content-length: {length}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\n{length}connection: close\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         cross-origin-resource-policy: same-origin\r\ncontent-security-policy: {POLICY}\r\n\r\n",
        reason(status)
    );
    stream.write_all(head.as_bytes())?;
    Ok(())
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |index: usize| after.get(index).and_then(|&digit| (digit as char).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let head = b"POST /s/restart?x=1&name=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Pearwood: 1\r\n\
            Origin: http://evil.example\r\nContent-Length: 3\r\n\r\n";
        for cut in 0..head.len() {
            assert!(Asked::read(&head[..cut]).unwrap().is_none(), "at {cut}");
        }
        let asked = Asked::read(head).unwrap().unwrap();
        assert_eq!((asked.path.as_str(), asked.name.as_deref()), ("/s/restart", Some("a/b")));
        assert_eq!((asked.host.as_str(), asked.is_ours, asked.is_get()), ("127.0.0.1:1", true, false));
        assert_eq!((asked.origin.as_deref(), asked.length, asked.head), (Some("http://evil.example"), 3, head.len()));
        assert!(Asked::read(b"\x16\x03\x01\0\r\n").is_err());
        assert!(Asked::read(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n").is_err());
        assert!(Asked::read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert_eq!(decoded("%41%zz%"), "A%zz%");
    }
}
