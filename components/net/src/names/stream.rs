//! Questions over TCP (RFC 7766), where an answer over UDP was cut short.
//!
//! The connections are `tcp`'s, and this is a client of it like a box, as a peer that no box has: it leaves commands and gets
//! events as packed records.

use super::message::{self, Answer, Family, Name};
use core::net::{IpAddr, Ipv6Addr};
use wit::tcp::{Command, Endpoint, Event};
use wit::{Batch, Peer, Records};

/// The number of the peer: the last that `wit::Peers` serves, where the node numbers them from 0 on.
pub const PEER: u32 = 4_095;

const DNS: u16 = 53;
/// Streams at a time, each of which holds two messages at most and a part of one: for all boxes together.
pub const LIMIT: usize = 8;
/// Bytes of the longest message, and of the length before it.
pub const LONGEST: usize = 2 + u16::MAX as usize;

/// The streams of all lookups.
#[derive(Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
    commands: Batch,
    last: u32,
    attached: bool,
}

#[derive(Debug)]
struct Stream {
    ticket: u32,
    connection: Option<u32>,
    /// what is to be sent once there is a connection
    waiting: Vec<u8>,
    /// what has come, up to a whole message
    got: Vec<u8>,
    messages: Vec<Vec<u8>>,
    over: bool,
}

/// What has become of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Come {
    Nothing,
    Message(Vec<u8>),
    /// Nothing more will come.
    End,
}

impl Streams {
    /// Connects to a server. The stream's ticket.
    pub fn open(&mut self, server: IpAddr) -> u32 {
        if !core::mem::replace(&mut self.attached, true) {
            Peer::Attach(PEER, b"").encode(&mut self.commands);
        }
        self.last = self.last.wrapping_add(1);
        let ticket = self.last;
        let to = Endpoint { address: mapped(server), port: DNS };
        self.command(Command::Connect { ticket, to });
        self.streams.push(Stream {
            ticket,
            connection: None,
            waiting: Vec::new(),
            got: Vec::new(),
            messages: Vec::new(),
            over: false,
        });
        ticket
    }

    /// Sends a question, as soon as there is a connection.
    pub fn ask(&mut self, ticket: u32, id: u16, name: &Name, family: Family) {
        let query = message::query(id, name, family);
        // In one segment with its length (RFC 7766 section 8).
        let query = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ticket == ticket) else { return };
        match stream.connection {
            Some(connection) => self.command(Command::Send { connection, data: &query }),
            None => stream.waiting.extend_from_slice(&query),
        }
    }

    pub fn take(&mut self, ticket: u32) -> Come {
        let stream = self.streams.iter_mut().find(|stream| stream.ticket == ticket);
        match stream {
            Some(stream) if !stream.messages.is_empty() => Come::Message(stream.messages.remove(0)),
            Some(stream) if !stream.over => Come::Nothing,
            _ => Come::End,
        }
    }

    /// Ends a stream that nobody waits for any more.
    pub fn close(&mut self, ticket: u32) {
        let Some(at) = self.streams.iter().position(|stream| stream.ticket == ticket) else { return };
        let stream = self.streams.swap_remove(at);
        if let Some(connection) = stream.connection {
            self.command(Command::Abort { connection });
        }
        // It takes connections along that are not open yet, and numbers of those that are over.
        if self.streams.is_empty() && core::mem::take(&mut self.attached) {
            Peer::Detach(PEER, b"").encode(&mut self.commands);
        }
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// What `tcp` is to do.
    pub fn commands(&mut self) -> Option<Batch> {
        (!self.commands.as_bytes().is_empty()).then(|| core::mem::take(&mut self.commands))
    }

    fn command(&mut self, command: Command<'_>) {
        Peer::Is(PEER).encode(&mut self.commands);
        command.encode(&mut self.commands);
    }

    /// Takes what `tcp` says.
    pub fn events(&mut self, packed: &[u8]) {
        for record in Records::new(packed).flatten() {
            match Event::decode(&record) {
                Ok(Event::Connected { connection, ticket }) => self.connected(connection, ticket),
                Ok(Event::Refused { id, .. }) => self.end(|stream| stream.ticket == id),
                Ok(Event::Data { connection, data }) => self.data(connection, data),
                // The connection itself goes on until this side ends it, too.
                Ok(Event::Finished { connection }) => self.end(|stream| stream.connection == Some(connection)),
                Ok(Event::Closed { connection, .. }) => {
                    self.end(|stream| stream.connection.take_if(|it| *it == connection).is_some());
                }
                _ => {}
            }
        }
    }

    fn connected(&mut self, connection: u32, ticket: u32) {
        match self.streams.iter_mut().find(|stream| stream.ticket == ticket) {
            Some(stream) => {
                stream.connection = Some(connection);
                let waiting = core::mem::take(&mut stream.waiting);
                self.command(Command::Send { connection, data: &waiting });
            }
            None => self.command(Command::Abort { connection }),
        }
    }

    fn data(&mut self, connection: u32, data: &[u8]) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.connection == Some(connection)) else { return };
        stream.got.extend_from_slice(data);
        let mut used = 0;
        while let Some(length) = stream.got[used..].first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)))
            && let Some(message) = stream.got.get(used + 2..used + 2 + length)
        {
            // A server sends one for each question, and there are not more of those.
            if stream.messages.len() < 2 {
                stream.messages.push(message.to_vec());
            }
            used += 2 + length;
        }
        stream.got.drain(..used);
        // What stays is less than the longest message.
        self.command(Command::Credit { connection, bytes: data.len() as u32 });
    }

    fn end(&mut self, which: impl Fn(&mut Stream) -> bool) {
        for stream in &mut self.streams {
            stream.over |= which(stream);
        }
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Reads an answer that came over TCP, where nothing is cut short.
pub fn answer(message: &[u8], id: u16, name: &Name, family: Family) -> Option<Answer> {
    match message::answer(message, id, name, family)? {
        Answer::Truncated(..) => Some(Answer::Unable),
        answer => Some(answer),
    }
}
