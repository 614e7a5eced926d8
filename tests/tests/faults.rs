//! Boxes that misbehave, under load: only they suffer, and the logs say why.

use std::time::Duration;
use tests::{
    On, TestNode,
    client::{Raw, curl},
    load, on_each,
};

on_each!(only_the_guilty_suffer, every_box_recovers);

/// What the box `rogue` does, and what the log then says.
const MISDEEDS: &[(&str, &str)] = &[
    ("trap", "wasm trap: wasm `unreachable` instruction executed"),
    ("spin", "ran for 5 s without waiting (watchdog)"),
    ("eat", "more memory than its limit of 4096 KiB"),
    ("deep", "wasm trap: call stack exhausted"),
    ("broken", "sent a malformed batch"),
    ("forged", "which only the node may"),
    ("nobody", "sent to peer"),
    ("outside", "has a space of 64 bytes at 4294967287, which is not within its memory"),
];

/// Answers that are none: the client is told, and the box goes on.
const GARBAGE: &[&str] = &["short", "long", "twice", "stranger", "beyond", "header", "silent", "chatter"];

fn only_the_guilty_suffer(on: On) {
    let node = TestNode::start("boxes", on);
    let before = node.box_status("rogue")["restarts"].as_u64().expect("a number");
    let load = load::start(&node.url("/"), 8, Duration::from_secs(60));
    for (misdeed, reason) in MISDEEDS {
        let position = node.node.console().position();
        let answer = curl(&[], &node.url(&format!("/rogue/{misdeed}")));
        assert_eq!(answer.status, 502, "{misdeed}");
        let said = node.wait_for(position, reason);
        assert!(said.contains("] rogue: "), "{said}");
        let again = curl(&["--retry", "20", "--retry-delay", "1"], &node.url("/rogue/well"));
        assert_eq!(again.status, 200, "after {misdeed}");
    }
    // it starts again each time: what one end of its stack did to the node, the next would show
    for depth in (0..16).map(|step| step * 256) {
        let position = node.node.console().position();
        let answer = curl(&["--retry", "20", "--retry-delay", "1"], &node.url("/rogue/well"));
        assert_eq!(answer.status, 200, "before {depth}");
        assert_eq!(curl(&[], &node.url(&format!("/rogue/reenter?{depth}"))).status, 502, "{depth} deep");
        node.wait_for(position, "wasm trap: call stack exhausted");
    }
    for garbage in GARBAGE {
        // whatever comes of it, it ends
        let mut raw = Raw::connect(&node.authority());
        raw.say(format!("GET /rogue/{garbage} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        raw.hear_all();
        assert_eq!(curl(&["--retry", "20", "--retry-delay", "1"], &node.url("/rogue/well")).status, 200, "{garbage}");
    }
    // what it says of itself wrongly is refused, and the last that was right is kept
    assert_eq!(curl(&[], &node.url("/rogue/figures")).text(), "fine\n");
    let figures = node.status()["figures"]["rogue"].clone();
    assert_eq!(figures[0]["labels"]["n"], "x".repeat(256), "{figures}");
    let load = load.end();
    assert!(load.requests > 0);
    assert_eq!((load.errors, load.refused), (0, 0), "the others' requests: {load:?}");
    for name in ["net", "http", "site", "echo"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    let status = node.box_status("rogue");
    assert!(status["restarts"].as_u64().expect("a number") >= before + MISDEEDS.len() as u64, "{status}");
    node.power_off();
}

/// Any box can be restarted, `net` itself too: new connections work.
fn every_box_recovers(on: On) {
    let node = TestNode::start("boxes", on);
    // on Linux there is no box `net` of the node's own to restart
    let boxes: &[&str] = if on == On::Qemu { &["site", "http", "net"] } else { &["site", "http"] };
    for name in boxes {
        node.node.type_line(&format!("restart {name}")).expect("typed");
        let answer = curl(&["--retry", "30", "--retry-delay", "1", "--retry-all-errors"], &node.url("/"));
        assert_eq!(answer.status, 200, "after a restart of {name}");
        assert_eq!(node.box_status(name)["restarts"], 1, "{name}");
    }
    node.power_off();
}
