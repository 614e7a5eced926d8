//! What the node checks of what a client sends: that it is within its arrow's grant.

use super::Channel;
use crate::plan::grant::NetGrant;
use alloc::{collections::VecDeque, format, string::String};
use core::{fmt, net::Ipv6Addr};
use spin::Mutex;
use wit::{Batch, Malformed, Record, Records, names, tcp, udp};

/// Addresses that are remembered with the names they were found under.
const REMEMBERED: usize = 256;

/// The names that a box has looked up, so that a grant can speak of names.
#[derive(Debug, Default)]
pub struct Resolved(Mutex<Lookups>);

#[derive(Debug, Default)]
struct Lookups {
    asked: VecDeque<(u32, String)>,
    found: VecDeque<(Ipv6Addr, String)>,
}

impl Resolved {
    fn ask(&self, ticket: u32, name: &str) {
        let mut lookups = self.0.lock();
        push_bounded(&mut lookups.asked, (ticket, name.into()));
    }

    /// Notes the addresses that a names service sends to the box.
    pub(super) fn learn(&self, batch: &[u8]) {
        let mut lookups = self.0.lock();
        for record in Records::new(batch).flatten() {
            let Ok(names::Event::Addresses { ticket, packed }) = names::Event::decode(&record) else { continue };
            let Some(at) = lookups.asked.iter().position(|(asked, _)| *asked == ticket) else { continue };
            let Some((_, name)) = lookups.asked.remove(at) else { continue };
            for address in names::Event::addresses(packed) {
                push_bounded(&mut lookups.found, (address, name.clone()));
            }
        }
    }

    fn may_reach(&self, grant: &NetGrant, to: tcp::Endpoint) -> bool {
        let lookups = self.0.lock();
        let found = lookups.found.iter().filter(|(address, _)| *address == to.address);
        let known: alloc::vec::Vec<&str> = found.map(|(_, name)| name.as_str()).collect();
        grant.may_connect(to, &known)
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, entry: T) {
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(entry);
}

/// Whether a client may send a record. `Ok(Some)` is the refusal that the service would send.
#[inline]
pub(super) fn check(
    channel: Channel,
    grant: Option<&NetGrant>,
    resolved: &Resolved,
    record: &Record<'_>,
) -> Result<Option<Batch>, Malformed> {
    let may_listen = |port| grant.is_some_and(|grant| grant.may_listen(port));
    let may_reach = |to| grant.is_some_and(|grant| resolved.may_reach(grant, to));
    Ok(match (channel, record.kind) {
        (Channel::Tcp, 1) => match tcp::Command::decode(record)? {
            tcp::Command::Listen { port, .. } if !may_listen(port) => {
                Some(refuse_tcp(port.into(), format_args!("listen on port {port}")))
            }
            _ => None,
        },
        (Channel::Tcp, 3) => match tcp::Command::decode(record)? {
            tcp::Command::Connect { ticket, to } if !may_reach(to) => {
                Some(refuse_tcp(ticket, format_args!("connect to [{}]:{}", to.address, to.port)))
            }
            _ => None,
        },
        (Channel::Udp, 1) => match udp::Command::decode(record)? {
            udp::Command::Bind { port } if !may_listen(port) => {
                Some(refuse_udp(port, format_args!("bind port {port}")))
            }
            _ => None,
        },
        (Channel::Udp, 3) => match udp::Command::decode(record)? {
            // an answer from a port that the box may listen on is always allowed
            udp::Command::Datagram { port, to, .. } if !may_listen(port) && !may_reach(to) => {
                Some(refuse_udp(port, format_args!("send to [{}]:{}", to.address, to.port)))
            }
            _ => None,
        },
        (Channel::Names, 1) => {
            let names::Command::Lookup { ticket, name } = names::Command::decode(record)?;
            resolved.ask(ticket, name);
            None
        }
        _ => None,
    })
}

fn refuse_tcp(id: u32, what: fmt::Arguments<'_>) -> Batch {
    let mut batch = Batch::new();
    let why = format!("the arrow does not grant to {what}");
    tcp::Event::Refused { id, why: why.as_bytes() }.encode(&mut batch);
    batch
}

fn refuse_udp(port: u16, what: fmt::Arguments<'_>) -> Batch {
    let mut batch = Batch::new();
    let why = format!("the arrow does not grant to {what}");
    udp::Event::Refused { port, why: why.as_bytes() }.encode(&mut batch);
    batch
}
