//! The box: [`Front`] and [`Engine`] between clients and the disk.
//!
//! Whoever waits for the disk hears of clients as well, and must not lose that. While the disk is flushed, clients have their turn.

use crate::{Disk, Engine, Front, Shares, UnderWay};
use sdk::bindings::pearwood::{
    box0_2_0::{
        log,
        ports::{self, Notices},
    },
    hardware::block,
    store::keyvalue,
};
use sdk::config::memory_left;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use wit::block::{Attach, Command, Error, Event};
use wit::{Batch, Peer, Records};

// for its allocator
use support as _;

sdk::service!(run);

/// Bytes of one request.
const PIECE: usize = 65_536;
/// Where the disk could not be opened, that is not tried again for reads before so many nanoseconds have passed.
const PAUSE: u64 = 1_000_000_000;

fn run() -> Result<(), String> {
    let shares = Shares::of(memory_left())?;
    let node = Arc::new(Node::open(shares)?);
    let mut engine = Engine::open(&node, shares)?;
    if engine.is_new() {
        log::write(log::Level::Info, "a new store is on the disk");
    }
    node.front().see(engine.view()?);
    let mut blind: Option<(u64, String)> = None;
    loop {
        let now = node.turn();
        engine.take_told().iter().for_each(|line| log::write(log::Level::Warn, line));
        let mut front = node.front();
        front.take_told().iter().for_each(|line| log::write(log::Level::Warn, line));
        let group = front.take();
        if !group.is_empty() {
            drop(front);
            let outcome = engine.commit(&group);
            let view = engine.view();
            let mut front = node.front();
            front.durable(&group, &outcome);
            match view {
                Ok(view) => front.see(view),
                Err(why) => front.blind(&why),
            }
            continue;
        }
        if front.wants_view() {
            drop(front);
            let view = match &blind {
                Some((until, why)) if now < *until => Err(why.clone()),
                _ => {
                    engine.give_up();
                    engine.view()
                }
            };
            match view {
                Ok(view) => {
                    blind = None;
                    node.front().see(view);
                }
                Err(why) => {
                    if blind.as_ref().is_none_or(|(until, _)| now >= *until) {
                        log::write(log::Level::Error, &why);
                        blind = Some((now.saturating_add(PAUSE), why.clone()));
                    }
                    node.front().blind(&why);
                }
            }
            continue;
        }
        if sdk::ports::retiring() && front.is_done() {
            return Ok(());
        }
        drop(front);
        node.wait(true);
    }
}

/// What has become of the requests to the disk.
#[derive(Debug, Default)]
struct State {
    next: u32,
    read: BTreeMap<u32, Result<Vec<u8>, String>>,
    writing: UnderWay,
    /// why a write since the last flush has failed
    failed: Option<String>,
    /// the flush that is under way, and what came of it
    flush: Option<(u32, Option<Result<(), String>>)>,
    gone: Option<String>,
}

/// The ports, and what has come to them.
struct Node {
    disk: u32,
    clients: u32,
    geometry: (usize, u64),
    /// ports that something has come to
    ready: AtomicU64,
    /// Some client has room again.
    room: AtomicBool,
    /// Clients have not been answered all that they can be.
    more: AtomicBool,
    now: AtomicU64,
    state: Mutex<State>,
    front: Mutex<Front>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

impl Node {
    /// Sleeps until the disk is there.
    fn open(shares: Shares) -> Result<Self, String> {
        let (disk, clients) = (block::client(&[]), keyvalue::service(&[]));
        let mut node = Node {
            disk,
            clients,
            geometry: (0, 0),
            ready: AtomicU64::new(0),
            room: AtomicBool::new(false),
            more: AtomicBool::new(false),
            now: AtomicU64::new(0),
            state: Mutex::default(),
            front: Mutex::new(Front::new(shares)),
        };
        loop {
            node.wait(false);
            if !node.has_come(disk) {
                continue;
            }
            for record in Records::new(&ports::receive(disk)).flatten() {
                let Some(Peer::Attach(0, attach)) = Peer::decode(&record) else { continue };
                let attach = Attach::decode(attach).map_err(|_| "what the disk is is not understood")?;
                let Attach { sector_size, sectors, read_only, name, .. } = attach;
                if read_only {
                    return Err(format!("{name} can only be read, and a store writes"));
                }
                node.geometry = (sector_size as usize, sectors);
                return Ok(node);
            }
        }
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until something comes. `serves`: unless there is more to do for clients; then it looks what has come.
    fn wait(&self, serves: bool) {
        let wake = sdk::ports::wait(if serves && self.more.load(Relaxed) { 0 } else { u64::MAX });
        self.ready.fetch_or(wake.ready, Relaxed);
        self.now.store(wake.now, Relaxed);
        if wake.notices.contains(Notices::ROOM) {
            self.room.store(true, Relaxed);
        }
    }

    /// Whether something has come to a port, which the caller takes.
    fn has_come(&self, port: u32) -> bool {
        self.ready.fetch_and(!(1 << port), Relaxed) >> port & 1 == 1
    }

    /// Gives clients one turn, unless it is theirs already. When it began.
    fn turn(&self) -> u64 {
        let now = self.now.load(Relaxed);
        let Ok(mut front) = self.front.try_lock() else { return now };
        if self.room.swap(false, Relaxed) {
            front.retry();
        }
        let send = |peer, batch: &[u8]| ports::send(self.clients, peer, batch);
        // what waits makes room for answers to what has come
        front.flush(send);
        if self.has_come(self.clients) {
            front.receive(&ports::receive(self.clients));
        }
        let more = front.serve();
        let again = front.flush(send);
        self.more.store(more || again, Relaxed);
        now
    }

    /// Takes in what the disk has answered.
    fn hear(&self) {
        if !self.has_come(self.disk) {
            return;
        }
        let mut state = self.state();
        for record in Records::new(&ports::receive(self.disk)).flatten() {
            if let Some(Peer::Detach(..)) = Peer::decode(&record) {
                state.gone = Some("the disk is gone".into());
            }
            match Event::decode(&record) {
                Ok(Event::Data { ticket, data }) => drop(state.read.insert(ticket, Ok(data.to_vec()))),
                Ok(Event::Done { ticket }) => state.done(ticket, Ok(())),
                Ok(Event::Failed { ticket, error }) => state.done(ticket, Err(in_words(error))),
                Ok(_) => {}
                Err(_) => state.gone = Some("the disk's answer is not understood".into()),
            }
        }
    }

    /// Waits for something of the disk. `serves`: clients have their turn meanwhile.
    fn until<T>(&self, serves: bool, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T, String> {
        loop {
            self.hear();
            {
                let mut state = self.state();
                if let Some(found) = look(&mut state) {
                    return Ok(found);
                }
                if let Some(gone) = &state.gone {
                    return Err(gone.clone());
                }
            }
            if serves
                && (self.ready.load(Relaxed) >> self.clients & 1 == 1
                    || self.room.load(Relaxed)
                    || self.more.load(Relaxed))
            {
                self.turn();
                if !self.more.load(Relaxed) {
                    continue;
                }
            }
            self.wait(serves);
        }
    }

    /// Sends a request to the disk. It has not so many under way as it can have, or will not have.
    fn ask<'c>(&self, command: impl FnOnce(u32) -> Command<'c>) -> Result<u32, String> {
        let ticket = {
            let mut state = self.state();
            state.next = state.next.wrapping_add(1);
            state.next
        };
        let mut batch = Batch::new();
        command(ticket).encode(&mut batch);
        loop {
            if ports::send(self.disk, 0, batch.as_bytes()) {
                return Ok(ticket);
            }
            self.hear();
            if let Some(gone) = &self.state().gone {
                return Err(gone.clone());
            }
            self.wait(false);
        }
    }
}

impl State {
    fn done(&mut self, ticket: u32, result: Result<(), String>) {
        if self.writing.end(ticket) {
            self.failed = self.failed.take().or(result.err());
        } else if let Some((flush, done)) = self.flush.as_mut()
            && *flush == ticket
        {
            *done = Some(result);
        } else if let Err(why) = result {
            self.read.insert(ticket, Err(why));
        }
    }
}

fn in_words(error: Error) -> String {
    sdk::disk::Error::Disk(error).to_string()
}

impl Disk for Node {
    fn sector_size(&self) -> usize {
        self.geometry.0
    }

    fn sectors(&self) -> u64 {
        self.geometry.1
    }

    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        self.until(false, |state| (!state.writing.overlaps(first, count)).then_some(()))?;
        let most = (PIECE / self.geometry.0) as u64;
        let mut data = Vec::with_capacity(count as usize * self.geometry.0);
        let mut done = 0;
        while done < count {
            let count = (count - done).min(most);
            let ticket = self.ask(|ticket| Command::Read { ticket, first: first + done, count: count as u32 })?;
            data.extend(self.until(false, |state| state.read.remove(&ticket))??);
            done += count;
        }
        Ok(data)
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Result<(), String> {
        let sectors = PIECE / self.geometry.0;
        for (first, data) in (first..).step_by(sectors).zip(data.chunks(PIECE)) {
            let count = (data.len() / self.geometry.0) as u64;
            self.until(false, |state| (!state.writing.overlaps(first, count)).then_some(()))?;
            self.ask(|ticket| {
                // before it can be answered
                self.state().writing.begin(ticket, first, count);
                Command::Write { ticket, first, data }
            })?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        self.until(true, |state| state.writing.is_empty().then_some(()))?;
        if let Some(why) = self.state().failed.take() {
            return Err(why);
        }
        let ticket = self.ask(|ticket| {
            self.state().flush = Some((ticket, None));
            Command::Flush { ticket }
        })?;
        self.until(true, |state| match &mut state.flush {
            Some((of, done)) if *of == ticket => done.take(),
            _ => None,
        })?
    }
}
