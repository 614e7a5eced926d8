//! The GDT and the TSS: what is left of segmentation in 64-bit mode. The TSS names the stacks that exceptions and
//! interrupts switch to.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use x86_64::{
    VirtAddr,
    instructions::tables::load_tss,
    registers::{
        model_specific::GsBase,
        segmentation::{CS, DS, ES, SS, Segment},
    },
    structures::{
        gdt::{Descriptor, GlobalDescriptorTable},
        tss::TaskStateSegment,
    },
};

use super::{Cpu, idt::Ist};
use crate::memory::{OutOfMemory, stacks::Stack};

/// Room for a report with its backtrace, which is the deepest that runs on these.
const STACK_SIZE: usize = 12 << 10;
/// Room for what wasmtime does about a trap: it finds the code, walks the stack and notes down what it found on the heap.
const TRAP_STACK: usize = 32 << 10;

pub fn set_gs(cpu: *const Cpu) {
    GsBase::write(VirtAddr::from_ptr(cpu));
}

/// Gives this CPU its own tables and stacks.
#[allow(unsafe_code)]
pub fn load() -> Result<(), OutOfMemory> {
    let mut tss = Box::new(TaskStateSegment::new());
    for ist in Ist::ALL {
        let stack = Stack::new(STACK_SIZE, false)?;
        tss.interrupt_stack_table[ist as usize] = VirtAddr::new(stack.top() as u64);
        core::mem::forget(stack); // the CPU's for good
    }
    let stack = Stack::new(TRAP_STACK, false)?;
    super::current().trap_stack.store(stack.top(), Ordering::Relaxed);
    core::mem::forget(stack); // the CPU's for good
    let gdt = Box::leak(Box::new(GlobalDescriptorTable::new()));
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(Box::leak(tss)));
    let gs = GsBase::read();
    gdt.load();
    // SAFETY: the selectors are of the table just loaded, flat as those in use, and the TSS lives for ever.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
        load_tss(task);
    }
    GsBase::write(gs);
    Ok(())
}
