//! What wasm-host asks of a machine, in terms of the kernel.

mod engine;

use alloc::{sync::Arc, vec::Vec};
use core::{ops::Range, sync::atomic::Ordering, task::Waker};

use wasm_host::{
    platform::{Disk, MemoryUse, Nanos, Nic, Platform, Power},
    slots::Store,
    volumes::Volumes,
};

pub use engine::configure;

use crate::{
    clock, console,
    cpu::{self, interrupts, lock::Lock},
    drivers::Devices,
    entropy,
    memory::{
        frames::{self, Owner},
        heap,
        layout::{PAGE, page_up},
        mappings,
    },
    power,
};

/// The machine that the kernel booted on.
pub struct Machine {
    devices: Devices,
    /// where its system is kept
    slots: Lock<Option<Arc<Store>>>,
    volumes: Volumes,
    measures: bool,
    secret: Option<[u8; 32]>,
}

impl Machine {
    /// `measures`: whether what goes over arrows is counted. `secret`: what boxes' own secrets are derived from.
    pub fn new(devices: Devices, measures: bool, secret: Option<[u8; 32]>) -> Machine {
        Machine { devices, slots: Lock::new(None), volumes: Volumes::default(), measures, secret }
    }

    /// From now on the node's system is kept there.
    #[cfg_attr(feature = "selftest", expect(dead_code, reason = "there is no system"))]
    pub fn keep_in(&self, store: Arc<Store>) {
        *self.slots.lock() = Some(store);
    }
}

impl Platform for Machine {
    fn now(&self) -> Nanos {
        clock::now()
    }

    fn wall_clock(&self) -> Option<u64> {
        clock::wall::at(clock::now())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        entropy::fill(bytes);
    }

    fn secret(&self) -> Option<[u8; 32]> {
        self.secret
    }

    fn write_console(&self, text: &str) {
        console::write(text);
    }

    fn read_console(&self, input: &mut Vec<u8>) {
        console::read(input);
    }

    fn set_console_waker(&self, waker: &Waker) {
        console::set_waker(waker);
    }

    fn nic(&self, name: &str) -> Option<Arc<dyn Nic>> {
        self.devices.nic(name)
    }

    fn disk(&self, name: &str) -> Option<Arc<dyn Disk>> {
        self.devices.disk(name)
    }

    fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    #[cfg(feature = "crypto")]
    fn crypto(&self) -> Option<wasm_host::platform::Crypto> {
        Some(crate::crypto::table())
    }

    fn slots(&self) -> Option<Arc<Store>> {
        self.slots.lock().clone()
    }

    fn poll(&self) {
        console::poll();
        self.devices.poll();
    }

    /// Sleeps with interrupts on only from the last look at whatever could end the sleep: an interrupt that arrives
    /// after it stays pending until `hlt`, and ends that.
    fn idle(&self, until: Option<Nanos>) {
        clock::refine();
        let cpu = cpu::current();
        interrupts::disable();
        cpu.woken.store(false, Ordering::Relaxed);
        if self.devices.arm() {
            while !cpu.woken.load(Ordering::Relaxed)
                && !console::has_input()
                && until.is_none_or(|until| clock::now() < until)
            {
                clock::timer::idle(until);
                interrupts::enable_and_halt();
                interrupts::disable();
            }
        }
        self.devices.disarm();
        clock::timer::busy();
        interrupts::enable();
    }

    fn memory(&self) -> MemoryUse {
        let frames = frames::usage();
        let heap = heap::usage();
        let in_use = frames.total - frames.free - frames.of(Owner::Heap);
        MemoryUse {
            total: (frames.total * PAGE) as u64,
            frames: (in_use * PAGE) as u64,
            heap: heap.used as u64,
            heap_peak: heap.peak as u64,
        }
    }

    #[allow(unsafe_code)]
    unsafe fn revert(&self, memory: Range<usize>) -> bool {
        // SAFETY: the memory is an instance's, which wasmtime has mapped, and does not run.
        unsafe { mappings::revert(memory.start..page_up(memory.end)) }
    }

    fn measures(&self) -> bool {
        self.measures
    }

    fn power(&self, power: Power) -> ! {
        match power {
            Power::Off => power::off(),
            Power::Reboot => power::reboot(),
        }
    }
}
