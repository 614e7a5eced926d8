//! The database: groups of writes become durable together, and views read what is.

use crate::{Disk, Grant, Pages, Shares};
use redb::{
    Builder, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::ops::Bound;
use std::sync::Arc;
use wit::keyvalue::Error;

/// Bucket, a zero, key: an [`Entry`].
const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
/// Values that are too long to be beside their keys, by their versions: whoever looks through keys does not read them.
const LONG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("long");
/// Bytes of keys and values that a bucket has.
const USED: TableDefinition<'_, &str, u64> = TableDefinition::new("used");
/// With the empty name, the version that was used last.
const VERSIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("versions");
/// Empty, but while a transaction looks whether there is room.
const ROOM: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("room");
/// Bytes of a value that has a page of its own.
const NEARLY_A_PAGE: usize = 4_000;
/// How much of the disk is left to those who delete: one part of so many, in pages at least and at most so many.
const ROOM_SHARE: u64 = 1_024;
const ROOM_PAGES: (u64, u64) = (32, 256);

/// The longest value that is beside its key.
const SHORT: usize = 1_024;
/// What a key takes of the disk beside the bucket's name, itself and its value.
const ENTRY: usize = 64;
/// A long value takes whole pages.
const PAGE: usize = 4_096;
/// How often a group is tried again of which nothing is done, as something else has failed.
const ATTEMPTS: usize = 8;

/// What is beside a key: the value's version (8 bytes, little endian) and its length (4 bytes); then, if it is not long, the value.
#[derive(Debug, Clone, Copy)]
struct Entry<'e> {
    version: u64,
    length: usize,
    short: &'e [u8],
}

impl<'e> Entry<'e> {
    fn read(bytes: &'e [u8]) -> Result<Self, Trouble> {
        let parts = bytes.split_first_chunk().and_then(|(version, rest)| Some((version, rest.split_first_chunk()?)));
        let Some((version, (length, short))) = parts else {
            return Err(Trouble::Damaged("an entry is cut short".into()));
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length <= SHORT && short.len() != length {
            return Err(Trouble::Damaged("an entry has not the length that it says".into()));
        }
        Ok(Entry { version: u64::from_le_bytes(*version), length, short })
    }

    fn is_long(&self) -> bool {
        self.length > SHORT
    }
}

fn no_value(version: u64) -> Trouble {
    Trouble::Damaged(format!("the value of version {version} is not there"))
}

/// What a client asks to be changed. Keys are as on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Set(BTreeMap<Vec<u8>, Vec<u8>>),
    Delete(Vec<Vec<u8>>),
    Increment(Vec<u8>, i64),
    Swap { key: Vec<u8>, version: u64, value: Option<Vec<u8>> },
}

impl Op {
    /// The keys that it may change.
    pub fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        let (pairs, keys) = match self {
            Op::Set(pairs) => (Some(pairs.keys()), &[][..]),
            Op::Delete(keys) => (None, &keys[..]),
            Op::Increment(key, _) | Op::Swap { key, .. } => (None, std::slice::from_ref(key)),
        };
        pairs.into_iter().flatten().chain(keys)
    }

    fn only_deletes(&self) -> bool {
        matches!(self, Op::Delete(_) | Op::Swap { value: None, .. })
    }
}

/// An [`Op`], and who asks for it.
#[derive(Debug, Clone)]
pub struct Write {
    pub peer: u32,
    /// tells apart those that have had the peer's number
    pub serial: u64,
    pub ticket: u32,
    /// bytes of memory that it takes
    pub size: usize,
    pub op: Op,
    pub grant: Arc<Grant>,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done(u64),
    Number(i64),
    Conflict(u64),
    Failed(Error, String),
}

/// A key that has another version now; 0: it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// as on the disk
    pub key: Vec<u8>,
    pub version: u64,
}

/// What came of a group of writes, in their order.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answers: Vec<Answer>,
    pub changes: Vec<Change>,
    /// Any of it may be durable all the same.
    pub unknown: bool,
    /// the version that was used last, when it is done
    version: u64,
}

/// Why the database does not do what it is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    Full,
    /// It was closed, since something else has failed: it is to be opened again.
    Closed,
    Damaged(String),
    Io(String),
}

impl Trouble {
    pub fn error(&self) -> Error {
        match self {
            Trouble::Full => Error::Full,
            Trouble::Damaged(_) => Error::Damaged,
            Trouble::Closed | Trouble::Io(_) => Error::Io,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Full => f.write_str("the disk is full"),
            Trouble::Closed => f.write_str("the disk has failed before"),
            Trouble::Damaged(why) => write!(f, "what the disk holds is damaged: {why}"),
            Trouble::Io(why) => f.write_str(why),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => match error.kind() {
                ErrorKind::StorageFull => Trouble::Full,
                ErrorKind::InvalidData => Trouble::Damaged(error.to_string()),
                _ => Trouble::Io(error.to_string()),
            },
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Trouble::Closed,
            error @ redb::Error::Corrupted(_) => Trouble::Damaged(error.to_string()),
            error => Trouble::Io(error.to_string()),
        }
    }
}

/// The database on a disk.
#[derive(Debug)]
pub struct Engine<D> {
    disk: Arc<D>,
    shares: Shares,
    /// None: something has failed, and it is to be opened again.
    database: Option<Database>,
    /// The file takes all of the disk: whoever writes has to leave room for those who delete.
    whole: bool,
    /// pages that are left to them
    room: u32,
    is_new: bool,
    told: Vec<String>,
    /// damage that was told of
    said: Option<Trouble>,
}

impl<D: Disk> Engine<D> {
    /// # Errors
    /// In words: there is no store on the disk, or it fails.
    pub fn open(disk: &Arc<D>, shares: Shares) -> Result<Self, String> {
        let mut engine = Engine {
            disk: disk.clone(),
            shares,
            database: None,
            whole: false,
            room: 0,
            is_new: false,
            told: Vec::new(),
            said: None,
        };
        engine.reopen(false)?;
        Ok(engine)
    }

    /// Whether a new store was made on the disk.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What has failed, for the log.
    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn reopen(&mut self, whole: bool) -> Result<(), String> {
        self.database = None;
        let (pages, is_new) = Pages::open(&self.disk, whole, self.shares.pages)?;
        self.room = (pages.capacity() / ROOM_SHARE).clamp(ROOM_PAGES.0, ROOM_PAGES.1) as u32;
        self.whole = !is_new && pages.is_whole();
        // whoever opens the disk is alone: no other instance runs meanwhile
        let database = Builder::new().set_cache_size(self.shares.cache).create_with_backend(pages);
        let database = database.map_err(|error| Trouble::from(error).to_string())?;
        if is_new {
            let make = || -> Result<(), Trouble> {
                let transaction = begin(&database)?;
                drop(transaction.open_table(DATA)?);
                drop(transaction.open_table(LONG)?);
                drop(transaction.open_table(USED)?);
                drop(transaction.open_table(VERSIONS)?);
                drop(transaction.open_table(ROOM)?);
                Ok(transaction.commit()?)
            };
            make().map_err(|trouble| trouble.to_string())?;
            Pages::made(&self.disk)?;
            self.is_new = true;
        }
        self.database = Some(database);
        Ok(())
    }

    /// What is durable now. Opens the database again if it was closed.
    ///
    /// # Errors
    /// In words.
    pub fn view(&mut self) -> Result<View, String> {
        if self.database.is_none() {
            self.reopen(false)?;
        }
        let view = self.database.as_ref().map(View::new).ok_or("there is no store")?;
        view.map_err(|trouble| {
            self.database = None;
            trouble.to_string()
        })
    }

    /// Closes the database after a view has failed: nothing more can be done with it.
    pub fn give_up(&mut self) {
        self.database = None;
    }

    /// Makes writes durable, all together, and says what came of each.
    pub fn commit(&mut self, writes: &[Write]) -> Outcome {
        let mut done = self.attempt(writes, false);
        // something else has failed before or meanwhile, and nothing of this is done
        for _ in 0..ATTEMPTS {
            if !done.as_ref().is_err_and(|trouble| *trouble == Trouble::Closed) {
                break;
            }
            done = self.reopen(false).map_err(Trouble::Io).and_then(|()| self.attempt(writes, false));
        }
        if done.as_ref().is_err_and(|trouble| *trouble == Trouble::Full) {
            done = self.make_room(writes);
        }
        let trouble = match done {
            Ok(outcome) => return outcome,
            Err(trouble) => trouble,
        };
        if matches!(trouble, Trouble::Damaged(_)) && writes.len() > 1 {
            // of one of them: the others do not fail with it
            self.database = None;
            let (some, others) = writes.split_at(writes.len() / 2);
            let mut outcome = self.commit(some);
            let other = self.commit(others);
            outcome.answers.extend(other.answers);
            outcome.changes.extend(other.changes);
            outcome.unknown |= other.unknown;
            return outcome;
        }
        if self.database.take().is_some() && self.said.as_ref() != Some(&trouble) {
            self.told.push(format!("{} writes have failed: {trouble}", writes.len()));
            self.said = Some(trouble.clone()).filter(|trouble| matches!(trouble, Trouble::Damaged(_)));
        }
        let failed = || Answer::Failed(trouble.error(), trouble.to_string());
        let unknown = matches!(trouble, Trouble::Io(_));
        Outcome { answers: writes.iter().map(|_| failed()).collect(), unknown, ..Outcome::default() }
    }

    /// There was no room: the file takes all of the disk. If that is not enough, what only deletes is done without the others.
    fn make_room(&mut self, writes: &[Write]) -> Result<Outcome, Trouble> {
        self.reopen(true).map_err(Trouble::Io)?;
        self.settle()?;
        match self.attempt(writes, false) {
            Err(Trouble::Full) => {}
            done => return done,
        }
        self.reopen(true).map_err(Trouble::Io)?;
        let outcome = self.attempt(writes, true)?;
        self.settle()?;
        Ok(outcome)
    }

    /// Makes free what an earlier commit has left: whoever was reading may have needed it.
    fn settle(&mut self) -> Result<(), Trouble> {
        Ok(begin(self.database.as_ref().ok_or(Trouble::Closed)?)?.commit()?)
    }

    /// `deletes`: there is no room for anything else.
    fn attempt(&mut self, writes: &[Write], deletes: bool) -> Result<Outcome, Trouble> {
        if self.database.is_none() {
            self.reopen(false).map_err(Trouble::Io)?;
        }
        let database = self.database.as_ref().ok_or(Trouble::Closed)?;
        let transaction = begin(database)?;
        let mut outcome = Outcome::default();
        let leaves_room = self.whole && writes.iter().any(|write| !write.op.only_deletes()) && !deletes;
        {
            let Outcome { answers, changes, version, .. } = &mut outcome;
            let mut group = Group::new(&transaction, changes)?;
            for write in writes {
                let answer = match deletes && !write.op.only_deletes() {
                    true => Answer::Failed(Error::Full, Trouble::Full.to_string()),
                    false => group.one(write)?,
                };
                answers.push(answer);
            }
            *version = group.version;
            group.end()?;
        }
        if leaves_room {
            // what is allocated here is free again at once
            let mut room = transaction.open_table(ROOM)?;
            for page in 0..self.room {
                room.insert_reserve(page, NEARLY_A_PAGE)?;
            }
            for page in 0..self.room {
                room.remove(page)?;
            }
        }
        if outcome.changes.is_empty() {
            transaction.abort()?;
            return Ok(outcome);
        }
        match transaction.commit().map_err(Trouble::from) {
            Ok(()) => Ok(outcome),
            // what fails for want of room does so before anything is durable
            Err(Trouble::Full) => Err(Trouble::Full),
            // else the disk knows
            Err(trouble) => match self.reopen(false).map_err(Trouble::Io).and_then(|()| self.version()) {
                Ok(version) if version == outcome.version => Ok(outcome),
                Ok(_) => Err(trouble),
                Err(again) => Err(Trouble::Io(again.to_string())),
            },
        }
    }

    /// The version that was used last by what is durable.
    fn version(&self) -> Result<u64, Trouble> {
        let transaction = self.database.as_ref().ok_or(Trouble::Closed)?.begin_read()?;
        let table = transaction.open_table(VERSIONS)?;
        Ok(table.get("")?.map_or(0, |version| version.value()))
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, Trouble> {
    let mut transaction = database.begin_write()?;
    // else the whole of it would be read at the next start after a power cut
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Writes that become durable together.
struct Group<'t, 'c> {
    data: Table<'t, &'static [u8], &'static [u8]>,
    long: Table<'t, u64, &'static [u8]>,
    used: Table<'t, &'static str, u64>,
    versions: Table<'t, &'static str, u64>,
    changes: &'c mut Vec<Change>,
    version: u64,
    /// by bucket, as it is and as it was
    bytes: BTreeMap<String, (u64, u64)>,
}

impl<'t, 'c> Group<'t, 'c> {
    fn new(transaction: &'t WriteTransaction, changes: &'c mut Vec<Change>) -> Result<Self, Trouble> {
        let versions = transaction.open_table(VERSIONS)?;
        let version = versions.get("")?.map_or(0, |version| version.value());
        Ok(Group {
            data: transaction.open_table(DATA)?,
            long: transaction.open_table(LONG)?,
            used: transaction.open_table(USED)?,
            versions,
            changes,
            version,
            bytes: BTreeMap::new(),
        })
    }

    fn end(mut self) -> Result<(), Trouble> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.versions.insert("", self.version)?;
        for (bucket, (bytes, before)) in &self.bytes {
            if bytes != before {
                self.used.insert(bucket.as_str(), *bytes)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, Write { op, grant, .. }: &Write) -> Result<Answer, Trouble> {
        match op {
            Op::Set(pairs) => {
                let pairs = || pairs.iter().map(|(key, value)| (&key[..], &value[..]));
                if let Err(refused) = self.pay(grant, pairs())? {
                    return Ok(refused);
                }
                pairs().try_for_each(|(key, value)| self.set(key, value))?;
                Ok(Answer::Done(self.version))
            }
            Op::Delete(keys) => {
                for key in keys {
                    self.delete(grant, key)?;
                }
                Ok(Answer::Done(0))
            }
            Op::Increment(key, delta) => {
                let before = match self.data.get(&key[..])? {
                    None => Some(0),
                    // a long one is no number
                    Some(value) => {
                        str::from_utf8(Entry::read(value.value())?.short).ok().and_then(|text| text.parse().ok())
                    }
                };
                let Some(number) = before.and_then(|before: i64| before.checked_add(*delta)) else {
                    let why = "the value is no decimal number of 64 bits, or would be none";
                    return Ok(Answer::Failed(Error::NotANumber, why.into()));
                };
                let value = number.to_string();
                if let Err(refused) = self.pay(grant, [(&key[..], value.as_bytes())].into_iter())? {
                    return Ok(refused);
                }
                self.set(key, value.as_bytes())?;
                Ok(Answer::Number(number))
            }
            Op::Swap { key, version, value } => {
                let is = match self.data.get(&key[..])? {
                    Some(value) => Entry::read(value.value())?.version,
                    None => 0,
                };
                if is != *version {
                    return Ok(Answer::Conflict(is));
                }
                let Some(value) = value else {
                    self.delete(grant, key)?;
                    return Ok(Answer::Done(0));
                };
                if let Err(refused) = self.pay(grant, [(&key[..], &value[..])].into_iter())? {
                    return Ok(refused);
                }
                self.set(key, value)?;
                Ok(Answer::Done(self.version))
            }
        }
    }

    /// Bytes that the bucket has.
    fn bytes(&mut self, grant: &Grant) -> Result<&mut u64, Trouble> {
        if !self.bytes.contains_key(&grant.bucket) {
            let bytes = self.used.get(grant.bucket.as_str())?.map_or(0, |bytes| bytes.value());
            self.bytes.insert(grant.bucket.clone(), (bytes, bytes));
        }
        self.bytes.get_mut(&grant.bucket).map(|(bytes, _)| bytes).ok_or(Trouble::Closed)
    }

    /// Counts what is to be set. An error is the answer: the quota does not allow it, and nothing is changed.
    fn pay<'p>(
        &mut self,
        grant: &Grant,
        pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>,
    ) -> Result<Result<(), Answer>, Trouble> {
        let (mut more, mut less) = (0, 0);
        for (key, value) in pairs {
            more += size(grant, key, value.len());
            if let Some(before) = self.data.get(key)? {
                less += size(grant, key, Entry::read(before.value())?.length);
            }
        }
        let bytes = self.bytes(grant)?;
        let then = (*bytes + more).saturating_sub(less);
        if let Some(quota) = grant.quota.filter(|quota| then > *quota && more > less) {
            let bucket = &grant.bucket;
            let why = format!("the bucket {bucket:?} would have {then} bytes, and the arrow's quota is {quota}");
            return Ok(Err(Answer::Failed(Error::Quota, why)));
        }
        *bytes = then;
        Ok(Ok(()))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Trouble> {
        self.version += 1;
        let version = self.version;
        let short = if value.len() <= SHORT { value } else { &[] };
        let entry = [&version.to_le_bytes()[..], &(value.len() as u32).to_le_bytes(), short].concat();
        let before = match self.data.insert(key, &entry[..])? {
            Some(before) => Some(Entry::read(before.value())?).filter(Entry::is_long).map(|entry| entry.version),
            None => None,
        };
        if let Some(before) = before {
            self.long.remove(before)?;
        }
        if value.len() > SHORT {
            self.long.insert(version, value)?;
        }
        self.changes.push(Change { key: key.into(), version });
        Ok(())
    }

    fn delete(&mut self, grant: &Grant, key: &[u8]) -> Result<(), Trouble> {
        let before = match self.data.remove(key)? {
            Some(before) => {
                let entry = Entry::read(before.value())?;
                (entry.length, entry.is_long().then_some(entry.version))
            }
            None => return Ok(()),
        };
        if let (_, Some(version)) = before {
            self.long.remove(version)?;
        }
        // so that each group has one of its own
        self.version += 1;
        let bytes = self.bytes(grant)?;
        *bytes = bytes.saturating_sub(size(grant, key, before.0));
        self.changes.push(Change { key: key.into(), version: 0 });
        Ok(())
    }
}

/// What counts for the quota: about what it takes of the disk.
fn size(grant: &Grant, key: &[u8], length: usize) -> u64 {
    let value = if length > SHORT { length.next_multiple_of(PAGE) } else { length };
    (ENTRY + grant.bucket.len() + key.len() - grant.bucket_length() + value) as u64
}

/// What was durable at a moment.
pub struct View {
    data: ReadOnlyTable<&'static [u8], &'static [u8]>,
    long: ReadOnlyTable<u64, &'static [u8]>,
    /// holds what the table reads
    _transaction: ReadTransaction,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

impl View {
    fn new(database: &Database) -> Result<Self, Trouble> {
        let transaction = database.begin_read()?;
        Ok(View { data: transaction.open_table(DATA)?, long: transaction.open_table(LONG)?, _transaction: transaction })
    }

    /// The version of a key; 0: it is not there.
    ///
    /// # Errors
    /// The disk fails, or is damaged there.
    pub fn version(&self, key: &[u8]) -> Result<u64, Trouble> {
        Ok(match self.data.get(key)? {
            Some(found) => Entry::read(found.value())?.version,
            None => 0,
        })
    }

    /// Shows the version and the value of a key, if it is there.
    ///
    /// # Errors
    /// The disk fails, or is damaged there.
    pub fn get<T>(&self, key: &[u8], show: impl FnOnce(u64, Option<&[u8]>) -> T) -> Result<T, Trouble> {
        let Some(found) = self.data.get(key)? else { return Ok(show(0, None)) };
        let entry = Entry::read(found.value())?;
        if !entry.is_long() {
            return Ok(show(entry.version, Some(entry.short)));
        }
        let long = self.long.get(entry.version)?.ok_or_else(|| no_value(entry.version))?;
        Ok(show(entry.version, Some(long.value())))
    }

    /// The keys that begin with a prefix and follow another, as long as `take` says true.
    ///
    /// # Errors
    /// The disk fails, or is damaged there.
    pub fn keys(&self, prefix: &[u8], after: &[u8], mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Trouble> {
        let first = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        for entry in self.data.range::<&[u8]>((first, Bound::Unbounded))? {
            let (key, _) = entry?;
            if !key.value().starts_with(prefix) || !take(key.value()) {
                break;
            }
        }
        Ok(())
    }
}
