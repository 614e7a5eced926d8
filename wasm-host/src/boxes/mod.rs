//! Boxes: made, limited, supervised, accounted for.

mod birth;
mod budget;
pub mod footprint;
mod handle;
mod hooks;
pub mod log;
mod state;
mod supervise;

pub use birth::{Birth, Order, Stage};
pub use budget::{Budget, Charge};
pub use footprint::Footprint;
pub use handle::{BoxHandle, Called, Life, Parts, Phase};
#[cfg(feature = "wasi")]
pub(crate) use hooks::Hooks;
pub use hooks::{MAX_STATE, Save, within};
pub use state::{State, Turns};
pub use supervise::{Duty, SERVICE, reason, supervise};
