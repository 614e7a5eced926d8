//! What is not a request, and what this server will not do.

mod common;
use common::{Bench, responses};

/// The status that a stream is answered with, in one piece and byte by byte; no handler may see any of it, and the
/// connection must end.
fn refused(settings: &[(&str, &str)], stream: &[u8]) -> u16 {
    let in_one = |pieces: usize| {
        let mut bench = Bench::with(settings);
        let client = bench.connect();
        for piece in stream.chunks(pieces) {
            bench.send(client, piece);
        }
        assert!(bench.requests().is_empty(), "a handler got {:?}", bench.requests());
        let responses = responses::read(&bench.client(client).received, &[]).unwrap();
        assert_eq!(responses.len(), 1, "{:?}", String::from_utf8_lossy(stream));
        assert_eq!(responses[0].header("connection"), Some("close"));
        assert!(bench.client(client).finished);
        responses[0].status
    };
    let whole = in_one(stream.len());
    assert_eq!(in_one(1), whole, "byte by byte: {:?}", String::from_utf8_lossy(stream));
    whole
}

fn assert_refused(status: u16, streams: &[&str]) {
    for stream in streams {
        assert_eq!(refused(&[], stream.as_bytes()), status, "{stream:?}");
    }
}

#[test]
fn request_lines_that_are_none() {
    assert_refused(
        400,
        &[
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /#f HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /[] HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        ],
    );
}

#[test]
fn versions_and_methods_not_spoken() {
    assert_refused(505, &["GET / HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]);
    assert_refused(400, &["GET / http/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/11 \r\n\r\n"]);
    let long = format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(300));
    assert_refused(501, &["CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", &long]);
}

#[test]
fn host_is_needed_once_and_valid() {
    assert_refused(
        400,
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h:8x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        ],
    );
}

/// What two servers in a row could understand differently.
#[test]
fn smuggling() {
    assert_refused(
        400,
        &[
            // framing by two lengths
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
            // lengths that are none
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
            // transfer codings
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            // names and lines
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\n Content-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\rX: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX y: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\n\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
        ],
    );
    assert_refused(501, &["POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"]);
    assert_refused(417, &["POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: wonders\r\n\r\n"]);
}

#[test]
fn limits() {
    let settings = [("header-bytes", "1 KiB"), ("target-bytes", "100"), ("headers", "10"), ("body-bytes", "1000")];
    let with = |stream: String| refused(&settings, stream.as_bytes());
    assert_eq!(with(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(100))), 414);
    assert_eq!(with(format!("GET /{}", "a".repeat(2000))), 414);
    assert_eq!(with(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(1024))), 431);
    assert_eq!(with(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "a".repeat(1024))), 431);
    assert_eq!(with(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: a\r\n".repeat(10))), 431);
    assert_eq!(with("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n".into()), 413);
    assert_eq!(with("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999\r\n\r\n".into()), 413);
    // What is just within them is served.
    let mut bench = Bench::with(&settings);
    let client = bench.connect();
    let line = format!("POST /{} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n", "a".repeat(99));
    let padding = "X: a\r\n".repeat(7) + &format!("X: {}\r\n\r\n", "a".repeat(1024 - line.len() - 7 * 6 - 7));
    assert_eq!((line.clone() + &padding).len(), 1024);
    bench.send(client, line + &padding + &"b".repeat(1000));
    assert!(bench.last().ended);
}

#[test]
fn chunked_bodies_that_are_too_large_or_none() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, status) in [
        ("5\r\nhello\r\nzz\r\n", 400),
        ("5\r\nhello0\r\n\r\n", 400),
        ("5\nhello\r\n0\r\n\r\n", 400),
        ("-5\r\nhello\r\n", 400),
        ("fffffffffffffffff\r\n", 400),
        ("0\r\nbad trailer\r\n\r\n", 400),
        ("8\r\n12345678\r\n3\r\n123\r\n0\r\n\r\n", 413),
        ("ffffffff\r\n12345678901", 413),
    ] {
        for pieces in [1, 1000] {
            let mut bench = Bench::with(&[("body-bytes", "10")]);
            let client = bench.connect();
            for piece in format!("{head}{body}").as_bytes().chunks(pieces) {
                bench.send(client, piece);
            }
            assert!(bench.last().cancelled && !bench.last().ended, "{body:?}");
            let responses = responses::read(&bench.client(client).received, &[]).unwrap();
            assert_eq!(responses[0].status, status, "{body:?}");
            assert_eq!(responses.len(), 1);
            assert!(bench.client(client).finished);
        }
    }
    // After the head of the response only the connection can say so.
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, head);
    let request = bench.last().id;
    bench.event(wit::http::Event::Response { request, status: 200, headers: b"" });
    bench.event(wit::http::Event::Body { request, data: b"part" });
    bench.turn();
    bench.send(client, "5\r\nhello\rX");
    let responses = responses::read(&bench.client(client).received, &[]).unwrap();
    assert_eq!((responses[0].status, responses[0].whole), (200, false));
    assert!(bench.client(client).finished && bench.last().cancelled);
}

#[test]
fn refusals_wait_for_earlier_responses() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\nBAD\r\n\r\n");
    assert_eq!(bench.client(client).text(), "");
    bench.respond_text(bench.last().id, "x");
    let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
    assert_eq!(responses.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 400]);
    assert!(bench.client(client).finished);
}

#[test]
fn without_a_handler() {
    let mut bench = Bench::without_handler(&[("access-log", "common")]);
    let client = bench.connect();
    bench.send(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
    assert_eq!(responses[0].status, 503);
    let length = responses[0].body.len();
    assert!(responses[0].header("retry-after").is_some());
    assert!(!bench.client(client).finished, "the connection is kept");
    bench.attach_handler(0, "", "/only");
    bench.send(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
    assert_eq!(responses[0].status, 404);
    let absent = responses[0].body.len();
    bench.detach_handler(0);
    bench.send(client, "HEAD /only HTTP/1.1\r\nHost: h\r\n\r\n");
    let responses = responses::read(bench.take(client).as_bytes(), &["HEAD"]).unwrap();
    assert_eq!((responses[0].status, responses[0].header("retry-after").is_some()), (503, true));
    bench.send(client, "POST /only HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert!(bench.take(client).starts_with("HTTP/1.1 503 "));
    assert!(bench.client(client).finished, "the body was not read");
    // D13: with the bytes that went out
    let logged = |what: &str| bench.outside.log.iter().any(|(_, line)| line.contains(what));
    assert!(length > 0 && logged(&format!("\"GET / HTTP/1.1\" 503 {length}")), "{:?}", bench.outside.log);
    assert!(
        logged(&format!("\"GET / HTTP/1.1\" 404 {absent}")) && logged("\"HEAD /only HTTP/1.1\" 503 0"),
        "{:?}",
        bench.outside.log
    );
}
