//! Compression of what handlers give.

mod common;
use common::{
    Bench, MEMORY, SECOND, memory,
    responses::{self, Response},
    two::{self, Two},
};
use flate2::read::GzDecoder;
use std::io::Read;
use wit::http::Event;
use wit::tcp::{Endpoint, Event as Tcp, Secured};

#[global_allocator]
static COUNTER: memory::Counter = memory::Counter;

const TEXT: &str = "content-type: text/html\r\n";

fn page(bytes: usize) -> String {
    let lines = (0..).map(|line| format!("<p>The line {line} of a page, like all others.</p>\n"));
    let mut page: String = lines.take(bytes / 40 + 1).collect();
    page.truncate(bytes);
    page
}

/// What is there of it, if it has no end yet.
fn unpacked(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    let _ = GzDecoder::new(bytes).read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

fn ask(bench: &mut Bench, target: &str, lines: &str) -> (u32, u32) {
    let client = bench.connect();
    bench.send(client, format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
    (client, bench.last().id)
}

/// The answer that a client gets if its handler has given such a body.
fn answer(bench: &mut Bench, target: &str, asks: &str, lines: &str, body: &str) -> Response {
    let (client, request) = ask(bench, target, asks);
    bench.respond(request, 200, lines, body);
    let received = std::mem::take(&mut bench.outside.clients.get_mut(&client).unwrap().received);
    bench.finish(client);
    responses::read(&received, &[]).unwrap().remove(0)
}

#[test]
fn who_takes_it_gets_it() {
    let mut bench = Bench::new();
    let page = page(10_000);
    let lines = format!("{TEXT}content-length: 10000\r\netag: \"a\"\r\n");
    for (asks, is_packed) in [
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", true),
        ("Accept-Encoding: gzip;q=0.1\r\nAccept-Encoding: br\r\n", true),
        ("", false),
        ("Accept-Encoding: br, zstd\r\n", false),
        ("Accept-Encoding: gzip;q=0\r\n", false),
        ("Accept-Encoding: gzip;q=0.5, identity\r\n", false),
        ("Accept-Encoding: gzip\r\nCookie: a=b\r\n", false),
        ("Accept-Encoding: gzip\r\nAuthorization: Basic YTpi\r\n", false),
        ("Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n", false),
    ] {
        let answer = answer(&mut bench, "/", asks, &lines, &page);
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{asks:?}");
        let header = |name| answer.header(name);
        if is_packed {
            assert_eq!((header("content-encoding"), header("etag")), (Some("gzip"), Some("W/\"a\"")), "{asks:?}");
            assert_eq!((header("content-length"), header("transfer-encoding")), (None, Some("chunked")));
            assert!(answer.body.len() < 2_000, "{}", answer.body.len());
            assert!(unpacked(&answer.body) == page);
        } else {
            assert_eq!((header("content-encoding"), header("etag")), (None, Some("\"a\"")), "{asks:?}");
            assert!(answer.body == page.as_bytes());
        }
    }
    // HTTP/1.0 has no chunks
    let client = bench.connect();
    bench.send(client, "GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    bench.respond(bench.last().id, 200, TEXT, &page);
    assert!(bench.take(client).ends_with(&page));
    // and nothing of the body follows a HEAD
    let client = bench.connect();
    bench.send(client, "HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    bench.respond(bench.last().id, 200, &lines, "");
    let text = bench.take(client);
    assert!(text.contains("content-length: 10000\r\n") && text.contains("vary: accept-encoding\r\n"), "{text}");
    assert!(!text.contains("gzip"));
}

#[test]
fn rules_say_where() {
    let mut bench = Bench::with(&[
        ("compress", "none"),
        ("rules.0.path", "/all/*"),
        ("rules.0.compress", "all"),
        ("rules.1.path", "/public/*"),
        ("rules.1.compress", "public"),
    ]);
    let page = page(5_000);
    for (target, asks, expected) in [
        ("/", "", None),
        ("/public/", "", Some("gzip")),
        ("/public/", "Cookie: a\r\n", None),
        ("/all/", "Cookie: a\r\n", Some("gzip")),
        ("/", "Cookie: a\r\n", None),
    ] {
        let answer = answer(&mut bench, target, &format!("Accept-Encoding: gzip\r\n{asks}"), TEXT, &page);
        assert_eq!(answer.header("content-encoding"), expected, "{target} {asks}");
        assert_eq!(answer.header("vary").is_some(), target != "/", "{target} {asks}");
    }
}

/// A rule that writes such a line means the answer as the handler gives it.
#[test]
fn rules_that_say_how_an_answer_is_coded_have_chosen() {
    let page = page(5_000);
    for line in ["vary", "content-encoding", "content-type", "cache-control", "etag", "x-frame-options"] {
        let headers = format!("rules.0.headers.{line}");
        let mut bench = Bench::with(&[("rules.0.path", "/*"), (headers.as_str(), "x")]);
        let answer = answer(&mut bench, "/", "Accept-Encoding: gzip\r\n", TEXT, &page);
        assert_eq!(answer.header(line), Some("x"), "{line}");
        let is_packed = answer.body != page.as_bytes();
        assert_eq!(is_packed, line == "x-frame-options", "{line}");
    }
}

/// Browsers show a certificate without being asked by the page that has them ask.
#[test]
fn who_shows_a_certificate_is_known() {
    for (certificate, is_packed) in [(&b""[..], true), (b"a certificate", false)] {
        let mut bench = Bench::new();
        bench.accept(7);
        let secured = Secured { name: "h", protocol: "http/1.1", client: certificate, covers: None };
        let remote = Endpoint { address: bench.address, port: 1 };
        bench.tcp_event(Tcp::Accepted { connection: 7, remote, port: 443, secured: Some(secured) });
        bench.send(7, "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        bench.respond(bench.last().id, 200, TEXT, &page(5_000));
        let received = bench.outside.clients[&7].received.clone();
        let answer = responses::read(&received, &[]).unwrap().remove(0);
        assert_eq!(answer.header("content-encoding").is_some(), is_packed);
    }
}

/// Each event of a stream is with the client before the turn ends, and a body without an end has none.
#[test]
fn events_are_not_held_up() {
    let mut bench = Bench::new();
    let (client, request) = ask(&mut bench, "/", "Accept-Encoding: gzip\r\n");
    let headers = b"content-type: text/event-stream\r\n";
    bench.event(Event::Response { request, status: 200, headers });
    bench.turn();
    let mut expected = String::new();
    for number in 0..50 {
        let event = format!("data: {number}\n\n");
        for part in [&event[..3], &event[3..]] {
            bench.event(Event::Body { request, data: part.as_bytes() });
        }
        bench.turn();
        expected += &event;
        let text = [&bench.client(client).received[..], b"0\r\n\r\n"].concat();
        assert_eq!(unpacked(&responses::read(&text, &[]).unwrap()[0].body), expected);
    }
    bench.event(Event::Failed { request, why: "no more" });
    bench.turn();
    let client = bench.client(client);
    assert!(client.finished && !client.received.ends_with(b"0\r\n\r\n"));
}

#[test]
fn streams_of_http_2_and_trailers() {
    let mut bench = Bench::new();
    let mut two = Two::connect(&mut bench);
    let page = page(100_000);
    let get = || {
        let mut get = two::get("/");
        get.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        get.headers_mut().insert("te", "trailers".parse().unwrap());
        get
    };
    let mut asked = two.ask(&mut bench, get(), true);
    let request = bench.last().id;
    bench.event(Event::Response { request, status: 200, headers: TEXT.as_bytes() });
    for part in page.as_bytes().chunks(20_000) {
        bench.event(Event::Body { request, data: part });
        bench.turn();
        two.turn(&mut bench, &mut [&mut asked]);
        assert!(!asked.data.is_empty());
    }
    bench.event(Event::Trailers { request, lines: b"digest: x\r\n" });
    bench.event(Event::End { request });
    bench.turn();
    two.turn(&mut bench, &mut [&mut asked]);
    assert!(asked.is_whole() && unpacked(&asked.data) == page && asked.data.len() < 20_000);
    assert_eq!(asked.trailers.unwrap()["digest"], "x");
    assert_eq!(asked.head.unwrap().headers()["content-encoding"], "gzip");
    // the same over HTTP/1.1
    let (client, request) = ask(&mut bench, "/", "Accept-Encoding: gzip\r\nTE: trailers\r\nConnection: te\r\n");
    bench.event(Event::Response { request, status: 200, headers: TEXT.as_bytes() });
    bench.event(Event::Body { request, data: &page.as_bytes()[..5_000] });
    bench.event(Event::Trailers { request, lines: b"digest: x\r\n" });
    bench.event(Event::End { request });
    bench.turn();
    let received = &bench.client(client).received;
    assert!(received.ends_with(b"\r\n0\r\ndigest: x\r\n\r\n"));
    // a stream whose handler breaks off is not taken for whole
    let mut asked = two.ask(&mut bench, get(), true);
    let request = bench.last().id;
    bench.event(Event::Response { request, status: 200, headers: TEXT.as_bytes() });
    bench.event(Event::Body { request, data: &page.as_bytes()[..3_000] });
    bench.event(Event::Failed { request, why: "no more" });
    bench.turn();
    two.turn(&mut bench, &mut [&mut asked]);
    assert!(!asked.is_whole());
}

/// A handler is held to what it says even if the client does not hear of it.
#[test]
fn lengths_are_those_that_the_handler_says() {
    for (length, whole) in [(4_999, false), (5_000, true), (5_001, false)] {
        let mut bench = Bench::new();
        let (client, request) = ask(&mut bench, "/", "Accept-Encoding: gzip\r\n");
        bench.respond(request, 200, &format!("{TEXT}content-length: {length}\r\n"), &page(5_000));
        let client = bench.client(client);
        assert_eq!((client.received.ends_with(b"0\r\n\r\n"), client.finished), (whole, !whole), "{length}");
        assert_eq!(bench.logged("content-length"), !whole);
    }
}

/// However many bodies are under way, whether clients read or not, the box has memory for them; those for which there is none go as they
/// are, and so does one of a box that has little.
#[test]
fn packing_is_within_the_memory() {
    memory::reset();
    let mut bench = Bench::within(MEMORY, &[("client-connections", "2048"), ("handler-timeout", "1 h")]);
    bench.attach_handler(0, "", "");
    bench.clients_read = false;
    let page = page(60_000);
    let mut asked = Vec::new();
    for number in 0..200 {
        bench.now += SECOND / 1_000;
        let (client, request) = ask(&mut bench, "/", "Accept-Encoding: gzip\r\n");
        bench.event(Event::Response { request, status: 200, headers: TEXT.as_bytes() });
        bench.event(Event::Body { request, data: page.as_bytes() });
        bench.turn();
        assert_eq!(number == 0, bench.client(client).text().contains("gzip") && asked.is_empty());
        asked.push((client, request));
    }
    let packed = |bench: &Bench, client| bench.client(client).text().contains("content-encoding: gzip");
    let count = asked.iter().filter(|&&(client, _)| packed(&bench, client)).count();
    assert!((2..20).contains(&count), "{count} are packed");
    assert!(memory::peak() <= MEMORY, "{}", memory::peak());
    for (_, request) in asked {
        if !bench.request(request).over && !bench.request(request).cancelled {
            bench.event(Event::End { request });
        }
    }
    bench.turn();
    bench.clients_read = true;
    // what was under way has ended, and the next is packed
    let (client, request) = ask(&mut bench, "/", "Accept-Encoding: gzip\r\n");
    bench.respond(request, 200, TEXT, &page);
    assert!(packed(&bench, client));
    let mut small = Bench::within(3 << 20, &[]);
    small.attach_handler(0, "", "");
    let (client, request) = ask(&mut small, "/", "Accept-Encoding: gzip\r\n");
    small.respond(request, 200, TEXT, &page[..5_000]);
    assert!(small.take(client).ends_with("\r\n0\r\n\r\n"), "it goes as it is");
}

/// What is charged for a body is not less than what it takes.
#[test]
fn what_is_charged_is_what_it_takes() {
    let mut bench = Bench::within(256 << 20, &[("client-connections", "2048")]);
    bench.attach_handler(0, "", "");
    let mut of = |lines: &str| {
        let before = memory::live();
        for _ in 0..20 {
            let (_, request) = ask(&mut bench, "/", lines);
            bench.event(Event::Response { request, status: 200, headers: TEXT.as_bytes() });
            bench.event(Event::Body { request, data: b"a" });
            bench.turn();
        }
        (memory::live() - before) / 20
    };
    let (plain, packed) = (of(""), of("Accept-Encoding: gzip\r\n"));
    let taken = packed - plain;
    assert!((200 << 10..=240 << 10).contains(&taken), "a body takes {taken} bytes");
}
