//! Resources that one box makes and another holds.

use super::{Caller, Guest, Limits, Node, Outcome, guests, text};
use crate::arrows::call::Ended;
use alloc::{format, string::String, vec::Vec};
use wasmtime::component::Val;

const STORE: &str = r#"
    package acme:store@0.1.0;
    interface types {
        resource thing {
            constructor(id: u32);
            id: func() -> u32;
            plus: func(other: borrow<thing>) -> u32;
            merge: static func(a: thing, b: thing) -> thing;
        }
        // things that exist
        live: func() -> u32;
    }
    interface api {
        use types.{thing};
        pass: func(thing: thing) -> thing;
        peek: func(thing: borrow<thing>) -> result<u32, string>;
        eat: func(thing: thing);
        mix: func(lent: borrow<thing>, given: thing);
        many: func(n: u32) -> list<thing>;
        // waits at the gate
        slow: func(thing: borrow<thing>) -> u32;
        later: func(id: u32) -> thing;
        fail: func() -> result;
    }
    world callee {
        import test:host/gate;
        export types;
        export api;
    }
    // handles as the guest's code has them
    world caller {
        import types;
        import api;
        export make: func(id: u32) -> u32;
        export id: func(handle: u32) -> u32;
        export plus: func(a: u32, b: u32) -> u32;
        export merge: func(a: u32, b: u32) -> u32;
        export drop: func(handle: u32);
        export pass: func(handle: u32) -> u32;
        export peek: func(handle: u32) -> result<u32, string>;
        export eat: func(handle: u32);
        export mix: func(a: u32, b: u32);
        // the first handle
        export many: func(n: u32) -> u32;
        export slow: func(handle: u32) -> u32;
        export later: func(id: u32) -> u32;
        export live: func() -> u32;
        export fail: func() -> result;
    }
    package test:host {
        interface gate { wait: func(); }
    }
"#;
pub const TYPES: &str = "acme:store/types@0.1.0";
pub const API: &str = "acme:store/api@0.1.0";

pub fn callee() -> Vec<u8> {
    let mut core = format!(
        r#"(module
        (import "test:host/gate" "wait" (func $wait))
        (import "[export]{TYPES}" "[resource-new]thing" (func $new (param i32) (result i32)))
        (import "[export]{TYPES}" "[resource-rep]thing" (func $rep (param i32) (result i32)))
        (import "[export]{TYPES}" "[resource-drop]thing" (func $drop (param i32)))
        (global $live (mut i32) (i32.const 0))
        (func $make (param i32) (result i32)
            (global.set $live (i32.add (global.get $live) (i32.const 1)))
            (call $new (local.get 0)))"#
    );
    core += guests::MEMORY;
    let mut export =
        |interface: &str, name: &str, code: &str| core += &format!("(func (export \"{interface}#{name}\") {code})\n");
    export(TYPES, "[constructor]thing", "(param i32) (result i32) (call $make (local.get 0))");
    export(TYPES, "[method]thing.id", "(param i32) (result i32) (local.get 0)");
    export(TYPES, "[method]thing.plus", "(param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))");
    export(
        TYPES,
        "[static]thing.merge",
        "(param i32 i32) (result i32)
            (call $make (i32.add (call $rep (local.get 0)) (call $rep (local.get 1))))
            (call $drop (local.get 0)) (call $drop (local.get 1))",
    );
    // A thing of the number 13 does not go quietly.
    export(
        TYPES,
        "[dtor]thing",
        "(param i32)
            (global.set $live (i32.sub (global.get $live) (i32.const 1)))
            (if (i32.eq (local.get 0) (i32.const 13)) (then unreachable))",
    );
    export(TYPES, "live", "(result i32) (global.get $live)");
    export(API, "pass", "(param i32) (result i32) (local.get 0)");
    export(
        API,
        "peek",
        "(param i32) (result i32)
            (i32.store (i32.const 512) (i32.const 0)) (i32.store (i32.const 516) (local.get 0)) (i32.const 512)",
    );
    export(API, "eat", "(param i32) (call $drop (local.get 0))");
    export(API, "mix", "(param i32 i32) (call $drop (local.get 1))");
    export(
        API,
        "many",
        "(param $n i32) (result i32) (local $at i32)
            (local.set $at (i32.const 1024))
            (i32.store (i32.const 512) (local.get $at)) (i32.store (i32.const 516) (local.get $n))
            (block $end (loop $next
                (br_if $end (i32.eqz (local.get $n)))
                (i32.store (local.get $at) (call $make (local.get $n)))
                (local.set $at (i32.add (local.get $at) (i32.const 4)))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br $next)))
            (i32.const 512)",
    );
    export(API, "slow", "(param i32) (result i32) (call $wait) (local.get 0)");
    export(API, "later", "(param i32) (result i32) (call $wait) (call $make (local.get 0))");
    export(API, "fail", "(result i32) unreachable");
    guests::component(STORE, "callee", &(core + ")"))
}

pub fn caller() -> Vec<u8> {
    let one = "(param i32) (result i32)";
    let two = "(param i32 i32) (result i32)";
    let forwarded = [
        ("make", TYPES, "[constructor]thing", one),
        ("id", TYPES, "[method]thing.id", one),
        ("plus", TYPES, "[method]thing.plus", two),
        ("merge", TYPES, "[static]thing.merge", two),
        ("drop", TYPES, "[resource-drop]thing", "(param i32)"),
        ("live", TYPES, "live", "(result i32)"),
        ("pass", API, "pass", one),
        ("eat", API, "eat", "(param i32)"),
        ("mix", API, "mix", "(param i32 i32)"),
        ("slow", API, "slow", one),
        ("later", API, "later", one),
        ("fail", API, "fail", "(result i32)"),
    ];
    let mut core = String::from("(module");
    for (name, interface, import, ty) in forwarded {
        core += &format!("(import \"{interface}\" \"{import}\" (func ${name} {ty}))\n");
    }
    core += &format!("(import \"{API}\" \"peek\" (func $peek (param i32 i32)))\n");
    core += &format!("(import \"{API}\" \"many\" (func $many (param i32 i32)))\n");
    core += guests::MEMORY;
    for (name, ..) in forwarded {
        core += &format!("(export \"{name}\" (func ${name}))\n");
    }
    core +=
        "(func (export \"peek\") (param i32) (result i32) (call $peek (local.get 0) (i32.const 512)) (i32.const 512))
        (func (export \"many\") (param i32) (result i32)
            (call $many (local.get 0) (i32.const 512)) (i32.load (i32.load (i32.const 512)))))";
    guests::component(STORE, "caller", &core)
}

fn boxes(limits: Limits) -> (Node, Guest, Outcome<Ended>, Caller) {
    let mut node = Node::new();
    let b = node.guest("b", &callee(), limits);
    let ended = node.serve(&b, &[]);
    let a = another(&mut node, &b);
    (node, b, ended, a)
}

fn another(node: &mut Node, b: &Guest) -> Caller {
    node.caller("a", &caller(), &[(TYPES, &b.queue), (API, &b.queue)])
}

fn call(node: &mut Node, a: &Caller, function: &str, params: &[u32]) -> u32 {
    let params: Vec<Val> = params.iter().map(|&n| Val::U32(n)).collect();
    match node.call(a, function, &params) {
        Ok(Some(Val::U32(n))) => n,
        Ok(None) => 0,
        other => panic!("{function}: {other:?}"),
    }
}

fn trap(node: &mut Node, a: &Caller, function: &str, params: &[u32]) -> String {
    let params: Vec<Val> = params.iter().map(|&n| Val::U32(n)).collect();
    text(node.call(a, function, &params))
}

#[test]
fn constructors_methods_statics() {
    let (mut node, b, _ended, a) = boxes(Limits::default());
    let one = call(&mut node, &a, "make", &[100]);
    let two = call(&mut node, &a, "make", &[20]);
    assert_eq!(call(&mut node, &a, "id", &[one]), 100);
    assert_eq!(call(&mut node, &a, "plus", &[one, two]), 120);
    assert_eq!((call(&mut node, &a, "live", &[]), a.held(), b.queue.stats().handles), (2, 2, 2));
    let both = call(&mut node, &a, "merge", &[one, two]);
    assert_eq!(call(&mut node, &a, "id", &[both]), 120);
    assert_eq!((call(&mut node, &a, "live", &[]), a.held(), b.queue.stats().handles), (1, 1, 1));
    assert_eq!(
        node.call(&a, "peek", &[Val::U32(both)]),
        Ok(Some(Val::Result(Ok(Some(alloc::boxed::Box::new(Val::U32(120)))))))
    );
}

#[test]
fn what_is_dropped_is_destroyed_in_its_own_store() {
    let (mut node, _b, _ended, a) = boxes(Limits::default());
    let one = call(&mut node, &a, "make", &[1]);
    let two = call(&mut node, &a, "make", &[2]);
    call(&mut node, &a, "drop", &[one]);
    assert_eq!((call(&mut node, &a, "live", &[]), a.held()), (1, 1));
    call(&mut node, &a, "eat", &[two]);
    assert_eq!((call(&mut node, &a, "live", &[]), a.held()), (0, 0));
    for n in 0..100 {
        let thing = call(&mut node, &a, "make", &[n + 100]);
        call(&mut node, &a, "drop", &[thing]);
    }
    assert_eq!((call(&mut node, &a, "live", &[]), a.held()), (0, 0));
}

#[test]
fn a_resource_moves_there_and_back() {
    let (mut node, _b, _ended, a) = boxes(Limits::default());
    let thing = call(&mut node, &a, "make", &[5]);
    let again = call(&mut node, &a, "pass", &[thing]);
    assert_eq!((call(&mut node, &a, "id", &[again]), a.held(), call(&mut node, &a, "live", &[])), (5, 1, 1));
    let list = call(&mut node, &a, "many", &[3]);
    assert_eq!((call(&mut node, &a, "id", &[list]), a.held()), (3, 4));
}

#[test]
fn forged_and_used_twice() {
    let attempts: [(&str, &[u32]); 5] =
        [("id", &[99]), ("drop", &[99]), ("eat", &[1]), ("merge", &[1, 1]), ("mix", &[1, 1])];
    for (function, params) in attempts {
        let (mut node, b, ended, a) = boxes(Limits::default());
        let thing = call(&mut node, &a, "make", &[5]);
        assert_eq!(thing, 1, "the first handle there is");
        if function == "eat" {
            call(&mut node, &a, "drop", &[thing]);
        }
        trap(&mut node, &a, function, params);
        // It is the forger who ends, and who gives back what it held.
        assert!(ended.take().is_none());
        let other = another(&mut node, &b);
        assert_eq!((call(&mut node, &other, "live", &[]), b.queue.stats().handles), (0, 0), "{function}");
    }
}

#[test]
fn handles_die_with_the_instance() {
    let (mut node, b, _ended, a) = boxes(Limits::default());
    let thing = call(&mut node, &a, "make", &[5]);
    let other = call(&mut node, &a, "make", &[6]);
    assert_eq!(node.call(&a, "fail", &[]), Ok(Some(Val::Result(Err(None)))));
    let _next = node.serve(&b, &[]);
    let fresh = call(&mut node, &a, "make", &[7]);
    assert_eq!(call(&mut node, &a, "id", &[fresh]), 7);
    let Ok(Some(Val::Result(Err(Some(message))))) = node.call(&a, "peek", &[Val::U32(thing)]) else { panic!() };
    let gone = "the resource is gone with the instance it was in: wasm trap: wasm `unreachable`";
    assert!(format!("{message:?}").contains(gone), "{message:?}");
    // Dropping it is no fault.
    call(&mut node, &a, "drop", &[thing]);
    assert_eq!((a.held(), call(&mut node, &a, "live", &[])), (2, 1));
    let message = trap(&mut node, &a, "id", &[other]);
    assert!(message.starts_with("acme:store/types@0.1.0#[method]thing.id, called by box a on box b: "), "{message}");
    assert!(message.contains(gone), "{message}");
}

#[test]
fn calls_that_wait_with_a_resource_of_the_dead_fail() {
    let (mut node, b, ended, a) = boxes(Limits::default());
    let thing = call(&mut node, &a, "make", &[5]);
    let other = another(&mut node, &b);
    let slow = node.start(&other, "later", &[Val::U32(6)]);
    let waits = node.start(&a, "id", &[Val::U32(thing)]);
    assert!(waits.take().is_none());
    // the instance is stopped while it works
    node.kill(&ended);
    assert!(slow.take().is_some());
    assert!(text(waits.take().expect("told")).contains("the resource is gone"));
}

#[test]
fn an_instance_whose_place_is_taken_stays_for_its_resources() {
    let (mut node, b, ended, a) = boxes(Limits::default());
    let thing = call(&mut node, &a, "make", &[5]);
    let other = another(&mut node, &b);
    let slow = node.start(&other, "later", &[Val::U32(1)]);
    let waits = node.start(&a, "id", &[Val::U32(thing)]);
    let next = node.serve(&b, &[]);
    assert!(waits.take().is_none(), "it is for the old one, which works");
    let third = another(&mut node, &b);
    let fresh = call(&mut node, &third, "live", &[]);
    assert_eq!(fresh, 0, "the new one takes calls meanwhile, and has no resources");
    node.gate.open(1);
    node.run();
    assert_eq!(waits.take(), Some(Ok(Some(Val::U32(5)))));
    let Some(Ok(Some(Val::U32(late)))) = slow.take() else { panic!("should have finished") };
    assert_eq!(call(&mut node, &other, "id", &[late]), 1, "made by the old one");
    call(&mut node, &a, "drop", &[thing]);
    assert!(ended.take().is_none(), "one resource is left");
    call(&mut node, &other, "drop", &[late]);
    node.run();
    assert!(matches!(ended.take(), Some(Ended::Replaced)));
    assert!(next.take().is_none());
}

#[test]
fn a_caller_that_ends_gives_everything_back() {
    let (mut node, b, _ended, a) = boxes(Limits::default());
    call(&mut node, &a, "many", &[5]);
    let other = another(&mut node, &b);
    let kept = call(&mut node, &other, "make", &[9]);
    assert_eq!(call(&mut node, &other, "live", &[]), 6);
    drop(a);
    node.run();
    assert_eq!((call(&mut node, &other, "live", &[]), b.queue.stats().handles), (1, 1));
    assert_eq!(call(&mut node, &other, "id", &[kept]), 9);
}

#[test]
fn a_caller_that_ends_during_a_call_does_too() {
    for function in ["slow", "later"] {
        let (mut node, b, ended, a) = boxes(Limits::default());
        let thing = call(&mut node, &a, "make", &[5]);
        let running = node.start(&a, function, &[Val::U32(thing)]);
        assert_eq!((node.gate.waiting(), b.queue.stats().running), (1, 1));
        node.kill_last();
        drop(a);
        node.run();
        assert!(running.take().is_none());
        node.gate.open(1);
        node.run();
        let other = another(&mut node, &b);
        assert_eq!((call(&mut node, &other, "live", &[]), b.queue.stats().handles), (0, 0), "{function}");
        assert!(ended.take().is_none());
    }
}

#[test]
fn so_many_and_no_more() {
    let (mut node, b, _ended, _a) = boxes(Limits::default());
    let arrows = [(TYPES, &b.queue), (API, &b.queue)];
    let a = node.caller_with("greedy", &caller(), &arrows, 4).unwrap();
    call(&mut node, &a, "many", &[4]);
    let message = trap(&mut node, &a, "make", &[1]);
    assert!(message.contains("the caller holds 4 resources, and may not hold more"), "{message}");
    let a = node.caller_with("greedy", &caller(), &arrows, 4).unwrap();
    trap(&mut node, &a, "many", &[5]);
    let other = another(&mut node, &b);
    assert_eq!((call(&mut node, &other, "live", &[]), b.queue.stats().handles), (0, 0));
}

#[test]
fn so_many_in_one_call() {
    let (mut node, b, ended, _a) = boxes(Limits::default());
    let a = node.caller_with("greedy", &caller(), &[(TYPES, &b.queue), (API, &b.queue)], 10_000).unwrap();
    call(&mut node, &a, "many", &[4096]);
    assert_eq!(a.held(), 4096);
    let message = trap(&mut node, &a, "many", &[4097]);
    assert!(message.contains("a result of more than 16777216 bytes or 4096 resources"), "{message}");
    node.run();
    assert!(ended.take().is_some(), "the instance that made so many");
    assert_eq!(b.queue.stats().handles, 0);
}

#[test]
fn what_is_given_away_in_vain_is_destroyed() {
    let (mut node, b, _ended, a) = boxes(Limits { queue: 0, ..Limits::default() });
    let thing = call(&mut node, &a, "make", &[5]);
    let other = another(&mut node, &b);
    let running = node.start(&other, "later", &[Val::U32(1)]);
    assert!(trap(&mut node, &a, "eat", &[thing]).contains("its queue is full"));
    node.gate.open(1);
    node.run();
    assert!(matches!(running.take(), Some(Ok(_))));
    assert_eq!(call(&mut node, &other, "live", &[]), 1);
}

#[test]
fn a_destructor_that_traps_ends_the_callee() {
    let (mut node, b, ended, a) = boxes(Limits::default());
    let thing = call(&mut node, &a, "make", &[13]);
    call(&mut node, &a, "drop", &[thing]);
    let ended = ended.take().expect("ended");
    assert!(matches!(&ended, Ended::Failed { during, .. } if &**during == "the destructor of a resource"), "{ended}");
    assert!(!b.queue.is_up());
    let _next = node.serve(&b, &[]);
    assert_eq!(call(&mut node, &a, "live", &[]), 0);
}

#[test]
fn interfaces_that_share_a_resource_need_the_same_box() {
    let mut node = Node::new();
    let b = node.guest("b", &callee(), Limits::default());
    let c = node.guest("c", &callee(), Limits::default());
    let error = node.try_caller("a", &caller(), &[(TYPES, &b.queue), (API, &c.queue)]).err().expect("refused");
    let message = format!("{error:#}");
    assert!(message.contains("resource `thing` of acme:store/types@0.1.0 does not come from there"), "{message}");
    assert!(message.contains("of box a does not fit box c"), "{message}");
}
