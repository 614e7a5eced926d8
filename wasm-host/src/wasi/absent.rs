//! In place of the faces, in a node that was built without them.

use crate::{
    boxes::{BoxHandle, Budget, State},
    executor::Timer,
    interface::InterfaceName,
    platform::Platform,
};
use alloc::{format, sync::Arc};
use wasmtime::{
    Error, Result,
    component::{InstancePre, Linker, types::Component},
};

pub struct Context;

impl Context {
    pub fn new(_: &Arc<Budget>, _: usize) -> Self {
        Context
    }
}

/// Refuses what imports anything of WASI.
pub fn link(linker: &mut Linker<State>, component: &Component) -> Result<bool> {
    let engine = linker.engine();
    let is_wasi = |import: &str| InterfaceName::parse(import).is_some_and(|name| name.package().starts_with("wasi:"));
    match component.imports(engine).find(|(import, _)| is_wasi(import)) {
        Some((import, _)) => Err(Error::msg(format!("imports `{import}`, and {ABSENT}"))),
        None => Ok(false),
    }
}

/// No box calls `exit` here.
pub fn has_exited_well(_: &Error) -> bool {
    false
}

pub async fn serve(
    _: &Arc<BoxHandle>,
    _: &'static dyn Platform,
    _: &Arc<Timer>,
    _: &InstancePre<State>,
    export: &str,
    _: &Arc<Budget>,
) -> Result<()> {
    Err(Error::msg(format!("exports `{export}`, and {ABSENT}")))
}

const ABSENT: &str = "this node was built without WASI";
