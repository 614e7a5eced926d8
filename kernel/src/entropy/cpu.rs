//! What randomness the CPU has.

#![allow(unsafe_code)]

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step, _rdtsc};
use core::hint::black_box;

/// How often an instruction is asked again when it has nothing: RDRAND fails ten times in a row only if it is broken
/// (Intel, "Digital Random Number Generator Software Implementation Guide", 5.2.1); RDSEED runs dry in normal use.
const RDRAND_TRIES: usize = 10;
const RDSEED_TRIES: usize = 200;

/// CPUID.1:ECX and CPUID.7:EBX.
const RDRAND: u32 = 1 << 30;
const RDSEED: u32 = 1 << 18;

/// 256 bits of the CPU's own generator, and the instruction they came from. None if it has none that works.
pub fn seed() -> Option<(&'static str, [u64; 4])> {
    let has_rdrand = __cpuid(1).ecx & RDRAND != 0;
    let has_rdseed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & RDSEED != 0;
    // SAFETY: CPUID says that the CPU has the instruction.
    let rdseed = || unsafe { draw(|word| _rdseed64_step(word), RDSEED_TRIES) };
    // SAFETY: CPUID says that the CPU has the instruction.
    let rdrand = || unsafe { draw(|word| _rdrand64_step(word), RDRAND_TRIES) };
    has_rdseed
        .then(rdseed)
        .flatten()
        .map(|words| ("RDSEED", words))
        .or_else(|| has_rdrand.then(rdrand).flatten().map(|words| ("RDRAND", words)))
}

/// Some CPUs say that they succeeded and return the same word for ever.
fn draw(instruction: impl Fn(&mut u64) -> i32, tries: usize) -> Option<[u64; 4]> {
    let mut words = [0; 4];
    for word in &mut words {
        let drawn = (0..tries).any(|_| {
            core::hint::spin_loop();
            instruction(word) == 1
        });
        if !drawn {
            return None;
        }
    }
    (words != [words[0]; 4]).then_some(words)
}

pub fn timestamp() -> u64 {
    // SAFETY: every x86-64 CPU has the instruction, and the kernel may use it.
    unsafe { _rdtsc() }
}

/// How long the same work takes, again and again: on real machines caches, refresh and clocks make that differ a
/// little. On an emulator that counts instructions it does not.
pub fn jitter() -> [u8; 1024] {
    let mut memory = [0u8; 4096];
    let mut last = timestamp();
    let mut place = 0usize;
    core::array::from_fn(|_| {
        for _ in 0..32 {
            place = (place * 5 + 1237) % memory.len();
            memory[place] = black_box(memory[place]).wrapping_add(1);
        }
        let now = timestamp();
        let taken = now.wrapping_sub(core::mem::replace(&mut last, now));
        place = place.wrapping_add(taken as usize) % memory.len();
        (taken ^ taken >> 8) as u8
    })
}
