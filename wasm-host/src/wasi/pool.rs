//! The life of a box whose exports the node calls: requests in, responses out, and the instances between them.
//!
//! A 0.2 handler works on one request at a time, so there are as many instances as requests that are worked on, up to
//! the box's `concurrency` and as many as fit in its memory limit together. Each is made when it is needed, and dropped
//! after its request: the runtimes of some languages cannot take a second one. With the box's `reuse` it is used again
//! after a request that ended well, and dropped when it has had nothing to do for a while. Some requests more wait for
//! one; the rest are answered with 503.
//!
//! An instance that fails takes its own request with it and no other: the box's life goes on, and the next request has
//! a fresh instance. It counts as a restart all the same.

use super::{
    http::{Asked, Client, Server, busy},
    instance::{Instance, Maker, Outcome, handler, work},
};
use crate::{
    arrows::HANDLER,
    arrows::channel::End,
    boxes::{BoxHandle, Exports, Phase, Stage, State, footprint, log::Level, reason},
    executor::Timer,
    platform::{Nanos, Platform},
};
use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use wasmtime::{Error, Result, component::InstancePre};

/// How long an instance may have nothing to do. The last one is kept.
const IDLE: Nanos = 10_000_000_000;

type Work<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Serves requests until something is wrong with more than one of them, or another box has this one's place.
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
    let function = handler(component.component(), export)?;
    let hooks = Exports::find(component.component())?;
    let maker = Maker { handle, platform, timer, component, function, hooks, budget, client };
    let concurrency = handle.spec.concurrency.max(1) as usize;
    let mut pool = Pool {
        server: Server::new(port, &maker.budget),
        maker: &maker,
        concurrency,
        // proves that it can be made
        idle: Vec::from([(maker.make(Arc::default(), 0).await?, platform.now())]),
        working: FuturesUnordered::new(),
        full: false,
        reaper: timer.another(),
    };
    handle.live(|life| life.phase = Phase::Running);
    handle.ports.iter().for_each(|port| port.attach());
    handle.birth.reach(Stage::Ready);
    core::future::poll_fn(|cx| pool.poll(cx)).await
}

struct Pool<'a> {
    maker: &'a Maker<'a>,
    server: Server,
    concurrency: usize,
    /// those without work, and since when; the one that worked last is last
    idle: Vec<(Instance, Nanos)>,
    working: FuturesUnordered<Work<'a>>,
    /// One more instance did not fit into the box's memory.
    full: bool,
    reaper: Arc<Timer>,
}

impl<'a> Pool<'a> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let maker = self.maker;
        loop {
            while maker.handle.signal.poll(cx).is_ready() {
                self.server.receive();
                maker.client.iter().for_each(|client| client.receive());
                self.server.tell_cut_off(maker.handle);
            }
            self.start();
            let mut ended = false;
            while let Poll::Ready(Some(outcome)) = self.working.poll_next_unpin(cx) {
                self.ended(outcome);
                ended = true;
            }
            if !ended {
                break;
            }
        }
        let flushed = self.server.flush().and_then(|()| maker.client.as_ref().map_or(Ok(()), |client| client.flush()));
        self.reap(cx);
        maker.handle.memory_is(maker.budget.used());
        if maker.handle.is_retiring() && !self.server.has_peers() && self.working.is_empty() {
            return Poll::Ready(Ok(()));
        }
        flushed.map_or_else(|refused| Poll::Ready(Err(Error::new(refused))), |()| Poll::Pending)
    }

    /// Gives requests that wait to instances.
    fn start(&mut self) {
        while self.working.len() < self.concurrency && self.server.is_waited_for() {
            let instance = self.idle.pop().map(|(instance, _)| instance);
            if instance.is_none() && self.full && !self.working.is_empty() {
                return;
            }
            match (self.server.next(), instance) {
                (Some(request), instance) => {
                    let alone = self.idle.is_empty() && self.working.is_empty();
                    let spare = if alone { 0 } else { self.maker.spare() };
                    self.working.push(Box::pin(work(self.maker, instance, spare, request)));
                }
                (None, Some(instance)) => self.idle.push((instance, self.maker.platform.now())),
                (None, None) => {}
            }
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        let handle = self.maker.handle;
        match outcome {
            Outcome::Well(instance) if handle.spec.reuse => self.idle.push((*instance, self.maker.platform.now())),
            Outcome::Well(_) | Outcome::Spent => {}
            Outcome::Failed(what, error) => self.failed(&what, &error),
            Outcome::Unmade { request, error, full } => return self.unmade(request, &error, full),
        }
        handle.memory_is(self.maker.budget.used());
        self.full = false;
    }

    /// An instance has ended before its time.
    fn failed(&self, what: &str, error: &Error) {
        let handle = self.maker.handle;
        let reason = format!("{what}: {}", reason(handle, error));
        for line in reason.lines() {
            handle.write(Level::Error, line);
        }
        handle.live(|life| {
            life.restarts += 1;
            life.reason = Some(reason);
        });
    }

    /// There is no instance for a request: it waits for one of the others if there are any.
    fn unmade(&mut self, request: Asked, error: &Error, full: bool) {
        let handle = self.maker.handle;
        if !full {
            request.exchange.fail("its instance cannot be made");
            return self.failed("made for a request", error);
        }
        // one may have become idle meanwhile
        if !self.working.is_empty() || !self.idle.is_empty() {
            self.full = true;
            return self.server.put_back(request);
        }
        handle.write(Level::Error, &format!("{}", error.root_cause()));
        busy(&request.exchange);
    }

    /// Drops instances that have had nothing to do for long.
    fn reap(&mut self, cx: &mut Context<'_>) {
        let now = self.maker.platform.now();
        while self.idle.len() > 1 && self.idle[0].1.saturating_add(IDLE) <= now {
            self.idle.remove(0);
        }
        match self.idle.first() {
            Some((_, since)) if self.idle.len() > 1 => self.reaper.set(since.saturating_add(IDLE), cx.waker()),
            _ => self.reaper.clear(),
        }
    }
}
