//! `pearwood:hardware/nic`: records of Ethernet frames, and who else receives them.

/// An Ethernet frame without FCS; the id is 0.
pub const FRAME: u8 = 1;

/// From here on another instance gets the same frames and sends its own (id 1), or none does any more (id 0).
pub const SHARED: u8 = 2;

/// The most bytes a frame can have with an MTU of 9,000 and a VLAN tag.
pub const MAX_FRAME: usize = 9_018;
