//! What a node asks of its platform, in terms of Linux.

use super::reactor::Reactor;
use std::{
    io::{self, Write},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use wasm_host::{
    engine::Engines,
    platform::{Crypto, Disk, MemoryUse, Nanos, Nic, Platform, Power},
    slots::Store,
    volumes::Volumes,
};

pub struct Linux {
    started: Instant,
    reactor: Reactor,
    typed: Mutex<Typed>,
    /// where the console goes besides the standard output
    log: Mutex<Option<std::fs::File>>,
    disks: Mutex<Vec<Arc<dyn Disk>>>,
    slots: Mutex<Option<Arc<Store>>>,
    volumes: Volumes,
    /// what boxes' own secrets are derived from
    secret: [u8; 32],
}

#[derive(Default)]
struct Typed {
    bytes: Vec<u8>,
    waker: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // what is behind these locks stays whole wherever a thread ends
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Linux {
    /// `log` gets a copy of what is written to the console; boxes' own secrets are derived from `secret`.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    pub fn new(log: Option<std::fs::File>, secret: [u8; 32]) -> io::Result<&'static Self> {
        Ok(Box::leak(Box::new(Linux {
            started: Instant::now(),
            reactor: Reactor::new()?,
            typed: Mutex::default(),
            log: Mutex::new(log),
            disks: Mutex::default(),
            slots: Mutex::default(),
            volumes: Volumes::default(),
            secret,
        })))
    }

    pub(super) fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Adds a disk: the first is `disk0`.
    pub fn add_disk(&self, disk: Arc<dyn Disk>) {
        lock(&self.disks).push(disk);
    }

    /// From now on the node's system is kept there.
    pub fn keep_in(&self, store: Arc<Store>) {
        *lock(&self.slots) = Some(store);
    }

    /// Ends the executor's sleep. For threads that have made something ready.
    pub fn notify(&self) {
        self.reactor.notify();
    }

    /// Takes lines from the standard input as the operator's, but for those that `own` obeys.
    pub fn read_stdin(&'static self, mut own: impl FnMut(&str) -> bool + Send + 'static) {
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if own(line.trim()) {
                    continue;
                }
                let mut typed = lock(&self.typed);
                typed.bytes.extend_from_slice(line.as_bytes());
                typed.bytes.push(b'\n');
                if let Some(waker) = typed.waker.take() {
                    waker.wake();
                }
                drop(typed);
                self.notify();
            }
        });
    }

    /// Increments the epoch each millisecond, so that boxes yield.
    pub fn tick(&self, engines: &Engines) {
        let tick = engines.ticker();
        std::thread::spawn(move || {
            while tick() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

/// # Panics
/// If Linux gives no randomness, without which nothing that a node promises holds.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("Linux gives no randomness");
}

impl Platform for Linux {
    fn now(&self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }

    fn wall_clock(&self) -> Option<u64> {
        SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_nanos() as u64)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }

    fn secret(&self) -> Option<[u8; 32]> {
        Some(self.secret)
    }

    fn write_console(&self, text: &str) {
        // A console that is gone does not stop the node.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        if let Some(log) = &mut *lock(&self.log) {
            let _ = log.write_all(text.as_bytes());
        }
    }

    fn read_console(&self, input: &mut Vec<u8>) {
        input.append(&mut lock(&self.typed).bytes);
    }

    fn set_console_waker(&self, waker: &Waker) {
        lock(&self.typed).waker = Some(waker.clone());
    }

    /// There is none: the network is that of Linux, and the `net` box is stood in for.
    fn nic(&self, _name: &str) -> Option<Arc<dyn Nic>> {
        None
    }

    fn disk(&self, name: &str) -> Option<Arc<dyn Disk>> {
        let number: usize = name.strip_prefix("disk")?.parse().ok()?;
        lock(&self.disks).get(number).cloned()
    }

    fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    fn crypto(&self) -> Option<Crypto> {
        Some(crypto_ring::here())
    }

    fn slots(&self) -> Option<Arc<Store>> {
        lock(&self.slots).clone()
    }

    fn poll(&self) {
        self.reactor.look();
    }

    fn idle(&self, until: Option<Nanos>) {
        self.reactor.sleep(until.map(|until| Duration::from_nanos(until.saturating_sub(self.now()))));
    }

    /// wasmtime maps a memory privately: its image, and nothing beside that (madvise(2), `MADV_DONTNEED`).
    #[expect(unsafe_code)]
    unsafe fn revert(&self, memory: Range<usize>) -> bool {
        let start = std::ptr::with_exposed_provenance_mut(memory.start);
        // SAFETY: the memory is an instance's, which nobody uses meanwhile.
        unsafe { rustix::mm::madvise(start, memory.len(), rustix::mm::Advice::LinuxDontNeed) }.is_ok()
    }

    /// `frames` is the resident set of the process; the heap is not told apart from it.
    fn memory(&self) -> MemoryUse {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1_024
        };
        MemoryUse {
            total: field("/proc/meminfo", "MemTotal:"),
            frames: field("/proc/self/status", "VmRSS:"),
            heap: 0,
            heap_peak: 0,
        }
    }

    fn power(&self, power: Power) -> ! {
        std::process::exit(match power {
            Power::Off => 0,
            // whoever started the node starts it again
            Power::Reboot => 3,
        })
    }
}
