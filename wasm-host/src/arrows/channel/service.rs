//! What the node itself provides at the other end of an arrow: the devices of the machine.

use super::Refused;
use alloc::vec::Vec;
use wit::Batch;

/// A peer of a box's port that is no box. It says when something is there to receive by raising the port's flag.
pub trait Service: Send + Sync {
    /// The record `attach` of its protocol.
    fn attach(&self) -> Vec<u8>;

    /// An instance of the box begins: what another has left is not its.
    fn renew(&self);

    /// The box's instance has ended.
    fn detach(&self) {}

    /// Takes a batch of the box, of which only the length was checked. False: there is no room for it, and nothing was taken;
    /// the flag `room` says when there is.
    ///
    /// # Errors
    /// What no honest box sends.
    fn send(&self, batch: &[u8]) -> Result<bool, Refused>;

    /// Appends what has come, as a rule no more than `limit` bytes.
    fn receive(&self, batch: &mut Batch, limit: usize);

    /// The most bytes that it holds for the box.
    fn holds(&self) -> u64 {
        0
    }
}
