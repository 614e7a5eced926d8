//! Ports of this machine that lead to a node's.

use anyhow::{Context, Result, bail};
use std::iter;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        })
    }
}

/// One port of the node, and the one of this machine (on 127.0.0.1) that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    pub protocol: Protocol,
    pub host: Host,
    pub guest: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Exactly this one.
    Port(u16),
    /// This one, or the next that is free.
    From(u16),
    /// Any that is free.
    Any,
}

/// The system gives none of these to outgoing connections (it takes those from 32,768 on), so what is free stays free
/// until the node binds it.
const OWN: Range<u16> = 10_000..32_768;

/// The next of them: none twice in a row, and processes that start nodes at the same time begin at different ones.
fn next() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(97).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
    OWN.start + (number % OWN.len() as u32) as u16
}

impl Forward {
    /// From any free port.
    pub const fn any(protocol: Protocol, guest: u16) -> Self {
        Forward { protocol, host: Host::Any, guest }
    }

    /// To a TCP port, from any free port.
    pub const fn tcp(guest: u16) -> Self {
        Forward::any(Protocol::Tcp, guest)
    }

    /// The same port on this machine if that is free and needs no privileges, else a related one: 80 is at 8080.
    pub const fn familiar(protocol: Protocol, guest: u16) -> Self {
        let first = match guest {
            80 => 8080,
            1..1024 => 8000 + guest,
            _ => guest,
        };
        Forward { protocol, host: Host::From(first), guest }
    }

    /// Finds a port of this machine that is free now.
    pub fn choose(&self) -> Result<u16> {
        match self.host {
            Host::Port(port) if self.is_free(port) => Ok(port),
            Host::Port(port) => bail!("port {port} of this machine is in use"),
            Host::From(first) => (first..=u16::MAX)
                .take(1000)
                .find(|port| self.is_free(*port))
                .with_context(|| format!("no port of this machine from {first} on is free")),
            Host::Any => {
                let mut ports = iter::repeat_with(next).take(OWN.len());
                ports.find(|port| self.is_free(*port)).context("no port of this machine is free")
            }
        }
    }

    fn is_free(&self, port: u16) -> bool {
        match self.protocol {
            Protocol::Tcp => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(),
            Protocol::Udp => UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok(),
        }
    }
}

/// `HOST:GUEST`, or one number for both; `/udp` at the end for UDP.
impl FromStr for Forward {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (ports, protocol) = match text.strip_suffix("/udp") {
            Some(ports) => (ports, Protocol::Udp),
            None => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
        };
        let (host, guest) = ports.split_once(':').unwrap_or((ports, ports));
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => bail!("`{text}` is no port"),
        };
        Ok(Forward { protocol, host: Host::Port(port(host)?), guest: port(guest)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_parsed() {
        let tcp = |host, guest| Forward { protocol: Protocol::Tcp, host: Host::Port(host), guest };
        assert_eq!("8080:80".parse::<Forward>().unwrap(), tcp(8080, 80));
        assert_eq!("8443".parse::<Forward>().unwrap(), tcp(8443, 8443));
        assert_eq!("5353:53/udp".parse::<Forward>().unwrap().protocol, Protocol::Udp);
        for bad in ["", ":", "0:80", "80:", "80:x", "65536", "1:2:3"] {
            assert!(bad.parse::<Forward>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let forward = |host| Forward { protocol: Protocol::Tcp, host, guest: 80 };
        assert!(forward(Host::Port(port)).choose().is_err());
        assert!(forward(Host::From(port)).choose().is_ok_and(|chosen| chosen > port));
        let any: Vec<_> = (0..50).map(|_| forward(Host::Any).choose().unwrap()).collect();
        assert!(any.iter().enumerate().all(|(at, port)| !any[..at].contains(port)), "one was given to two: {any:?}");
    }

    #[test]
    fn familiar_ports() {
        let from = |guest| Forward::familiar(Protocol::Tcp, guest).host;
        assert_eq!((from(80), from(443), from(3000)), (Host::From(8080), Host::From(8443), Host::From(3000)));
    }
}
