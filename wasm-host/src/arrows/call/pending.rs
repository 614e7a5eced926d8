//! A call as its caller waits for it.

use super::{
    CallError,
    queue::CallQueue,
    state::{Answer, Phase},
};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Resolves to the result. Dropped, nobody waits for it: a call that has not begun will not begin.
pub(super) struct Pending {
    queue: CallQueue,
    /// None once it has resolved
    call: Option<usize>,
}

impl Pending {
    pub fn new(queue: CallQueue, call: usize) -> Self {
        Pending { queue, call: Some(call) }
    }
}

impl Future for Pending {
    type Output = Result<Answer, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(index) = self.call else { return Poll::Pending };
        let mut state = self.queue.0.state.lock();
        if let Phase::Done(_) = state.calls[index].phase {
            let call = state.calls.remove(index);
            drop(state);
            self.call = None;
            return match call.phase {
                Phase::Done(result) => Poll::Ready(result),
                _ => Poll::Pending,
            };
        }
        let call = &mut state.calls[index];
        let result = match &mut call.phase {
            Phase::Running { expired: true } => {
                // The place stays taken until the callee is done with it.
                call.phase = Phase::Abandoned;
                Err(CallError::TimedOut { after: self.queue.limits().deadline, running: true })
            }
            _ => {
                if !call.waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                    call.waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        };
        drop(state);
        self.call = None;
        Poll::Ready(result)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(index) = self.call else { return };
        let mut state = self.queue.0.state.lock();
        // A waker may be the last that keeps a task; the task must not end within the lock.
        let _own = state.calls[index].waker.take();
        let waker = match state.calls[index].phase {
            Phase::Running { .. } => {
                state.calls[index].phase = Phase::Abandoned;
                None
            }
            _ => {
                let call = state.calls.remove(index);
                match call.phase {
                    Phase::Waiting { params, server } => {
                        state.waiting.retain(|&waiting| waiting != index);
                        server.and_then(|server| state.discard_moved(server, &params.handles))
                    }
                    Phase::Done(Ok(answer)) => state.discard(answer.server, answer.message.handles.into_vec()),
                    _ => None,
                }
            }
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}
