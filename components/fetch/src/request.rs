//! A request's head, as it goes over the wire.

use crate::response::MOST;
use message::fields::{self, Name, is_settable, is_value, push, valid};
use message::target::{host_of, is_authority, is_path};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use wit::http::{Head, Scheme};

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub is_https: bool,
    /// a name in lower case, or an address in words
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// A URL without a path, as `https://a.example:8443`.
    ///
    /// # Errors
    /// It is none.
    pub fn read(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or(NO_ORIGIN)?;
        let is_https = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(NO_ORIGIN),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('/') {
            return Err("a server is meant, without a path: requests keep theirs");
        }
        Origin::of(authority, is_https).ok_or(NO_ORIGIN)
    }

    /// None: it is not that of a host.
    fn of(authority: &str, is_https: bool) -> Option<Self> {
        let host = host_of(authority);
        if host.is_empty() || host.contains('%') || !is_authority(authority.as_bytes()) {
            return None;
        }
        let port = match authority[host.len()..].trim_start_matches(':') {
            "" if is_https => 443,
            "" => 80,
            digits => digits.parse().ok().filter(|port| *port > 0)?,
        };
        Some(Origin { is_https, host: host.to_ascii_lowercase(), port })
    }

    /// As `Host` says it.
    fn authority(&self) -> String {
        let is_usual = self.port == if self.is_https { 443 } else { 80 };
        if is_usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

const NO_ORIGIN: &str = "a server is meant, such as https://shop.example:8443 or http://192.0.2.5";

/// What the lines of requests call this node (RFC 9110, section 7.6.3).
const VIA: &[u8] = b"1.1 pearwood";

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It is not known yet whether there is one.
    Open,
    None,
    /// so much is left
    Length(u64),
    Chunked,
    /// It is not HTTP's any more: both sides have changed to another protocol.
    Raw,
}

#[derive(Debug)]
pub struct Request {
    pub origin: Origin,
    /// the first line
    line: String,
    /// What `Host` says; none: the origin.
    authority: Option<String>,
    /// without those of the connection, and of how the body is framed
    lines: Vec<u8>,
    /// protocols that it asks to change to
    pub upgrade: String,
    pub framing: Framing,
    pub is_head: bool,
    /// It seldom has a body: so none is announced before there is one.
    pub is_bare: bool,
    /// It may be sent again (RFC 9110, section 9.2.2).
    pub is_idempotent: bool,
}

/// Where requests go that do not say it themselves.
#[derive(Debug, Clone, Copy)]
pub struct Behind<'a> {
    pub origin: &'a Origin,
    /// `Host` is what the client has asked for.
    pub keeps_host: bool,
}

impl Request {
    /// `behind`: it is not for the host that it names, but for one behind this box.
    ///
    /// # Errors
    /// It is not valid, or not for this box.
    pub fn new(head: &Head<'_>, behind: Option<Behind<'_>>) -> Result<Self, &'static str> {
        let Head { method, target, authority, headers, scheme, remote, upgrade } = *head;
        if method.len() + target.len() + authority.len() + headers.len() + upgrade.len() > MOST {
            return Err("its head is too large");
        }
        let authority = str::from_utf8(authority).ok().filter(|text| is_authority(text.as_bytes()));
        let authority = authority.ok_or("its authority is not that of a host")?;
        let (origin, authority) = match behind {
            Some(Behind { origin, keeps_host }) => {
                (origin.clone(), Some(authority).filter(|authority| keeps_host && !authority.is_empty()))
            }
            None => {
                let origin = Origin::of(authority, scheme == Scheme::Https);
                (origin.ok_or("its authority is not that of a host")?, Some(authority))
            }
        };
        if method == "CONNECT" || !fields::is_token(method) {
            return Err("its method is not for other hosts");
        }
        let is_target = is_path(target) || (target == "*" && method == "OPTIONS");
        if !is_target {
            return Err("its target is no path");
        }
        if !is_value(upgrade.as_bytes()) {
            return Err("what it asks to change to is no protocol");
        }
        let is_visitors = !remote.is_unspecified();
        let mut length = None;
        let mut lines = Vec::with_capacity(headers.len() + 256);
        for line in valid(headers) {
            let (name, value) = line.map_err(|_| "its headers are malformed")?;
            match Name::of(name) {
                Name::ContentLength if length.is_some() => return Err("it has more than one content-length"),
                Name::ContentLength => {
                    length = Some(fields::content_length(value).ok_or("its content-length is no number")?);
                }
                // the body comes without being waited for
                Name::Expect => {}
                // what a client says of that is worth nothing: it is said below. A server behind this box believes it, whoever asks
                Name::Forwarding if is_visitors || behind.is_some() => {}
                _ if is_settable(name) => push(&mut lines, name, value),
                _ => {}
            }
        }
        if is_visitors {
            forwarded(&mut lines, remote, scheme, head.authority);
        }
        Ok(Request {
            origin,
            line: format!("{method} {target} HTTP/1.1\r\n"),
            authority: authority.map(Into::into),
            lines,
            upgrade: upgrade.into(),
            framing: length.map_or(Framing::Open, Framing::Length),
            is_head: method == "HEAD",
            is_bare: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE"),
            is_idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE" | "PUT"),
        })
    }

    /// The question whether a server is well. `host`: what `Host` says; none: the origin.
    pub fn check(origin: Origin, path: &str, host: Option<&str>) -> Self {
        let mut lines = Vec::new();
        push(&mut lines, "user-agent", b"pearwood");
        push(&mut lines, "connection", b"close");
        Request {
            origin,
            line: format!("GET {path} HTTP/1.1\r\n"),
            authority: host.map(Into::into),
            lines,
            upgrade: String::new(),
            framing: Framing::Open,
            is_head: false,
            is_bare: true,
            is_idempotent: true,
        }
    }

    /// The head, once it is known how the body is framed.
    pub fn write(&self, total: Option<u64>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.line.as_bytes());
        let own;
        let authority = match &self.authority {
            Some(authority) => authority,
            None => {
                own = self.origin.authority();
                &own
            }
        };
        push(out, "Host", authority.as_bytes());
        out.extend_from_slice(&self.lines);
        if !self.upgrade.is_empty() {
            push(out, "Connection", b"upgrade");
            push(out, "Upgrade", self.upgrade.as_bytes());
        }
        match (self.framing, total) {
            (Framing::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            (_, Some(total)) => out.extend_from_slice(format!("Content-Length: {total}\r\n").as_bytes()),
            (Framing::None, None) if !self.is_bare => out.extend_from_slice(b"Content-Length: 0\r\n"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Whether it has asked for a protocol, or for each of several.
    pub fn asks_for(&self, chosen: &[u8]) -> bool {
        let mut chosen = fields::elements(chosen).peekable();
        let is_asked = |name: &[u8]| fields::elements(self.upgrade.as_bytes()).any(|it| it.eq_ignore_ascii_case(name));
        chosen.peek().is_some() && chosen.all(is_asked)
    }
}

/// Adds what whoever answers is to know of where a request came from (RFC 7239, and the names from before it). A host of other characters
/// than names, addresses and ports have is left out: to a receiver that does not honour quotes, `a,for=192.0.2.1` would be two elements.
fn forwarded(lines: &mut Vec<u8>, remote: Ipv6Addr, scheme: Scheme, authority: &[u8]) {
    let address = IpAddr::V6(remote).to_canonical();
    let scheme = if scheme == Scheme::Https { "https" } else { "http" };
    let node = if address.is_ipv6() { format!("\"[{address}]\"") } else { address.to_string() };
    let mut all = format!("for={node};proto={scheme}").into_bytes();
    push(lines, "x-forwarded-for", address.to_string().as_bytes());
    push(lines, "x-forwarded-proto", scheme.as_bytes());
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    if !authority.is_empty() && authority.iter().all(is_plain) {
        push(lines, "x-forwarded-host", authority);
        all.extend_from_slice(b";host=\"");
        all.extend_from_slice(authority);
        all.push(b'"');
    }
    push(lines, "forwarded", &all);
    push(lines, "via", VIA);
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
            let request = Request::new(&head("GET", "/", authority, ""), None).unwrap();
            assert_eq!(request.origin, Origin { is_https: true, host: host.into(), port }, "{authority}");
        }
    }

    #[test]
    fn heads() {
        let lines = "accept: a\r\nconnection: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\nHost: evil\r\n";
        let request = Request::new(&head("PUT", "/a?b", "a.example:1", lines), None).unwrap();
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
            let request = Request::new(&head(method, target, authority, headers), None);
            assert!(request.is_err(), "{method} {target} {authority}");
        }
    }

    #[test]
    fn servers_behind() {
        let read = |url| Origin::read(url).map(|origin| (origin.is_https, origin.authority()));
        for (url, is_https, authority) in [
            ("https://A.example", true, "a.example"),
            ("https://a.example:443/", true, "a.example"),
            ("http://a.example:443", false, "a.example:443"),
            ("http://192.0.2.5:8080", false, "192.0.2.5:8080"),
            ("http://[2001:db8::5]", false, "[2001:db8::5]"),
        ] {
            assert_eq!(read(url), Ok((is_https, authority.into())), "{url}");
        }
        for url in
            ["a.example", "ftp://a", "https://", "https://a/b", "https://u@a", "http://a:0", "http://a:b", "http://a b"]
        {
            assert!(read(url).is_err(), "{url}");
        }
    }

    /// What a client says of where it came from is not passed on, however it spells it.
    #[test]
    fn forwarded_fields_cannot_be_forged() {
        let forged = "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX_Forwarded_Proto: https\r\nX-Real-IP: 9.9.9.9\r\na: b\r\n";
        let origin = Origin::read("https://b.example").unwrap();
        let head = Head { scheme: Scheme::Http, ..head("GET", "/", "a.example:8080", forged) };
        let mut written = [(); 3].map(|()| Vec::new());
        let remotes = ["::ffff:192.0.2.1", "2001:db8::1", "::"].map(|text| text.parse::<Ipv6Addr>().unwrap());
        for (remote, out) in remotes.into_iter().zip(&mut written) {
            let behind = Behind { origin: &origin, keeps_host: remote.to_canonical().is_ipv4() };
            Request::new(&Head { remote, ..head }, Some(behind)).unwrap().write(None, out);
        }
        let expected = [
            "GET / HTTP/1.1\r\nHost: a.example:8080\r\na: b\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: a.example:8080\r\nforwarded: for=192.0.2.1;proto=http;host=\"a.example:8080\"\r\n\
             via: 1.1 pearwood\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: b.example\r\na: b\r\nx-forwarded-for: 2001:db8::1\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: a.example:8080\r\nforwarded: for=\"[2001:db8::1]\";proto=http;host=\"a.example:8080\"\r\n\
             via: 1.1 pearwood\r\n\r\n",
        ];
        assert_eq!([0, 1].map(|at| str::from_utf8(&written[at]).unwrap()), expected);
        assert_eq!(str::from_utf8(&written[2]).unwrap(), "GET / HTTP/1.1\r\nHost: b.example\r\na: b\r\n\r\n");
    }
}
