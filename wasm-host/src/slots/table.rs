//! The table: what is in the slots, and what became of it.
//!
//! On the disk a copy is, little endian: `PWSLOTS` and a zero byte, the format's version (u32), the length of the body
//! (u32), the BLAKE3 of these 16 bytes and the body, the body (postcard), zeroes to the end of its [`COPY`] bytes.

use super::{About, BLOCK, COUNT, HISTORY, MIN_RESERVE, SLOTS, SlotError};
use crate::image::Hash;
use alloc::{string::String, vec::Vec};
use core::{cmp::Reverse, fmt};
use serde::{Deserialize, Serialize};

/// Bytes of a copy on the disk.
pub const COPY: usize = 32 << 10;

const MAGIC: &[u8; 8] = b"PWSLOTS\0";
const VERSION: u32 = 4;
/// The format of disks with two slots, of which only the other one could be gone back to.
const TWO_SLOTS: u32 = 3;
const CHECKSUM: usize = 16;
const BODY: usize = CHECKSUM + 32;

/// Bytes of a name, and of what is said of a deployment.
const MAX_WHO: usize = 64;
const MAX_TEXT: usize = 160;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotName {
    A,
    B,
    C,
}

impl SlotName {
    pub const ALL: [SlotName; COUNT as usize] = [SlotName::A, SlotName::B, SlotName::C];
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SlotName::A => "A",
            SlotName::B => "B",
            SlotName::C => "C",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// grows with each change
    pub sequence: u64,
    /// bytes of a slot
    pub slot_bytes: u64,
    /// the slot whose system is to run; it holds one
    pub current: Option<SlotName>,
    /// the one that was current before, which is gone back to
    pub previous: Option<SlotName>,
    /// as many as the disk was laid out for
    pub slots: Vec<Option<Held>>,
    /// the number of the last deployment
    pub deploys: u64,
    /// the newest version of its system that was good here, whatever is in the slots now
    pub newest: u64,
    /// the last [`HISTORY`], oldest first
    pub history: Vec<Record>,
}

/// A table of [`TWO_SLOTS`].
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OfTwo {
    pub sequence: u64,
    pub slot_bytes: u64,
    pub current: Option<SlotName>,
    pub slots: [Option<Held>; 2],
    pub deploys: u64,
    pub newest: u64,
    pub history: Vec<Record>,
}

impl OfTwo {
    /// The table, if it says no more than one of this format would.
    fn of(table: &Table) -> Option<Self> {
        let Table { sequence, slot_bytes, current, previous: _, slots, deploys, newest, history } = table.clone();
        let slots = slots.try_into().ok()?;
        let old = OfTwo { sequence, slot_bytes, current, slots, deploys, newest, history };
        (Table::from(old.clone()) == *table).then_some(old)
    }
}

impl From<OfTwo> for Table {
    fn from(old: OfTwo) -> Self {
        let OfTwo { sequence, slot_bytes, current, slots, deploys, newest, history } = old;
        let slots = Vec::from(slots);
        let mut table = Table { sequence, slot_bytes, current, previous: None, slots, deploys, newest, history };
        table.settle_places();
        table
    }
}

/// The system in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// the deployment that brought it; 0: it is what the node was started with at first
    pub deploy: u64,
    /// Bytes of the image, and their [hash](super::Sum): or that of its manifest, if its files are read as they are asked for.
    pub length: u64,
    pub hash: Hash,
    pub state: State,
    /// how often it was started without having been reported good
    pub attempts: u32,
    /// of its plan
    pub version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It has yet to prove that it works.
    Trial,
    Good,
    /// It did not, or was given up while on trial.
    Failed,
    /// Good, as far as a node could tell that went over to it while it ran: it has yet to be started from the disk.
    Unbooted,
}

impl State {
    /// Whether it can be gone back to.
    pub fn is_good(self) -> bool {
        matches!(self, State::Good | State::Unbooted)
    }
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// counts from 1; one that was refused may have a number that another has later
    pub deploy: u64,
    /// of the system that it brought, if that was written
    pub hash: Option<Hash>,
    /// seconds since 1970
    pub time: Option<u64>,
    pub who: String,
    /// what it changed
    pub text: String,
    pub what: What,
    /// why it is not good
    pub why: String,
}

/// What came of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// It is not known yet, or the node ended before it was.
    Trial,
    Good,
    /// It ran, and did not work.
    Failed,
    /// It never ran.
    Refused,
}

impl Table {
    pub fn new(slot_bytes: u64) -> Self {
        let slots = alloc::vec![None; COUNT as usize];
        let history = Vec::new();
        Table { sequence: 0, slot_bytes, current: None, previous: None, slots, deploys: 0, newest: 0, history }
    }

    /// The slots that this disk has.
    pub fn names(&self) -> impl Iterator<Item = SlotName> + use<> {
        SlotName::ALL.into_iter().take(self.slots.len())
    }

    pub fn held(&self, slot: SlotName) -> Option<&Held> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub fn held_mut(&mut self, slot: SlotName) -> Option<&mut Held> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Whether a slot holds what may be started: it is good, or to prove that. What was written beside the current one is on
    /// trial while the node runs; if that ends before the trial does, the trial is lost.
    pub fn may_start(&self, slot: SlotName) -> bool {
        self.held(slot).is_some_and(|held| match held.state {
            State::Good | State::Unbooted => true,
            State::Trial => self.current == Some(slot),
            State::Failed => false,
        })
    }

    /// The slots that hold what may be started, the best first: the current one, the one before, what has
    /// been started from the disk, what is good, the newest.
    pub fn candidates(&self) -> impl Iterator<Item = SlotName> + use<> {
        let rank = |slot: SlotName| {
            let held = self.held(slot).filter(|_| self.may_start(slot))?;
            let (current, previous) = (self.current == Some(slot), self.previous == Some(slot));
            let place = (current, previous, held.state == State::Good, held.state.is_good(), held.deploy);
            Some((Reverse(place), slot))
        };
        let mut ranked: Vec<_> = self.names().filter_map(rank).collect();
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, slot)| slot)
    }

    /// What a slot holds is the current system from now on, and what was it is gone back to if it was good.
    pub fn make_current(&mut self, slot: SlotName) {
        let left = self.current.replace(slot).filter(|left| *left != slot);
        self.previous = left.filter(|left| self.is_good(*left)).or(self.previous);
        self.settle_places();
    }

    pub fn is_good(&self, slot: SlotName) -> bool {
        self.held(slot).is_some_and(|held| held.state.is_good())
    }

    /// A slot is to be written anew.
    pub fn empty(&mut self, slot: SlotName) {
        if let Some(held) = self.slots.get_mut(slot as usize) {
            *held = None;
        }
        self.settle_places();
    }

    /// Another takes the place of the current system, or of the one before, where that cannot be started.
    fn settle_places(&mut self) {
        if self.current.is_some_and(|slot| !self.may_start(slot)) {
            // what has failed stays current while there is nothing else
            let kept = self.current.filter(|slot| self.held(*slot).is_some());
            self.current = self.candidates().next().or(kept);
        }
        if self.previous.is_none_or(|slot| !self.is_good(slot) || self.current == Some(slot)) {
            self.previous = self.candidates().find(|slot| Some(*slot) != self.current && self.is_good(*slot));
        }
    }

    /// Where a slot's image is, in bytes.
    pub fn place(&self, slot: SlotName) -> u64 {
        SLOTS + slot as u64 * self.slot_bytes
    }

    /// All that the slots take of the disk, from its start.
    pub fn reserve(&self) -> u64 {
        SLOTS + self.slots.len() as u64 * self.slot_bytes
    }

    /// Adds a record, and forgets the oldest if there are too many. Yields the deployment's number.
    pub fn note(&mut self, hash: Option<Hash>, what: What, why: &str, about: &About) -> u64 {
        let deploy = if about.deploy == 0 { self.deploys + 1 } else { about.deploy };
        let (who, text, why) = (cut(&about.who, MAX_WHO), cut(&about.text, MAX_TEXT), cut(why, MAX_TEXT));
        self.deploys = self.deploys.max(deploy);
        self.history.push(Record { deploy, hash, time: about.time, who, text, what, why });
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
        deploy
    }

    /// What a slot holds is good, or has failed, and so is the deployment that brought it.
    pub fn settle(&mut self, slot: SlotName, what: What, why: &str) {
        let Some(held) = self.held_mut(slot) else { return };
        held.state = if what == What::Good { State::Good } else { State::Failed };
        held.attempts = 0;
        let (deploy, version) = (held.deploy, held.version);
        if what == What::Good {
            self.newest = self.newest.max(version);
        }
        if let Some(record) = self.history.iter_mut().rfind(|record| record.deploy == deploy) {
            (record.what, record.why) = (what, cut(why, MAX_TEXT));
        }
    }

    /// What a slot holds has failed: the turn of another has come, if any holds what has not.
    pub fn give_up(&mut self, slot: SlotName, what: What, why: &str) {
        self.settle(slot, what, why);
        self.settle_places();
    }

    /// A disk of two slots keeps its format, so that a node of before there were three can still be started from it.
    pub fn encode(&self) -> Result<Vec<u8>, SlotError> {
        match OfTwo::of(self) {
            Some(old) => encode(&old, TWO_SLOTS),
            None => encode(self, VERSION),
        }
    }

    /// Reads a copy on a disk of so many bytes.
    pub fn decode(bytes: &[u8], disk: u64) -> Result<Table, SlotError> {
        let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(core::array::from_fn(|i| word[i])));
        let (Some(version), Some(length)) = (word(8), word(12)) else { return Err(SlotError::NoTable) };
        let whole = bytes.get(..BODY.saturating_add(length as usize)).ok_or(SlotError::NoTable)?;
        if !is_table(whole) || whole[CHECKSUM..BODY] != checksum(whole) {
            return Err(SlotError::NoTable);
        }
        let body = &whole[BODY..];
        let table = match version {
            VERSION => postcard::from_bytes(body),
            TWO_SLOTS => postcard::from_bytes(body).map(|old: OfTwo| old.into()),
            _ => return Err(SlotError::Version(version)),
        };
        let table: Table = table.map_err(|_| SlotError::NoTable)?;
        if table.is_sound(disk) { Ok(table) } else { Err(SlotError::NoTable) }
    }

    fn is_sound(&self, disk: u64) -> bool {
        let count = self.slots.len() as u64;
        let reserve = self.slot_bytes.checked_mul(count).and_then(|all| all.checked_add(SLOTS));
        (2..=COUNT).contains(&count)
            && self.slot_bytes.is_multiple_of(BLOCK)
            && reserve.is_some_and(|reserve| (MIN_RESERVE..=disk).contains(&reserve))
            && self.slots.iter().flatten().all(|held| held.length <= self.slot_bytes)
            && [self.current, self.previous].into_iter().flatten().all(|slot| self.held(slot).is_some())
            && self.sequence < u64::MAX
    }
}

fn encode(table: &impl Serialize, version: u32) -> Result<Vec<u8>, SlotError> {
    let body = postcard::to_allocvec(table).map_err(|_| SlotError::NoMemory)?;
    let length = body.len() as u32;
    let mut bytes = [&MAGIC[..], &version.to_le_bytes(), &length.to_le_bytes(), &[0; 32], &body].concat();
    let sum = checksum(&bytes);
    bytes[CHECKSUM..BODY].copy_from_slice(&sum);
    if bytes.len() > COPY {
        // names and numbers are bounded, so this would be a mistake in the bounds
        return Err(SlotError::NoMemory);
    }
    bytes.resize(COPY, 0);
    Ok(bytes)
}

#[cfg(test)]
impl OfTwo {
    pub fn encode(&self) -> Vec<u8> {
        encode(self, TWO_SLOTS).unwrap()
    }
}

/// Whether these bytes were once a copy, whole or not.
pub fn is_table(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..CHECKSUM]).update(&bytes[BODY..]);
    *hasher.finalize().as_bytes()
}

/// A text, cut where it is too long.
fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].into()
}
