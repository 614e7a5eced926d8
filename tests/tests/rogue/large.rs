//! Boxes that pass the node more than it has, or that take more of it than their components are large, on a small machine.

use super::{HONEST, Rogues, TestNode, honest, typed_guests, write};
use pearwood::Launch;
use std::{fs, path::Path};

/// Each does its misdeed whenever it is started.
const BOXES: [(&str, &str, &str); 6] = [
    // all calls went as they should
    ("caller", "56 MiB", "wasm `unreachable` instruction executed"),
    ("write", "56 MiB", "passed too much in one call"),
    ("list", "56 MiB", "passed too much in one call"),
    ("line", "56 MiB", ""),
    ("globals", "16 MiB", "leaves no room for an instance"),
    ("tables", "16 MiB", "more memory than its limit of 16384 KiB"),
];

#[test]
fn nothing_is_larger_than_a_small_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let boxes = BOXES.map(|(name, memory, _)| {
        let arrow =
            if name == "caller" { format!("arrows.\"{API}\" = {{ box = \"callee\" }}\n") } else { String::new() };
        format!(
            "[box.{name}]\ncomponent = \"./{name}.wasm\"\nmemory = \"{memory}\"\n\
             restart = {{ min = \"1 h\" }}\n{arrow}"
        )
    });
    let callee = "[box.callee]\ncomponent = \"./callee.wasm\"\nmemory = \"2 MiB\"\n";
    write(folder.path(), &(honest("") + callee + &boxes.concat()));
    for (name, core) in [("caller", caller()), ("callee", callee_core())] {
        fs::write(folder.path().join(format!("{name}.wasm")), typed_guests::component(TYPES, name, &core))
            .expect("written");
    }
    for name in ["write", "list", "line"] {
        component(folder.path(), name, &passing(name, 40 << 20));
    }
    component(folder.path(), "globals", &many("(global (mut i64) (i64.const 0))", 200_000, 60));
    component(folder.path(), "tables", &many("(table 2000000 funcref)", 1, 10));
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(folder.path()).expect("a system")));
    let size = fs::metadata(folder.path().join("globals.wasm")).expect("it was written").len();
    assert!(size < 2 << 20, "{size} bytes");
    let node = TestNode::start_qemu(launch, launch.reachable().memory("64M"));
    let mut rogues = Rogues::new(node, |rogues| {
        BOXES.iter().for_each(|(name, _, why)| rogues.logged(0, name, why));
    });
    for (name, _, why) in BOXES {
        for _ in 0..3 {
            let position = rogues.node.node.console().position();
            rogues.typed(&format!("restart {name}"));
            rogues.logged(position, name, why);
            rogues.all_is_well(name);
            rogues.nothing_is_left(name);
        }
    }
    assert_eq!(rogues.node.box_status("callee")["restarts"], 0);
    assert_eq!(HONEST.map(|name| rogues.node.box_status(name)["restarts"].as_u64()), [Some(0); 4]);
    rogues.end();
}

fn component(folder: &Path, name: &str, text: &str) {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    fs::write(folder.join(format!("{name}.wasm")), bytes).expect("written");
}

const SERVICE: &str = r#"
    (instance $service (export "run" (func $run)))
    (export "pearwood:box/service@0.2.0" (instance $service))"#;

/// A component with many instances of a small module with that many items.
fn many(item: &str, items: usize, instances: usize) -> String {
    let items = item.repeat(items);
    let instances = "(core instance (instantiate $large))".repeat(instances);
    format!(
        r#"(component (core module $large {items}) {instances}
        (core module $code (func (export "run")))
        (core instance $code (instantiate $code))
        (func $run (canon lift (core func $code "run"))) {SERVICE})"#
    )
}

/// A component that passes so many bytes to a function: a list of bytes to a stream, a list of a hundred fields with that
/// value in common, or a line of text in UTF-16.
fn passing(what: &str, length: u32) -> String {
    let half = length / 2;
    format!(
        r#"(component
        (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $io-error))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (alias outer 1 $io-error (type $e))
            (export "output-stream" (type $out (sub resource)))
            (type $v (variant (case "last-operation-failed" (own $e)) (case "closed")))
            (export "stream-error" (type $se (eq $v)))
            (export "[method]output-stream.write"
                (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $se)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $stream (type $s))
            (export "output-stream" (type $os (eq $s)))
            (export "get-stdout" (func (result (own $os))))))
        (import "wasi:http/types@0.2.0" (instance $types
            (export "fields" (type $fields (sub resource)))
            (type $he (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
            (export "header-error" (type $header-error (eq $he)))
            (export "[static]fields.from-list" (func (param "entries" (list (tuple string (list u8))))
                (result (result (own $fields) (error $header-error)))))))
        (import "pearwood:box/log@0.2.0" (instance $log
            (type $l (enum "error" "warn" "info" "debug"))
            (export "level" (type $level (eq $l)))
            (export "write" (func (param "level" $level) (param "line" string)))))
        (core module $m
            (memory (export "memory") 800)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                global.get $next
                (global.set $next (i32.add (global.get $next) (local.get 3)))))
        (core instance $a (instantiate $m))
        (alias core export $a "memory" (core memory $memory))
        (alias core export $a "realloc" (core func $realloc))
        (core func $get (canon lower (func $stdout "get-stdout")))
        (core func $write (canon lower (func $streams "[method]output-stream.write") (memory $memory)))
        (core func $list (canon lower (func $types "[static]fields.from-list") (memory $memory)
            (realloc (core func $realloc))))
        (core func $line (canon lower (func $log "write") (memory $memory) string-encoding=utf16))
        (core module $n
            (import "a" "memory" (memory 1))
            (import "a" "get" (func $get (result i32)))
            (import "a" "write" (func $write (param i32 i32 i32 i32)))
            (import "a" "list" (func $list (param i32 i32 i32)))
            (import "a" "line" (func $line (param i32 i32 i32)))
            (func (export "write") (call $write (call $get) (i32.const 0) (i32.const {length}) (i32.const 64)))
            (func (export "list") (local $at i32)
                (local.set $at (i32.const 4096))
                (loop $more
                    (i32.store (local.get $at) (i32.const 128))
                    (i32.store offset=4 (local.get $at) (i32.const 1))
                    (i32.store offset=8 (local.get $at) (i32.const 65536))
                    (i32.store offset=12 (local.get $at) (i32.const {length}))
                    (local.set $at (i32.add (local.get $at) (i32.const 16)))
                    (br_if $more (i32.lt_u (local.get $at) (i32.const 5696))))
                (i32.store8 (i32.const 128) (i32.const 97))
                (call $list (i32.const 4096) (i32.const 100) (i32.const 64)))
            (func (export "line") (call $line (i32.const 2) (i32.const 65536) (i32.const {half}))))
        (core instance $b (instantiate $n (with "a" (instance
            (export "memory" (memory $memory)) (export "get" (func $get)) (export "write" (func $write))
            (export "list" (func $list)) (export "line" (func $line))))))
        (func $run (canon lift (core func $b "{what}"))) {SERVICE})"#
    )
}

const API: &str = "acme:rogue/api@0.1.0";

const TYPES: &str = r#"
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
        export pearwood:box/service@0.2.0;
    }
    package pearwood:box@0.2.0 {
        interface service { run: func(); }
    }
"#;

/// Takes whatever comes, and says how long it was.
fn callee_core() -> String {
    let export = |name: &str, code: &str| format!("(func (export \"{API}#{name}\") {code})\n");
    let mut core =
        format!("(module (import \"[export]{API}\" \"[resource-new]thing\" (func $new (param i32) (result i32)))");
    core += typed_guests::MEMORY;
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
        core += &format!("(func (export \"cabi_post_{API}#{name}\") (param i32) (call $reset))");
    }
    core + ")"
}

/// Calls with more than anybody takes, and with what is taken, and traps if one of the calls does not go as it should.
fn caller() -> String {
    let mut core = String::from("(module");
    for (name, ty) in [("text", "i32 i32 i32"), ("texts", "i32 i32 i32"), ("things", "i32 i32"), ("zeros", "i32 i32")] {
        core += &format!("(import \"{API}\" \"{name}\" (func ${name} (param {ty})))");
    }
    core += &format!("(import \"{API}\" \"[resource-drop]thing\" (func $drop (param i32)))");
    core += typed_guests::MEMORY;
    core += "(func $expect (param i32) (if (i32.ne (i32.load8_u (i32.const 512)) (local.get 0))
            (then (drop (i32.div_u (i32.const 1) (i32.const 0))))))
        (func $at (param $size i32) (result i32)
            (call $reset) (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $size)))
        (func $all-in-one-place (param $size i32) (param $count i32) (local $at i32) (local $i i32)
            (local.set $at (call $at (local.get $size)))
            (loop $fill
                (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 8))) (local.get $at))
                (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $i) (i32.const 8))) (local.get $size))
                (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
            (call $texts (i32.const 1024) (local.get $count) (i32.const 512)))
        (func $drop-all (local $i i32)
            (loop $each
                (call $drop (i32.load (i32.add (i32.load (i32.const 516)) (i32.mul (local.get $i) (i32.const 4)))))
                (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.load (i32.const 520))))))";
    let mut calls = String::new();
    for (size, failed) in [(40 << 20, 1), (12 << 20, 1), (300_000, 1), (60_000, 0)] {
        calls += &format!(
            "(call $text (call $at (i32.const {size})) (i32.const {size}) (i32.const 512)) (call $expect (i32.const {failed}))"
        );
    }
    for (size, failed) in [(300_000, 1), (60_000, 0)] {
        calls += &format!(
            "(call $reset) (call $zeros (i32.const {size}) (i32.const 512)) (call $expect (i32.const {failed}))"
        );
    }
    for (size, count, failed) in [(40 << 20, 5_000, 1), (1_000, 5_000, 1), (1_000, 50, 0)] {
        calls += &format!(
            "(call $all-in-one-place (i32.const {size}) (i32.const {count})) (call $expect (i32.const {failed}))"
        );
    }
    calls +=
        "(call $reset) (call $things (i32.const 100) (i32.const 512)) (call $expect (i32.const 0)) (call $drop-all)";
    // as many as it may hold, and then more, again and again
    let more = "(call $reset) (call $things (i32.const 4000) (i32.const 512)) (call $expect (i32.const 1))".repeat(5);
    core += &format!(
        "(func (export \"pearwood:box/service@0.2.0#run\") (local $i i32)
            (loop $again
                {calls}
                (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
            (call $reset) (call $things (i32.const 4000) (i32.const 512)) (call $expect (i32.const 0))
            {more}
            (unreachable)))"
    );
    core
}
