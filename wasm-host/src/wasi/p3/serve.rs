//! The life of a box that exports a 0.3 handler: one instance works on many requests at once.
//!
//! What it does between requests is its own affair: tasks that it has started go on. A trap ends the instance and with
//! it all its requests, and the box starts again as any other.

use super::http::{Body, ErrorCode, Request, Response, send, types};
use crate::{
    arrows::HANDLER,
    arrows::channel::End,
    boxes::{BoxHandle, Budget, Charge, Phase, State, Turns, footprint, log::Level},
    executor::Timer,
    platform::Platform,
    wasi::{
        has_exited_well,
        http::{Asked, Client, Exchange, OutBody, Reader, Server, in_place},
        instance::LINGER,
    },
};
use alloc::{boxed::Box, format, sync::Arc};
use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Poll, Waker},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use message::status::has_body;
use spin::Mutex;
use wasmtime::{
    Error, Result,
    component::{Accessor, InstancePre, Resource, TypedFunc},
    error::Context as _,
};

/// Tasks, streams, futures and the like that an instance may have at once, at most.
const CONCURRENT: usize = 16_384;

/// What one of them takes of the node's memory, in bytes.
const TASK: usize = 768;

type Answer = core::result::Result<Resource<Response>, ErrorCode>;
type Handle = TypedFunc<(Resource<Request>,), (Answer,)>;

/// Serves requests until the instance ends.
pub async fn serve(
    handle: &Arc<BoxHandle>,
    platform: &'static dyn Platform,
    timer: &Arc<Timer>,
    component: &InstancePre<State>,
    export: &str,
) -> Result<()> {
    let port = handle.port(HANDLER, End::Service);
    let port = port.ok_or_else(|| Error::msg("has no port for requests"))?;
    let budget = footprint::budget(handle);
    let client = handle.port(HANDLER, End::Client).map(|port| Client::new(port, &budget));
    let server = Server::new(port, &budget);
    let mut is_first = true;
    loop {
        let mut served = 0;
        let joined = Joined { server: &server, client: client.as_ref(), is_first, served: &mut served };
        let ended = live(handle, platform, timer, component, export, &budget, joined).await;
        // the runtimes of some languages say at the end of their work that they are done
        match ended {
            Err(error) if has_exited_well(&error) && served > 0 => server.fail_begun("its instance called exit"),
            ended => return ended,
        }
        is_first = false;
    }
}

/// What instances share, one after the other.
struct Joined<'a> {
    server: &'a Server,
    client: Option<&'a Arc<Client>>,
    is_first: bool,
    /// counts the requests that were begun
    served: &'a mut usize,
}

/// One instance, from its making to its end.
async fn live(
    handle: &Arc<BoxHandle>,
    platform: &'static dyn Platform,
    timer: &Arc<Timer>,
    component: &InstancePre<State>,
    export: &str,
    budget: &Arc<Budget>,
    Joined { server, client, is_first, served }: Joined<'_>,
) -> Result<()> {
    let turns = Arc::<Turns>::default();
    // what earlier instances have used is not this one's
    turns.waits(handle);
    // a sixteenth of the memory limit is for tasks
    let tasks = CONCURRENT.min(usize::try_from(handle.spec.memory).unwrap_or(usize::MAX) / 16 / TASK);
    let _tasks = Charge::new(budget, tasks * TASK).ok_or_else(|| footprint::no_room(handle))?;
    let state = State::within(footprint::pay(handle, budget, 0)?, handle, platform, timer).turning(&turns);
    let mut store = state.into_store(component.engine());
    store.data_mut().wasi.client = client.cloned();
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(tasks);
    }
    let instance = component.instantiate_async(&mut store).await?;
    let interface = instance.get_export_index(&mut store, None, export);
    let index = interface.and_then(|interface| instance.get_export_index(&mut store, Some(&interface), "handle"));
    let index = index.ok_or_else(|| Error::msg(format!("exports no `handle` of {export}")))?;
    let function: Handle = instance.get_typed_func(&mut store, index).with_context(|| format!("{export}#handle"))?;
    if is_first {
        handle.live(|life| life.phase = Phase::Running);
        handle.ports.iter().for_each(|port| port.attach());
    }

    let concurrency = handle.spec.concurrency.max(1) as usize;
    // whoever gives requests to the instance sleeps here
    let giver = Mutex::new(None::<Waker>);
    let mut life = pin!(store.run_concurrent(async |accessor| {
        let mut working: FuturesUnordered<Pin<Box<dyn Future<Output = Result<()>> + Send + '_>>> =
            FuturesUnordered::new();
        core::future::poll_fn(|cx| {
            loop {
                while working.len() < concurrency
                    && let Some(request) = server.next()
                {
                    *served += 1;
                    working.push(Box::pin(answer(accessor, function, request, handle)));
                }
                match working.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(error),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            *giver.lock() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }));
    core::future::poll_fn(|cx| {
        while handle.signal.poll(cx).is_ready() {
            server.receive();
            client.iter().for_each(|client| client.receive());
            server.tell_cut_off(handle);
        }
        if server.is_waited_for() {
            giver.lock().take().into_iter().for_each(Waker::wake);
        }
        // it has come to where it waits, unless it was made to
        if !turns.take_preempted() {
            turns.waits(handle);
        }
        let ended = life.as_mut().poll(cx);
        handle.memory_is(budget.used());
        let flushed = server.flush().and_then(|()| client.map_or(Ok(()), |client| client.flush()));
        match (ended, flushed) {
            (Poll::Ready(Ok(error) | Err(error)), _) => Poll::Ready(Err(error)),
            (Poll::Pending, Err(refused)) => Poll::Ready(Err(Error::new(refused))),
            (Poll::Pending, Ok(())) => Poll::Pending,
        }
    })
    .await
}

/// Lets the instance answer a request. Its body goes on when this has returned.
async fn answer(accessor: &Accessor<State>, function: Handle, asked: Asked, handle: &BoxHandle) -> Result<()> {
    let Asked { exchange, head } = asked;
    let what = head.in_words();
    let request = accessor.with(|mut access| {
        let wasi = &mut access.get().wasi;
        let charge = Charge::none(&wasi.budget);
        let request = Request {
            method: types::Method::of(&head.method),
            target: Some(head.target),
            scheme: Some(types::Scheme::of(head.scheme)),
            authority: Some(head.authority).filter(|authority| !authority.is_empty()),
            fields: head.fields,
            options: None,
            body: Body::Host(Reader::new(&exchange)),
            charge,
        };
        wasi.push(request)
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
            Ok(length) => OutBody::new(&access.get().wasi.budget, length).ok_or("there is no memory for its body"),
            Err(_) => Err("the response's content-length is no number"),
        };
        match begun {
            Ok(body) if exchange.respond(response.status, response.fields.lines()) => {
                body.attach(&exchange, exempt);
                send(access, response.body, body)
            }
            // it has failed, or nobody wants it any more
            Ok(_) => response.body.drop(access),
            Err(why) => {
                if exchange.fail(why) {
                    handle.write(Level::Error, &format!("{what}: {why}"));
                }
                response.body.drop(access)
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
