//! What calls cost: `cargo test --release -p wasm-host figures -- --ignored --nocapture`.

use super::{Limits, Node, guests};
use std::{fs::read_to_string, println};
use wasmtime::component::Val;

/// The thread's CPU time in nanoseconds, as Linux counts it, so that a busy machine does not matter.
fn cpu_time() -> u64 {
    let stat = read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "it measures and asserts nothing: it is for people, who run it by the command above"]
fn figures() {
    let mut node = Node::new();
    let b = node.guest("b", &guests::api_callee(), Limits::default());
    let _ended = node.serve(&b, &[]);
    let a = node.caller("a", &guests::api_caller(), &[(guests::NAME, &b.queue)]);
    for (label, function, count, params) in [
        ("u32 -> u32", "repeat", 200_000, None),
        ("list<u8> -> list<u8>, 64 B", "repeat-blob", 200_000, Some(64)),
        ("list<u8> -> list<u8>, 4 KiB", "repeat-blob", 50_000, Some(4 << 10)),
        ("list<u8> -> list<u8>, 64 KiB", "repeat-blob", 10_000, Some(64 << 10)),
        ("list<u8> -> list<u8>, 1 MiB", "repeat-blob", 500, Some(1 << 20)),
    ] {
        let mut arguments = alloc::vec![Val::U32(count)];
        arguments.extend(params.map(Val::U32));
        let start = cpu_time();
        node.call(&a, function, &arguments).unwrap();
        println!("{label}: {} ns", (cpu_time() - start) / u64::from(count));
    }
}
