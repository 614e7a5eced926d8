//! As much HTTP/1.1 as a browser needs of a server on the same machine: one request for each connection.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The most bytes of a request; those of the console have no body.
const MAX_HEAD: usize = 16 << 10;

const PATIENCE: Duration = Duration::from_secs(10);

/// Nothing from elsewhere, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// the parameter `name`
    pub name: Option<String>,
    pub host: String,
    /// it has the header that only a page of this origin can send
    pub is_ours: bool,
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
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(bytes)?.is_partial() {
            return Ok(None);
        }
        let target = request.path.context("no target")?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut asked = Asked {
            method: request.method.context("no method")?.into(),
            path: path.into(),
            name: query.split('&').find_map(|part| part.strip_prefix("name=")).map(decoded),
            ..Asked::default()
        };
        for header in request.headers.iter() {
            if header.name.eq_ignore_ascii_case("host") {
                asked.host = String::from_utf8_lossy(header.value).into_owned();
            }
            asked.is_ours |= header.name.eq_ignore_ascii_case("x-pearwood");
        }
        Ok(Some(asked))
    }
}

pub fn serve(mut stream: TcpStream, answer: impl FnOnce(&Asked) -> Answer) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let asked = loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer)?;
        if length == 0 || head.len() + length > MAX_HEAD {
            bail!("no request");
        }
        head.extend_from_slice(&buffer[..length]);
        match Asked::read(&head) {
            Ok(Some(asked)) => break Some(asked),
            Ok(None) => {}
            Err(_) => break None,
        }
    };
    let Answer { status, kind, body } = match &asked {
        Some(asked) => answer(asked),
        None => Answer::text(400, "this is no request"),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         content-security-policy: {POLICY}\r\n\r\n",
        if status == 200 { "OK" } else { "Refused" }
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
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
        let head = b"POST /s/restart?x=1&name=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Pearwood: 1\r\n\r\n";
        for cut in 0..head.len() {
            assert!(Asked::read(&head[..cut]).unwrap().is_none(), "at {cut}");
        }
        let asked = Asked::read(head).unwrap().unwrap();
        assert_eq!((asked.path.as_str(), asked.name.as_deref()), ("/s/restart", Some("a/b")));
        assert_eq!((asked.host.as_str(), asked.is_ours, asked.is_get()), ("127.0.0.1:1", true, false));
        assert!(Asked::read(b"\x16\x03\x01\0\r\n").is_err());
        assert_eq!(decoded("%41%zz%"), "A%zz%");
    }
}
