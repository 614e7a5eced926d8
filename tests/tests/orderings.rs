//! Wakers, timers and signals with every order of loads and stores that a CPU may choose, not only those of x86: nobody who
//! is woken sleeps on, and nobody who is ended lives on.
//!
//! The sources are those of the node, compiled with loom's atomics and locks. Loom runs each model with all orders of its
//! threads' steps, and has a load see every value that its memory ordering permits.

#![allow(dead_code, unexpected_cfgs, unfulfilled_lint_expectations, unused_imports)]

extern crate alloc;

#[path = "../../wasm-host/src/executor/mod.rs"]
mod executor;
#[path = "../../wasm-host/src/arrows/channel/signal.rs"]
mod signal;

/// What `wasm-host/src/sync.rs` names, of loom.
mod sync {
    pub use loom::sync::{
        MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };

    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics")
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

/// What the executor asks of its platform.
mod platform {
    pub type Nanos = u64;

    pub trait Platform {
        fn now(&self) -> Nanos;
        fn poll(&self);
        fn idle(&self, until: Option<Nanos>);
    }
}

use core::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    pin::pin,
    task::Poll,
};
use executor::{Bell, Executor, NORMAL_WEIGHT, Task};
use loom::thread::spawn;
use platform::{Nanos, Platform};
use signal::{Ready, Signal};
use std::sync::Arc;
use sync::{AtomicBool, Ordering::Relaxed};

/// Runs a model with every order of steps in which threads are interrupted at most three times, and wait for each other
/// as often as it comes: without that bound, the one of signals takes a minute.
fn model(model: impl Fn() + Send + Sync + 'static) {
    let mut all = loom::model::Builder::new();
    all.preemption_bound = Some(3);
    all.check(model);
}

/// A platform that says when the executor has nothing left to run.
#[derive(Default)]
struct Machine {
    now: Cell<Nanos>,
    idle: Cell<bool>,
}

impl Platform for Machine {
    fn now(&self) -> Nanos {
        self.now.get()
    }

    fn poll(&self) {}

    fn idle(&self, _: Option<Nanos>) {
        self.idle.set(true);
    }
}

impl Machine {
    /// Runs tasks until there is none to run.
    fn run(&self, executor: &Executor) {
        self.idle.set(false);
        executor.run_until(self, || self.idle.get());
    }
}

/// A condition of a task. Its own accesses order nothing.
#[derive(Clone)]
struct Condition(Arc<AtomicBool>);

impl Condition {
    fn new() -> Self {
        Condition(Arc::new(AtomicBool::new(false)))
    }

    fn set(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A task that waits for all conditions, and then says so.
fn waiting(executor: &Executor, conditions: &[Condition]) -> (Arc<Task>, Condition) {
    let (conditions, done) = (conditions.to_vec(), Condition::new());
    let says = done.clone();
    let task = executor.spawn(NORMAL_WEIGHT, async move {
        poll_fn(|_| if conditions.iter().all(Condition::is_set) { Poll::Ready(()) } else { Poll::Pending }).await;
        says.set();
    });
    (task, done)
}

#[test]
fn whoever_is_woken_sees_what_for() {
    model(|| {
        let (machine, executor) = (Machine::default(), Executor::new());
        let conditions = [Condition::new(), Condition::new()];
        let (task, done) = waiting(&executor, &conditions);
        let wakers = conditions.map(|condition| {
            let task = task.clone();
            spawn(move || {
                condition.set();
                task.wake();
            })
        });
        machine.run(&executor);
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        machine.run(&executor);
        assert!(done.is_set(), "a wake was lost");
    });
}

#[test]
fn whoever_runs_within_anothers_turn_is_woken_as_well() {
    model(|| {
        let (machine, executor) = (Machine::default(), Executor::new());
        let condition = Condition::new();
        let (task, done) = waiting(&executor, std::slice::from_ref(&condition));
        machine.run(&executor);
        let woken = task.clone();
        let waker = spawn(move || {
            condition.set();
            woken.wake();
        });
        task.run_within(None, || 0);
        waker.join().unwrap();
        machine.run(&executor);
        assert!(done.is_set(), "a wake was lost");
    });
}

#[test]
fn whoever_is_ended_ends() {
    struct Held(Condition);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    model(|| {
        let (machine, executor) = (Machine::default(), Executor::new());
        let dropped = Condition::new();
        let held = Held(dropped.clone());
        let task = executor.spawn(NORMAL_WEIGHT, async move {
            let _held = held;
            pending::<()>().await;
        });
        let ended = task.clone();
        let end = spawn(move || ended.end());
        machine.run(&executor);
        end.join().unwrap();
        machine.run(&executor);
        assert!(dropped.is_set(), "an end was lost");
    });
}

#[test]
fn no_flag_of_a_signal_is_lost() {
    const BOTH: Ready = Ready::port(7);
    model(|| {
        let (machine, executor) = (Machine::default(), Executor::new());
        let signal = Arc::new(Signal::default());
        let (waits, done) = (signal.clone(), Condition::new());
        let says = done.clone();
        executor.spawn(NORMAL_WEIGHT, async move {
            let mut seen = Ready::default();
            while !seen.contains(Ready::ROOM | BOTH) {
                let ready = poll_fn(|cx| waits.poll(cx)).await;
                seen = seen | ready;
            }
            says.set();
        });
        let raisers = [Ready::ROOM, BOTH].map(|ready| {
            let signal = signal.clone();
            spawn(move || signal.raise(ready))
        });
        machine.run(&executor);
        raisers.into_iter().for_each(|raiser| raiser.join().unwrap());
        machine.run(&executor);
        assert!(done.is_set(), "a flag was lost");
    });
}

#[test]
fn what_comes_with_a_flag_is_seen() {
    model(|| {
        let signal = Arc::new(Signal::default());
        let sent = [Condition::new(), Condition::new()];
        let senders = sent.clone().map(|sent| {
            let signal = signal.clone();
            spawn(move || {
                sent.set();
                signal.raise(Ready::ROOM);
            })
        });
        let mut seen = 0;
        while seen == 0 {
            if signal.take() == Ready::default() {
                loom::thread::yield_now();
                continue;
            }
            seen = sent.iter().filter(|sent| sent.is_set()).count();
            assert!(seen > 0, "the flag was there before what it is for");
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn whoever_waits_for_a_bell_hears_it() {
    model(|| {
        let (machine, executor) = (Machine::default(), Executor::new());
        let (bell, condition, done) = (Arc::new(Bell::default()), Condition::new(), Condition::new());
        let (rings, sets, says) = (bell.clone(), condition.clone(), done.clone());
        executor.spawn(NORMAL_WEIGHT, async move {
            bell.until(|| condition.is_set().then_some(())).await;
            says.set();
        });
        let ringer = spawn(move || {
            sets.set();
            rings.ring();
        });
        machine.run(&executor);
        ringer.join().unwrap();
        machine.run(&executor);
        assert!(done.is_set(), "a bell was not heard");
    });
}

#[test]
fn timers_that_another_thread_sets_and_drops_expire() {
    model(|| {
        let (machine, executor) = (Machine::default(), Executor::new());
        machine.now.set(20);
        let (timer, other) = (executor.timers().timer(), executor.timers().timer());
        let (kept, condition) = (timer.clone(), Condition::new());
        let (task, done) = waiting(&executor, std::slice::from_ref(&condition));
        let setter = spawn(move || {
            condition.set();
            let waker = task.into();
            other.set(15, &waker);
            timer.set(10, &waker);
            drop(other);
        });
        machine.run(&executor);
        setter.join().unwrap();
        machine.run(&executor);
        assert!(done.is_set(), "a timer did not expire");
        drop(kept);
        assert_eq!(executor.timers().next(), None, "a timer that is gone has a place in the list");
    });
}
