//! What a node stands on. The kernel is one platform, Linux another; nothing else in this crate knows either.

mod disk;
#[cfg(test)]
pub mod fake;

pub use disk::{Disk, DiskError, Extent, Geometry, MAX_SECTOR, Pending, refused};

pub use crypto::Crypto;

use crate::{slots::Store, volumes::Volumes};
use alloc::{sync::Arc, vec::Vec};
use core::{ops::Range, task::Waker};

/// Nanoseconds since the node's boot.
pub type Nanos = u64;

/// The machine contract: time, entropy, console, devices, power.
///
/// A node runs on one CPU at a time: these are called from the executor and from what it runs, never from an
/// interrupt handler.
pub trait Platform: Send + Sync {
    /// Monotonic; cheap enough to be read at each dispatch.
    fn now(&self) -> Nanos;

    /// Nanoseconds since 1970, if the machine knows.
    fn wall_clock(&self) -> Option<u64>;

    /// Cryptographically strong.
    fn fill_random(&self, bytes: &mut [u8]);

    /// What boxes' own secrets are derived from: the same at each start of the node, and on none of its disks. None: whoever started
    /// the node gave it none.
    fn secret(&self) -> Option<[u8; 32]> {
        None
    }

    /// Writes text to the operator's console. Not buffered: it must get out even if the node dies next.
    fn write_console(&self, text: &str);

    /// Moves what the operator has typed since the last call to the end of `input`.
    fn read_console(&self, input: &mut Vec<u8>);

    /// `Platform::poll` wakes this waker when the operator has typed. It replaces the one before.
    fn set_console_waker(&self, waker: &Waker);

    /// The network card of that name, `nic0` being the first.
    fn nic(&self, name: &str) -> Option<Arc<dyn Nic>>;

    /// The disk of that name, `disk0` being the first.
    fn disk(&self, name: &str) -> Option<Arc<dyn Disk>>;

    /// What its disks have.
    fn volumes(&self) -> &Volumes;

    /// What its processor computes faster than wasm does, if it lends that.
    fn crypto(&self) -> Option<Crypto> {
        None
    }

    /// Where the node's system is kept, if it is. Nobody else may write there.
    fn slots(&self) -> Option<Arc<Store>> {
        None
    }

    /// Looks at the devices and wakes whoever waits for one that is ready. Called between tasks, often, so it
    /// must cost next to nothing when there is nothing.
    fn poll(&self);

    /// Sleeps until a device needs attention, the operator types, or `until` has come; not at all, if one of them is so
    /// already. May return early. `poll` is called next.
    fn idle(&self, until: Option<Nanos>);

    fn memory(&self) -> MemoryUse;

    /// Gives a linear memory, all of it, the contents that it had when it was made: what its module initialises it with where
    /// wasmtime has that as an image of the memory (it may have written it instead), and zeroes. False: this cannot be done.
    ///
    /// # Safety
    /// `memory` are the addresses of a linear memory of an instance that exists, whole pages, and nobody reads or writes it
    /// meanwhile.
    #[allow(unsafe_code)]
    unsafe fn revert(&self, _memory: Range<usize>) -> bool {
        false
    }

    /// Whether what goes over arrows is counted. Not, if what that costs is to be found out.
    fn measures(&self) -> bool {
        true
    }

    /// Ends the node. Does not return.
    fn power(&self, power: Power) -> !;
}

/// A node's secret as people write it: 64 hexadecimal digits.
pub fn read_secret(text: &str) -> Option<[u8; 32]> {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let mut secret = [0; 32];
    for (place, byte) in secret.iter_mut().enumerate() {
        *byte = (digit(2 * place)? << 4 | digit(2 * place + 1)?) as u8;
    }
    (text.len() == 64).then_some(secret)
}

/// A network card: batches of Ethernet frames, as packed records of kind [`wit::nic::FRAME`].
pub trait Nic: Send + Sync {
    fn address(&self) -> [u8; 6];

    fn mtu(&self) -> u16;

    /// True if `receive` would yield a frame.
    fn ready(&self) -> bool;

    /// `Platform::poll` wakes this waker when frames are there. It replaces the one before.
    fn set_waker(&self, waker: &Waker);

    /// Appends received frames to `batch` until there are no more or it holds `limit` bytes.
    fn receive(&self, batch: &mut wit::Batch, limit: usize);

    /// Queues all frames of a batch, and notifies the card once. Records of kinds other than that of a frame are passed over.
    /// Frames that do not fit in the card's ring wait for room; beyond a bound they are dropped and counted.
    fn transmit(&self, frames: wit::Records<'_>);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Off,
    Reboot,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// RAM that the node may use
    pub total: u64,
    /// page frames in use: box memories, stacks, code, page tables
    pub frames: u64,
    /// native heap in use
    pub heap: u64,
    /// the most heap that was ever in use
    pub heap_peak: u64,
}
