//! Speaking to a node in Ethernet frames, with what the tests of `net` have for that.

#[path = "../../components/net/tests/common/frames.rs"]
#[allow(dead_code)]
pub mod frames;
#[path = "../../components/net/tests/common/host.rs"]
#[allow(dead_code)]
pub mod host;
#[path = "../../components/net/tests/common/mutate.rs"]
pub mod mutate;
#[path = "../../components/net/tests/common/wire.rs"]
#[allow(dead_code)]
pub mod wire;

/// The node's card, as QEMU numbers the first one.
pub const STACK_CARD: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
