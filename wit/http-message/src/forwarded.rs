//! Where a request came from before the proxy that has brought it: what that proxy says, and those before it that are trusted.
//!
//! Any client can write such lines, and a proxy adds to them. So each step is believed only of an address that is trusted, from the last one
//! backwards (RFC 7239, section 8.1).

use crate::fields::first;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use wit::http::Scheme;

/// The field that the proxies write. Another is not looked at: they may pass it on as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

/// The client that a request is from, if `proxy` has brought it, and how it came to the first proxy that is trusted, if that is said.
/// `lines` are all field lines of the request.
pub fn client(
    lines: &[u8],
    field: Field,
    proxy: Ipv6Addr,
    is_trusted: impl Fn(Ipv6Addr) -> bool,
) -> (Ipv6Addr, Option<Scheme>) {
    let name = match field {
        Field::XForwardedFor => "x-forwarded-for",
        Field::Forwarded => "forwarded",
    };
    let (mut at, mut scheme, mut steps) = (proxy, None, 0);
    for element in backwards(&values(lines, name)) {
        if !is_trusted(at) {
            break;
        }
        let (address, of_element) = match field {
            Field::XForwardedFor => (node(element), None),
            Field::Forwarded => (parameter(element, "for").and_then(node), parameter(element, "proto").and_then(read)),
        };
        // unknown, or a name that means something to others only
        let Some(address) = address else { break };
        (at, scheme, steps) = (address, of_element, steps + 1);
    }
    if field == Field::XForwardedFor && is_trusted(proxy) {
        let schemes = values(lines, "x-forwarded-proto");
        scheme = backwards(&schemes).take(steps.max(1)).last().and_then(read);
    }
    (at, scheme)
}

/// The values of all lines with a name.
fn values<'a>(mut lines: &'a [u8], name: &str) -> Vec<&'a [u8]> {
    let mut values = Vec::new();
    while let Some((found, value, rest)) = first(lines) {
        if found.eq_ignore_ascii_case(name) {
            values.push(value);
        }
        lines = rest;
    }
    values
}

/// Their elements, the last one first. What a proxy has put in quotes may be a client's, with commas in it. Read from the end, a quote that a
/// client has left open is no reason to take what a proxy has added for part of it.
fn backwards<'a>(values: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let elements = values.iter().rev().flat_map(|value| {
        let mut is_quoted = false;
        value.rsplit(move |&byte| {
            is_quoted ^= byte == b'"';
            byte == b',' && !is_quoted
        })
    });
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// A parameter's value, without its quotes.
fn parameter<'a>(element: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut is_quoted = false;
    let mut pairs = element.split(|&byte| {
        is_quoted ^= byte == b'"';
        byte == b';' && !is_quoted
    });
    pairs.find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (found, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })
}

/// An address, which may have brackets and a port (RFC 7239, section 6).
fn node(text: &[u8]) -> Option<Ipv6Addr> {
    let text = core::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()));
    Some(match address? {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    })
}

fn read(scheme: &[u8]) -> Option<Scheme> {
    let is = |known: &[u8]| scheme.eq_ignore_ascii_case(known);
    if is(b"https") { Some(Scheme::Https) } else { is(b"http").then_some(Scheme::Http) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Network;
    use alloc::{
        format,
        string::{String, ToString},
    };

    const PROXY: &str = "10.0.0.1";

    fn from(field: Field, proxy: &str, lines: &str) -> (String, Option<Scheme>) {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| Network::read(network).unwrap());
        let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
        let (address, scheme) = client(lines.as_bytes(), field, node(proxy.as_bytes()).unwrap(), is_trusted);
        (IpAddr::V6(address).to_canonical().to_string(), scheme)
    }

    #[test]
    fn the_client_is_the_last_that_is_not_trusted() {
        for (value, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:1234", "192.0.2.7"),
            ("1.1.1.1, 192.0.2.7", "192.0.2.7"),
            ("1.1.1.1, 192.0.2.7 , 10.0.0.9", "192.0.2.7"),
            ("192.0.2.7,, 2001:db8::5", "192.0.2.7"),
            ("10.0.0.7, 10.0.0.9", "10.0.0.7"),
            ("2001:db9::1", "2001:db9::1"),
            ("[2001:db9::1]:443", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, unknown", PROXY),
            ("192.0.2.7, unknown, 10.0.0.9", "10.0.0.9"),
            ("192.0.2.7;", PROXY),
            ("\"192.0.2.7\"", PROXY),
            ("", PROXY),
        ] {
            let lines = format!("x-forwarded-for: {value}\r\nforwarded: for=9.9.9.9\r\n");
            assert_eq!(from(Field::XForwardedFor, PROXY, &lines).0, expected, "{value}");
        }
        let lines = "X-Forwarded-For: 1.1.1.1\r\na: b\r\nX-Forwarded-For: 192.0.2.7\r\n";
        assert_eq!(from(Field::XForwardedFor, PROXY, lines).0, "192.0.2.7", "several lines are one list");
        let (address, scheme) = from(Field::XForwardedFor, "192.0.2.1", "x-forwarded-for: 1.1.1.1\r\n");
        assert_eq!((address.as_str(), scheme), ("192.0.2.1", None));
        let lines = "x-forwarded-proto: https\r\n";
        assert_eq!(from(Field::XForwardedFor, "192.0.2.1", lines).1, None, "nobody's word");
    }

    #[test]
    fn schemes() {
        for (addresses, value, expected) in [
            ("1.1.1.1", "https", Some(Scheme::Https)),
            ("1.1.1.1", "HTTP", Some(Scheme::Http)),
            ("1.1.1.1", "http, https", Some(Scheme::Https)),
            ("1.1.1.1, 10.0.0.2", "http, https, http", Some(Scheme::Https)),
            ("1.1.1.1, 10.0.0.2", "https", Some(Scheme::Https)),
            ("", "https", Some(Scheme::Https)),
            ("1.1.1.1", "wss", None),
            ("1.1.1.1", "", None),
        ] {
            let lines = format!("x-forwarded-for: {addresses}\r\nx-forwarded-proto: {value}\r\n");
            assert_eq!(from(Field::XForwardedFor, PROXY, &lines).1, expected, "{addresses} {value}");
        }
    }

    #[test]
    fn the_standard_field() {
        for (value, address, scheme) in [
            ("for=192.0.2.7;proto=https;by=203.0.113.43", "192.0.2.7", Some(Scheme::Https)),
            ("For=\"[2001:db9::17]:4711\"", "2001:db9::17", None),
            ("for=1.1.1.1;proto=https, for=192.0.2.7;proto=http", "192.0.2.7", Some(Scheme::Http)),
            ("for=1.1.1.1, for=192.0.2.7;proto=https, for=10.0.0.9;proto=http", "192.0.2.7", Some(Scheme::Https)),
            ("for=\"evil, for=192.0.2.7", "192.0.2.7", None),
            ("for=192.0.2.7;host=\"a,for=6.6.6.6;proto=https;x=\"", "192.0.2.7", None),
            ("host=\"a;for=6.6.6.6;proto=https\";for=192.0.2.7", "192.0.2.7", None),
            ("for=192.0.2.7, for=_hidden", PROXY, None),
            ("proto=https", PROXY, None),
            ("for", PROXY, None),
        ] {
            let lines = format!("forwarded: {value}\r\nx-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: https\r\n");
            let (found, found_scheme) = from(Field::Forwarded, PROXY, &lines);
            assert_eq!((found.as_str(), found_scheme), (address, scheme), "{value}");
        }
    }
}
