//! The callee's task: one instance takes calls from its box's queue.

use super::{
    CallError, Host,
    error::reason,
    fit,
    queue::{CallQueue, Path},
    server::{Seat, Work},
    shape::is_always_small,
    typed::{CalleeParams, CalleeResults, Values},
};
use crate::arrows::Bounded;
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::Poll,
};
use wasmtime::{
    Engine, Error, Store,
    component::{Instance, TypedFunc},
};

/// Why an instance serves no more.
#[derive(Debug)]
pub enum Ended {
    /// It trapped, or broke the canonical ABI. It cannot be called again.
    Failed { during: Arc<str>, error: Error },
    /// It worked on one call for longer than [`super::Limits::stuck`].
    Stuck { during: Arc<str> },
    /// It lacks what callers are linked to.
    Unfit(Error),
    /// Another instance has taken its place.
    Replaced,
    /// The queue is closed.
    Closed(Arc<str>),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Failed { during, error } => write!(f, "failed in {during}: {}", reason(error)),
            Ended::Stuck { during } => write!(f, "stuck in {during}"),
            Ended::Unfit(error) => write!(f, "does not fit its callers: {error}"),
            Ended::Replaced => f.write_str("replaced"),
            Ended::Closed(reason) => write!(f, "closed: {reason}"),
        }
    }
}

/// The most bytes of state that any box may hand over.
pub const MAX_STATE: usize = 16 << 20;

/// A box's `save`.
pub type Save = TypedFunc<(), (Bounded<MAX_STATE>,)>;

/// Serves calls until the instance fails or is replaced. The future is polled by the task that owns the store, as
/// everything of a store must be. Dropped, it ends the call in progress; its caller is told, and the store is not to be
/// called again.
///
/// An instance works on one call at a time. Another takes the place of the one that serves, which finishes its call first,
/// and serves on those that hold resources of it: that is how a box is swapped.
///
/// `save` is the box's own, for [`CallQueue::save`].
pub async fn serve<T: Host>(
    queue: &CallQueue,
    store: &mut Store<T>,
    instance: &Instance,
    save: Option<&Save>,
) -> Ended {
    let component = instance.instance_pre(&*store).component().component_type();
    if let Err(error) = queue.check(&component) {
        return Ended::Unfit(error);
    }
    let exports = fit::exports(store.engine(), &component);
    {
        let mut functions = queue.0.functions.lock();
        (functions.exporter, functions.next) = (component, None);
    }
    let copies = store.hostcall_fuel();
    let handles = store.max_component_handles();
    let mut known = Known { queue, instance, exports, functions: Vec::new() };
    // wasmtime runs nothing concurrent within something concurrent
    let task = store.data().task().filter(|_| queue.limits().within && Engine::same(store.engine(), &queue.0.engine));
    let seat = Seat::join(queue, task);
    loop {
        let (during, result) = match seat.next().await {
            Work::Replaced => return Ended::Replaced,
            Work::Closed(reason) => return Ended::Closed(reason),
            Work::Call { index, function, caller, path, params, lent } => {
                let Some(callee) = known.function(store, function) else {
                    seat.post(index, Err(CallError::Missing));
                    continue;
                };
                store.data_mut().waits();
                store.data_mut().calls().works_for(caller, path);
                // The store counts what others hold as well, which they have paid for.
                store.set_max_component_handles(handles.saturating_add(lent));
                // wasmtime lets the result be no larger than what is paid ahead for it
                let paid = if callee.is_small { None } else { store.data_mut().calls().pay_ahead(queue.most()) };
                if let Some(paid) = &paid {
                    let already = store.data().copies();
                    store.set_hostcall_fuel(already.max(paid.bytes() as usize));
                }
                let result = attend(&seat, pin!(callee.function.call_async(&mut *store, Values(params)))).await;
                store.set_hostcall_fuel(copies);
                store.data_mut().calls().works_for(None, Path::default());
                match result {
                    Some(Ok(Values(mut result))) => {
                        if let Some((size, mut charge)) = result.size().zip(paid) {
                            charge.resize(size);
                            result.paid_with(charge);
                        }
                        seat.post(index, Ok(result));
                        continue;
                    }
                    failed => (known.label(function), failed.map(|result| result.map(drop))),
                }
            }
            Work::Save => {
                let Some(save) = save else {
                    seat.saved(Err("it has no state to hand over".into()));
                    continue;
                };
                store.data_mut().waits();
                store.data_mut().calls().works_for(None, Path::default());
                match attend(&seat, pin!(save.call_async(&mut *store, ()))).await {
                    Some(Ok((state,))) => {
                        seat.saved(Ok(state.0));
                        continue;
                    }
                    failed => ("`save`".into(), failed.map(|result| result.map(drop))),
                }
            }
            Work::Drop(resource) => {
                store.data_mut().waits();
                store.data_mut().calls().works_for(None, Path::default());
                match attend(&seat, pin!(resource.resource_drop_async(&mut *store))).await {
                    Some(Ok(())) => {
                        seat.done();
                        continue;
                    }
                    failed => ("the destructor of a resource".into(), failed),
                }
            }
        };
        let (reason, ended) = match result {
            Some(Err(error)) => (reason(&error), Ended::Failed { during, error }),
            _ => (format!("stuck in {during}").into(), Ended::Stuck { during }),
        };
        seat.leave(&reason);
        return ended;
    }
}

/// Runs work unless it takes too long: None then.
async fn attend<R>(seat: &Seat, mut work: Pin<&mut impl Future<Output = R>>) -> Option<R> {
    core::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => seat.poll_stuck(cx).map(|()| None),
    })
    .await
}

/// The functions of an instance, looked up when they are called first.
struct Known<'a> {
    queue: &'a CallQueue,
    instance: &'a Instance,
    exports: Vec<(crate::interface::InterfaceName, String)>,
    /// by the queue's numbers; the inner None: there is no such function
    functions: Vec<Option<Option<Callee>>>,
}

#[derive(Clone, Copy)]
struct Callee {
    function: TypedFunc<CalleeParams, CalleeResults>,
    /// its result always is
    is_small: bool,
}

impl Known<'_> {
    fn function<T>(&mut self, store: &mut Store<T>, number: usize) -> Option<Callee> {
        if self.functions.len() <= number {
            self.functions.resize(number + 1, None);
        }
        if let Some(known) = self.functions[number] {
            return known;
        }
        let found = self.find(store, number);
        self.functions[number] = Some(found);
        found
    }

    fn find<T>(&self, store: &mut Store<T>, number: usize) -> Option<Callee> {
        let function = self.queue.0.functions.lock().all.get(number)?.clone();
        let name = fit::compatible(&self.exports, &function.interface)?;
        let interface = self.instance.get_export_index(&mut *store, None, name)?;
        let index = self.instance.get_export_index(&mut *store, Some(&interface), &function.name)?;
        let found = self.instance.get_func(&mut *store, index)?;
        let is_small = found.ty(&*store).results().all(|ty| is_always_small(&ty));
        Some(Callee { function: found.typed(&*store).ok()?, is_small })
    }

    fn label(&self, number: usize) -> Arc<str> {
        let functions = self.queue.0.functions.lock();
        functions
            .all
            .get(number)
            .map_or_else(|| "a function".into(), |function| format!("{}#{}", function.interface, function.name).into())
    }
}
