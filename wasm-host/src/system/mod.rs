//! The declaration: which boxes there are, what each may use, and the arrows between them.
//!
//! [`System::parse`] reads `system.toml`, [`check`] holds it against what the components import and export and yields
//! the [`Routes`] by which a node wires its boxes, [`graph`] draws both. All three report every fault they find as
//! [`Diagnostic`]s that name the file, the line, the box and the interface.

mod check;
pub mod description;
mod diagnostic;
#[cfg(feature = "build")]
mod extract;
pub mod grant;
pub mod graph;
mod interface;
pub mod known;
mod model;
mod parse;
pub mod routes;
mod suggest;

pub use check::{check, fits};
pub use description::Description;
pub use diagnostic::{Diagnostic, Place, Report, Severity};
#[cfg(feature = "build")]
pub use extract::{NotAComponent, describe};
pub use interface::InterfaceName;
pub use model::{Arrow, AssetSource, Assets, BoxSpec, Restart, Source, System, SystemDisk, Target, Trusted};
pub use parse::MAX_SOURCE;
pub(crate) use parse::size;
pub use routes::Routes;
