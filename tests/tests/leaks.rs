//! Load of all kinds for a while: in the second half of it memory grows no more.
//!
//! It takes a minute, or as long as `PEARWOOD_SOAK` says: `90s`, `30m`, `8h`.

use std::time::{Duration, Instant};
use tests::{On, TestNode, client::curl, load};

/// Bytes that use may grow by after the first half of the rounds: a page of a linear memory or a step of the heap, 64 KiB
/// each, with the page tables for it. Within the first half queues grow to what the busiest moment asks for.
const SLACK: u64 = 80 << 10;

/// Connections of the first moments, all at once. Linear memory does not shrink: a box keeps what its busiest moment
/// needed, `net` two rings for each connection. Later there are fewer: those of a kind, and what is left of the one before.
const MOST: u32 = 32;
const MANY: u32 = 8;

/// One after another, each as long.
const KINDS: [fn(&TestNode, Duration); 3] = [kept_connections, long_answers, new_connections];
const LONG: &str = "/echo/bytes?n=100000";
const EACH: Duration = Duration::from_secs(5);

#[test]
fn load_leaks_nothing() {
    let soak = std::env::var("PEARWOOD_SOAK").map_or(Duration::from_secs(60), |text| duration(&text));
    let node = TestNode::start("boxes", On::Qemu);
    let start = Instant::now();
    let end = start + soak;
    let round = || KINDS.iter().for_each(|kind| kind(&node, EACH));
    let busiest = ["/", LONG].map(|path| load::start(&node.url(path), MOST / 2, EACH));
    busiest.into_iter().for_each(|load| served(load.end()));
    let mut rounds = Vec::new();
    while rounds.len() < 4 || Instant::now() < end {
        round();
        let now = memory(&node);
        let text = now.iter().map(|(what, bytes)| format!("{what} {bytes}")).collect::<Vec<_>>().join(", ");
        eprintln!("after {} s: {text}", start.elapsed().as_secs());
        rounds.push(now);
    }
    let (first, second) = rounds.split_at(rounds.len() / 2);
    for (index, (what, after)) in second.last().expect("a round").iter().enumerate() {
        let before = first.iter().map(|round| round[index].1).max().expect("a round");
        assert!(*after <= before + SLACK, "{what}: {before} bytes at most in the first half, {after} at the end");
    }
    node.power_off();
}

fn kept_connections(node: &TestNode, time: Duration) {
    served(load::wrk(&node.url("/"), MANY, time));
}

fn long_answers(node: &TestNode, time: Duration) {
    served(load::wrk(&node.url(LONG), MANY, time));
}

fn served(load: load::Load) {
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
}

/// A connection for each request, and a box that crashes now and then.
fn new_connections(node: &TestNode, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert_eq!(curl(&[], &node.url("/echo/headers")).status, 200);
        curl(&[], &node.url("/rogue/trap"));
    }
    // it is up again, and its memory counts
    let answer = curl(&["--retry", "30", "--retry-delay", "1"], &node.url("/rogue/well"));
    assert_eq!(answer.status, 200);
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
