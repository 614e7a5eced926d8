//! The kernel: boots a machine, owns its memory, time and devices, and stands under wasm-host as its platform.
//!
//! `unsafe` is allowed module by module, where one owns an invariant of the machine and says so.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod acpi;
mod boot;
mod clock;
mod console;
mod cpu;
#[cfg(feature = "crypto")]
mod crypto;
#[allow(unsafe_code)]
mod drivers;
mod entropy;
mod memory;
#[cfg(not(feature = "selftest"))]
mod node;
mod panic;
mod platform;
mod power;
#[cfg(feature = "selftest")]
mod selftest;

use alloc::boxed::Box;

use boot::Boot;
use memory::{frames, layout::PAGE, stacks::Stack};
use wasm_host::platform::read_secret;

/// The executor's stack. What wasm needs is on its fibers.
const MAIN_STACK: usize = 128 << 10;

static LOG: console::Log = console::Log;

/// What the second part of the start-up gets from the first.
struct Start {
    boot: Boot,
    image: &'static [u8],
}

/// Called by `boot/entry.s`, on the boot page tables and stack.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: usize, tsc: u64) -> ! {
    cpu::init_early();
    console::init();
    // SAFETY: the entry passes on what the boot loader left, and nothing has been overwritten yet.
    let boot = unsafe { boot::read(start_info, tsc) };
    // SAFETY: this is the one call, early.
    let image = unsafe { memory::init(&boot) }.unwrap_or(&[]);

    let stack = Stack::new(MAIN_STACK, false).expect("there is RAM for the kernel's stack");
    let top = stack.top();
    core::mem::forget(stack); // never left
    let start = Box::into_raw(Box::new(Start { boot, image }));
    // SAFETY: the stack is mapped and nobody else's; `run` takes back the box.
    unsafe { run_on_stack(top, run, start) }
}

// the argument is passed on as it is
#[allow(unsafe_code, improper_ctypes)]
unsafe extern "C" {
    /// Calls `function(argument)` on another stack. Defined in `boot/entry.s`.
    fn run_on_stack(top: usize, function: extern "C" fn(*mut Start) -> !, argument: *mut Start) -> !;
}

#[allow(unsafe_code)]
extern "C" fn run(start: *mut Start) -> ! {
    // SAFETY: `kernel_main` made it of a box, for this.
    let Start { boot, image } = *unsafe { Box::from_raw(start) };
    // SAFETY: the boot stack was left for good, and the boot page tables before.
    unsafe { memory::free_boot_memory() };

    let _ = log::set_logger(&LOG);
    let level = boot.argument("log").and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(log::LevelFilter::Info));

    cpu::init().expect("there is RAM for the processor's tables");
    let tables = acpi::Tables::find(&boot);
    cpu::ioapic::init(&tables).expect("there is room for the I/O APICs");
    let rates = clock::init(boot.tsc);
    cpu::interrupts::enable();
    console::enable_input();

    power::init(&tables);
    let century = tables.get(b"FACP").and_then(|fadt| fadt.u8(108));
    clock::wall::init(&mut clock::cmos::Cmos::new(), century, clock::now());
    describe(&boot, image, &rates);

    let mut devices = drivers::Devices::probe(&drivers::Firmware {
        command_line: boot.command_line(),
        mcfg: tables.get(b"MCFG").map(acpi::Table::bytes),
        dsdt: tables.dsdt().map(acpi::Table::bytes),
    });
    entropy::init(core::mem::take(devices.entropy.get_mut()));
    let measures = boot.argument("metrics") != Some("off");
    let secret = boot.argument("secret").and_then(|text| {
        let secret = read_secret(text);
        if secret.is_none() {
            log::error!("kernel command line: secret: 64 hexadecimal digits are meant, so the node has none");
        }
        secret
    });
    let machine = platform::Machine::new(devices, measures, secret);
    let machine: &'static platform::Machine = Box::leak(Box::new(machine));

    #[cfg(feature = "selftest")]
    selftest::run(machine, image, boot.command_line());
    #[cfg(not(feature = "selftest"))]
    node::run(machine, image, boot)
}

fn describe(boot: &Boot, image: &[u8], rates: &clock::Rates) {
    let brand = cpu::features::brand();
    let brand = core::str::from_utf8(&brand).unwrap_or("").trim_matches(['\0', ' ']);
    log::info!(
        "kernel {}: {brand}, {} MiB of RAM free, image {} KiB, counter {} MHz (by {})",
        env!("CARGO_PKG_VERSION"),
        (frames::usage().free * PAGE) >> 20,
        image.len() >> 10,
        rates.counter / 1_000_000,
        rates.source,
    );
    for word in boot.command_line().split_ascii_whitespace().filter(|word| !word.starts_with("secret=")) {
        log::debug!("command line: {word}");
    }
    for region in boot.regions() {
        log::debug!("memory {:#012x}-{:#012x} {:?}", region.start, region.end, region.kind);
    }
}
