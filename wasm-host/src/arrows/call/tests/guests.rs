//! Guests, in WIT and core wasm.

use alloc::{format, string::String, vec::Vec};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// `world` of the package in `wit`, with the code of `core`.
pub fn component(wit: &str, world: &str, core: &str) -> Vec<u8> {
    encoded(wit, world, core, StringEncoding::UTF8)
}

/// The same, with strings in another encoding.
pub fn encoded(wit: &str, world: &str, core: &str, encoding: StringEncoding) -> Vec<u8> {
    let mut resolve = Resolve::new();
    let package = resolve.push_str("test.wit", wit).unwrap_or_else(|error| panic!("{error:?}"));
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(core).unwrap_or_else(|error| panic!("{error}"));
    embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).unwrap_or_else(|e| panic!("{e:?}"));
    encoder.encode().unwrap_or_else(|error| panic!("{error:?}"))
}

/// What every core module here has: memory and a `realloc` that only ever takes more.
pub const MEMORY: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func $realloc (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
        (result i32)
        (local $at i32)
        (if (i32.and (i32.ne (local.get $old) (i32.const 0)) (i32.le_u (local.get $size) (local.get $old-size)))
            (then (return (local.get $old))))
        (local.set $at
            (i32.and
                (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                (i32.xor (i32.sub (local.get $align) (i32.const 1)) (i32.const -1))))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (block $fits
            (loop $grow
                (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
                (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
                (br $grow)))
        (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
        (local.get $at))
    ;; everything allocated is free again
    (func $reset (global.set $next (i32.const 65536)))
"#;

/// The package that most tests use: values of every kind, and functions that fail in every way.
pub const API: &str = r#"
    package acme:thing@0.1.0;
    interface api {
        enum color { red, green, blue }
        flags perms { read, write, exec }
        flags many {
            a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2,
        }
        variant shape { point, circle(f32), rect(tuple<u16, u64>), name(string) }
        record pair { a: u8, b: option<string> }
        record all {
            %bool: bool, %u8: u8, %s8: s8, %u16: u16, %s16: s16, %u32: u32, %s32: s32, %u64: u64, %s64: s64,
            %f32: f32, %f64: f64, %char: char, text: string, bytes: list<u8>, words: list<u32>, floats: list<f64>,
            chars: list<char>, bools: list<bool>, pairs: list<pair>, lists: list<list<string>>,
            color: color, perms: perms, many: many, shape: shape, shapes: list<shape>,
            %option: option<option<u8>>, %result: result<u32, string>, bare: result, half: result<_, u64>,
            %tuple: tuple<s64, bool>,
        }
        record mixed {
            a: bool, b: s8, c: u16, d: s64, e: f32, f: f64, g: char, h: perms, i: shape, j: option<s16>,
        }
        echo: func(value: all) -> all;
        flat: func(
            a: bool, b: s8, c: u16, d: s64, e: f32, f: f64, g: char, h: perms, i: shape, j: option<s16>,
        ) -> mixed;
        blob: func(bytes: list<u8>) -> list<u8>;
        text: func(text: string) -> string;
        nothing: func();
        // 6 traps; 7 waits at the gate, 8 too, and traps then
        number: func(n: u32) -> u32;
        coded: func(n: u32) -> result<u32, u32>;
        texted: func(n: u32) -> result<u32, string>;
        bare: func(n: u32) -> result<u32>;
        only-bare: func(n: u32) -> result;
        // a list of that many bytes
        zeros: func(n: u32) -> list<u8>;
    }
    world callee {
        import test:host/gate;
        export api;
    }
    world caller {
        use api.{all, mixed, perms, shape};
        import api;
        export echo: func(value: all) -> all;
        export flat: func(
            a: bool, b: s8, c: u16, d: s64, e: f32, f: f64, g: char, h: perms, i: shape, j: option<s16>,
        ) -> mixed;
        export blob: func(bytes: list<u8>) -> list<u8>;
        export text: func(text: string) -> string;
        export nothing: func();
        export number: func(n: u32) -> u32;
        export coded: func(n: u32) -> result<u32, u32>;
        export texted: func(n: u32) -> result<u32, string>;
        export bare: func(n: u32) -> result<u32>;
        export only-bare: func(n: u32) -> result;
        export zeros: func(n: u32) -> list<u8>;
        export count-zeros: func(n: u32) -> u32;
    }
    package test:host {
        interface gate { wait: func(); }
    }
"#;

pub const NAME: &str = "acme:thing/api@0.1.0";

pub fn api_callee() -> Vec<u8> {
    component(API, "callee", &api_callee_core())
}

pub fn api_callee_core() -> String {
    let part = |rest: &str| format!("acme:thing/api@0.1.0#{rest}");
    let export = |name: &str, code: &str| format!("(func (export \"{}\") {code})\n", part(name));
    let fails = "(call $act (local.get 0))";
    let mut core = String::from("(module (import \"test:host/gate\" \"wait\" (func $wait))");
    core += MEMORY;
    core += r#"
        (func $act (param $n i32)
            (if (i32.eq (local.get $n) (i32.const 6)) (then (unreachable)))
            (if (i32.eq (local.get $n) (i32.const 7)) (then (call $wait)))
            (if (i32.eq (local.get $n) (i32.const 8)) (then (call $wait) (unreachable))))
    "#;
    core += &export("echo", "(param i32) (result i32) (local.get 0)");
    for name in ["echo", "blob", "text", "zeros"] {
        core += &format!("(func (export \"cabi_post_{}\") (param i32) (call $reset))", part(name));
    }
    core += &export(
        "flat",
        r#"(param $a i32) (param $b i32) (param $c i32) (param $d i64) (param $e f32) (param $f f64) (param $g i32)
           (param $h i32) (param $case i32) (param $one i32) (param $two i64) (param $some i32) (param $j i32)
           (result i32)
           (i32.store8 offset=0 (i32.const 1024) (local.get $a))
           (i32.store8 offset=1 (i32.const 1024) (local.get $b))
           (i32.store16 offset=2 (i32.const 1024) (local.get $c))
           (i64.store offset=8 (i32.const 1024) (local.get $d))
           (f32.store offset=16 (i32.const 1024) (local.get $e))
           (f64.store offset=24 (i32.const 1024) (local.get $f))
           (i32.store offset=32 (i32.const 1024) (local.get $g))
           (i32.store8 offset=36 (i32.const 1024) (local.get $h))
           (i32.store8 offset=40 (i32.const 1024) (local.get $case))
           (if (i32.eq (local.get $case) (i32.const 1)) (then (i32.store offset=48 (i32.const 1024) (local.get $one))))
           (if (i32.eq (local.get $case) (i32.const 2)) (then
               (i32.store16 offset=48 (i32.const 1024) (local.get $one))
               (i64.store offset=56 (i32.const 1024) (local.get $two))))
           (if (i32.eq (local.get $case) (i32.const 3)) (then
               (i32.store offset=48 (i32.const 1024) (local.get $one))
               (i32.store offset=52 (i32.const 1024) (i32.wrap_i64 (local.get $two)))))
           (i32.store8 offset=64 (i32.const 1024) (local.get $some))
           (i32.store16 offset=66 (i32.const 1024) (local.get $j))
           (i32.const 1024)"#,
    );
    let pair = "(param i32 i32) (result i32)
        (i32.store (i32.const 512) (local.get 0)) (i32.store (i32.const 516) (local.get 1)) (i32.const 512)";
    core += &export("blob", pair);
    core += &export("text", pair);
    core += &export("nothing", "");
    core += &export("number", &format!("(param i32) (result i32) {fails} (i32.add (local.get 0) (i32.const 1))"));
    let result = format!(
        "(param i32) (result i32) {fails} (i32.store8 (i32.const 512) (i32.const 0))
         (i32.store (i32.const 516) (i32.add (local.get 0) (i32.const 1))) (i32.const 512)"
    );
    core += &export("coded", &result);
    core += &export("texted", &result);
    core += &export("bare", &result);
    core += &export("only-bare", &format!("(param i32) (result i32) {fails} (i32.const 0)"));
    core += &export(
        "zeros",
        "(param i32) (result i32)
         (i32.store (i32.const 512) (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get 0)))
         (i32.store (i32.const 516) (local.get 0)) (i32.const 512)",
    );
    core + ")"
}

pub fn api_caller() -> Vec<u8> {
    component(API, "caller", &api_caller_core())
}

pub fn api_caller_core() -> String {
    let mut core = String::from("(module\n");
    let mut import = |name: &str, ty: &str| core += &format!("(import \"{NAME}\" \"{name}\" (func ${name} {ty}))\n");
    let flat = "(param i32 i32 i32 i64 f32 f64 i32 i32 i32 i32 i64 i32 i32";
    import("echo", "(param i32 i32)");
    import("flat", &format!("{flat} i32)"));
    for name in ["blob", "text"] {
        import(name, "(param i32 i32 i32)");
    }
    import("nothing", "");
    import("number", "(param i32) (result i32)");
    for name in ["coded", "texted", "bare", "zeros"] {
        import(name, "(param i32 i32)");
    }
    import("only-bare", "(param i32) (result i32)");
    core += MEMORY;
    let mut export = |name: &str, code: &str| core += &format!("(func (export \"{name}\") {code})\n");
    export("echo", "(param i32) (result i32) (call $echo (local.get 0) (i32.const 1024)) (i32.const 1024)");
    let locals: String = (0..13).map(|local| format!("(local.get {local})")).collect();
    export("flat", &format!("{flat}) (result i32) (call $flat {locals} (i32.const 1024)) (i32.const 1024)"));
    for name in ["blob", "text"] {
        let call = format!("(call ${name} (local.get 0) (local.get 1) (i32.const 512)) (i32.const 512)");
        export(name, &format!("(param i32 i32) (result i32) {call}"));
    }
    export("nothing", "(call $nothing)");
    export("number", "(param i32) (result i32) (call $number (local.get 0))");
    for name in ["coded", "texted", "bare", "zeros"] {
        let call = format!("(call ${name} (local.get 0) (i32.const 512)) (i32.const 512)");
        export(name, &format!("(param i32) (result i32) {call}"));
    }
    for name in ["echo", "flat", "blob", "text", "zeros", "texted"] {
        export(&format!("cabi_post_{name}"), "(param i32) (call $reset)");
    }
    export("only-bare", "(param i32) (result i32) (call $only-bare (local.get 0))");
    export(
        "count-zeros",
        "(param i32) (result i32)
            (call $zeros (local.get 0) (i32.const 512)) (call $reset) (i32.load (i32.const 516))",
    );
    core + ")"
}
