//! Other protocols than HTTP, once both sides agree.

use crate::sides::*;
use wit::http::{Command, Head};
use wit::tcp::{self, Cause};
use wit::{INITIAL_CREDIT, Peer};

const AGREES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX: y\r\n\r\n";

fn chat() -> Head<'static> {
    Head { upgrade: "websocket, h9", ..get("a.example") }
}

/// The host has agreed.
fn changed(settings: &[(&str, &str)]) -> (World, (u32, u32)) {
    let mut world = World::new(settings);
    let link = world.reached(1, chat());
    let asked = "GET /x?y HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket, h9\r\n\r\n";
    assert_eq!(world.got(link), asked);
    world.host_says(link, AGREES);
    assert_eq!(world.answer(1).heads, [(101, "upgrade: WebSocket\r\nX: y\r\n".into())]);
    (world, link)
}

#[test]
fn after_a_101_both_sides_send_what_they_like() {
    let (mut world, link) = changed(&[]);
    world.says(&Command::Body { request: 1, data: b"\0\x01GET" });
    world.turn();
    assert_eq!(world.got(link), "\0\x01GET");
    world.host_says(link, "HTTP/1.1 0\r\n\r\n");
    assert_eq!(world.answer(1).body, b"HTTP/1.1 0\r\n\r\n");
    // the client ends first: what comes after that is for it still
    world.says(&Command::Body { request: 1, data: b"bye" });
    world.says(&Command::End { request: 1 });
    world.turn();
    assert_eq!((world.got(link).as_str(), world.sides.hosts[&link].is_finished), ("bye", true));
    world.host_says(link, "last");
    assert!(!world.answer(1).is_over);
    world.tcp_says(link.0, &tcp::Event::Finished { connection: link.1 });
    world.closes(link, "");
    assert_eq!((&world.answer(1).body[14..], world.answer(1).is_over), (&b"last"[..], true));
    world.asks(2, get("a.example"));
    assert_eq!(world.sides.dials.len(), 1, "such a connection is nobody else's");
}

#[test]
fn the_host_ends_it_or_breaks_off() {
    let (mut world, link) = changed(&[]);
    world.host_says(link, "bye");
    world.tcp_says(link.0, &tcp::Event::Finished { connection: link.1 });
    world.turn();
    assert!(world.answer(1).is_over && world.sides.hosts[&link].is_aborted);
    let (mut world, link) = changed(&[]);
    world.closes(link, "reset");
    assert_eq!(world.failed(1).0, Some(Cause::Terminated));
}

#[test]
fn what_comes_with_the_head_is_for_the_client() {
    let mut world = World::new(&[]);
    let link = world.reached(1, chat());
    world.host_says(link, &format!("{AGREES}early"));
    assert_eq!(world.answer(1).body, b"early");
}

#[test]
fn a_host_changes_only_to_what_it_was_asked_for() {
    for (upgrade, says) in [
        ("websocket", "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ("websocket", "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n"),
        ("websocket", "HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n"),
        ("", AGREES),
    ] {
        let mut world = World::new(&[]);
        let link = world.reached(1, Head { upgrade, ..get("a.example") });
        world.host_says(link, says);
        assert!(world.failed(1).1.contains("that nobody has asked for"), "{says}");
    }
    let mut world = World::new(&[]);
    world.asks(1, Head { upgrade: "a\r\nb: c", ..get("a.example") });
    assert!(world.failed(1).1.contains("no protocol"));
    // and it may answer as it likes
    let link = world.reached(2, chat());
    world.host_says(link, "HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n");
    assert!(world.answer(2).is_over && world.status(2) == Some(426));
    world.asks(3, get("a.example"));
    assert!(world.got(link).starts_with("GET"), "the connection is kept");
}

#[test]
fn nothing_passes_beyond_the_credit() {
    let (mut world, link) = changed(&[]);
    let most = INITIAL_CREDIT as usize;
    let head = AGREES.len();
    world.host_says(link, &"b".repeat(most - head));
    world.host_says(link, &"b".repeat(1_000));
    assert_eq!(world.answer(1).body.len(), most);
    world.says(&Command::Credit { request: 1, bytes: 500 });
    world.says(&Command::Body { request: 1, data: &vec![b'a'; most] });
    world.turn();
    assert_eq!(world.answer(1).body.len(), most + 500);
    assert!(world.sides.hosts[&link].got.len() <= most);
    world.says(&Command::Body { request: 1, data: &vec![b'a'; 2 * most] });
    world.turn();
    assert!(world.failed(1).1.contains("than there was credit for"));
}

#[test]
fn one_that_says_nothing_has_its_own_time() {
    let (mut world, link) =
        changed(&[("answer-timeout", "5 s"), ("body-timeout", "5 s"), ("upgrade-timeout", "1 min")]);
    for _ in 0..3 {
        world.passes(59 * SECOND);
        world.host_says(link, "x");
        world.passes(59 * SECOND);
        world.says(&Command::Body { request: 1, data: b"y" });
        world.turn();
    }
    world.passes(60 * SECOND);
    assert_eq!(world.failed(1).0, Some(Cause::Timeout));
}

#[test]
fn at_a_swap_it_goes_on() {
    let (mut world, link) = changed(&[]);
    world.fetch.retire();
    Peer::Retire(0).encode(&mut world.clients);
    Peer::Retire(TLS).encode(&mut world.tcp);
    world.turn();
    world.says(&Command::Body { request: 1, data: b"still" });
    world.host_says(link, "here");
    assert_eq!((world.got(link).as_str(), &world.answer(1).body[..]), ("still", &b"here"[..]));
}
