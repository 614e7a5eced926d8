//! A bell: whoever waits for a condition looks again when it rings.

use super::Timer;
use crate::{platform::Nanos, sync::Mutex};
use alloc::{sync::Arc, vec::Vec};
use core::task::{Poll, Waker};

#[derive(Debug, Default)]
pub struct Bell(Mutex<Vec<Waker>>);

impl Bell {
    pub fn ring(&self) {
        let wakers = core::mem::take(&mut *self.0.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until `look` finds something. It looks at once, and at each ring.
    pub async fn until<R>(&self, mut look: impl FnMut() -> Option<R>) -> R {
        core::future::poll_fn(|cx| {
            self.listen(cx.waker());
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The same, but no longer than to `deadline`.
    pub async fn until_or<R>(
        &self,
        timer: &Arc<Timer>,
        deadline: Nanos,
        mut look: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let mut sleep = core::pin::pin!(timer.sleep_until(deadline));
        core::future::poll_fn(|cx| {
            self.listen(cx.waker());
            match look() {
                Some(found) => Poll::Ready(Some(found)),
                None => sleep.as_mut().poll(cx).map(|()| None),
            }
        })
        .await
    }

    pub fn listen(&self, waker: &Waker) {
        let mut wakers = self.0.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}
