//! A node: one system, running.

mod console;
mod load;
mod start;
mod status;
#[cfg(all(test, feature = "build"))]
mod tests;
mod trial;
mod wire;

pub use start::{Setup, StartError};

use crate::{
    boxes::BoxHandle,
    executor::Executor,
    platform::Platform,
    slots::Store,
    system::{Routes, System},
};
use alloc::{sync::Arc, vec::Vec};
use wasmtime::Engine;

pub struct Node {
    platform: &'static dyn Platform,
    engine: Engine,
    executor: Executor,
    system: System,
    routes: Routes,
    /// in the order of the system's
    boxes: Vec<Arc<BoxHandle>>,
}

impl Node {
    /// Its epoch is to be incremented at each tick of the timer while boxes run.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    pub fn system(&self) -> &System {
        &self.system
    }

    pub fn boxes(&self) -> &[Arc<BoxHandle>] {
        &self.boxes
    }

    pub fn find(&self, name: &str) -> Option<&Arc<BoxHandle>> {
        self.boxes.iter().find(|handle| &*handle.name == name)
    }

    /// Where the node's system is kept, if it is: what is deployed goes there.
    pub fn slots(&self) -> Option<Arc<Store>> {
        self.platform.slots()
    }

    /// Runs the system until the node is powered off.
    pub fn run(&self) -> ! {
        self.executor.run(self.platform)
    }
}
