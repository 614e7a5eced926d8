//! A platform for tests: time passes only when the executor idles, or a task says so.

mod disk;

pub use disk::{FakeDisk, Random, block_on};

use crate::{
    platform::{Crypto, Disk, MemoryUse, Nanos, Nic, Platform, Power},
    slots::Store,
    volumes::Volumes,
};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::Waker,
};
use spin::Mutex;

#[derive(Default)]
pub struct FakePlatform {
    now: AtomicU64,
    polls: AtomicU64,
    console: Mutex<String>,
    disks: Mutex<Vec<Arc<dyn Disk>>>,
    slots: Mutex<Option<Arc<Store>>>,
    volumes: Volumes,
    /// what memories had in them when they were first put back, by their addresses; None: they cannot be
    memories: Mutex<Option<BTreeMap<usize, Vec<u8>>>>,
    /// 0: plenty
    memory: AtomicU64,
    /// its cryptography
    lends: AtomicBool,
}

impl FakePlatform {
    /// Lives as long as the tests.
    pub fn leak() -> &'static Self {
        alloc::boxed::Box::leak(alloc::boxed::Box::default())
    }

    /// How often its devices were looked at.
    pub fn polls(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    pub fn pass(&self, time: Nanos) {
        self.now.fetch_add(time, Relaxed);
    }

    /// Adds a disk: the first is `disk0`.
    pub fn add_disk(&self, disk: Arc<dyn Disk>) {
        self.disks.lock().push(disk);
    }

    pub fn set_slots(&self, store: Arc<Store>) {
        *self.slots.lock() = Some(store);
    }

    /// From now on memories can be put back: each to what it was the first time.
    pub fn keep_memories(&self) {
        *self.memories.lock() = Some(BTreeMap::new());
    }

    pub fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Relaxed);
    }

    /// From now on it lends its cryptography, or not.
    pub fn lends(&self, lends: bool) {
        self.lends.store(lends, Relaxed);
    }

    pub fn forget_console(&self) {
        *self.console.lock() = String::new();
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

    fn disk(&self, name: &str) -> Option<Arc<dyn Disk>> {
        let number: usize = name.strip_prefix("disk")?.parse().ok()?;
        self.disks.lock().get(number).cloned()
    }

    fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    fn crypto(&self) -> Option<Crypto> {
        self.lends.load(Relaxed).then(crypto_ring::here)
    }

    fn slots(&self) -> Option<Arc<Store>> {
        self.slots.lock().clone()
    }

    fn poll(&self) {
        self.polls.fetch_add(1, Relaxed);
    }

    fn idle(&self, until: Option<Nanos>) {
        let until = until.expect("every task sleeps for ever");
        self.now.fetch_max(until, Relaxed);
    }

    #[allow(unsafe_code)]
    unsafe fn revert(&self, memory: Range<usize>) -> bool {
        let start = core::ptr::with_exposed_provenance_mut::<u8>(memory.start);
        // SAFETY: it is a memory of an instance, which nobody uses meanwhile.
        let bytes = unsafe { core::slice::from_raw_parts_mut(start, memory.len()) };
        let mut memories = self.memories.lock();
        let Some(known) = &mut *memories else { return false };
        let first = known.entry(memory.start).or_insert_with(|| bytes.to_vec());
        bytes[first.len()..].fill(0);
        bytes[..first.len()].copy_from_slice(first);
        true
    }

    fn memory(&self) -> MemoryUse {
        let total = match self.memory.load(Relaxed) {
            0 => 1 << 30,
            memory => memory,
        };
        MemoryUse { total, ..MemoryUse::default() }
    }

    fn power(&self, power: Power) -> ! {
        panic!("{power:?}")
    }
}
