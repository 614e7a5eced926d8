//! What clients see: their requests are held to their grants, reads are answered, and writes gathered.

use crate::engine::{Answer, Change, Op, Outcome, Trouble, View, Write};
use crate::{Grant, Shares};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use wit::keyvalue::{Command, Error, Event, MAX_VALUE};
use wit::{Incoming, List, MAX_BATCH, Outbox, Peers};

/// Keys in one request, and in one answer.
const MOST_KEYS: usize = 1_000;
/// Bytes of keys in one answer.
const KEYS: usize = 64 << 10;
/// What a client may watch.
const WATCHES: usize = 64;
/// Reads that are answered before something else has its turn.
const TURN: usize = 256;
/// Writes that become durable together.
const GROUP: usize = 1_024;
/// Bytes that may wait for one client before it is shown no more values.
const ROOM: usize = 48 << 10;
/// What a request takes beside what is in it.
const REQUEST: usize = 160;

/// Writes that are to become durable together.
pub type Group = Vec<Write>;

/// The box, as its clients see it.
#[derive(Debug)]
pub struct Front {
    peers: Peers<Client>,
    /// None: the disk has failed, and reads wait for it to be opened again.
    view: Option<View>,
    shares: Shares,
    /// bytes of requests
    held: usize,
    /// whose turn it is to be read for, and to write
    turns: [u32; 2],
    serial: u64,
    told: Vec<String>,
}

#[derive(Debug)]
struct Client {
    serial: u64,
    /// why there is none
    grant: Result<Arc<Grant>, String>,
    reads: VecDeque<(Read, usize)>,
    writes: VecDeque<(Write, usize)>,
    /// that are becoming durable
    under_way: usize,
    held: usize,
    watches: Vec<Watch>,
}

#[derive(Debug)]
struct Watch {
    ticket: u32,
    /// as on the disk
    prefix: Vec<u8>,
    missed: bool,
}

#[derive(Debug)]
struct Read {
    ticket: u32,
    what: What,
}

/// Keys are as on the disk.
#[derive(Debug)]
enum What {
    Get(Vec<u8>),
    Exists(Vec<u8>),
    Keys { prefix: Vec<u8>, after: Vec<u8>, most: usize },
    Many(Vec<Vec<u8>>),
}

type Refused = (Error, String);

impl Front {
    pub fn new(shares: Shares) -> Self {
        Front {
            peers: Peers::new(ROOM, shares.answers),
            view: None,
            shares,
            held: 0,
            turns: [0; 2],
            serial: 0,
            told: Vec::new(),
        }
    }

    /// What reads are answered from.
    pub fn see(&mut self, view: View) {
        self.view = Some(view);
    }

    /// There is nothing to read from: all that wait are told.
    pub fn blind(&mut self, why: &str) {
        self.view = None;
        for number in self.peers.numbers() {
            let reads = self.peers.get_mut(number).map(|client| std::mem::take(&mut client.reads));
            for (Read { ticket, .. }, size) in reads.into_iter().flatten() {
                self.free(number, size);
                self.fail(number, ticket, (Error::Io, why.into()));
            }
        }
    }

    /// Whether reads wait for a view.
    pub fn wants_view(&self) -> bool {
        self.view.is_none() && self.peers.iter().any(|(_, client, _)| !client.reads.is_empty())
    }

    /// Nothing more is to be done, and nobody is there.
    pub fn is_done(&self) -> bool {
        !self.peers.any_attached()
    }

    /// What is worth a line in the log.
    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Takes in what has come from clients.
    pub fn receive(&mut self, batch: &[u8]) {
        for incoming in wit::incoming(batch).flatten() {
            match incoming {
                Incoming::Attach(peer, attach) => self.attach(peer, attach),
                Incoming::Detach(peer, _) => {
                    if let Some(client) = self.peers.detach(peer) {
                        self.held -= client.held;
                    }
                }
                Incoming::Retire(peer) => self.peers.retire(peer),
                Incoming::Record(peer, record) => match Command::decode(&record) {
                    Ok(Command::Unknown { .. }) => {}
                    Ok(command) => self.command(peer, record.id, command, record.bytes.len() + REQUEST),
                    Err(_) => {
                        let why = "the request is malformed";
                        self.fail(peer, record.id, (Error::Denied, why.into()));
                    }
                },
            }
        }
    }

    fn attach(&mut self, peer: u32, attach: &[u8]) {
        if let Some(client) = self.peers.detach(peer) {
            self.held -= client.held;
        }
        self.serial += 1;
        // each may leave its share of answers untaken, and one value
        let room = self.shares.answers / (ROOM + MAX_VALUE);
        let grant = match Grant::read(attach) {
            _ if self.peers.attached() >= room => Err(format!("the box `store` has memory for {room} clients")),
            grant => grant.map(Arc::new),
        };
        if let Err(why) = &grant {
            self.told.push(format!("a client gets nothing: {why}"));
        }
        let client = Client {
            serial: self.serial,
            grant,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            under_way: 0,
            held: 0,
            watches: Vec::new(),
        };
        self.peers.attach(peer, client);
    }

    fn fail(&mut self, peer: u32, ticket: u32, (error, why): Refused) {
        if let Some(out) = self.peers.answer(peer) {
            Event::Failed { ticket, error, why: &why }.encode(out.batch());
        }
    }

    fn free(&mut self, peer: u32, size: usize) {
        if let Some(client) = self.peers.get_mut(peer) {
            client.held -= size;
            self.held -= size;
        }
    }

    /// Whether there is memory for another request: half of it is for whoever comes first, and of the other half each has a share.
    fn may_hold(&self, client: &Client, size: usize) -> bool {
        let most = self.shares.requests;
        let share = most / 2 / self.peers.attached().max(1);
        client.held + size <= share || self.held + size <= most / 2
    }

    fn command(&mut self, peer: u32, ticket: u32, command: Command<'_>, size: usize) {
        // whoever takes no answers is not served
        if self.peers.is_deaf(peer) {
            return;
        }
        let Some(client) = self.peers.get(peer) else { return };
        let accepted = match &client.grant {
            Ok(grant) => accept(command, grant),
            Err(why) => Err((Error::Denied, why.clone())),
        };
        let fits = self.may_hold(client, size);
        let busy = || Err((Error::Busy, "too many requests at once".into()));
        let accepted = match accepted {
            Ok(Accepted::Read(_) | Accepted::Write(..)) if !fits => busy(),
            Ok(Accepted::Watch(_)) if client.watches.len() >= WATCHES => busy(),
            accepted => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => return self.fail(peer, ticket, refused),
        };
        let Some(client) = self.peers.get_mut(peer) else { return };
        let mut is_held = true;
        match accepted {
            Accepted::Read(what) => client.reads.push_back((Read { ticket, what }, size)),
            Accepted::Write(op, grant) => {
                let write = Write { peer, serial: client.serial, ticket, op, grant };
                client.writes.push_back((write, size));
            }
            Accepted::Watch(prefix) => {
                client.watches.retain(|watch| watch.ticket != ticket);
                client.watches.push(Watch { ticket, prefix, missed: false });
                is_held = false;
            }
            Accepted::Unwatch(watch) => {
                client.watches.retain(|known| known.ticket != watch);
                is_held = false;
            }
        }
        if is_held {
            client.held += size;
            self.held += size;
        } else if let Some(out) = self.peers.answer(peer) {
            Event::Done { ticket, version: 0 }.encode(out.batch());
        }
    }

    /// Answers reads, each client's in turn. True: there are more.
    pub fn serve(&mut self) -> bool {
        let count = self.peers.numbers().end;
        let (mut left, mut idle) = (TURN, 0);
        while left > 0 && idle < count && self.view.is_some() {
            let peer = self.turns[0] % count;
            self.turns[0] = peer + 1;
            idle += 1;
            if self.peers.get(peer).is_none_or(|client| client.reads.is_empty()) {
                continue;
            }
            let Some(out) = self.peers.room(peer) else { continue };
            let before = out.len();
            let Some(view) = &self.view else { break };
            let Some((client, out)) = self.peers.both(peer) else { continue };
            let Some((read, size)) = client.reads.pop_front() else { continue };
            if let Err(trouble) = read.answer(view, out) {
                out.batch().truncate(before);
                self.view = None;
                if trouble == Trouble::Closed {
                    client.reads.push_front((read, size));
                    break;
                }
                self.told.push(format!("a read has failed: {trouble}"));
                let why = trouble.to_string();
                Event::Failed { ticket: read.ticket, error: trouble.error(), why: &why }.encode(out.batch());
            }
            self.free(peer, size);
            (left, idle) = (left - 1, 0);
        }
        left == 0
    }

    /// Takes writes that are to become durable together, some of each client. [`Front::durable`] is to be told what came of them.
    pub fn take(&mut self) -> Group {
        let (mut group, mut bytes) = (Group::new(), 0);
        let count = self.peers.numbers().end;
        let mut idle = 0;
        while group.len() < GROUP && bytes < self.shares.group && idle < count {
            let peer = self.turns[1] % count;
            self.turns[1] = peer + 1;
            idle += 1;
            let Some(client) = self.peers.get_mut(peer) else { continue };
            let Some((write, size)) = client.writes.pop_front() else { continue };
            client.under_way += 1;
            self.free(peer, size);
            group.push(write);
            (bytes, idle) = (bytes + size, 0);
        }
        group
    }

    /// What came of writes.
    pub fn durable(&mut self, group: &Group, outcome: &Outcome) {
        for (Write { peer, serial, ticket, .. }, answer) in group.iter().zip(&outcome.answers) {
            // another may have the number now
            let Some(client) = self.peers.get_mut(*peer).filter(|client| client.serial == *serial) else { continue };
            client.under_way -= 1;
            let ticket = *ticket;
            let Some(out) = self.peers.answer(*peer) else { continue };
            match answer {
                Answer::Done(version) => Event::Done { ticket, version: *version }.encode(out.batch()),
                Answer::Number(number) => Event::Number { ticket, number: *number }.encode(out.batch()),
                Answer::Conflict(version) => Event::Conflict { ticket, version: *version }.encode(out.batch()),
                Answer::Failed(error, why) => Event::Failed { ticket, error: *error, why }.encode(out.batch()),
            }
        }
        for Change { key, version } in &outcome.changes {
            self.tell(key, *version);
        }
    }

    fn tell(&mut self, key: &[u8], version: u64) {
        for number in self.peers.numbers() {
            let Some(client) = self.peers.get(number).filter(|client| !client.watches.is_empty()) else { continue };
            let Ok(grant) = &client.grant else { continue };
            let length = grant.bucket_length();
            let of_key = |watch: &Watch| key.starts_with(&watch.prefix);
            if !client.watches.iter().any(of_key) {
                continue;
            }
            let has_room = self.peers.room(number).is_some();
            let Some((client, out)) = self.peers.both(number) else { continue };
            for watch in client.watches.iter_mut().filter(|watch| of_key(watch)) {
                match str::from_utf8(key.get(length..).unwrap_or_default()) {
                    Ok(key) if has_room && !watch.missed => {
                        Event::Changed { watch: watch.ticket, version, key }.encode(out.batch());
                    }
                    _ => watch.missed = true,
                }
            }
        }
    }

    /// Sends what waits. True: there is room for more answers.
    pub fn flush(&mut self, mut send: impl FnMut(u32, &[u8]) -> bool) -> bool {
        for number in self.peers.numbers() {
            let missed = |client: &Client| client.watches.iter().any(|watch| watch.missed);
            if !self.peers.get(number).is_some_and(missed) || self.peers.room(number).is_none() {
                continue;
            }
            let Some((client, out)) = self.peers.both(number) else { continue };
            for watch in client.watches.iter_mut().filter(|watch| watch.missed) {
                watch.missed = false;
                Event::Missed { watch: watch.ticket }.encode(out.batch());
            }
        }
        let again = self.peers.flush(&mut send);
        if self.peers.any_retiring() {
            let open = |client: &Client| client.under_way > 0 || !client.reads.is_empty() || !client.writes.is_empty();
            let holding: Vec<u32> =
                self.peers.iter().filter(|(_, client, _)| open(client)).map(|(number, ..)| number).collect();
            self.peers.release(|number| holding.contains(&number));
            self.peers.flush(send);
        }
        again
    }

    /// Clients that had no room may have some.
    pub fn retry(&mut self) {
        self.peers.retry();
    }
}

/// A request that may be done.
enum Accepted {
    Read(What),
    Write(Op, Arc<Grant>),
    Watch(Vec<u8>),
    Unwatch(u32),
}

/// Holds a request to its grant.
fn accept(command: Command<'_>, grant: &Arc<Grant>) -> Result<Accepted, Refused> {
    let (reads, writes) = match command {
        Command::Set { .. } | Command::Delete { .. } | Command::SetMany { .. } | Command::DeleteMany { .. } => {
            (false, true)
        }
        // their answers tell what was there
        Command::Increment { .. } | Command::Swap { .. } => (true, true),
        _ => (true, false),
    };
    grant.may(reads, writes)?;
    let write = |op| Ok(Accepted::Write(op, grant.clone()));
    match command {
        Command::Get { key, .. } => Ok(Accepted::Read(What::Get(grant.key(key)?))),
        Command::Exists { key, .. } => Ok(Accepted::Read(What::Exists(grant.key(key)?))),
        Command::ListKeys { prefix, after, most, .. } => {
            let (prefix, most) = (grant.prefix(prefix)?, MOST_KEYS.min(most as usize));
            let after = if after.is_empty() { Vec::new() } else { grant.after(after) };
            Ok(Accepted::Read(What::Keys { prefix, after, most }))
        }
        Command::GetMany { keys, .. } => {
            few(keys.len())?;
            let keys = keys.iter().map(|key| grant.key(key)).collect::<Result<_, _>>()?;
            Ok(Accepted::Read(What::Many(keys)))
        }
        Command::Set { key, value, .. } => write(Op::Set([pair(grant, key, value)?].into())),
        Command::Delete { key, .. } => write(Op::Delete([grant.key(key)?].into())),
        Command::Increment { key, delta, .. } => write(Op::Increment(grant.key(key)?, delta)),
        Command::Swap { key, version, value, .. } => {
            let key = match value {
                Some(value) => pair(grant, key, value)?.0,
                None => grant.key(key)?,
            };
            write(Op::Swap { key, version, value: value.map(<[u8]>::to_vec) })
        }
        Command::SetMany { pairs, .. } => {
            few(pairs.len())?;
            let pairs = pairs.iter().map(|of| pair(grant, of.key, of.value));
            write(Op::Set(pairs.collect::<Result<BTreeMap<_, _>, _>>()?))
        }
        Command::DeleteMany { keys, .. } => {
            few(keys.len())?;
            write(Op::Delete(keys.iter().map(|key| grant.key(key)).collect::<Result<_, _>>()?))
        }
        Command::WatchKeys { prefix, .. } => Ok(Accepted::Watch(grant.prefix(prefix)?)),
        Command::Unwatch { watch, .. } => Ok(Accepted::Unwatch(watch)),
        Command::Unknown { .. } => Err((Error::Denied, "the request is not known".into())),
    }
}

fn few(keys: usize) -> Result<(), Refused> {
    match keys {
        0..=MOST_KEYS => Ok(()),
        _ => Err((Error::TooLarge, format!("a request has at most {MOST_KEYS} keys, and this one {keys}"))),
    }
}

fn pair(grant: &Grant, key: &str, value: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Refused> {
    let key = grant.key(key)?;
    if value.len() > MAX_VALUE {
        return Err((Error::TooLarge, format!("a value has at most {MAX_VALUE} bytes, and this one {}", value.len())));
    }
    Ok((key, value.to_vec()))
}

impl Read {
    fn answer(&self, view: &View, out: &mut Outbox) -> Result<(), Trouble> {
        let ticket = self.ticket;
        match &self.what {
            What::Get(key) => {
                view.get(key, |version, value| Event::Value { ticket, version, value }.encode(out.batch()))?;
            }
            What::Exists(key) => Event::Found { ticket, version: view.version(key)? }.encode(out.batch()),
            What::Keys { prefix, after, most } => {
                let bucket = prefix.iter().position(|byte| *byte == 0).map_or(0, |zero| zero + 1);
                let (mut keys, mut bytes, mut more) = (Vec::new(), 0, false);
                view.keys(prefix, after, |key| {
                    more = keys.len() >= *most || bytes + key.len() > KEYS;
                    if !more {
                        bytes += key.len();
                        keys.push(String::from_utf8_lossy(&key[bucket..]).into_owned());
                    }
                    !more
                })?;
                let mut packed = Vec::new();
                let keys = List::pack(keys.iter().map(String::as_str), &mut packed);
                Event::Keys { ticket, keys, more }.encode(out.batch());
            }
            What::Many(keys) => {
                let mut values: Vec<Option<Vec<u8>>> = Vec::new();
                let mut bytes = 0;
                for key in keys {
                    let value = view.get(key, |_, value| {
                        bytes += 5 + value.map_or(0, <[u8]>::len);
                        // what does not fit is not copied
                        value.filter(|_| bytes <= MAX_BATCH / 2).map(<[u8]>::to_vec)
                    })?;
                    if bytes > MAX_BATCH / 2 {
                        let why = "the values are longer together than half a batch: ask for fewer";
                        Event::Failed { ticket, error: Error::TooLarge, why }.encode(out.batch());
                        return Ok(());
                    }
                    values.push(value);
                }
                let mut buffer = Vec::new();
                let values = List::pack(values.iter().map(Option::as_deref), &mut buffer);
                Event::Values { ticket, values }.encode(out.batch());
            }
        }
        Ok(())
    }
}
