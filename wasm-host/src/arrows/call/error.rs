//! Why a call did not happen, or did not end.

use super::MAX_CALL_HANDLES;
use crate::platform::Nanos;
use alloc::{string::String, sync::Arc};
use core::fmt;

/// What kept a call from its result. [`Failed`] adds who called whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// As many calls wait as may.
    Full {
        waiting: usize,
    },
    /// The callee has ended, and its successor did not come in time.
    Restarting {
        reason: Arc<str>,
    },
    /// The callee ended during the call.
    Ended {
        reason: Arc<str>,
    },
    /// There will be no successor.
    Closed {
        reason: Arc<str>,
    },
    /// `running`: the callee had begun with the call.
    TimedOut {
        after: Nanos,
        running: bool,
    },
    ParamsTooLarge {
        limit: usize,
    },
    ResultTooLarge {
        limit: usize,
    },
    /// The caller's memory limit leaves no room for a copy of the parameters.
    NoMemory,
    /// The callee's memory limit leaves no room for a copy of the result.
    NoMemoryForResult,
    /// The instance that the resource lived in has ended.
    DeadHandle {
        reason: Arc<str>,
    },
    /// The result holds more resources than the caller may still take.
    TooManyHandles {
        limit: usize,
    },
    /// The callee waits, through other boxes, for this very call.
    Cycle,
    /// A call that is made during a call, and so on.
    TooDeep {
        limit: usize,
    },
    /// A later version of the callee lacks the function.
    Missing,
    /// The caller can do without the interface, and has no arrow for it.
    NoArrow,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Full { waiting } => write!(f, "its queue is full ({waiting} calls wait)"),
            CallError::Restarting { reason } => write!(f, "it is restarting: {reason}"),
            CallError::Ended { reason } => write!(f, "it ended during the call: {reason}"),
            CallError::Closed { reason } => write!(f, "it is gone: {reason}"),
            CallError::TimedOut { after, running } => {
                let what = if *running { "no answer" } else { "its turn did not come" };
                write!(f, "{what} within {} ms", after / 1_000_000)
            }
            CallError::ParamsTooLarge { limit } => write!(f, "parameters of more than {}", Size(*limit)),
            CallError::ResultTooLarge { limit } => write!(f, "a result of more than {}", Size(*limit)),
            CallError::NoMemory => f.write_str("the caller's memory limit leaves no room for a copy of the parameters"),
            CallError::NoMemoryForResult => f.write_str("its memory limit leaves no room for a copy of the result"),
            CallError::DeadHandle { reason } => write!(f, "the resource is gone with the instance it was in: {reason}"),
            CallError::TooManyHandles { limit } => {
                write!(f, "the caller holds {limit} resources, and may not hold more")
            }
            CallError::Cycle => f.write_str("it waits for this call itself, through other boxes"),
            CallError::TooDeep { limit } => write!(f, "a call within a call, {limit} deep"),
            CallError::NoArrow => f.write_str(wit::NO_ARROW),
            CallError::Missing => f.write_str("it no longer has this function"),
        }
    }
}

impl core::error::Error for CallError {}

struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes or {MAX_CALL_HANDLES} resources", self.0)
    }
}

/// A call that failed, as the caller's trap shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// `namespace:package/interface@version#function`
    pub function: Arc<str>,
    pub caller: Arc<str>,
    pub callee: Arc<str>,
    pub error: CallError,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { function, caller, callee, error } = self;
        // a box tells it from what goes wrong
        if *error == CallError::NoArrow {
            return error.fmt(f);
        }
        write!(f, "{function}, called by box {caller} on box {callee}: {error}")
    }
}

impl core::error::Error for Failed {}

/// The first line of an error: what callers are told of a callee's end. Long enough for one that came through as many
/// boxes as may call each other.
pub fn reason(error: &wasmtime::Error) -> Arc<str> {
    let mut text: String = alloc::format!("{}", error.root_cause());
    let end = text.find('\n').unwrap_or(text.len()).min(2048);
    text.truncate(text.floor_char_boundary(end));
    text.into()
}
