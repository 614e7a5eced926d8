//! Boxes: made, limited, supervised, accounted for.

mod budget;
mod handle;
pub mod log;
mod state;
mod supervise;

pub use budget::{Budget, Charge};
pub use handle::{BoxHandle, Life, Parts, Phase};
pub use state::State;
pub use supervise::{Duty, SERVICE, reason, supervise};
