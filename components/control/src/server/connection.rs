//! One connection: the handshake, the proof of a key, and then requests.

use super::{SECOND, node::Node, uploads::Uploads};
use crate::{
    channel::{Channel, ChannelError, Handshake, Identity, MAX_HANDSHAKE},
    config::{Config, hex},
    frames::{self, Assembled, Inbox, MAX_FRAME},
    message::{self, Greeting, Hello, Request, Role, VERSION},
    power::{Level, Outside},
};
use ed25519_dalek::{Signature, VerifyingKey};
use std::{collections::BTreeMap, sync::Arc};
use wit::{
    Batch, INITIAL_CREDIT,
    tcp::{Command, Endpoint},
};

/// From the first byte to the proof of a key.
const HANDSHAKE_TIME: u64 = 10 * SECOND;

/// Without a message from the client. It says `Ping` when it has nothing to ask.
const IDLE_TIME: u64 = 180 * SECOND;

/// Without a message, after which a client has nothing to ask for now.
const PAUSE: u64 = SECOND;

/// How long an ended connection may take to take the rest.
const FAREWELL_TIME: u64 = 5 * SECOND;

/// The most bytes of the frame that proves a key.
const MAX_HELLO: usize = 256;

/// The most bytes of a request: a manifest. Those who may not deploy have none to send.
const MAX_REQUEST: usize = (1 << 20) + 64;
const MAX_SMALL_REQUEST: usize = 1 << 10;

/// More than the credit that a client ever has.
const MAX_INBOX: usize = 2 * INITIAL_CREDIT as usize;

/// With this much to send, nothing more is asked of the node.
const MUCH: usize = 256 << 10;

/// Requests of one client that are under way at the node, if their answers are short.
const MOST_PENDING: usize = 16;

/// The most bytes held for all connections: beyond it, answers have to wait for others to be taken.
const MAX_HELD: usize = 8 << 20;

pub struct Connection {
    /// which of all it is
    pub session: u64,
    pub remote: Endpoint,
    pub since: u64,
    /// bytes that may be sent
    pub credit: u32,
    pub client_finished: bool,
    /// No key was proved, and that was counted.
    pub counted: bool,
    /// who has proved a key
    name: Option<Arc<str>>,
    /// What came is not of this protocol: nothing is owed to whoever sent it.
    broken: bool,
    /// TCP was told that there is no more.
    finishing: bool,
    state: State,
    inbox: Inbox,
    assembled: Assembled,
    /// received bytes that were used, and are not given back yet
    used: u32,
    out: Vec<u8>,
    sent: usize,
    heard_at: u64,
    /// Nothing more is taken from the client, since then.
    ends_at: Option<u64>,
    why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    NotYet,
    /// All is said.
    Finish,
    Abort,
}

pub enum State {
    /// The client begins.
    Handshake(Box<Handshake>),
    /// The channel is there; the client is to prove its key.
    Proof(Box<Channel>),
    Open(Box<Open>),
    Over,
}

pub struct Open {
    pub channel: Channel,
    /// ed25519
    pub key: [u8; 32],
    pub role: Role,
    pub name: Arc<str>,
    /// tickets of what is followed, by the client's number of the request
    pub follows: BTreeMap<u32, u32>,
    /// other requests that the node has not answered yet
    pub pending: usize,
    /// Nothing else is asked before those are answered.
    pub in_turn: bool,
}

/// What a connection has to do with beside itself.
pub struct Around<'a> {
    pub now: u64,
    pub config: &'a Config,
    pub identity: &'a Identity,
    pub uploads: &'a mut Uploads,
    pub node: &'a mut Node,
    pub session: u64,
    /// when the connection was made
    pub since: u64,
    /// the peer and the number of the connection
    pub place: (u32, u32),
    /// bytes held for other connections
    pub held: usize,
    /// the keys of all connections that have proved one
    pub sessions: &'a mut Vec<[u8; 32]>,
}

impl Around<'_> {
    /// One key alone does not keep the others out. Two it may always have: over the second, whoever watches a deployment
    /// confirms it.
    fn too_many(&self, key: &[u8; 32]) -> Option<String> {
        let most = (self.config.connections / 4).max(2);
        let there = self.sessions.iter().filter(|other| *other == key).count();
        (there >= most).then(|| format!("this key has {most} connections already"))
    }
}

impl State {
    pub fn begin(identity: &Identity, seed: [u8; 32]) -> Self {
        match Handshake::of_node(identity, seed) {
            Ok(handshake) => State::Handshake(Box::new(handshake)),
            Err(_) => State::Over,
        }
    }
}

impl Connection {
    pub fn new(session: u64, remote: Endpoint, state: State, now: u64) -> Self {
        Connection {
            session,
            remote,
            since: now,
            credit: INITIAL_CREDIT,
            client_finished: false,
            counted: false,
            name: None,
            broken: false,
            finishing: false,
            state,
            inbox: Inbox::default(),
            assembled: Assembled::default(),
            used: 0,
            out: Vec::new(),
            sent: 0,
            heard_at: now,
            ends_at: None,
            why: None,
        }
    }

    pub fn has_proved(&self) -> bool {
        self.name.is_some()
    }

    /// The key that was proved.
    pub fn key(&self) -> Option<[u8; 32]> {
        match &self.state {
            State::Open(open) => Some(open.key),
            _ => None,
        }
    }

    /// The client has said nothing of use yet.
    pub fn is_silent(&self) -> bool {
        matches!(self.state, State::Handshake(_))
    }

    /// Nothing more is taken from the client.
    pub fn is_over(&self) -> bool {
        self.ends_at.is_some() || self.client_finished
    }

    pub fn follows(&self) -> bool {
        matches!(&self.state, State::Open(open) if !open.follows.is_empty())
    }

    pub fn open(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The node has not answered yet.
    fn is_pending(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.pending > 0)
    }

    /// Whether another request may be looked at. Most have to wait for the answer to the one before.
    fn may_ask(&self, around: &Around<'_>) -> bool {
        match &self.state {
            State::Open(open) => around.node.has_room() && !open.in_turn && open.pending < MOST_PENDING,
            _ => true,
        }
    }

    pub fn held(&self) -> usize {
        self.inbox.len() + self.assembled.len() + self.unsent()
    }

    fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// As the log names it.
    pub fn who(&self) -> String {
        let address = self.remote.address.to_canonical();
        format!("{} at {address}", self.name.as_deref().unwrap_or("somebody"))
    }

    pub fn deadline(&self) -> u64 {
        match (&self.state, self.ends_at) {
            (_, Some(ends)) => ends + FAREWELL_TIME,
            (State::Open(_), None) => self.heard_at + IDLE_TIME,
            _ => self.since + HANDSHAKE_TIME,
        }
    }

    /// When the client counts as having nothing to ask for now.
    pub fn rests_at(&self, now: u64) -> u64 {
        let waits = self.has_proved() && self.ends_at.is_none();
        if waits { (self.heard_at + PAUSE).max(now + 1) } else { u64::MAX }
    }

    /// Whether it is to end now.
    pub fn ending(&self, now: u64) -> Ending {
        match () {
            () if self.broken || now >= self.deadline() => Ending::Abort,
            () if self.unsent() > 0 || self.is_pending() || self.finishing => Ending::NotYet,
            () if self.is_over() => Ending::Finish,
            () if matches!(self.state, State::Over) => Ending::Abort,
            () => Ending::NotYet,
        }
    }

    /// TCP is told that there is no more. Until the client has finished too, there is the connection.
    pub fn finish(&mut self, now: u64) {
        self.finishing = true;
        self.ends_at = Some(now);
    }

    /// What is worth a line in the log.
    pub fn end_reason(&mut self, now: u64) -> Option<String> {
        if let Some(why) = self.why.take() {
            return Some(why);
        }
        let proves = matches!(self.state, State::Handshake(_) | State::Proof(_));
        let late = proves && self.ends_at.is_none() && now >= self.deadline();
        late.then(|| "has proved no key in time".into())
    }

    /// What was asked is answered, as far as it had come whole; the client finds what it follows with the box's successor,
    /// if that knows its key.
    pub fn retire(&mut self, now: u64) {
        if self.ends_at.is_none() {
            self.ends_at = Some(now);
        }
    }

    /// TCP is replaced: the client finds what it follows by the next. One that follows nothing is about to ask, or idle.
    pub fn retire_idle(&mut self, now: u64) {
        let idle = self.has_proved() && now.saturating_sub(self.heard_at) >= PAUSE;
        if self.follows() || idle {
            self.retire(now);
        }
    }

    pub fn received(&mut self, data: &[u8]) {
        match self.ends_at {
            None if self.inbox.len() + data.len() > MAX_INBOX => self.broken = true,
            None => self.inbox.add(data),
            Some(_) => self.used = self.used.saturating_add(data.len() as u32),
        }
    }

    /// Takes in what has come, as far as there is room for what follows.
    pub fn advance(&mut self, around: &mut Around<'_>, outside: &mut impl Outside) {
        let now = around.now;
        while self.ends_at.is_none() && self.takes_more(around.held) && self.may_ask(around) {
            match self.step(around, outside) {
                Ok(true) => {}
                Ok(false) => break,
                Err(ChannelError) => {
                    self.broken = true;
                    self.why = Some("what it sent is not of this protocol".into());
                    self.ends_at = Some(now);
                    self.out.clear();
                    self.sent = 0;
                }
            }
        }
    }

    fn step(&mut self, around: &mut Around<'_>, outside: &mut impl Outside) -> Result<bool, ChannelError> {
        let now = around.now;
        let most = match self.state {
            State::Handshake(_) => MAX_HANDSHAKE,
            State::Proof(_) => MAX_HELLO,
            _ => MAX_FRAME,
        };
        let Some(frame) = self.inbox.next(most)? else { return Ok(false) };
        self.used = self.used.saturating_add(frame.len() as u32 + 2);
        self.heard_at = now;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Handshake(mut handshake) => {
                handshake.read(frame)?;
                frames::frame(&handshake.write()?, &mut self.out);
                self.state = State::Proof(Box::new(handshake.finish()?));
            }
            State::Proof(mut channel) => {
                let plain = channel.open(frame)?;
                let message = self.assembled.add(&plain, MAX_HELLO)?;
                let hello: Option<Hello> = message.as_ref().and_then(|(_, bytes)| message::decode(bytes));
                self.greet(hello.ok_or(ChannelError)?, *channel, around, outside)?;
            }
            State::Open(mut open) => {
                let most = if open.role == Role::Deploy { MAX_REQUEST } else { MAX_SMALL_REQUEST };
                let plain = open.channel.open(frame)?;
                let message = self.assembled.add(&plain, most)?;
                if let Some((id, bytes)) = message {
                    let request: Request<'_> = message::decode(&bytes).ok_or(ChannelError)?;
                    let response = open.answer(id, request, around, outside);
                    if let Some(response) = response {
                        frames::seal(&mut open.channel, id, &message::encode(&response), &mut self.out)?;
                    }
                }
                self.state = State::Open(open);
            }
            State::Over => return Ok(false),
        }
        Ok(true)
    }

    fn greet(
        &mut self,
        hello: Hello,
        mut channel: Channel,
        around: &mut Around<'_>,
        outside: &mut impl Outside,
    ) -> Result<(), ChannelError> {
        let (config, now) = (around.config, around.now);
        let Hello { version, key, signature } = hello;
        let signature = Signature::from_components(signature.0, signature.1);
        let verifies =
            VerifyingKey::from_bytes(&key).is_ok_and(|key| key.verify_strict(&channel.statement(), &signature).is_ok());
        let grantee = config.grantee(&key);
        let refusal = match grantee {
            _ if version != VERSION => {
                Some(format!("this node speaks version {VERSION} of the protocol, not {version}"))
            }
            _ if !verifies => Some("the signature is not by the key that was said".into()),
            None => Some(format!("the node's declaration does not list the key {}", hex(&key))),
            Some(_) => around.too_many(&key),
        };
        let greeting = match (refusal, grantee) {
            (None, Some(grantee)) => Greeting::Welcome { role: grantee.role, name: grantee.name.clone() },
            (why, _) => Greeting::Refused(why.unwrap_or_default()),
        };
        frames::seal(&mut channel, 0, &message::encode(&greeting), &mut self.out)?;
        match greeting {
            Greeting::Welcome { role, name } => {
                let name: Arc<str> = name.into();
                self.name = Some(name.clone());
                around.sessions.push(key);
                let (follows, pending, in_turn) = (BTreeMap::new(), 0, false);
                self.state = State::Open(Box::new(Open { channel, key, role, name, follows, pending, in_turn }));
                outside.log(Level::Info, &format!("{} may {role}", self.who()));
            }
            Greeting::Refused(why) => {
                self.why = Some(format!("was refused: {why}"));
                self.ends_at = Some(now);
            }
        }
        Ok(())
    }

    /// Whether there is room for an answer. `held`: bytes held for other connections.
    pub fn takes_more(&self, held: usize) -> bool {
        self.unsent() < MUCH && held + self.held() < MAX_HELD + MUCH
    }

    /// Passes on a response, encoded.
    pub fn respond(&mut self, id: u32, response: &[u8], now: u64) {
        let State::Open(open) = &mut self.state else { return };
        if frames::seal(&mut open.channel, id, response, &mut self.out).is_err() {
            self.ends_at = Some(now);
        }
    }

    /// Adds to a batch what the client may be sent, and gives back credit.
    pub fn send(&mut self, number: u32, batch: &mut Batch, space: usize) {
        if self.used > 0 && self.ends_at.is_none() {
            Command::Credit { connection: number, bytes: std::mem::take(&mut self.used) }.encode(batch);
        }
        let length = self.unsent().min(self.credit as usize).min(space);
        if length > 0 {
            let data = &self.out[self.sent..self.sent + length];
            Command::Send { connection: number, data }.encode(batch);
            self.sent += length;
            self.credit -= length as u32;
        }
        if self.sent == self.out.len() {
            self.sent = 0;
            // not kept: most connections answer rarely
            self.out = Vec::new();
        }
    }
}
