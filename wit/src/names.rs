//! `pearwood:net/names`: name lookups.

use crate::batch::{Batch, Malformed, Record};
use core::net::Ipv6Addr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    Lookup { ticket: u32, name: &'a str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    Addresses { ticket: u32, packed: &'a [u8] },
    Failed { ticket: u32, why: &'a [u8] },
}

impl<'a> Command<'a> {
    pub fn encode(&self, batch: &mut Batch) {
        let Command::Lookup { ticket, name } = *self;
        batch.push(1, ticket, name.as_bytes());
    }

    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        match record.kind {
            1 => {
                let name = core::str::from_utf8(record.bytes).map_err(|_| Malformed)?;
                Ok(Command::Lookup { ticket: record.id, name })
            }
            _ => Err(Malformed),
        }
    }
}

impl<'a> Event<'a> {
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Event::Addresses { ticket, packed } => batch.push(1, ticket, packed),
            Event::Failed { ticket, why } => batch.push(2, ticket, why),
        }
    }

    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        match record.kind {
            1 if record.bytes.len().is_multiple_of(16) => {
                Ok(Event::Addresses { ticket: record.id, packed: record.bytes })
            }
            2 => Ok(Event::Failed { ticket: record.id, why: record.bytes }),
            _ => Err(Malformed),
        }
    }

    /// The addresses of an [`Event::Addresses`].
    pub fn addresses(packed: &[u8]) -> impl Iterator<Item = Ipv6Addr> + '_ {
        packed.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets))
    }
}
