//! What becomes of requests on their way to a handler.

mod common;
use common::{Bench, responses};
use wit::http::Event as FromHandler;

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: example.org\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n";

/// The requests that a handler sees, however the stream is cut. Each is answered at once.
fn through(stream: &[u8], cuts: &[usize]) -> (Vec<common::Request>, String) {
    let mut bench = Bench::new();
    let client = bench.connect();
    let mut start = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        bench.send(client, &stream[start..end]);
        start = end;
        while let Some(request) = bench.requests().into_iter().find(|request| request.ended && !request.over) {
            bench.respond_text(request.id, &format!("{} {}", request.method, request.target));
        }
    }
    (bench.requests(), bench.take(client))
}

#[test]
fn a_request_reaches_the_handler() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET);
    let request = bench.last();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a?b"));
    assert_eq!(request.authority, "example.org");
    assert_eq!(request.headers, "User-Agent: t\r\nAccept: */*\r\n");
    assert!(request.ended && request.body.is_empty());
    bench.respond_text(request.id, "hello");
    assert_eq!(bench.take(client), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    assert!(!bench.client(client).finished);
}

#[test]
fn every_request_arrives_whole_however_it_is_cut() {
    let streams = [
        GET.to_owned(),
        format!("\r\n\r\n{GET}{GET}"),
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world".to_owned() + GET,
        "PUT /c HTTP/1.1\r\nhost:h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
            .to_owned()
            + GET,
        "GET http://other.org:81/x HTTP/1.1\r\nHost: h\r\nConnection: X-Drop, keep-alive\r\nX-Drop: 1\r\nX-Keep:   2  \r\n\r\n"
            .to_owned(),
        "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n".to_owned() + GET,
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyGET /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
    ];
    let strip = |requests: Vec<common::Request>| {
        requests.into_iter().map(|r| (r.method, r.target, r.authority, r.headers, r.body, r.ended)).collect::<Vec<_>>()
    };
    for stream in streams {
        let stream = stream.as_bytes();
        let (whole, output) = through(stream, &[]);
        assert!(!whole.is_empty());
        let whole = strip(whole);
        let bytes: Vec<_> = (1..stream.len()).collect();
        let (by_bytes, output_by_bytes) = through(stream, &bytes);
        assert_eq!(strip(by_bytes), whole);
        assert_eq!(output_by_bytes, output);
        for cut in 1..stream.len() {
            let (cut_once, output_cut) = through(stream, &[cut]);
            assert_eq!(strip(cut_once), whole, "cut at {cut}");
            assert_eq!(output_cut, output, "cut at {cut}");
        }
    }
}

#[test]
fn hop_by_hop_headers_stay_here() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(
        client,
        "GET / HTTP/1.1\r\nA: 1\r\nHost: h\r\nConnection: close, x-private\r\nX-Private: s\r\nTE: trailers\r\n\
         Keep-Alive: 5\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Authorization: p\r\nTrailer: t\r\nB:2\r\n\
         Proxy-Connection: keep-alive\r\nC: \r\n\r\n",
    );
    assert_eq!(bench.last().headers, "A: 1\r\nTrailer: t\r\nB: 2\r\nC: \r\n");
    assert_eq!(bench.last().upgrade, "", "`Connection` does not name it");
}

#[test]
fn a_body_of_known_length_is_passed_on() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!((bench.last().body.as_slice(), bench.last().ended), (&b"hello"[..], false));
    assert_eq!(bench.last().headers, "Content-Length: 10\r\n");
    bench.send(client, "worldGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((bench.last().body.as_slice(), bench.last().ended), (&b"helloworld"[..], true));
    let first = bench.last().id;
    bench.respond_text(first, "1");
    assert_eq!(bench.last().target, "/next", "the next request waits for an unsafe method's response");
}

#[test]
fn a_chunked_body_is_passed_on_without_its_framing() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(
        client,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n6;x\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
    );
    assert_eq!((bench.last().body.as_slice(), bench.last().ended), (&b"hello world"[..], true));
    assert_eq!((bench.last().headers.as_str(), bench.last().trailers.as_str()), ("", "X-T: 1\r\n"));
}

#[test]
fn expect_continue_is_answered_when_the_handler_has_the_request() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
    bench.send(client, head);
    assert_eq!(bench.take(client), "", "the handler may refuse it");
    bench.now = bench.http.deadline();
    bench.turn();
    assert_eq!(bench.take(client), "HTTP/1.1 100 Continue\r\n\r\n");
    bench.send(client, "hello");
    assert_eq!(bench.last().headers, "Content-Length: 5\r\n");
    bench.respond_text(bench.last().id, "ok");
    assert!(bench.take(client).starts_with("HTTP/1.1 200 OK\r\n"));
    // Not when the body is there already, and not to HTTP/1.0.
    bench.send(client, format!("{head}hello"));
    assert_eq!(bench.take(client), "");
    bench.respond_text(bench.last().id, "ok");
    let old = bench.connect();
    bench.send(old, "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(bench.take(old), "");
    // Behind other responses it waits for its turn.
    let third = bench.connect();
    bench.send(third, format!("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n{head}"));
    assert_eq!(bench.take(third), "");
    assert_eq!(bench.last().target, "/slow");
    bench.respond_text(bench.last().id, "x");
    bench.wait(common::SECOND);
    assert!(bench.take(third).ends_with("xHTTP/1.1 100 Continue\r\n\r\n"));
}

#[test]
fn no_100_continue_comes_within_or_behind_an_answer() {
    for status in [200, 403] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        let id = bench.last().id;
        bench.event(FromHandler::Response { request: id, status, headers: b"content-length: 4\r\n" });
        bench.wait(common::SECOND);
        bench.event(FromHandler::Body { request: id, data: b"body" });
        bench.turn();
        let answer = bench.take(client);
        // the body is asked for before the answer to it; or it is not wanted, and the client need not send it
        let before = if status == 200 { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
        let answer = answer.strip_prefix(before).unwrap_or_else(|| panic!("{answer}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("\r\n\r\nbody"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert_eq!(answer.contains("Connection: close"), status == 403, "{answer}");
    }
}

/// H7
#[test]
fn a_refusal_comes_without_100_continue_and_says_that_it_ends_the_connection() {
    for (settings, status) in [(&[][..], 405), (&[("body-bytes", "1000")], 413)] {
        let mut bench = Bench::with(settings);
        let client = bench.connect();
        bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n");
        if status == 405 {
            bench.respond(bench.last().id, 405, "content-length: 0\r\n", "");
        }
        let text = bench.take(client);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.contains("Connection: close\r\n"), "{text}");
        assert!(bench.client(client).finished);
    }
}

#[test]
fn keep_alive_by_version_and_header() {
    for (request, keeps) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: Foo\r\nConnection: CLOSE\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false),
    ] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, request);
        bench.respond_text(bench.last().id, "x");
        let response = &responses::read(bench.take(client).as_bytes(), &[]).unwrap()[0];
        assert_eq!(response.text(), "x");
        assert_eq!(bench.client(client).finished, !keeps, "{request}");
        let expected = if !keeps { Some("close") } else { request.contains("1.0").then_some("keep-alive") };
        assert_eq!(response.header("connection"), expected, "{request}");
    }
}

#[test]
fn pipelined_answers_come_in_order_whatever_order_the_handler_has() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let requests: String = (0..5).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
    bench.send(client, requests);
    let ids: Vec<_> = bench.requests().iter().map(|r| r.id).collect();
    assert_eq!(ids.len(), 5);
    for place in [3, 1, 4, 0, 2] {
        bench.respond_text(ids[place], &format!("answer {place}"));
    }
    let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
    let bodies: Vec<_> = responses.iter().map(|r| r.text()).collect();
    assert_eq!(bodies, ["answer 0", "answer 1", "answer 2", "answer 3", "answer 4"]);
}

#[test]
fn the_pipeline_is_bounded() {
    let mut bench = Bench::with(&[("pipeline", "3")]);
    let client = bench.connect();
    let requests: String = (0..10).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
    bench.send(client, requests);
    assert_eq!(bench.requests().len(), 3);
    for answered in 0..10 {
        let id = bench.requests()[answered].id;
        bench.respond_text(id, "x");
        assert_eq!(bench.requests().len(), 10.min(answered + 4));
    }
    assert_eq!(responses::read(bench.take(client).as_bytes(), &[]).unwrap().len(), 10);
}

#[test]
fn unsafe_methods_are_alone_under_way() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let request = |method: &str| format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.send(client, request("GET") + &request("HEAD") + &request("DELETE") + &request("GET"));
    let methods = |bench: &Bench| bench.requests().iter().map(|r| r.method.clone()).collect::<Vec<_>>();
    assert_eq!(methods(&bench), ["GET", "HEAD"]);
    bench.respond_text(bench.requests()[1].id, "x");
    assert_eq!(methods(&bench), ["GET", "HEAD"]);
    bench.respond_text(bench.requests()[0].id, "x");
    assert_eq!(methods(&bench), ["GET", "HEAD", "DELETE"]);
    bench.respond_text(bench.requests()[2].id, "x");
    assert_eq!(methods(&bench), ["GET", "HEAD", "DELETE", "GET"]);
}

#[test]
fn targets_and_authorities() {
    for (line, target, authority) in [
        ("GET http://x.org HTTP/1.1", "/", "x.org"),
        ("GET http://x.org:8080/p?q HTTP/1.1", "/p?q", "x.org:8080"),
        ("GET /%00/..//a?b[]=c|{}%% HTTP/1.1", "/%00/..//a?b[]=c|{}%%", "h"),
        ("M-SEARCH / HTTP/1.1", "/", "h"),
    ] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, format!("{line}\r\nHost: h\r\n\r\n"));
        assert_eq!((bench.last().target.as_str(), bench.last().authority.as_str()), (target, authority));
    }
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(bench.last().authority, "");
    let empty = bench.connect();
    bench.send(empty, "GET / HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(bench.last().authority, "");
}

#[test]
fn the_server_itself_has_options() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS /x HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = &responses::read(bench.take(client).as_bytes(), &[]).unwrap()[0];
    assert_eq!(response.status, 204);
    assert!(response.header("allow").unwrap().contains("OPTIONS"));
    assert_eq!((bench.last().method.as_str(), bench.last().target.as_str()), ("OPTIONS", "/x"));
}

#[test]
fn requests_go_by_host_and_path() {
    let mut bench = Bench::with(&[]);
    bench.attach_handler(1, "", "/echo/");
    bench.attach_handler(2, "other.org", "/");
    let client = bench.connect();
    for (host, path, peer) in
        [("h", "/", 0), ("h", "/echo/x", 1), ("h", "/echoes", 0), ("OTHER.org:80", "/echo/x", 2), ("other.org", "/", 2)]
    {
        bench.send(client, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(bench.last().peer, peer, "{host}{path}");
        bench.respond_text(bench.last().id, "x");
    }
}

#[test]
fn a_client_that_has_finished_gets_its_answers() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HT");
    bench.finish(client);
    assert!(!bench.client(client).finished);
    for place in 0..2 {
        bench.respond_text(bench.requests()[place].id, "x");
    }
    assert_eq!(responses::read(bench.take(client).as_bytes(), &[]).unwrap().len(), 2);
    assert!(bench.client(client).finished);
    let idle = bench.connect();
    bench.finish(idle);
    assert!(bench.client(idle).finished);
    let in_body = bench.connect();
    bench.send(in_body, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc");
    bench.finish(in_body);
    assert!(bench.last().cancelled);
    assert!(bench.take(in_body).starts_with("HTTP/1.1 400 "));
    assert!(bench.client(in_body).finished);
}

#[test]
fn what_follows_a_last_request_is_not_read() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.send(client, "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(bench.requests().len(), 1);
    bench.respond_text(bench.last().id, "x");
    assert!(bench.client(client).finished);
    assert_eq!(responses::read(bench.take(client).as_bytes(), &[]).unwrap().len(), 1);
}

#[test]
fn a_later_1_x_is_served_as_1_1() {
    for version in ["1.2", "1.9"] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.send(client, format!("GET /v HTTP/{version}\r\nHost: h\r\n\r\n"));
        bench.respond_text(bench.last().id, "x");
        assert_eq!(bench.take(client), "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
    }
}

#[test]
fn an_empty_path_before_a_query_is_a_slash() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "GET http://a?x HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_eq!((bench.last().target.as_str(), bench.last().authority.as_str()), ("/?x", "a"));
}

#[test]
fn chunk_sizes_may_have_leading_zeros() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let zeros = "0".repeat(500);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    bench.send(client, format!("{head}{zeros}5\r\nhello\r\n{zeros}\r\n\r\n"));
    assert_eq!((bench.last().body.as_slice(), bench.last().ended), (&b"hello"[..], true));
}
