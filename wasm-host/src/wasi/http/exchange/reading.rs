//! What is read of an exchange: the body that comes, and a response's head.

use super::{CREDIT_STEP, Exchange, Fault, Fields, Held, Inflow, Side, register};
use crate::platform::Nanos;
use alloc::{sync::Arc, vec::Vec};
use core::task::Context;

/// What reading yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Some(Vec<u8>),
    /// Nothing yet.
    Wait,
    End,
    Failed(Fault),
}

impl Exchange {
    /// At most `limit` bytes of the body.
    pub fn read(&self, limit: usize) -> Read {
        let mut state = self.state.lock();
        if state.inflow.held.is_empty() {
            return match &state.inflow.end {
                None => Read::Wait,
                Some(Ok(())) => Read::End,
                Some(Err(fault)) => Read::Failed(fault.clone()),
            };
        }
        state.inflow.is_read = true;
        let bytes = state.inflow.held.take(limit);
        state.narrow();
        if !state.over {
            self.give_credit(&mut state.inflow);
        }
        Read::Some(bytes)
    }

    /// Gives credit back for what has been read, if it is due and there is room to say so.
    pub(super) fn give_credit(&self, inflow: &mut Inflow) {
        let promised = inflow.held.len() + inflow.allowance as usize;
        let credit = u32::try_from(inflow.window.saturating_sub(promised)).unwrap_or(u32::MAX);
        let is_due = credit >= CREDIT_STEP && inflow.end.is_none() && !inflow.unread;
        if is_due && self.hub.put_credit(self.peer, self.id, credit) {
            inflow.allowance += credit;
        }
    }

    /// Whether reading would yield something. Wakes whoever asks when it does.
    pub fn readable(&self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.state.lock();
        let inflow = &mut state.inflow;
        let ready = !inflow.held.is_empty() || inflow.end.is_some();
        register(ready, &mut inflow.waker, cx)
    }

    /// How long may pass without anything more of the body when somebody wants to read it.
    pub fn set_patience(&self, patience: Option<Nanos>) {
        self.state.lock().inflow.patience = patience;
    }

    pub fn has_patience(&self) -> bool {
        self.state.lock().inflow.patience.is_some()
    }

    /// Somebody wants to read. When it is no longer waited for, if anything is: then the exchange has failed.
    pub fn due(&self, now: Nanos) -> Option<Nanos> {
        let mut state = self.state.lock();
        let inflow = &mut state.inflow;
        let patience = inflow.patience.filter(|_| inflow.held.is_empty() && inflow.end.is_none())?;
        let due = inflow.waits_since.get_or_insert(now).saturating_add(patience);
        drop(state);
        if due <= now {
            self.stop("");
            self.broken(Fault::Late);
        }
        Some(due)
    }

    /// Whether the whole body has come, or no more of it will: then how it ended.
    pub fn ended(&self) -> Option<Result<(), Fault>> {
        self.state.lock().inflow.end.clone()
    }

    /// Whether [`Exchange::ended`] says how.
    pub fn has_ended(&self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.state.lock();
        let inflow = &mut state.inflow;
        register(inflow.end.is_some(), &mut inflow.end_waker, cx)
    }

    /// The trailers that came before the end, once.
    pub fn take_trailers(&self) -> Option<Fields> {
        self.state.lock().inflow.trailers.take()
    }

    /// What is left of the body is of no interest, only how it ends.
    pub fn skip(&self) {
        let mut state = self.state.lock();
        state.inflow.skipped = true;
        state.inflow.held = Held::default();
        state.narrow();
        if !state.over {
            self.give_credit(&mut state.inflow);
        }
    }

    /// At the client: whether [`Exchange::take_response`] would yield something.
    pub fn has_response(&self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.state.lock();
        let ready = state.response.is_some() || state.over;
        register(ready, &mut state.head_waker, cx)
    }

    /// The response's head, once. None: there is none yet.
    pub fn take_response(&self) -> Option<Result<(u16, Fields), Fault>> {
        let mut state = self.state.lock();
        match (state.response.take(), &state.inflow.end) {
            (Some(response), _) => Some(Ok(response)),
            (None, Some(Err(fault))) => Some(Err(fault.clone())),
            _ => None,
        }
    }

    /// Nobody reads any more.
    fn unread(&self) {
        let mut state = self.state.lock();
        state.inflow.unread = true;
        state.inflow.held = Held::default();
        state.narrow();
        if self.side == Side::Client && !state.over {
            drop(state);
            self.stop("");
            self.broken(Fault::Cancelled);
        }
    }
}

/// What is read from. When the last of its copies is dropped, nobody reads any more.
#[derive(Debug)]
pub struct Reader(Arc<Exchange>);

impl Reader {
    pub fn new(exchange: &Arc<Exchange>) -> Arc<Self> {
        Arc::new(Reader(exchange.clone()))
    }
}

impl core::ops::Deref for Reader {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.unread();
    }
}
