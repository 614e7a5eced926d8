//! The general arrow: box A imports any WIT interface that box B exports, and each has its own store and task.
//!
//! A call leaves A's memory as a [`message`](self), waits in B's [`CallQueue`], enters B's memory when [`serve`], B's
//! task, takes it, and comes back in the same way. A's fiber sleeps meanwhile. Every store's futures are polled by its
//! own task; what passes between them is bytes and wakers. If B is idle, A's turn is lent to B's task: most calls are over
//! without a change of tasks by the scheduler ([`Host::lend_turn`]).
//!
//! - [`CallQueue::new`] for each box that others call, [`CallQueue::watch`] as a task beside it.
//! - [`link`] gives a caller its imports.
//! - [`serve`] runs an instance. When it ends, the next one calls it again on the same queue.
//!
//! **While the callee restarts**: calls in progress fail with the reason; calls that wait, or come, wait on for the new
//! instance, [`Limits::restart`] at most, then fail and name the reason.
//!
//! **Resources** that B exports may be used by A: they live in B's instance and A holds a number. They die with the
//! instance; what A held is dropped when A ends. Resources of a third box, or of the host, do not pass.
//!
//! **Bounds**: calls that wait or run, bytes of one call, resources that a caller holds ([`Calls::new`]), time
//! ([`Limits`]), depth of calls within calls. A call that would wait for itself fails at once.
//!
//! **Charges**: whoever sends pays for the node's copy, before it is made: the caller for the parameters, the callee for
//! the result. What enters a box is allocated by the box's own `realloc`, within its limit. A box with little memory wants
//! a small [`Limits::bytes`], or one caller's large call ends it for all.

mod caller;
mod error;
mod fit;
mod handles;
mod handover;
mod lift;
mod link;
mod lower;
mod message;
mod pending;
mod queue;
mod serve;
mod server;
mod shape;
mod state;
mod typed;
mod watch;

#[cfg(test)]
mod tests;

pub use caller::Caller;
pub use error::{CallError, Failed};
pub use handles::{Calls, Host, Placed};
pub use link::{link, link_absent};
pub use queue::{CallQueue, Clock, Limits};
pub use serve::{Ended, MAX_STATE, Save, serve};

/// The most that the parameters or the result of one call may be, as encoded. What is larger goes in pieces.
pub const MAX_CALL_BYTES: usize = 16 << 20;

/// The most resources that one call may pass, or return.
pub const MAX_CALL_HANDLES: usize = 4096;
