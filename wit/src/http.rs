//! `pearwood:http/handler`: requests from the client, responses from the service.

use crate::batch::{Batch, Fields, Malformed, Record};
use core::net::Ipv6Addr;

/// The head of a request. `headers` are lines `name: value\r\n`, each valid, without `host` and hop-by-hop ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    pub method: &'a str,
    /// path and query
    pub target: &'a str,
    /// Host and port, as the client has it. Most services do not look at it.
    pub authority: &'a [u8],
    pub remote: Ipv6Addr,
    pub headers: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    Request { request: u32, head: Head<'a> },
    Body { request: u32, data: &'a [u8] },
    End { request: u32 },
    Credit { request: u32, bytes: u32 },
    Cancel { request: u32 },
}

impl<'a> Command<'a> {
    #[inline]
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Command::Request { request, head } => {
                let Head { method, target, authority, remote, headers } = head;
                let length = 1 + method.len() + 2 + target.len() + 2 + authority.len() + 16 + headers.len();
                let bytes = batch.begin(1, request, length);
                bytes.push(method.len() as u8);
                bytes.extend_from_slice(method.as_bytes());
                bytes.extend_from_slice(&(target.len() as u16).to_le_bytes());
                bytes.extend_from_slice(target.as_bytes());
                bytes.extend_from_slice(&(authority.len() as u16).to_le_bytes());
                bytes.extend_from_slice(authority);
                bytes.extend_from_slice(&remote.octets());
                bytes.extend_from_slice(headers);
            }
            Command::Body { request, data } => batch.push(2, request, data),
            Command::End { request } => batch.push(3, request, &[]),
            Command::Credit { request, bytes } => batch.push(4, request, &bytes.to_le_bytes()),
            Command::Cancel { request } => batch.push(5, request, &[]),
        }
    }

    #[inline]
    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields(record.bytes);
        let request = record.id;
        let command = match record.kind {
            1 => {
                let [length] = fields.array()?;
                let method = method(fields.take(length.into())?)?;
                let length = fields.u16()?;
                let target = text(fields.take(length.into())?)?;
                let length = fields.u16()?;
                let authority = fields.take(length.into())?;
                let remote = Ipv6Addr::from(fields.array::<16>()?);
                let head = Head { method, target, authority, remote, headers: fields.0 };
                return Ok(Command::Request { request, head });
            }
            2 => return Ok(Command::Body { request, data: record.bytes }),
            3 => Command::End { request },
            4 => Command::Credit { request, bytes: fields.u32()? },
            5 => Command::Cancel { request },
            _ => return Err(Malformed),
        };
        fields.end()?;
        Ok(command)
    }
}

/// A method's name. The usual ones are not looked at byte by byte.
#[inline]
pub fn method(bytes: &[u8]) -> Result<&str, Malformed> {
    match bytes {
        b"GET" => Ok("GET"),
        b"HEAD" => Ok("HEAD"),
        b"POST" => Ok("POST"),
        _ => text(bytes),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    core::str::from_utf8(bytes).map_err(|_| Malformed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// `headers` are lines `name: value\r\n`.
    Response {
        request: u32,
        status: u16,
        headers: &'a [u8],
    },
    Body {
        request: u32,
        data: &'a [u8],
    },
    End {
        request: u32,
    },
    Credit {
        request: u32,
        bytes: u32,
    },
    Failed {
        request: u32,
        why: &'a [u8],
    },
}

impl<'a> Event<'a> {
    #[inline]
    pub fn encode(&self, batch: &mut Batch) {
        match *self {
            Event::Response { request, status, headers } => {
                batch.push_parts(1, request, &[&status.to_le_bytes(), headers])
            }
            Event::Body { request, data } => batch.push(2, request, data),
            Event::End { request } => batch.push(3, request, &[]),
            Event::Credit { request, bytes } => batch.push(4, request, &bytes.to_le_bytes()),
            Event::Failed { request, why } => batch.push(5, request, why),
        }
    }

    #[inline]
    pub fn decode(record: &Record<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields(record.bytes);
        let request = record.id;
        let event = match record.kind {
            1 => return Ok(Event::Response { request, status: fields.u16()?, headers: fields.0 }),
            2 => return Ok(Event::Body { request, data: record.bytes }),
            3 => Event::End { request },
            4 => Event::Credit { request, bytes: fields.u32()? },
            5 => return Ok(Event::Failed { request, why: record.bytes }),
            _ => return Err(Malformed),
        };
        fields.end()?;
        Ok(event)
    }
}

/// The grant of an arrow to a handler: which requests are for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route<'a> {
    /// Empty: any host.
    pub host: &'a str,
    /// A prefix of the path, by whole segments; `/` or empty: any path.
    pub path: &'a str,
}

impl<'a> Route<'a> {
    pub fn decode(grant: &'a [u8]) -> Result<Self, Malformed> {
        let (host, path) = text(grant)?.split_once('\0').unwrap_or_default();
        Ok(Route { host, path })
    }

    pub fn encode(&self) -> alloc::vec::Vec<u8> {
        [self.host.as_bytes(), b"\0", self.path.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_request_comes_back_as_written() {
        let head = Head {
            method: "GET",
            target: "/a?b",
            authority: b"example.org:8080",
            remote: Ipv6Addr::LOCALHOST,
            headers: b"accept: */*\r\n",
        };
        let commands = [
            Command::Request { request: 5, head },
            Command::Body { request: 5, data: b"x" },
            Command::End { request: 5 },
            Command::Credit { request: 5, bytes: 70_000 },
            Command::Cancel { request: 5 },
        ];
        let mut batch = Batch::new();
        commands.iter().for_each(|c| c.encode(&mut batch));
        let read: Vec<_> = batch.records().map(|r| Command::decode(&r.unwrap()).unwrap()).collect();
        assert_eq!(read, commands);
    }

    #[test]
    fn a_response_comes_back_as_written() {
        let events = [
            Event::Response { request: 5, status: 200, headers: b"content-length: 1\r\n" },
            Event::Body { request: 5, data: b"x" },
            Event::End { request: 5 },
            Event::Failed { request: 5, why: b"trap" },
        ];
        let mut batch = Batch::new();
        events.iter().for_each(|e| e.encode(&mut batch));
        let read: Vec<_> = batch.records().map(|r| Event::decode(&r.unwrap()).unwrap()).collect();
        assert_eq!(read, events);
    }

    #[test]
    fn routes() {
        let route = Route { host: "example.org", path: "/echo/" };
        assert_eq!(Route::decode(&route.encode()), Ok(route));
        assert_eq!(Route::decode(b""), Ok(Route::default()));
    }
}
