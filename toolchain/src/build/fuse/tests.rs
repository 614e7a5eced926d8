use super::*;
use crate::build;
use std::fs;
use wasmtime::component::{Component, Linker, Resource, ResourceType};
use wasmtime::{Engine, Store};

/// A component that exports an interface with `get: func() -> u32`: a number, or one more than what `import` says.
fn component(import: Option<&str>, export: &str, number: u32) -> Vec<u8> {
    let (outer, lowered, module, with) = match import {
        None => (String::new(), "", String::new(), ""),
        Some(import) => (
            format!("(import \"{import}\" (instance $in (export \"get\" (func (result u32)))))"),
            "(core func $in (canon lower (func $in \"get\")))",
            "(import \"\" \"get\" (func $in (result i32)))".into(),
            "(with \"\" (instance (export \"get\" (func $in))))",
        ),
    };
    let body =
        if import.is_some() { "(i32.add (call $in) (i32.const 1))".into() } else { format!("(i32.const {number})") };
    parse(&format!(
        "(component {outer} {lowered}
            (core module $m {module} (func (export \"get\") (result i32) {body}))
            (core instance $i (instantiate $m {with}))
            (func $get (result u32) (canon lift (core func $i \"get\")))
            (instance $out (export \"get\" (func $get)))
            (export \"{export}\" (instance $out)))"
    ))
}

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn names(interfaces: &[Interface]) -> Vec<&str> {
    interfaces.iter().map(|interface| interface.name.as_str()).collect()
}

/// What a function of an interface returns.
fn run(component: &[u8], interface: &str, function: &str) -> u32 {
    let engine = Engine::default();
    let mut linker = Linker::<()>::new(&engine);
    let mut things = linker.instance("test:host/things@0.2.12").unwrap();
    things.resource("thing", ResourceType::host::<u32>(), |_, _| Ok(())).unwrap();
    things.func_wrap("make", |_, ()| Ok((Resource::<u32>::new_own(7),))).unwrap();
    things.func_wrap("value", |_, (thing,): (Resource<u32>,)| Ok((thing.rep() * 6,))).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &Component::new(&engine, component).unwrap()).unwrap();
    let index = instance.get_export_index(&mut store, None, interface).unwrap();
    let index = instance.get_export_index(&mut store, Some(&index), function).unwrap();
    let function = instance.get_typed_func::<(), (u32,)>(&mut store, index).unwrap();
    function.call(&mut store, ()).unwrap().0
}

/// G9: each component in front of the next, of an older version than the last.
#[test]
fn an_import_is_met_by_the_next_that_exports_it() {
    let front = component(Some("test:api/api@0.2.6"), "test:api/api@0.2.6", 0);
    let last = component(None, "test:api/api@0.2.12", 40);
    let whole = fuse(&[("a", &front), ("a", &front), ("c", &last)]).unwrap();
    let description = system::describe(&whole).unwrap();
    assert!(description.imports.is_empty(), "{:?}", description.imports);
    assert_eq!(names(&description.exports), ["test:api/api@0.2.6"]);
    assert_eq!(run(&whole, "test:api/api@0.2.6", "get"), 42);
}

/// G9: what no component exports stays an import, of the first and of the others.
#[test]
fn what_is_not_met_stays_an_import() {
    let front = component(Some("test:api/api@0.2.0"), "test:face/face", 0);
    let last = component(Some("test:more/more@1.2.0"), "test:api/api@0.2.0", 0);
    let whole = fuse(&[("a", &front), ("b", &last)]).unwrap();
    let description = system::describe(&whole).unwrap();
    assert_eq!(names(&description.imports), ["test:more/more@1.2.0"]);
    assert_eq!(names(&description.exports), ["test:face/face"]);
}

/// The resources of the host, and another interface that uses them, in two versions of both.
const ASKS: &str = r#"(component $a
    (import "test:host/things@0.2.6" (instance $things
        (export "thing" (type $thing (sub resource)))
        (export "make" (func (result (own $thing))))))
    (alias export $things "thing" (type $thing))
    (import "test:api/api@0.2.6" (instance $api
        (alias outer $a $thing (type $outer))
        (export "thing" (type $thing (eq $outer)))
        (export "take" (func (param "it" (own $thing)) (result u32)))))
    (core func $make (canon lower (func $things "make")))
    (core func $take (canon lower (func $api "take")))
    (core module $m
        (import "" "make" (func $make (result i32)))
        (import "" "take" (func $take (param i32) (result i32)))
        (func (export "ask") (result i32) (call $take (call $make))))
    (core instance $i (instantiate $m
        (with "" (instance (export "make" (func $make)) (export "take" (func $take))))))
    (func $ask (result u32) (canon lift (core func $i "ask")))
    (instance $face (export "ask" (func $ask)))
    (export "test:face/face@1.0.0" (instance $face)))"#;
const ANSWERS: &str = r#"(component $b
    (import "test:host/things@0.2.12" (instance $things
        (export "thing" (type $thing (sub resource)))
        (export "value" (func (param "it" (borrow $thing)) (result u32)))))
    (alias export $things "thing" (type $thing))
    (core func $value (canon lower (func $things "value")))
    (core module $m
        (import "" "value" (func $value (param i32) (result i32)))
        (func (export "take") (param i32) (result i32) (call $value (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance (export "value" (func $value))))))
    (func $take (param "it" (own $thing)) (result u32) (canon lift (core func $i "take")))
    (component $shim
        (import "thing" (type $in (sub resource)))
        (import "take" (func $take (param "it" (own $in)) (result u32)))
        (export $thing "thing" (type $in))
        (export "take" (func $take) (func (param "it" (own $thing)) (result u32))))
    (instance $api (instantiate $shim (with "thing" (type $thing)) (with "take" (func $take))))
    (export "test:api/api@0.2.12" (instance $api)))"#;

/// G9: as two components of WASI hand requests to each other: each knows only a part of the host's interface, in its version.
#[test]
fn resources_of_the_host_pass_between_components_of_two_versions() {
    let whole = fuse(&[("a", &parse(ASKS)), ("b", &parse(ANSWERS))]).unwrap();
    let description = system::describe(&whole).unwrap();
    assert_eq!(names(&description.imports), ["test:host/things@0.2.12"]);
    let functions = description.imports[0].functions.iter();
    assert_eq!(functions.map(|f| f.name.as_str()).collect::<Vec<_>>(), ["make", "value"]);
    assert_eq!(run(&whole, "test:face/face@1.0.0", "ask"), 42);
}

/// G9: what is wrong with components that do not go together.
#[test]
fn what_does_not_fit_is_named() {
    let front = component(Some("test:api/api@0.2.0"), "test:face/face", 0);
    let api = component(None, "test:api/api@0.2.0", 1);
    let errors = |second: &[u8]| format!("{:#}", fuse(&[("a", &front), ("b", second)]).unwrap_err());
    let other = errors(&component(None, "test:api/other@0.2.0", 1));
    assert!(other.contains("nothing before `b` imports what it exports: `test:api/other@0.2.0`"), "{other}");
    let incompatible = errors(&component(None, "test:api/api@0.3.0", 1));
    assert!(incompatible.contains("nothing before `b`"), "{incompatible}");
    let misfit = errors(&parse(&String::from(ANSWERS).replace("test:api/api@0.2.12", "test:api/api@0.2.0")));
    assert!(
        misfit.contains("`a` imports `test:api/api@0.2.0`, which `test:api/api@0.2.0` of `b` does not fit"),
        "{misfit}"
    );
    assert!(misfit.contains("`get` is imported as `func() -> u32` and not exported"), "{misfit}");
    let empty = errors(&parse("(component)"));
    assert!(empty.contains("nothing before `b` imports what it exports: nothing."), "{empty}");
    let backwards = format!("{:#}", fuse(&[("b", &api), ("a", &front)]).unwrap_err());
    assert!(backwards.contains("nothing before `a` imports what it exports: `test:face/face`"), "{backwards}");
    let none = errors(b"\0asm\x01\0\0\0");
    assert!(none.contains("component `b`: a core module"), "{none}");
    let hook = "(core module $m (func (export \"check\") (result i32) i32.const 0)) (core instance $h (instantiate $m))
        (func $check (result u32) (canon lift (core func $h \"check\")))
        (instance $health (export \"check\" (func $check))) (export \"pearwood:box/health@0.2.0\" (instance $health))";
    let hidden = format!(
        "(component {hook} (func $get (result u32) (canon lift (core func $h \"check\")))
            (instance $out (export \"get\" (func $get))) (export \"test:api/api@0.2.0\" (instance $out)))"
    );
    let hidden = errors(&parse(&hidden));
    assert!(hidden.contains("`b` exports `pearwood:box/health@0.2.0`, which the node calls on the first"), "{hidden}");
}

/// G9: a box of several components is built, and another component takes the place of the whole.
#[test]
fn a_box_has_several_components() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let declared = "[system]\nname = \"s\"\n[box.whole]\ncomponent = [\"./a.wasm\", \"./b.wasm\"]\n\
        [box.part]\ncomponent = \"./b.wasm\"\n";
    fs::write(at("system.toml"), declared).unwrap();
    fs::write(at("a.wasm"), component(Some("test:api/api@0.2.6"), "test:face/face", 0)).unwrap();
    fs::write(at("b.wasm"), component(None, "test:api/api@0.2.6", 41)).unwrap();
    let built = build::components(folder.path()).unwrap();
    assert_eq!(built.components.keys().collect::<Vec<_>>(), ["./a.wasm + ./b.wasm", "./b.wasm"]);
    let whole = &built.components["./a.wasm + ./b.wasm"];
    assert_eq!(names(&whole.description.exports), ["test:face/face"]);
    assert_eq!(run(&whole.binary, "test:face/face", "get"), 42);

    let other = component(None, "test:face/face", 7);
    fs::write(at("other.wasm"), &other).unwrap();
    let swapped = build::components_with(folder.path(), Some(("whole", &at("other.wasm")))).unwrap();
    assert_eq!(swapped.components["./a.wasm + ./b.wasm"].binary, other);
    assert_ne!(swapped.components["./b.wasm"].binary, other);
    // a part of another box stays what it is there
    let api = component(None, "test:api/api@0.2.6", 9);
    fs::write(at("api.wasm"), &api).unwrap();
    let swapped = build::components_with(folder.path(), Some(("part", &at("api.wasm")))).unwrap();
    assert_eq!(swapped.components["./b.wasm"].binary, api);
    assert_eq!(run(&swapped.components["./a.wasm + ./b.wasm"].binary, "test:face/face", "get"), 42);

    fs::write(at("b.wasm"), component(None, "test:api/other", 0)).unwrap();
    let error = format!("{:#}", build::components(folder.path()).err().unwrap());
    let place = format!("{}:4: box `whole`: nothing before `./b.wasm`", at("system.toml").display());
    assert!(error.contains(&place), "{error}");
}
