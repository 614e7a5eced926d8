use super::*;
use std::borrow::Cow;
use wasmtime::component::{Component, Instance, Linker, TypedFunc, WasmList};
use wasmtime::{Engine, Store};

/// What a handler of ours gives: the count, the memory's pages, and what was at address 1000.
type Handle = TypedFunc<(u32, u32), (u64,)>;

/// A handler that adds its first parameter to a count, has its memory grow by as many pages as the second says, and keeps the
/// count in memory. With `more` in its module, and `beside` it.
fn component(more: &str, beside: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $code
                (memory (export "memory") 1 8)
                (data (i32.const 16) "data of its own")
                (table 2 funcref)
                (global $count (mut i32) (i32.const 5))
                (global $same i32 (i32.const 7))
                (global $wide (mut i64) (i64.const -1))
                {more}
                (func (export "wasi:http/incoming-handler@0.2.12#handle") (param i32 i32) (result i64)
                    (local $before i64)
                    (local.set $before (i64.load (i32.const 1000)))
                    (global.set $count (i32.add (global.get $count) (local.get 0)))
                    (global.set $wide (i64.extend_i32_u (global.get $count)))
                    (drop (memory.grow (local.get 1)))
                    (i64.store (i32.const 1000) (global.get $wide))
                    (i64.or (i64.or (global.get $wide) (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
                        (i64.shl (local.get $before) (i64.const 32)))))
            (core instance $code (instantiate $code))
            {beside}
            (func $handle (param "a" u32) (param "b" u32) (result u64)
                (canon lift (core func $code "wasi:http/incoming-handler@0.2.12#handle")))
            (export "handle" (func $handle)))"#
    );
    wat::parse_str(text).unwrap()
}

fn instance(component: &[u8]) -> (Store<()>, Instance) {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let component = Component::new(&engine, component).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// G10
#[test]
fn each_call_begins_anew_when_that_was_asked_for() {
    let prepared = prepare(&component("", "")).unwrap().into_owned();
    let (mut store, instance) = instance(&prepared);
    let handle: Handle = instance.get_typed_func(&mut store, "handle").unwrap();
    let fresh = instance.get_typed_func::<(), (WasmList<u8>,)>(&mut store, FRESH).unwrap();
    let said = |result: u64| (result & 0xffff, result >> 16 & 0xffff, result >> 32);
    let call = |store: &mut Store<()>, a, b| said(handle.call(store, (a, b)).unwrap().0);
    // not asked for: as without us
    assert_eq!(call(&mut store, 1, 0), (6, 1, 0));
    assert_eq!(call(&mut store, 2, 1), (8, 2, 6));

    let (memory,) = fresh.call(&mut store, ()).unwrap();
    let bytes = memory.as_le_slice(&store);
    assert_eq!((bytes.len(), &bytes[16..31]), (2 << 16, &b"data of its own"[..]), "all of it, and as it was");
    // the globals and the size begin anew; the memory is for whoever asked
    assert_eq!(call(&mut store, 1, 0), (6, 1, 8));
    assert_eq!(call(&mut store, 2, 2), (7, 3, 6));
    assert_eq!(call(&mut store, 2, 0), (7, 1, 7));
    // no more than it may have, now or ever
    assert_eq!(call(&mut store, 0, 8), (5, 1, 7));
    assert_eq!(call(&mut store, 0, u32::MAX), (5, 1, 5));
    assert_eq!(call(&mut store, 0, 7), (5, 8, 5));
    assert_eq!(fresh.call(&mut store, ()).unwrap().0.as_le_slice(&store).len(), 8 << 16);
}

/// G10
#[test]
fn components_with_another_state_stay_as_they_are() {
    let beside = |module: &str| format!("(core module $other {module}) (core instance (instantiate $other))");
    for (more, beside) in [
        ("(func $start) (start $start)", String::new()),
        ("(func (table.set (i32.const 0) (ref.null func)))", String::new()),
        ("(func (drop (table.grow (ref.null func) (i32.const 1))))", String::new()),
        ("(data $passive \"x\") (func (data.drop $passive))", String::new()),
        ("(global (mut funcref) (ref.null func))", String::new()),
        ("", beside("(memory 1)")),
        ("", beside("(global (mut i32) (i32.const 0))")),
        ("", beside("(func $start) (start $start)")),
        ("", "(type $resource (resource (rep i32)))".into()),
        ("", "(core instance (instantiate $code))".into()),
    ] {
        let component = component(more, &beside);
        assert!(matches!(prepare(&component).unwrap(), Cow::Borrowed(_)), "{more} {beside}");
    }
    let component = component("", &beside("(table 1 funcref) (func)"));
    assert!(matches!(prepare(&component).unwrap(), Cow::Owned(_)), "that has none");
}

#[test]
fn what_is_no_component_is_refused() {
    assert!(prepare(b"\0asm\x0d\0\x01\0 wasi:http/incoming-handler@0.2.0#handle").is_err());
    assert!(matches!(prepare(b"no handler").unwrap(), Cow::Borrowed(_)), "for the compiler to refuse");
}
