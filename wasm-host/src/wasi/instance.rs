//! One instance of a pool, and one request that it works on.

use super::{
    has_exited_well,
    http::{Asked, Client, Reader, Server},
    keyvalue::Buckets,
    p2::{IncomingRequest, ResponseOutparam},
    renewal::{Origin, Renewal},
};
use crate::{
    arrows::{
        HANDLER, KEYVALUE,
        channel::{End, Refused},
    },
    boxes::{
        BoxHandle, Budget, Exports, Phase, Stage, State,
        footprint::{self, NoRoom},
        log::Level,
        metered,
    },
    executor::{CpuTime, Timer},
    platform::{Nanos, Platform},
};
use alloc::{boxed::Box, format, string::String, sync::Arc};
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll},
};
use wasmtime::{
    Error, Result, Store,
    component::{self, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, Resource, TypedFunc},
    error::Context as _,
};

/// How long an instance may go on when nobody wants anything of it any more.
pub const LINGER: Nanos = 30_000_000_000;

/// What instances are made of, and what they share.
pub struct Maker<'a> {
    pub handle: &'a Arc<BoxHandle>,
    pub platform: &'static dyn Platform,
    pub timer: &'a Arc<Timer>,
    component: &'a InstancePre<State>,
    /// the function that is called
    function: ComponentExportIndex,
    hooks: Exports,
    renewal: Renewal,
    /// of all instances together
    pub budget: Arc<Budget>,
    pub client: Option<Arc<Client>>,
    buckets: Option<Arc<Buckets>>,
    pub server: Server,
}

type Handle = TypedFunc<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()>;

pub struct Instance {
    store: Store<State>,
    handle: Handle,
    /// its own CPU time
    meter: Arc<CpuTime>,
    linger: Arc<Timer>,
    /// None: it is not made as new again
    origin: Option<Origin>,
}

/// What became of an instance and its request.
pub enum Outcome {
    /// Its request ended well, and it can have another.
    Well(Box<Instance>),
    /// It is not used again, though it did not fail.
    Spent,
    /// It has ended, while it did this.
    Failed(String, Error),
    /// There is no instance for the request. `full`: for want of memory.
    Unmade { request: Asked, error: Error, full: bool },
}

impl<'a> Maker<'a> {
    /// `export`: the handler that the component exports, by its name for it.
    pub fn new(
        handle: &'a Arc<BoxHandle>,
        platform: &'static dyn Platform,
        timer: &'a Arc<Timer>,
        component: &'a InstancePre<State>,
        export: &str,
        budget: &Arc<Budget>,
    ) -> Result<Self> {
        let port = handle.port(HANDLER, End::Service);
        let port = port.ok_or_else(|| Error::msg("has no port for requests"))?;
        let exports = component.component();
        let interface = exports.get_export_index(None, export);
        let function = interface.and_then(|interface| exports.get_export_index(Some(&interface), "handle"));
        let function = function.ok_or_else(|| Error::msg(format!("exports no `handle` of {export}")))?;
        let hooks = Exports::find(exports)?;
        let renewal = if handle.spec.reuse || hooks.are_asked() { Renewal::none() } else { Renewal::of(exports) };
        let budget = budget.clone();
        let client = handle.port(HANDLER, End::Client).map(|port| Client::new(port, &budget));
        let buckets = handle.port(KEYVALUE, End::Client).map(|port| Buckets::new(port, &handle.buckets, &budget));
        let server = Server::new(port, &budget);
        Ok(Maker { handle, platform, timer, component, function, hooks, renewal, budget, client, buckets, server })
    }

    /// The first instance is there: the box takes requests from now on.
    pub fn begin(&self) {
        self.handle.live(|life| life.phase = Phase::Running);
        self.handle.ports.iter().for_each(|port| port.attach());
        self.handle.birth.reach(Stage::Ready);
    }

    /// Takes in what has come, of which `cx` is woken.
    pub fn receive(&self, cx: &mut Context<'_>) {
        while self.handle.signal.poll(cx).is_ready() {
            self.server.receive();
            self.client.iter().for_each(|client| client.receive());
            self.buckets.iter().for_each(|buckets| buckets.receive());
            self.server.tell_cut_off(self.handle);
        }
    }

    /// Sends what has been said.
    pub fn flush(&self) -> Result<(), Refused> {
        self.server.flush()?;
        self.client.as_ref().map_or(Ok(()), |client| client.flush())?;
        self.buckets.as_ref().map_or(Ok(()), |buckets| buckets.flush())
    }

    /// `spare`: bytes of the box's memory limit that are to be left, for what requests and responses carry. Never taken,
    /// not even until it is found that they are not there: others may run meanwhile.
    pub async fn make(&self, meter: Arc<CpuTime>, spare: u64) -> Result<Instance> {
        loop {
            let paid = footprint::pay(self.handle, &self.budget, spare)?;
            let state = State::within(paid, self.handle, self.platform, &self.timer.another());
            let mut store = self.store(state.metered(&meter));
            store.data_mut().leave(spare);
            let instance = self.instantiate(&mut store).await?;
            let handle = self.function(&mut store, &instance)?;
            // found out with an instance that is lost by it: then another is made
            let Ok(origin) = self.renewal.begin(&mut store, &instance, self.platform).await? else { continue };
            store.data_mut().leave(0);
            return Ok(Instance { store, handle, meter, linger: self.timer.another(), origin });
        }
    }

    pub fn store(&self, state: State) -> Store<State> {
        let mut store = state.into_store(self.component.engine());
        store.data_mut().wasi.client.clone_from(&self.client);
        store.data_mut().wasi.buckets.clone_from(&self.buckets);
        store
    }

    /// A new instance. One that says that it is not well is not used.
    pub async fn instantiate(&self, store: &mut Store<State>) -> Result<component::Instance> {
        let made = async {
            let instance = self.component.instantiate_async(&mut *store).await?;
            self.hooks.of(store, &instance)?.check(store).await?;
            Ok(instance)
        };
        match made.await {
            Err(_) if store.data().was_refused() => Err(footprint::no_room(self.handle)),
            made => made,
        }
    }

    /// The function of an instance.
    pub fn function<P, R>(&self, store: &mut Store<State>, instance: &component::Instance) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        instance.get_typed_func(store, self.function).context("its `handle`")
    }

    /// What instances leave to the bodies of requests and responses, all but the only one.
    pub fn spare(&self) -> u64 {
        self.budget.limit() / 8
    }
}

/// Lets an instance, or a new one, answer a request.
/// `spare`: see [`Maker::make`].
pub async fn work(maker: &Maker<'_>, instance: Option<Instance>, spare: u64, request: Asked) -> Outcome {
    let meter = instance.as_ref().map_or_else(Arc::default, |instance| instance.meter.clone());
    let meters = meter.clone();
    let work = async {
        match instance {
            Some(instance) => answer(maker, Box::new(instance), request).await,
            None => match maker.make(meters, spare).await {
                Ok(instance) => answer(maker, Box::new(instance), request).await,
                Err(error) => {
                    let full = error.is::<NoRoom>();
                    Outcome::Unmade { request, error, full }
                }
            },
        }
    };
    metered(maker.platform, &meter, work).await
}

async fn answer(maker: &Maker<'_>, mut instance: Box<Instance>, request: Asked) -> Outcome {
    let exchange = request.exchange.clone();
    let what = request.head.in_words();
    let called = instance.call(request, maker).await;
    let handle = maker.handle;
    instance.store.data_mut().wasi.flush_text(handle);
    match called {
        Some(Ok(())) => {
            exchange.fail(match exchange.has_responded() {
                true => "returned before the response's body was finished",
                false => "returned without a response",
            });
        }
        // the runtimes of some languages say at the end of a request that they are done
        Some(Err(error)) if has_exited_well(&error) => {
            exchange.fail("called exit before its response was finished");
            if let Some(failure) = exchange.failure() {
                handle.write(Level::Error, &format!("{what}: {failure}"));
            }
            return Outcome::Spent;
        }
        // Many a guest takes it for impossible that nobody reads its answer to the end.
        Some(Err(error)) if exchange.is_broken() && exchange.failure().is_none() => {
            handle.write(Level::Debug, &format!("{what}: ended after the client had gone: {}", error.root_cause()));
            return Outcome::Spent;
        }
        Some(Err(error)) => {
            exchange.fail(&format!("{}", error.root_cause()));
            return Outcome::Failed(what, error);
        }
        None => {
            handle.write(Level::Warn, &format!("{what}: still at work long after it was over"));
            return Outcome::Spent;
        }
    }
    if let Some(failure) = exchange.failure() {
        handle.write(Level::Error, &format!("{what}: {failure}"));
        return Outcome::Spent;
    }
    match instance.is_ready_again(maker) {
        true => Outcome::Well(instance),
        false => Outcome::Spent,
    }
}

impl Instance {
    /// Whether it can have another request, for which it is made as new if it has to be.
    fn is_ready_again(&mut self, maker: &Maker<'_>) -> bool {
        match &self.origin {
            Some(origin) => origin.renew(&mut self.store, maker.platform),
            None => maker.handle.spec.reuse && !self.store.data_mut().wasi.is_littered(),
        }
    }

    /// None: it went on for too long after the exchange was over.
    async fn call(&mut self, request: Asked, maker: &Maker<'_>) -> Option<Result<()>> {
        let Asked { exchange, head } = request;
        let state = self.store.data_mut();
        state.waits();
        let body = Some(Reader::new(&exchange));
        let pushed = state.wasi.push(IncomingRequest { head, body });
        let pushed = pushed.and_then(|request| Ok((request, state.wasi.push(ResponseOutparam(exchange.clone()))?)));
        let arguments = match pushed {
            Ok(arguments) => arguments,
            Err(error) => return Some(Err(error)),
        };
        let mut call = pin!(self.handle.call_async(&mut self.store, arguments));
        let linger = &self.linger;
        let mut until = None;
        let result = core::future::poll_fn(|cx| {
            if let Poll::Ready(result) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if exchange.over(cx) {
                let now = maker.platform.now();
                let until = *until.get_or_insert(now.saturating_add(LINGER));
                if until <= now {
                    return Poll::Ready(None);
                }
                linger.set(until, cx.waker());
            }
            Poll::Pending
        })
        .await;
        self.linger.clear();
        result
    }
}
