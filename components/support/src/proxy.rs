//! The PROXY protocol, versions 1 and 2: what a proxy says of a connection before anything of the client's comes over it
//! (haproxy.org, "The PROXY protocol", sections 2.1 and 2.2).
//!
//! Of the further fields of version 2 nothing is used, its checksum neither: what is between the proxy and here is TCP.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wit::tcp::Endpoint;

/// The most bytes of a header that are read: of version 1, 107; of version 2, with the further fields that proxies add.
pub const MOST: usize = 2 << 10;

const START_1: &[u8] = b"PROXY ";
const MOST_1: usize = 107;
const START_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// of version 2, up to the addresses
const HEAD_2: usize = 16;

/// A header that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// bytes that it is
    pub length: usize,
    /// where the client connects from; none: the proxy speaks for itself, or cannot tell
    pub client: Option<Endpoint>,
}

/// Reads a header from the start of a connection; `None` if it is not whole yet.
///
/// # Errors
/// It is none: the reason, in words.
pub fn read(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let begins = |start: &[u8]| input.iter().zip(start).all(|(a, b)| a == b);
    if begins(START_1) {
        return first_version(input);
    }
    if begins(START_2) {
        return second_version(input);
    }
    Err("the connection does not begin with a header of the PROXY protocol")
}

fn first_version(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let window = &input[..input.len().min(MOST_1)];
    let Some(end) = window.windows(2).position(|two| two == b"\r\n") else {
        return if window.len() < MOST_1 { Ok(None) } else { Err("a header of the PROXY protocol is too long") };
    };
    let wrong = "a header of the PROXY protocol, version 1, is not valid";
    let line = input.get(START_1.len()..end).and_then(|line| core::str::from_utf8(line).ok()).ok_or(wrong)?;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    let client = match family {
        "UNKNOWN" => None,
        "TCP4" | "TCP6" => {
            let mut address = || {
                let address: IpAddr = words.next()?.parse().ok()?;
                (address.is_ipv4() == (family == "TCP4")).then_some(address)
            };
            let (from, to) = (address().ok_or(wrong)?, address());
            let mut port = || {
                let digits = words.next()?;
                digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
            };
            let (port, to_port): (Option<u16>, Option<u16>) = (port(), port());
            if to.is_none() || to_port.is_none() || words.next().is_some() {
                return Err(wrong);
            }
            Some(Endpoint { address: mapped(from), port: port.ok_or(wrong)? })
        }
        _ => return Err(wrong),
    };
    Ok(Some(Header { length: end + 2, client }))
}

fn second_version(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some((head, rest)) = input.split_first_chunk::<HEAD_2>() else { return Ok(None) };
    let [.., command, family, high, low] = *head;
    let wrong = "a header of the PROXY protocol, version 2, is not valid";
    if command >> 4 != 2 || command & 15 > 1 || family >> 4 > 3 || family & 15 > 2 {
        return Err(wrong);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if HEAD_2 + length > MOST {
        return Err("a header of the PROXY protocol is too long");
    }
    let Some(addresses) = rest.get(..length) else { return Ok(None) };
    let speaks_for_another = command & 15 == 1;
    // both addresses, and then both ports
    let client = match family {
        0x11 if speaks_for_another => {
            let (from, rest) = addresses.split_first_chunk::<4>().ok_or(wrong)?;
            Some(Endpoint { address: Ipv4Addr::from(*from).to_ipv6_mapped(), port: port(rest, 4).ok_or(wrong)? })
        }
        0x21 if speaks_for_another => {
            let (from, rest) = addresses.split_first_chunk::<16>().ok_or(wrong)?;
            Some(Endpoint { address: Ipv6Addr::from(*from), port: port(rest, 16).ok_or(wrong)? })
        }
        _ => None,
    };
    Ok(Some(Header { length: HEAD_2 + length, client }))
}

/// The first of two ports behind an address of so many bytes.
fn port(rest: &[u8], address: usize) -> Option<u16> {
    let ports = rest.get(address..)?.first_chunk::<4>()?;
    Some(u16::from_be_bytes([ports[0], ports[1]]))
}

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec, vec::Vec};

    fn client(header: &Header) -> alloc::string::String {
        header.client.map_or("-".into(), |client| {
            let address = IpAddr::V6(client.address).to_canonical();
            format!("{} {}", address, client.port)
        })
    }

    fn second(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = START_2.to_vec();
        bytes.extend([command, family]);
        bytes.extend((addresses.len() as u16).to_be_bytes());
        bytes.extend_from_slice(addresses);
        bytes
    }

    fn addresses(from: &[u8], ports: [u8; 4]) -> Vec<u8> {
        [from, &vec![9; from.len()], &ports].concat()
    }

    #[test]
    fn headers_are_read_however_they_are_cut() {
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets();
        let further = [&addresses(&[192, 0, 2, 7], [0xdc, 4, 1, 187])[..], &[4, 0, 2, 1, 2]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n".to_vec(), "192.0.2.7 56324"),
            (b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n".to_vec(), "2001:db8::7 1"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "-"),
            (b"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n".to_vec(), "-"),
            (second(0x21, 0x11, &addresses(&[192, 0, 2, 7], [0xdc, 4, 1, 187])), "192.0.2.7 56324"),
            (second(0x21, 0x11, &further), "192.0.2.7 56324"),
            (second(0x21, 0x21, &addresses(&v6, [0, 1, 1, 187])), "2001:db8::7 1"),
            (second(0x20, 0x11, &addresses(&[192, 0, 2, 7], [0; 4])), "-"),
            (second(0x20, 0, b""), "-"),
            (second(0x21, 0, b"abc"), "-"),
            (second(0x21, 0x31, &[1; 216]), "-"),
            (second(0x21, 0x12, &addresses(&[192, 0, 2, 7], [0; 4])), "-"),
        ] {
            let stream = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for end in 0..header.len() {
                assert_eq!(read(&stream[..end]), Ok(None), "{header:?} up to {end}");
            }
            for end in [header.len(), stream.len()] {
                let found = read(&stream[..end]).unwrap().unwrap();
                assert_eq!((found.length, client(&found).as_str()), (header.len(), expected), "{header:?}");
            }
        }
    }

    #[test]
    fn whatever_else_is_refused() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(100));
        for bad in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"\x16\x03\x01".to_vec(),
            b"PROXY\r\n".to_vec(),
            b"proxy TCP4".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7  10.0.0.1 56324 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +5 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 1 443\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.7 10.0.0.1 1 443\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 443\r\n".to_vec(),
            b"PROXY TCP4 \xff 10.0.0.1 1 443\r\n".to_vec(),
            long.into_bytes(),
            second(0x11, 0x11, &[0; 12]),
            second(0x22, 0x11, &[0; 12]),
            second(0x21, 0x41, &[0; 12]),
            second(0x21, 0x13, &[0; 12]),
            second(0x21, 0x11, &[0; 11]),
            second(0x21, 0x21, &[0; 35]),
            second(0x21, 0, &[0; MOST]),
        ] {
            assert!(read(&bad).is_err(), "{:?}", alloc::string::String::from_utf8_lossy(&bad));
        }
    }
}
