//! A platform for tests: time passes only when the executor idles, or a task says so.

use crate::platform::{MemoryUse, Nanos, Nic, Platform, Power};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Waker,
};
use spin::Mutex;

#[derive(Default)]
pub struct FakePlatform {
    now: AtomicU64,
    console: Mutex<String>,
}

impl FakePlatform {
    /// Lives as long as the tests.
    pub fn leak() -> &'static Self {
        alloc::boxed::Box::leak(alloc::boxed::Box::default())
    }

    pub fn pass(&self, time: Nanos) {
        self.now.fetch_add(time, Relaxed);
    }

    pub fn console(&self) -> String {
        self.console.lock().clone()
    }
}

impl Platform for FakePlatform {
    fn now(&self) -> Nanos {
        self.now.load(Relaxed)
    }

    fn wall_clock(&self) -> Option<u64> {
        None
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    fn write_console(&self, text: &str) {
        self.console.lock().push_str(text);
    }

    fn read_console(&self, _input: &mut Vec<u8>) {}

    fn set_console_waker(&self, _waker: &Waker) {}

    fn nic(&self, _name: &str) -> Option<Arc<dyn Nic>> {
        None
    }

    fn poll(&self) {}

    fn idle(&self, until: Option<Nanos>) {
        let until = until.expect("every task sleeps for ever");
        self.now.fetch_max(until, Relaxed);
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }

    fn power(&self, power: Power) -> ! {
        panic!("{power:?}")
    }
}
