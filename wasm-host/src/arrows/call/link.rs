//! The caller's side: what its imports do when they are called.

use super::{
    CallError, CallQueue, Caller, Failed, Host,
    fit::{self, Link},
    handles::{Held, Passed},
    message::{Encoded, Message},
    shape::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, PAIR, flat_count_of},
    typed::{CallerParams, CallerResults, Values},
};
use crate::{arrows::measure::Meter, interface::InterfaceName};
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{
        Linker, LinkerInstance,
        types::{self, ComponentFunc, ComponentItem, ResourceType, Type},
    },
    error::Context as _,
};

/// Gives the box `caller`, a component of type `component`, the interfaces of other boxes that it imports, each by its
/// name as the component has it. All its arrows of this kind at once, since interfaces share resources.
///
/// `words` are what an arrow says to the callee, and `meter` yields what counts the calls over it; both by its place.
///
/// A call that fails (see [`CallError`]) returns the error where the function's type has a place for it: as the text of
/// a `result<_, string>`, or as the bare error of a `result` without one. Where there is none, it traps in the caller
/// with a [`Failed`], which names the function and both boxes.
pub fn link<T: Host>(
    linker: &mut Linker<T>,
    component: &types::Component,
    caller: &str,
    arrows: &[(&str, &CallQueue)],
    words: impl Fn(usize) -> Vec<(String, String)>,
    meter: impl Fn(usize) -> Option<Arc<Meter>>,
) -> Result<()> {
    let engine = linker.engine().clone();
    let caller: Arc<str> = caller.into();
    let alive: Arc<()> = Arc::default();
    let origins = fit::origins(&engine, component);
    for (place, (_, queue)) in arrows.iter().enumerate() {
        if arrows[..place].iter().any(|(_, known)| known.id() == queue.id()) {
            continue;
        }
        let interfaces = arrows.iter().filter(|(_, other)| other.id() == queue.id());
        let interfaces = interfaces.map(|(interface, _)| interface.to_string()).collect();
        let link =
            Link { caller: caller.clone(), alive: Arc::downgrade(&alive), importer: component.clone(), interfaces };
        let mut functions = queue.0.functions.lock();
        link.check(&engine, functions.next.as_ref().unwrap_or(&functions.exporter), queue.name())?;
        functions.links.retain(|known| known.alive.strong_count() > 0);
        functions.links.push(link);
    }
    for (place, &(interface, queue)) in arrows.iter().enumerate() {
        let name = InterfaceName::parse(interface).with_context(|| format!("{interface} is no interface's name"))?;
        let import = fit::imported(&engine, component, interface)?;
        let caller = Arc::new(Caller { name: caller.clone(), words: words(place) });
        let mut instance = linker.instance(interface)?;
        for (item, ty) in import.exports(&engine).map(|(name, item)| (name, item.ty)) {
            match ty {
                ComponentItem::Resource(ty) => {
                    let here = |origin: &&fit::Origin| (&*origin.interface, &*origin.name) == (interface, item);
                    if origins.iter().find(here).is_some_and(|origin| origin.ty == ty) {
                        define_resource(&mut instance, item, queue)?;
                    }
                }
                ComponentItem::ComponentFunc(ty) => {
                    let import = Arc::new(Import {
                        callee: Some((queue.clone(), queue.function(&name, item))),
                        label: format!("{interface}#{item}").into(),
                        caller: caller.clone(),
                        failure: Failure::of(&ty),
                        meter: meter(place),
                        _alive: alive.clone(),
                    });
                    define(&mut instance, item, &ty, import)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Gives a box an interface that it has no arrow for: each call fails as [`link`] says, and there is never a resource.
pub fn link_absent<T: Host>(
    linker: &mut Linker<T>,
    component: &types::Component,
    caller: &str,
    interface: &str,
) -> Result<()> {
    let engine = linker.engine().clone();
    let import = fit::imported(&engine, component, interface)?;
    let caller = Arc::new(Caller { name: caller.into(), words: Vec::new() });
    let mut instance = linker.instance(interface)?;
    for (item, ty) in import.exports(&engine).map(|(name, item)| (name, item.ty)) {
        match ty {
            ComponentItem::Resource(_) => {
                instance.resource(item, ResourceType::host::<()>(), |_, _| Ok(()))?;
            }
            ComponentItem::ComponentFunc(ty) => {
                let import = Arc::new(Import {
                    callee: None,
                    label: format!("{interface}#{item}").into(),
                    caller: caller.clone(),
                    failure: Failure::of(&ty),
                    meter: None,
                    _alive: Arc::default(),
                });
                define(&mut instance, item, &ty, import)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn define_resource<T: Host>(instance: &mut LinkerInstance<'_, T>, name: &str, queue: &CallQueue) -> Result<()> {
    // A number of its own for each keeps wasmtime from taking a handle of one for a handle of another.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ty = ResourceType::host_dynamic(NEXT.fetch_add(1, Relaxed));
    let queue = queue.clone();
    instance.resource(name, ty, move |mut cx: StoreContextMut<'_, T>, place| {
        queue.release(place);
        cx.data_mut().calls().give(1);
        Ok(())
    })
}

/// One function that a box imports from another.
struct Import {
    /// and the number of the function. None: there is no arrow
    callee: Option<(CallQueue, usize)>,
    label: Arc<str>,
    caller: Arc<Caller>,
    failure: Failure,
    meter: Option<Arc<Meter>>,
    _alive: Arc<()>,
}

/// How a function's type lets it tell of a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// `result<_, string>`
    Text,
    /// `result<_>`
    Bare,
    Trap,
}

impl Failure {
    fn of(ty: &ComponentFunc) -> Self {
        match ty.results().next() {
            Some(Type::Result(result)) => match result.err() {
                Some(Type::String) => Failure::Text,
                Some(_) => Failure::Trap,
                None => Failure::Bare,
            },
            _ => Failure::Trap,
        }
    }
}

impl Import {
    async fn call<T: Host, const R: usize>(
        self: Arc<Self>,
        mut cx: StoreContextMut<'_, T>,
        params: Message<Passed>,
        refused: Result<(), CallError>,
    ) -> Result<CallerResults<R>> {
        let Some((queue, function)) = &self.callee else { return self.failed(CallError::NoArrow).map(Values) };
        cx.data_mut().waits();
        if let Some(placed) = cx.data().unplaced() {
            // Whom it will call may have to come to its place too.
            placed.await;
        }
        let (began, length) = (queue.now(), params.bytes.len());
        let result = match queue.submit(*function, &self.caller, params, refused, began, cx.data_mut().calls()) {
            Ok((pending, roused)) => {
                if let Some(roused) = roused {
                    roused.go(|task| cx.data().lend_turn(task));
                }
                pending.await
            }
            Err(error) => Err(error),
        };
        cx.data_mut().waits();
        let result = result.and_then(|answer| queue.hold(answer, cx.data_mut().calls()));
        if let Some(meter) = &self.meter {
            meter.called(began, length, result.as_ref().ok().map(|result| result.bytes.len()));
        }
        result.or_else(|error| self.failed(error)).map(Values)
    }

    fn failed(&self, error: CallError) -> Result<Message<Held>> {
        let failed = Failed {
            function: self.label.clone(),
            caller: self.caller.name.clone(),
            callee: self.callee.as_ref().map_or_else(Arc::default, |(queue, _)| queue.name().clone()),
            error,
        };
        /// The discriminant of a result's second case.
        const ERR: u8 = 1;
        match self.failure {
            Failure::Trap => Err(Error::new(failed)),
            Failure::Bare => Ok(Message::of(Encoded::from_slice(&[ERR]))),
            Failure::Text => {
                let text = failed.to_string();
                let mut bytes = Encoded::new();
                bytes.push(ERR);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
                Ok(Message::of(bytes))
            }
        }
    }
}

fn define<T: Host>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    ty: &ComponentFunc,
    import: Arc<Import>,
) -> Result<()> {
    let params = ty.params().map(|(_, ty)| flat_count_of(&ty, PAIR)).sum();
    let results = ty.results().map(|ty| flat_count_of(&ty, PAIR)).sum();
    let in_values = |count, max| if count <= max { count } else { 0 };
    // wasmtime takes functions by the number of their core values, known when the node is compiled.
    macro_rules! with_params {
        ($params:expr, $results:literal: $($count:literal)*) => {
            match $params {
                $($count => with::<T, $count, $results>(instance, name, import),)*
                _ => with::<T, MAX_FLAT_PARAMS, $results>(instance, name, import),
            }
        };
    }
    let params = in_values(params, MAX_FLAT_PARAMS);
    match in_values(results, MAX_FLAT_RESULTS) {
        0 => with_params!(params, 0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
        _ => with_params!(params, 1: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
    }
}

fn with<T: Host, const P: usize, const R: usize>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    import: Arc<Import>,
) -> Result<()> {
    instance.func_wrap_async(name, move |mut cx: StoreContextMut<'_, T>, params: CallerParams<P>| {
        let most = import.callee.as_ref().map_or(0, |(queue, _)| queue.most());
        let (params, refused) = params.0.complete(most, |bytes| cx.data_mut().calls().pay(bytes));
        Box::new(import.clone().call::<T, R>(cx, params, refused))
    })
}
