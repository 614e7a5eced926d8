//! What a box sleeps on: flags that say which of its ports are ready, and what else is to be noticed.

use crate::sync::{
    AtomicU64, Mutex,
    Ordering::{AcqRel, Acquire},
};
use alloc::{sync::Arc, task::Wake};
use core::{
    ops::BitOr,
    task::{Context, Poll, Waker},
};

/// The most ports of a box: their flags and the notices share a word.
pub const MAX_PORTS: usize = 60;

/// Flags: a bit for each port, by its number, and the notices of `pearwood:box/ports`, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready(u64);

impl Ready {
    pub const DEADLINE: Ready = Ready(1 << MAX_PORTS);
    pub const ROOM: Ready = Ready(1 << (MAX_PORTS + 1));
    pub const RETIRE: Ready = Ready(1 << (MAX_PORTS + 2));

    /// Something has come to the port of that number, which is less than [`MAX_PORTS`].
    pub const fn port(number: u8) -> Self {
        Ready(1 << (number as u64 % MAX_PORTS as u64))
    }

    pub const fn contains(self, other: Ready) -> bool {
        self.0 & other.0 == other.0
    }

    /// A bit for each port.
    pub const fn ports(self) -> u64 {
        self.0 & (Self::DEADLINE.0 - 1)
    }

    /// The bits of the notices, from 0 on.
    pub const fn notices(self) -> u8 {
        (self.0 >> MAX_PORTS) as u8
    }

    /// The ready port with the lowest number.
    pub fn first_port(self) -> Option<usize> {
        let ports = self.ports();
        (ports != 0).then(|| ports.trailing_zeros() as usize)
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

#[derive(Debug, Default)]
pub struct Signal {
    flags: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub fn raise(&self, ready: Ready) {
        let before = self.flags.fetch_or(ready.0, AcqRel);
        // If flags were up, whoever raised them has woken the box.
        if before == 0
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake_by_ref();
        }
    }

    /// Takes the flags, or waits for one.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Ready> {
        let flags = self.take();
        if flags != Ready::default() {
            return Poll::Ready(flags);
        }
        let mut waker = self.waker.lock();
        if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        // again: a flag may have come up before the waker was there
        let flags = self.take();
        if flags == Ready::default() { Poll::Pending } else { Poll::Ready(flags) }
    }

    /// The flags that are up, which are then down.
    pub fn take(&self) -> Ready {
        Ready(if self.flags.load(Acquire) == 0 { 0 } else { self.flags.swap(0, AcqRel) })
    }

    /// A waker that raises `ready`, for devices.
    pub fn waker(self: &Arc<Self>, ready: Ready) -> Waker {
        Arc::new(Raise(self.clone(), ready)).into()
    }
}

struct Raise(Arc<Signal>, Ready);

impl Wake for Raise {
    fn wake(self: Arc<Self>) {
        self.0.raise(self.1);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.raise(self.1);
    }
}
