//! What was deployed: who, when, what changed, and what came of it.

use crate::{
    executor::{Bell, Timer},
    platform::Nanos,
    slots::SlotName,
};
use alloc::{collections::VecDeque, format, string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use spin::Mutex;

/// Deployments that are remembered.
const KEPT: usize = 32;

pub struct Deployments(Mutex<Inner>);

struct Inner {
    /// the number of the first since the node's boot
    first: u64,
    last: u64,
    past: VecDeque<Arc<Deployment>>,
}

/// One change of the running system, under way or over.
pub struct Deployment {
    record: Mutex<Record>,
    /// Somebody has confirmed it.
    is_confirmed: AtomicBool,
    bell: Bell,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// counts the deployments: since the node's boot, or of all times if the node keeps systems on a disk
    pub number: u64,
    /// whoever asked for it
    pub by: String,
    /// nanoseconds since the node's boot
    pub began: Nanos,
    pub ended: Option<Nanos>,
    /// nanoseconds since 1970, if the node knew
    pub wall_clock: Option<u64>,
    /// a line for each box that is another
    pub changes: Vec<String>,
    pub step: Step,
    /// While somebody is to confirm it over the network.
    pub awaits: Option<Awaits>,
    /// of one that is done
    pub lasts: Option<Lasts>,
}

/// That somebody confirms a deployment. Nanoseconds since the node's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaits {
    /// When the new system had taken over all that was handed to it: what was open before proves nothing.
    pub since: Nanos,
    /// Then the old system is put back.
    pub until: Nanos,
}

/// Somebody who confirms a deployment. Nanoseconds since the node's boot.
pub(crate) struct Comes<'a> {
    pub by: &'a str,
    /// when the connection was made over which this comes
    pub since: Nanos,
    pub now: Nanos,
    /// It is meant, even if it is somebody else's.
    pub other: bool,
}

/// What is so when the node is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lasts {
    /// It is on the disk, and what the node starts.
    Kept { slot: SlotName },
    /// The node keeps no system on a disk, though the system may name one for it, and starts what it was started with.
    UntilTheEnd { wanted: Option<String> },
    /// The disk failed when this was to be written down.
    Uncertain { why: String },
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Components are loaded, instances made.
    Preparing,
    /// State goes from old instances to new ones.
    HandingOver,
    /// The new system runs, on trial; the old one finishes.
    Trial,
    /// The new system failed, and the old one is put back.
    RollingBack {
        why: String,
    },
    Over(Outcome),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new system runs.
    Done,
    /// Nothing was changed, and why.
    Refused { why: String },
    /// The new system ran and failed; the old one runs again.
    RolledBack { why: String },
    /// The new system failed, and so did putting back the old one.
    Stuck { why: String, back: String },
}

/// Why no deployment has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBegun {
    /// The deployment of that number is under way.
    Busy { number: u64 },
    /// The node runs this system already, and starts it.
    Unchanged,
}

impl Deployments {
    /// Those that follow the one of that number.
    pub fn after(last: u64) -> Self {
        Deployments(Mutex::new(Inner { first: last + 1, last, past: VecDeque::new() }))
    }

    /// The number of the first one.
    pub fn first(&self) -> u64 {
        self.0.lock().first
    }

    /// The one of that number, since the node's boot.
    pub fn find(&self, number: u64) -> Option<Arc<Deployment>> {
        self.0.lock().past.iter().find(|it| it.record.lock().number == number).cloned()
    }

    /// The one that is under way.
    pub fn under_way(&self) -> Option<Arc<Deployment>> {
        self.0.lock().past.back().filter(|last| last.outcome().is_none()).cloned()
    }

    /// Oldest first.
    pub fn history(&self) -> Vec<Record> {
        self.0.lock().past.iter().map(|deployment| deployment.record()).collect()
    }

    pub(super) fn begin(&self, by: &str, now: Nanos, wall_clock: Option<u64>) -> Result<Arc<Deployment>, NotBegun> {
        let mut inner = self.0.lock();
        if let Some(last) = inner.past.back().filter(|last| last.outcome().is_none()) {
            return Err(NotBegun::Busy { number: last.record().number });
        }
        inner.last += 1;
        let record = Record {
            number: inner.last,
            by: by.into(),
            began: now,
            ended: None,
            wall_clock,
            changes: Vec::new(),
            step: Step::Preparing,
            awaits: None,
            lasts: None,
        };
        let deployment = Arc::new(Deployment {
            record: Mutex::new(record),
            is_confirmed: AtomicBool::new(false),
            bell: Bell::default(),
        });
        if inner.past.len() == KEPT {
            inner.past.pop_front();
        }
        inner.past.push_back(deployment.clone());
        Ok(deployment)
    }
}

impl Deployment {
    pub fn record(&self) -> Record {
        self.record.lock().clone()
    }

    /// None while it goes on.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.record.lock().step {
            Step::Over(outcome) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Rings at each step.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Waits until it is over.
    pub async fn over(&self) -> Outcome {
        self.bell.until(|| self.outcome()).await
    }

    /// Waits until it is at another step than `step`, or until `deadline`.
    pub async fn past(&self, step: &Step, timer: &Arc<Timer>, deadline: Nanos) -> Step {
        let look = || Some(self.record.lock().step.clone()).filter(|now| now != step);
        self.bell.until_or(timer, deadline, look).await.unwrap_or_else(|| step.clone())
    }

    /// The new system has taken its place, and is on trial; it is to be confirmed, if `awaits` says by when.
    pub(super) fn on_trial(&self, awaits: Option<Awaits>) {
        {
            let mut record = self.record.lock();
            (record.step, record.awaits) = (Step::Trial, awaits);
        }
        self.bell.ring();
    }

    /// Waits until somebody has confirmed it, if anybody is to.
    ///
    /// # Errors
    /// In words, when the time for that is over.
    pub(super) async fn confirmed(&self, timer: &Arc<Timer>) -> Result<(), String> {
        let Some(Awaits { since, until }) = self.record.lock().awaits else { return Ok(()) };
        let look = || self.record.lock().awaits.is_none().then_some(());
        self.bell.until_or(timer, until, look).await.ok_or_else(|| {
            let seconds = (until - since) / 1_000_000_000;
            format!("nobody came back over the network to confirm it within {seconds} s")
        })
    }

    /// Somebody has come back. What was confirmed may be confirmed again: whoever does so may not have heard the answer.
    ///
    /// # Errors
    /// Why that confirms nothing.
    pub(crate) fn confirm(&self, comes: &Comes<'_>) -> Result<(), String> {
        let Comes { by, since, now, other } = *comes;
        {
            let mut record = self.record.lock();
            let number = record.number;
            if by != record.by && !other {
                return Err(format!(
                    "deployment {number} was begun by {}, and is not {by}'s to confirm; to do it all the same, say so: \
                     `pearwood confirm --other`",
                    record.by
                ));
            }
            match (record.awaits, &record.step) {
                (None, Step::Trial | Step::Over(Outcome::Done)) if self.is_confirmed.load(Relaxed) => return Ok(()),
                (None, Step::Preparing | Step::HandingOver) => {
                    return Err(format!("deployment {number} does not run yet: it is confirmed when it is on trial"));
                }
                (None, _) => return Err(format!("deployment {number} does not wait for anybody to confirm it")),
                (Some(awaits), _) if now >= awaits.until => {
                    return Err(format!("it is too late to confirm deployment {number}: the node goes back by itself"));
                }
                (Some(awaits), _) if since < awaits.since => {
                    return Err(format!(
                        "deployment {number} is confirmed over a connection that was made since it runs: connect again"
                    ));
                }
                (Some(_), _) => {
                    record.awaits = None;
                    self.is_confirmed.store(true, Relaxed);
                }
            }
        }
        self.bell.ring();
        Ok(())
    }

    pub(super) fn changes(&self, lines: Vec<String>) {
        self.record.lock().changes = lines;
    }

    pub(super) fn lasts(&self, lasts: Lasts) {
        self.record.lock().lasts = Some(lasts);
    }

    pub(super) fn step(&self, step: Step) {
        {
            let mut record = self.record.lock();
            // only what is on trial can be confirmed
            (record.step, record.awaits) = (step, None);
        }
        self.bell.ring();
    }

    pub(super) fn end(&self, outcome: Outcome, now: Nanos) {
        {
            let mut record = self.record.lock();
            (record.ended, record.awaits) = (Some(now), None);
            record.step = Step::Over(outcome);
        }
        self.bell.ring();
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Preparing => f.write_str("being prepared"),
            Step::HandingOver => f.write_str("state is handed over"),
            Step::Trial => f.write_str("on trial"),
            Step::RollingBack { why } => write!(f, "being rolled back: {why}"),
            Step::Over(outcome) => write!(f, "{outcome}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Refused { why } => write!(f, "refused: {why}"),
            Outcome::RolledBack { why } => write!(f, "rolled back: {why}"),
            Outcome::Stuck { why, back } => write!(f, "failed: {why}; and the old system did not come back: {back}"),
        }
    }
}

impl fmt::Display for Lasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lasts::Kept { slot } => write!(f, "it is kept in slot {slot} of the node's disk, and started from now on"),
            Lasts::UntilTheEnd { wanted: None } => {
                f.write_str("it lasts until the node is started again: the node keeps no system on a disk")
            }
            Lasts::UntilTheEnd { wanted: Some(device) } => {
                write!(f, "it lasts until the node is started again: the node has not started with slots on {device}")
            }
            Lasts::Uncertain { why } => {
                write!(f, "it runs, but may not when the node is started again: the node's disk failed: {why}")
            }
        }
    }
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotBegun::Busy { number } => write!(f, "deployment {number} is under way"),
            NotBegun::Unchanged => f.write_str("nothing changed: the node runs this system already"),
        }
    }
}

impl core::error::Error for NotBegun {}
