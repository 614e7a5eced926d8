//! What becomes of responses on their way to the client.

mod common;
use common::{Bench, SECOND, responses};
use wit::http::Event;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A request has come, and its handler is to answer.
fn asked(request: &str) -> (Bench, u32, u32) {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, request);
    let id = bench.last().id;
    (bench, client, id)
}

#[test]
fn without_content_length_the_body_is_chunked() {
    let (mut bench, client, id) = asked(GET);
    bench.event(Event::Response { request: id, status: 200, headers: b"a: b\r\n" });
    bench.event(Event::Body { request: id, data: b"hello" });
    bench.event(Event::Body { request: id, data: b"" });
    bench.turn();
    assert_eq!(bench.take(client), "HTTP/1.1 200 OK\r\na: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    bench.event(Event::Body { request: id, data: &[b'x'; 300] });
    bench.event(Event::End { request: id });
    bench.turn();
    assert_eq!(bench.take(client), format!("12c\r\n{}\r\n0\r\n\r\n", "x".repeat(300)));
    assert!(!bench.client(client).finished);
}

#[test]
fn for_http_1_0_the_connection_ends_the_body() {
    let (mut bench, client, id) = asked("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    bench.respond(id, 200, "", "hello");
    assert_eq!(bench.take(client), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    assert!(bench.client(client).finished);
}

#[test]
fn date_and_server_are_added_unless_given() {
    let mut bench = Bench::with(&[("server", "Pearwood")]);
    bench.outside.wall_clock = Some(784_111_777 * SECOND);
    bench.wait(SECOND);
    let client = bench.connect();
    bench.send(client, GET);
    bench.respond_text(bench.last().id, "x");
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(bench.take(client), format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n{date}Server: Pearwood\r\n\r\nx"));
    bench.send(client, GET);
    bench.respond(bench.last().id, 204, "date: then\r\nserver: other\r\n", "");
    assert_eq!(bench.take(client), "HTTP/1.1 204 No Content\r\ndate: then\r\nserver: other\r\n\r\n");
    bench.outside.wall_clock = Some(784_111_778 * SECOND);
    bench.wait(SECOND);
    bench.send(client, "BAD\r\n\r\n");
    assert!(bench.take(client).contains("Date: Sun, 06 Nov 1994 08:49:38 GMT\r\nServer: Pearwood\r\n"));
}

#[test]
fn responses_without_a_body() {
    for (request, status, headers, expected) in [
        (
            "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
            200,
            "content-length: 9\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        ),
        ("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 200, "", "HTTP/1.1 200 OK\r\n\r\n"),
        (
            GET,
            304,
            "content-length: 9\r\netag: \"x\"\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\netag: \"x\"\r\n\r\n",
        ),
        (GET, 204, "content-length: 9\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        // RFC 9110, section 15.3.6: without content, and RFC 9112 has clients look for its end all the same
        (GET, 205, "content-length: 9\r\n", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        (GET, 205, "a: b\r\n", "HTTP/1.1 205 Reset Content\r\na: b\r\nContent-Length: 0\r\n\r\n"),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            205,
            "",
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        ),
    ] {
        let (mut bench, client, id) = asked(request);
        bench.respond(id, status, headers, "unwanted!");
        assert_eq!(bench.take(client), expected);
        assert!(!bench.client(client).finished);
        bench.send(client, GET);
        assert_ne!(bench.last().id, id, "the connection goes on");
    }
}

#[test]
fn a_body_longer_than_announced_is_cut_and_the_connection_ends() {
    let (mut bench, client, id) = asked(GET);
    bench.respond(id, 200, "content-length: 3\r\n", "hello");
    assert_eq!(bench.take(client), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhel");
    assert!(bench.client(client).finished && bench.logged("longer than its content-length"));
}

#[test]
fn a_body_shorter_than_announced_ends_the_connection() {
    let (mut bench, client, id) = asked(GET);
    bench.respond(id, 200, "content-length: 9\r\n", "hello");
    let response = &responses::read(bench.take(client).as_bytes(), &[]).unwrap()[0];
    assert_eq!((response.text(), response.whole), ("hello", false));
    assert!(bench.client(client).finished && bench.logged("shorter than its content-length"));
}

#[test]
fn heads_that_are_none_become_502() {
    for (status, headers) in [
        (200, "a: b\r\n\r\nHTTP/1.1 200 OK\r\n"),
        (200, "a: b\nset-cookie: x\r\n"),
        (200, "a: b\rset-cookie: x\r\n"),
        (200, "a: b"),
        (200, "content-length: 1\r\ncontent-length: 2\r\n"),
        (100, ""),
        (999, ""),
    ] {
        let (mut bench, client, id) = asked(GET);
        bench.respond(id, status, headers, "x");
        let response = &responses::read(bench.take(client).as_bytes(), &[]).unwrap()[0];
        assert_eq!(response.status, 502, "{headers:?}");
        assert!(bench.request(id).cancelled);
        assert!(!bench.client(client).finished, "the request was whole, so the connection can go on");
    }
}

#[test]
fn what_no_handler_may_do() {
    type Deed = fn(&mut Bench, u32);
    let before_head: [Deed; 5] = [
        |bench, id| bench.event(Event::Body { request: id, data: b"x" }),
        |bench, id| bench.event(Event::End { request: id }),
        |bench, id| bench.handler_record(0, 1, id, b"\xc8\0\x01\0\0\0"),
        |bench, id| bench.handler_record(0, 1, id, b"\xc8"),
        |bench, id| bench.handler_record(0, 1, id, b"\xc8\0\x03\0\0\0a:"),
    ];
    for deed in before_head {
        let (mut bench, client, id) = asked(GET);
        deed(&mut bench, id);
        bench.turn();
        assert!(bench.take(client).starts_with("HTTP/1.1 502 "));
    }
    let after_head: [Deed; 3] = [
        |bench, id| bench.event(Event::Response { request: id, status: 200, headers: b"" }),
        |bench, id| bench.event(Event::Body { request: id, data: &[0; 65_537] }),
        |bench, id| bench.handler_record(0, 4, id, b"123"),
    ];
    for deed in after_head {
        let (mut bench, client, id) = asked(GET);
        bench.event(Event::Response { request: id, status: 200, headers: b"" });
        deed(&mut bench, id);
        bench.turn();
        let response = &responses::read(bench.take(client).as_bytes(), &[]).unwrap()[0];
        assert_eq!((response.status, response.whole), (200, false));
        assert!(bench.client(client).finished && bench.request(id).cancelled);
    }
}

/// Kinds, and bytes at the end of a record, that a later version of the protocol may have.
#[test]
fn what_is_not_known_is_passed_over() {
    let (mut bench, client, id) = asked(GET);
    bench.handler_record(0, 77, id, b"");
    bench.handler_record(0, 4, id, b"\x01\0\0\0later");
    bench.turn();
    assert!(bench.client(client).text().is_empty() && !bench.request(id).cancelled);
    bench.respond_text(id, "x");
    assert!(bench.take(client).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn what_a_later_version_of_the_protocol_says_is_skipped() {
    let (mut bench, client, id) = asked(GET);
    bench.handler_record(0, 77, id, b"");
    bench.handler_record(0, 4, id, b"\0\0\0\0 and another field");
    bench.turn();
    assert_eq!(bench.client(client).text(), "");
    bench.respond_text(id, "x");
    assert!(bench.take(client).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn what_is_said_about_others_requests_is_not_heard() {
    let (mut bench, client, id) = asked(GET);
    bench.attach_handler(1, "", "/other");
    bench.handler_record(1, 3, id, b"");
    bench.handler_record(0, 3, id ^ 1, b"");
    bench.handler_record(0, 3, id ^ 1 << 16, b"");
    bench.handler_record(9, 5, id, b"\x01\0\0\0x");
    bench.turn();
    assert_eq!(bench.client(client).text(), "");
    bench.respond_text(id, "x");
    assert!(bench.take(client).starts_with("HTTP/1.1 200 OK"));
    bench.handler_record(0, 2, id, b"\x04\0\0\0late");
    bench.turn();
    assert_eq!(bench.client(client).text(), "");
}

#[test]
fn an_answer_before_the_end_of_the_request() {
    // The rest of a small body is read, and the connection goes on.
    let (mut bench, client, id) = asked("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
    bench.respond(id, 403, "content-length: 0\r\n", "");
    assert!(bench.take(client).starts_with("HTTP/1.1 403 "));
    bench.send(client, format!("world{GET}"));
    assert_eq!(bench.request(id).body, b"hello");
    assert!(!bench.request(id).ended, "no more is sent of a request that is answered");
    assert_ne!(bench.last().id, id);
    // That of a large one is not.
    let (mut bench, client, id) = asked("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\nhello");
    bench.respond(id, 403, "content-length: 0\r\n", "");
    assert!(bench.client(client).finished);
    assert!(bench.take(client).contains("Connection: close\r\n"), "the client is told");
    // Nor that of one which may be.
    let (mut bench, client, id) = asked("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
    bench.respond(id, 403, "content-length: 0\r\n", "");
    assert!(bench.client(client).finished);
    assert!(bench.take(client).contains("Connection: close\r\n"));
    // A handler that has not refused the request may read the rest still, as long as it does not end.
    let (mut bench, client, id) = asked("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
    bench.respond(id, 200, "content-length: 0\r\n", "");
    assert!(!bench.client(client).finished);
    for _ in 0..5 {
        bench.send(client, [b'x'; 60_000]);
    }
    assert!(bench.client(client).finished);
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let lines = |format: &str, known: bool| {
        let mut bench = Bench::with(&[("access-log", format)]);
        bench.outside.wall_clock = known.then_some(784_111_777 * common::SECOND);
        bench.wait(2 * common::SECOND);
        bench.address = core::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped();
        let client = bench.connect();
        let referrer = "Referer: http://x/\"\\\x7f\r\n".replace('\x7f', "é");
        bench.send(client, format!("GET /a%22b?c HTTP/1.1\r\nHost: h:80\r\n{referrer}User-Agent: curl/8 (x)\r\n\r\n"));
        bench.respond_text(bench.last().id, "hello");
        bench.send(client, "BAD\r\n\r\n");
        let lines = bench.outside.log.iter().map(|(_, line)| line.clone());
        lines.filter(|line| line.contains("192.0.2.7")).collect::<Vec<_>>()
    };
    let time = "[06/Nov/1994:08:49:37 +0000]";
    let common = format!("192.0.2.7 - - {time} \"GET /a%22b?c HTTP/1.1\" 200 5");
    let refused = format!("192.0.2.7 - - {time} \"-\" 400 47");
    let agent = "\"http://x/\\x22\\x5c\\xc3\\xa9\" \"curl/8 (x)\"";
    assert_eq!(lines("common", true), [common.clone(), refused.clone()]);
    let combined = [format!("{common} {agent}"), format!("{refused} \"-\" \"-\"")];
    assert_eq!((lines("combined", true), lines("true", true)), (combined.to_vec(), combined.to_vec()));
    let hosts = [format!("h:80 {}", combined[0]), format!("- {}", combined[1])];
    assert_eq!(lines("vhost-combined", true), hosts);
    assert_eq!(lines("common", false)[0], common.replace(time, "[-]"));
    // The longest line has room in the log.
    let mut bench = Bench::with(&[("access-log", "vhost-combined")]);
    let client = bench.connect();
    let long = "\"".repeat(1_000);
    let target = "x".repeat(2_000);
    let host = "h".repeat(300);
    bench.send(
        client,
        format!("GET /{target} HTTP/1.1\r\nHost: {host}\r\nReferer: {long}\r\nUser-Agent: {long}\r\n\r\n"),
    );
    bench.respond_text(bench.last().id, "hello");
    let line = &bench.outside.log.iter().find(|(_, line)| line.contains("GET")).expect("a line").1;
    assert!(line.len() <= 1_000 && line.ends_with("\\x22\""), "{} {line}", line.len());
    let mut quiet = Bench::new();
    let client = quiet.connect();
    quiet.send(client, GET);
    quiet.respond_text(quiet.last().id, "x");
    assert!(!quiet.logged("GET"));
}
