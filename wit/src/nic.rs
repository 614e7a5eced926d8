//! `pearwood:hardware/nic`: records of one kind, an Ethernet frame each.

/// An Ethernet frame without FCS; the id is 0.
pub const FRAME: u8 = 1;

/// The most bytes a frame can have with an MTU of 9,000 and a VLAN tag.
pub const MAX_FRAME: usize = 9_018;
