//! How fast the time stamp counter and the APIC's timer run.
//!
//! Best is being told (CPUID leaf 0x15, or the hypervisor's leaf 0x4000_0010). Else both are counted against a clock of
//! known frequency, for as short as will do: start-up waits for it.

use core::arch::x86_64::{__cpuid, CpuidResult};

use super::{hpet, pit};
use crate::cpu::{apic, features};

/// Ticks per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// of the time stamp counter
    pub counter: u64,
    /// of the APIC's timer, after its division by 16
    pub timer: u64,
    /// what was used to find out
    pub source: &'static str,
}

/// The source that [`super::refine()`] can go on with.
pub const PIT: &str = "PIT";

/// What both counted while a reference counted `reference` ticks of `hertz` per second.
pub struct Sample {
    pub counter: u64,
    pub timer: u64,
    pub reference: u64,
    pub hertz: u64,
}

impl Sample {
    fn rates(&self, source: &'static str) -> Rates {
        let per_second = |ticks: u64| (u128::from(ticks) * u128::from(self.hertz) / u128::from(self.reference)) as u64;
        Rates { counter: per_second(self.counter), timer: per_second(self.timer), source }
    }
}

/// # Panics
/// If the machine has no clock that is known here: nothing could be scheduled.
pub fn measure() -> Rates {
    told()
        .or_else(|| pit::sample().map(|sample| sample.rates(PIT)))
        .or_else(|| hpet::sample().map(|sample| sample.rates("HPET")))
        .expect("a clock of known frequency: CPUID leaf 0x15 or 0x40000010, a PIT, or an HPET")
}

fn told() -> Option<Rates> {
    let source = "CPUID";
    if features::has_hypervisor() && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let CpuidResult { eax: counter, ebx: bus, .. } = __cpuid(0x4000_0010); // in kHz
        if counter != 0 && bus != 0 {
            return Some(Rates { counter: u64::from(counter) * 1000, timer: u64::from(bus) * 1000 / 16, source });
        }
    }
    if __cpuid(0).eax >= 0x15 {
        // counter = crystal * ebx / eax; the APIC's timer runs at the crystal's rate
        let CpuidResult { eax: denominator, ebx: numerator, ecx: crystal, .. } = __cpuid(0x15);
        if denominator != 0 && numerator != 0 && crystal != 0 {
            let counter = u64::from(crystal) * u64::from(numerator) / u64::from(denominator);
            return Some(Rates { counter, timer: u64::from(crystal) / 16, source });
        }
    }
    None
}

/// Counts both against `reference`, a function that returns the ticks of a counter of `hertz` since some moment, or
/// nothing if it stands still. Starts and ends right at one of its ticks.
pub fn count(hertz: u64, long_enough: u64, mut reference: impl FnMut() -> u64) -> Option<Sample> {
    /// Reads after which a reference that has not moved is taken to stand still.
    const PATIENCE: u32 = 100_000;
    let mut next_tick = |from: u64| {
        (0..PATIENCE).find_map(|_| {
            let now = reference();
            (now > from).then_some((now, super::ticks(), apic::timer()))
        })
    };
    apic::start_timer(u32::MAX);
    let (first, ..) = next_tick(0)?;
    let (start, start_counter, start_timer) = next_tick(first)?;
    let (end, end_counter, end_timer) = next_tick(start + long_enough)?;
    apic::start_timer(0);
    Some(Sample {
        counter: end_counter - start_counter,
        timer: u64::from(start_timer - end_timer),
        reference: end - start,
        hertz,
    })
}
