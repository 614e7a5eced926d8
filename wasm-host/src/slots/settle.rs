//! What becomes of the systems in the slots.

use super::store::Store;
use super::table::{SlotName, State, Table, What};
use super::{About, SlotError};

impl Store {
    /// The system that runs works: from now on it is what is fallen back to. False if there was nothing to report.
    pub async fn mark_good(&self) -> Result<bool, SlotError> {
        let turn = self.turn()?;
        let Some(slot) = self.running().filter(|_| self.on_trial()) else { return Ok(false) };
        self.update(&turn, |table| table.settle(slot, What::Good, "")).await?;
        Ok(true)
    }

    /// Somebody has reached a node that was started from the disk: what it runs can be booted. That is noted once.
    pub async fn mark_booted(&self) -> Result<(), SlotError> {
        if self.awaits_boot() {
            self.mark_good().await?;
        }
        Ok(())
    }

    /// The system that runs does not work: if it is on trial, it is not tried again. False if it is not; what has been
    /// good, if only while a node ran, has its [attempts](super::MAX_ATTEMPTS).
    pub async fn mark_failed(&self, why: &str) -> Result<bool, SlotError> {
        let turn = self.turn()?;
        let is_tried = |slot: &SlotName| self.held(*slot).is_some_and(|held| held.state == State::Trial);
        let Some(slot) = self.running().filter(is_tried) else { return Ok(false) };
        self.update(&turn, |table| table.give_up(slot, What::Failed, why)).await?;
        Ok(true)
    }

    /// The system in a slot has stood its trial while the node ran: it is what is started from now on.
    pub async fn promote(&self, slot: SlotName) -> Result<(), SlotError> {
        let turn = self.turn()?;
        self.held(slot).ok_or(SlotError::Empty(slot))?;
        let change = |table: &mut Table| {
            table.settle(slot, What::Good, "");
            if let Some(held) = table.held_mut(slot) {
                held.state = State::Unbooted;
            }
            table.make_current(slot);
        };
        self.update(&turn, change).await
    }

    /// The system in a slot has not stood its trial, or has never come to it.
    pub async fn give_up(&self, slot: SlotName, what: What, why: &str) -> Result<(), SlotError> {
        let turn = self.turn()?;
        self.update(&turn, |table| table.give_up(slot, what, why)).await
    }

    /// Notes a deployment whose system was not written.
    pub async fn note(&self, what: What, why: &str, about: &About) -> Result<(), SlotError> {
        let turn = self.turn()?;
        let change = |table: &mut Table| {
            table.note(None, what, why, about);
        };
        self.update(&turn, change).await
    }

    /// Makes the good system in a slot the current one. What is left for it has failed if it was on trial.
    pub async fn go_back(&self, slot: SlotName, about: &About) -> Result<(), SlotError> {
        let turn = self.turn()?;
        let held = self.held(slot).filter(|held| held.state.is_good()).ok_or(SlotError::Empty(slot))?;
        let change = |table: &mut Table| {
            let left = table.current.filter(|left| *left != slot);
            table.make_current(slot);
            if let Some(left) = left.filter(|left| table.held(*left).is_some_and(|held| held.state == State::Trial)) {
                table.give_up(left, What::Failed, "it was gone back from");
            }
            if let Some(held) = table.held_mut(slot) {
                held.attempts = 0;
            }
            table.newest = table.newest.max(about.version);
            table.note(Some(held.hash), What::Good, "", about);
        };
        self.update(&turn, change).await
    }
}
