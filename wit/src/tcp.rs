//! `pearwood:net/tcp`: commands from the client, events from the service.

use crate::batch::{Batch, Fields, Malformed, Record};
use core::net::Ipv6Addr;

/// An address and port. IPv4 addresses are in their IPv6-mapped form (RFC 4291, section 2.5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: Ipv6Addr,
    pub port: u16,
}

impl Endpoint {
    pub(crate) fn bytes(&self) -> [u8; 18] {
        let mut out = [0; 18];
        out[..16].copy_from_slice(&self.address.octets());
        out[16..].copy_from_slice(&self.port.to_le_bytes());
        out
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        Ok(Endpoint { address: Ipv6Addr::from(fields.array::<16>()?), port: fields.u16()? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    Listen { port: u16, backlog: u16 },
    Unlisten { port: u16 },
    Connect { ticket: u32, to: Endpoint },
    Send { connection: u32, data: &'a [u8] },
    Credit { connection: u32, bytes: u32 },
    Finish { connection: u32 },
    Abort { connection: u32 },
}

impl<'a> Command<'a> {
    #[inline]
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Command::Listen { port, backlog } => batch.push(1, port.into(), &backlog.to_le_bytes()),
            Command::Unlisten { port } => batch.push(2, port.into(), &[]),
            Command::Connect { ticket, to } => batch.push(3, ticket, &to.bytes()),
            Command::Send { connection, data } => batch.push(4, connection, data),
            Command::Credit { connection, bytes } => batch.push(5, connection, &bytes.to_le_bytes()),
            Command::Finish { connection } => batch.push(6, connection, &[]),
            Command::Abort { connection } => batch.push(7, connection, &[]),
        }
    }

    #[inline]
    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields(record.bytes);
        let port = || u16::try_from(record.id).map_err(|_| Malformed);
        let connection = record.id;
        let command = match record.kind {
            1 => Command::Listen { port: port()?, backlog: fields.u16()? },
            2 => Command::Unlisten { port: port()? },
            3 => Command::Connect { ticket: record.id, to: Endpoint::read(&mut fields)? },
            4 => return Ok(Command::Send { connection, data: record.bytes }),
            5 => Command::Credit { connection, bytes: fields.u32()? },
            6 => Command::Finish { connection },
            7 => Command::Abort { connection },
            _ => return Err(Malformed),
        };
        fields.end()?;
        Ok(command)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    Listening {
        port: u16,
    },
    /// A port or a ticket, and why in words.
    Refused {
        id: u32,
        why: &'a [u8],
    },
    Accepted {
        connection: u32,
        remote: Endpoint,
        port: u16,
    },
    Connected {
        connection: u32,
        ticket: u32,
    },
    Data {
        connection: u32,
        data: &'a [u8],
    },
    Sent {
        connection: u32,
        bytes: u32,
    },
    Finished {
        connection: u32,
    },
    Closed {
        connection: u32,
        why: &'a [u8],
    },
}

impl<'a> Event<'a> {
    #[inline]
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Event::Listening { port } => batch.push(1, port.into(), &[]),
            Event::Refused { id, why } => batch.push(2, id, why),
            Event::Accepted { connection, remote, port } => {
                batch.push_parts(3, connection, &[&remote.bytes(), &port.to_le_bytes()])
            }
            Event::Connected { connection, ticket } => batch.push(4, connection, &ticket.to_le_bytes()),
            Event::Data { connection, data } => batch.push(5, connection, data),
            Event::Sent { connection, bytes } => batch.push(6, connection, &bytes.to_le_bytes()),
            Event::Finished { connection } => batch.push(7, connection, &[]),
            Event::Closed { connection, why } => batch.push(8, connection, why),
        }
    }

    #[inline]
    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields(record.bytes);
        let connection = record.id;
        let event = match record.kind {
            1 => Event::Listening { port: u16::try_from(record.id).map_err(|_| Malformed)? },
            2 => return Ok(Event::Refused { id: record.id, why: record.bytes }),
            3 => Event::Accepted { connection, remote: Endpoint::read(&mut fields)?, port: fields.u16()? },
            4 => Event::Connected { connection, ticket: fields.u32()? },
            5 => return Ok(Event::Data { connection, data: record.bytes }),
            6 => Event::Sent { connection, bytes: fields.u32()? },
            7 => Event::Finished { connection },
            8 => return Ok(Event::Closed { connection, why: record.bytes }),
            _ => return Err(Malformed),
        };
        fields.end()?;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: Endpoint = Endpoint { address: Ipv6Addr::LOCALHOST, port: 443 };

    #[test]
    fn commands_come_back_as_written() {
        let commands = [
            Command::Listen { port: 80, backlog: 128 },
            Command::Unlisten { port: 80 },
            Command::Connect { ticket: 9, to: TO },
            Command::Send { connection: 1, data: b"hello" },
            Command::Credit { connection: 1, bytes: 5 },
            Command::Finish { connection: 1 },
            Command::Abort { connection: 1 },
        ];
        let mut batch = Batch::new();
        commands.iter().for_each(|c| c.encode(&mut batch));
        let read: Vec<_> = batch.records().map(|r| Command::decode(&r.unwrap()).unwrap()).collect();
        assert_eq!(read, commands);
    }

    #[test]
    fn events_come_back_as_written() {
        let events = [
            Event::Listening { port: 80 },
            Event::Refused { id: 80, why: b"taken" },
            Event::Accepted { connection: 3, remote: TO, port: 80 },
            Event::Connected { connection: 4, ticket: 9 },
            Event::Data { connection: 3, data: b"x" },
            Event::Sent { connection: 3, bytes: 1 },
            Event::Finished { connection: 3 },
            Event::Closed { connection: 3, why: b"" },
        ];
        let mut batch = Batch::new();
        events.iter().for_each(|e| e.encode(&mut batch));
        let read: Vec<_> = batch.records().map(|r| Event::decode(&r.unwrap()).unwrap()).collect();
        assert_eq!(read, events);
    }

    #[test]
    fn other_kinds_wrong_lengths_and_big_ports_are_malformed() {
        for (kind, id, bytes) in [(0, 0, &b""[..]), (9, 0, b""), (1, 70_000, b"\0\0"), (1, 80, b"\0"), (5, 1, b"12345")]
        {
            assert_eq!(Command::decode(&Record { kind, id, bytes }), Err(Malformed), "kind {kind}");
        }
    }

    use alloc::vec::Vec;
}
