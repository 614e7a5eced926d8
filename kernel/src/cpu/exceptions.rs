//! Exceptions: pages that wasm touches for the first time, traps of wasm, and the kernel's own faults.
//!
//! A trap of wasm is not handled here, in the middle of an exception: the frame is changed so that the return from it
//! lands in [`trampoline`], which asks wasmtime. wasmtime then unwinds to where the wasm was entered and never comes back.
//! The trampoline has a stack of its own: that of the code that trapped may be at its end, and what wasmtime notes down of
//! a trap, its backtrace, takes more than is left there.

use core::{fmt::Write, sync::atomic::Ordering};

use x86_64::registers::control::Cr2;

use super::{backtrace, idt::Registers};
use crate::{
    memory::{mappings, setup, stacks},
    panic, power,
};

const DIVIDE_ERROR: u8 = 0;
const NON_MASKABLE: u8 = 2;
const INVALID_OPCODE: u8 = 6;
const DOUBLE_FAULT: u8 = 8;
const PAGE_FAULT: u8 = 14;
const MACHINE_CHECK: u8 = 18;

const NAMES: [&str; 22] = [
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "exception 15",
    "x87 floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection exception",
];

pub fn handle(vector: u8, registers: &mut Registers) {
    let address = Cr2::read_raw() as usize;
    if vector == PAGE_FAULT {
        let fault =
            mappings::Fault { address, write: registers.error & 1 << 1 != 0, execute: registers.error & 1 << 4 != 0 };
        if mappings::resolve(fault) {
            return;
        }
    }
    let may_be_wasm = matches!(vector, DIVIDE_ERROR | INVALID_OPCODE | PAGE_FAULT)
        && !setup::text().contains(&(registers.rip as usize));
    let has_stack = super::current().trap_stack.load(Ordering::Relaxed) != 0;
    if may_be_wasm && has_stack {
        super::current().fault.set(Some(*registers));
        divert(registers, (vector == PAGE_FAULT).then_some(address));
    } else {
        die(registers, address);
    }
}

/// Makes the return from the exception call `trampoline(rip, rbp, has address, address)` instead.
fn divert(registers: &mut Registers, address: Option<usize>) {
    registers.rdi = registers.rip;
    registers.rsi = registers.rbp;
    registers.rdx = u64::from(address.is_some());
    registers.rcx = address.unwrap_or(0) as u64;
    // as if called: aligned to 16 before a return address was pushed
    registers.rsp = super::current().trap_stack.load(Ordering::Relaxed) as u64 - 8;
    registers.rip = trampoline as *const () as u64;
}

/// Nothing else runs on its stack meanwhile: a CPU takes one trap at a time, since this neither waits nor runs wasm.
extern "C" fn trampoline(ip: usize, fp: usize, has_address: bool, address: usize) -> ! {
    super::wasm::trap(ip, fp, has_address, address);
    // it was not wasm: the kernel ran into something that is no code
    let registers = super::current().fault.take().expect("`handle` left them");
    die(&registers, address)
}

/// Reports what happened and resets the machine.
fn die(registers: &Registers, address: usize) -> ! {
    let mut out = panic::report();
    let name = NAMES.get(registers.vector as usize).copied().unwrap_or("exception");
    let _ = writeln!(out, "\nkernel fault: {name} ({}), error code {:#x}", registers.vector, registers.error);
    match registers.vector as u8 {
        PAGE_FAULT => {
            let access = match registers.error {
                error if error & 1 << 4 != 0 => "execute",
                error if error & 1 << 1 != 0 => "write",
                _ => "read",
            };
            let what = if stacks::is_guard(address) {
                " (a stack overflow)"
            } else if address < 4096 {
                " (a null pointer)"
            } else {
                ""
            };
            let _ = writeln!(out, "  {access} of {address:#x}{what}");
        }
        DOUBLE_FAULT if stacks::is_guard(registers.rsp as usize) => {
            let _ = writeln!(out, "  probably a stack overflow: rsp is {:#x}", registers.rsp);
        }
        NON_MASKABLE | MACHINE_CHECK => {
            let _ = writeln!(out, "  the hardware reports an error");
        }
        _ => {}
    }
    let r = registers;
    let _ = writeln!(out, "  rip {:016x}  rsp {:016x}  rbp {:016x}  rflags {:x}", r.rip, r.rsp, r.rbp, r.rflags);
    let _ = writeln!(out, "  rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", r.rax, r.rbx, r.rcx, r.rdx);
    let _ = writeln!(out, "  rsi {:016x}  rdi {:016x}  r8  {:016x}  r9  {:016x}", r.rsi, r.rdi, r.r8, r.r9);
    let _ = writeln!(out, "  r10 {:016x}  r11 {:016x}  r12 {:016x}  r13 {:016x}", r.r10, r.r11, r.r12, r.r13);
    let _ = writeln!(out, "  r14 {:016x}  r15 {:016x}  cr2 {address:016x}", r.r14, r.r15);
    backtrace::write(&mut out, r.rip as usize, r.rbp as usize);
    power::fail()
}
