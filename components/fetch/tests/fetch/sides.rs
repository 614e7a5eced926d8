//! Boxes that ask, the hosts that they reach, and what is between them.

use pearwood_fetch::{Config, Fetch, Level, Outside, To, Wake};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use wit::figures::Figure;
use wit::http::{Attach, Command, Event, Head, Scheme};
use wit::tcp::{self, Cause};
use wit::{Batch, Peer, names};

pub const SECOND: u64 = 1_000_000_000;
pub const MEMORY: usize = 16 << 20;

/// Numbers of the peers at the port for connections.
pub const NET: u32 = 0;
pub const TLS: u32 = 1;

#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Answer {
    pub heads: Vec<(u16, String)>,
    pub body: Vec<u8>,
    pub trailers: String,
    pub credit: u64,
    pub is_over: bool,
    pub cause: Option<Cause>,
    pub failed: Option<String>,
}

#[derive(Debug, Default)]
pub struct Host {
    pub got: Vec<u8>,
    pub credit: u64,
    pub is_finished: bool,
    pub is_aborted: bool,
}

#[derive(Default)]
pub struct Sides {
    pub answers: BTreeMap<u32, Answer>,
    /// by who has made the connection, and its number
    pub hosts: BTreeMap<(u32, u32), Host>,
    pub dials: Vec<(u32, u32, String, u16)>,
    pub connects: Vec<(u32, u32, tcp::Endpoint)>,
    pub lookups: Vec<(u32, String)>,
    pub log: Vec<String>,
    pub let_go: Vec<To>,
    /// the figures that were reported last
    pub reported: Vec<Figure>,
    pub client_is_deaf: bool,
}

impl Outside for Sides {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        assert!(batch.len() <= wit::MAX_BATCH);
        if self.client_is_deaf && matches!(to, To::Client(_)) {
            return false;
        }
        for record in wit::Records::new(batch).map(Result::unwrap) {
            if record.kind >= Peer::FIRST_KIND {
                self.let_go.push(to);
                continue;
            }
            match to {
                To::Client(_) => self.event(Event::decode(&record).unwrap()),
                To::Tcp(peer) => self.command(peer, tcp::Command::decode(&record).unwrap()),
                To::Names(_) => match names::Command::decode(&record).unwrap() {
                    names::Command::Lookup { ticket, name } => self.lookups.push((ticket, name.into())),
                    other => panic!("{other:?}"),
                },
            }
        }
        true
    }

    fn log(&mut self, _: Level, line: &str) {
        self.log.push(line.into());
    }

    fn report(&mut self, figures: Vec<Figure>) {
        self.reported = figures;
    }
}

impl Sides {
    fn event(&mut self, event: Event<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (Event::Response { request, .. }
        | Event::Body { request, .. }
        | Event::End { request }
        | Event::Credit { request, .. }
        | Event::Trailers { request, .. }
        | Event::Failed { request, .. }
        | Event::Fault { request, .. }) = event
        else {
            panic!("{event:?}")
        };
        let answer = self.answers.entry(request).or_default();
        assert!(!answer.is_over && answer.failed.is_none(), "{event:?} after its end");
        match event {
            Event::Response { status, headers, .. } => answer.heads.push((status, text(headers))),
            Event::Body { data, .. } => answer.body.extend_from_slice(data),
            Event::Trailers { lines, .. } => answer.trailers = text(lines),
            Event::Credit { bytes, .. } => answer.credit += u64::from(bytes),
            Event::End { .. } => answer.is_over = true,
            Event::Fault { cause, .. } => answer.cause = Some(cause),
            Event::Failed { why, .. } => answer.failed = Some(why.into()),
            Event::Unknown { .. } => {}
        }
    }

    fn command(&mut self, peer: u32, command: tcp::Command<'_>) {
        match command {
            tcp::Command::Dial { ticket, port, name } => self.dials.push((peer, ticket, name.into(), port)),
            tcp::Command::Connect { ticket, to } => self.connects.push((peer, ticket, to)),
            tcp::Command::Send { connection, data } => {
                let host = self.hosts.get_mut(&(peer, connection)).expect("a connection");
                assert!(!host.is_aborted);
                host.got.extend_from_slice(data);
            }
            tcp::Command::Credit { connection, bytes } => {
                self.hosts.get_mut(&(peer, connection)).expect("a connection").credit += u64::from(bytes);
            }
            tcp::Command::Finish { connection } => {
                let host = self.hosts.get_mut(&(peer, connection)).expect("a connection");
                assert!(!core::mem::replace(&mut host.is_finished, true), "once");
            }
            tcp::Command::Abort { connection } => self.hosts.entry((peer, connection)).or_default().is_aborted = true,
            other => panic!("{other:?}"),
        }
    }
}

pub struct World {
    pub fetch: Fetch,
    pub now: u64,
    pub clients: Batch,
    pub tcp: Batch,
    pub names: Batch,
    pub sides: Sides,
    pub next: u32,
}

pub fn get(authority: &str) -> Head<'_> {
    asks("GET", Scheme::Https, authority, b"")
}

pub fn asks<'a>(method: &'a str, scheme: Scheme, authority: &'a str, headers: &'a [u8]) -> Head<'a> {
    let (authority, remote) = (authority.as_bytes(), Ipv6Addr::UNSPECIFIED);
    Head { method, target: "/x?y", authority, remote, headers, scheme, upgrade: "" }
}

impl World {
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let config = Config::read(settings.iter().copied()).unwrap();
        let fetch = Fetch::new(config, MEMORY).unwrap();
        let batches = || Batch::new();
        let mut world = World {
            fetch,
            now: SECOND,
            clients: batches(),
            tcp: batches(),
            names: batches(),
            sides: Sides::default(),
            next: 100,
        };
        for peer in 0..2 {
            Peer::Attach(peer, &Attach::default().encode()).encode(&mut world.clients);
            Peer::Attach(peer, &[]).encode(&mut world.tcp);
        }
        Peer::Attach(0, &[]).encode(&mut world.names);
        world.tcp_says(TLS, &tcp::Event::Secures);
        world.turn();
        world
    }

    pub fn turn(&mut self) {
        let take = core::mem::take::<Batch>;
        let (clients, tcp, names) = (take(&mut self.clients), take(&mut self.tcp), take(&mut self.names));
        let (clients, tcp, names) = (clients.as_bytes(), tcp.as_bytes(), names.as_bytes());
        self.fetch.turn(Wake { now: self.now, clients, tcp, names, room: false }, &mut self.sides);
        assert!(self.fetch.deadline() > self.now, "it has something to do at once");
    }

    pub fn says_as(&mut self, peer: u32, command: &Command<'_>) {
        Peer::Is(peer).encode(&mut self.clients);
        command.encode(&mut self.clients);
    }

    pub fn says(&mut self, command: &Command<'_>) {
        self.says_as(0, command);
    }

    pub fn tcp_says(&mut self, peer: u32, event: &tcp::Event<'_>) {
        Peer::Is(peer).encode(&mut self.tcp);
        event.encode(&mut self.tcp);
    }

    /// A whole request without a body.
    pub fn asks(&mut self, request: u32, head: Head<'_>) {
        self.says(&Command::Request { request, head });
        self.says(&Command::End { request });
        self.turn();
    }

    /// The connection that was asked for last stands now.
    pub fn connects(&mut self) -> (u32, u32) {
        let (peer, ticket) = match self.sides.dials.pop() {
            Some((peer, ticket, ..)) => (peer, ticket),
            None => {
                self.sides.connects.pop().map(|(peer, ticket, _)| (peer, ticket)).expect("a connection is asked for")
            }
        };
        self.next += 1;
        self.sides.hosts.insert((peer, self.next), Host::default());
        self.tcp_says(peer, &tcp::Event::Connected { connection: self.next, ticket });
        self.turn();
        (peer, self.next)
    }

    /// A request that has its connection.
    pub fn reached(&mut self, request: u32, head: Head<'_>) -> (u32, u32) {
        self.asks(request, head);
        self.connects()
    }

    /// What has come at a host.
    pub fn got(&mut self, link: (u32, u32)) -> String {
        let got = core::mem::take(&mut self.sides.hosts.get_mut(&link).expect("a connection").got);
        self.tcp_says(link.0, &tcp::Event::Sent { connection: link.1, bytes: got.len() as u32 });
        String::from_utf8(got).unwrap()
    }

    pub fn host_says(&mut self, (peer, connection): (u32, u32), data: &str) {
        self.tcp_says(peer, &tcp::Event::Data { connection, data: data.as_bytes() });
        self.turn();
    }

    pub fn answer(&self, request: u32) -> Answer {
        self.sides.answers.get(&request).cloned().unwrap_or_default()
    }

    pub fn failed(&self, request: u32) -> (Option<Cause>, String) {
        let answer = self.answer(request);
        let Some(why) = answer.failed else { panic!("request {request} has not failed: {:?}", answer.heads) };
        (answer.cause, why)
    }

    /// The connection that was asked for last is not made.
    pub fn is_refused(&mut self) {
        let (peer, ticket, _) = self.sides.connects.pop().expect("a connection is asked for");
        self.tcp_says(peer, &tcp::Event::Refused { id: ticket, why: "nobody is there" });
        self.turn();
    }

    pub fn closes(&mut self, (peer, connection): (u32, u32), why: &str) {
        self.tcp_says(peer, &tcp::Event::Closed { connection, why });
        self.turn();
    }

    pub fn passes(&mut self, time: u64) {
        self.now += time;
        self.turn();
    }

    pub fn status(&self, request: u32) -> Option<u16> {
        let answer = self.answer(request);
        assert!(answer.failed.is_none(), "{answer:?}");
        answer.heads.last().map(|(status, _)| *status)
    }

    /// Takes the bytes of a request's body that may be sent now.
    pub fn credit(&mut self, request: u32) -> usize {
        let credit = self.sides.answers.get_mut(&request).map(|answer| core::mem::take(&mut answer.credit));
        credit.unwrap_or_default() as usize
    }
}
