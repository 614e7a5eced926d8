//! The client's port of `pearwood:store/keyvalue`, held for a box that imports WASI's `keyvalue`.
//!
//! A request is charged to the box from the moment at which it is asked, with what waits to be sent of it, and its answer until the box
//! has it.

use super::{Promise, promise::Promised};
use crate::{
    arrows::channel::{Port, Refused},
    boxes::{Budget, Charge},
};
use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::fmt;
use spin::Mutex;
use wit::{
    Incoming, Peers,
    keyvalue::{Attach, Command, Error, Event},
};

/// What a request takes beside what is in it: at both ends of the promise, and in the maps.
const REQUEST: usize = 512;

/// A buffer of what waits for a service is kept if it is no larger.
const KEPT: usize = 8 << 10;

/// The most of a reason that is passed on.
const REASON: usize = 256;

pub struct Buckets {
    port: Arc<Port>,
    budget: Arc<Budget>,
    /// that the box has arrows to
    names: Vec<Arc<str>>,
    state: Mutex<State>,
}

struct State {
    /// with the names of their buckets
    peers: Peers<Arc<str>>,
    /// by peer and ticket
    asked: BTreeMap<(u32, u32), Asked>,
    ticket: u32,
}

struct Asked {
    promise: Promise<Reply>,
    /// pays for the request until it is answered
    _charge: Charge,
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Reply {
    /// the version, and the value with what pays for it
    Value(u64, Option<(Vec<u8>, Charge)>),
    Found(bool),
    /// `true`: others follow
    Keys(Vec<String>, bool, Charge),
    Done,
    Number(i64),
    /// The key has another version, this one.
    Conflict(u64),
    Failed(Fault),
}

/// Why a request has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The box has no arrow to a bucket of that name.
    NoBucket,
    Denied,
    /// in words
    Other(String),
}

impl Fault {
    fn other(why: impl fmt::Display) -> Self {
        let why = why.to_string();
        Fault::Other(why[..why.floor_char_boundary(REASON)].into())
    }

    fn no_memory() -> Self {
        Fault::other("the box's memory limit leaves no room for the request or its answer")
    }

    fn of(error: Error, why: &str) -> Self {
        match error {
            Error::Denied => Fault::Denied,
            _ => Fault::other(why),
        }
    }
}

impl Buckets {
    /// `names`: the buckets that the box has arrows to, whether those who keep them run or not.
    pub fn new(port: &Arc<Port>, names: &[Arc<str>], budget: &Arc<Budget>) -> Arc<Self> {
        // what waits is bounded by what its requests have paid for
        let state = State { peers: Peers::new(KEPT, usize::MAX), asked: BTreeMap::new(), ticket: 0 };
        Arc::new(Buckets {
            port: port.clone(),
            budget: budget.clone(),
            names: names.to_vec(),
            state: Mutex::new(state),
        })
    }

    /// The name of the bucket that a box means: that of its only arrow if it says none.
    pub fn find(&self, identifier: &str) -> Result<Arc<str>, Fault> {
        let exact = self.names.iter().find(|name| ***name == *identifier);
        let only = self.names.first().filter(|_| self.names.len() == 1 && matches!(identifier, "" | "default"));
        exact.or(only).cloned().ok_or(Fault::NoBucket)
    }

    /// Takes in what services have said.
    pub fn receive(&self) {
        let mut received = self.port.receive();
        let mut state = self.state.lock();
        for incoming in wit::incoming(received.buffer()).flatten() {
            match incoming {
                Incoming::Attach(peer, attach) => {
                    state.lose(peer, "it was replaced");
                    let bucket = Attach::decode(attach).map_or("", |attach| attach.bucket);
                    state.peers.attach(peer, bucket.into());
                }
                Incoming::Retire(peer) => state.peers.retire(peer),
                Incoming::Detach(peer, why) => {
                    state.lose(peer, &String::from_utf8_lossy(&why[..why.len().min(REASON)]));
                    state.peers.detach(peer);
                }
                Incoming::Record(peer, record) => {
                    let Ok(event) = Event::decode(&record) else { continue };
                    let Some(reply) = reply(event, &self.budget) else { continue };
                    if let Some(asked) = state.asked.remove(&(peer, record.id)) {
                        asked.promise.settle(Some(reply));
                    }
                }
            }
        }
    }

    /// Sends what was asked, and lets go of services that retire and owe no answer.
    pub fn flush(&self) -> Result<(), Refused> {
        let mut refused = Ok(());
        let mut state = self.state.lock();
        let State { peers, asked, .. } = &mut *state;
        let mut send = |peer, batch: &[u8]| {
            self.port.send(peer, batch).unwrap_or_else(|error| {
                refused = Err(error);
                false
            })
        };
        peers.retry();
        peers.flush(&mut send);
        if peers.any_retiring() {
            peers.release(|peer| asked.range((peer, 0)..=(peer, u32::MAX)).next().is_some());
            peers.flush(&mut send);
        }
        refused
    }

    /// Asks the service that has a bucket. `bytes`: what the request has in it.
    pub async fn ask<'c>(&self, bucket: &str, bytes: usize, command: impl FnOnce(u32) -> Command<'c>) -> Reply {
        match self.begin(bucket, bytes, command) {
            Ok(promised) => promised.await.unwrap_or_else(|| Reply::Failed(Fault::other("the request was given up"))),
            Err(fault) => Reply::Failed(fault),
        }
    }

    fn begin<'c>(
        &self,
        bucket: &str,
        bytes: usize,
        command: impl FnOnce(u32) -> Command<'c>,
    ) -> Result<Promised<Reply>, Fault> {
        // buffers grow to twice what they hold
        let charge = Charge::new(&self.budget, 2 * bytes + REQUEST).ok_or_else(Fault::no_memory)?;
        let mut state = self.state.lock();
        let State { peers, asked, ticket } = &mut *state;
        let found = peers.iter().find(|(number, name, _)| ***name == *bucket && !peers.is_retiring(*number));
        let Some(peer) = found.map(|(number, ..)| number) else {
            return Err(Fault::other("the box that keeps the bucket does not run"));
        };
        // one that is still open after four thousand million others is not used twice
        *ticket =
            (1..).map(|n| ticket.wrapping_add(n)).find(|it| !asked.contains_key(&(peer, *it))).unwrap_or_default();
        let Some(out) = peers.out(peer) else { return Err(Fault::NoBucket) };
        command(*ticket).encode(out.batch());
        let (promise, promised) = Promise::new();
        asked.insert((peer, *ticket), Asked { promise, _charge: charge });
        Ok(promised)
    }
}

impl State {
    fn lose(&mut self, peer: u32, why: &str) {
        while let Some((&key, _)) = self.asked.range((peer, 0)..=(peer, u32::MAX)).next() {
            if let Some(asked) = self.asked.remove(&key) {
                let fault = Fault::other(format_args!("the box that keeps the bucket is gone: {why}"));
                asked.promise.settle(Some(Reply::Failed(fault)));
            }
        }
    }
}

/// None: it answers no request.
fn reply(event: Event<'_>, budget: &Arc<Budget>) -> Option<Reply> {
    let no_memory = || Reply::Failed(Fault::no_memory());
    Some(match event {
        Event::Value { version, value: None, .. } => Reply::Value(version, None),
        Event::Value { version, value: Some(value), .. } => match Charge::new(budget, value.len()) {
            Some(charge) => Reply::Value(version, Some((value.into(), charge))),
            None => no_memory(),
        },
        Event::Found { version, .. } => Reply::Found(version > 0),
        Event::Keys { keys, more, .. } => {
            let bytes = keys.iter().map(|key| key.len() + size_of::<String>()).sum();
            match Charge::new(budget, bytes) {
                Some(charge) => Reply::Keys(keys.iter().map(String::from).collect(), more, charge),
                None => no_memory(),
            }
        }
        Event::Done { .. } => Reply::Done,
        Event::Number { number, .. } => Reply::Number(number),
        Event::Conflict { version, .. } => Reply::Conflict(version),
        Event::Failed { error, why, .. } => Reply::Failed(Fault::of(error, why)),
        // it is not asked for
        Event::Values { .. } => return None,
        Event::Changed { .. } | Event::Missed { .. } | Event::Unknown { .. } => return None,
    })
}

#[cfg(all(test, feature = "build"))]
mod tests;
