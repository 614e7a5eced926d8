//! What may be joined, and what is refused before anything runs.

use super::{Caller, Limits, Node, guests::component};
use alloc::{format, string::String, vec::Vec};
use wasmtime::{Result, component::Val};

/// A core module with functions that are called by nobody: what is tested is whether they link.
fn package(version: &str, interfaces: &str) -> String {
    format!(
        "package acme:thing@{version};\n{interfaces}\nworld imports {{ import api; }}\nworld exports {{ export api; }}"
    )
}

/// Core code for a `number` that adds one, and its caller.
fn callee(version: &str, interfaces: &str, exports: &str) -> Vec<u8> {
    let code = exports.replace("NAME", &format!("acme:thing/api@{version}"));
    component(&package(version, interfaces), "exports", &format!("(module {} {code})", super::guests::MEMORY))
}

fn caller(version: &str, interfaces: &str, imports: &str) -> Vec<u8> {
    let code = imports.replace("NAME", &format!("acme:thing/api@{version}"));
    component(&package(version, interfaces), "imports", &format!("(module {code} {})", super::guests::MEMORY))
}

fn joined(caller: &[u8], callee: &[u8], name: &str, limits: Limits) -> Result<Caller> {
    let mut node = Node::new();
    let b = node.guest("b", callee, limits);
    node.try_caller("a", caller, &[(name, &b.queue)])
}

fn refusal(caller: &[u8], callee: &[u8]) -> String {
    match joined(caller, callee, "acme:thing/api@0.1.0", Limits::default()) {
        Ok(_) => panic!("should have been refused"),
        Err(error) => format!("{error:#}"),
    }
}

const NUMBER: &str = "interface api { number: func(n: u32) -> u32; }";
const NUMBER_CODE: &str = "(func (export \"NAME#number\") (param i32) (result i32) (i32.const 7))";
const NUMBER_CALL: &str = "(import \"NAME\" \"number\" (func (param i32) (result i32)))";

#[test]
fn compatible_versions() {
    let import = caller("0.1.0", NUMBER, NUMBER_CALL);
    let newer = "interface api { number: func(n: u32) -> u32; more: func(); }";
    let code = format!("{NUMBER_CODE} (func (export \"NAME#more\"))");
    let name = "acme:thing/api@0.1.0";
    assert!(joined(&import, &callee("0.1.2", newer, &code), name, Limits::default()).is_ok());
    let message = refusal(&import, &callee("0.2.0", newer, &code));
    assert_eq!(message, "box a imports acme:thing/api@0.1.0 from box b, which exports acme:thing/api@0.2.0");
    let import = caller("0.1.2", newer, "(import \"NAME\" \"more\" (func))");
    let name = "acme:thing/api@0.1.2";
    let error = joined(&import, &callee("0.1.0", NUMBER, NUMBER_CODE), name, Limits::default()).err().unwrap();
    assert_eq!(format!("{error:#}"), "box a imports acme:thing/api@0.1.2#more, which box b does not export");
}

#[test]
fn a_call_across_versions() {
    let wit = "package acme:thing@0.1.0; interface api { number: func(n: u32) -> u32; }
        world calls { import api; export go: func(n: u32) -> u32; }";
    let core = "(module (import \"acme:thing/api@0.1.0\" \"number\" (func $number (param i32) (result i32)))
        (func (export \"go\") (param i32) (result i32) (call $number (local.get 0))))";
    let mut node = Node::new();
    let b = node.guest("b", &callee("0.1.2", NUMBER, NUMBER_CODE), Limits::default());
    let _ended = node.serve(&b, &[]);
    let a = node.caller("a", &component(wit, "calls", core), &[("acme:thing/api@0.1.0", &b.queue)]);
    assert_eq!(node.call(&a, "go", &[Val::U32(1)]), Ok(Some(Val::U32(7))));
}

#[test]
fn types_that_do_not_fit_are_named() {
    let import = caller("0.1.0", NUMBER, NUMBER_CALL);
    let refused = |interface: &str, signature: &str| {
        let wit = format!("interface api {{ {interface} }}");
        refusal(&import, &callee("0.1.0", &wit, &format!("(func (export \"NAME#number\") {signature} unreachable)")))
    };
    let start = "acme:thing/api@0.1.0#number of box a does not fit box b: ";
    let number = |ty: &str| format!("number: func(n: {ty}) -> u32;");
    let one = "(param i32) (result i32)";
    assert_eq!(refused(&number("s32"), one), format!("{start}parameter `n`: u32 against s32"));
    assert_eq!(refused("number: func(m: u32) -> u32;", one), format!("{start}parameter `n` against `m`"));
    assert_eq!(refused("number: func() -> u32;", "(result i32)"), format!("{start}1 parameters against 0"));
    assert_eq!(refused("number: func(n: u32);", "(param i32)"), format!("{start}only one of them has a result"));
    assert_eq!(refused("number: func(n: u32) -> bool;", one), format!("{start}result: u32 against bool"));
}

#[test]
fn differences_within_types_are_named() {
    let wit = |types: &str| format!("interface api {{ {types} number: func(n: t); }}");
    let refused = |ours: &str, theirs: &str| {
        let ours = caller("0.1.0", &wit(ours), "(import \"NAME\" \"number\" (func (param i32)))");
        let theirs = callee("0.1.0", &wit(theirs), "(func (export \"NAME#number\") (param i32))");
        let message = refusal(&ours, &theirs);
        String::from(message.split_once("`n`: ").map_or(&*message, |(_, why)| why))
    };
    assert_eq!(refused("record t { a: u32 }", "record t { b: u32 }"), "field `a` against `b`");
    assert_eq!(refused("record t { a: u32 }", "record t { a: s32 }"), "field `a`: u32 against s32");
    assert_eq!(refused("enum t { a, b }", "enum t { a, b, c }"), "2 cases against 3");
    assert_eq!(refused("enum t { a, b }", "enum t { b, a }"), "case `a` against `b`");
    assert_eq!(refused("flags t { a }", "flags t { b }"), "flag `a` against `b`");
    assert_eq!(refused("enum t { a }", "flags t { a }"), "enum against flags");
    assert_eq!(refused("variant t { a }", "enum t { a }"), "variant against enum");
    assert_eq!(refused("type t = result;", "enum t { a, b }"), "result against enum");
}

#[test]
fn resources_of_others_do_not_pass() {
    // `api` uses a resource of an interface that has an arrow elsewhere, or is the host's.
    let wit = "interface files { resource file; }
        interface api { use files.{file}; read: func(f: borrow<file>) -> u32; }";
    let import = caller("0.1.0", wit, "(import \"NAME\" \"read\" (func (param i32) (result i32)))");
    let export = callee("0.1.0", wit, "(func (export \"NAME#read\") (param i32) (result i32) unreachable)");
    let message = refusal(&import, &export);
    let start = "acme:thing/api@0.1.0#read of box a does not fit box b: parameter `f`: ";
    assert_eq!(
        message,
        format!(
            "{start}resource `file` of acme:thing/files@0.1.0 does not come from there, and only resources that the \
             callee made pass"
        )
    );
}

#[test]
fn what_does_not_pass_yet() {
    let wit = "interface api { number: func(n: stream<u8>); }";
    let import = caller("0.1.0", wit, "(import \"NAME\" \"number\" (func (param i32)))");
    let export = callee("0.1.0", wit, "(func (export \"NAME#number\") (param i32))");
    let mut node = Node::new();
    if wasmtime::component::Component::new(&node.engine, &import).is_err() {
        // The lean engine does not know the type at all.
        return;
    }
    let b = node.guest("b", &export, Limits::default());
    let error = node.try_caller("a", &import, &[("acme:thing/api@0.1.0", &b.queue)]).err().expect("refused");
    assert!(format!("{error:#}").contains("a stream does not pass between boxes"));
}

#[test]
fn an_arrow_for_what_is_not_imported() {
    let import = caller("0.1.0", NUMBER, NUMBER_CALL);
    let export = callee("0.1.0", NUMBER, NUMBER_CODE);
    let error = joined(&import, &export, "acme:thing/other@0.1.0", Limits::default()).err().expect("refused");
    assert_eq!(format!("{error:#}"), "box a: does not import acme:thing/other@0.1.0");
}
