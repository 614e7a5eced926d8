//! The declaration: which boxes there are, what each may use, and the arrows between them.
//!
//! [`System::parse`] reads `system.toml`, [`check`] holds it against what the components import and export and yields
//! the [`Routes`] of its boxes, [`plan`] makes of both what a node runs, and [`graph`] draws it. All three report every fault they find as
//! [`Diagnostic`]s that name the file, the line, the box and the interface.

mod check;
pub mod description;
mod diagnostic;
mod extract;
mod given;
pub mod grant;
pub mod graph;
mod instance;
pub mod keys;
pub mod known;
mod model;
mod parse;
mod plan;
pub mod routes;
mod suggest;
mod web;

pub(crate) use check::misfits;
pub use check::{check, fits};
pub use description::Description;
pub use diagnostic::{Diagnostic, Place, Report, Severity};
pub use extract::{NotAComponent, describe};
pub use model::{
    Arrow, AssetSource, Assets, BoxSpec, Restart, Source, System, SystemDisk, Target, Trusted, VolumeSpec,
};
pub use parse::MAX_SOURCE;
pub use plan::{engine_of, plan};
pub use routes::Routes;
pub(crate) use suggest::help as suggestion;
pub use wasm_host::interface::InterfaceName;
pub use web::web;
