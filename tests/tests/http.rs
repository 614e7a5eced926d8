//! HTTP end to end: what curl and less polite clients get from the boxes of `examples/boxes`.

use std::{io::Read, time::Duration};
use tests::{
    TestNode,
    client::{Raw, curl, status_of},
    load, on_one_node,
};

on_one_node!(
    "boxes",
    bodies_go_both_ways,
    another_protocol_on_a_connection,
    connections_are_kept_and_requests_pipelined,
    bad_requests_are_answered_as_such,
    sixty_four_connections,
    slow_headers_keep_nobody_out,
    a_refused_body_ends_the_connection,
);

fn bodies_go_both_ways(node: &TestNode) {
    let body = vec![b'x'; 300_000];
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &body).expect("written");
    let upload = format!("@{}", file.path().display());
    // with a length, and chunked; curl waits for 100 Continue with a body of this size
    for header in ["Content-Type: text/x-test", "Transfer-Encoding: chunked"] {
        let answer = curl(&["--header", header, "--data-binary", &upload], &node.url("/echo/upload"));
        assert_eq!((answer.status, answer.body == body), (200, true), "{header}: {} bytes", answer.body.len());
    }
    let generated = curl(&[], &node.url("/echo/bytes?n=1000000"));
    assert_eq!(generated.body.len(), 1_000_000);
    let old = curl(&["--http1.0"], &node.url("/echo/bytes?n=1000"));
    assert_eq!(old.body.len(), 1_000);
}

fn another_protocol_on_a_connection(node: &TestNode) {
    let mut raw = Raw::connect(&node.authority());
    let ask = b"GET /echo/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let head = raw.say(ask).say(b"early").hear_until(b"\r\n\r\nearly");
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: echo\r\n"), "{head}");
    for size in [1, 70_000, 3] {
        let piece: Vec<u8> = (0..size).map(|n| n as u8).collect();
        let mut came = vec![0; size];
        raw.say(&piece).0.read_exact(&mut came).expect("it comes back");
        assert!(came == piece, "other bytes");
    }
    // a handler without this protocol answers as always
    let curl = curl(&["--header", "Connection: Upgrade", "--header", "Upgrade: h2c"], &node.url("/echo/status/200"));
    assert_eq!(curl.status, 200);
    raw.0.shutdown(std::net::Shutdown::Write).expect("it is open");
    assert!(raw.hear_all().is_empty(), "the end comes back as well");
}

fn connections_are_kept_and_requests_pipelined(node: &TestNode) {
    let mut raw = Raw::connect(&node.authority());
    for _ in 0..3 {
        raw.say(b"GET /echo/status/204 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(raw.hear_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 204 "));
    }
    // one that is slow first: answers come in the order of the requests
    let slow = "GET /echo/slow?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /echo/status/404 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let heard = raw.say(format!("{slow}{slow}{last}").as_bytes()).hear_all();
    let text = String::from_utf8_lossy(&heard);
    let statuses: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).map(|l| &l[9..12]).collect();
    assert_eq!(statuses, ["200", "200", "404"], "{text}");
}

fn bad_requests_are_answered_as_such(node: &TestNode) {
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9_000));
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let cases: &[(&str, &[u8], u16)] = &[
        ("no HTTP", b"hello\r\n\r\n", 400),
        ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
        ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            "both lengths",
            b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("two lengths", b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("a length that is none", b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("space before the colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("a folded line", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
        ("a bad chunk", b"POST /echo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
        (
            "an unknown coding",
            b"POST /echo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("a long target", long.as_bytes(), 414),
        ("large headers", large.as_bytes(), 431),
        ("too large a body", b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ("another version", b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    ];
    for (what, request, status) in cases {
        assert_eq!(status_of(&node.authority(), request), *status, "{what}");
    }
    assert_eq!(curl(&[], &node.url("/")).status, 200, "and it still serves");
}

/// H7: a body that is too long to be read for nothing, of a request that is refused.
fn a_refused_body_ends_the_connection(node: &TestNode) {
    let mut raw = Raw::connect(&node.authority());
    let heard = raw.say(b"POST /index.html HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n").hear_all();
    let text = String::from_utf8_lossy(&heard);
    assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("\r\nConnection: close\r\n"), "{text}");
}

fn sixty_four_connections(node: &TestNode) {
    let load = load::wrk(&node.url("/"), 64, Duration::from_secs(5));
    assert!(load.requests > 64, "{load:?}");
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
}

/// More connections than there may be, each sending its header for ever: an honest client is served all the same.
fn slow_headers_keep_nobody_out(node: &TestNode) {
    let slow: Vec<Raw> = (0..1_200)
        .map(|_| {
            let mut raw = Raw::connect(&node.authority());
            // QEMU lets only two connections wait until it takes them, and others for seconds: this one has been taken
            // once it is answered, or turned away
            raw.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").hear_some();
            raw.say(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
            raw
        })
        .collect();
    assert_eq!(curl(&["--retry", "5", "--retry-all-errors"], &node.url("/")).status, 200);
    drop(slow);
}
