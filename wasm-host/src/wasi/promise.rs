//! One value, from whoever has it to the one who waits for it.

use alloc::sync::Arc;
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use spin::Mutex;

/// Settles what is waited for. Dropped, it settles it with nothing.
#[derive(Debug)]
pub struct Promise<T>(Arc<Mutex<Shared<T>>>);

/// Waits for a [`Promise`]. None: it was dropped.
#[derive(Debug)]
pub struct Promised<T>(Arc<Mutex<Shared<T>>>);

#[derive(Debug)]
struct Shared<T> {
    value: Option<T>,
    settled: bool,
    waker: Option<Waker>,
}

impl<T> Promise<T> {
    pub fn new() -> (Self, Promised<T>) {
        let shared = Arc::new(Mutex::new(Shared { value: None, settled: false, waker: None }));
        (Promise(shared.clone()), Promised(shared))
    }

    /// The first value counts.
    pub fn settle(&self, value: Option<T>) {
        let mut shared = self.0.lock();
        if !core::mem::replace(&mut shared.settled, true) {
            shared.value = value;
            shared.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

impl<T> Future for Promised<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = self.0.lock();
        if shared.settled {
            return Poll::Ready(shared.value.take());
        }
        shared.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;

    #[test]
    fn promises_are_kept_or_dropped() {
        let poll = |promised: Promised<u8>| pin!(promised).poll(&mut Context::from_waker(Waker::noop()));
        let (promise, promised) = Promise::new();
        promise.settle(Some(1));
        promise.settle(Some(2));
        assert_eq!(poll(promised), Poll::Ready(Some(1)));
        let (promise, promised) = Promise::<u8>::new();
        drop(promise);
        assert_eq!(poll(promised), Poll::Ready(None));
        let (_promise, promised) = Promise::<u8>::new();
        assert_eq!(poll(promised), Poll::Pending);
    }
}
