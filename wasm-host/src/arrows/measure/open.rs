//! When the requests that are under way began.

use super::Histogram;
use alloc::boxed::Box;
use core::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Of requests under way with the same number modulo this, the last is measured.
const PLACES: usize = 256;

/// Bits of a place that say when: the others have the low bits of the request's number.
const TIME: u32 = 40;

/// The unit of time in a place, 2^6 ns: 40 bits last for 19 hours.
const UNIT: u32 = 6;

const TIME_MASK: u64 = (1 << TIME) - 1;
const NUMBER_MASK: u64 = u64::MAX >> TIME;

/// A place is 0 when it is free.
pub struct Open {
    places: [AtomicU64; PLACES],
    pub latency: Histogram,
}

impl Open {
    pub fn new() -> Box<Self> {
        Box::new(Open { places: array::from_fn(|_| AtomicU64::new(0)), latency: Histogram::default() })
    }

    #[inline]
    fn place(&self, request: u32) -> &AtomicU64 {
        &self.places[request as usize % PLACES]
    }

    #[inline]
    pub fn begin(&self, request: u32, now: u64) {
        let time = (now >> UNIT) & TIME_MASK;
        self.place(request).store((u64::from(request) << TIME) | time.max(1), Relaxed);
    }

    /// A request is over, and counts.
    #[inline]
    pub fn end(&self, request: u32, now: u64) {
        let place = self.place(request);
        let was = place.load(Relaxed);
        if was != 0 && was >> TIME == u64::from(request) & NUMBER_MASK {
            place.store(0, Relaxed);
            let units = (now >> UNIT).wrapping_sub(was) & TIME_MASK;
            self.latency.add(units << UNIT);
        }
    }

    /// Nobody waits for a request any more.
    pub fn cancel(&self, request: u32) {
        let place = self.place(request);
        if place.load(Relaxed) >> TIME == u64::from(request) & NUMBER_MASK {
            place.store(0, Relaxed);
        }
    }

    /// How many are under way.
    pub fn count(&self) -> u64 {
        self.places.iter().filter(|place| place.load(Relaxed) != 0).count() as u64
    }

    /// None is under way any more. Yields how many were.
    pub fn clear(&self) -> u64 {
        self.places.iter().filter(|place| place.swap(0, Relaxed) != 0).count() as u64
    }
}
