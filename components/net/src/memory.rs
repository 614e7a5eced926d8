//! The memory that the box has.
//!
//! How much that is nobody says: the node counts what it holds for the box against the same limit, and the machine may
//! have less. So what is large is allocated only if the allocator has it, and [`RESERVE`] bytes beside it, which are left
//! for what a turn allocates and gives back. Whoever asks for more is refused, and sees to it that something is freed.

/// Bytes that are left: batches that come in and go out, events that clients have not taken yet, and what is kept of
/// connections that are over.
const RESERVE: usize = 3 << 19;

/// Whether that many bytes can be allocated now.
pub fn there_is(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let fits = probe.try_reserve_exact(bytes.saturating_add(RESERVE)).is_ok();
    // A compiler may leave out an allocation that is not used, and take it for a success.
    core::hint::black_box(&probe);
    fits
}
