//! `pearwood:hardware/nic`: network cards.

mod tap;
#[cfg(test)]
mod tests;

pub use tap::Tap;
