//! What a component may export beside its work: `pearwood:box/health` and `pearwood:box/handover`.

use super::State;
use crate::arrows::call::Save;
use alloc::{format, string::String, vec::Vec};
use wasmtime::{
    Error, Result, Store,
    component::{ComponentNamedList, Instance, Lift, Lower, TypedFunc},
};

const HEALTH: &str = "pearwood:box/health@0.2.0";
const HANDOVER: &str = "pearwood:box/handover@0.2.0";

/// `result<_, string>`
type Said = (Result<(), String>,);

pub struct Hooks {
    check: Option<TypedFunc<(), Said>>,
    pub save: Option<Save>,
    restore: Option<TypedFunc<(Vec<u8>,), Said>>,
}

impl Hooks {
    pub fn find(store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        Ok(Hooks {
            check: function(store, instance, HEALTH, "check")?,
            save: function(store, instance, HANDOVER, "save")?,
            restore: function(store, instance, HANDOVER, "restore")?,
        })
    }

    pub fn hands_over(&self) -> bool {
        self.save.is_some()
    }

    /// Asks a new instance whether it is well.
    pub async fn check(&self, store: &mut Store<State>) -> Result<()> {
        let Some(check) = &self.check else { return Ok(()) };
        store.data_mut().waits();
        let (well,) = check.call_async(store, ()).await?;
        well.map_err(|why| Error::msg(format!("is not well: {}", cut(&why))))
    }

    pub async fn restore(&self, store: &mut Store<State>, state: Vec<u8>) -> Result<()> {
        let Some(restore) = &self.restore else { return Ok(()) };
        store.data_mut().waits();
        let (taken,) = restore.call_async(store, (state,)).await?;
        taken.map_err(|why| Error::msg(format!("does not take over the state of its predecessor: {}", cut(&why))))
    }
}

/// The state that a box has saved, if it is not too much for one with this much memory.
pub fn within(state: Vec<u8>, memory: u64) -> Result<Vec<u8>> {
    if state.len() as u64 > memory / 4 {
        let (length, memory) = (state.len(), memory >> 10);
        return Err(Error::msg(format!("saved {length} bytes, more than a quarter of its memory of {memory} KiB")));
    }
    Ok(state)
}

fn function<P, R>(
    store: &mut Store<State>,
    instance: &Instance,
    interface: &str,
    name: &str,
) -> Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let Some(index) = instance.get_export_index(&mut *store, None, interface) else { return Ok(None) };
    let function = instance.get_export_index(&mut *store, Some(&index), name);
    let function = function.ok_or_else(|| Error::msg(format!("exports {interface} without `{name}`")))?;
    let typed = instance.get_typed_func(&mut *store, function);
    typed.map(Some).map_err(|error| error.context(format!("{interface}#{name}")))
}

/// The first line, and not much of it.
fn cut(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(256)]
}
