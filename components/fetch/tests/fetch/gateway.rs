//! Servers behind a gateway, that stand for one another.

use crate::sides::*;
use pearwood_fetch::{Config, Fetch, Wake};
use std::net::Ipv6Addr;
use wit::http::{Attach, Command, Head, Scheme};
use wit::tcp;
use wit::{Peer, names};

pub const ONE: &str = "http://192.0.2.1:8001";
pub const TWO: &str = "http://192.0.2.2:8002";
const UPSTREAMS: [(&str, &str); 2] = [("upstreams.0", ONE), ("upstreams.1", TWO)];

/// As `http` passes on what a client asks.
pub fn visits<'a>(method: &'a str, headers: &'a [u8]) -> Head<'a> {
    let remote: Ipv6Addr = "::ffff:203.0.113.7".parse().unwrap();
    Head { remote, ..asks(method, Scheme::Https, "shop.example", headers) }
}

pub fn world(more: &[(&str, &str)]) -> World {
    World::new(&[&UPSTREAMS[..], more].concat())
}

impl World {
    /// The ports of the upstreams that are asked for a connection, the last one first.
    pub fn wanted(&self) -> Vec<u16> {
        self.sides.connects.iter().rev().map(|(.., to)| to.port).collect()
    }
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn requests_go_to_upstreams_whatever_they_ask_for() {
    for (host, said) in [("keep", "shop.example"), ("upstream", "192.0.2.1:8001")] {
        let mut world = world(&[("host", host)]);
        world.asks(1, visits("GET", b"x-forwarded-for: 9.9.9.9\r\n"));
        assert_eq!(world.wanted(), [8001]);
        let link = world.connects();
        assert_eq!(
            world.got(link),
            format!(
                "GET /x?y HTTP/1.1\r\nHost: {said}\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\
                 x-forwarded-host: shop.example\r\n\
                 forwarded: for=203.0.113.7;proto=https;host=\"shop.example\"\r\nvia: 1.1 pearwood\r\n\r\n"
            )
        );
        world.host_says(link, OK);
        assert_eq!((world.status(1), &world.answer(1).body[..]), (Some(200), &b"ok"[..]));
    }
    // one that names no host, as HTTP/1.0 may
    let mut world = world(&[]);
    let link = world.reached(1, Head { authority: b"", ..visits("GET", b"") });
    assert!(world.got(link).starts_with("GET /x?y HTTP/1.1\r\nHost: 192.0.2.1:8001\r\n"));
}

#[test]
fn https_and_names_are_as_for_any_host() {
    let mut world = World::new(&[("upstreams.0", "https://A.example:8443"), ("upstreams.1", "http://b.example")]);
    world.asks(1, visits("GET", b""));
    assert_eq!(
        world.sides.dials.pop().map(|(peer, _, name, port)| (peer, name, port)),
        Some((TLS, "a.example".into(), 8443))
    );
    world.asks(2, visits("GET", b""));
    let (ticket, name) = world.sides.lookups.pop().unwrap();
    assert_eq!(name, "b.example");
    Peer::Is(0).encode(&mut world.names);
    names::Event::Failed { ticket, why: "no such name" }.encode(&mut world.names);
    world.turn();
    assert_eq!(world.sides.dials.pop().unwrap().2, "a.example", "the other may be found");
}

#[test]
fn the_one_with_the_fewest_requests_is_next() {
    let mut world = world(&[]);
    let first = world.reached(1, visits("GET", b""));
    let _second = world.reached(2, visits("GET", b""));
    let third = world.reached(3, visits("GET", b""));
    assert_eq!([first, third].map(|link| world.got(link).is_empty()), [false, false]);
    for (request, link) in [(1, first), (3, third)] {
        world.host_says(link, OK);
        assert_eq!(world.status(request), Some(200));
    }
    // the first has none now, and its connections are kept
    world.asks(4, visits("GET", b""));
    world.asks(5, visits("GET", b""));
    assert!(world.sides.connects.is_empty() || world.wanted() == [8002], "{:?}", world.wanted());
    assert!(!world.got(third).is_empty());
}

#[test]
fn one_that_cannot_be_reached_is_left_out_and_its_requests_go_to_the_other() {
    let mut world = world(&[]);
    for (request, method, body) in [(1, "GET", ""), (2, "POST", "content-length: 3\r\n")] {
        world.says(&Command::Request { request, head: visits(method, body.as_bytes()) });
        if !body.is_empty() {
            world.says(&Command::Body { request, data: b"abc" });
        }
        world.says(&Command::End { request });
    }
    world.turn();
    assert_eq!(world.wanted(), [8002, 8001]);
    world.is_refused();
    assert_eq!(world.wanted(), [8001, 8001], "nothing of it was sent, so it may go elsewhere whatever it is");
    assert!(
        world.sides.log[0].contains(&format!("upstream {TWO} is left out for 1 s: nobody is there")),
        "{:?}",
        world.sides.log
    );
    for request in [2, 1] {
        let link = world.connects();
        assert_eq!(world.got(link).ends_with("abc"), request == 2);
        world.host_says(link, OK);
        assert_eq!(world.status(request), Some(200));
    }
    for request in 3..9 {
        world.asks(request, visits("POST", b""));
    }
    assert_eq!(world.wanted(), [8001; 6]);
    world.passes(SECOND);
    world.asks(9, visits("POST", b""));
    assert_eq!(world.wanted()[0], 8002, "it is tried again");
    world.is_refused();
    world.passes(SECOND);
    world.asks(10, visits("POST", b""));
    assert_eq!(world.wanted()[0], 8001, "and left out for longer");
}

#[test]
fn what_was_sent_goes_to_another_only_if_it_may_be_done_twice() {
    for (method, headers, body, may) in [
        ("GET", "", "", true),
        ("DELETE", "", "", true),
        ("PUT", "content-length: 0\r\n", "", true),
        ("POST", "", "", false),
        ("PATCH", "content-length: 0\r\n", "", false),
        // it is gone
        ("PUT", "content-length: 3\r\n", "abc", false),
        ("GET", "", "abc", false),
    ] {
        for why in ["", "reset"] {
            let mut world = world(&[]);
            world.says(&Command::Request { request: 1, head: visits(method, headers.as_bytes()) });
            if !body.is_empty() {
                world.says(&Command::Body { request: 1, data: body.as_bytes() });
            }
            world.says(&Command::End { request: 1 });
            world.turn();
            let link = world.connects();
            let sent = world.got(link);
            assert!(sent.starts_with(method));
            world.closes(link, why);
            assert_eq!(world.wanted(), [8002][..usize::from(may)], "{method} {headers}");
            if may {
                let link = world.connects();
                assert_eq!(world.got(link), sent);
                world.host_says(link, OK);
            }
            assert_eq!(world.status(1), Some(if may { 200 } else { 502 }), "{method}");
            assert!(world.answer(1).is_over);
        }
    }
}

#[test]
fn an_answer_that_has_begun_is_not_asked_for_again() {
    for said in ["H", "HTTP/1.1 103 Early\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"] {
        let mut world = world(&[]);
        let link = world.reached(1, visits("GET", b""));
        world.host_says(link, said);
        world.closes(link, "reset");
        assert!(world.sides.connects.is_empty(), "{said}");
        if said.contains("200") {
            assert!(world.failed(1).1.contains("reset"));
        } else {
            assert_eq!(world.status(1), Some(502), "{said}");
        }
    }
}

#[test]
fn a_server_that_breaks_off_is_borne_more_than_once() {
    let mut world = world(&[("retries", "0")]);
    for request in 0..3 {
        while world.wanted().first() != Some(&8001) {
            world.sides.connects.clear();
            world.asks(100 + request, visits("POST", b""));
            world.says(&Command::Cancel { request: 100 + request });
            world.turn();
            if world.wanted().first() != Some(&8001) {
                continue;
            }
            world.asks(200 + request, visits("POST", b""));
            world.says(&Command::Cancel { request: 200 + request });
            world.turn();
            world.sides.connects.clear();
            world.asks(request, visits("POST", b""));
        }
        let link = world.connects();
        world.closes(link, "reset");
        assert_eq!(world.status(request), Some(502));
        assert_eq!(
            world.sides.log.iter().any(|line| line.contains("is left out")),
            request == 2,
            "{:?}",
            world.sides.log
        );
    }
}

#[test]
fn tries_are_not_without_end() {
    // each tries all once
    let mut world = world(&[]);
    world.asks(1, visits("GET", b""));
    world.is_refused();
    world.is_refused();
    assert_eq!((world.status(1), world.wanted().len()), (Some(502), 0));
    let answer = world.answer(1);
    assert!(answer.is_over && answer.body == b"the server gave no answer\n", "{answer:?}");
    assert!(
        world.sides.log.iter().any(|line| line.starts_with(&format!("{TWO}: nobody is there"))),
        "{:?}",
        world.sides.log
    );
    // and as many as the budget has: here of four at once, and then of each fifth
    let mut world = World::new(&[&UPSTREAMS[..], &[("requests", "4")]].concat());
    let mut tried = Vec::new();
    for request in 0..14 {
        let link = world.reached(request, visits("GET", b""));
        world.closes(link, "reset");
        tried.push(world.wanted().len());
        while !world.wanted().is_empty() {
            let link = world.connects();
            world.closes(link, "reset");
        }
        world.sides.answers.clear();
    }
    assert_eq!(tried.iter().sum::<usize>(), 6, "{tried:?}");
    // none at all: but what no server has got goes on to another
    let mut world = World::new(&[&UPSTREAMS[..], &[("retries", "0")]].concat());
    let link = world.reached(1, visits("GET", b""));
    world.closes(link, "reset");
    assert_eq!((world.status(1), world.wanted().len()), (Some(502), 0));
    for request in 2..20 {
        world.asks(request, visits("POST", b""));
        world.is_refused();
        let link = world.connects();
        world.host_says(link, OK);
        assert_eq!(world.status(request), Some(200));
    }
}

#[test]
fn a_server_that_takes_too_long_is_not_doubled() {
    let mut world = world(&[("answer-timeout", "7 s")]);
    let link = world.reached(1, visits("GET", b""));
    world.passes(7 * SECOND);
    assert_eq!((world.status(1), world.wanted().len()), (Some(504), 0));
    assert!(world.sides.hosts[&link].is_aborted);
    // but one that is not even reached is left for another
    world.asks(2, visits("GET", b""));
    let first = world.wanted()[0];
    world.passes(5 * SECOND);
    assert_eq!((world.wanted()[0] == first, world.wanted().len()), (false, 2));
    // what comes after all is not wanted
    let (peer, ticket, _) = world.sides.connects.remove(0);
    world.tcp_says(peer, &tcp::Event::Connected { connection: 9, ticket });
    world.turn();
    assert!(world.sides.hosts[&(NET, 9)].is_aborted);
    let link = world.connects();
    world.host_says(link, OK);
    assert_eq!(world.status(2), Some(200));
}

/// A connection to one server that comes late is not taken for one to the server that has the request by then.
#[test]
fn a_late_connection_is_not_for_another_server() {
    let mut world = World::new(&[("upstreams.0", "https://a.example"), ("upstreams.1", TWO)]);
    world.asks(1, visits("GET", b""));
    let (peer, ticket, ..) = world.sides.dials.pop().unwrap();
    world.passes(5 * SECOND);
    assert_eq!(world.wanted(), [8002]);
    world.tcp_says(peer, &tcp::Event::Connected { connection: 9, ticket });
    world.turn();
    assert!(world.sides.hosts[&(TLS, 9)].is_aborted);
    let link = world.connects();
    world.host_says(link, OK);
    assert_eq!(world.status(1), Some(200));
}

#[test]
fn a_connection_that_was_kept_and_is_gone_says_nothing_of_its_server() {
    let mut world = World::new(&[("upstreams", ONE)]);
    let links = [1, 2].map(|request| world.reached(request, visits("GET", b"")));
    for link in links {
        world.host_says(link, OK);
    }
    world.asks(3, visits("GET", b""));
    world.closes(links[1], "reset");
    assert_eq!(world.wanted(), [8001], "once more, by a new one");
    let link = world.connects();
    world.closes(link, "reset");
    assert_eq!(world.status(3), Some(502), "and not again");
    assert!(world.sides.log.iter().all(|line| !line.contains("left out")), "{:?}", world.sides.log);
}

#[test]
fn connections_are_left_before_the_server_leaves_them() {
    for (says, lasts) in [("timeout=5, max=100", 4), ("timeout=1", 0), ("max=3", 20), ("timeout=99", 20)] {
        let mut world = world(&[]);
        let link = world.reached(1, visits("GET", b""));
        world.host_says(link, &format!("HTTP/1.1 200 OK\r\nKeep-Alive: {says}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(world.answer(1).heads[0].1, "content-length: 0\r\n");
        if lasts > 0 {
            world.passes(lasts * SECOND - 1);
            assert!(!world.sides.hosts[&link].is_aborted, "{says}");
            world.passes(1);
        }
        assert!(world.sides.hosts[&link].is_aborted, "{says}");
    }
}

#[test]
fn servers_that_do_not_pass_their_checks_get_nothing() {
    let mut world = world(&[("health.path", "/health"), ("health.interval", "10 s")]);
    assert_eq!(world.wanted(), [8002, 8001]);
    let check = |world: &mut World, answers: [&str; 2]| {
        for answer in answers {
            let link = world.connects();
            let (port, host) = if answer == answers[0] { (8002, "192.0.2.2") } else { (8001, "192.0.2.1") };
            assert_eq!(
                world.got(link),
                format!(
                    "GET /health HTTP/1.1\r\nHost: {host}:{port}\r\nuser-agent: pearwood\r\nconnection: close\r\n\r\n"
                )
            );
            world.host_says(link, answer);
            assert!(world.sides.hosts[&link].is_aborted);
        }
        assert!(world.wanted().is_empty());
    };
    const WELL: &str = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 302 There\r\nLocation: /\r\n\r\n";
    const ILL: &str = "HTTP/1.1 500 Ill\r\n\r\n";
    check(&mut world, [ILL, WELL]);
    assert!(world.sides.log.is_empty(), "once is nothing");
    world.passes(9 * SECOND);
    assert!(world.wanted().is_empty());
    world.passes(SECOND);
    check(&mut world, [ILL, WELL]);
    let told = core::mem::take(&mut world.sides.log);
    assert_eq!(told, [format!("upstream {TWO} gets no requests until it is well: its check was answered with 500")]);
    for request in 0..4 {
        world.asks(request, visits("POST", b""));
    }
    assert_eq!(world.wanted(), [8001; 4]);
    world.sides.connects.clear();
    // the other is ill too: nobody is left
    for _ in 0..2 {
        world.passes(10 * SECOND);
        world.is_refused();
        let link = world.connects();
        world.host_says(link, "SSH-2.0-x\r\n");
        world.sides.connects.clear();
    }
    world.sides.answers.clear();
    world.asks(10, visits("GET", b""));
    assert_eq!(world.status(10), Some(503));
    assert!(world.answer(10).heads[0].1.contains("retry-after: 2\r\n") && world.sides.connects.is_empty());
    assert!(world.sides.log.iter().any(|line| line.contains("no upstream is well")), "{:?}", world.sides.log);
    world.passes(10 * SECOND);
    world.sides.log.clear();
    let link = world.connects();
    world.host_says(link, WELL);
    assert_eq!(world.sides.log[..], [format!("upstream {TWO} is well again")]);
    world.sides.connects.clear();
    world.asks(11, visits("GET", b""));
    assert_eq!(world.wanted(), [8002]);
}

#[test]
fn checks_take_no_place_of_requests_and_end_with_the_box() {
    let mut world = world(&[("requests", "1"), ("health.path", "/"), ("connect-timeout", "3 s")]);
    assert_eq!(world.wanted(), [8002, 8001]);
    world.says(&Command::Request { request: 1, head: visits("GET", b"") });
    world.turn();
    assert_eq!(world.wanted().len(), 3);
    world.says(&Command::Cancel { request: 1 });
    world.turn();
    // one that answers with nothing has its own time
    let late = world.connects();
    world.passes(3 * SECOND);
    world.passes(3 * SECOND);
    world.fetch.retire();
    for peer in 0..2 {
        Peer::Detach(peer, b"").encode(&mut world.clients);
    }
    world.turn();
    assert!(world.sides.hosts.get(&late).is_none_or(|host| host.is_aborted || host.got.is_empty()));
    assert!(world.fetch.is_done());
    world.passes(60 * SECOND);
    assert!(world.fetch.deadline() > world.now);
}

#[test]
fn an_arrow_is_for_what_it_names_however_that_is_spelt() {
    let mut world = world(&[]);
    Peer::Attach(2, &Attach { host: "shop.example", path: "/x" }.encode()).encode(&mut world.clients);
    for (request, target, is_granted) in [
        (1, "/x/y", true),
        (2, "//x/%79", true),
        (3, "/%78", true),
        (4, "/y", false),
        (5, "/x/../y", false),
        (6, "/x/%2e%2e/y", false),
        (7, "/y/%2fx", false),
    ] {
        world.says_as(2, &Command::Request { request, head: Head { target, ..visits("GET", b"") } });
        world.turn();
        assert_eq!(world.sides.connects.pop().is_some(), is_granted, "{target}");
        assert_eq!(world.status(request), (!is_granted).then_some(400), "{target}");
    }
}

/// What one side takes for the end of a message is the end for the other too: framing is written anew, and never passed on.
#[test]
fn no_request_is_smuggled() {
    let mut world = world(&[]);
    let lines = b"Transfer-Encoding: chunked\r\nConnection: x\r\nKeep-Alive: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n\
        Proxy-Authorization: x\r\ncontent-length: 5\r\nHost: other\r\n";
    world.says(&Command::Request { request: 1, head: visits("POST", lines) });
    world.says(&Command::Body { request: 1, data: b"0\r\n\r\n" });
    world.says(&Command::End { request: 1 });
    world.turn();
    let link = world.connects();
    let got = world.got(link);
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    let names: Vec<_> = head.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
    let expected =
        ["Host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "Content-Length"];
    assert_eq!((&names[..], body), (&expected[..], "0\r\n\r\n"));
    world.host_says(
        link,
        "HTTP/1.1 200 OK\r\nConnection: close, x-own\r\nX-Own: 1\r\nProxy-Authenticate: b\r\n\
        Upgrade: h2c\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    assert_eq!((world.answer(1).heads[0].1.as_str(), world.answer(1).body), ("", b"ok".to_vec()));
    assert!(world.sides.hosts[&link].is_aborted);
    for (request, lines) in
        [(2, &b"content-length: 1\r\ncontent-length: 2\r\n"[..]), (3, b"content-length: 0x1\r\n"), (4, b"a: b\nc\r\n")]
    {
        world.asks(request, visits("POST", lines));
        assert_eq!((world.status(request), world.sides.connects.len()), (Some(400), 0));
    }
}

#[test]
fn without_a_network_nobody_is_blamed() {
    let mut world = world(&[]);
    let links = [1, 2, 3, 4, 5, 6].map(|request| world.reached(request, visits("POST", b"")));
    assert!(links.iter().all(|link| link.0 == NET));
    Peer::Detach(NET, b"crashed").encode(&mut world.tcp);
    world.turn();
    for request in 1..7 {
        assert_eq!(world.status(request), Some(502));
    }
    assert!(world.sides.log.iter().all(|line| !line.contains("left out")), "{:?}", world.sides.log);
}

/// Whatever servers and clients do, each request has one end, and the box holds nothing in the end.
#[test]
fn hostile_servers_harm_nobody() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % most as u64) as usize
    };
    let parts = [
        OK,
        "HTTP/1.1 101 X\r\nUpgrade: a\r\n\r\n",
        "HTTP/1.1 100 Go\r\n\r\n",
        "HTTP/1.1 ",
        "\r\n",
        "0\r\n\r\n",
        "\0",
        "x",
    ];
    let mut world = world(&[("health.path", "/"), ("health.interval", "1 s"), ("requests", "8")]);
    let mut live = Vec::new();
    for request in 0..4_000 {
        match random(4) {
            0 => {
                let upgrade = ["", "a"][random(2)];
                world.says(&Command::Request {
                    request,
                    head: Head { upgrade, ..visits(["GET", "POST"][random(2)], b"") },
                });
                world.says(&Command::End { request });
                live.push(request);
            }
            1 if !world.sides.connects.is_empty() => match random(3) {
                0 => world.is_refused(),
                _ => drop(world.connects()),
            },
            2 if !live.is_empty() => {
                let request = live[random(live.len())];
                world.says(&match random(3) {
                    0 => Command::Cancel { request },
                    1 => Command::Body { request, data: b"body" },
                    _ => Command::End { request },
                });
            }
            _ => {
                let open: Vec<_> =
                    world.sides.hosts.iter().filter(|(_, host)| !host.is_aborted).map(|(link, _)| *link).collect();
                if !open.is_empty() {
                    let link = open[random(open.len())];
                    match random(4) {
                        0 => {
                            world.sides.hosts.remove(&link);
                            world.closes(link, ["", "reset"][random(2)]);
                        }
                        _ => world.host_says(link, parts[random(parts.len())]),
                    }
                }
            }
        }
        world.passes((random(100) as u64 + 1) * SECOND / 100);
    }
    for request in live {
        world.says(&Command::Cancel { request });
    }
    world.fetch.retire();
    world.turn();
    for peer in 0..2 {
        Peer::Detach(peer, b"").encode(&mut world.clients);
    }
    world.turn();
    assert!(world.fetch.is_done());
}

#[test]
fn a_box_with_upstreams_needs_no_more_memory_than_one_without() {
    let config = Config::read(UPSTREAMS).unwrap();
    assert!(Fetch::new(config.clone(), 1 << 20).is_ok());
    let mut fetch = Fetch::new(config, 1 << 20).unwrap();
    let mut sides = Sides::default();
    fetch.turn(Wake { now: 1, ..Wake::default() }, &mut sides);
    assert!(fetch.deadline() > 1);
}

/// A host that looks like elements of `forwarded` is none that a receiver is told of there: some do not honour quotes.
#[test]
fn a_host_forges_no_element() {
    let mut world = world(&[]);
    for (request, host) in [(1, "a,for=6.6.6.6;proto=https;x="), (2, "a;b"), (3, "%22")] {
        let link = world.reached(request, Head { authority: host.as_bytes(), ..visits("POST", b"") });
        assert_eq!(
            world.got(link),
            format!(
                "POST /x?y HTTP/1.1\r\nHost: {host}\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\
                 forwarded: for=203.0.113.7;proto=https\r\nvia: 1.1 pearwood\r\nContent-Length: 0\r\n\r\n"
            )
        );
    }
    for (request, host) in [(4, "a-b.example:8443"), (5, "[2001:db8::1]:8443"), (6, "a_b")] {
        let link = world.reached(request, Head { authority: host.as_bytes(), ..visits("POST", b"") });
        let got = world.got(link);
        assert!(got.contains(&format!("x-forwarded-host: {host}\r\n")) && got.contains(&format!(";host=\"{host}\"")));
    }
}

/// A try is paid for only when there is another server to have it.
#[test]
fn a_try_that_there_is_no_server_for_costs_nothing() {
    let mut world = world(&[("requests", "1"), ("retries", "1"), ("health.path", "/")]);
    for _ in 0..2 {
        world.is_refused();
        let link = world.connects();
        world.host_says(link, OK);
        world.passes(10 * SECOND);
    }
    world.sides.connects.clear();
    let link = world.reached(1, visits("GET", b""));
    world.closes(link, "reset");
    assert_eq!((world.status(1), world.wanted().len()), (Some(502), 0));
    world.passes(10 * SECOND);
    for _ in 0..2 {
        let link = world.connects();
        world.host_says(link, OK);
    }
    let link = world.reached(2, visits("GET", b""));
    world.closes(link, "reset");
    let link = world.connects();
    world.host_says(link, OK);
    assert_eq!(world.status(2), Some(200));
}

/// Checks have no places, so they hold little: and that is seen to be there.
#[test]
fn a_check_holds_no_more_than_a_small_head() {
    let mut world = World::new(&[("upstreams", ONE), ("health.path", "/health"), ("health.interval", "10 s")]);
    for _ in 0..2 {
        let link = world.connects();
        world.host_says(link, &format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(8_000)));
        assert!(!world.sides.hosts[&link].is_aborted);
        world.host_says(link, &"b".repeat(400));
        assert!(world.sides.hosts[&link].is_aborted);
        world.passes(10 * SECOND);
    }
    let told = format!("upstream {ONE} gets no requests until it is well: the answer to a check has too large a head");
    assert_eq!(world.sides.log, [told]);

    let many: Vec<_> = (1..33).map(|port| ("upstreams".into(), format!("http://a.example:{port}"))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value): &(String, String)| (&key[..], &value[..])).collect();
    let fits =
        |settings: &[(&str, &str)]| Fetch::new(Config::read(settings.iter().copied()).unwrap(), 800 << 10).map(drop);
    assert_eq!(fits(&many), Ok(()));
    assert!(fits(&[&many[..], &[("health.path", "/")]].concat()).unwrap_err().contains("memory is too small"));
}

/// An upstream believes what a gateway says of where a request came from: so no box says it for the gateway.
#[test]
fn boxes_forge_nothing_at_a_gateway_either() {
    let forged = b"X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX_Real_IP: 9.9.9.9\r\na: b\r\n";
    let mut gateway = world(&[]);
    let link = gateway.reached(1, asks("GET", Scheme::Http, "a.example", forged));
    assert_eq!(gateway.got(link), "GET /x?y HTTP/1.1\r\nHost: a.example\r\na: b\r\n\r\n");
    let mut other = World::new(&[]);
    let link = other.reached(1, asks("GET", Scheme::Https, "a.example", forged));
    assert!(other.got(link).contains("X-Forwarded-For: 9.9.9.9"), "elsewhere they speak for themselves");
}

#[test]
fn checks_ask_for_the_host_that_is_set() {
    for (settings, said) in
        [(&[][..], "192.0.2.1:8001"), (&[("host", "keep")], "192.0.2.1:8001"), (&[("health.host", "a.b:1")], "a.b:1")]
    {
        let mut world = World::new(&[&[("upstreams", ONE), ("health.path", "/")], settings].concat());
        let link = world.connects();
        assert!(world.got(link).starts_with(&format!("GET / HTTP/1.1\r\nHost: {said}\r\n")));
    }
}

#[test]
fn upstreams_have_figures() {
    use wit::figures::{Figure, Value};
    let mut world = world(&[]);
    world.fetch.reports();
    let state = |world: &World, upstream: &str| -> Vec<Value> {
        let of = |figure: &&Figure| figure.labels == [("upstream", upstream.to_string())];
        world.sides.reported.iter().filter(of).map(|figure| figure.value.clone()).collect()
    };
    let told = |state: &str, requests, errors| {
        vec![Value::Text(state.into()), Value::Counter(requests), Value::Counter(errors)]
    };
    world.asks(1, visits("GET", b""));
    world.asks(2, visits("GET", b""));
    world.is_refused();
    let link = world.connects();
    world.host_says(link, OK);
    world.passes(SECOND);
    // one was tried and is in again since a second has passed
    assert_eq!((state(&world, ONE), state(&world, TWO)), (told("well", 2, 0), told("well", 1, 1)));
    world.asks(3, visits("GET", b""));
    world.asks(4, visits("GET", b""));
    world.is_refused();
    world.passes(SECOND);
    let out: Vec<_> = [ONE, TWO].map(|one| state(&world, one)[0].clone()).into();
    assert!(out.contains(&Value::Text("left out".into())), "{out:?}: for two seconds this time");
    world.passes(2 * SECOND);
    assert_eq!([ONE, TWO].map(|one| state(&world, one)[0].clone()), [(); 2].map(|()| Value::Text("well".into())));
}
