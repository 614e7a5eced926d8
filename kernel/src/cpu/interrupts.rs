//! Device interrupts: who gets which vector, and what runs when one arrives.
//!
//! A driver asks for a vector with [`allocate`] and gives the message to its device (MSI, MSI-X), or routes a legacy
//! line to it with [`super::ioapic::route`]. Its handler runs with interrupts off, on the interrupt stack, in the middle
//! of whatever the CPU was doing: it may touch atomics and its device's registers, and nothing that takes a lock, a
//! frame or heap. After any handler the CPU counts as woken, so an idle node looks at its devices again.
//!
//! Vectors 0 to 31 are exceptions; [`FIRST`] to [`LAST`] are given out here; above them are those of the
//! masked 8259s and the APIC's own.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::{apic, lock::Lock};

const FIRST: u8 = 0x20;
const LAST: u8 = 0x6f;
pub const TIMER: u8 = 0x7e;
/// Spurious interrupts; the low four bits must be ones on old APICs.
pub const SPURIOUS: u8 = 0x7f;

/// What runs when an interrupt arrives. It gets the `data` it was registered with.
pub type Handler = fn(data: usize);

/// An interrupt vector with a handler behind it. Vectors are never given back: drivers live as long as the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vector(u8);

/// What a device writes where to raise an interrupt: MSI's message, an entry of an MSI-X table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    pub address: u64,
    pub data: u32,
}

impl Vector {
    pub fn number(self) -> u8 {
        self.0
    }

    /// The message for this vector on the CPU that runs the node: fixed delivery, edge (Intel SDM volume 3, 11.11).
    pub fn message(self) -> Message {
        Message { address: 0xfee0_0000 | u64::from(apic::id() & 0xff) << 12, data: u32::from(self.0) }
    }
}

/// Every vector is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoVector;

struct Slot {
    /// a [`Handler`], or 0
    handler: AtomicUsize,
    data: AtomicUsize,
}

static SLOTS: [Slot; (LAST - FIRST) as usize + 1] =
    [const { Slot { handler: AtomicUsize::new(0), data: AtomicUsize::new(0) } }; (LAST - FIRST) as usize + 1];

static TAKEN: Lock<u8> = Lock::new(0);

/// Takes a free vector; from now on `handler(data)` runs whenever it is raised.
pub fn allocate(handler: Handler, data: usize) -> Result<Vector, NoVector> {
    let mut taken = TAKEN.lock();
    let slot = SLOTS.get(usize::from(*taken)).ok_or(NoVector)?;
    slot.data.store(data, Ordering::Relaxed);
    // the handler last: an interrupt that sees it must see its data
    slot.handler.store(handler as usize, Ordering::Release);
    let vector = Vector(FIRST + *taken);
    *taken += 1;
    Ok(vector)
}

/// Runs the handler of `vector` and acknowledges the interrupt. Called from the vector stubs, interrupts off.
pub fn dispatch(vector: u8) {
    match vector {
        SPURIOUS => return, // not to be acknowledged
        TIMER => crate::clock::timer::interrupt(),
        FIRST..=LAST => {
            run(&SLOTS[usize::from(vector - FIRST)]);
            super::current().woken.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
    apic::end_of_interrupt();
}

#[allow(unsafe_code)]
fn run(slot: &Slot) {
    let handler = slot.handler.load(Ordering::Acquire);
    if handler != 0 {
        // SAFETY: the only writer is `allocate`, which stores a `Handler`.
        let handler = unsafe { core::mem::transmute::<usize, Handler>(handler) };
        handler(slot.data.load(Ordering::Relaxed));
    }
}

/// Interrupts off until [`enable`] or [`enable_and_halt`].
pub fn disable() {
    x86_64::instructions::interrupts::disable();
}

pub fn enable() {
    x86_64::instructions::interrupts::enable();
}

/// Turns interrupts on and sleeps until one arrives. One that became pending while they were off is not lost: `sti`
/// takes effect only after the next instruction, which is the `hlt` that it then ends.
pub fn enable_and_halt() {
    x86_64::instructions::interrupts::enable_and_hlt();
}
