//! The operator's console: a 16550 at COM1 (National Semiconductor PC16550D datasheet).
//!
//! Output is polled, so that it is out when the call returns, whatever happens next. Input arrives by interrupt, which
//! also ends the node's sleep.

use alloc::vec::Vec;
use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    task::Waker,
};

use wasm_host::stamp::Stamp;
use x86_64::instructions::port::Port;

use crate::{
    clock,
    cpu::{interrupts, ioapic, lock::Lock},
};

const BASE: u16 = 0x3f8;
/// Its line on the ISA bus.
const LINE: u8 = 4;

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const RECEIVED: u8 = 1 << 0;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
const FIFO: usize = 16;

/// There is a port.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// What was typed and not read yet: written by the interrupt handler, read by [`read`]. When it is full, input is lost.
static TYPED: Ring =
    Ring { bytes: [const { AtomicU8::new(0) }; RING], written: AtomicUsize::new(0), read: AtomicUsize::new(0) };
const RING: usize = 256;

static WAKER: Lock<Option<Waker>> = Lock::new(None);

struct Ring {
    bytes: [AtomicU8; RING],
    /// how many bytes were ever written, and read
    written: AtomicUsize,
    read: AtomicUsize,
}

/// 115,200 baud, 8 bits, no parity, FIFOs on.
pub fn init() {
    write_register(SCRATCH, 0x5a);
    if read_register(SCRATCH) != 0x5a {
        return;
    }
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 0x80); // the next two are the divisor
    write_register(DATA, 1);
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 0x03);
    write_register(FIFO_CONTROL, 0x07);
    write_register(MODEM_CONTROL, 0x0b); // DTR, RTS, and OUT2, which lets the interrupt through
    PRESENT.store(true, Ordering::Relaxed);
}

/// Lets input interrupt. Without, there is none.
pub fn enable_input() {
    if !PRESENT.load(Ordering::Relaxed) {
        return;
    }
    let routed = interrupts::allocate(|_| receive(), 0).is_ok_and(|vector| ioapic::route_isa(LINE, vector).is_ok());
    if routed {
        write_register(INTERRUPT_ENABLE, 1);
        receive(); // what is there already raises no edge
    }
}

/// Writes all of `text`, at whatever pace the other end takes it.
pub fn write(text: &str) {
    put(text, || true);
}

/// Writes `text` for as long as `patience` lasts, which is asked at each look at a transmitter that is not ready.
fn put(text: &str, mut patience: impl FnMut() -> bool) {
    if !PRESENT.load(Ordering::Relaxed) {
        return;
    }
    // The empty transmitter takes a whole FIFO of bytes; a terminal wants a carriage return before each line feed.
    let mut room = 0;
    for byte in text.bytes() {
        for byte in (byte == b'\n').then_some(b'\r').into_iter().chain([byte]) {
            if room == 0 {
                while read_register(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
                    if !patience() {
                        return;
                    }
                    core::hint::spin_loop();
                }
                room = FIFO;
            }
            write_register(DATA, byte);
            room -= 1;
        }
    }
}

/// Moves what was typed to the end of `input`.
pub fn read(input: &mut Vec<u8>) {
    let written = TYPED.written.load(Ordering::Acquire);
    let mut read = TYPED.read.load(Ordering::Relaxed);
    while read != written {
        input.push(TYPED.bytes[read % RING].load(Ordering::Relaxed));
        read += 1;
    }
    TYPED.read.store(read, Ordering::Release);
}

/// Wakes whoever waits for input, if there is any.
pub fn poll() {
    if has_input()
        && let Some(waker) = WAKER.lock().take()
    {
        waker.wake();
    }
}

/// [`poll`] wakes this waker, once. It replaces the one before.
pub fn set_waker(waker: &Waker) {
    *WAKER.lock() = Some(waker.clone());
}

/// True if something was typed and not read.
pub fn has_input() -> bool {
    TYPED.written.load(Ordering::Relaxed) != TYPED.read.load(Ordering::Relaxed)
}

/// The interrupt handler: takes what arrived.
fn receive() {
    while read_register(LINE_STATUS) & RECEIVED != 0 {
        let byte = read_register(DATA);
        let written = TYPED.written.load(Ordering::Relaxed);
        if written - TYPED.read.load(Ordering::Acquire) < RING {
            TYPED.bytes[written % RING].store(byte, Ordering::Relaxed);
            TYPED.written.store(written + 1, Ordering::Release);
        }
    }
}

/// A writer for reports of the kernel's own failures. The console has no lock, so it works wherever they happen; and one
/// that takes nothing is waited for only so long.
pub fn emergency() -> impl fmt::Write {
    Emergency { looks: EMERGENCY_LOOKS }
}

/// How often a report looks at a transmitter that is not ready, in all. A look takes about a microsecond on a machine,
/// and a report takes half a second to write.
const EMERGENCY_LOOKS: u32 = 5_000_000;

struct Emergency {
    looks: u32,
}

impl fmt::Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let looks = &mut self.looks;
        put(text, || {
            *looks = looks.saturating_sub(1);
            *looks > 0
        });
        Ok(())
    }
}

struct Writer;

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text);
        Ok(())
    }
}

/// What the kernel and the node log goes to the console, and of the libraries under them what is amiss.
pub struct Log;

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let own = ["kernel", "wasm_host"].iter().any(|name| metadata.target().starts_with(name));
        metadata.level() <= if own { log::max_level() } else { log::LevelFilter::Warn }
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let at = clock::now();
            let stamp = Stamp { at, time: clock::wall::at(at) };
            let _ = fmt::write(&mut Writer, format_args!("[{stamp}] {}\n", record.args()));
        }
    }

    fn flush(&self) {}
}

#[allow(unsafe_code)]
fn read_register(register: u16) -> u8 {
    // SAFETY: a register of the serial port, or of nothing.
    unsafe { Port::new(BASE + register).read() }
}

#[allow(unsafe_code)]
fn write_register(register: u16, value: u8) {
    // SAFETY: as in `read_register`.
    unsafe { Port::new(BASE + register).write(value) }
}
