//! The memory that the box has.
//!
//! How much that is nobody says: the node counts what it holds for the box against the same limit, and the machine may
//! have less. So what is large is allocated only if the allocator has it, and beside it a reserve for what a turn
//! allocates and gives back. Whoever asks for more is refused, and sees to it that something is freed.

/// The reserve, in blocks as large as those that a turn needs: batches that come in and go out, events that clients have
/// not taken yet, and what is kept of connections that are over.
const RESERVE: [usize; 6] = [256 << 10, 256 << 10, 128 << 10, 128 << 10, 128 << 10, 128 << 10];

/// Whether that many bytes can be allocated now, in one block.
pub fn there_is(bytes: usize) -> bool {
    let mut probes: [Vec<u8>; RESERVE.len() + 1] = Default::default();
    let sizes = [bytes].into_iter().chain(RESERVE);
    let fits = probes.iter_mut().zip(sizes).all(|(probe, size)| probe.try_reserve_exact(size).is_ok());
    // A compiler may leave out an allocation that is not used, and take it for a success.
    core::hint::black_box(&probes);
    fits
}
