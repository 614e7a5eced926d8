//! What one instance of the box leaves to the next (`pearwood:box/handover`): packed records, read from bytes that may be
//! anything.
//!
//! Connections are not among it: they end where they are. What is here lets the next be reached at once, at the same
//! addresses and ports, and disturb nothing of what its predecessor goes on with.

use crate::packet::Flow;
use crate::paths::LEAST4;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use smoltcp::wire::Ipv4Cidr;
use wit::{Batch, Records};

const LEASE: u8 = 1;
const ROUTER: u8 = 2;
const PREFIX: u8 = 3;
const SERVER: u8 = 4;
const LISTENER: u8 = 5;
const BOUND: u8 = 6;
const PORT: u8 = 7;
const NEIGHBOUR: u8 = 8;
const LAST: u8 = 9;
const YOUNG: u8 = 10;
const MTU4: u8 = 11;
const MTU6: u8 = 12;
const PATH: u8 = 13;
const HELD: u8 = 14;

/// The most records of any kind: more than what is kept of any of them.
const LIMIT: usize = 65_536;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heritage {
    pub lease: Option<Lease>,
    /// default routers of IPv6, until when
    pub routers: Vec<(Ipv6Addr, u64)>,
    /// prefixes of 64 bits, whether on the link, until when
    pub prefixes: Vec<(Ipv6Addr, bool, u64)>,
    /// name servers, until when
    pub servers: Vec<(Ipv6Addr, u64)>,
    /// TCP ports that are listened on, and their backlogs
    pub listeners: Vec<(u16, u16)>,
    /// UDP ports
    pub bound: Vec<u16>,
    /// ports of the dynamic range that are in use
    pub ports: Vec<u16>,
    pub neighbours: Vec<Neighbour>,
    pub time_wait: Vec<(Flow, Last)>,
    /// connections that have been opened just now, of which a SYN may still be on its way
    pub young: Vec<Flow>,
    /// bytes of the largest packet, as DHCP and the routers say
    pub mtu4: Option<u16>,
    pub mtu6: Option<u16>,
    /// bytes of the largest packet to some destinations, until when
    pub paths: Vec<(Ipv6Addr, u16, u64)>,
    /// addresses of this machine that no other has, as was made sure of
    pub held: Vec<Ipv6Addr>,
}

/// What DHCP gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Cidr,
    pub gateway: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub expires: u64,
}

/// IPv4 addresses are in their IPv6-mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub address: Ipv6Addr,
    pub card: [u8; 6],
}

/// The last segment of a connection in TIME-WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    pub sequence: u32,
    pub acknowledged: u32,
    pub expires: u64,
}

/// It is not what an instance of this box leaves, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    kind: u8,
    record: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} of the state, of kind {}, makes no sense", self.record, self.kind)
    }
}

impl core::error::Error for Malformed {}

impl Heritage {
    /// Kinds that it does not know it leaves out: another version may have written them.
    pub fn read(state: &[u8]) -> Result<Self, Malformed> {
        let mut heritage = Heritage::default();
        for (number, record) in Records::new(state).enumerate() {
            let malformed = |kind| Malformed { kind, record: number };
            let record = record.map_err(|_| malformed(0))?;
            if number >= LIMIT {
                return Err(malformed(record.kind));
            }
            let mut fields = Fields(record.bytes);
            let taken = heritage.take(record.kind, record.id, &mut fields);
            if taken.is_none() || !fields.0.is_empty() {
                return Err(malformed(record.kind));
            }
        }
        Ok(heritage)
    }

    fn take(&mut self, kind: u8, id: u32, fields: &mut Fields<'_>) -> Option<()> {
        let port = || u16::try_from(id).ok().filter(|port| *port != 0);
        let mtu = || u16::try_from(id).ok().filter(|mtu| *mtu >= LEAST4);
        match kind {
            LEASE => {
                let (address, length, expires) = (fields.four()?, fields.array::<1>()?[0], fields.u64()?);
                let gateway = Some(fields.four()?).filter(|gateway| !gateway.is_unspecified());
                let mut dns = Vec::new();
                while !fields.0.is_empty() {
                    dns.push(fields.four()?);
                }
                let sound = length <= 32 && dns.len() <= 16;
                let address = sound.then(|| Ipv4Cidr::new(address, length))?;
                self.lease = Some(Lease { address, gateway, dns, expires });
            }
            ROUTER => self.routers.push((fields.six()?, fields.u64()?)),
            PREFIX => self.prefixes.push((fields.six()?, id != 0, fields.u64()?)),
            SERVER => self.servers.push((fields.six()?, fields.u64()?)),
            LISTENER => self.listeners.push((port()?, u16::from_le_bytes(fields.array()?))),
            BOUND => self.bound.push(port()?),
            PORT => self.ports.push(port()?),
            NEIGHBOUR => self.neighbours.push(Neighbour { address: fields.six()?, card: fields.array()? }),
            LAST => {
                let flow = fields.flow()?;
                let [sequence, acknowledged] = [fields.array()?, fields.array()?].map(u32::from_le_bytes);
                self.time_wait.push((flow, Last { sequence, acknowledged, expires: fields.u64()? }));
            }
            YOUNG => self.young.push(fields.flow()?),
            MTU4 => self.mtu4 = Some(mtu()?),
            MTU6 => self.mtu6 = Some(mtu()?),
            HELD => self.held.push(fields.six()?),
            PATH => self.paths.push((fields.six()?, mtu()?, fields.u64()?)),
            _ => fields.0 = &[],
        }
        Some(())
    }

    pub fn write(&self) -> Vec<u8> {
        let mut batch = Batch::new();
        if let Some(Lease { address, gateway, dns, expires }) = &self.lease {
            let mut bytes = address.address().octets().to_vec();
            bytes.push(address.prefix_len());
            bytes.extend(expires.to_le_bytes());
            let gateway = gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
            [gateway].iter().chain(dns).for_each(|address| bytes.extend(address.octets()));
            batch.push(LEASE, 0, &bytes);
        }
        let mut timed = |kind, id, address: &Ipv6Addr, expires: &u64| {
            batch.push_parts(kind, id, &[&address.octets(), &expires.to_le_bytes()]);
        };
        self.routers.iter().for_each(|(router, expires)| timed(ROUTER, 0, router, expires));
        self.prefixes.iter().for_each(|(prefix, on_link, expires)| timed(PREFIX, (*on_link).into(), prefix, expires));
        self.servers.iter().for_each(|(server, expires)| timed(SERVER, 0, server, expires));
        for (port, backlog) in &self.listeners {
            batch.push(LISTENER, (*port).into(), &backlog.to_le_bytes());
        }
        self.bound.iter().for_each(|port| batch.push(BOUND, (*port).into(), &[]));
        self.ports.iter().for_each(|port| batch.push(PORT, (*port).into(), &[]));
        for Neighbour { address, card } in &self.neighbours {
            batch.push_parts(NEIGHBOUR, 0, &[&address.octets(), card]);
        }
        for (flow, last) in &self.time_wait {
            let numbers = [last.sequence.to_le_bytes(), last.acknowledged.to_le_bytes()];
            batch.push_parts(LAST, 0, &[&octets(flow), numbers.as_flattened(), &last.expires.to_le_bytes()]);
        }
        self.mtu4.iter().for_each(|mtu| batch.push(MTU4, (*mtu).into(), &[]));
        self.mtu6.iter().for_each(|mtu| batch.push(MTU6, (*mtu).into(), &[]));
        for (to, mtu, expires) in &self.paths {
            batch.push_parts(PATH, (*mtu).into(), &[&to.octets(), &expires.to_le_bytes()]);
        }
        self.held.iter().for_each(|address| batch.push(HELD, 0, &address.octets()));
        self.young.iter().for_each(|flow| batch.push(YOUNG, 0, &octets(flow)));
        batch.into_bytes()
    }
}

fn octets(flow: &Flow) -> Vec<u8> {
    let Flow { remote, local, remote_port, local_port } = flow;
    let addresses = [remote.octets(), local.octets()];
    let ports = [remote_port.to_le_bytes(), local_port.to_le_bytes()];
    [addresses.as_flattened(), ports.as_flattened()].concat()
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn four(&mut self) -> Option<Ipv4Addr> {
        self.array::<4>().map(Ipv4Addr::from)
    }

    fn flow(&mut self) -> Option<Flow> {
        let (remote, local) = (self.six()?, self.six()?);
        let [remote_port, local_port] = [self.array()?, self.array()?].map(u16::from_le_bytes);
        Some(Flow { remote, local, remote_port, local_port })
    }

    fn six(&mut self) -> Option<Ipv6Addr> {
        self.array::<16>().map(Ipv6Addr::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Heritage {
        let six = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        let flow = Flow { remote: six("::ffff:10.0.0.1"), local: six("fd00::2"), remote_port: 4000, local_port: 80 };
        Heritage {
            lease: Some(Lease {
                address: Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 50), 24),
                gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
                dns: vec![Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(10, 0, 0, 4)],
                expires: 77,
            }),
            routers: vec![(six("fe80::1"), 5)],
            prefixes: vec![(six("fd00::"), true, u64::MAX), (six("fd01::"), false, 3)],
            servers: vec![(six("fd00::3"), 6)],
            listeners: vec![(80, 128), (443, 1)],
            bound: vec![53],
            ports: vec![50_000],
            neighbours: vec![Neighbour { address: six("::ffff:10.0.0.1"), card: [2, 0, 0, 0, 0, 1] }],
            time_wait: vec![(flow, Last { sequence: 1, acknowledged: 2, expires: 3 })],
            young: vec![flow],
            mtu4: Some(1500),
            mtu6: Some(1280),
            paths: vec![(six("::ffff:192.0.2.1"), 1480, 9)],
            held: vec![six("::ffff:10.0.0.50"), six("fd00::2")],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for heritage in [full(), Heritage::default()] {
            assert_eq!(Heritage::read(&heritage.write()), Ok(heritage));
        }
        let mut newer = Batch::new();
        newer.append(&[full().write(), full().write()].concat());
        newer.push(200, 7, b"of a later version");
        assert_eq!(Heritage::read(newer.as_bytes()).unwrap().bound, [53, 53]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let state = full().write();
        for cut in 1..state.len() {
            if let Ok(heritage) = Heritage::read(&state[..cut]) {
                assert!(state.starts_with(&heritage.write()), "cut at {cut}, between two records");
            }
        }
        for (kind, id, bytes) in [
            (LISTENER, 0, &[1, 0][..]),
            (LISTENER, 65_536, &[1, 0]),
            (BOUND, 1, &[0]),
            (LEASE, 0, &[10; 18]),
            (LAST, 0, &[0; 47]),
            (MTU4, 10, &[]),
            (PATH, 70_000, &[0; 24]),
        ] {
            let mut batch = Batch::new();
            batch.push(BOUND, 9, &[]);
            batch.push(kind, id, bytes);
            let error = Heritage::read(batch.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("record 1 of the state, of kind {kind}, makes no sense"));
        }
        assert!(Heritage::read(&[255; 7]).is_err());
    }
}
