//! Every kind of value, there and back.

use super::{Caller, Limits, Node, guests};
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::slice::from_ref;
use wasmtime::component::Val;
use wit_component::StringEncoding;

fn pair() -> (Node, Caller) {
    boxes(&guests::api_caller(), &guests::api_callee())
}

fn boxes(caller: &[u8], callee: &[u8]) -> (Node, Caller) {
    let mut node = Node::new();
    let b = node.guest("b", callee, Limits::default());
    node.serve(&b, &[]);
    let a = node.caller("a", caller, &[(guests::NAME, &b.queue)]);
    (node, a)
}

fn record(fields: &[(&str, Val)]) -> Val {
    Val::Record(fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect())
}

fn variant(case: &str, payload: Option<Val>) -> Val {
    Val::Variant(case.into(), payload.map(Box::new))
}

fn option(value: Option<Val>) -> Val {
    Val::Option(value.map(Box::new))
}

fn some(value: Val) -> Val {
    option(Some(value))
}

fn string(text: &str) -> Val {
    Val::String(text.into())
}

fn flags(names: &[&str]) -> Val {
    Val::Flags(names.iter().map(|name| name.to_string()).collect())
}

fn rect() -> Val {
    variant("rect", Some(Val::Tuple(vec![Val::U16(65535), Val::U64(u64::MAX)])))
}

/// One value of every kind, for the empty and the full.
fn all(full: bool) -> Val {
    let list = |values: Vec<Val>| Val::List(if full { values } else { Vec::new() });
    let texts = ["", "a", "häuser", "木の箱 🧳"].map(string);
    let shapes = [variant("point", None), variant("circle", Some(Val::Float32(-0.5))), rect()];
    let named = variant("name", Some(string("pear")));
    record(&[
        ("bool", Val::Bool(full)),
        ("u8", Val::U8(if full { 255 } else { 0 })),
        ("s8", Val::S8(-128)),
        ("u16", Val::U16(65535)),
        ("s16", Val::S16(-32768)),
        ("u32", Val::U32(u32::MAX)),
        ("s32", Val::S32(i32::MIN)),
        ("u64", Val::U64(u64::MAX)),
        ("s64", Val::S64(i64::MIN)),
        ("f32", Val::Float32(f32::MIN_POSITIVE)),
        ("f64", Val::Float64(f64::NEG_INFINITY)),
        ("char", Val::Char('🧳')),
        ("text", string(if full { "Twoflower's Luggage 🧳" } else { "" })),
        ("bytes", list((0..=255).map(Val::U8).collect())),
        ("words", list(vec![Val::U32(0x0102_0304), Val::U32(u32::MAX)])),
        ("floats", list(vec![Val::Float64(1.5), Val::Float64(-0.0)])),
        ("chars", list(vec![Val::Char('a'), Val::Char('\u{10ffff}')])),
        ("bools", list(vec![Val::Bool(true), Val::Bool(false), Val::Bool(true)])),
        (
            "pairs",
            list(vec![
                record(&[("a", Val::U8(1)), ("b", option(None))]),
                record(&[("a", Val::U8(2)), ("b", some(string("two")))]),
            ]),
        ),
        ("lists", list(vec![Val::List(texts.to_vec()), Val::List(Vec::new()), Val::List(texts[2..].to_vec())])),
        ("color", Val::Enum(if full { "blue" } else { "red" }.into())),
        ("perms", flags(if full { &["read", "exec"] } else { &[] })),
        ("many", flags(if full { &["a0", "a9", "b6", "c2"] } else { &[] })),
        ("shape", if full { named.clone() } else { variant("point", None) }),
        ("shapes", list(shapes.into_iter().chain([named]).collect())),
        ("option", if full { some(some(Val::U8(9))) } else { some(option(None)) }),
        ("result", Val::Result(if full { Err(Some(Box::new(string("no")))) } else { Ok(Some(Box::new(Val::U32(3)))) })),
        ("bare", Val::Result(if full { Err(None) } else { Ok(None) })),
        ("half", Val::Result(if full { Err(Some(Box::new(Val::U64(u64::MAX)))) } else { Ok(None) })),
        ("tuple", Val::Tuple(vec![Val::S64(-1), Val::Bool(true)])),
    ])
}

#[test]
fn every_kind_in_memory() {
    let (mut node, a) = pair();
    for value in [all(true), all(false), all(true)] {
        assert_eq!(node.call(&a, "echo", from_ref(&value)), Ok(Some(value)));
    }
}

#[test]
fn core_values_and_joined_cases() {
    let (mut node, a) = pair();
    let shapes = [
        variant("point", None),
        variant("circle", Some(Val::Float32(1.25))),
        rect(),
        variant("name", Some(string("a name"))),
    ];
    for (shape, last) in
        shapes.into_iter().zip([option(None), some(Val::S16(-2)), some(Val::S16(i16::MAX)), option(None)])
    {
        let fields = [
            ("a", Val::Bool(true)),
            ("b", Val::S8(-3)),
            ("c", Val::U16(40_000)),
            ("d", Val::S64(i64::MIN + 1)),
            ("e", Val::Float32(2.5)),
            ("f", Val::Float64(-1e300)),
            ("g", Val::Char('ß')),
            ("h", flags(&["write"])),
            ("i", shape),
            ("j", last),
        ];
        let params: Vec<Val> = fields.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(node.call(&a, "flat", &params), Ok(Some(record(&fields))));
    }
}

#[test]
fn single_results_and_none() {
    let (mut node, a) = pair();
    assert_eq!(node.call(&a, "nothing", &[]), Ok(None));
    assert_eq!(node.call(&a, "number", &[Val::U32(41)]), Ok(Some(Val::U32(42))));
    let ok = |value: Option<Val>| Ok(Some(Val::Result(Ok(value.map(Box::new)))));
    assert_eq!(node.call(&a, "coded", &[Val::U32(1)]), ok(Some(Val::U32(2))));
    assert_eq!(node.call(&a, "texted", &[Val::U32(1)]), ok(Some(Val::U32(2))));
    assert_eq!(node.call(&a, "only-bare", &[Val::U32(1)]), ok(None));
}

#[test]
fn bulk() {
    let (mut node, a) = pair();
    let bytes = Val::List((0..100_000u32).map(|n| Val::U8((n * 7) as u8)).collect());
    assert_eq!(node.call(&a, "blob", from_ref(&bytes)), Ok(Some(bytes)));
    let text: String = "Mit Füßen, Luggage 🧳. ".repeat(5_000);
    assert_eq!(node.call(&a, "text", &[string(&text)]), Ok(Some(string(&text))));
}

#[test]
fn every_pair_of_string_encodings() {
    const ENCODINGS: [StringEncoding; 3] = [StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16];
    for (from, to) in ENCODINGS.into_iter().flat_map(|from| ENCODINGS.map(|to| (from, to))) {
        let caller = guests::encoded(guests::API, "caller", &guests::api_caller_core(), from);
        let callee = guests::encoded(guests::API, "callee", &guests::api_callee_core(), to);
        let (mut node, a) = boxes(&caller, &callee);
        for text in ["", "plain", "Füße", "木の箱 🧳"] {
            let label = format!("{text} from {from:?} to {to:?}");
            assert_eq!(node.call(&a, "text", &[string(text)]), Ok(Some(string(text))), "{label}");
        }
    }
}

#[test]
fn on_an_engine_with_concurrency_too() {
    let mut node = Node::concurrent();
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let _ended = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    assert_eq!(node.call(&a, "echo", &[all(true)]), Ok(Some(all(true))));
    assert_eq!(node.call(&a, "number", &[Val::U32(41)]), Ok(Some(Val::U32(42))));
    let waits = node.start(&a, "number", &[Val::U32(7)]);
    assert!(waits.take().is_none());
    node.gate.open(1);
    node.run();
    assert_eq!(waits.take(), Some(Ok(Some(Val::U32(8)))));
}

/// Guest code that passes what no type allows.
fn forger(code: &str) -> (Node, Caller) {
    let core = guests::api_caller_core().replace("(func (export \"nothing\") (call $nothing))", code);
    boxes(&guests::component(guests::API, "caller", &core), &guests::api_callee())
}

fn refused(code: &str) -> String {
    let (mut node, a) = forger(&format!("(func (export \"nothing\") {code})"));
    super::text(node.call(&a, "nothing", &[]))
}

#[test]
fn what_breaks_the_canonical_abi_traps_in_the_caller() {
    let call = |name: &str, pointer: i64, len: i64| {
        refused(&format!("(call ${name} (i32.const {pointer}) (i32.const {len}) (i32.const 512))"))
    };
    assert!(call("blob", 0, 0x7fff_ffff).contains("out of bounds"));
    assert!(call("blob", 0xffff_fff0, 0x20).contains("out of bounds"));
    assert!(call("blob", 0xffff_ffff, 0xffff_ffff).contains("out of bounds"));
    assert!(call("text", 131_071, 2).contains("out of bounds"));
    assert!(
        refused("(i32.store8 (i32.const 9) (i32.const 255)) (call $text (i32.const 9) (i32.const 1) (i32.const 512))")
            .contains("not UTF-8")
    );
    assert!(refused("(call $echo (i32.const 1025) (i32.const 512))").contains("aligned"));
    assert!(refused("(call $echo (i32.const 131064) (i32.const 512))").contains("out of bounds"));
    let flat = |case: u32, char: u32| {
        format!(
            "(call $flat (i32.const 1) (i32.const 1) (i32.const 1) (i64.const 1) (f32.const 1) (f64.const 1)
             (i32.const {char}) (i32.const 255) (i32.const {case}) (i32.const 1) (i64.const 1) (i32.const 1)
             (i32.const 1) (i32.const 1024))"
        )
    };
    assert!(refused(&flat(4, 65)).contains("discriminant"));
    assert!(refused(&flat(0, 0xd800)).contains("char"));
}

#[test]
fn bits_of_no_flag_and_of_no_bool_do_not_pass() {
    let code = "(func (export \"nothing\")
        (call $flat (i32.const 77) (i32.const 1) (i32.const 1) (i64.const 1) (f32.const 1) (f64.const 1)
            (i32.const 65) (i32.const 255) (i32.const 0) (i32.const 1) (i64.const 1) (i32.const 0) (i32.const 1)
            (i32.const 1024))
        (if (i32.ne (i32.load8_u offset=0 (i32.const 1024)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u offset=36 (i32.const 1024)) (i32.const 7)) (then unreachable)))";
    let (mut node, a) = forger(code);
    assert_eq!(node.call(&a, "nothing", &[]), Ok(None));
}
