//! Randomness: a ChaCha20 generator, seeded and reseeded from whatever the machine has.

mod cpu;
mod generator;

use crate::cpu::lock::Lock;
use alloc::{boxed::Box, vec::Vec};
use generator::Generator;

/// A device that yields entropy.
pub trait Source: Send {
    fn name(&self) -> &str;

    /// Passes on what the device has delivered since the last time, without waiting.
    fn take(&mut self, absorb: &mut dyn FnMut(&[u8]));
}

/// Output after which fresh entropy is mixed in.
const RESEED_BYTES: usize = 1 << 20;
/// The same in ticks of the CPU's clock: about a minute and a half.
const RESEED_TICKS: u64 = 1 << 38;
/// How long the node waits for a device when the CPU has no randomness of its own: about a second.
const DEVICE_PATIENCE: u64 = 1 << 31;

static STATE: Lock<State> = Lock::new(State::new());

struct State {
    generator: Generator,
    sources: Vec<Box<dyn Source>>,
    seeded: bool,
    /// no device has answered yet
    awaiting: bool,
    bytes: usize,
    /// when it was last reseeded
    at: u64,
}

/// Starts using these devices, and seeds the generator. Logs what it was seeded from.
pub fn init(sources: Vec<Box<dyn Source>>) {
    let mut state = STATE.lock();
    state.awaiting = !sources.is_empty();
    state.sources = sources;
    state.seed();
}

/// Cryptographically strong random bytes.
pub fn fill(bytes: &mut [u8]) {
    let mut state = STATE.lock();
    if !state.seeded {
        state.seed();
    }
    state.refresh();
    state.bytes += bytes.len();
    state.generator.fill(bytes);
}

impl State {
    const fn new() -> Self {
        State { generator: Generator::new(), sources: Vec::new(), seeded: false, awaiting: false, bytes: 0, at: 0 }
    }

    fn seed(&mut self) {
        let before = self.seeded;
        self.seeded = true;
        if let Some(instruction) = self.absorb_cpu() {
            log::info!("entropy: seeded from {instruction}");
            // A device's answer is mixed in when it comes.
            self.absorb_devices();
            return;
        }
        let start = cpu::timestamp();
        while self.awaiting && cpu::timestamp().wrapping_sub(start) < DEVICE_PATIENCE {
            self.absorb_devices();
            core::hint::spin_loop();
        }
        if !self.awaiting && !self.sources.is_empty() {
            log::info!("entropy: seeded from {}", self.sources[0].name());
            return;
        }
        self.generator.absorb(&cpu::jitter());
        if !before {
            log::warn!(
                "entropy: the machine has neither RDRAND nor a virtio-rng device. Random numbers come from timing alone \
                 and may be guessed: do not make keys on this node"
            );
        }
    }

    /// Mixes in fresh entropy now and then, and what the devices answer first as soon as they do.
    fn refresh(&mut self) {
        if self.awaiting {
            self.absorb_devices();
        }
        if !self.generator.is_spent() {
            return;
        }
        if self.bytes >= RESEED_BYTES || cpu::timestamp().wrapping_sub(self.at) >= RESEED_TICKS {
            self.absorb_cpu();
            self.absorb_devices();
        }
    }

    /// The time, and what the CPU's generator gives.
    fn absorb_cpu(&mut self) -> Option<&'static str> {
        self.at = cpu::timestamp();
        self.bytes = 0;
        self.generator.absorb(&self.at.to_le_bytes());
        let (instruction, words) = cpu::seed()?;
        let mut seed = [0; 32];
        seed.as_chunks_mut().0.iter_mut().zip(words).for_each(|(part, word)| *part = word.to_le_bytes());
        self.generator.absorb(&seed);
        Some(instruction)
    }

    fn absorb_devices(&mut self) {
        for source in &mut self.sources {
            source.take(&mut |bytes| {
                if !bytes.is_empty() {
                    self.generator.absorb(bytes);
                    self.awaiting = false;
                }
            });
        }
    }
}
