//! What clients see: their requests are held to their grants, reads are answered, and writes gathered.

use crate::engine::{Answer, Change, Op, Outcome, Trouble, View, Write};
use crate::{Grant, Shares};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use wit::keyvalue::{Command, Error, Event, MAX_VALUE};
use wit::{Incoming, List, MAX_BATCH, Outbox, Peers};

/// Keys in one request, and in one answer.
const MOST_KEYS: usize = 1_000;
/// Bytes of keys in one answer.
const KEYS: usize = 64 << 10;
/// What a client may watch.
const WATCHES: usize = 64;
/// What is read before something else has its turn: keys, and pages of values.
const TURN: usize = 256;
const PAGE: usize = 4_096;
/// Writes that become durable together.
const GROUP: usize = 1_024;
/// Bytes that may wait for one client before it is shown no more values.
pub const ROOM: usize = 48 << 10;
/// What a request takes beside what is in it, and what each of its keys takes.
const REQUEST: usize = 160;
const KEY: usize = 64;
/// The most of a reason that a client is told.
const REASON: usize = 256;

/// Writes that are to become durable together.
pub type Group = Vec<Write>;

/// The box, as its clients see it.
#[derive(Debug)]
pub struct Front {
    peers: Peers<Client>,
    /// None: the disk has failed, and reads wait for it to be opened again.
    view: Option<View>,
    shares: Shares,
    /// bytes of requests, and of answers to them that were not sent
    held: usize,
    /// whose turn it is to be read for, and to write
    turns: [u32; 2],
    serial: u64,
    told: Vec<String>,
    damaged: Damaged,
}

#[derive(Debug)]
struct Client {
    serial: u64,
    /// why there is none
    grant: Result<Arc<Grant>, String>,
    reads: VecDeque<(Read, usize)>,
    writes: VecDeque<Write>,
    /// that are becoming durable
    under_way: usize,
    held: usize,
    /// of them, bytes of answers that were not sent
    owed: usize,
    /// There is memory for it.
    served: bool,
    /// It is not told any more that it asks for too much, and that was said in the log.
    deaf: bool,
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
            damaged: Damaged::default(),
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
                self.answer(number, size, &Event::Failed { ticket, error: Error::Io, why: reason(why) });
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
                    Ok(command) => self.command(peer, record.id, command),
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
        let grant = Grant::read(attach).map(Arc::new);
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
            owed: 0,
            served: false,
            deaf: false,
            watches: Vec::new(),
        };
        self.peers.attach(peer, client);
    }

    /// Answers what was not taken in. So many of these answers may wait for a client that more of its requests are passed over: that it
    /// takes nothing while it asks goes on for longer than it has room for answers.
    fn fail(&mut self, peer: u32, ticket: u32, (error, why): Refused) {
        self.say(peer, &Event::Failed { ticket, error, why: reason(&why) });
    }

    fn say(&mut self, peer: u32, event: &Event<'_>) {
        let most = ROOM + MAX_VALUE + self.shares.refusals / self.peers.attached().max(1);
        let Some(client) = self.peers.get(peer) else { return };
        if self.peers.waiting_for(peer).is_some_and(|bytes| bytes - client.owed.min(bytes) > most) {
            let Some(client) = self.peers.get_mut(peer) else { return };
            if !std::mem::replace(&mut client.deaf, true) {
                self.told.push("a client takes no answers and goes on asking: what it asks for is passed over".into());
            }
        } else if let Some(out) = self.peers.out(peer) {
            event.encode(out.batch());
        }
    }

    /// Answers a request that was taken in: there is always room for that, which the request has had until now.
    fn answer(&mut self, peer: u32, size: usize, event: &Event<'_>) {
        let Some((client, out)) = self.peers.both(peer) else { return };
        let before = out.len();
        event.encode(out.batch());
        let owed = out.len() - before;
        client.owed += owed;
        client.held = client.held - size + owed;
        self.held = self.held - size + owed;
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

    /// Whether there is memory for what a client may leave untaken. At a swap of clients, those that leave have no part in it.
    fn may_serve(&mut self, peer: u32) -> bool {
        let room = self.shares.clients();
        let served = |(number, client, _): &(u32, &Client, _)| client.served && !self.peers.is_retiring(*number);
        if !self.peers.get(peer).is_some_and(|client| client.served) && self.peers.iter().filter(served).count() >= room
        {
            return false;
        }
        if let Some(client) = self.peers.get_mut(peer) {
            client.served = true;
        }
        true
    }

    fn command(&mut self, peer: u32, ticket: u32, command: Command<'_>) {
        if !self.may_serve(peer) {
            let room = self.shares.clients();
            let why =
                format!("the box `store` has memory for {room} clients, and more are there: give it more `memory`");
            return self.fail(peer, ticket, (Error::Busy, why));
        }
        let Some(client) = self.peers.get(peer) else { return };
        let accepted = match &client.grant {
            Ok(grant) => accept(command, grant),
            Err(why) => Err((Error::Denied, why.clone())),
        };
        let busy = || Err((Error::Busy, "too many requests at once".into()));
        let size = accepted.as_ref().map_or(0, Accepted::size);
        let accepted = match accepted {
            Ok(Accepted::Read(_) | Accepted::Write(..)) if !self.may_hold(client, size) => busy(),
            Ok(Accepted::Watch(_)) if client.watches.len() >= WATCHES => busy(),
            accepted => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => return self.fail(peer, ticket, refused),
        };
        let Some(client) = self.peers.get_mut(peer) else { return };
        match accepted {
            Accepted::Read(what) => client.reads.push_back((Read { ticket, what }, size)),
            Accepted::Write(op, grant) => {
                let write = Write { peer, serial: client.serial, ticket, size, op, grant };
                client.writes.push_back(write);
            }
            Accepted::Watch(prefix) => {
                client.watches.retain(|watch| watch.ticket != ticket);
                client.watches.push(Watch { ticket, prefix, missed: false });
                return self.say(peer, &Event::Done { ticket, version: 0 });
            }
            Accepted::Unwatch(watch) => {
                client.watches.retain(|known| known.ticket != watch);
                return self.say(peer, &Event::Done { ticket, version: 0 });
            }
        }
        client.held += size;
        self.held += size;
    }

    /// Answers reads, each client's in turn, as many as are one turn. True: there are more.
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
            let mut at = 0;
            let found = match self.damaged.find(&read.what) {
                Some(why) => Err(Trouble::Damaged(why)),
                None => read.answer(view, out, &mut at).inspect_err(|_| self.view = None),
            };
            left = left.saturating_sub(read.what.keys() + (out.len() - before.min(out.len())) / PAGE);
            idle = 0;
            let Err(trouble) = found else {
                self.free(peer, size);
                continue;
            };
            out.batch().truncate(before);
            if trouble == Trouble::Closed {
                client.reads.push_front((read, size));
                break;
            }
            let why = trouble.to_string();
            if self.view.is_none() && self.damaged.note(read.what, at, &trouble) {
                self.told.push(format!("a read has failed: {why}"));
            }
            let (ticket, error) = (read.ticket, trouble.error());
            self.answer(peer, size, &Event::Failed { ticket, error, why: reason(&why) });
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
            let Some(write) = client.writes.pop_front() else { continue };
            client.under_way += 1;
            // what is changed is said with its keys once more
            bytes += write.size + write.op.keys().map(|key| KEY + key.len()).sum::<usize>();
            group.push(write);
            idle = 0;
        }
        group
    }

    /// What came of writes.
    pub fn durable(&mut self, group: &Group, outcome: &Outcome) {
        for (Write { peer, serial, ticket, size, .. }, answer) in group.iter().zip(&outcome.answers) {
            // another may have the number now
            let Some(client) = self.peers.get_mut(*peer).filter(|client| client.serial == *serial) else { continue };
            client.under_way -= 1;
            let ticket = *ticket;
            let event = match answer {
                Answer::Done(version) => Event::Done { ticket, version: *version },
                Answer::Number(number) => Event::Number { ticket, number: *number },
                Answer::Conflict(version) => Event::Conflict { ticket, version: *version },
                Answer::Failed(error, why) => Event::Failed { ticket, error: *error, why: reason(why) },
            };
            self.answer(*peer, *size, &event);
        }
        for Change { key, version } in &outcome.changes {
            self.damaged.forget(key);
            self.tell(key, *version);
        }
        if outcome.unknown {
            for write in group {
                write.op.keys().for_each(|key| self.miss(key));
            }
        }
    }

    /// Whether a key was changed is not known.
    fn miss(&mut self, key: &[u8]) {
        for number in self.peers.numbers() {
            let watches = self.peers.get_mut(number).map(|client| client.watches.iter_mut());
            watches
                .into_iter()
                .flatten()
                .filter(|watch| key.starts_with(&watch.prefix))
                .for_each(|it| it.missed = true);
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
        for number in self.peers.numbers() {
            let Some(waiting) = self.peers.waiting_for(number) else { continue };
            let Some(client) = self.peers.get_mut(number) else { continue };
            let sent = client.owed.saturating_sub(waiting);
            client.owed -= sent;
            client.held -= sent;
            self.held -= sent;
        }
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

impl Accepted {
    /// Bytes of memory that it takes.
    fn size(&self) -> usize {
        let values = match self {
            Accepted::Write(Op::Set(pairs), _) => pairs.values().map(Vec::len).sum(),
            Accepted::Write(Op::Swap { value: Some(value), .. }, _) => value.len(),
            _ => 0,
        };
        let keys: usize = match self {
            Accepted::Read(What::Get(key) | What::Exists(key)) => KEY + key.len(),
            Accepted::Read(What::Keys { prefix, after, .. }) => KEY + prefix.len() + after.len(),
            Accepted::Read(What::Many(keys)) => keys.iter().map(|key| KEY + key.len()).sum(),
            Accepted::Write(op, _) => op.keys().map(|key| KEY + key.len()).sum(),
            Accepted::Watch(_) | Accepted::Unwatch(_) => 0,
        };
        REQUEST + keys + values
    }
}

impl What {
    /// How many keys are looked up.
    fn keys(&self) -> usize {
        match self {
            What::Get(_) | What::Exists(_) => 1,
            What::Keys { most, .. } => 1 + most / 16,
            What::Many(keys) => keys.len().max(1),
        }
    }

    /// What is known of it: the first key, and for many the others as well.
    fn needs(&self) -> impl Iterator<Item = &[u8]> {
        let (one, many): (&[u8], &[Vec<u8>]) = match self {
            What::Get(key) | What::Exists(key) => (key, &[]),
            What::Keys { prefix, after, .. } => (if after >= prefix { after } else { prefix }, &[]),
            What::Many(keys) => (&[], keys),
        };
        Some(one).filter(|key| !key.is_empty()).into_iter().chain(many.iter().map(|key| &key[..]))
    }
}

/// What a client is told of the reason.
fn reason(why: &str) -> &str {
    &why[..why.floor_char_boundary(REASON)]
}

/// Reads that have found damage: the database has to be opened again after each, and so they are not done once more.
#[derive(Debug, Default)]
struct Damaged {
    /// by the kind of read and the key
    reads: BTreeMap<(bool, Vec<u8>), String>,
    said: BTreeSet<String>,
}

impl Damaged {
    /// How many it remembers.
    const MOST: usize = 256;

    fn find(&self, what: &What) -> Option<String> {
        let lists = matches!(what, What::Keys { .. });
        if self.reads.is_empty() {
            return None;
        }
        what.needs().find_map(|key| self.reads.get(&(lists, key.to_vec())).cloned())
    }

    /// `at`: the place of the key, of many. True: it was not said before.
    fn note(&mut self, what: What, at: usize, trouble: &Trouble) -> bool {
        let Trouble::Damaged(why) = trouble else { return true };
        let read = match what {
            What::Get(key) | What::Exists(key) => (false, key),
            What::Keys { prefix, after, .. } => (true, prefix.max(after)),
            What::Many(mut keys) => (false, keys.swap_remove(at)),
        };
        if self.reads.len() >= Self::MOST {
            self.reads.clear();
        }
        self.reads.insert(read, why.clone());
        if self.said.len() >= Self::MOST {
            self.said.clear();
        }
        self.said.insert(why.clone())
    }

    /// A key has changed: it is in another page, and lists may be as well.
    fn forget(&mut self, key: &[u8]) {
        if !self.reads.is_empty() {
            self.reads.retain(|(lists, of), _| !lists && of != key);
        }
    }
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
    /// `at`: the place of the key that is looked up, of many.
    fn answer(&self, view: &View, out: &mut Outbox, at: &mut usize) -> Result<(), Trouble> {
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
                for (place, key) in keys.iter().enumerate() {
                    *at = place;
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
