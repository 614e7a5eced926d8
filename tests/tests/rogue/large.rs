//! Boxes that pass the node more than it has, or that take more of it than their components are large, on a small machine.

use super::{Rogues, TestNode, eventually, honest, write};
use crate::typed_guests;
use pearwood::Launch;
use std::{fs, path::Path, time::Instant};

/// A box that does its misdeed whenever it is started, what it may have, and what the log then says.
type Large = (&'static str, &'static str, &'static str);

const PASSING: [Large; 5] = [
    // all calls went as they should
    ("caller", "40 MiB", "integer divide by zero"),
    ("write", "40 MiB", "passed too much in one call"),
    ("list", "40 MiB", "passed too much in one call"),
    ("line", "40 MiB", "passed too much in one call"),
    ("memory", "80 MiB", "the node has no memory left for it"),
];

const INSTANCES: [Large; 2] = [
    ("globals", "16 MiB", "leaves no room for an instance"),
    ("tables", "16 MiB", "more memory than its limit of 16384 KiB"),
];

/// Bytes that a box passes at once. Its memory leaves the node too little for a copy of them.
const LARGE: u32 = 30 << 20;

#[test]
fn nothing_that_is_passed_is_larger_than_a_small_node() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, core) in [("caller", caller()), ("callee", callee_core())] {
        fs::write(folder.path().join(format!("{name}.wasm")), typed_guests::component(TYPES, name, &core))
            .expect("written");
    }
    for name in ["write", "list", "line"] {
        component(folder.path(), name, &passing(name, LARGE));
    }
    component(folder.path(), "memory", &many("(memory 960)", 1, 1));
    let callee = "[box.callee]\ncomponent = \"./callee.wasm\"\nmemory = \"4 MiB\"\n";
    let rogues = whenever_started(folder.path(), callee, &PASSING, "68M");
    let callee = rogues.node.box_status("callee");
    assert_eq!(callee["restarts"], 0, "{callee}");
    rogues.end();
}

#[test]
fn no_instance_takes_more_than_its_box_has() {
    let folder = tempfile::tempdir().expect("a folder");
    component(folder.path(), "globals", &many("(global (mut i64) (i64.const 0))", 200_000, 60));
    component(folder.path(), "tables", &many("(table 2000000 funcref)", 1, 10));
    let size = fs::metadata(folder.path().join("globals.wasm")).expect("it was written").len();
    assert!(size < 2 << 20, "{size} bytes");
    whenever_started(folder.path(), "", &INSTANCES, "128M").end();
}

/// Starts these boxes again and again on a node with so much memory.
fn whenever_started(folder: &Path, others: &str, boxes: &[Large], memory: &str) -> Rogues {
    let text = boxes.iter().map(|(name, memory, _)| {
        let arrow =
            if *name == "caller" { format!("arrows.\"{API}\" = {{ box = \"callee\" }}\n") } else { String::new() };
        format!(
            "[box.{name}]\ncomponent = \"./{name}.wasm\"\nmemory = \"{memory}\"\n\
             restart = {{ min = \"1 h\" }}\n{arrow}"
        )
    });
    write(folder, &(honest("") + others + &text.collect::<String>()));
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(folder).expect("a system")));
    let node = TestNode::start_qemu(launch, launch.reachable().memory(memory));
    let again = |rogues: &mut Rogues, (name, _, why): Large| {
        let position = rogues.node.node.console().position();
        rogues.typed(&format!("restart {name}"));
        rogues.logged(position, name, why);
    };
    let mut rogues = Rogues::new(node, |rogues| {
        // all at once they have found even less
        let ended = |name: &str| match &rogues.node.box_status(name)["phase"] {
            phase if phase == "backoff" => Ok(()),
            phase => Err(format!("{name} is {phase}")),
        };
        boxes.iter().for_each(|(name, ..)| eventually(|| ended(name)));
        boxes.iter().for_each(|one| again(rogues, *one));
    });
    for one in boxes {
        for _ in 0..3 {
            let begun = Instant::now();
            again(&mut rogues, *one);
            rogues.all_is_well(one.0);
            rogues.nothing_is_left(one.0);
            eprintln!("{}: {} ms", one.0, begun.elapsed().as_millis());
        }
    }
    rogues
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
            (memory (export "memory") 560)
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
            (func (export "line") (call $line (i32.const 2) (i32.const 65536) (i32.const {half})) unreachable))
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

/// Calls with more than the other takes, which is a quarter of its memory, and with what is taken, and traps if one of the calls does not go as it should.
fn caller() -> String {
    let mut core = String::from("(module");
    for (name, ty) in [("text", "i32 i32 i32"), ("texts", "i32 i32 i32"), ("things", "i32 i32"), ("zeros", "i32 i32")] {
        core += &format!("(import \"{API}\" \"{name}\" (func ${name} (param {ty})))");
    }
    core += &format!("(import \"{API}\" \"[resource-drop]thing\" (func $drop (param i32)))");
    core += typed_guests::MEMORY;
    core += "(func $expect (param i32) (if (i32.ne (i32.load8_u (i32.const 512)) (local.get 0))
            (then unreachable)))
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
    for (size, failed) in [(30 << 20, 1), (12 << 20, 1), (1_100_000, 1), (900_000, 0)] {
        calls += &format!(
            "(call $text (call $at (i32.const {size})) (i32.const {size}) (i32.const 512)) (call $expect (i32.const {failed}))"
        );
    }
    for (size, failed) in [(1_100_000, 1), (500_000, 0)] {
        calls += &format!(
            "(call $reset) (call $zeros (i32.const {size}) (i32.const 512)) (call $expect (i32.const {failed}))"
        );
    }
    for (size, count, failed) in [(30 << 20, 5_000, 1), (1_000, 5_000, 1), (1_000, 50, 0)] {
        calls += &format!(
            "(call $all-in-one-place (i32.const {size}) (i32.const {count})) (call $expect (i32.const {failed}))"
        );
    }
    calls +=
        "(call $reset) (call $things (i32.const 100) (i32.const 512)) (call $expect (i32.const 0)) (call $drop-all)";
    // at its end it holds nearly as many as it may
    core += &format!(
        "(func (export \"pearwood:box/service@0.2.0#run\") (local $i i32)
            (loop $again
                {calls}
                (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
            (call $reset) (call $things (i32.const 4000) (i32.const 512)) (call $expect (i32.const 0))
            (drop (i32.div_u (i32.const 1) (i32.const 0)))))"
    );
    core
}
