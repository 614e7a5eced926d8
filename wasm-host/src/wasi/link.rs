//! Which faces a component imports.

use super::{denied, p2, p3, settings};
use crate::{
    boxes::State,
    interface::{InterfaceName, has_version},
};
use alloc::vec::Vec;
use wasmtime::{
    Result,
    component::{
        Linker, ResourceType,
        types::{Component, ComponentItem},
    },
};

/// Gives a component the faces of WASI that it imports. Whether it does.
pub fn link(linker: &mut Linker<State>, component: &Component) -> Result<bool> {
    let engine = linker.engine().clone();
    // resources that earlier imports have brought: others only use them
    let mut known: Vec<ResourceType> = Vec::new();
    let (mut has_p2, mut has_p3, mut has_keyvalue, mut has_others) = (false, false, false, false);
    for (import, item) in component.imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        if let Some(name) = InterfaceName::parse(import).filter(|name| name.package().starts_with("wasi:")) {
            if settings::link(linker, import, &name)? {
                has_others = true;
            } else if name.package() == "wasi:keyvalue" {
                if !core::mem::replace(&mut has_keyvalue, true) {
                    p2::link_keyvalue(linker)?;
                }
                has_others = true;
            } else if is_denied(&name) {
                let own = |ty: &ResourceType| !known.contains(ty);
                denied::link(linker, import, &instance, own)?;
                has_others = true;
            } else if has_version(&name, "0.3") {
                if !core::mem::replace(&mut has_p3, true) {
                    p3::link(linker)?;
                }
            } else if !core::mem::replace(&mut has_p2, true) {
                p2::link(linker)?;
            }
        }
        let resources = instance.exports(&engine).filter_map(|(_, item)| match item.ty {
            ComponentItem::Resource(ty) => Some(ty),
            _ => None,
        });
        known.extend(resources);
    }
    Ok(has_p2 || has_p3 || has_others)
}

fn is_denied(name: &InterfaceName) -> bool {
    matches!(name.package(), "wasi:filesystem" | "wasi:sockets") || name.path() == "wasi:clocks/timezone"
}
