//! The interrupt descriptor table and the way from a vector to the code that handles it.

use x86_64::{
    VirtAddr,
    structures::idt::{Entry, HandlerFunc, InterruptDescriptorTable},
};

use super::{exceptions, interrupts, lock::Lock};

const VECTORS: usize = 128;
const STUB_SIZE: usize = 16;

/// The registers at an exception or interrupt, as `vectors.s` and the processor leave them on the stack.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Stacks of their own, by index in the TSS. One each for what may interrupt the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ist {
    Interrupt = 0,
    PageFault = 1,
    DoubleFault = 2,
    NonMaskable = 3,
    MachineCheck = 4,
}

impl Ist {
    pub const ALL: [Ist; 5] = [Ist::Interrupt, Ist::PageFault, Ist::DoubleFault, Ist::NonMaskable, Ist::MachineCheck];

    fn of(vector: u8) -> Ist {
        match vector {
            2 => Ist::NonMaskable,
            8 => Ist::DoubleFault,
            // all exceptions that code causes by itself: a stack may be what is wrong
            0..=17 | 19..=31 => Ist::PageFault,
            18 => Ist::MachineCheck,
            _ => Ist::Interrupt,
        }
    }
}

/// Shared by all CPUs.
static IDT: Lock<InterruptDescriptorTable> = Lock::new(InterruptDescriptorTable::new());

#[allow(unsafe_code)]
mod stubs {
    core::arch::global_asm!(include_str!("vectors.s"));

    // SAFETY: `vectors.s`, above, defines it; only its address is used.
    unsafe extern "C" {
        pub static vector_stubs: u8;
    }
}

/// Loads a table whose handlers run on the interrupted stack.
pub fn load() {
    fill(false);
    // SAFETY: the table is in a static; `fill` changes whole entries, with interrupts off.
    #[allow(unsafe_code)]
    unsafe {
        (*IDT.data_ptr()).load_unsafe();
    }
}

/// From now on, handlers run on stacks of the TSS, which must be loaded.
pub fn use_stacks() {
    fill(true);
}

fn fill(stacks: bool) {
    let mut table = IDT.lock();
    for vector in 0..VECTORS as u8 {
        let stub = VirtAddr::from_ptr((&raw const stubs::vector_stubs).wrapping_add(usize::from(vector) * STUB_SIZE));
        let mut entry = Entry::<HandlerFunc>::missing();
        // SAFETY: the stub saves and restores all registers and returns by `iretq`; the stacks exist if asked for.
        #[allow(unsafe_code)]
        unsafe {
            let options = entry.set_handler_addr(stub);
            if stacks {
                options.set_stack_index(Ist::of(vector) as u16);
            }
        }
        set(&mut table, vector, entry);
    }
}

/// `InterruptDescriptorTable` has a type for each kind of exception handler; the stubs are all of one kind.
fn set(table: &mut InterruptDescriptorTable, vector: u8, entry: Entry<HandlerFunc>) {
    const _: () = assert!(size_of::<InterruptDescriptorTable>() == 256 * size_of::<Entry<HandlerFunc>>());
    // SAFETY: the table is 256 entries of 16 bytes which differ in type but not in form, and `vector` is below 256.
    #[allow(unsafe_code)]
    unsafe {
        core::ptr::from_mut(table).cast::<Entry<HandlerFunc>>().add(usize::from(vector)).write(entry);
    }
}

/// Where all stubs lead. Interrupts are off.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn interrupt_entry(registers: &mut Registers) {
    match registers.vector as u8 {
        vector @ 0..32 => exceptions::handle(vector, registers),
        vector => interrupts::dispatch(vector),
    }
}
