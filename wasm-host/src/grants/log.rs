//! `pearwood:box/log`.

use crate::{
    arrows::Cut,
    boxes::{State, log},
};
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower},
};

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "wasmtime makes them from what the box passes")]
enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        }
    }
}

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/log@0.2.0")?;
    interface.func_wrap("write", |cx: StoreContextMut<'_, State>, (level, line): (Level, Cut<{ log::MAX_LINE }>)| {
        cx.data().handle.write(level.into(), &line.0);
        Ok(())
    })
}
