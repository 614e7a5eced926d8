//! What the thread that runs the node sleeps on: sockets, the time, and other threads that have made something ready.

use mio::{Events, Poll, Registry, Token, event::Event};
use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Waker,
    time::Duration,
};

/// What another thread wakes the sleeper by. Sockets have other tokens.
const NOTIFICATION: Token = Token(0);

pub struct Reactor {
    polled: Mutex<Polled>,
    /// Set by other threads when they have made something ready, so that a sleep that begins meanwhile ends at once.
    notified: AtomicBool,
    sleeps: AtomicBool,
    notification: mio::Waker,
}

struct Polled {
    poll: Poll,
    /// Nobody has looked at them yet; others wait in Linux until somebody has.
    events: Events,
    /// who is to look
    waker: Option<Waker>,
}

impl Reactor {
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let notification = mio::Waker::new(poll.registry(), NOTIFICATION)?;
        let polled = Polled { poll, events: Events::with_capacity(256), waker: None };
        Ok(Reactor { polled: Mutex::new(polled), notified: false.into(), sleeps: false.into(), notification })
    }

    /// Where sockets are registered, with any token but 0.
    pub fn registry(&self) -> io::Result<Registry> {
        self.lock().poll.registry().try_clone()
    }

    /// Ends the sleep. For threads that have made something ready.
    pub fn notify(&self) {
        self.notified.store(true, SeqCst);
        if self.sleeps.load(SeqCst) {
            // The other end lives as long as the process.
            let _ = self.notification.wake();
        }
    }

    /// Passes on what has happened at sockets; `waker` is woken when more has.
    pub fn take(&self, waker: &Waker, mut note: impl FnMut(&Event)) {
        let mut polled = self.lock();
        polled.events.iter().for_each(&mut note);
        polled.events.clear();
        if !polled.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            polled.waker = Some(waker.clone());
        }
    }

    /// Looks at the sockets.
    pub fn look(&self) {
        self.lock().wait(Some(Duration::ZERO));
    }

    /// Sleeps until a socket is ready, another thread notifies or that time is over, if it ever is.
    pub fn sleep(&self, time: Option<Duration>) {
        self.sleeps.store(true, SeqCst);
        if !self.notified.load(SeqCst) {
            self.lock().wait(time);
        }
        self.sleeps.store(false, SeqCst);
        self.notified.store(false, SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Polled> {
        // what is behind the lock stays whole wherever a thread ends
        self.polled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Polled {
    fn wait(&mut self, time: Option<Duration>) {
        if !self.events.is_empty() {
            return;
        }
        if let Err(error) = self.poll.poll(&mut self.events, time)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // no socket can be waited for any more
            panic!("waiting for sockets: {error}");
        }
        if self.events.iter().all(|event| event.token() == NOTIFICATION) {
            self.events.clear();
        } else if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_sleep_ends_for_whoever_notifies_before_or_after_it_begins() {
        let reactor = Arc::new(Reactor::new().unwrap());
        reactor.notify();
        reactor.sleep(None);
        let other = reactor.clone();
        let thread = std::thread::spawn(move || {
            while !other.sleeps.load(SeqCst) {
                std::thread::yield_now();
            }
            other.notify();
        });
        reactor.sleep(None);
        thread.join().unwrap();
        // nothing is left of them
        reactor.sleep(Some(Duration::from_millis(1)));
        assert!(reactor.lock().events.is_empty());
    }
}
