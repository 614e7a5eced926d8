//! Which system a node starts.

use super::store::{Store, Turn};
use super::table::{SlotName, State, Table, What};
use super::{Kept, MAX_ATTEMPTS, SlotError};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// The system to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub slot: SlotName,
    pub deploy: u64,
    pub image: Kept,
    /// bytes of the whole image
    pub length: u64,
    /// Not known to work: which attempt this is, of [`MAX_ATTEMPTS`].
    pub attempt: Option<u32>,
}

/// What becomes of a slot that is looked at.
enum Verdict {
    Runs(Chosen),
    /// It would run, but that it is tried could not be written down.
    Unrecorded(Chosen),
    No,
}

impl Store {
    /// The system to start, if a slot holds one that stands. `accept` looks at signatures. What speaks against a slot is
    /// said to `tell`. Of an image with more than `most` bytes that can be used where it lies, only the head is read.
    ///
    /// An attempt is counted before it is made. A fall back becomes the rule: what did not stand its trial is not
    /// tried again.
    pub async fn choose(
        &self,
        most: u64,
        mut accept: impl FnMut(&Kept) -> Result<(), String>,
        mut tell: impl FnMut(String),
    ) -> Option<Chosen> {
        let turn = match self.turn() {
            Ok(turn) => turn,
            Err(error) => {
                tell(error.to_string());
                return None;
            }
        };
        self.starts(None);
        self.current()?;
        let mut slots: Vec<SlotName> = self.inner().table.candidates().collect();
        // those that have failed have their say too
        slots.extend(self.names().filter(|slot| !slots.contains(slot)).collect::<Vec<_>>());
        let mut last_resort = None;
        for slot in slots {
            match self.judge(&turn, slot, most, &mut accept, &mut tell).await {
                Verdict::No => {}
                Verdict::Unrecorded(chosen) => last_resort = last_resort.or(Some(chosen)),
                Verdict::Runs(chosen) => {
                    self.starts(Some(slot));
                    return Some(chosen);
                }
            }
        }
        self.starts(last_resort.as_ref().map(|chosen| chosen.slot));
        last_resort
    }

    fn starts(&self, slot: Option<SlotName>) {
        let mut inner = self.inner();
        (inner.running, inner.started) = (slot, slot);
    }

    async fn judge(
        &self,
        turn: &Turn<'_>,
        slot: SlotName,
        most: u64,
        accept: &mut impl FnMut(&Kept) -> Result<(), String>,
        tell: &mut impl FnMut(String),
    ) -> Verdict {
        let Some(held) = self.held(slot) else { return Verdict::No };
        let name = format!("slot {slot}, deploy {}", held.deploy);
        if self.inner().set_aside[slot as usize] {
            return Verdict::No;
        }
        match held.state {
            State::Failed => {
                tell(format!("{name}: it has failed before"));
                return Verdict::No;
            }
            State::Trial if !self.inner().table.may_start(slot) => {
                tell(format!("{name}: the node ended before it had stood its trial"));
                return Verdict::No;
            }
            State::Trial | State::Unbooted if held.attempts >= MAX_ATTEMPTS => {
                let why = format!("was started {} times and not reported good", held.attempts);
                tell(format!("{name}: {why}"));
                if let Err(error) = self.update(turn, |table| table.give_up(slot, What::Failed, &why)).await {
                    tell(format!("{name}: that it failed cannot be written down: {error}"));
                }
                return Verdict::No;
            }
            State::Trial | State::Unbooted | State::Good => {}
        }
        let image = match self.load(slot, most).await {
            Ok(image) => accept(&image).map(|()| image),
            Err(error @ SlotError::Corrupt(_)) => Err(error.to_string()),
            Err(error) => Err(format!("it cannot be read: {error}")),
        };
        let image = match image {
            Ok(image) => image,
            Err(why) => {
                tell(format!("{name}: {why}"));
                return Verdict::No;
            }
        };
        let chosen = Chosen { slot, deploy: held.deploy, image, length: held.length, attempt: None };
        if held.state == State::Good {
            return Verdict::Runs(chosen);
        }
        let chosen = Chosen { attempt: Some(held.attempts + 1), ..chosen };
        let count = |table: &mut Table| {
            if let Some(held) = table.held_mut(slot) {
                held.attempts += 1;
            }
        };
        match self.update(turn, count).await {
            Ok(()) => Verdict::Runs(chosen),
            Err(error) => {
                tell(format!("{name}: that it is tried cannot be written down: {error}"));
                Verdict::Unrecorded(chosen)
            }
        }
    }
}
