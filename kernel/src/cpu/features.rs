//! What the processor can do, and switching it on. `CPUID`: Intel SDM volume 2, chapter 3; AMD APM volume 3, appendix E.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv, _xsetbv};

use x86_64::registers::control::{Cr4, Cr4Flags};

const SSE_AND_AVX: u64 = 0b111;

fn has(leaf: u32, register: impl Fn(core::arch::x86_64::CpuidResult) -> u32, bit: u32) -> bool {
    let last = __cpuid(leaf & 0x8000_0000).eax;
    last >= leaf && register(__cpuid_count(leaf, 0)) >> bit & 1 != 0
}

fn leaf_1_ecx(bit: u32) -> bool {
    has(1, |result| result.ecx, bit)
}

fn leaf_7_ebx(bit: u32) -> bool {
    has(7, |result| result.ebx, bit)
}

/// Pages of 1 GiB.
pub fn has_huge_pages() -> bool {
    has(0x8000_0001, |result| result.edx, 26)
}

/// The kernel runs in a virtual machine.
pub fn has_hypervisor() -> bool {
    leaf_1_ecx(31)
}

pub fn has_x2apic() -> bool {
    leaf_1_ecx(21)
}

/// Lets wasm code use SSE and AVX, and forbids the kernel what it never does on purpose.
#[allow(unsafe_code)]
pub fn enable() {
    let mut flags = Cr4::read() | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    let protections = [
        (has(7, |result| result.ecx, 2), Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (leaf_7_ebx(7), Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (leaf_7_ebx(20), Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (leaf_1_ecx(26), Cr4Flags::OSXSAVE),
    ];
    for (_, flag) in protections.into_iter().filter(|&(available, _)| available) {
        flags |= flag;
    }
    // SAFETY: no page of the kernel is a user page and it runs in ring 0, so none of these changes what it may do.
    unsafe { Cr4::write(flags) };
    if leaf_1_ecx(26) {
        let state = if leaf_1_ecx(28) { SSE_AND_AVX } else { 0b011 };
        // SAFETY: OSXSAVE is set, and the processor has what is switched on.
        unsafe { set_extended_state(state) };
    }
}

/// # Safety
/// CR4.OSXSAVE is set and the processor has the state components in `mask`.
#[allow(unsafe_code)]
#[target_feature(enable = "xsave")]
unsafe fn set_extended_state(mask: u64) {
    // SAFETY: passed on to the caller.
    unsafe { _xsetbv(0, mask) };
}

#[allow(unsafe_code)]
#[target_feature(enable = "xsave")]
unsafe fn extended_state() -> u64 {
    // SAFETY: passed on to the caller.
    unsafe { _xgetbv(0) }
}

/// Whether compiled wasm may use a feature, by its name in Rust's standard library. `None`: an unknown name.
#[allow(unsafe_code)]
pub fn detect(name: &str) -> Option<bool> {
    // SAFETY: the read is made only if OSXSAVE is set, which `enable` did if the processor has XSAVE.
    let avx = leaf_1_ecx(28) && leaf_1_ecx(27) && unsafe { extended_state() } & SSE_AND_AVX == SSE_AND_AVX;
    Some(match name {
        "sse3" => leaf_1_ecx(0),
        "ssse3" => leaf_1_ecx(9),
        "cmpxchg16b" => leaf_1_ecx(13),
        "sse4.1" => leaf_1_ecx(19),
        "sse4.2" => leaf_1_ecx(20),
        "popcnt" => leaf_1_ecx(23),
        "avx" => avx,
        "fma" => avx && leaf_1_ecx(12),
        "avx2" => avx && leaf_7_ebx(5),
        "bmi1" => leaf_7_ebx(3),
        "bmi2" => leaf_7_ebx(8),
        "lzcnt" => has(0x8000_0001, |result| result.ecx, 5),
        // their state is not switched on
        "avx512bitalg" | "avx512dq" | "avx512f" | "avx512vl" | "avx512vbmi" | "avx512vnni" | "avxvnni" => false,
        _ => return None,
    })
}

/// The processor's name for itself.
pub fn brand() -> [u8; 48] {
    let mut brand = [b' '; 48];
    if __cpuid(0x8000_0000).eax >= 0x8000_0004 {
        for (leaf, part) in (0x8000_0002..).zip(brand.chunks_exact_mut(16)) {
            let result = __cpuid(leaf);
            for (word, bytes) in [result.eax, result.ebx, result.ecx, result.edx].iter().zip(part.chunks_exact_mut(4)) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    brand
}
