//! Boxes: made, limited, supervised, accounted for.

mod birth;
pub mod figures;
pub mod footprint;
mod handle;
mod hooks;
pub mod log;
mod pieces;
mod state;
mod supervise;

pub use crate::arrows::call::MAX_STATE;
pub use crate::budget::{Budget, Charge};
pub use birth::{Birth, Order, Stage};
pub use footprint::Footprint;
pub use handle::{BoxHandle, Called, Life, Parts, Phase};
#[cfg(feature = "wasi")]
pub(crate) use hooks::Exports;
pub use hooks::within;
pub use pieces::{Fault, Pieces};
pub use state::{State, Turns, metered};
pub use supervise::{Duty, SERVICE, reason, supervise};
