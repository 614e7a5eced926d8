//! What tests that go on for a while have in common: how long, and that memory is afterwards as it was.

use crate::TestNode;
use std::time::Duration;

/// Bytes that use may grow by after the first moments: a page of a linear memory or a step of the heap, 64 KiB each, with the
/// page tables for it.
const SLACK: u64 = 80 << 10;

/// A minute, or as long as `PEARWOOD_SOAK` says: `90s`, `30m`, `8h`.
pub fn time() -> Duration {
    std::env::var("PEARWOOD_SOAK").map_or(Duration::from_secs(60), |text| duration(&text))
}

/// What is used, in bytes: by the node, and by each box.
pub struct Memory(Vec<(String, u64)>);

impl Memory {
    pub fn of(node: &TestNode) -> Self {
        let status = node.status();
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let of_node = ["frames", "heap"].map(|what| (what.to_string(), number(&status["memory"][what])));
        let boxes = status["boxes"].as_array().expect("boxes").iter();
        let of_boxes = boxes.map(|one| (one["name"].as_str().expect("a name").to_string(), number(&one["memory"])));
        Memory(of_node.into_iter().chain(of_boxes).collect())
    }

    /// Asserts that there is no more in use now than there was then.
    pub fn assert_kept(&self, node: &TestNode) {
        for ((what, before), (_, after)) in self.0.iter().zip(&Memory::of(node).0) {
            eprintln!("{what}: {before} bytes after the first moments, {after} at the end");
            assert!(*after <= before + SLACK, "{what}: {before} bytes before, {after} after");
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(what, bytes)| format!("{what} {bytes}")).collect();
        f.write_str(&parts.join(", "))
    }
}

fn duration(text: &str) -> Duration {
    let of = |unit: char, seconds: u64| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * seconds);
    let seconds = of('s', 1).or_else(|| of('m', 60)).or_else(|| of('h', 3_600));
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("PEARWOOD_SOAK is {text}, which is not like `30m`")))
}
