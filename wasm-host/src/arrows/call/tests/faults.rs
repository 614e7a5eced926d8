//! What a caller sees of a callee that fails.

use super::{Caller, Guest, Limits, MS, Node, Outcome, guests, text};
use crate::{
    arrows::{
        call::{Ended, MAX_CALL_BYTES},
        channel::End,
        measure::Meter,
    },
    platform::fake::FakePlatform,
};
use alloc::{boxed::Box, format, string::String, sync::Arc};
use wasmtime::component::Val;

fn boxes(limits: Limits) -> (Node, Guest, Outcome<Ended>, Caller) {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), limits);
    let ended = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    (node, b, ended, a)
}

/// What a call that traps does, by the error type of its function.
fn outcome_of(function: &str) -> Result<Option<Val>, String> {
    let (mut node, b, ended, a) = boxes(Limits::default());
    let result = node.call(&a, function, &[Val::U32(6)]);
    let ended = ended.take().expect("the instance has ended");
    assert!(matches!(&ended, Ended::Failed { during, .. } if during.contains(function)), "{ended}");
    assert!(!b.queue.is_up());
    result
}

#[test]
fn a_trap_is_an_error_value_where_the_type_has_room_for_it() {
    let err = |value: Option<Val>| Ok(Some(Val::Result(Err(value.map(Box::new)))));
    assert_eq!(outcome_of("bare"), err(None));
    assert_eq!(outcome_of("only-bare"), err(None));
    let message = "acme:thing/api@0.1.0#texted, called by box a on box b: it ended during the call: \
                   wasm trap: wasm `unreachable` instruction executed";
    assert_eq!(outcome_of("texted"), err(Some(Val::String(message.into()))));
}

#[test]
fn calls_are_measured_and_an_error_value_is_no_error() {
    let mut node = Node::new();
    let platform = FakePlatform::leak();
    let meter = Arc::new(Meter::of_calls(platform));
    node.meter = Some(meter.clone());
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let _ended = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    assert_eq!(node.call(&a, "number", &[Val::U32(1)]), Ok(Some(Val::U32(2))));
    let counts = || {
        let ended: u64 = meter.latency().unwrap().buckets().iter().map(|(_, count)| count).sum();
        (meter.requests().unwrap(), meter.errors(), ended)
    };
    assert_eq!(counts(), (1, 0, 1));
    let bytes = |end| meter.traffic(end).bytes.load(core::sync::atomic::Ordering::Relaxed);
    assert_eq!((bytes(End::Client), bytes(End::Service)), (4, 4));
    node.call(&a, "bare", &[Val::U32(6)]).unwrap();
    assert_eq!(counts(), (2, 1, 2), "the callee has ended during the call");
}

#[test]
fn a_trap_is_a_trap_where_it_has_none() {
    for function in ["number", "coded"] {
        let message = text(outcome_of(function));
        for part in ["acme:thing/api@0.1.0#", function, "box a", "box b", "unreachable"] {
            assert!(message.contains(part), "`{part}` in {message}");
        }
    }
}

#[test]
fn calls_wait_for_the_next_instance() {
    let (mut node, b, _ended, a) = boxes(Limits::default());
    node.call(&a, "bare", &[Val::U32(6)]).unwrap();
    let waits = node.start(&a, "number", &[Val::U32(1)]);
    assert!(waits.take().is_none());
    let _second = node.serve(&b, &[]);
    assert_eq!(waits.take(), Some(Ok(Some(Val::U32(2)))));
    assert_eq!(node.call(&a, "number", &[Val::U32(2)]), Ok(Some(Val::U32(3))));
}

#[test]
fn but_not_for_long_and_then_they_say_why() {
    let (mut node, b, _ended, a) = boxes(Limits { restart: 100 * MS, ..Limits::default() });
    node.call(&a, "bare", &[Val::U32(6)]).unwrap();
    let waits = node.start(&a, "texted", &[Val::U32(1)]);
    node.advance(99 * MS);
    assert!(waits.take().is_none());
    node.advance(MS);
    let Some(Ok(Some(Val::Result(Err(Some(message)))))) = waits.take() else { panic!("should have failed") };
    let Val::String(message) = *message else { panic!("should be text") };
    assert!(message.contains("box b: it is restarting: wasm trap: wasm `unreachable`"), "{message}");
    // From now on at once, until an instance is there.
    assert!(text(node.call(&a, "number", &[Val::U32(1)])).contains("it is restarting"));
    let _second = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    assert_eq!(node.call(&a, "number", &[Val::U32(2)]), Ok(Some(Val::U32(3))));
}

#[test]
fn a_killed_task_is_an_end_too() {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    let waits = node.start(&a, "number", &[Val::U32(7)]);
    let _never = node.serve(&b, &[]);
    assert_eq!((node.gate.waiting(), b.queue.stats().running), (1, 1));
    node.kill_last();
    node.run();
    assert!(text(waits.take().expect("told")).contains("it was stopped"));
    assert_eq!((b.queue.stats().running, node.budget.used()), (0, 0));
}

#[test]
fn a_closed_box_fails_calls_at_once() {
    let (mut node, b, ended, a) = boxes(Limits::default());
    b.queue.close("removed from the system");
    node.run();
    assert!(matches!(ended.take(), Some(Ended::Closed(_))));
    assert!(text(node.call(&a, "number", &[Val::U32(1)])).contains("it is gone: removed from the system"));
}

#[test]
fn too_large() {
    let (mut node, _b, ended, a) = boxes(Limits { bytes: 1000, ..Limits::default() });
    let bytes = |count: usize| Val::List(alloc::vec![Val::U8(1); count]);
    // The length takes four bytes.
    assert_eq!(node.call(&a, "blob", &[bytes(996)]), Ok(Some(bytes(996))));
    assert!(matches!(node.call(&a, "zeros", &[Val::U32(996)]), Ok(Some(_))));
    assert!(text(node.call(&a, "zeros", &[Val::U32(997)])).contains("a result of more than 1000 bytes"));
    let (mut node, _b, second, a) = boxes(Limits { bytes: 1000, ..Limits::default() });
    assert!(text(node.call(&a, "blob", &[bytes(997)])).contains("parameters of more than 1000 bytes"));
    assert!(ended.take().is_none() && second.take().is_none(), "the callee is not to blame, and lives");
}

#[test]
fn the_largest_of_all() {
    let (mut node, b, ended, a) = boxes(Limits::default());
    let most = MAX_CALL_BYTES as u32 - 4;
    assert_eq!(node.call(&a, "count-zeros", &[Val::U32(most)]), Ok(Some(Val::U32(most))));
    assert!(text(node.call(&a, "count-zeros", &[Val::U32(most + 1)])).contains("a result of more than 16777216 bytes"));
    assert!(ended.take().is_none());
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    assert_eq!(node.call(&a, "number", &[Val::U32(1)]), Ok(Some(Val::U32(2))));
}

#[test]
fn a_callee_without_room_for_the_parameters_fails() {
    // Its `realloc` traps when memory may not grow.
    let core = guests::api_callee_core().replace("(memory (export \"memory\") 2)", "(memory (export \"memory\") 2 2)");
    let mut node = Node::new();
    let b = node.guest("b", &guests::component(guests::API, "callee", &core), Limits::default());
    let ended = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    let bytes = Val::List(alloc::vec![Val::U8(1); 70_000]);
    assert!(text(node.call(&a, "blob", &[bytes])).contains("it ended during the call"));
    assert!(matches!(ended.take(), Some(Ended::Failed { .. })));
}

#[test]
fn a_result_that_breaks_the_canonical_abi_ends_the_callee() {
    let start = "#text\") (param i32 i32) (result i32)";
    let code = format!("{start} (i32.const 513)) (func (export \"old-text\") (param i32 i32) (result i32)");
    let core = guests::api_callee_core().replace(start, &code);
    let mut node = Node::new();
    let b = node.guest("b", &guests::component(guests::API, "callee", &core), Limits::default());
    let ended = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    assert!(text(node.call(&a, "text", &[Val::String("x".into())])).contains("not aligned"));
    assert!(matches!(ended.take(), Some(Ended::Failed { .. })));
}
