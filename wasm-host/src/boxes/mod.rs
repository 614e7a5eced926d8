//! Boxes: made, limited, supervised, accounted for.

mod handle;
pub mod log;
mod state;
mod supervise;

pub use handle::{BoxHandle, Life, Parts, Phase};
pub use state::State;
pub use supervise::{Duty, SERVICE, supervise};
