//! The time in which a box is made beside the one whose place it is to take, and until it does.

use crate::executor::{Bell, Timer};
use crate::platform::Nanos;
use alloc::{collections::VecDeque, string::String, sync::Arc, vec::Vec};
use spin::Mutex;

/// What the box and whoever has it made tell each other.
pub struct Birth {
    inner: Mutex<Inner>,
    bell: Bell,
}

struct Inner {
    stage: Stage,
    orders: VecDeque<Order>,
    /// The box has its arrows: if it ends now, it is started again.
    placed: bool,
}

/// How far the first instance has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    Starting,
    /// It waits: for an order, or in its `run`.
    Ready,
    /// It has taken over the state of its predecessor.
    Restored,
    /// It has ended, and why.
    Failed(String),
}

/// What a box that is not in its `run` yet waits for.
#[derive(Debug)]
pub enum Order {
    Restore(Vec<u8>),
    /// Begin to serve.
    Go,
}

impl Birth {
    /// Of a box that stands in nobody's place.
    pub fn over() -> Self {
        Birth::new(true)
    }

    pub fn awaited() -> Self {
        Birth::new(false)
    }

    fn new(placed: bool) -> Self {
        let inner = Inner { stage: Stage::Starting, orders: VecDeque::new(), placed };
        Birth { inner: Mutex::new(inner), bell: Bell::default() }
    }

    /// Whether the box has its place.
    pub fn is_placed(&self) -> bool {
        self.inner.lock().placed
    }

    /// The box has its arrows.
    pub fn place(&self) {
        self.inner.lock().placed = true;
        self.bell.ring();
    }

    /// Waits until it has.
    pub async fn placed(&self) {
        self.bell.until(|| self.inner.lock().placed.then_some(())).await;
    }

    pub(crate) fn reach(&self, stage: Stage) {
        let mut inner = self.inner.lock();
        let later = match (&inner.stage, &stage) {
            (Stage::Failed(_), _) => false,
            (Stage::Starting, _) | (_, Stage::Failed(_)) => true,
            (old, Stage::Restored) => *old == Stage::Ready,
            _ => false,
        };
        if later {
            inner.stage = stage;
            drop(inner);
            self.bell.ring();
        }
    }

    /// Waits until the first instance has come to a stage, or has failed. None: not in time.
    pub async fn reached(&self, stage: &Stage, timer: &Arc<Timer>, deadline: Nanos) -> Option<Result<(), String>> {
        let look = || match &self.inner.lock().stage {
            Stage::Failed(why) => Some(Err(why.clone())),
            reached if reached == stage || (*stage == Stage::Ready && *reached == Stage::Restored) => Some(Ok(())),
            _ => None,
        };
        self.bell.until_or(timer, deadline, look).await
    }

    pub fn order(&self, order: Order) {
        self.inner.lock().orders.push_back(order);
        self.bell.ring();
    }

    pub(super) async fn next_order(&self) -> Order {
        self.bell.until(|| self.inner.lock().orders.pop_front()).await
    }
}
