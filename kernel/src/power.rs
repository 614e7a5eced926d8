//! Off, and back on: by the ACPI tables where they say how, and by the ways that PCs have always had.

use x86_64::instructions::port::Port;

use crate::{
    acpi::{Register, Table, Tables},
    cpu::{features, interrupts, lock::Lock},
    memory::devices::{self, Caching},
};

static CONTROL: Lock<Control> = Lock::new(Control { sleep: None, reset: None });

struct Control {
    sleep: Option<Sleep>,
    reset: Option<(Register, u8)>,
}

/// How to enter S5, "soft off" (ACPI 6.5, 7.4.2.5 and 4.8.3).
#[derive(Clone, Copy)]
enum Sleep {
    /// hardware-reduced ACPI: one register
    Reduced { register: Register, kind: u8 },
    /// power management 1 control, which may be split in two
    Fixed { a: Register, b: Option<Register>, kind: (u8, u8) },
}

/// QEMU's `isa-debug-exit`, by which tests end it: a value `v` becomes the exit status `2 v + 1`.
const DEBUG_EXIT: u16 = 0xf4;
const EXIT_OFF: u8 = 0x10;
const EXIT_FAILED: u8 = 0x11;
const EXIT_REBOOT: u8 = 0x12;

/// Learns from the tables what to do, while there is memory to map registers.
pub fn init(tables: &Tables) {
    let Some(fadt) = tables.get(b"FACP") else { return };
    let flags = fadt.u32(112).unwrap_or(0);
    let has_reset = flags & 1 << 10 != 0;
    let is_reduced = flags & 1 << 20 != 0;
    let kind = tables.dsdt().and_then(soft_off);
    let sleep = if is_reduced {
        kind.zip(reach(fadt.register(244))).map(|((kind, _), register)| Sleep::Reduced { register, kind })
    } else {
        let control = |new: usize, old: usize| {
            let port = || fadt.u32(old).filter(|&port| port != 0).and_then(|port| u16::try_from(port).ok());
            reach(fadt.register(new)).or_else(|| port().map(Register::Port))
        };
        kind.zip(control(172, 64)).map(|(kind, a)| Sleep::Fixed { a, b: control(184, 68), kind })
    };
    let reset = if has_reset { reach(fadt.register(116)).zip(fadt.u8(128)) } else { None };
    *CONTROL.lock() = Control { sleep, reset };
}

/// Maps a register, if it is in memory.
#[allow(unsafe_code)]
fn reach(register: Option<Register>) -> Option<Register> {
    match register? {
        Register::Memory(address) => {
            // SAFETY: firmware says that a register is there.
            let mapped = unsafe { devices::map(address, 4, Caching::Registers) }.ok()?;
            Some(Register::Memory(mapped.as_ptr().expose_provenance() as u64))
        }
        port @ Register::Port(_) => Some(port),
    }
}

/// The two sleep types in the package `\_S5`. It is looked for, not interpreted: `Name (_S5, Package () { a, b, … })`
/// encodes as below in every DSDT (20.2.5).
fn soft_off(dsdt: Table) -> Option<(u8, u8)> {
    const PACKAGE: u8 = 0x12;
    const BYTE: u8 = 0x0a;
    let aml = dsdt.bytes();
    let name = aml.windows(5).position(|part| part == [b'_', b'S', b'5', b'_', PACKAGE])?;
    let package = &aml[name + 5..];
    let length_bytes = 1 + usize::from(package.first()? >> 6);
    let mut elements = package.get(length_bytes + 1..)?.iter().copied();
    let mut integer = || match elements.next()? {
        BYTE => elements.next(),
        constant @ 0..=1 => Some(constant),
        _ => None,
    };
    Some((integer()?, integer()?))
}

pub fn off() -> ! {
    interrupts::disable();
    debug_exit(EXIT_OFF);
    if let Some(sleep) = CONTROL.try_lock().and_then(|control| control.sleep) {
        const ENABLE: u16 = 1 << 13;
        match sleep {
            Sleep::Reduced { register, kind } => write(register, Width::Byte, u16::from(kind << 2 | 1 << 5)),
            Sleep::Fixed { a, b, kind } => {
                write(a, Width::Word, u16::from(kind.0) << 10 | ENABLE);
                if let Some(b) = b {
                    write(b, Width::Word, u16::from(kind.1) << 10 | ENABLE);
                }
            }
        }
    }
    // nothing to switch it off with; a virtual machine that does not restart ends with a reset
    if features::has_hypervisor() {
        reset();
    }
    halt()
}

pub fn reboot() -> ! {
    interrupts::disable();
    debug_exit(EXIT_REBOOT);
    reset()
}

fn reset() -> ! {
    if let Some((register, value)) = CONTROL.try_lock().and_then(|control| control.reset) {
        write(register, Width::Byte, u16::from(value));
    }
    // the chipset's reset control, the keyboard controller's, and what no processor survives
    write(Register::Port(0xcf9), Width::Byte, 0x06);
    write(Register::Port(0x64), Width::Byte, 0xfe);
    triple_fault()
}

/// After a report of a failure of the kernel: starts again.
pub fn fail() -> ! {
    interrupts::disable();
    debug_exit(EXIT_FAILED);
    reset()
}

/// After a report of why nothing can run here. Starting again would change nothing, so a person has to.
#[cfg_attr(feature = "selftest", expect(dead_code, reason = "there is no system that could not run"))]
pub fn stop() -> ! {
    interrupts::disable();
    debug_exit(EXIT_FAILED);
    if features::has_hypervisor() {
        reset();
    }
    halt()
}

fn debug_exit(value: u8) {
    if features::has_hypervisor() {
        // SAFETY: QEMU's exit device, or nobody's port: there is a hypervisor, so it is not an old FPU's.
        #[allow(unsafe_code)]
        unsafe {
            Port::new(DEBUG_EXIT).write(value);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Byte,
    Word,
}

#[allow(unsafe_code)]
fn write(register: Register, width: Width, value: u16) {
    // SAFETY: registers that switch off or reset the machine, which is the caller's intent, or nobody's. Those in memory
    // were mapped by `reach`.
    unsafe {
        match (register, width) {
            (Register::Port(port), Width::Byte) => Port::new(port).write(value as u8),
            (Register::Port(port), Width::Word) => Port::new(port).write(value),
            (Register::Memory(address), width) => {
                let pointer = core::ptr::with_exposed_provenance_mut::<u16>(address as usize);
                match width {
                    Width::Byte => pointer.cast::<u8>().write_volatile(value as u8),
                    Width::Word => pointer.write_volatile(value),
                }
            }
        }
    }
}

/// An exception without a table to look its handler up in resets the processor.
#[allow(unsafe_code)]
fn triple_fault() -> ! {
    let nothing = x86_64::structures::DescriptorTablePointer { limit: 0, base: x86_64::VirtAddr::zero() };
    // SAFETY: the kernel's last instructions; what they break is what they are for.
    unsafe {
        x86_64::instructions::tables::lidt(&nothing);
        core::arch::asm!("ud2", options(noreturn));
    }
}

fn halt() -> ! {
    loop {
        x86_64::instructions::hlt();
    }
}
