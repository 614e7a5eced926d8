//! Boxes that pass the node more than it has, or that take more of it than their components are large, on a small machine.

use super::{HONEST, Rogues, TestNode, honest, write};
use pearwood::Launch;
use std::{fs, path::Path};

/// Each does its misdeed whenever it is started.
const BOXES: [(&str, &str, &str); 5] = [
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
        format!(
            "[box.{name}]\ncomponent = \"./{name}.wasm\"\nmemory = \"{memory}\"\n\
             restart = {{ min = \"1 h\" }}\n"
        )
    });
    write(folder.path(), &(honest("") + &boxes.concat()));
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
