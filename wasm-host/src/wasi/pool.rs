//! The life of a box whose exports the node calls: requests in, responses out, and the instances between them.
//!
//! A 0.2 handler works on one request at a time, so there are as many instances as requests that are worked on, up to
//! the box's `concurrency` and as many as fit in its memory limit together. Each is made when it is needed. For each request
//! it is as new: the runtimes of some languages cannot take a second one. Where it can be made as new again (see
//! [`super::renewal`]) it is, and else dropped. With the box's `reuse` it goes on as it is after a request that ended well.
//! It is dropped when it has had nothing to do for a while. Some requests more wait for one; the rest are answered with 503.
//!
//! An instance that fails takes its own request with it and no other: the box's life goes on, and the next request has
//! a fresh instance. It counts as a restart all the same.

use super::{
    http::{Asked, busy},
    instance::{Instance, Maker, Outcome, work},
};
use crate::{
    boxes::{log::Level, reason},
    executor::Timer,
    platform::Nanos,
};
use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use wasmtime::{Error, Result};

/// How long an instance may have nothing to do. The last one is kept.
const IDLE: Nanos = 10_000_000_000;

type Work<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Serves requests until something is wrong with more than one of them, or another box has this one's place.
pub async fn serve(maker: &Maker<'_>) -> Result<()> {
    let mut pool = Pool {
        maker,
        concurrency: maker.handle.spec.concurrency.max(1) as usize,
        // proves that it can be made
        idle: Vec::from([(maker.make(Arc::default(), 0).await?, maker.platform.now())]),
        working: FuturesUnordered::new(),
        full: false,
        reaper: maker.timer.another(),
    };
    maker.begin();
    core::future::poll_fn(|cx| pool.poll(cx)).await
}

struct Pool<'a> {
    maker: &'a Maker<'a>,
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
            maker.receive(cx);
            let mut any_ended = self.work(cx);
            // one after the other: an instance that is done with a request is there for the next
            while self.start() {
                any_ended |= self.work(cx);
            }
            if !any_ended {
                break;
            }
        }
        let flushed = maker.flush();
        self.reap(cx);
        maker.handle.memory_is(maker.budget.used());
        if maker.handle.is_retiring() && !self.maker.server.has_peers() && self.working.is_empty() {
            return Poll::Ready(Ok(()));
        }
        flushed.map_or_else(|refused| Poll::Ready(Err(Error::new(refused))), |()| Poll::Pending)
    }

    /// Lets instances go on. Whether any is done.
    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any_ended = false;
        while let Poll::Ready(Some(outcome)) = self.working.poll_next_unpin(cx) {
            self.ended(outcome);
            any_ended = true;
        }
        any_ended
    }

    /// Gives a request that waits to an instance. False: there is none, or none that can work on it.
    fn start(&mut self) -> bool {
        if self.working.len() >= self.concurrency || !self.maker.server.is_waited_for() {
            return false;
        }
        let instance = self.idle.pop().map(|(instance, _)| instance);
        if instance.is_none() && self.full && !self.working.is_empty() {
            return false;
        }
        match (self.maker.server.next(), instance) {
            (Some(request), instance) => {
                let alone = self.idle.is_empty() && self.working.is_empty();
                let spare = if alone { 0 } else { self.maker.spare() };
                self.working.push(Box::pin(work(self.maker, instance, spare, request)));
                return true;
            }
            (None, Some(instance)) => self.idle.push((instance, self.maker.platform.now())),
            (None, None) => {}
        }
        false
    }

    fn ended(&mut self, outcome: Outcome) {
        let handle = self.maker.handle;
        match outcome {
            Outcome::Well(instance) => self.idle.push((*instance, self.maker.platform.now())),
            Outcome::Spent => {}
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
            return self.maker.server.put_back(request);
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
