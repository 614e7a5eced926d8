//! Hosts that do not answer, or not as they should.

use crate::sides::*;
use pearwood_fetch::Wake;
use wit::http::{Command, Scheme};
use wit::tcp::Cause;
use wit::{Peer, tcp};

#[test]
fn answers_that_are_none_fail() {
    for (said, why) in [
        ("SSH-2.0-x\r\n\r\n", "not one of HTTP/1.1"),
        ("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "that nobody has asked for"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk is malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na b: c\r\n\r\n", "name is not valid"),
        (&format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(62_000)), "too large"),
    ] {
        let mut world = World::new(&[]);
        let link = world.reached(1, get("a.example"));
        world.host_says(link, said);
        let (cause, told) = world.failed(1);
        assert!(cause == Some(Cause::Answer) && told.contains(why), "{told}");
        assert!(told.starts_with("https://a.example:443: ") && world.sides.log[..] == [told], "{:?}", world.sides.log);
        assert!(world.sides.hosts[&link].is_aborted);
    }
}

#[test]
fn answers_that_are_cut_short_fail() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n",
    ] {
        for is_closed in [false, true] {
            let mut world = World::new(&[]);
            let link = world.reached(1, get("a.example"));
            world.host_says(link, said);
            world.tcp_says(
                link.0,
                &match is_closed {
                    true => tcp::Event::Closed { connection: link.1, why: "the other side broke off" },
                    false => tcp::Event::Finished { connection: link.1 },
                },
            );
            world.turn();
            assert_eq!(world.failed(1).0, Some(Cause::Terminated), "{said}");
        }
    }
    // what has come and is complete is for a slow client too
    for (length, is_whole) in
        [("Transfer-Encoding: chunked", true), ("Transfer-Encoding: chunked", false), ("Content-Length: 60000", true)]
    {
        let mut world = World::new(&[]);
        let link = world.reached(1, get("a.example"));
        let is_chunked = length.starts_with('T');
        let part = "x".repeat(30_000);
        let chunk = if is_chunked { format!("7530\r\n{part}\r\n") } else { part };
        world.host_says(link, &format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n{chunk}"));
        world.sides.client_is_deaf = true;
        world.host_says(link, &chunk);
        world.host_says(link, if is_chunked && is_whole { "0\r\n\r\n" } else { "" });
        world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: "the other side broke off" });
        world.turn();
        world.sides.client_is_deaf = false;
        world.fetch.turn(Wake { now: world.now, room: true, ..Wake::default() }, &mut world.sides);
        world.turn();
        let answer = world.answer(1);
        assert_eq!(
            (answer.body.len(), answer.is_over, answer.failed.is_some()),
            (60_000, is_whole, !is_whole),
            "{length}"
        );
    }
    // without a word of TLS's that this is the end, it may be cut short by anybody
    let mut world = World::new(&[]);
    let link = world.reached(1, get("a.example"));
    world.host_says(link, "HTTP/1.1 200 OK\r\n\r\nsome");
    world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: "the other side broke off" });
    world.turn();
    assert_eq!(world.failed(1).0, Some(Cause::Terminated));
}

#[test]
fn failures_on_the_way_are_told() {
    let mut world = World::new(&[]);
    world.asks(1, get("a.example"));
    let (_, ticket, ..) = world.sides.dials.pop().unwrap();
    let why = "the certificate has expired";
    world.tcp_says(TLS, &tcp::Event::Failed { ticket, cause: Cause::Certificate, alert: 0, why });
    world.turn();
    assert_eq!(world.failed(1), (Some(Cause::Certificate), format!("https://a.example:443: {why}")));
    // another may be granted what the first one is not
    Peer::Attach(2, &[]).encode(&mut world.tcp);
    world.tcp_says(2, &tcp::Event::Secures);
    world.asks(2, get("a.example"));
    for peer in [TLS, 2] {
        let (asked, ticket, ..) = world.sides.dials.pop().unwrap();
        assert_eq!(asked, peer);
        world.tcp_says(peer, &tcp::Event::Failed { ticket, cause: Cause::Denied, alert: 0, why: "not granted" });
        world.turn();
    }
    assert_eq!(world.failed(2).0, Some(Cause::Denied));
    // with whoever was to make it
    world.asks(3, get("a.example"));
    Peer::Detach(TLS, b"crashed").encode(&mut world.tcp);
    world.turn();
    assert_eq!(world.failed(3).0, Some(Cause::Unreachable));
    world.asks(4, asks("GET", Scheme::Http, "192.0.2.1", b""));
    Peer::Detach(NET, b"crashed").encode(&mut world.tcp);
    world.turn();
    assert_eq!(world.failed(4).0, Some(Cause::Unreachable));
    world.asks(5, asks("GET", Scheme::Http, "192.0.2.1", b""));
    assert_eq!(world.failed(5).0, Some(Cause::Unreachable));
    // what is not valid, at once
    for (request, head) in [(6, asks("CONNECT", Scheme::Https, "a", b"")), (7, get("u@a")), (8, get(""))] {
        world.asks(request, head);
        assert_eq!(world.failed(request).0, None);
    }
}

#[test]
fn one_that_secures_may_be_late_and_may_be_missing() {
    let mut world = World::new(&[("connect-timeout", "5 s")]);
    Peer::Detach(TLS, b"").encode(&mut world.tcp);
    world.turn();
    world.asks(1, get("a.example"));
    assert_eq!(world.answer(1), Answer::default());
    Peer::Attach(TLS, &[]).encode(&mut world.tcp);
    world.tcp_says(TLS, &tcp::Event::Secures);
    world.turn();
    assert_eq!(world.sides.dials.pop().unwrap().0, TLS);
    Peer::Detach(TLS, b"").encode(&mut world.tcp);
    world.asks(2, get("a.example"));
    world.now += 5 * SECOND;
    world.turn();
    let (cause, why) = world.failed(2);
    assert!(cause == Some(Cause::Denied) && why.contains("no box secures connections"), "{why}");
}

/// Whatever a host says, its request has one answer or fails, and others go on.
#[test]
fn hostile_hosts_harm_nobody() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % most as u64) as usize
    };
    let parts = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404 No\r\n",
        "HTTP/1.1 100 Go\r\n\r\n",
        "HTTP/1.1 103 X\r\n\r\n",
        "\r\n",
        "\r\n\r\n",
        "Content-Length: 7\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "a: b\r\n",
        "7\r\nabcdefg\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "fffffffffffffff\r\n",
        "Connection: close\r\n",
        "\0",
        "\n",
        "0\r\n",
        "abcdefg",
        "HTTP/1.1 204 None\r\n\r\n",
        "HTTP/1.1 304 Same\r\n",
    ];
    let mut world = World::new(&[]);
    let (mut well, mut badly) = (0, 0);
    for request in 0..3_000 {
        world.asks(request, asks(["GET", "HEAD", "POST"][random(3)], Scheme::Https, "a.example", b""));
        let link = match world.sides.dials.is_empty() {
            true => *world.sides.hosts.iter().rfind(|(_, host)| !host.is_aborted).unwrap().0,
            false => world.connects(),
        };
        world.got(link);
        for _ in 0..random(8) {
            let mut part = parts[random(parts.len())].to_string();
            if random(8) == 0 {
                part.truncate(random(part.len() + 1));
            }
            world.host_says(link, &part);
        }
        world.tcp_says(link.0, &tcp::Event::Closed { connection: link.1, why: ["", "reset"][random(2)] });
        world.turn();
        if world.sides.dials.pop().is_some() {
            world.says(&Command::Cancel { request });
            world.turn();
            continue;
        }
        let answer = world.answer(request);
        assert!(answer.is_over != answer.failed.is_some(), "{answer:?}");
        (well, badly) = (well + usize::from(answer.is_over), badly + usize::from(!answer.is_over));
        world.sides.hosts.clear();
        world.sides.answers.clear();
        world.sides.log.clear();
    }
    assert!(well > 100 && badly > 1_000, "{well} {badly}");
}
