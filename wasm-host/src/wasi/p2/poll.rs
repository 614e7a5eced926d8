//! `wasi:io/poll`: what an instance sleeps on.

use super::bindings::wasi::io::poll;
use crate::{
    boxes::{State, log::Level},
    platform::Nanos,
    wasi::http::{OutBody, Reader},
};
use alloc::{sync::Arc, vec::Vec};
use core::task::{Context, Poll};
use wasmtime::{Result, bail, component::Resource};

/// Pollables in one call.
const MOST: usize = 1_024;

#[derive(Debug, Clone)]
pub enum Pollable {
    Ready,
    Timer(Nanos),
    Readable(Arc<Reader>),
    /// The whole body has come, and its trailers.
    Ended(Arc<Reader>),
    Writable(Arc<OutBody>),
    /// The response's head, or the time at which it is no longer waited for.
    Response(Arc<Reader>, Nanos),
}

impl Pollable {
    /// Wakes whoever asks when it becomes ready, but for times.
    fn is_ready(&self, now: Nanos, cx: Option<&mut Context<'_>>) -> bool {
        match self {
            Pollable::Ready => true,
            Pollable::Timer(when) => *when <= now,
            Pollable::Readable(reader) => {
                reader.due(now);
                reader.readable(cx)
            }
            Pollable::Ended(reader) => reader.has_ended(cx),
            Pollable::Writable(body) => body.writable(cx),
            Pollable::Response(reader, until) => *until <= now || reader.has_response(cx),
        }
    }

    /// When it is ready at the latest.
    fn due(&self, now: Nanos) -> Nanos {
        match self {
            Pollable::Timer(when) | Pollable::Response(_, when) => *when,
            Pollable::Readable(reader) => reader.due(now).unwrap_or(Nanos::MAX),
            _ => Nanos::MAX,
        }
    }
}

impl State {
    /// Sleeps until one of them is ready, and says which are.
    pub(super) async fn sleep(&mut self, pollables: &[Pollable]) -> Vec<u32> {
        self.waits();
        let (platform, timer, handle) = (self.platform, &self.timer, &self.handle);
        let begun = platform.now();
        let due = pollables.iter().map(|pollable| pollable.due(begun)).min().unwrap_or(Nanos::MAX);
        let ready = core::future::poll_fn(|cx| {
            let now = platform.now();
            let ready =
                pollables.iter().zip(0..).filter_map(|(pollable, n)| pollable.is_ready(now, Some(cx)).then_some(n));
            let ready: Vec<u32> = ready.collect();
            if !ready.is_empty() {
                return Poll::Ready(ready);
            }
            let stuck = pollables.iter().filter_map(|pollable| match pollable {
                Pollable::Writable(body) => body.stuck(),
                _ => None,
            });
            stuck.for_each(|line| handle.write(Level::Error, &line));
            if due != Nanos::MAX {
                timer.set(due, cx.waker());
            }
            Poll::Pending
        })
        .await;
        if due != Nanos::MAX {
            timer.clear();
        }
        self.waits();
        ready
    }
}

impl poll::Host for State {
    async fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> Result<Vec<u32>> {
        if pollables.is_empty() {
            bail!("polled an empty list");
        }
        if pollables.len() > MOST {
            bail!("polled {} pollables at once; {MOST} is the most", pollables.len());
        }
        let pollables = pollables.iter().map(|pollable| Ok(self.wasi.get(pollable)?.clone()));
        let pollables = pollables.collect::<Result<Vec<_>>>()?;
        Ok(self.sleep(&pollables).await)
    }
}

impl poll::HostPollable for State {
    fn ready(&mut self, pollable: Resource<Pollable>) -> Result<bool> {
        let now = self.platform.now();
        Ok(self.wasi.get(&pollable)?.is_ready(now, None))
    }

    async fn block(&mut self, pollable: Resource<Pollable>) -> Result<()> {
        let pollable = self.wasi.get(&pollable)?.clone();
        self.sleep(&[pollable]).await;
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> Result<()> {
        self.wasi.take(pollable).map(drop)
    }
}
