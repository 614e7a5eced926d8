//! What a component may export beside its work: `pearwood:box/health` and `pearwood:box/handover`.

use super::State;
use crate::arrows::call::Save;
use alloc::{format, string::String, vec::Vec};
use wasmtime::{
    Error, Result, Store,
    component::{Component, ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, TypedFunc},
};

const HEALTH: &str = "pearwood:box/health@0.2.0";
const HANDOVER: &str = "pearwood:box/handover@0.2.0";

/// `result<_, string>`
type Said = (Result<(), String>,);

/// Where a component exports them.
pub struct Exports {
    check: Option<ComponentExportIndex>,
    save: Option<ComponentExportIndex>,
    restore: Option<ComponentExportIndex>,
}

/// Those of an instance.
pub struct Hooks {
    check: Option<TypedFunc<(), Said>>,
    pub save: Option<Save>,
    restore: Option<TypedFunc<(Vec<u8>,), Said>>,
}

impl Exports {
    pub fn find(component: &Component) -> Result<Self> {
        let find = |interface: &str, name: &str| -> Result<_> {
            let Some(index) = component.get_export_index(None, interface) else { return Ok(None) };
            let function = component.get_export_index(Some(&index), name);
            function.map(Some).ok_or_else(|| Error::msg(format!("exports {interface} without `{name}`")))
        };
        let (check, save) = (find(HEALTH, "check")?, find(HANDOVER, "save")?);
        Ok(Exports { check, save, restore: find(HANDOVER, "restore")? })
    }

    /// Whether each instance is asked whether it is well.
    #[cfg(feature = "wasi")]
    pub fn are_asked(&self) -> bool {
        self.check.is_some()
    }

    pub fn of(&self, store: &mut Store<State>, instance: &Instance) -> Result<Hooks> {
        Ok(Hooks {
            check: function(store, instance, &self.check)?,
            save: function(store, instance, &self.save)?,
            restore: function(store, instance, &self.restore)?,
        })
    }
}

impl Hooks {
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
    index: &Option<ComponentExportIndex>,
) -> Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    index.as_ref().map(|index| instance.get_typed_func(store, index)).transpose()
}

/// The first line, and not much of it.
fn cut(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(256)]
}
