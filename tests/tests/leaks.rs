//! Load of all kinds for a while: in the second half of it memory grows no more.
//!
//! It takes a minute, or as long as `PEARWOOD_SOAK` says: `90s`, `30m`, `8h`.

use std::time::{Duration, Instant};
use tests::{On, TestNode, client::curl, load, soak};

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
    let node = TestNode::start("boxes", On::Qemu);
    let busiest = ["/", LONG].map(|path| load::start(&node.url(path), MOST / 2, EACH));
    busiest.into_iter().for_each(|load| served(load.end()));
    soak::rounds(&node, || KINDS.iter().for_each(|kind| kind(&node, EACH)));
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
