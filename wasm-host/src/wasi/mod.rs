//! WASI: the faces that people's services see, built on what the node has.
//!
//! `http` is what the versions share; `p2` and `p3` are the faces themselves. A box that exports a handler is served by
//! `pool`. What a box makes at the node is counted and charged against its memory limit.

mod cli;
mod context;
mod denied;
mod exit;
pub mod http;
mod instance;
mod keyvalue;
mod link;
#[cfg(all(test, feature = "build"))]
mod owner;
mod p2;
mod p3;
mod pool;
mod promise;
mod random;
mod renewal;
mod settings;

pub use context::Context;
pub use exit::{Exit, has_exited_well};
pub use link::link;

use promise::Promise;

use crate::{
    boxes::{BoxHandle, Budget, State},
    executor::Timer,
    interface::{InterfaceName, has_version},
    platform::Platform,
};
use alloc::sync::Arc;
use wasmtime::{Result, component::InstancePre};

/// The life of a box whose export is a handler: it serves requests until something is wrong with more than one of them.
/// `budget`: what its instances may use together.
pub async fn serve(
    handle: &Arc<BoxHandle>,
    platform: &'static dyn Platform,
    timer: &Arc<Timer>,
    component: &InstancePre<State>,
    export: &str,
    budget: &Arc<Budget>,
) -> Result<()> {
    let maker = instance::Maker::new(handle, platform, timer, component, export, budget)?;
    if InterfaceName::parse(export).is_some_and(|name| has_version(&name, "0.3")) {
        p3::serve(&maker).await
    } else {
        pool::serve(&maker).await
    }
}
