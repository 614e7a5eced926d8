//! Interfaces that a program may import without ever using them: files and sockets, which no arrow of this node gives.
//!
//! Runtimes of whole languages import them. Each function answers as a system does that grants nothing: there are no
//! directories, and everything fails with `access-denied` or the nearest to it that its type has.

use crate::boxes::State;
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{
        Linker, ResourceType, Val,
        types::{ComponentInstance, ComponentItem, Type},
    },
};

/// Marks the resources of these interfaces, of which there are never any.
struct Nothing;

/// Defines one of the component's imports so that it gives nothing. `own`: whether a resource is of this interface, and
/// not one that it only uses.
pub fn link(
    linker: &mut Linker<State>,
    name: &str,
    import: &ComponentInstance,
    own: impl Fn(&ResourceType) -> bool,
) -> Result<()> {
    let engine = linker.engine().clone();
    let mut instance = linker.instance(name)?;
    for (item, ty) in import.exports(&engine).map(|(name, item)| (name.to_string(), item.ty)) {
        match ty {
            ComponentItem::Resource(ty) if own(&ty) => {
                instance.resource(&item, ResourceType::host::<Nothing>(), |_: StoreContextMut<'_, State>, _| Ok(()))?;
            }
            ComponentItem::ComponentFunc(ty) => {
                let answer = match ty.results().next() {
                    None => Some(None),
                    Some(ty) => refusal(&ty).map(Some),
                };
                let denied = Arc::new(Denied { function: format!("{name}#{item}"), answer });
                if ty.async_() {
                    instance.func_new_concurrent(&item, move |_, _, _, results| {
                        let denied = denied.clone();
                        Box::pin(async move { denied.answer(results) })
                    })?;
                } else {
                    instance.func_new(&item, move |_, _, _, results| denied.answer(results))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A function that gives nothing.
struct Denied {
    function: String,
    /// None: it has no answer that says no.
    answer: Option<Option<Val>>,
}

impl Denied {
    fn answer(&self, results: &mut [Val]) -> Result<()> {
        match (&self.answer, results) {
            (Some(Some(answer)), [result]) => {
                *result = answer.clone();
                Ok(())
            }
            (Some(None), []) => Ok(()),
            _ => Err(Error::msg(format!("called {}, which this node does not have", self.function))),
        }
    }
}

/// The value of a type that says no. None: it has none.
fn refusal(ty: &Type) -> Option<Val> {
    Some(match ty {
        Type::Result(result) => match result.err() {
            Some(error) => Val::Result(Err(Some(Box::new(denied(&error)?)))),
            None => Val::Result(Err(None)),
        },
        Type::Option(_) => Val::Option(None),
        Type::List(_) => Val::List(Vec::new()),
        Type::Bool => Val::Bool(false),
        _ => return None,
    })
}

/// The error that comes nearest to a denied access.
fn denied(error: &Type) -> Option<Val> {
    const NEAREST: [&str; 6] = ["access-denied", "access", "not-permitted", "not-supported", "unsupported", "unknown"];
    match error {
        Type::Enum(ty) => nearest(NEAREST, |name| ty.names().any(|known| known == name)).map(|n| Val::Enum(n.into())),
        Type::Variant(ty) => {
            let has = |name: &str| ty.cases().any(|case| case.name == name && case.ty.is_none());
            nearest(NEAREST, has).map(|name| Val::Variant(name.into(), None))
        }
        _ => None,
    }
}

fn nearest<const N: usize>(names: [&'static str; N], has: impl Fn(&str) -> bool) -> Option<&'static str> {
    names.into_iter().find(|name| has(name))
}
