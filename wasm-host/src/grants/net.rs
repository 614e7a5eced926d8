//! The grants of `pearwood:net`: ports to listen at, hosts to reach, names to look up.
//!
//! A grant that names a host admits the addresses that the names service found for that name when this box asked for it,
//! and no others.

use crate::{arrows::Kinds, arrows::channel::Gate, plan::grant::NetGrant};
use alloc::{collections::VecDeque, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, net::Ipv6Addr};
use spin::Mutex;
use wit::{Batch, Malformed, Record, names, tcp, tcp::Endpoint, udp};

/// Addresses that are remembered for a box with the names they were found under, correspondents of its ports, and lookups
/// that may be under way: of each. The oldest is forgotten, but of lookups no more are admitted.
const REMEMBERED: usize = 256;

/// The longest name (RFC 1035, section 2.3.4), written with a dot at its end.
const MAX_NAME: usize = 254;

/// What the gates of one box have learned.
#[derive(Debug, Default)]
pub struct Known(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    /// lookups: by which gate, ticket, name
    asked: VecDeque<(u64, u32, String)>,
    /// how many gates of lookups there have been
    gates: u64,
    found: VecDeque<(Ipv6Addr, String)>,
    /// those who have sent a datagram to a port of the box
    correspondents: VecDeque<(u16, Endpoint)>,
}

impl Known {
    /// The most bytes that it holds.
    pub const HOLDS: u64 = (REMEMBERED * (2 * (MAX_NAME + 48) + 32)) as u64;

    /// Another instance of the box begins.
    pub fn clear(&self) {
        let mut learned = self.0.lock();
        *learned = Learned { gates: learned.gates, ..Learned::default() };
    }

    /// Why a name cannot be looked up now, if it cannot.
    fn ask(&self, gate: u64, ticket: u32, name: &str) -> Result<(), &'static str> {
        let mut learned = self.0.lock();
        if name.len() > MAX_NAME {
            return Err("the name is too long");
        }
        if learned.asked.iter().any(|(by, asked, _)| (*by, *asked) == (gate, ticket)) {
            return Err("the ticket is in use");
        }
        if learned.asked.len() == REMEMBERED {
            return Err("too many lookups are under way");
        }
        learned.asked.push_back((gate, ticket, name.into()));
        Ok(())
    }

    /// A lookup has ended. Yields its name.
    fn answered(&self, gate: u64, ticket: u32) -> Option<String> {
        let mut learned = self.0.lock();
        let at = learned.asked.iter().position(|(by, asked, _)| (*by, *asked) == (gate, ticket))?;
        learned.asked.remove(at).map(|(.., name)| name)
    }

    /// What was asked over an arrow is not answered any more.
    fn forget(&self, gate: u64) {
        self.0.lock().asked.retain(|(by, ..)| *by != gate);
    }

    fn may_reach(&self, grant: &NetGrant, to: Endpoint) -> bool {
        let learned = self.0.lock();
        let names = learned.found.iter().filter(|(address, _)| *address == to.address);
        let mut names = names.map(|(_, name)| name.as_str());
        grant.may_connect(to, &[]) || names.any(|name| grant.may_connect(to, &[name]))
    }
}

fn push_bounded<T: PartialEq>(queue: &mut VecDeque<T>, entry: T) {
    if queue.contains(&entry) {
        return;
    }
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(entry);
}

/// The gate of an arrow with that grant, for the box that has learned so much.
pub fn tcp(grant: &NetGrant, known: &Arc<Known>) -> Arc<dyn Gate> {
    Arc::new(Tcp(grant.clone(), known.clone()))
}

pub fn udp(grant: &NetGrant, known: &Arc<Known>) -> Arc<dyn Gate> {
    Arc::new(Udp(grant.clone(), known.clone()))
}

/// Lookups are granted by the arrows for what is then connected to: all that a box may reach by name.
pub fn names(grants: &[&NetGrant], known: &Arc<Known>) -> Arc<dyn Gate> {
    let grants = grants.iter().map(|&grant| grant.clone()).collect();
    let mut learned = known.0.lock();
    learned.gates += 1;
    Arc::new(Names { grants, known: known.clone(), gate: learned.gates })
}

struct Tcp(NetGrant, Arc<Known>);
struct Udp(NetGrant, Arc<Known>);

struct Names {
    grants: Vec<NetGrant>,
    known: Arc<Known>,
    /// distinguishes it from other gates of the box
    gate: u64,
}

impl Gate for Tcp {
    fn checks(&self) -> u64 {
        Kinds::bit(tcp::Command::LISTEN) | Kinds::bit(tcp::Command::CONNECT) | Kinds::bit(tcp::Command::DIAL)
    }

    fn check(&self, record: &Record<'_>) -> Result<Option<Batch>, Malformed> {
        let Tcp(grant, known) = self;
        Ok(match tcp::Command::decode(record)? {
            tcp::Command::Listen { port, .. } if !grant.may_listen(port) => {
                Some(refuse(port.into(), format_args!("listen on port {port}")))
            }
            tcp::Command::Connect { ticket, to } if !known.may_reach(grant, to) => {
                Some(refuse(ticket, format_args!("connect to [{}]:{}", to.address, to.port)))
            }
            // who makes the connection proves that it leads there, or looks the name up with a grant of its own
            tcp::Command::Dial { ticket, port, name } if !grant.may_dial(name, port) => {
                let why = &not_granted(format_args!("connect to {}:{port}", shown(name)));
                let mut batch = Batch::new();
                tcp::Event::Failed { ticket, cause: tcp::Cause::Denied, alert: 0, why }.encode(&mut batch);
                Some(batch)
            }
            _ => None,
        })
    }
}

/// What is said of a name that a box has sent.
fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

fn refuse(id: u32, what: fmt::Arguments<'_>) -> Batch {
    let mut batch = Batch::new();
    tcp::Event::Refused { id, why: &not_granted(what) }.encode(&mut batch);
    batch
}

fn not_granted(what: fmt::Arguments<'_>) -> String {
    format!("the arrow does not grant to {what}")
}

impl Gate for Udp {
    fn checks(&self) -> u64 {
        Kinds::bit(udp::Command::BIND) | Kinds::bit(udp::Command::DATAGRAM)
    }

    fn check(&self, record: &Record<'_>) -> Result<Option<Batch>, Malformed> {
        let Udp(grant, known) = self;
        let refuse = |port, what: fmt::Arguments<'_>| {
            let mut batch = Batch::new();
            udp::Event::Refused { port, why: &not_granted(what) }.encode(&mut batch);
            Some(batch)
        };
        Ok(match udp::Command::decode(record)? {
            udp::Command::Bind { port } if !grant.may_listen(port) => refuse(port, format_args!("bind port {port}")),
            // whoever has written to a port that the box may bind is answered from it
            udp::Command::Datagram { port, to, .. }
                if !known.0.lock().correspondents.contains(&(port, to)) && !known.may_reach(grant, to) =>
            {
                refuse(port, format_args!("send to [{}]:{}", to.address, to.port))
            }
            _ => None,
        })
    }

    fn learns(&self) -> u64 {
        Kinds::bit(udp::Event::DATAGRAM)
    }

    fn learn(&self, record: &Record<'_>) {
        if let Ok(udp::Event::Datagram { port, from, .. }) = udp::Event::decode(record) {
            push_bounded(&mut self.1.0.lock().correspondents, (port, from));
        }
    }
}

impl Gate for Names {
    fn checks(&self) -> u64 {
        Kinds::bit(names::Command::LOOKUP)
    }

    fn check(&self, record: &Record<'_>) -> Result<Option<Batch>, Malformed> {
        let Names { grants, known, gate } = self;
        let names::Command::Lookup { ticket, name } = names::Command::decode(record)? else { return Ok(None) };
        let refused = if grants.iter().any(|grant| grant.may_look_up(name)) {
            known.ask(*gate, ticket, name).err()
        } else {
            Some("no arrow of the box grants to reach such a host")
        };
        Ok(refused.map(|why| {
            let mut batch = Batch::new();
            names::Event::Failed { ticket, why }.encode(&mut batch);
            batch
        }))
    }

    fn undo(&self, record: &Record<'_>) {
        if let Ok(names::Command::Lookup { ticket, .. }) = names::Command::decode(record) {
            self.known.answered(self.gate, ticket);
        }
    }

    fn renew(&self) {
        self.known.forget(self.gate);
    }

    fn learns(&self) -> u64 {
        Kinds::bit(names::Event::ADDRESSES) | Kinds::bit(names::Event::FAILED)
    }

    fn learn(&self, record: &Record<'_>) {
        match names::Event::decode(record) {
            Ok(names::Event::Addresses { ticket, addresses }) => {
                let Some(name) = self.known.answered(self.gate, ticket) else { return };
                let mut learned = self.known.0.lock();
                // the newest are kept, so one answer cannot be longer than what is remembered
                addresses.iter().for_each(|address| push_bounded(&mut learned.found, (address, name.clone())));
            }
            Ok(names::Event::Failed { ticket, .. }) => drop(self.known.answered(self.gate, ticket)),
            _ => {}
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.known.forget(self.gate);
    }
}
