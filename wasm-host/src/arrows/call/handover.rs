//! A queue stands still while the state of one instance goes over to another.

use super::{
    queue::CallQueue,
    state::{Handover, Life},
};
use crate::{executor::Timer, platform::Nanos};
use alloc::{sync::Arc, vec::Vec};
use core::task::Waker;

impl CallQueue {
    /// Has the instance that serves finish its call and save its state. Until another instance has joined, or
    /// [`CallQueue::resume`], nothing else is begun.
    ///
    /// # Errors
    /// Why there is no state. The queue goes on then.
    pub async fn save(&self, timer: &Arc<Timer>, deadline: Nanos) -> Result<Vec<u8>, Arc<str>> {
        let waker = {
            let mut state = self.0.state.lock();
            if !matches!(state.life, Life::Up) {
                return Err("none of its instances serves".into());
            }
            state.handover = Handover::Asked;
            let server = state.servers.iter_mut().find(|server| !server.retired && server.work.is_none());
            server.and_then(|server| server.waker.take())
        };
        waker.into_iter().for_each(Waker::wake);
        let look = || {
            let mut state = self.0.state.lock();
            match core::mem::replace(&mut state.handover, Handover::Taken) {
                Handover::Saved(saved) => Some(saved),
                other => {
                    state.handover = other;
                    None
                }
            }
        };
        let saved = self.0.bell.until_or(timer, deadline, look).await;
        let saved = saved.unwrap_or_else(|| Err("its call did not end in time".into()));
        if saved.is_err() {
            self.resume();
        }
        saved
    }

    /// The instance that serves begins no other call. Calls wait for another, which is to come soon.
    pub fn retire(&self) {
        let waker = self.0.state.lock().retire();
        waker.into_iter().for_each(Waker::wake);
    }

    /// The old instance goes on.
    pub fn resume(&self) {
        let mut state = self.0.state.lock();
        state.handover = Handover::No;
        let wakers: Vec<Waker> = state.servers.iter_mut().filter_map(|server| server.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}
