//! A control box between a network and a node that are both made up, and clients of it.
#![allow(dead_code)]

use ed25519_dalek::{Signer, SigningKey};
use manage::{Authority, Request, Response, Role};
use pearwood_control::message::Greeting;
use pearwood_control::{Client, Config, Control, Grantee, Heard, Identity, Level, Outside, Wake, message};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use wit::control::{Attach as NodeAttach, Command as NodeCommand, Event as NodeEvent};
use wit::tcp::{Command, Endpoint, Event};
use wit::{Batch, Peer, Records};

pub const SECOND: u64 = 1_000_000_000;

/// The peer that is TCP.
const TCP: u32 = 0;

#[derive(Default)]
pub struct FakeNode {
    /// what was done, and for whom
    pub done: Vec<String>,
    pub said: Vec<String>,
    pub history: String,
    pub logs: BTreeMap<String, Vec<String>>,
    pub blobs: Vec<u8>,
    random: u64,
    /// by connection
    sent: BTreeMap<u32, Vec<u8>>,
    pub closed: BTreeMap<u32, &'static str>,
    credit: BTreeMap<u32, u32>,
    pub listens: Vec<u16>,
    pub has_no_room: bool,
    /// TCP was let go
    pub released: bool,
    /// what another system would be like, and which was asked for
    pub successor: Authority,
    pub is_unknown: bool,
    pub asked_for: Option<bool>,
    /// the declaration, if it is another than usual
    pub declaration: Option<String>,
    /// The node takes nothing.
    pub is_busy: bool,
    /// how it describes itself, if otherwise than usual, and how often it did
    pub description: Option<String>,
    pub described: usize,
    /// batches to peers of the port of HTTP
    pub answered: Vec<(u32, Vec<u8>)>,
    /// what it has to say to the box
    events: Batch,
    begun: Vec<u8>,
    follows: BTreeMap<u32, Follow>,
}

/// The request of which more is to be said, and whether that was asked for.
enum Follow {
    Logs { name: Option<String>, next: BTreeMap<String, usize>, is_wanted: bool },
    Watch { number: u64, said: String, is_wanted: bool },
}

impl FakeNode {
    fn act(&mut self, what: &str, name: &str, by: &str) -> Response {
        self.done.push(format!("{what} {name} by {by}"));
        match self.logs.contains_key(name) {
            true => Response::Done,
            false => Response::Refused(format!("there is no box `{name}`")),
        }
    }
}

impl FakeNode {
    fn say(&mut self, ticket: u32, response: &Response, is_last: bool) {
        let bytes = message::encode(response);
        let mut parts = bytes.chunks(60_000).peekable();
        while let Some(data) = parts.next() {
            let event = match () {
                () if parts.peek().is_some() => NodeEvent::Part { ticket, data },
                () if is_last => NodeEvent::Last { ticket, data },
                () => NodeEvent::More { ticket, data },
            };
            event.encode(&mut self.events);
        }
    }

    fn lines(&self, name: &str, first: usize) -> Option<String> {
        let line = |(number, text): (usize, &String)| {
            format!("{{\"number\":{number},\"at\":{number},\"level\":\"info\",\"text\":\"{text}\"}}")
        };
        let lines: Vec<String> = self.logs.get(name)?.iter().enumerate().skip(first).map(line).collect();
        Some(format!("[{}]", lines.join(",")))
    }

    /// The lines that are not told yet.
    fn all_lines(&self, name: Option<&str>, next: &mut BTreeMap<String, usize>) -> Vec<String> {
        let mut all = Vec::new();
        for (of, lines) in &self.logs {
            let first = next.insert(of.clone(), lines.len()).unwrap_or_default();
            if name.is_none_or(|name| name == of) && first < lines.len() {
                all.push(format!("{{\"name\":\"{of}\",\"lines\":{}}}", self.lines(of, first).unwrap()));
            }
        }
        all
    }

    fn record(&self, number: u64) -> Option<(String, bool)> {
        let history: serde_json::Value = serde_json::from_str(&self.history).unwrap();
        let record = history.as_array().unwrap().iter().find(|record| record["number"] == number)?;
        Some((record.to_string(), !record["ended"].is_null()))
    }

    /// What has come of what is followed.
    fn look(&mut self) {
        for (ticket, mut follow) in std::mem::take(&mut self.follows) {
            let mut is_last = false;
            let said = match &mut follow {
                Follow::Logs { name, next, is_wanted } if *is_wanted => {
                    let lines = self.all_lines(name.as_deref(), next);
                    *is_wanted = lines.is_empty();
                    (!lines.is_empty()).then(|| Response::More(format!("[{}]", lines.join(","))))
                }
                Follow::Watch { number, said, is_wanted } if *is_wanted => {
                    let (record, is_over) = self.record(*number).unwrap();
                    is_last = is_over;
                    *is_wanted = record == *said;
                    (record != *said).then(|| match is_over {
                        true => Response::Text(record),
                        false => {
                            said.clone_from(&record);
                            Response::More(record)
                        }
                    })
                }
                _ => None,
            };
            if let Some(response) = said {
                self.say(ticket, &response, is_last);
            }
            if !is_last {
                self.follows.insert(ticket, follow);
            }
        }
    }

    fn command(&mut self, command: NodeCommand<'_>) {
        match command {
            NodeCommand::Part { data, .. } => self.begun.extend_from_slice(data),
            NodeCommand::Ask { ticket, by, data } => {
                let bytes = [std::mem::take(&mut self.begun), data.to_vec()].concat();
                match message::decode(&bytes).expect("a request") {
                    Request::Logs { name: Some(name), .. } if !self.logs.contains_key(name) => {
                        self.say(ticket, &Response::Refused(format!("there is no box `{name}`")), true);
                    }
                    Request::Logs { name, follow: true } => {
                        let (name, next) = (name.map(Into::into), BTreeMap::new());
                        self.follows.insert(ticket, Follow::Logs { name, next, is_wanted: true });
                    }
                    Request::Logs { name, follow: false } => {
                        let lines = self.all_lines(name, &mut BTreeMap::new());
                        self.say(ticket, &Response::Text(format!("[{}]", lines.join(","))), true);
                    }
                    Request::Watch { number } => match self.record(number) {
                        Some((_, false)) => {
                            let said = String::new();
                            self.follows.insert(ticket, Follow::Watch { number, said, is_wanted: true });
                        }
                        Some((record, true)) => self.say(ticket, &Response::Text(record), true),
                        None => {
                            self.say(ticket, &Response::Refused(format!("there was no deployment {number}")), true);
                        }
                    },
                    request => {
                        let response = self.answer(by, &request);
                        self.say(ticket, &response, true);
                    }
                }
            }
            NodeCommand::Next { ticket } => match self.follows.get_mut(&ticket) {
                Some(Follow::Logs { is_wanted, .. } | Follow::Watch { is_wanted, .. }) => *is_wanted = true,
                None => {}
            },
            NodeCommand::Cancel { ticket } => {
                if self.follows.remove(&ticket).is_some() {
                    self.say(ticket, &Response::Done, true);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// How much is followed.
    pub fn followed(&self) -> usize {
        self.follows.len()
    }

    fn answer(&mut self, by: &str, request: &Request<'_>) -> Response {
        match request {
            Request::Describe => {
                self.described += 1;
                if let Some(text) = &self.description {
                    return Response::Text(text.clone());
                }
                let boxes: Vec<String> = self.logs.keys().map(|name| format!("{{\"name\":\"{name}\"}}")).collect();
                Response::Text(format!("{{\"boxes\":[{}]}}", boxes.join(",")))
            }
            Request::System => Response::Text(self.declaration.clone().unwrap_or_else(|| "[system]\n".repeat(20_000))),
            Request::Lines { name, first } => {
                let first = usize::try_from(*first).unwrap_or(usize::MAX);
                self.lines(name, first).ok_or_else(|| format!("there is no box `{name}`")).into()
            }
            Request::Restart { name } => self.act("restart", name, by),
            Request::Stop { name } => self.act("stop", name, by),
            Request::Start { name } => self.act("start", name, by),
            Request::History => Response::Text(self.history.clone()),
            Request::RollBack(settings) => {
                let only = if settings.same_authority { ", by the same people" } else { "" };
                self.done.push(format!("roll back by {by}{only}"));
                Response::Number(2)
            }
            Request::Begin { manifest } => {
                self.done.push(format!("begin {}", manifest.len()));
                Response::Number(manifest.len() as u64)
            }
            Request::Lacks => Response::Bytes(vec![7; 64]),
            Request::Put { part, .. } => {
                self.blobs.extend_from_slice(part);
                Response::Done
            }
            Request::Deploy(_) => {
                self.done.push(format!("deploy by {by}"));
                Response::Number(1)
            }
            Request::Confirm { number, since, other } => {
                self.done.push(format!("confirm {number:?} by {by}, other: {other}, here since {since}"));
                Response::Done
            }
            Request::Forget => {
                self.blobs.clear();
                self.done.push("forget".into());
                Response::Done
            }
            Request::Successor { begun } => {
                self.asked_for = Some(*begun);
                Response::Successor(Some(self.successor.clone()).filter(|_| !self.is_unknown))
            }
            Request::DeleteVolume { name, .. } => {
                self.done.push(format!("delete volume {name} by {by}"));
                Response::Done
            }
            Request::Reboot | Request::PowerOff => {
                self.done.push(format!("{} by {by}", request.what()));
                Response::Done
            }
            other => panic!("the node is asked {other:?}"),
        }
    }
}

impl Outside for FakeNode {
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool {
        assert_eq!(peer, TCP);
        if self.has_no_room {
            return false;
        }
        for record in Records::new(batch).map(Result::unwrap) {
            if record.kind >= Peer::FIRST_KIND {
                self.released |= record.kind == Peer::RELEASE;
                continue;
            }
            match Command::decode(&record).unwrap() {
                Command::Listen { port, .. } => self.listens.push(port),
                Command::Send { connection, data } => {
                    assert!(!self.closed.contains_key(&connection), "sent after the end");
                    self.sent.entry(connection).or_default().extend_from_slice(data);
                }
                Command::Credit { connection, bytes } => *self.credit.entry(connection).or_default() += bytes,
                Command::Finish { connection } => drop(self.closed.insert(connection, "finish")),
                Command::Abort { connection } => drop(self.closed.insert(connection, "abort")),
                other => panic!("{other:?}"),
            }
        }
        true
    }
    fn ask(&mut self, batch: &[u8]) -> bool {
        if !self.is_busy {
            let records = Records::new(batch).map(Result::unwrap);
            records.for_each(|record| self.command(NodeCommand::decode(&record).unwrap()));
        }
        !self.is_busy
    }
    fn answer(&mut self, peer: u32, batch: &[u8]) -> bool {
        self.answered.push((peer, batch.to_vec()));
        true
    }
    fn random(&mut self) -> [u8; 32] {
        // no two are the same
        self.random += 1;
        let mut bytes = [4; 32];
        // not where a key has bits that do not count
        bytes[8..16].copy_from_slice(&self.random.to_le_bytes());
        bytes
    }
    fn log(&mut self, _: Level, line: &str) {
        self.said.push(line.into());
    }
}

pub struct World {
    pub control: Control,
    pub node: FakeNode,
    pub now: u64,
    next: u32,
    events: Batch,
    room: bool,
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub const DEPLOY: u8 = 1;
pub const OPERATE: u8 = 2;
pub const VIEW: u8 = 3;
pub const STRANGER: u8 = 4;

pub fn identity() -> Identity {
    Identity::derive(b"the node's secret")
}

impl World {
    pub fn new() -> Self {
        Self::with(None, 32)
    }

    /// A control box that has so many connections at once.
    pub fn of_connections(connections: usize) -> Self {
        Self::with(None, connections)
    }

    pub fn with_secret(secret: &str) -> Self {
        Self::with(Some(secret.into()), 32)
    }

    fn with(secret: Option<String>, connections: usize) -> Self {
        let grantee =
            |seed, role, name: &str| Grantee { key: key(seed).verifying_key().to_bytes(), role, name: name.into() };
        let keys = vec![
            grantee(DEPLOY, Role::Deploy, "anna"),
            grantee(OPERATE, Role::Operate, "ole"),
            grantee(VIEW, Role::View, "vera"),
        ];
        let metrics = Config::read([("metrics", "192.0.2.0/28")]).unwrap().metrics;
        let config = Config { port: 7327, keys, secret, connections, metrics };
        let mut node = FakeNode { history: "[]".into(), ..FakeNode::default() };
        node.logs.insert("http".into(), vec!["one".into(), "two".into()]);
        let control = Control::new(config, identity());
        let attach = NodeAttach { boot_secret: &[7; 32], depth: 256, longest: 4 << 20 };
        Peer::Attach(0, &attach.encode()).encode(&mut node.events);
        let mut world = World { control, node, now: SECOND, next: 1, events: Batch::new(), room: false };
        Peer::Attach(TCP, &[]).encode(&mut world.events);
        Peer::Is(TCP).encode(&mut world.events);
        world.turn();
        assert_eq!(world.node.listens, [7327]);
        world
    }

    pub fn turn(&mut self) {
        let batch = std::mem::take(&mut self.events);
        let room = std::mem::take(&mut self.room);
        self.node.look();
        let node = std::mem::take(&mut self.node.events);
        let wake = Wake { now: self.now, tcp: batch.as_bytes(), node: node.as_bytes(), room, http: &[] };
        self.control.turn(wake, &mut self.node);
        loop {
            self.node.look();
            let node = std::mem::take(&mut self.node.events);
            if node.is_empty() {
                break;
            }
            self.control.turn(Wake { now: self.now, node: node.as_bytes(), ..Wake::default() }, &mut self.node);
        }
        Peer::Is(TCP).encode(&mut self.events);
    }

    pub fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        self.turn();
    }

    /// Lets the channel to TCP take batches again.
    pub fn room(&mut self) {
        self.node.has_no_room = false;
        self.room = true;
        self.turn();
    }

    pub fn accept(&mut self, last: u8) -> u32 {
        let connection = self.next;
        self.next += 1;
        let address = Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped();
        Event::Accepted { connection, remote: Endpoint { address, port: 5 }, port: 7327, secured: None }
            .encode(&mut self.events);
        self.turn();
        connection
    }

    pub fn bytes(&mut self, connection: u32, data: &[u8]) {
        // no more at once than a client has credit for
        for data in data.chunks(16 << 10) {
            Event::Data { connection, data }.encode(&mut self.events);
            self.turn();
        }
    }

    /// Commands of `pearwood:http/handler`.
    pub fn http(&mut self, batch: &Batch) {
        self.control.turn(Wake { now: self.now, http: batch.as_bytes(), ..Wake::default() }, &mut self.node);
        self.turn();
    }

    /// Lets the node take what it is asked again.
    pub fn ready(&mut self) {
        self.node.is_busy = false;
        self.room = true;
        self.turn();
    }

    /// Another TCP takes the place of this one.
    pub fn retire_tcp(&mut self) {
        Peer::Retire(TCP).encode(&mut self.events);
        self.turn();
    }

    pub fn closed_by_client(&mut self, connection: u32) {
        Event::Closed { connection, why: "" }.encode(&mut self.events);
        self.turn();
    }

    /// What the box has sent on a connection, and credit for more.
    pub fn heard(&mut self, connection: u32) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let sent = self.node.sent.remove(&connection).unwrap_or_default();
            if sent.is_empty() {
                return all;
            }
            Event::Sent { connection, bytes: sent.len() as u32 }.encode(&mut self.events);
            all.extend(sent);
            self.turn();
        }
    }

    pub fn credit(&self, connection: u32) -> u32 {
        self.node.credit.get(&connection).copied().unwrap_or_default()
    }
}

/// A client and its connection.
pub struct Joined {
    pub connection: u32,
    pub client: Client,
    /// all that it has sent
    pub spoken: Vec<u8>,
}

impl Joined {
    /// Connects and takes part in the handshake.
    pub fn shake(world: &mut World, from: u8) -> Self {
        let connection = world.accept(from);
        let client = Client::new([from; 32]).unwrap();
        let mut joined = Joined { connection, client, spoken: Vec::new() };
        joined.speak(world);
        let Some(Heard::Key(found)) = joined.hear(world) else { panic!("no key") };
        assert_eq!(found, *identity().public());
        joined
    }

    pub fn speak(&mut self, world: &mut World) {
        let out = self.client.take_output();
        self.spoken.extend_from_slice(&out);
        world.bytes(self.connection, &out);
    }

    pub fn hear(&mut self, world: &mut World) -> Option<Heard> {
        let heard = world.heard(self.connection);
        self.client.receive(&heard);
        self.client.hear().unwrap()
    }

    pub fn prove(&mut self, world: &mut World, seed: u8) -> Greeting {
        let key = key(seed);
        self.prove_as(world, key.verifying_key().to_bytes(), |statement| key.sign(statement).to_bytes())
    }

    pub fn prove_as(&mut self, world: &mut World, key: [u8; 32], sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Greeting {
        self.client.prove(key, sign).unwrap();
        self.speak(world);
        match self.hear(world) {
            Some(Heard::Greeting(greeting)) => greeting,
            other => panic!("{other:?}"),
        }
    }

    /// Connects and proves a key.
    pub fn enter(world: &mut World, seed: u8) -> Self {
        let mut joined = Self::shake(world, seed);
        let greeting = joined.prove(world, seed);
        assert!(matches!(greeting, Greeting::Welcome { .. }), "{greeting:?}");
        joined
    }

    pub fn send(&mut self, world: &mut World, request: &Request<'_>) -> u32 {
        let id = self.client.request(request).unwrap();
        self.speak(world);
        id
    }

    pub fn ask(&mut self, world: &mut World, request: &Request<'_>) -> Response {
        let id = self.send(world, request);
        match self.hear(world) {
            Some(Heard::Response(heard, response)) if heard == id => response,
            other => panic!("{other:?}"),
        }
    }
}

/// xorshift64*
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
