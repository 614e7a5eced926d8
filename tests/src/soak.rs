//! What tests that go on for a while have in common: how long, and that memory grows no more.

use crate::TestNode;
use std::time::{Duration, Instant};

/// Bytes that use may grow by in the second half: a page of a linear memory or a step of the heap, 64 KiB each, with the page
/// tables for it. Within the first half queues grow to what the busiest moment asks for.
const SLACK: u64 = 80 << 10;

/// Rounds of load until the time is over. Asserts that in the second half of them no more was used than in the first.
pub fn rounds(node: &TestNode, mut round: impl FnMut()) {
    let (start, time) = (Instant::now(), time());
    let mut used = Vec::new();
    while used.len() < 4 || start.elapsed() < time {
        round();
        let now = memory(node);
        let text: Vec<_> = now.iter().map(|(what, bytes)| format!("{what} {bytes}")).collect();
        eprintln!("after {} s: {}", start.elapsed().as_secs(), text.join(", "));
        used.push(now);
    }
    let (first, second) = used.split_at(used.len() / 2);
    for (index, (what, after)) in second.last().expect("a round").iter().enumerate() {
        let before = first.iter().map(|round| round[index].1).max().expect("a round");
        assert!(*after <= before + SLACK, "{what}: {before} bytes at most in the first half, {after} at the end");
    }
}

/// A minute, or as long as `PEARWOOD_SOAK` says: `90s`, `30m`, `8h`.
fn time() -> Duration {
    std::env::var("PEARWOOD_SOAK").map_or(Duration::from_secs(60), |text| duration(&text))
}

/// What is used, in bytes: by the node, and by each box.
fn memory(node: &TestNode) -> Vec<(String, u64)> {
    let status = node.status();
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let of_node = ["frames", "heap"].map(|what| (what.to_string(), number(&status["memory"][what])));
    let boxes = status["boxes"].as_array().expect("boxes").iter();
    let of_boxes = boxes.map(|one| (one["name"].as_str().expect("a name").to_string(), number(&one["memory"])));
    of_node.into_iter().chain(of_boxes).collect()
}

fn duration(text: &str) -> Duration {
    let of = |unit: char, seconds: u64| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * seconds);
    let seconds = of('s', 1).or_else(|| of('m', 60)).or_else(|| of('h', 3_600));
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("PEARWOOD_SOAK is {text}, which is not like `30m`")))
}
