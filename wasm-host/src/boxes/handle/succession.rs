//! When another instance takes the place of a box.

use super::BoxHandle;
use crate::arrows::channel::Ready;
use alloc::{
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{sync::atomic::Ordering::Relaxed, task::Poll};

impl BoxHandle {
    /// Another takes the place of this box: it is told to finish, and does not come back.
    pub fn retire(&self) {
        if !self.retiring.swap(true, Relaxed) {
            self.signal.raise(Ready::RETIRE);
            self.wake();
            self.bell.ring();
        }
    }

    pub fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }

    /// What takes the place of this box is given its state.
    pub fn succeeded_by(&self, heir: &Arc<BoxHandle>) {
        self.heir.call_once(|| Arc::downgrade(heir));
    }

    /// The box hands its state over while it goes on. What arrives from here on is its heir's as well.
    pub(crate) fn give(&self, state: Vec<u8>) -> wasmtime::Result<()> {
        if !self.is_retiring() {
            wasmtime::bail!("nothing takes the place of this box yet");
        }
        if self.has_given.swap(true, Relaxed) {
            wasmtime::bail!("the state was given before");
        }
        if let Some(heir) = self.heir.get().and_then(Weak::upgrade) {
            self.nics.iter().for_each(|nic| nic.share());
            heir.listen_to_devices();
            self.save(Ok(state));
        }
        Ok(())
    }

    pub(in crate::boxes) fn has_given(&self) -> bool {
        self.has_given.load(Relaxed)
    }

    pub(in crate::boxes) fn save(&self, saved: Result<Vec<u8>, String>) {
        *self.saved.lock() = Some(saved);
        self.bell.ring();
    }

    /// What a box that retires has saved, once.
    pub fn take_saved(&self) -> Option<Result<Vec<u8>, String>> {
        self.saved.lock().take()
    }

    /// Waits, in its task, until the box is to retire, which may be while nothing of it runs.
    pub(in crate::boxes) fn retire_asked(&self) -> impl Future<Output = ()> {
        core::future::poll_fn(|_| if self.is_retiring() { Poll::Ready(()) } else { Poll::Pending })
    }
}
