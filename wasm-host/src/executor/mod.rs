//! Runs tasks on one CPU: a box is a task, and so is each thing the node does of its own.
//!
//! A task runs until it has to wait or, if it runs wasm, until the timer's tick makes it yield. Among those that are
//! ready, the one with the least weighted CPU time runs next (stride scheduling), so each gets its share
//! when there is more work than time, and one that slept runs at once when it wakes.

mod bell;
mod task;
// not where the sources are compiled with loom's atomics
#[cfg(all(test, feature = "build"))]
mod tests;
mod timer;

pub use bell::Bell;
pub use task::{CpuTime, Task};
pub use timer::{Sleep, Timer, Timers};

use crate::{
    platform::{Nanos, Platform},
    sync::Mutex,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{future::Future, pin::Pin};

/// A weight of 100 is what a task has if nothing is said.
pub const NORMAL_WEIGHT: u32 = 100;

type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Executor {
    ready: Arc<Ready>,
    timers: Arc<Timers>,
}

/// The tasks that want to run.
#[derive(Default)]
pub(crate) struct Ready {
    queue: Mutex<Vec<Arc<Task>>>,
}

impl Executor {
    #[expect(clippy::new_without_default, reason = "there is one per CPU, made on purpose")]
    pub fn new() -> Self {
        Executor { ready: Arc::default(), timers: Arc::default() }
    }

    pub fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    /// Starts a task. It ends when its future does, or at the next yield after `Task::end`.
    pub fn spawn(&self, weight: u32, future: impl Future<Output = ()> + Send + 'static) -> Arc<Task> {
        let task = Task::new(weight, Box::pin(future), &self.ready);
        task.wake();
        task
    }

    /// Runs tasks for ever.
    pub fn run(&self, platform: &dyn Platform) -> ! {
        let mut cpu = Cpu::default();
        loop {
            self.turn(platform, &mut cpu);
        }
    }

    /// Runs tasks until `done` says so, which is asked between tasks.
    pub fn run_until(&self, platform: &dyn Platform, mut done: impl FnMut() -> bool) {
        let mut cpu = Cpu::default();
        while !done() {
            self.turn(platform, &mut cpu);
        }
    }

    /// Runs the next task, or sleeps if there is none.
    fn turn(&self, platform: &dyn Platform, cpu: &mut Cpu) {
        let now = cpu.now.take().unwrap_or_else(|| platform.now());
        if elapsed(cpu.polled, now) >= POLL {
            platform.poll();
            cpu.polled = now;
        }
        self.timers.expire(now);
        match self.ready.take() {
            Some(task) => {
                let (floor, ended) = task.run(now, cpu.floor, || platform.now());
                (cpu.floor, cpu.now) = (floor, Some(ended));
            }
            None => {
                platform.idle(self.timers.next());
                // what has ended the sleep
                platform.poll();
                let now = platform.now();
                (cpu.polled, cpu.now) = (now, Some(now));
            }
        }
    }
}

/// While there is work, devices are looked at this often: what they bring meanwhile comes in one batch.
const POLL: Nanos = 50_000;

/// What the CPU that runs tasks remembers from one to the next.
#[derive(Default)]
struct Cpu {
    /// The weighted time that the last task had: one that slept does not come back with all the time it did not use.
    floor: u64,
    /// when devices were looked at last
    polled: Nanos,
    /// the time, if a task has just ended its turn
    now: Option<Nanos>,
}

impl Ready {
    pub(crate) fn push(&self, task: Arc<Task>) {
        self.queue.lock().push(task);
    }

    fn take(&self) -> Option<Arc<Task>> {
        let mut queue = self.queue.lock();
        // mostly it is the only one
        if queue.len() <= 1 {
            return queue.pop();
        }
        let (first, _) = queue.iter().enumerate().min_by_key(|(_, task)| task.pass())?;
        // not `swap_remove`: of those with equal right, the one that waits longest is first
        Some(queue.remove(first))
    }
}

/// Lets other tasks run once.
pub async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|cx| {
        if core::mem::replace(&mut yielded, true) {
            return core::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        core::task::Poll::Pending
    })
    .await;
}

/// How much time has passed between two readings, though clocks of different CPUs may differ a little.
pub(crate) fn elapsed(from: Nanos, to: Nanos) -> Nanos {
    to.saturating_sub(from)
}
