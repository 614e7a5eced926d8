//! Boxes in their own stores and tasks, on an executor that runs what has been woken and nothing else.

mod faults;
mod guests;
mod linking;
mod resources;
mod rogue;
mod swap;
mod values;
mod waiting;

use super::{CallQueue, Calls, Ended, Host, Limits, link, link_absent, serve};
use crate::{arrows::measure::Meter, boxes::Budget, executor::Timers, platform::Nanos};
use alloc::{
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};
use std::{collections::VecDeque, sync::Mutex};
use wasmtime::{
    Config, Engine, Result, Store, StoreContextMut, StoreLimits, StoreLimitsBuilder,
    component::{Component, Instance, Linker, Val},
};

pub const MS: Nanos = 1_000_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks, time, an engine.
pub struct Node {
    pub engine: Engine,
    pub timers: Arc<Timers>,
    now: Arc<AtomicU64>,
    tasks: BTreeMap<u64, Task>,
    next: u64,
    ready: Arc<Mutex<VecDeque<u64>>>,
    pub gate: Gate,
    /// what pays for what boxes send and hold
    pub budget: Arc<Budget>,
    /// what arrows say that are made from now on
    pub words: Vec<(String, String)>,
    /// who has called those that waited at the gate, and what the arrow said
    pub seen: Arc<Mutex<Vec<String>>>,
    /// counts all calls
    pub meter: Option<Arc<Meter>>,
    /// of a callee's store
    pub own_handles: usize,
}

struct Wake {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl alloc::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, SeqCst) {
            self.ready.lock().unwrap().push_back(self.task);
        }
    }
}

/// A store's data: what the arrow needs, and a memory limit.
pub struct Data {
    calls: Calls,
    limits: StoreLimits,
}

impl Host for Data {
    fn calls(&mut self) -> &mut Calls {
        &mut self.calls
    }
}

/// Where a guest waits until the test lets it go on.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<(u32, Vec<Waker>)>>);

impl Gate {
    /// Lets `count` guests through.
    pub fn open(&self, count: u32) {
        let mut gate = self.0.lock().unwrap();
        gate.0 += count;
        gate.1.drain(..).for_each(Waker::wake);
    }

    /// Guests that wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 > 0 {
            gate.0 -= 1;
            return Poll::Ready(());
        }
        gate.1.push(cx.waker().clone());
        Poll::Pending
    }
}

/// A box: its component, and where it may be called.
pub struct Guest {
    pub name: &'static str,
    pub component: Component,
    pub queue: CallQueue,
}

/// A running caller.
pub struct Caller {
    live: Arc<Mutex<Option<Live>>>,
}

struct Live {
    store: Store<Data>,
    instance: Instance,
}

/// What a task leaves behind.
pub struct Outcome<R>(Arc<Mutex<Option<R>>>, u64);

impl<R> Outcome<R> {
    /// None while it runs.
    pub fn take(&self) -> Option<R> {
        self.0.lock().unwrap().take()
    }
}

impl Node {
    pub fn new() -> Self {
        let mut config = Config::new();
        config.wasm_component_model_async(false).concurrency_support(false).gc_support(false);
        Node::with(config)
    }

    /// On an engine for boxes that use the component model's own async.
    pub fn concurrent() -> Self {
        Node::with(Config::new())
    }

    fn with(config: Config) -> Self {
        Node {
            engine: Engine::new(&config).unwrap(),
            timers: Arc::default(),
            // not zero, so that a sum that forgets the present is wrong
            now: Arc::new(AtomicU64::new(1_000_000_007)),
            tasks: BTreeMap::new(),
            next: 0,
            ready: Arc::default(),
            gate: Gate::default(),
            budget: Budget::new(1 << 30),
            words: Vec::new(),
            seen: Arc::default(),
            meter: None,
            own_handles: 10_000,
        }
    }

    pub fn spawn<R: Send + 'static>(&mut self, future: impl Future<Output = R> + Send + 'static) -> Outcome<R> {
        let outcome = Arc::new(Mutex::new(None));
        let slot = outcome.clone();
        let task = self.next;
        self.next += 1;
        self.tasks.insert(
            task,
            Box::pin(async move {
                let result = future.await;
                *slot.lock().unwrap() = Some(result);
            }),
        );
        self.ready.lock().unwrap().push_back(task);
        Outcome(outcome, task)
    }

    /// Runs tasks until none is awake.
    pub fn run(&mut self) {
        loop {
            let next = self.ready.lock().unwrap().pop_front();
            let Some(task) = next else { return };
            let Some(mut future) = self.tasks.remove(&task) else { continue };
            let wake = Wake { task, queued: AtomicBool::new(false), ready: self.ready.clone() };
            let waker = Arc::new(wake).into();
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.tasks.insert(task, future);
            }
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Nanos) {
        let now = self.now.fetch_add(by, SeqCst) + by;
        self.timers.expire(now);
        self.run();
    }

    /// Drops a task, as one that is killed.
    pub fn kill<R>(&mut self, task: &Outcome<R>) {
        self.tasks.remove(&task.1);
        self.run();
    }

    /// Drops the task that was spawned last.
    pub fn kill_last(&mut self) {
        self.tasks.pop_last();
    }

    /// A box, its queue and its watch. `component` is a binary or text.
    pub fn guest(&mut self, name: &'static str, component: &[u8], limits: Limits) -> Guest {
        let component = Component::new(&self.engine, wat::parse_bytes(component).unwrap()).unwrap();
        let now = self.now.clone();
        let clock = Arc::new(move || now.load(SeqCst));
        let queue = CallQueue::new(name, &self.engine, component.component_type(), limits, clock);
        let (watched, timer) = (queue.clone(), self.timers.timer());
        self.spawn(async move { watched.watch(timer).await });
        self.run();
        Guest { name, component, queue }
    }

    fn linker(&self, component: &Component, name: &str, arrows: &[(&str, &CallQueue)]) -> Result<Linker<Data>> {
        let mut linker = Linker::new(&self.engine);
        let (gate, seen) = (self.gate.clone(), self.seen.clone());
        linker.instance("test:host/gate")?.func_wrap_async("wait", move |cx: StoreContextMut<'_, Data>, (): ()| {
            let gate = gate.clone();
            let caller = cx.data().calls.caller().map(|caller| format!("{} {:?}", caller.name, caller.words));
            seen.lock().unwrap().push(caller.unwrap_or_default());
            Box::new(async move {
                core::future::poll_fn(|cx| gate.poll(cx)).await;
                Ok(())
            })
        })?;
        link(&mut linker, &component.component_type(), name, arrows, |_| self.words.clone(), |_| self.meter.clone())?;
        if arrows.is_empty() && component.component_type().get_import(&self.engine, guests::NAME).is_some() {
            link_absent(&mut linker, &component.component_type(), name, guests::NAME)?;
        }
        Ok(linker)
    }

    fn store(&self) -> Store<Data> {
        self.store_with(16)
    }

    fn store_with(&self, handles: usize) -> Store<Data> {
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
        let mut store = Store::new(&self.engine, Data { calls: Calls::new(handles, &self.budget), limits });
        store.limiter(|data| &mut data.limits);
        store
    }

    /// Starts an instance of `guest` that serves its queue.
    pub fn serve(&mut self, guest: &Guest, arrows: &[(&str, &CallQueue)]) -> Outcome<Ended> {
        self.serve_component(&guest.component, guest, arrows)
    }

    /// The same with another component than the guest began with.
    pub fn serve_component(
        &mut self,
        component: &Component,
        guest: &Guest,
        arrows: &[(&str, &CallQueue)],
    ) -> Outcome<Ended> {
        let linker = self.linker(component, guest.name, arrows).unwrap();
        let mut store = self.store();
        store.set_max_component_handles(self.own_handles);
        let (queue, component) = (guest.queue.clone(), component.clone());
        let ended = self.spawn(async move {
            let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
            serve(&queue, &mut store, &instance, None).await
        });
        self.run();
        ended
    }

    pub fn try_caller(&mut self, name: &str, component: &[u8], arrows: &[(&str, &CallQueue)]) -> Result<Caller> {
        self.caller_with(name, component, arrows, 16)
    }

    pub fn caller_with(
        &mut self,
        name: &str,
        component: &[u8],
        arrows: &[(&str, &CallQueue)],
        handles: usize,
    ) -> Result<Caller> {
        let component = Component::new(&self.engine, wat::parse_bytes(component).unwrap())?;
        let linker = self.linker(&component, name, arrows)?;
        let mut store = self.store_with(handles);
        let made = self.spawn(async move {
            let instance = linker.instantiate_async(&mut store, &component).await?;
            Ok(Live { store, instance })
        });
        self.run();
        let live: Result<Live> = made.take().expect("instantiates at once");
        Ok(Caller { live: Arc::new(Mutex::new(Some(live?))) })
    }

    pub fn caller(&mut self, name: &str, component: &[u8], arrows: &[(&str, &CallQueue)]) -> Caller {
        self.try_caller(name, component, arrows).unwrap()
    }

    /// Begins a call of one of the caller's own exports.
    pub fn start(&mut self, caller: &Caller, function: &str, params: &[Val]) -> Outcome<Result<Option<Val>, String>> {
        let (function, params, place) = (function.to_string(), params.to_vec(), caller.live.clone());
        let outcome = self.spawn(async move {
            let taken = place.lock().unwrap().take();
            let Live { mut store, instance } = taken.expect("one call at a time, and none after a trap");
            let function = instance.get_func(&mut store, &*function).unwrap();
            let mut results = alloc::vec![Val::Bool(false); function.ty(&store).results().len()];
            match function.call_async(&mut store, &params, &mut results).await {
                Ok(()) => {
                    *place.lock().unwrap() = Some(Live { store, instance });
                    Ok(results.pop())
                }
                Err(error) => Err(format!("{}", error.root_cause())),
            }
        });
        self.run();
        outcome
    }

    /// Calls and expects an end at once.
    pub fn call(&mut self, caller: &Caller, function: &str, params: &[Val]) -> Result<Option<Val>, String> {
        self.start(caller, function, params).take().expect("the call should have ended")
    }
}

impl Caller {
    /// Resources of other boxes that it holds.
    pub fn held(&self) -> usize {
        self.live.lock().unwrap().as_mut().expect("lives").store.data_mut().calls.held()
    }
}

pub fn text(outcome: Result<Option<Val>, String>) -> String {
    outcome.expect_err("the call should have trapped")
}
