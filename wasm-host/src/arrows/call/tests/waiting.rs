//! Queues, deadlines, and boxes that wait for each other.

use super::{Caller, Guest, Limits, MS, Node, Outcome, guests, text};
use crate::{arrows::call::Ended, boxes::Budget};
use alloc::{format, string::String, vec::Vec};
use wasmtime::component::Val;

const SECOND: u64 = 1000 * MS;

fn boxes(limits: Limits, servers: usize, callers: usize) -> (Node, Guest, Vec<Outcome<Ended>>, Vec<Caller>) {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), limits);
    let ended = (0..servers).map(|_| node.serve(&b, &[])).collect();
    let caller = guests::api_caller();
    let callers = (0..callers).map(|n| node.caller(&format!("a{n}"), &caller, &[(guests::NAME, &b.queue)])).collect();
    (node, b, ended, callers)
}

fn number(node: &mut Node, caller: &Caller, n: u32) -> Outcome<Result<Option<Val>, String>> {
    node.start(caller, "number", &[Val::U32(n)])
}

#[test]
fn one_at_a_time_in_order() {
    let (mut node, b, _ended, a) = boxes(Limits::default(), 1, 3);
    let calls: Vec<_> = a.iter().map(|a| number(&mut node, a, 7)).collect();
    assert_eq!((node.gate.waiting(), b.queue.stats().running, b.queue.stats().waiting), (1, 1, 2));
    for (turn, call) in calls.iter().enumerate() {
        assert!(call.take().is_none());
        node.gate.open(1);
        node.run();
        assert_eq!(call.take(), Some(Ok(Some(Val::U32(8)))), "turn {turn}");
    }
    assert_eq!(b.queue.stats().running, 0);
}

/// A box learns who calls it, and what the arrow says by which it does; of one call nothing is left at the next.
#[test]
fn the_callee_knows_the_caller() {
    let (mut node, b, _ended, mut a) = boxes(Limits::default(), 1, 1);
    node.words = [("keys.0".into(), "shop".into())].into();
    a.push(node.caller("other", &guests::api_caller(), &[(guests::NAME, &b.queue)]));
    node.gate.open(3);
    for caller in [0, 1, 0] {
        assert_eq!(number(&mut node, &a[caller], 7).take(), Some(Ok(Some(Val::U32(8)))));
    }
    assert_eq!(*node.seen.lock().unwrap(), ["a0 []", "other [(\"keys.0\", \"shop\")]", "a0 []"]);
}

/// An interface that a box has no arrow for says so, where its functions can; else it traps.
#[test]
fn without_an_arrow_every_call_says_so() {
    let mut node = Node::new();
    let a = node.caller("a", &guests::api_caller(), &[]);
    let texted = format!("{:?}", node.call(&a, "texted", &[Val::U32(1)]));
    assert!(texted.contains(&format!("Err(Some(String({:?})))", wit::NO_ARROW)), "{texted}");
    assert_eq!(node.budget.used(), 0);
    let traps = text(node.call(&a, "blob", &[Val::List(alloc::vec![Val::U8(0); 100_000])]));
    assert!(traps.contains(wit::NO_ARROW), "{traps}");
    assert_eq!(node.budget.used(), 0);
}

#[test]
fn a_full_queue_says_so() {
    let (mut node, _b, _ended, a) = boxes(Limits { queue: 1, ..Limits::default() }, 1, 4);
    let running = number(&mut node, &a[0], 7);
    let waiting = number(&mut node, &a[1], 1);
    let refused = node.call(&a[2], "texted", &[Val::U32(1)]);
    assert!(format!("{refused:?}").contains("its queue is full (1 calls wait)"), "{refused:?}");
    assert!(text(node.call(&a[3], "number", &[Val::U32(1)])).contains("its queue is full"));
    node.gate.open(1);
    node.run();
    assert_eq!((running.take(), waiting.take()), (Some(Ok(Some(Val::U32(8)))), Some(Ok(Some(Val::U32(2))))));
    assert!(matches!(node.call(&a[2], "texted", &[Val::U32(1)]), Ok(Some(Val::Result(Ok(_))))));
}

#[test]
fn what_waits_is_paid_for_by_the_caller() {
    let (mut node, b, _ended, a) = boxes(Limits::default(), 1, 1);
    node.budget = Budget::new(10_000);
    let poor = node.caller("poor", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    let _running = number(&mut node, &a[0], 7);
    let blob = |bytes: usize| Val::List(alloc::vec![Val::U8(0); bytes]);
    let waits = node.start(&poor, "blob", &[blob(9_000)]);
    assert!(node.budget.used() >= 9_000);
    node.gate.open(1);
    node.run();
    assert!(matches!(waits.take(), Some(Ok(_))));
    assert_eq!(node.budget.used(), 0);
    let refused = text(node.call(&poor, "blob", &[blob(11_000)]));
    assert!(refused.contains("the caller's memory limit leaves no room"), "{refused}");
    assert_eq!(node.budget.used(), 0);
}

#[test]
fn deadlines() {
    let (mut node, _b, ended, a) = boxes(Limits::default(), 1, 3);
    let running = number(&mut node, &a[0], 7);
    node.advance(10 * SECOND);
    let waiting = number(&mut node, &a[1], 1);
    node.advance(20 * SECOND - MS);
    assert!(running.take().is_none());
    node.advance(MS);
    assert!(text(running.take().expect("at 30 s")).contains("no answer within 30000 ms"));
    assert!(waiting.take().is_none());
    node.advance(10 * SECOND);
    assert!(text(waiting.take().expect("30 s after it came")).contains("its turn did not come within 30000 ms"));
    // The instance is still at the first call; its late answer is of no use, and it lives.
    assert!(ended[0].take().is_none());
    let third = number(&mut node, &a[2], 1);
    node.gate.open(1);
    node.run();
    assert_eq!(third.take(), Some(Ok(Some(Val::U32(2)))));
    assert_eq!(node.budget.used(), 0);
}

#[test]
fn calls_wait_for_the_first_instance_until_their_deadline() {
    let (mut node, b, _ended, a) = boxes(Limits::default(), 0, 2);
    let early = number(&mut node, &a[0], 1);
    node.advance(29 * SECOND);
    assert!(early.take().is_none());
    let _up = node.serve(&b, &[]);
    assert_eq!(early.take(), Some(Ok(Some(Val::U32(2)))));
}

#[test]
fn an_instance_that_is_stuck_ends() {
    let (mut node, b, ended, a) = boxes(Limits::default(), 1, 2);
    let first = number(&mut node, &a[0], 7);
    node.advance(30 * SECOND);
    assert!(first.take().is_some());
    node.advance(30 * SECOND - MS);
    let second = number(&mut node, &a[1], 1);
    assert!(ended[0].take().is_none());
    node.advance(MS);
    let ended = ended[0].take().expect("at 60 s");
    assert!(matches!(&ended, Ended::Stuck { during } if &**during == "acme:thing/api@0.1.0#number"), "{ended}");
    let _next = node.serve(&b, &[]);
    assert_eq!(second.take(), Some(Ok(Some(Val::U32(2)))));
}

/// Two boxes, each of which exports one of these and imports the other.
const ROUND: &str = r#"
    package acme:round@1.0.0;
    interface left { turn: func(n: u32) -> u32; }
    interface right { turn: func(n: u32) -> u32; }
    world starts { import left; export go: func(n: u32) -> u32; }
    world lefty { import right; export left; }
    world righty { import left; export right; }
    world between { import left; export left; }
"#;
const LEFT: &str = "acme:round/left@1.0.0";
const RIGHT: &str = "acme:round/right@1.0.0";

fn turns(world: &str, import: &str, export: &str) -> Vec<u8> {
    let core = format!(
        "(module (import \"{import}\" \"turn\" (func $next (param i32) (result i32)))
            (func (export \"{export}\") (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $next (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.const 0)))))"
    );
    guests::component(ROUND, world, &core)
}

#[test]
fn a_call_that_would_wait_for_itself_fails_at_once() {
    let mut node = Node::new();
    let left = node.guest("left", &turns("lefty", RIGHT, &format!("{LEFT}#turn")), Limits::default());
    let right = node.guest("right", &turns("righty", LEFT, &format!("{RIGHT}#turn")), Limits::default());
    let _left = node.serve(&left, &[(RIGHT, &right.queue)]);
    let _right = node.serve(&right, &[(LEFT, &left.queue)]);
    let a = node.caller("a", &turns("starts", LEFT, "go"), &[(LEFT, &left.queue)]);
    assert_eq!(node.call(&a, "go", &[Val::U32(2)]), Ok(Some(Val::U32(2))));
    let message = text(node.call(&a, "go", &[Val::U32(3)]));
    assert!(message.contains("called by box right on box left: it waits for this call itself"), "{message}");
    assert!(message.starts_with("acme:round/left@1.0.0#turn, called by box a on box left"), "{message}");
}

#[test]
fn calls_within_calls_go_so_deep_and_no_deeper() {
    let mut node = Node::new();
    let component = turns("between", LEFT, &format!("{LEFT}#turn"));
    let row: Vec<_> = (0..12).map(|_| node.guest("b", &component, Limits::default())).collect();
    let _row: Vec<_> = row.windows(2).map(|two| node.serve(&two[0], &[(LEFT, &two[1].queue)])).collect();
    let a = node.caller("a", &turns("starts", LEFT, "go"), &[(LEFT, &row[0].queue)]);
    assert_eq!(node.call(&a, "go", &[Val::U32(8)]), Ok(Some(Val::U32(8))));
    assert!(text(node.call(&a, "go", &[Val::U32(9)])).contains("a call within a call, 8 deep"));
}

#[test]
fn a_caller_that_ends_takes_its_call_back() {
    let (mut node, b, _ended, a) = boxes(Limits::default(), 1, 1);
    let _running = number(&mut node, &a[0], 7);
    let caller = node.caller("late", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    let _waiting = number(&mut node, &caller, 8);
    assert_eq!(b.queue.stats().waiting, 1);
    node.kill_last();
    assert_eq!(b.queue.stats().waiting, 0);
    node.gate.open(1);
    node.run();
    assert!(b.queue.is_up(), "the call that would have trapped never began");
    assert_eq!((node.gate.waiting(), node.budget.used()), (0, 0));
}
