//! The life of a box that exports a 0.3 handler: one instance works on many requests at once.
//!
//! What it does between requests is its own affair: tasks that it has started go on. A trap ends the instance and with
//! it all its requests, and the box starts again as any other.
//!
//! Some guests, or their languages' runtimes, do not drop all handles that requests bring. An instance that holds too
//! many is replaced before it runs out of them: it gets no more requests, and ends with the last of those that it has.

use super::http::{Body, ErrorCode, Request, Response, send};
use crate::{
    boxes::{
        BoxHandle, Charge, Phase, State, Turns,
        footprint::{self, NoRoom},
        log::Level,
        metered,
    },
    executor::CpuTime,
    platform::Nanos,
    wasi::{
        has_exited_well,
        http::{Asked, Asking, Exchange, OutBody, Reader, Side, in_place},
        instance::{LINGER, Maker},
    },
};
use alloc::{boxed::Box, format, sync::Arc, task::Wake, vec::Vec};
use core::{
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{
        AtomicBool,
        Ordering::{Relaxed, SeqCst},
    },
    task::{Context, Poll, Waker},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use message::status::has_body;
use spin::Mutex;
use wasmtime::{
    AsContextMut, Error, Result,
    component::{Accessor, Resource, TypedFunc},
};

/// Tasks, streams, futures and the like that an instance may have at once, at most.
const CONCURRENT: usize = 16_384;

/// What one of them takes of the node's memory, in bytes.
const TASK: usize = 768;

/// Requests between two looks at how many handles an instance holds.
const LOOK: usize = 128;

/// Handles that an instance may hold for each request that it works on, and as many beside: with more it is replaced.
const HANDLES: usize = 64;

type Answer = core::result::Result<Resource<Response>, ErrorCode>;
type Handle = TypedFunc<(Resource<Request>,), (Answer,)>;
type Work<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>>;

/// Serves requests until an instance fails, or another box has this one's place.
pub async fn serve(maker: &Maker<'_>) -> Result<()> {
    let Maker { handle, budget, server, .. } = maker;
    let mut lives = Work::new();
    let mut newest: Option<Arc<Turn>> = None;
    // not while another instance has to wait for the memory of an earlier one
    let mut has_room = true;
    let bell = Arc::new(Bell::default());
    core::future::poll_fn(|cx| {
        maker.receive(cx);
        let _within = bell.within(cx.waker());
        let own = Waker::from(bell.clone());
        let cx = &mut Context::from_waker(&own);
        let begun = maker.platform.now();
        loop {
            if has_room && newest.as_ref().is_none_or(|turn| turn.is_over.load(Relaxed)) {
                let turn = Arc::<Turn>::default();
                newest = Some(turn.clone());
                lives.push(Box::pin(live(maker, turn)));
            }
            if server.is_waited_for()
                && let Some(turn) = &newest
            {
                turn.giver.lock().take().into_iter().for_each(Waker::wake);
            }
            match lives.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(()))) => has_room = true,
                Poll::Ready(Some(Err(error))) if error.is::<NoRoom>() && !lives.is_empty() => has_room = false,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) | Poll::Pending => {
                    let is_served = !has_room || newest.as_ref().is_some_and(|turn| !turn.is_over.load(Relaxed));
                    let has_time = maker.platform.now().saturating_sub(begun) < MOST;
                    if is_served && !(has_time && bell.take()) {
                        break;
                    }
                }
            }
        }
        handle.memory_is(budget.used());
        if handle.is_retiring() && !server.has_peers() {
            return Poll::Ready(Ok(()));
        }
        maker.flush().map_or_else(|refused| Poll::Ready(Err(Error::new(refused))), |()| Poll::Pending)
    })
    .await
}

/// For how long an instance may go on in one turn of its box's, whenever it wakes itself: what it says of a response, its head
/// and its body, is then sent together.
const MOST: Nanos = 200_000;

/// Whom instances wake: their box's task, but within its turn only this, which then lets them go on.
#[derive(Default)]
struct Bell {
    task: Mutex<Option<Waker>>,
    is_within: AtomicBool,
    rang: AtomicBool,
}

/// A turn of the task.
struct Within<'a>(&'a Bell);

impl Bell {
    fn within(&self, task: &Waker) -> Within<'_> {
        let mut known = self.task.lock();
        if !known.as_ref().is_some_and(|known| known.will_wake(task)) {
            *known = Some(task.clone());
        }
        drop(known);
        self.is_within.store(true, SeqCst);
        Within(self)
    }

    /// Whether it rang since this was last asked.
    fn take(&self) -> bool {
        self.rang.swap(false, SeqCst)
    }

    fn wake_task(&self) {
        let task = self.task.lock().clone();
        task.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // in this order, as whoever ends the turn looks in the other
        self.rang.store(true, SeqCst);
        if !self.is_within.load(SeqCst) && self.take() {
            self.wake_task();
        }
    }
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.is_within.store(false, SeqCst);
        if self.0.take() {
            self.0.wake_task();
        }
    }
}

/// The time in which an instance is given requests.
#[derive(Default)]
struct Turn {
    /// It is given no more.
    is_over: AtomicBool,
    /// whoever gives them to the instance sleeps here
    giver: Mutex<Option<Waker>>,
}

/// One instance, from its making to its end.
async fn live(maker: &Maker<'_>, turn: Arc<Turn>) -> Result<()> {
    let mut begun = Begun::default();
    let meter = Arc::<CpuTime>::default();
    let ended = metered(maker.platform, &meter, work(maker, &turn, &meter, &mut begun)).await;
    turn.is_over.store(true, Relaxed);
    match ended {
        // the runtimes of some languages say at the end of their work that they are done
        Err(error) if has_exited_well(&error) && begun.count > 0 => Ok(()),
        ended => ended,
    }
}

/// The requests that an instance has been given.
#[derive(Default)]
struct Begun {
    count: usize,
    /// those that were not over yet when it was last looked
    exchanges: Vec<Arc<Exchange>>,
}

impl Begun {
    fn push(&mut self, exchange: &Arc<Exchange>) {
        self.exchanges.push(exchange.clone());
        self.count += 1;
    }

    /// Lets go of those that are over, and of what they take of the box's memory. How many are left: an answer may have
    /// returned long before its body ends.
    fn open(&mut self) -> usize {
        self.exchanges.retain(|exchange| !exchange.is_over());
        self.exchanges.len()
    }
}

/// Makes an instance and has it answer requests until its turn is over, and all of them are.
///
/// `meter`: its own CPU time, as another instance may be at work in the same task while this one takes its place.
async fn work(maker: &Maker<'_>, turn: &Turn, meter: &Arc<CpuTime>, begun: &mut Begun) -> Result<()> {
    let Maker { handle, platform, timer, budget, server, .. } = maker;
    let turns = Arc::<Turns>::default();
    // a sixteenth of the memory limit is for tasks
    let tasks = CONCURRENT.min(usize::try_from(handle.spec.memory).unwrap_or(usize::MAX) / 16 / TASK);
    let _tasks = Charge::new(budget, tasks * TASK).ok_or_else(|| footprint::no_room(handle))?;
    let state = State::within(footprint::pay(handle, budget, 0)?, handle, *platform, &timer.another());
    let mut store = maker.store(state.metered(meter).turning(&turns));
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(tasks);
    }
    let instance = maker.instantiate(&mut store).await?;
    let function: Handle = maker.function(&mut store, &instance)?;
    if handle.life().phase != Phase::Running {
        maker.begin();
    }

    let concurrency = handle.spec.concurrency.max(1) as usize;
    let ended = {
        let mut life = pin!(store.run_concurrent(async |accessor| {
            let mut working = Work::new();
            core::future::poll_fn(|cx| {
                loop {
                    while working.len() < concurrency
                        && !turn.is_over.load(Relaxed)
                        && let Some(request) = server.next()
                    {
                        begun.push(&request.exchange);
                        working.push(Box::pin(answer(accessor, function, request, handle)));
                        if begun.count.is_multiple_of(LOOK) && handles(accessor) > HANDLES * (1 + begun.open()) {
                            turn.is_over.store(true, Relaxed);
                        }
                    }
                    match working.poll_next_unpin(cx) {
                        Poll::Ready(Some(Ok(()))) => drop(begun.open()),
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(None) | Poll::Pending => break,
                    }
                }
                *turn.giver.lock() = Some(cx.waker().clone());
                if turn.is_over.load(Relaxed) && working.is_empty() {
                    // bodies may still be under way
                    begun.exchanges.retain(|exchange| !exchange.over(cx));
                    if begun.exchanges.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending
            })
            .await
        }));
        core::future::poll_fn(|cx| {
            // it has come to where it waits, unless it was made to
            if !turns.take_preempted() {
                turns.waits(meter);
            }
            life.as_mut().poll(cx).map(|ended| ended.and_then(|ended| ended))
        })
        .await
    };
    // before the instance is dropped, and with it what it writes: that would end as if it were whole
    if ended.as_ref().is_err_and(has_exited_well) {
        for exchange in &begun.exchanges {
            exchange.fail("its instance called exit");
        }
    }
    ended
}

/// How many handles an instance holds: resources, and tasks, streams, futures and the like.
fn handles(accessor: &Accessor<State>) -> usize {
    accessor.with(|mut access| {
        let resources = access.get().wasi.resources();
        let mut store = access.as_context_mut();
        resources + store.concurrent_resource_table().map_or(0, |table| table.iter_mut().count())
    })
}

/// Lets the instance answer a request. Its body goes on when this has returned.
async fn answer(accessor: &Accessor<State>, function: Handle, asked: Asked, handle: &BoxHandle) -> Result<()> {
    let Asked { exchange, head } = asked;
    let what = head.in_words();
    let request = accessor.with(|mut access| {
        let wasi = &mut access.get().wasi;
        let (line, fields) = Asking::of(head, &wasi.budget);
        let body = Body::Host(Reader::new(&exchange));
        wasi.push(Request { line, fields, options: None, body })
    })?;
    let call = pin!(function.call_concurrent(accessor, (request,)));
    let Some(called) = while_wanted(accessor, &exchange, call).await else {
        handle.write(Level::Warn, &format!("{what}: still at work long after it was over"));
        return Ok(());
    };
    let (answer,) = called?;
    let response = match answer {
        Ok(response) => accessor.with(|mut access| access.get().wasi.take(response))?,
        Err(code) => {
            let why = in_place(&code);
            if exchange.fail(&why) {
                handle.write(Level::Error, &format!("{what}: {why}"));
            }
            return Ok(());
        }
    };
    let exempt = !has_body(response.status, exchange.is_head);
    accessor.with(|mut access| {
        let begun = match response.fields.content_length() {
            Ok(length) => {
                OutBody::new(&access.get().wasi.budget, Side::Service, length).ok_or("there is no memory for its body")
            }
            Err(_) => Err("the response's content-length is no number"),
        };
        match begun {
            Ok(body) if exchange.respond(response.status, response.fields.lines()) => {
                body.attach(&exchange, exempt);
                send(access, response.body, body)
            }
            // it has failed, or nobody wants it any more
            Ok(_) => response.body.drop(access, Err(ErrorCode::ConnectionTerminated)),
            Err(why) => {
                if exchange.fail(why) {
                    handle.write(Level::Error, &format!("{what}: {why}"));
                }
                response.body.drop(access, Err(ErrorCode::InternalError(Some(why.into()))))
            }
        }
    })
}

/// Waits for an answer. None: nobody has wanted it for long.
async fn while_wanted<R>(
    accessor: &Accessor<State>,
    exchange: &Exchange,
    mut call: Pin<&mut impl Future<Output = R>>,
) -> Option<R> {
    let (timer, platform) = accessor.with(|mut access| (access.get().timer.another(), access.get().platform));
    let mut until = None;
    core::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        if exchange.over(cx) {
            let now = platform.now();
            let until = *until.get_or_insert(now.saturating_add(LINGER));
            if until <= now {
                return Poll::Ready(None);
            }
            timer.set(until, cx.waker());
        }
        Poll::Pending
    })
    .await
}
