//! A minute of load of all kinds: memory is as it was after the first seconds.

use std::time::Duration;
use tests::{On, TestNode, client::curl, load};

/// Bytes that may come and go with the last requests.
const SLACK: u64 = 128 << 10;

fn memory(node: &TestNode) -> Vec<(String, u64)> {
    let status = node.status();
    let mut used: Vec<(String, u64)> = ["frames", "heap"]
        .into_iter()
        .map(|what| (what.to_string(), status["memory"][what].as_u64().expect("a number")))
        .collect();
    for one in status["boxes"].as_array().expect("boxes") {
        used.push((one["name"].to_string(), one["memory"].as_u64().expect("a number")));
    }
    used
}

fn work(node: &TestNode, time: Duration) {
    let kept = load::wrk(&node.url("/"), 32, time / 3);
    assert_eq!((kept.errors, kept.refused), (0, 0), "{kept:?}");
    let generated = load::wrk(&node.url("/echo/bytes?n=100000"), 8, time / 3);
    assert_eq!((generated.errors, generated.refused), (0, 0), "{generated:?}");
    let end = std::time::Instant::now() + time / 3;
    while std::time::Instant::now() < end {
        // a connection each, and a crash now and then
        assert_eq!(curl(&[], &node.url("/echo/headers")).status, 200);
        curl(&[], &node.url("/rogue/trap"));
    }
}

#[test]
fn a_minute_of_load_leaks_nothing() {
    let node = TestNode::start("boxes", On::Qemu);
    work(&node, Duration::from_secs(15));
    let before = memory(&node);
    work(&node, Duration::from_secs(45));
    let after = memory(&node);
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        assert!(*after <= before + SLACK, "{name}: {before} bytes before, {after} after");
    }
    node.power_off();
}
