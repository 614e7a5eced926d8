//! A disk of the test's own, and the box on it as its clients see it.
#![allow(dead_code, reason = "each test uses some of it")]

use pearwood_store::{Disk, Engine, Front, Shares};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use wit::keyvalue::{Access, Attach, Command, Error, Event};
use wit::{Batch, Peer, Records};

pub const SECTOR: usize = 512;

/// Numbers that look like random ones.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// How many of something that takes time: fewer unless the environment says a number.
pub fn count(variable: &str, few: usize) -> usize {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(few)
}

#[derive(Default)]
pub struct Disc {
    /// by sector; one that was never written has zeros
    durable: BTreeMap<u64, Vec<u8>>,
    /// since the last flush, sector by sector
    pending: Vec<(u64, Vec<u8>)>,
    /// of the writes in `pending`, where each begins
    writes: Vec<usize>,
    pub sectors: u64,
    /// so many more writes and flushes are done
    pub power: Option<u64>,
    pub fail_reads: bool,
    pub fail_writes: bool,
    pub flushes: u64,
}

/// A disk that keeps apart what was flushed and what was not.
#[derive(Default)]
pub struct TestDisk {
    pub disc: Mutex<Disc>,
    /// done in a flush, while the disk is at it
    pub meanwhile: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestDisk")
    }
}

impl TestDisk {
    pub fn new(bytes: u64) -> Arc<Self> {
        let disk = TestDisk::default();
        disk.disc.lock().unwrap().sectors = bytes / SECTOR as u64;
        Arc::new(disk)
    }

    /// What is there after a power cut: what was flushed, and of the rest any of it, in any order, with the last write torn.
    pub fn cut(&self, random: &mut Random) -> Arc<Self> {
        let mut disc = self.disc.lock().unwrap();
        let mut durable = disc.durable.clone();
        let mut pending = std::mem::take(&mut disc.pending);
        let torn = disc.writes.last().map_or(0, |last| last + random.below(pending.len() - last + 1));
        match random.below(4) {
            // nothing of it, or all but the end of the last
            0 => pending.clear(),
            1 => pending.truncate(torn),
            // any of it, in any order
            _ => {
                pending.truncate(torn);
                pending.retain(|_| random.below(2) == 0);
                for place in (1..pending.len()).rev() {
                    pending.swap(place, random.below(place + 1));
                }
            }
        }
        durable.extend(pending);
        let after = TestDisk::new(disc.sectors * SECTOR as u64);
        after.disc.lock().unwrap().durable = durable;
        after
    }

    /// Flips a bit of something that was written.
    pub fn flip(&self, random: &mut Random) -> u64 {
        let mut disc = self.disc.lock().unwrap();
        let place = random.below(disc.durable.len());
        let (sector, bytes) = disc.durable.iter_mut().nth(place).unwrap();
        bytes[random.below(SECTOR)] ^= 1 << random.below(8);
        *sector
    }

    /// Flips a bit of every sector that begins with many of such a byte.
    pub fn damage(&self, byte: u8) -> usize {
        let mut disc = self.disc.lock().unwrap();
        let sectors = disc.durable.values_mut().filter(|bytes| bytes.iter().all(|is| *is == byte));
        sectors.map(|bytes| bytes[100] ^= 1).count()
    }

    pub fn copy(&self) -> Arc<Self> {
        let disc = self.disc.lock().unwrap();
        assert!(disc.pending.is_empty(), "it was flushed");
        let copy = TestDisk::new(disc.sectors * SECTOR as u64);
        copy.disc.lock().unwrap().durable = disc.durable.clone();
        copy
    }
}

impl Disc {
    fn works(&mut self) -> Result<(), String> {
        match &mut self.power {
            Some(0) => return Err("the power is gone".into()),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.fail_writes { Err("the disk has failed to do it".into()) } else { Ok(()) }
    }
}

impl Disk for TestDisk {
    fn sector_size(&self) -> usize {
        SECTOR
    }

    fn sectors(&self) -> u64 {
        self.disc.lock().unwrap().sectors
    }

    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        let disc = self.disc.lock().unwrap();
        assert!(first + count <= disc.sectors, "sectors {first} + {count}");
        if disc.fail_reads || disc.power == Some(0) {
            return Err("the disk has failed to read".into());
        }
        let sector = |number: u64| {
            let pending = disc.pending.iter().rev().find(|(other, _)| *other == number).map(|(_, bytes)| bytes);
            pending.or_else(|| disc.durable.get(&number)).cloned().unwrap_or_else(|| vec![0; SECTOR])
        };
        Ok((first..first + count).flat_map(sector).collect())
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Result<(), String> {
        let mut disc = self.disc.lock().unwrap();
        assert!(data.len().is_multiple_of(SECTOR) && first + (data.len() / SECTOR) as u64 <= disc.sectors);
        disc.works()?;
        let begin = disc.pending.len();
        disc.writes.push(begin);
        disc.pending.extend((first..).zip(data.chunks(SECTOR).map(<[u8]>::to_vec)));
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        if let Some(meanwhile) = &mut *self.meanwhile.lock().unwrap() {
            meanwhile();
        }
        let mut disc = self.disc.lock().unwrap();
        disc.works()?;
        let pending = std::mem::take(&mut disc.pending);
        disc.durable.extend(pending);
        disc.writes.clear();
        disc.flushes += 1;
        Ok(())
    }
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Value(Option<Vec<u8>>, u64),
    Found(u64),
    Keys(Vec<String>, bool),
    Values(Vec<Option<Vec<u8>>>),
    Done(u64),
    Number(i64),
    Conflict(u64),
    Failed(Error, String),
    Changed(String, u64),
    Missed,
}

impl Told {
    pub fn error(&self) -> Error {
        match self {
            Told::Failed(error, _) => *error,
            other => panic!("{other:?}"),
        }
    }
}

/// By client and ticket.
pub type Answers = Vec<(u32, u32, Told)>;

/// The box.
pub struct Store {
    pub engine: Engine<TestDisk>,
    pub front: Arc<Mutex<Front>>,
    pub log: Vec<String>,
    next: u32,
}

pub fn attach(bucket: &str) -> Attach<'_> {
    Attach { bucket, access: Access::ReadWrite, prefix: "", quota: None }
}

impl Store {
    pub fn open(disk: &Arc<TestDisk>) -> Result<Self, String> {
        Store::with(disk, 16 << 20)
    }

    pub fn with(disk: &Arc<TestDisk>, memory: usize) -> Result<Self, String> {
        let shares = Shares::of(memory)?;
        let mut engine = Engine::open(disk, shares)?;
        let mut front = Front::new(shares);
        front.see(engine.view()?);
        Ok(Store { engine, front: Arc::new(Mutex::new(front)), log: Vec::new(), next: 0 })
    }

    /// One with one client, peer 0, that may do anything in a bucket.
    pub fn of_one(disk: &Arc<TestDisk>) -> Result<Self, String> {
        let store = Store::open(disk)?;
        store.attach(0, attach("b"));
        Ok(store)
    }

    pub fn attach(&self, peer: u32, attach: Attach<'_>) {
        let mut batch = Batch::new();
        Peer::Attach(peer, &attach.encode()).encode(&mut batch);
        self.front.lock().unwrap().receive(batch.as_bytes());
    }

    /// Sends a request, whose ticket is yielded.
    pub fn send<'c>(&mut self, peer: u32, command: impl FnOnce(u32) -> Command<'c>) -> u32 {
        self.next += 1;
        send(&self.front, peer, command(self.next));
        self.next
    }

    /// As the box's loop does it, until nothing is left to do.
    pub fn run(&mut self) -> Answers {
        let mut answers = Answers::new();
        loop {
            hear(&self.front, &mut answers);
            let mut front = self.front.lock().unwrap();
            self.log.extend(front.take_told());
            if front.wants_view() {
                drop(front);
                self.engine.give_up();
                match self.engine.view() {
                    Ok(view) => self.front.lock().unwrap().see(view),
                    Err(why) => self.front.lock().unwrap().blind(&why),
                }
                continue;
            }
            let group = front.take();
            drop(front);
            if group.is_empty() {
                return answers;
            }
            let outcome = self.engine.commit(&group);
            self.log.extend(self.engine.take_told());
            let view = self.engine.view();
            let mut front = self.front.lock().unwrap();
            match view {
                Ok(view) => front.see(view),
                Err(why) => front.blind(&why),
            }
            front.durable(&group, &outcome);
        }
    }

    /// What comes of one request of a client.
    pub fn ask<'c>(&mut self, peer: u32, command: impl FnOnce(u32) -> Command<'c>) -> Told {
        let ticket = self.send(peer, command);
        let told = self.run().into_iter().find(|(to, of, _)| (*to, *of) == (peer, ticket));
        told.expect("an answer").2
    }

    pub fn set(&mut self, key: &str, value: &[u8]) -> Told {
        self.ask(0, |ticket| Command::Set { ticket, key, value })
    }

    pub fn delete(&mut self, key: &str) -> Told {
        self.ask(0, |ticket| Command::Delete { ticket, key })
    }

    pub fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.ask(0, |ticket| Command::Get { ticket, key }) {
            Told::Value(value, _) => Ok(value),
            other => Err(other.error()),
        }
    }
}

pub fn send(front: &Mutex<Front>, peer: u32, command: Command<'_>) {
    let mut batch = Batch::new();
    Peer::Is(peer).encode(&mut batch);
    command.encode(&mut batch);
    front.lock().unwrap().receive(batch.as_bytes());
}

/// Answers reads, and takes what is sent.
pub fn hear(front: &Mutex<Front>, answers: &mut Answers) {
    let mut front = front.lock().unwrap();
    loop {
        let more = front.serve();
        let again = front.flush(|peer, batch| {
            answers.extend(Records::new(batch).map(Result::unwrap).filter_map(|record| told(peer, &record)));
            true
        });
        if !more && !again {
            return;
        }
    }
}

fn told(peer: u32, record: &wit::Record<'_>) -> Option<(u32, u32, Told)> {
    let told = match Event::decode(record).expect("an event") {
        Event::Value { value, version, .. } => Told::Value(value.map(<[u8]>::to_vec), version),
        Event::Found { version, .. } => Told::Found(version),
        Event::Keys { keys, more, .. } => Told::Keys(keys.iter().map(String::from).collect(), more),
        Event::Values { values, .. } => Told::Values(values.iter().map(|value| value.map(<[u8]>::to_vec)).collect()),
        Event::Done { version, .. } => Told::Done(version),
        Event::Number { number, .. } => Told::Number(number),
        Event::Conflict { version, .. } => Told::Conflict(version),
        Event::Failed { error, why, .. } => Told::Failed(error, why.into()),
        Event::Changed { key, version, .. } => Told::Changed(key.into(), version),
        Event::Missed { .. } => Told::Missed,
        // of the node
        Event::Unknown { .. } => return None,
    };
    Some((peer, record.id, told))
}
