//! What a box may make this one hold.

use crate::sides::*;
use pearwood_fetch::Wake;
use wit::http::{Command, Scheme};
use wit::tcp::Cause;
use wit::{INITIAL_CREDIT, tcp};

#[test]
fn nothing_passes_beyond_the_credit() {
    let mut world = World::new(&[]);
    let most = INITIAL_CREDIT as usize;
    world.says(&Command::Request { request: 1, head: asks("POST", Scheme::Https, "a.example", b"") });
    world.says(&Command::Body { request: 1, data: &vec![b'a'; most] });
    world.turn();
    let link = world.connects();
    let sent = world.sides.hosts[&link].got.len();
    assert!((most - 12..=most).contains(&sent), "what the network takes, but for less than a chunk: {sent}");
    world.got(link);
    world.turn();
    assert!(world.answer(1).credit >= (most - (16 << 10)) as u64, "{}", world.answer(1).credit);
    world.host_says(link, "HTTP/1.1 200 OK\r\n\r\n");
    world.host_says(link, &"b".repeat(most / 2));
    world.host_says(link, &"b".repeat(most / 2));
    world.host_says(link, &"b".repeat(1_000));
    assert_eq!(world.answer(1).body.len(), most);
    let credited = world.sides.hosts[&link].credit;
    assert!((32_768..66_000).contains(&credited), "{credited}");
    world.says(&Command::Credit { request: 1, bytes: 500 });
    world.turn();
    assert_eq!(world.answer(1).body.len(), most + 500);
    world.says(&Command::Body { request: 1, data: &vec![b'a'; 2 * most] });
    world.turn();
    assert!(world.failed(1).1.contains("than there was credit for"));
    assert!(world.sides.hosts[&link].is_aborted);
}

#[test]
fn a_client_that_takes_nothing_gets_no_more() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.host_says(link, "HTTP/1.1 200 OK\r\n\r\n");
    world.sides.client_is_deaf = true;
    let mut sent = 20;
    while sent + 10_000 <= u64::from(INITIAL_CREDIT) + world.sides.hosts[&link].credit {
        world.says(&Command::Credit { request: 1, bytes: INITIAL_CREDIT });
        world.host_says(link, &"b".repeat(10_000));
        sent += 10_000;
        assert!(sent < 2 << 20, "it is kept without end");
    }
    assert!(sent > 60_000);
    world.sides.client_is_deaf = false;
    world.fetch.turn(Wake { now: world.now, room: true, ..Wake::default() }, &mut world.sides);
    world.turn();
    assert_eq!(world.answer(1).body.len() as u64, sent - 20);
    // who sends more than it may is not listened to
    world.sides.client_is_deaf = true;
    for _ in 0..40 {
        world.host_says(link, &"b".repeat(50_000));
    }
    world.sides.client_is_deaf = false;
    world.fetch.turn(Wake { now: world.now, room: true, ..Wake::default() }, &mut world.sides);
    assert!(world.failed(1).1.contains("than there was credit for"));
}

#[test]
fn one_box_cannot_have_all_places() {
    let mut world = World::new(&[]);
    for request in 0..50 {
        world.asks(request, get("a.example"));
    }
    let busy = (0..50).filter(|request| world.answer(*request).cause == Some(Cause::Busy)).count();
    assert!((25..50).contains(&busy), "{busy}");
    world.sides.dials.clear();
    world.says_as(1, &Command::Request { request: 1, head: get("a.example") });
    world.turn();
    assert_eq!(world.sides.dials.len(), 1, "another has its own");
}

/// What is cancelled is still under way with those that were asked for its connection.
#[test]
fn a_box_that_cancels_has_no_more_places() {
    for scheme in [Scheme::Https, Scheme::Http] {
        let mut world = World::new(&[]);
        for request in 0..200 {
            world.asks(request, asks("GET", scheme, "192.0.2.1", b""));
            world.says(&Command::Cancel { request });
            world.turn();
        }
        let asked = world.sides.dials.len() + world.sides.connects.len();
        assert!((10..50).contains(&asked), "{asked} connections are asked for");
        assert_eq!(world.failed(199).0, Some(Cause::Busy));
        world.says_as(1, &Command::Request { request: 1, head: get("a.example") });
        world.turn();
        assert_eq!(world.sides.dials.pop().unwrap().2, "a.example", "another has its own");
        // answered, they are free again
        for (peer, ticket, ..) in core::mem::take(&mut world.sides.dials) {
            world.tcp_says(peer, &tcp::Event::Failed { ticket, cause: Cause::Timeout, alert: 0, why: "late" });
        }
        for (peer, ticket, _) in core::mem::take(&mut world.sides.connects) {
            world.tcp_says(peer, &tcp::Event::Refused { id: ticket, why: "late" });
        }
        world.turn();
        world.asks(200, asks("GET", scheme, "192.0.2.1", b""));
        assert_eq!(world.answer(200), Answer::default());
    }
}

#[test]
fn small_parts_of_a_body_take_no_more_memory_than_large_ones() {
    let mut world = World::new(&[]);
    world.says(&Command::Request { request: 1, head: asks("POST", Scheme::Https, "a.example", b"") });
    world.turn();
    let link = world.connects();
    let most = INITIAL_CREDIT as usize;
    for _ in 0..most / 1024 {
        (0..1024).for_each(|_| world.says(&Command::Body { request: 1, data: b"x" }));
        world.turn();
    }
    world.says(&Command::End { request: 1 });
    world.turn();
    let (mut got, mut later) = (world.got(link), 0);
    loop {
        world.turn();
        let more = world.got(link);
        if more.is_empty() {
            break;
        }
        later += more.len();
        got += &more;
    }
    assert!(later < most + 100, "{later} bytes waited");
    let (_, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(body.ends_with("\r\n0\r\n\r\n") && body.matches('x').count() == most);
}

/// What is held of a request is reckoned with, so its head has a most.
#[test]
fn large_heads_of_requests_are_refused() {
    let mut world = World::new(&[]);
    let line = |length: usize| format!("a: {}\r\n", "x".repeat(length));
    let large = line(61 << 10);
    world.asks(1, asks("GET", Scheme::Https, "a.example", large.as_bytes()));
    assert!(world.failed(1).1.contains("its head is too large"), "{:?}", world.failed(1));
    assert!(world.sides.dials.is_empty() && world.sides.connects.is_empty());
    let taken = line(58 << 10);
    world.asks(2, asks("GET", Scheme::Https, "a.example", taken.as_bytes()));
    assert_eq!(world.sides.dials.len(), 1);
}
