//! `wasi:config/store` and `wasi:logging/logging`: a box's config, and its log.
//!
//! Neither is finished: toolchains name drafts of several versions, whose functions are these. So they are linked by the name
//! that a component has for them; wasmtime compares the types.

use super::context::say;
use crate::{
    boxes::{State, log::Level},
    interface::InterfaceName,
};
use alloc::{string::String, vec::Vec};
use wasmtime::{Result, StoreContextMut, component::Linker};

pub const CONFIG: &str = "wasi:config/store";
pub const LOGGING: &str = "wasi:logging/logging";

/// The types of both, for wasmtime.
#[allow(unsafe_code)]
#[allow(dead_code, reason = "some variants are only read, and others never")]
mod types {
    use alloc::string::String;
    use wasmtime::component::{ComponentType, Lift, Lower};

    /// Why there is no setting. It is never said: what is not there is `none`.
    #[derive(ComponentType, Lower)]
    #[component(variant)]
    pub enum Error {
        #[component(name = "upstream")]
        Upstream(String),
        #[component(name = "io")]
        Io(String),
    }

    #[derive(Clone, Copy, ComponentType, Lift)]
    #[component(enum)]
    #[repr(u8)]
    pub enum Severity {
        #[component(name = "trace")]
        Trace,
        #[component(name = "debug")]
        Debug,
        #[component(name = "info")]
        Info,
        #[component(name = "warn")]
        Warn,
        #[component(name = "error")]
        Error,
        #[component(name = "critical")]
        Critical,
    }
}

use types::{Error, Severity};

/// A result of the interface, as the only one of a function.
type Got<T> = Result<(core::result::Result<T, Error>,)>;

/// Gives a component one of both, if the name is of one. Whether it is.
pub fn link(linker: &mut Linker<State>, import: &str, name: &InterfaceName) -> Result<bool> {
    match name.path() {
        CONFIG => {
            let mut instance = linker.instance(import)?;
            instance.func_wrap(
                "get",
                |store: StoreContextMut<'_, State>, (key,): (String,)| -> Got<Option<String>> {
                    let config = &store.data().handle.spec.config;
                    Ok((Ok(config.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone())),))
                },
            )?;
            let all = |store: StoreContextMut<'_, State>, (): ()| -> Got<Vec<(String, String)>> {
                Ok((Ok(store.data().handle.spec.config.clone()),))
            };
            instance.func_wrap("get-all", all)?;
        }
        LOGGING => {
            let log = |store: StoreContextMut<'_, State>, (level, context, text): (Severity, String, String)| {
                let level = match level {
                    Severity::Trace | Severity::Debug => Level::Debug,
                    Severity::Info => Level::Info,
                    Severity::Warn => Level::Warn,
                    Severity::Error | Severity::Critical => Level::Error,
                };
                say(&store.data().handle, level, &context, &text);
                Ok(())
            };
            linker.instance(import)?.func_wrap("log", log)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
