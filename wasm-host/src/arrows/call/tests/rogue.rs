//! A caller that sends as much as it can, again and again, to a box that has little memory.

use super::{Caller, Guest, Limits, Node, Outcome, guests};
use crate::{
    allocations::{begin_peak, peak},
    arrows::call::Ended,
    boxes::Budget,
};
use alloc::{format, string::String, vec::Vec};
use wasmtime::component::Val;

const ROGUE: &str = r#"
    package acme:rogue@0.1.0;
    interface api {
        resource thing { constructor(); }
        text: func(text: string) -> result<u32, string>;
        texts: func(texts: list<string>) -> result<u32, string>;
        things: func(n: u32) -> result<list<thing>, string>;
        zeros: func(n: u32) -> result<list<u8>, string>;
    }
    world callee { export api; }
    world caller {
        import api;
        // How many of so many calls failed: with a text of that size, with a list of so many texts that are all in the
        // same place, of those that return things, which are dropped or kept, of those that return bytes.
        export text: func(calls: u32, size: u32) -> u32;
        export texts: func(calls: u32, size: u32, count: u32) -> u32;
        export things: func(calls: u32, count: u32) -> u32;
        export kept: func(calls: u32, count: u32) -> u32;
        export zeros: func(calls: u32, size: u32) -> u32;
    }
"#;

const NAME: &str = "acme:rogue/api@0.1.0";

fn callee() -> Vec<u8> {
    let export = |name: &str, code: &str| format!("(func (export \"{NAME}#{name}\") {code})\n");
    let mut core =
        format!("(module (import \"[export]{NAME}\" \"[resource-new]thing\" (func $new (param i32) (result i32)))");
    core += guests::MEMORY;
    core += "(func $ok (param i32 i32) (result i32) (i32.store8 (i32.const 512) (i32.const 0))
        (i32.store (i32.const 516) (local.get 0)) (i32.store (i32.const 520) (local.get 1)) (i32.const 512))";
    core += &export("[constructor]thing", "(result i32) (call $new (i32.const 1))");
    for name in ["text", "texts"] {
        core += &export(name, "(param i32 i32) (result i32) (call $reset) (call $ok (local.get 1) (i32.const 0))");
    }
    core += &export(
        "things",
        "(param $n i32) (result i32) (local $i i32)
         (loop $again
            (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 4))) (call $new (i32.const 1)))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
         (call $ok (i32.const 65536) (local.get $n))",
    );
    core += &export(
        "zeros",
        "(param i32) (result i32)
         (call $ok (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get 0)) (local.get 0))",
    );
    for name in ["text", "texts", "things", "zeros"] {
        core += &format!("(func (export \"cabi_post_{NAME}#{name}\") (param i32) (call $reset))");
    }
    guests::component(ROGUE, "callee", &(core + ")"))
}

fn caller() -> Vec<u8> {
    let mut core = String::from("(module");
    for (name, ty) in [("text", "i32 i32 i32"), ("texts", "i32 i32 i32"), ("things", "i32 i32"), ("zeros", "i32 i32")] {
        core += &format!("(import \"{NAME}\" \"{name}\" (func ${name} (param {ty})))");
    }
    core += &format!("(import \"{NAME}\" \"[resource-drop]thing\" (func $drop (param i32)))");
    core += guests::MEMORY;
    // calls again and again, and counts results that are errors; a list of resources is dropped
    let repeat = |name: &str, params: &str, call: &str, after: &str| {
        format!(
            "(func (export \"{name}\") (param $calls i32) {params} (result i32)
                (local $failed i32) (local $at i32) (local $i i32)
                (loop $again
                    (call $reset)
                    {call}
                    (if (i32.load8_u (i32.const 512))
                        (then (local.set $failed (i32.add (local.get $failed) (i32.const 1))))
                        (else {after}))
                    (br_if $again (local.tee $calls (i32.sub (local.get $calls) (i32.const 1)))))
                (local.get $failed))"
        )
    };
    let size = "(param $size i32)";
    let alloc = "(local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $size)))";
    core +=
        &repeat("text", size, &format!("{alloc} (call $text (local.get $at) (local.get $size) (i32.const 512))"), "");
    let list = format!(
        "{alloc} (local.set $i (i32.const 0))
         (loop $fill
            (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 8))) (local.get $at))
            (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $i) (i32.const 8))) (local.get $size))
            (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
         (call $texts (i32.const 1024) (local.get $count) (i32.const 512))"
    );
    core += &repeat("texts", "(param $size i32) (param $count i32)", &list, "");
    let drop = "(local.set $i (i32.const 0))
        (loop $each
            (call $drop (i32.load (i32.add (i32.load (i32.const 516)) (i32.mul (local.get $i) (i32.const 4)))))
            (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.load (i32.const 520)))))";
    core += &repeat("things", "(param $count i32)", "(call $things (local.get $count) (i32.const 512))", drop);
    core += &repeat("kept", "(param $count i32)", "(call $things (local.get $count) (i32.const 512))", "");
    core += &repeat("zeros", size, "(call $zeros (local.get $size) (i32.const 512))", "");
    guests::component(ROGUE, "caller", &(core + ")"))
}

/// A callee with a small share, and a caller; both may have so much of the node.
fn boxes(callee_has: u64, caller_has: u64) -> (Node, Guest, Outcome<Ended>, Caller) {
    let mut node = Node::new();
    let b = node.guest("b", &callee(), Limits { bytes: 64 << 10, ..Limits::default() });
    node.budget = Budget::new(callee_has);
    let ended = node.serve(&b, &[]);
    node.budget = Budget::new(caller_has);
    let a = node.caller_with("a", &caller(), &[(NAME, &b.queue)], 100).unwrap();
    (node, b, ended, a)
}

fn failed(node: &mut Node, a: &Caller, function: &str, params: &[u32]) -> u32 {
    let params: Vec<Val> = params.iter().map(|param| Val::U32(*param)).collect();
    let before = begin_peak();
    let result = node.call(a, function, &params);
    let most = peak(before);
    assert!(most <= 1 << 20, "{function}: the node took {most} bytes");
    assert_eq!(node.budget.used(), 0, "{function}");
    match result {
        Ok(Some(Val::U32(failed))) => failed,
        other => panic!("{function}: {other:?}"),
    }
}

#[test]
fn large_values_cost_the_node_nothing() {
    let (mut node, b, ended, a) = boxes(1 << 20, 1 << 20);
    for size in [40 << 20, 12 << 20, 65 << 10] {
        assert_eq!(failed(&mut node, &a, "text", &[50, size]), 50, "{size} bytes");
        assert_eq!(failed(&mut node, &a, "zeros", &[50, size]), 50, "{size} bytes");
    }
    for size in [60 << 10, 100, 0] {
        assert_eq!(failed(&mut node, &a, "text", &[50, size]), 0, "{size} bytes");
        assert_eq!(failed(&mut node, &a, "zeros", &[50, size]), 0, "{size} bytes");
    }
    // elements that are all in one place
    assert_eq!(failed(&mut node, &a, "texts", &[50, 40 << 20, 5_000]), 50);
    assert_eq!(failed(&mut node, &a, "texts", &[50, 1_000, 5_000]), 50);
    assert_eq!(failed(&mut node, &a, "texts", &[50, 1_000, 50]), 0);
    // resources: more than the caller may hold, and as many
    assert_eq!(failed(&mut node, &a, "things", &[50, 4_000]), 50);
    assert_eq!(failed(&mut node, &a, "things", &[50, 101]), 50);
    assert_eq!(failed(&mut node, &a, "things", &[50, 100]), 0);
    assert!(ended.take().is_none(), "the callee lives");
    assert_eq!(b.queue.stats().handles, 0);
}

/// What a caller holds counts as the caller's: it never keeps the callee from making as many for a call as it may.
#[test]
fn a_caller_that_keeps_resources_takes_none_of_the_callees_own() {
    let mut node = Node::new();
    node.own_handles = 100;
    let b = node.guest("b", &callee(), Limits::default());
    let ended = node.serve(&b, &[]);
    let greedy = node.caller_with("greedy", &caller(), &[(NAME, &b.queue)], 250).unwrap();
    let result = node.call(&greedy, "kept", &[Val::U32(5), Val::U32(90)]);
    assert_eq!(result, Ok(Some(Val::U32(3))), "two lists fit into what the caller may hold");
    assert_eq!(greedy.held(), 180);
    let other = node.caller_with("other", &caller(), &[(NAME, &b.queue)], 100).unwrap();
    assert_eq!(node.call(&other, "things", &[Val::U32(5), Val::U32(90)]), Ok(Some(Val::U32(0))));
    assert!(ended.take().is_none(), "the callee lives");
}

#[test]
fn who_has_no_memory_left_sends_nothing_long() {
    let (mut node, _b, ended, a) = boxes(1 << 20, 20 << 10);
    assert_eq!(failed(&mut node, &a, "text", &[50, 21 << 10]), 50);
    assert_eq!(failed(&mut node, &a, "text", &[50, 19 << 10]), 0);
    assert_eq!(failed(&mut node, &a, "zeros", &[50, 60 << 10]), 0, "the callee pays for results");
    let (mut node, _b, second, a) = boxes(40 << 10, 1 << 20);
    assert_eq!(failed(&mut node, &a, "text", &[50, 60 << 10]), 0, "the caller pays for parameters");
    assert_eq!(failed(&mut node, &a, "zeros", &[50, 21 << 10]), 50);
    assert_eq!(failed(&mut node, &a, "zeros", &[50, 19 << 10]), 0);
    assert!(ended.take().is_none() && second.take().is_none());
}
