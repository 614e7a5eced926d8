//! What a box sleeps on: flags that say which of its arrows are ready.

use super::{Channel, End};
use alloc::{sync::Arc, task::Wake};
use core::{
    sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire},
    task::{Context, Poll, Waker},
};
use spin::Mutex;

/// Bits as the `ready` flags of `pearwood:box/schedule` number them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Ready {
    Deadline = 1 << 0,
    Nic = 1 << 1,
    Tcp = 1 << 2,
    TcpService = 1 << 3,
    Udp = 1 << 4,
    UdpService = 1 << 5,
    Names = 1 << 6,
    NamesService = 1 << 7,
    Handler = 1 << 8,
    HandlerService = 1 << 9,
    Room = 1 << 10,
    Retire = 1 << 11,
}

impl Ready {
    pub(super) const fn of(channel: Channel, end: End) -> Self {
        match (channel, end) {
            (Channel::Tcp, End::Client) => Ready::Tcp,
            (Channel::Tcp, End::Service) => Ready::TcpService,
            (Channel::Udp, End::Client) => Ready::Udp,
            (Channel::Udp, End::Service) => Ready::UdpService,
            (Channel::Names, End::Client) => Ready::Names,
            (Channel::Names, End::Service) => Ready::NamesService,
            (Channel::Handler, End::Client) => Ready::Handler,
            (Channel::Handler, End::Service) => Ready::HandlerService,
        }
    }
}

#[derive(Debug, Default)]
pub struct Signal {
    flags: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub fn raise(&self, ready: Ready) {
        let before = self.flags.fetch_or(ready as u32, AcqRel);
        // If flags were up, whoever raised them has woken the box.
        if before == 0
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake_by_ref();
        }
    }

    /// Takes the flags, or waits for one.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<u32> {
        let flags = self.take();
        if flags != 0 {
            return Poll::Ready(flags);
        }
        let mut waker = self.waker.lock();
        if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        // again: a flag may have come up before the waker was there
        match self.take() {
            0 => Poll::Pending,
            flags => Poll::Ready(flags),
        }
    }

    /// The flags that are up, which are then down.
    pub fn take(&self) -> u32 {
        if self.flags.load(Acquire) == 0 { 0 } else { self.flags.swap(0, AcqRel) }
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
