//! A request's head, as it goes over the wire.

use message::fields::{Name, is_settable, valid};
use message::target::{host_of, is_authority, is_path};
use wit::http::{Head, Scheme};

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub is_https: bool,
    /// a name in lower case, or an address in words
    pub host: String,
    pub port: u16,
}

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It is not known yet whether there is one.
    Open,
    None,
    /// so much is left
    Length(u64),
    Chunked,
}

#[derive(Debug)]
pub struct Request {
    pub origin: Origin,
    /// without what says how the body is framed, and without the empty line
    pub head: Vec<u8>,
    pub framing: Framing,
    pub is_head: bool,
    /// It seldom has a body: so none is announced before there is one.
    pub is_bare: bool,
    /// It may be sent again (RFC 9110, section 9.2.2).
    pub is_idempotent: bool,
}

impl Request {
    /// # Errors
    /// It is not valid, or not for this box.
    pub fn new(head: &Head<'_>) -> Result<Self, &'static str> {
        let Head { method, target, authority, headers, scheme, .. } = *head;
        let authority = str::from_utf8(authority).ok().filter(|text| !text.is_empty() && is_authority(text.as_bytes()));
        let authority = authority.ok_or("its authority is not that of a host")?;
        let is_https = scheme == Scheme::Https;
        let host = host_of(authority);
        let port = match authority[host.len()..].trim_start_matches(':') {
            "" if is_https => 443,
            "" => 80,
            digits => digits.parse().ok().filter(|port| *port > 0).ok_or("its port is not one")?,
        };
        if method == "CONNECT" || !message::fields::is_token(method) {
            return Err("its method is not for other hosts");
        }
        let is_target = is_path(target) || (target == "*" && method == "OPTIONS");
        if !is_target {
            return Err("its target is no path");
        }
        let mut length = None;
        let mut lines = Vec::with_capacity(headers.len() + 128);
        for part in [method, " ", target, " HTTP/1.1\r\nHost: ", authority, "\r\n"] {
            lines.extend_from_slice(part.as_bytes());
        }
        for line in valid(headers) {
            let (name, value) = line.map_err(|_| "its headers are malformed")?;
            match Name::of(name) {
                Name::ContentLength if length.is_some() => return Err("it has more than one content-length"),
                Name::ContentLength => {
                    length = Some(message::fields::content_length(value).ok_or("its content-length is no number")?);
                }
                // the body comes without being waited for
                Name::Expect => {}
                _ if is_settable(name) => message::fields::push(&mut lines, name, value),
                _ => {}
            }
        }
        Ok(Request {
            origin: Origin { is_https, host: host.to_ascii_lowercase(), port },
            head: lines,
            framing: length.map_or(Framing::Open, Framing::Length),
            is_head: method == "HEAD",
            is_bare: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE"),
            is_idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE" | "PUT"),
        })
    }

    /// The head, once it is known how the body is framed.
    pub fn write(&self, total: Option<u64>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        match (self.framing, total) {
            (Framing::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            (_, Some(total)) => out.extend_from_slice(format!("Content-Length: {total}\r\n").as_bytes()),
            (Framing::None, None) if !self.is_bare => out.extend_from_slice(b"Content-Length: 0\r\n"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn head<'a>(method: &'a str, target: &'a str, authority: &'a str, headers: &'a str) -> Head<'a> {
        Head {
            method,
            target,
            authority: authority.as_bytes(),
            remote: Ipv6Addr::UNSPECIFIED,
            headers: headers.as_bytes(),
            scheme: Scheme::Https,
            upgrade: "",
        }
    }

    #[test]
    fn origins() {
        for (authority, host, port) in [
            ("A.example", "a.example", 443),
            ("a.example:8443", "a.example", 8443),
            ("[::1]:1", "[::1]", 1),
            ("[::1]", "[::1]", 443),
        ] {
            let request = Request::new(&head("GET", "/", authority, "")).unwrap();
            assert_eq!(request.origin, Origin { is_https: true, host: host.into(), port }, "{authority}");
        }
    }

    #[test]
    fn heads() {
        let lines = "accept: a\r\nconnection: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\nHost: evil\r\n";
        let request = Request::new(&head("PUT", "/a?b", "a.example:1", lines)).unwrap();
        let mut out = Vec::new();
        request.write(Some(3), &mut out);
        let expected = "PUT /a?b HTTP/1.1\r\nHost: a.example:1\r\naccept: a\r\nContent-Length: 3\r\n\r\n";
        assert_eq!((str::from_utf8(&out), request.framing), (Ok(expected), Framing::Length(3)));
    }

    #[test]
    fn what_is_not_valid_is_not_sent() {
        for (method, target, authority, headers) in [
            ("GET", "/", "", ""),
            ("GET", "/", "user@a", ""),
            ("GET", "/", "a:0", ""),
            ("GET", "/", "a:65536", ""),
            ("CONNECT", "/", "a", ""),
            ("G T", "/", "a", ""),
            ("GET", "a", "a", ""),
            ("GET", "/ HTTP/1.1\r\nx: y", "a", ""),
            ("GET", "*", "a", ""),
            ("GET", "/", "a", "a: b\r\n\r\n"),
            ("GET", "/", "a", "content-length: 1\r\ncontent-length: 1\r\n"),
            ("GET", "/", "a", "content-length: x\r\n"),
        ] {
            assert!(Request::new(&head(method, target, authority, headers)).is_err(), "{method} {target} {authority}");
        }
    }
}
