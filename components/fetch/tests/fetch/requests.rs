//! Requests, their bodies and answers.

use crate::sides::*;
use wit::http::{Attach, Command, Head, Scheme};
use wit::tcp::Cause;
use wit::{Peer, names, tcp};

#[test]
fn a_request_and_its_answer() {
    let mut world = World::new(&[]);
    world.asks(1, get("A.example"));
    assert_eq!(world.sides.dials[..], [(TLS, world.sides.dials[0].1, "a.example".into(), 443)]);
    let link = world.connects();
    assert_eq!(world.got(link), "GET /x?y HTTP/1.1\r\nHost: A.example\r\n\r\n");
    world.host_says(link, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\nConnection: keep-alive\r\n\r\nhel");
    assert_eq!(world.answer(1).heads, [(200, "X: y\r\ncontent-length: 5\r\n".into())]);
    world.host_says(link, "lo");
    let answer = world.answer(1);
    assert_eq!((&answer.body[..], answer.is_over, answer.failed), (&b"hello"[..], true, None));
    // the connection is kept, for that host only
    world.asks(2, get("a.example"));
    assert!(world.sides.dials.is_empty() && world.got(link).starts_with("GET /x?y"));
    world.asks(3, get("b.example"));
    assert_eq!(world.sides.dials.pop().unwrap().2, "b.example");
    world.asks(4, get("a.example:8443"));
    assert_eq!(world.sides.dials.pop().unwrap().3, 8443);
    world.asks(5, asks("GET", Scheme::Http, "a.example", b""));
    assert_eq!(world.sides.lookups[0].1, "a.example");
}

#[test]
fn http_looks_the_name_up() {
    let mut world = World::new(&[]);
    world.asks(1, asks("GET", Scheme::Http, "a.example:8080", b""));
    let (ticket, _) = world.sides.lookups.pop().unwrap();
    let found = ["::ffff:192.0.2.1".parse().unwrap(), "::ffff:192.0.2.2".parse().unwrap()];
    Peer::Is(0).encode(&mut world.names);
    names::Event::Addresses { ticket, addresses: found[..].into() }.encode(&mut world.names);
    world.turn();
    let (peer, ticket, to) = world.sides.connects.pop().unwrap();
    assert_eq!((peer, to.address, to.port), (NET, found[0], 8080));
    world.tcp_says(NET, &tcp::Event::Refused { id: ticket, why: "nobody is there" });
    world.turn();
    assert_eq!(world.sides.connects[0].2.address, found[1]);
    let link = world.connects();
    assert!(world.got(link).contains("Host: a.example:8080\r\n"));
    world.host_says(link, "HTTP/1.0 200 OK\r\n\r\nuntil it closes");
    assert!(!world.answer(1).is_over);
    world.tcp_says(link.0, &tcp::Event::Finished { connection: link.1 });
    world.turn();
    assert_eq!((world.answer(1).body, world.answer(1).is_over), (b"until it closes".to_vec(), true));
    assert!(world.sides.hosts[&link].is_aborted);
}

#[test]
fn bodies_stream_both_ways() {
    let mut world = World::new(&[]);
    let head = asks("POST", Scheme::Https, "a.example", b"trailer: z\r\n");
    world.says(&Command::Request { request: 1, head });
    world.turn();
    let link = world.connects();
    assert_eq!(
        world.got(link),
        "POST /x?y HTTP/1.1\r\nHost: a.example\r\ntrailer: z\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    // the answer begins before the request ends
    world.host_says(link, "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n");
    world.host_says(link, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_eq!(world.answer(1).heads, [(103, "Link: a\r\n".into()), (200, String::new())]);
    world.says(&Command::Body { request: 1, data: b"hello" });
    world.turn();
    assert_eq!(world.got(link), "5\r\nhello\r\n");
    world.host_says(link, "2;ext=1\r\nde\r\n0\r\nX-Sum: 1\r\nContent-Length: 1\r\n");
    world.says(&Command::Trailers { request: 1, lines: b"z: 1\r\nhost: x\r\n" });
    world.says(&Command::End { request: 1 });
    world.turn();
    assert_eq!(world.got(link), "0\r\nz: 1\r\n\r\n");
    world.turn();
    world.host_says(link, "\r\n");
    let answer = world.answer(1);
    assert_eq!((&answer.body[..], answer.trailers.as_str(), answer.is_over), (&b"abcde"[..], "X-Sum: 1\r\n", true));
    world.asks(2, get("a.example"));
    assert!(world.got(link).starts_with("GET"), "the connection is kept");
}

#[test]
fn bodies_that_come_before_the_connection_wait() {
    let mut world = World::new(&[]);
    for (request, method, length, expected) in [
        (1, "PUT", "content-length: 6\r\n", "Content-Length: 6\r\n\r\nfoobar"),
        (2, "GET", "", "Transfer-Encoding: chunked\r\n\r\n6\r\nfoobar\r\n0\r\nt: 1\r\n\r\n"),
    ] {
        let head = asks(method, Scheme::Https, "a.example", length.as_bytes());
        world.says(&Command::Request { request, head });
        world.says(&Command::Body { request, data: b"foo" });
        world.says(&Command::Body { request, data: b"bar" });
        world.says(&Command::Trailers { request, lines: b"t: 1\r\n" });
        world.says(&Command::End { request });
        world.turn();
        let link = world.connects();
        let got = world.got(link);
        assert!(got.ends_with(expected), "{got}");
    }
    // without a body
    let link = world.reached(3, asks("POST", Scheme::Https, "a.example", b""));
    assert!(world.got(link).ends_with("\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn an_answer_may_end_before_its_request() {
    let mut world = World::new(&[]);
    let head = asks("POST", Scheme::Https, "a.example", b"content-length: 100\r\n");
    world.says(&Command::Request { request: 1, head });
    world.turn();
    let link = world.connects();
    world.host_says(link, "HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n");
    assert!(world.answer(1).is_over);
    assert!(world.sides.hosts[&link].is_aborted, "what is left of the request cannot be left out");
    world.says(&Command::Body { request: 1, data: b"late" });
    world.turn();
    // and a body is as long as it says
    for (data, ends, why) in [(&b"12345"[..], false, "longer"), (b"12", true, "shorter")] {
        let head = asks("POST", Scheme::Https, "a.example", b"content-length: 4\r\n");
        world.sides.answers.clear();
        world.says(&Command::Request { request: 2, head });
        world.says(&Command::Body { request: 2, data });
        if ends {
            world.says(&Command::End { request: 2 });
        }
        world.turn();
        assert!(world.failed(2).1.contains(why));
    }
}

/// However a head and trailers are cut, they are the same.
#[test]
fn heads_and_trailers_may_come_byte_by_byte() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    let said = "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nab\r\n0\r\nZ: 1\r\nY: 2\r\n\r\n";
    for byte in said.split_inclusive(|_: char| true) {
        assert!(!world.answer(1).is_over);
        world.host_says(link, byte);
    }
    let answer = world.answer(1);
    assert_eq!((&answer.body[..], answer.trailers.as_str(), answer.is_over), (&b"ab"[..], "Z: 1\r\nY: 2\r\n", true));
    assert_eq!(answer.heads, [(103, "Link: a\r\n".into()), (200, "X: y\r\n".into())]);
    world.asks(2, get("a.example"));
    assert!(world.got(link).starts_with("GET"), "the connection is kept");
    world.host_says(link, "HTTP/1.1 204 None\r\n\r\n");
    assert!(world.answer(2).is_over);
}

#[test]
fn interim_answers_have_an_end() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    for _ in 0..16 {
        world.host_says(link, "HTTP/1.1 100 Go on\r\n\r\n");
    }
    assert_eq!(world.answer(1), Answer::default());
    world.host_says(link, "HTTP/1.1 103 Early\r\n\r\n");
    let (cause, why) = world.failed(1);
    assert!(cause == Some(Cause::Answer) && why.contains("interim"), "{why}");
}

#[test]
fn what_nobody_wants_is_broken_off() {
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.says(&Command::Cancel { request: 1 });
    world.turn();
    assert!(world.sides.hosts[&link].is_aborted);
    let link = world.reached(2, get("a.example"));
    Peer::Detach(0, b"").encode(&mut world.clients);
    world.turn();
    assert!(world.sides.hosts[&link].is_aborted);
    assert_eq!((world.answer(1), world.answer(2)), (Answer::default(), Answer::default()));
}

#[test]
fn a_box_asks_only_for_what_its_arrow_names() {
    let mut world = World::new(&[]);
    Peer::Attach(2, &Attach { host: "api.example.org", path: "/x" }.encode()).encode(&mut world.clients);
    for (request, authority, target, is_granted) in [
        (1, "api.example.org", "/x", true),
        (2, "API.example.org.:8443", "/x/y?z", true),
        (3, "example.org", "/x", false),
        (4, "api.example.org", "/xy", false),
        (5, "api.example.org", "/", false),
        (6, "api.example.org@evil.example", "/x", false),
        (7, "api.example.org", "/x/../y", false),
        (8, "api.example.org", "/x/%2E%2e/y", false),
    ] {
        let head = Head { target, ..get(authority) };
        world.says_as(2, &Command::Request { request, head });
        world.turn();
        assert_eq!(world.sides.dials.pop().is_some(), is_granted, "{authority} {target}");
        assert!(is_granted || matches!(world.failed(request).0, Some(Cause::Denied) | None), "{authority} {target}");
    }
    assert!(world.failed(3).0 == Some(Cause::Denied) && world.failed(3).1.contains("arrow"), "{:?}", world.failed(3));
}
