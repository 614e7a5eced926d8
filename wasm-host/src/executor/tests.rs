use super::*;
use crate::platform::fake::FakePlatform;
use alloc::{vec, vec::Vec};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A task that uses a millisecond at each turn, for ever.
async fn spin(platform: &'static FakePlatform, turns: Arc<AtomicU64>) {
    loop {
        platform.pass(1_000_000);
        turns.fetch_add(1, Relaxed);
        yield_now().await;
    }
}

#[test]
fn shares_go_by_weight() {
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let turns: Vec<_> = [300, 100, 100].map(|weight| (weight, Arc::new(AtomicU64::new(0)))).into();
    for (weight, turns) in &turns {
        executor.spawn(*weight, spin(platform, turns.clone()));
    }
    executor.run_until(platform, || turns.iter().map(|(_, turns)| turns.load(Relaxed)).sum::<u64>() == 1_000);
    for (weight, turns) in turns {
        let (share, due) = (turns.load(Relaxed), u64::from(weight) * 2);
        assert!(share.abs_diff(due) <= 2, "weight {weight}: {share} turns of 1000");
    }
}

#[test]
fn one_that_slept_runs_before_one_that_spins_but_gets_no_arrears() {
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let spun = Arc::new(AtomicU64::new(0));
    executor.spawn(NORMAL_WEIGHT, spin(platform, spun.clone()));
    let timer = executor.timers().timer();
    let (woke, ran) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (late, after) = (woke.clone(), ran.clone());
    executor.spawn(NORMAL_WEIGHT, async move {
        timer.sleep_until(500_000_000).await;
        late.store(platform.now(), Relaxed);
        spin(platform, after).await;
    });
    executor.run_until(platform, || platform.now() >= 600_000_000);
    assert!(woke.load(Relaxed) <= 501_000_000, "woke at {}", woke.load(Relaxed));
    assert!(ran.load(Relaxed).abs_diff(50) <= 2, "ran {} times in the last 100 ms", ran.load(Relaxed));
}

/// A look at the devices may be a call of the operating system.
#[test]
fn devices_are_looked_at_once_for_each_sleep() {
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let timer = executor.timers().timer();
    let sleeper = executor.spawn(NORMAL_WEIGHT, async move {
        for number in 1..=10 {
            timer.sleep_until(number * 1_000_000).await;
        }
    });
    executor.run_until(platform, || sleeper.cpu().turns() == 11);
    assert_eq!(platform.polls(), 10);
}

#[test]
fn timers_wake_in_order_and_cleared_ones_do_not() {
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let order = Arc::new(Mutex::new(vec![]));
    for due in [30, 10, 20] {
        let (timer, order) = (executor.timers().timer(), order.clone());
        executor.spawn(NORMAL_WEIGHT, async move {
            // one that is given up on
            drop(timer.sleep_until(5));
            timer.sleep_until(due).await;
            order.lock().push((due, platform.now()));
        });
    }
    executor.run_until(platform, || order.lock().len() == 3);
    assert_eq!(*order.lock(), [(10, 10), (20, 20), (30, 30)]);
}

#[test]
fn an_ended_task_drops_what_it_holds() {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let dropped = Arc::new(AtomicUsize::new(0));
    let held = Held(dropped.clone());
    let task = executor.spawn(NORMAL_WEIGHT, async move {
        let _held = held;
        core::future::pending::<()>().await;
    });
    let mut turns = 0;
    executor.run_until(platform, || {
        turns += 1;
        if turns == 2 {
            task.end();
        }
        turns == 3
    });
    assert_eq!(dropped.load(Relaxed), 1);
}

#[test]
fn cpu_time_is_that_of_the_task() {
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let task = executor.spawn(NORMAL_WEIGHT, async move {
        for _ in 0..7 {
            platform.pass(1_000);
            yield_now().await;
        }
    });
    executor.run_until(platform, || task.cpu().total() == 7_000);
    assert_eq!(task.cpu().at(platform.now() + 5), 7_000, "no turn goes on");
}

#[test]
fn a_timer_has_one_place_in_the_list_which_goes_with_it() {
    let timers = Arc::<Timers>::default();
    let kept = timers.timer();
    for due in (0..1_000).rev() {
        kept.set(1_000 + due, core::task::Waker::noop());
        drop(timers.timer());
        let dropped = timers.timer();
        dropped.set(5_000, core::task::Waker::noop());
        assert!(timers.count() <= 2, "{}", timers.count());
    }
    assert_eq!((timers.count(), timers.next()), (1, Some(1_000)));
    // a later deadline is found when the earlier one has passed
    kept.set(2_000, core::task::Waker::noop());
    timers.expire(1_500);
    assert_eq!((timers.count(), timers.next()), (1, Some(2_000)));
    timers.expire(2_000);
    assert_eq!((timers.count(), timers.next()), (0, None));
    kept.set(3_000, core::task::Waker::noop());
    drop(kept);
    assert_eq!((timers.count(), timers.next()), (0, None));
}

#[test]
fn a_turn_within_another_counts_for_the_one_that_has_it() {
    let (platform, executor) = (FakePlatform::leak(), Executor::new());
    let inner = executor.spawn(NORMAL_WEIGHT, async move {
        let mut waits = false;
        core::future::poll_fn(|_| {
            platform.pass(3_000);
            waits = !waits;
            if waits { core::task::Poll::<()>::Pending } else { core::task::Poll::Ready(()) }
        })
        .await;
        core::future::pending::<()>().await;
    });
    let outer: Arc<spin::Once<Arc<Task>>> = Arc::default();
    let (me, other) = (outer.clone(), inner.clone());
    outer.call_once(|| {
        executor.spawn(NORMAL_WEIGHT, async move {
            platform.pass(1_000);
            let clock = || platform.now();
            let me = me.wait();
            assert!(other.run_within(Some(me.cpu()), clock));
            assert_eq!((other.cpu().total(), me.cpu().at(platform.now())), (6_000, 1_000));
            assert!(!me.run_within(None, clock), "one that runs");
            other.wake();
            assert!(!other.run_within(None, clock), "one that is about to run");
            platform.pass(2_000);
        })
    });
    executor.run_until(platform, || outer.wait().cpu().turns() == 1);
    assert_eq!((inner.cpu().total(), outer.wait().cpu().total()), (6_000, 3_000));
}
