//! One instance, or one version, takes the place of another.

use super::{Limits, Node, guests};
use crate::arrows::call::Ended;
use alloc::format;
use wasmtime::component::{Component, Val};

#[test]
fn the_old_instance_finishes_its_call() {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let old = node.serve(&b, &[]);
    let caller = guests::api_caller();
    let [first, second] = ["a1", "a2"].map(|name| node.caller(name, &caller, &[(guests::NAME, &b.queue)]));
    let running = node.start(&first, "number", &[Val::U32(7)]);
    let waiting = node.start(&second, "number", &[Val::U32(1)]);
    assert!(waiting.take().is_none());
    let new = node.serve(&b, &[]);
    assert_eq!(waiting.take(), Some(Ok(Some(Val::U32(2)))));
    assert!(old.take().is_none() && running.take().is_none());
    node.gate.open(1);
    node.run();
    assert_eq!(running.take(), Some(Ok(Some(Val::U32(8)))));
    assert!(matches!(old.take(), Some(Ended::Replaced)));
    assert!(new.take().is_none() && b.queue.is_up());
}

#[test]
fn an_idle_instance_goes_at_once() {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let [one, two] = [(); 2].map(|()| node.serve(&b, &[]));
    assert!(matches!(one.take(), Some(Ended::Replaced)));
    assert!(two.take().is_none());
}

#[test]
fn another_version_of_the_component() {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let _old = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    assert_eq!(node.call(&a, "number", &[Val::U32(1)]), Ok(Some(Val::U32(2))));
    let version = |wit: &str, core: &str| Component::new(&node.engine, guests::component(wit, "callee", core)).unwrap();
    let core = guests::api_callee_core();
    let newer = version(
        &guests::API.replace("acme:thing@0.1.0", "acme:thing@0.1.7"),
        &core.replace("thing/api@0.1.0", "thing/api@0.1.7").replace("(i32.const 1))", "(i32.const 10))"),
    );
    let other = version(&guests::API.replace("a: u8, b: option<string>", "a: s8, b: option<string>"), &core);
    assert!(b.queue.check(&newer.component_type()).is_ok());
    let why = format!("{:#}", b.queue.check(&other.component_type()).unwrap_err());
    assert!(why.ends_with("parameter `value`: field `pairs`: list of field `a`: u8 against s8"), "{why}");
    let unfit = node.serve_component(&other, &b, &[]);
    assert!(matches!(unfit.take(), Some(Ended::Unfit(_))));
    assert_eq!(node.call(&a, "number", &[Val::U32(1)]), Ok(Some(Val::U32(2))), "the old one goes on");
    let _new = node.serve_component(&newer, &b, &[]);
    assert_eq!(node.call(&a, "number", &[Val::U32(1)]), Ok(Some(Val::U32(11))));
}
