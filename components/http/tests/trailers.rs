//! Trailers, from clients and from handlers.

mod common;
use common::{Bench, responses};
use wit::http::Event;

const POST: &str =
    "POST / HTTP/1.1\r\nHost: h\r\nTrailer: Digest\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nTE: trailers\r\n\r\n";

#[test]
fn those_of_a_client_reach_the_handler_however_they_are_cut() {
    let stream = format!("{POST}Digest: a  b\r\nX:y\r\nContent-Length: 9\r\nHost: evil\r\nSet-Cookie: a\r\n\r\n");
    for cut in POST.len() - 5..stream.len() {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, &stream[..cut]);
        assert!(!bench.last().ended, "cut at {cut}");
        bench.send(client, &stream[cut..]);
        let request = bench.last();
        assert_eq!((request.headers.as_str(), request.body.as_slice()), ("Trailer: Digest\r\n", &b"hello"[..]));
        assert_eq!((request.trailers.as_str(), request.ended), ("Digest: a  b\r\nX: y\r\n", true), "cut at {cut}");
        bench.respond_text(request.id, "ok");
        bench.send(client, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(bench.last().target, "/next", "cut at {cut}");
    }
}

#[test]
fn those_of_a_client_are_within_the_limits_of_heads() {
    for (trailers, status) in [
        (format!("a: {}\r\n\r\n", "x".repeat(20_000)), 431),
        (format!("a: {}", "x".repeat(20_000)), 431),
        ("a: b\r\n".repeat(101) + "\r\n", 431),
        ("no colon\r\n\r\n".into(), 400),
        ("a: b\n\r\n".into(), 400),
        ("a : b\r\n\r\n".into(), 400),
    ] {
        for piece in [trailers.len(), 1000] {
            let mut bench = Bench::new();
            let client = bench.connect();
            bench.send(client, POST);
            for piece in trailers.as_bytes().chunks(piece) {
                bench.send(client, piece);
            }
            let request = bench.last();
            assert!(request.cancelled && !request.ended && request.trailers.is_empty());
            let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
            assert_eq!(
                (responses.len(), responses[0].status),
                (1, status),
                "{:?}",
                &trailers[..20.min(trailers.len())]
            );
        }
    }
}

#[test]
fn a_client_that_stops_in_its_trailers_is_given_up() {
    let stopped = || {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, format!("{POST}a: b"));
        (bench, client)
    };
    let (mut bench, client) = stopped();
    bench.finish(client);
    assert!(bench.take(client).starts_with("HTTP/1.1 400 "));
    let (mut bench, client) = stopped();
    bench.now = bench.http.deadline();
    bench.turn();
    assert!(bench.take(client).starts_with("HTTP/1.1 408 "), "not the handler's fault");
}

#[test]
fn a_full_handler_gets_them_later() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, POST);
    bench.outside.handler_full = true;
    for _ in 0..40 {
        // fills what the box keeps for the handler
        let other = bench.connect();
        bench.send(other, format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000)));
    }
    bench.send(client, "a: b\r\n\r\n");
    bench.finish(client);
    let first = bench.requests()[0].clone();
    assert!(!first.ended && first.trailers.is_empty());
    bench.outside.handler_full = false;
    bench.room = true;
    bench.turn();
    let first = bench.requests()[0].clone();
    assert_eq!((first.trailers.as_str(), first.ended), ("a: b\r\n", true));
}

/// The response to a request, whose handler gives trailers.
fn answered(request: &str, headers: &str) -> String {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, request);
    let request = bench.last().id;
    bench.event(Event::Response { request, status: 200, headers: headers.as_bytes() });
    bench.event(Event::Body { request, data: b"hello" });
    bench.event(Event::Trailers { request, lines: b"digest: x\r\nTransfer-Encoding: chunked\r\n" });
    bench.event(Event::End { request });
    bench.turn();
    assert!(!bench.request(request).cancelled);
    bench.take(client)
}

#[test]
fn those_of_a_handler_reach_a_client_that_takes_them() {
    let head = "HTTP/1.1 200 OK\r\ntrailer: digest\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = format!("{head}5\r\nhello\r\n0\r\ndigest: x\r\n\r\n");
    assert_eq!(answered(GET, "trailer: digest\r\n"), whole);
    let plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let without = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(answered(plain, "trailer: digest\r\n"), without);
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(answered(GET, "content-length: 5\r\n"), whole);
    assert!(answered("GET / HTTP/1.0\r\nTE: trailers\r\n\r\n", "").ends_with("\r\n\r\nhello"));
    assert!(answered(&GET.replace("GET", "HEAD"), "").ends_with("\r\n\r\n"));
}

#[test]
fn what_no_handler_may_do_with_them() {
    let wrong: [&[Event<'_>]; 5] = [
        &[Event::Trailers { request: 0, lines: b"a: b\r\n" }],
        &[
            Event::Response { request: 0, status: 200, headers: b"" },
            Event::Trailers { request: 0, lines: b"a: b\r\n\r\n" },
        ],
        &[Event::Response { request: 0, status: 200, headers: b"" }, Event::Trailers { request: 0, lines: b"a: b" }],
        &[
            Event::Response { request: 0, status: 200, headers: b"" },
            Event::Trailers { request: 0, lines: b"a: b\r\n" },
            Event::Trailers { request: 0, lines: b"a: b\r\n" },
        ],
        &[
            Event::Response { request: 0, status: 200, headers: b"" },
            Event::Trailers { request: 0, lines: b"a: b\r\n" },
            Event::Body { request: 0, data: b"x" },
        ],
    ];
    for events in wrong {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, GET);
        let id = bench.last().id;
        for event in events {
            bench.event(match *event {
                Event::Response { status, headers, .. } => Event::Response { request: id, status, headers },
                Event::Trailers { lines, .. } => Event::Trailers { request: id, lines },
                Event::Body { data, .. } => Event::Body { request: id, data },
                _ => unreachable!(),
            });
        }
        bench.turn();
        assert!(bench.request(id).cancelled, "{events:?}");
        let response = bench.take(client);
        assert!(
            !response.contains("\r\n\r\n0\r\n\r\n") && !response.ends_with("\r\n\r\n\r\n"),
            "{events:?}: {response}"
        );
    }
}
