//! `pearwood:net/udp`: commands from the client, events from the service.

use crate::batch::{Batch, Fields, Malformed, Record};
use crate::tcp::Endpoint;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    Bind { port: u16 },
    Unbind { port: u16 },
    Datagram { port: u16, to: Endpoint, data: &'a [u8] },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    Bound { port: u16 },
    Refused { port: u16, why: &'a [u8] },
    Datagram { port: u16, from: Endpoint, data: &'a [u8] },
}

fn port(record: &Record<'_>) -> Result<u16, Malformed> {
    u16::try_from(record.id).map_err(|_| Malformed)
}

impl<'a> Command<'a> {
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Command::Bind { port } => batch.push(1, port.into(), &[]),
            Command::Unbind { port } => batch.push(2, port.into(), &[]),
            Command::Datagram { port, to, data } => batch.push_parts(3, port.into(), &[&to.bytes(), data]),
        }
    }

    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields(record.bytes);
        let port = port(record)?;
        match record.kind {
            1 => fields.end().map(|()| Command::Bind { port }),
            2 => fields.end().map(|()| Command::Unbind { port }),
            3 => Ok(Command::Datagram { port, to: Endpoint::read(&mut fields)?, data: fields.0 }),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Event<'a> {
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Event::Bound { port } => batch.push(1, port.into(), &[]),
            Event::Refused { port, why } => batch.push(2, port.into(), why),
            Event::Datagram { port, from, data } => batch.push_parts(3, port.into(), &[&from.bytes(), data]),
        }
    }

    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields(record.bytes);
        let port = port(record)?;
        match record.kind {
            1 => fields.end().map(|()| Event::Bound { port }),
            2 => Ok(Event::Refused { port, why: record.bytes }),
            3 => Ok(Event::Datagram { port, from: Endpoint::read(&mut fields)?, data: fields.0 }),
            _ => Err(Malformed),
        }
    }
}
