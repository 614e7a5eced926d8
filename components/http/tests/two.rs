//! HTTP/2: requests and responses, with the library's own client on the other side.

mod common;
use bytes::Bytes;
use common::two::{self, Two, get};
use common::{Bench, SECOND};
use h2::Reason;
use http::{HeaderMap, Request};
use wit::http::Event;

/// Enough for all requests of a connection at once.
fn with_much_memory() -> Bench {
    let mut bench = Bench::within(256 << 20, &[]);
    bench.attach_handler(0, "", "");
    bench
}

#[test]
fn a_request_and_its_response() {
    for is_secured in [true, false] {
        let mut bench = Bench::with(&[("access-log", "common")]);
        let mut client = if is_secured { Two::connect(&mut bench) } else { Two::connect_clear(&mut bench) };
        let request = Request::get("https://example.org/a?b=c")
            .header("x-y", "z")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(())
            .unwrap();
        let mut asked = client.ask(&mut bench, request, true);
        let request = bench.last();
        let seen = (request.method.as_str(), request.target.as_str(), request.authority.as_str(), request.is_https);
        assert_eq!(seen, ("GET", "/a?b=c", "example.org", is_secured));
        assert_eq!((request.headers.as_str(), request.ended), ("x-y: z\r\ncookie: a=1; b=2\r\n", true));
        bench.respond(request.id, 200, "Content-Length: 5\r\nX-A: b\r\nConnection: x\r\nKeep-Alive: 5\r\n", "hello");
        client.turn(&mut bench, &mut [&mut asked]);
        assert_eq!((asked.status(), asked.text(), asked.header("x-a")), (200, "hello", "b"));
        assert!(asked.is_whole() && asked.header("connection").is_empty() && asked.header("keep-alive").is_empty());
        assert!(bench.logged("\"GET /a?b=c HTTP/2.0\" 200 5"), "{:?}", bench.outside.log);
        assert!(client.ended.is_none() && !bench.client(client.connection).closed);
    }
}

#[test]
fn heads_without_bodies() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    let head = Request::head("https://h/").body(()).unwrap();
    for (request, status, headers, length) in [
        (head.clone(), 200, "content-length: 9\r\n", "9"),
        (head, 200, "", ""),
        (get("/"), 204, "", ""),
        (get("/"), 304, "content-length: 9\r\n", "9"),
        (get("/"), 200, "content-length: 0\r\n", "0"),
    ] {
        let mut asked = client.ask(&mut bench, request, true);
        bench.respond(bench.last().id, status, headers, "");
        client.turn(&mut bench, &mut [&mut asked]);
        assert!(asked.is_whole() && asked.data.is_empty(), "{status} {headers}: {:?}", asked.ended);
        assert_eq!((asked.status(), asked.header("content-length")), (status, length));
    }
    // of this server itself
    bench.detach_handler(0);
    let asked = client.ask(&mut bench, Request::head("https://h/").body(()).unwrap(), true);
    assert_eq!((asked.status(), asked.is_whole(), asked.text()), (503, true, ""));
    let asked = client.get(&mut bench, "/");
    assert!(asked.status() == 503 && asked.is_whole() && asked.text().starts_with("503 "), "{}", asked.text());
}

#[test]
fn bodies_stream_both_ways_within_the_credit() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    let request = Request::post("https://h/").body(()).unwrap();
    let mut asked = client.ask(&mut bench, request, false);
    let id = bench.last().id;
    assert!(!bench.last().ended);
    // What the handler gives no credit for waits with the client.
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    asked.body.reserve_capacity(body.len());
    let mut sent = 0;
    let mut windows = 0;
    while sent < body.len() {
        client.turn(&mut bench, &mut [&mut asked]);
        let length = asked.body.capacity().min(body.len() - sent);
        if length == 0 {
            let request = bench.request(id);
            assert_eq!((request.credit, request.body.len() % (64 << 10)), (0, 0), "all that it takes");
            assert!(bench.http.held() <= 128 << 10, "{}", bench.http.held());
            bench.event(Event::Credit { request: id, bytes: 64 << 10 });
            bench.turn();
            windows += 1;
            continue;
        }
        let data = Bytes::copy_from_slice(&body[sent..][..length]);
        sent += length;
        asked.body.send_data(data, sent == body.len()).unwrap();
    }
    for _ in 0..3 {
        client.turn(&mut bench, &mut [&mut asked]);
        bench.event(Event::Credit { request: id, bytes: 64 << 10 });
        bench.turn();
    }
    assert!(windows >= 10, "{windows}");
    assert!(bench.request(id).body == body && bench.request(id).ended);
    // and back, as far as the client reads
    bench.event(Event::Response { request: id, status: 200, headers: b"" });
    asked.reads = false;
    let mut given = 0;
    while given < body.len() {
        let length = (bench.request(id).response_credit as usize).min(body.len() - given);
        if length == 0 {
            client.turn(&mut bench, &mut [&mut asked]);
            if bench.request(id).response_credit == 0 {
                assert!(bench.http.held() <= 128 << 10, "{}", bench.http.held());
                asked.reads = true;
            }
            continue;
        }
        bench.event(Event::Body { request: id, data: &body[given..][..length] });
        bench.turn();
        given += length;
    }
    bench.event(Event::End { request: id });
    bench.turn();
    client.turn(&mut bench, &mut [&mut asked]);
    assert!(asked.is_whole() && asked.data == body, "{} bytes: {:?}", asked.data.len(), asked.ended);
}

#[test]
fn a_body_of_a_known_length_and_one_that_is_too_large() {
    let mut bench = Bench::with(&[("body-bytes", "1000")]);
    let mut client = Two::connect(&mut bench);
    let post = |length: Option<&str>| {
        let request = Request::post("https://h/");
        length.into_iter().fold(request, |request, length| request.header("content-length", length)).body(()).unwrap()
    };
    let mut asked = client.ask(&mut bench, post(Some("5")), false);
    asked.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    client.turn(&mut bench, &mut [&mut asked]);
    let request = bench.last();
    assert_eq!(
        (request.headers.as_str(), &request.body[..], request.ended),
        ("content-length: 5\r\n", &b"hello"[..], true)
    );
    let asked = client.ask(&mut bench, post(Some("1001")), false);
    assert_eq!(asked.status(), 413);
    let mut asked = client.ask(&mut bench, post(None), false);
    asked.body.send_data(vec![b'x'; 1001].into(), true).unwrap();
    client.turn(&mut bench, &mut [&mut asked]);
    assert_eq!(asked.status(), 413);
    assert!(bench.last().cancelled);
    // a length that is none
    let mut asked = client.ask(&mut bench, post(Some("5")), false);
    asked.body.send_data(Bytes::from_static(b"hell"), true).unwrap();
    client.turn(&mut bench, &mut [&mut asked]);
    assert!(bench.last().cancelled && !bench.last().ended);
    assert_eq!(asked.reason(), Some(Reason::PROTOCOL_ERROR));
    assert!(client.get(&mut bench, "/").ended.is_none(), "the connection goes on");
}

#[test]
fn trailers_both_ways() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    let request = Request::post("https://h/").header("te", "trailers").body(()).unwrap();
    let mut asked = client.ask(&mut bench, request, false);
    asked.body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("digest", "a".parse().unwrap());
    trailers.insert("host", "evil".parse().unwrap());
    asked.body.send_trailers(trailers).unwrap();
    client.turn(&mut bench, &mut [&mut asked]);
    let request = bench.last();
    assert_eq!((&request.body[..], request.trailers.as_str(), request.ended), (&b"hello"[..], "digest: a\r\n", true));
    bench.event(Event::Response { request: request.id, status: 200, headers: b"trailer: sum\r\n" });
    bench.event(Event::Body { request: request.id, data: b"world" });
    bench.event(Event::Trailers { request: request.id, lines: b"sum: b\r\ncontent-length: 9\r\n" });
    bench.event(Event::End { request: request.id });
    bench.turn();
    client.turn(&mut bench, &mut [&mut asked]);
    assert!(asked.is_whole() && asked.text() == "world");
    let trailers = asked.trailers.as_ref().unwrap();
    assert_eq!((trailers.len(), trailers["sum"].as_bytes()), (1, &b"b"[..]));
}

#[test]
fn interim_answers_and_expectations() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    let mut asked = client.get(&mut bench, "/");
    let id = bench.last().id;
    bench.event(Event::Response { request: id, status: 103, headers: b"link: <x>\r\n" });
    bench.turn();
    client.turn(&mut bench, &mut [&mut asked]);
    bench.respond_text(id, "x");
    client.turn(&mut bench, &mut [&mut asked]);
    assert_eq!((asked.interim[0].status().as_u16(), asked.status(), asked.text()), (103, 200, "x"));
    assert_eq!(asked.interim[0].headers()["link"], "<x>");
    let request = Request::post("https://h/").header("expect", "100-continue").body(()).unwrap();
    let mut asked = client.ask(&mut bench, request, false);
    assert!(asked.interim.is_empty());
    bench.now = bench.http.deadline();
    bench.turn();
    client.turn(&mut bench, &mut [&mut asked]);
    assert_eq!(asked.interim[0].status().as_u16(), 100);
    asked.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    client.turn(&mut bench, &mut [&mut asked]);
    assert!(bench.last().ended && bench.last().body == b"hello");
}

#[test]
fn many_streams_in_any_order() {
    let mut bench = with_much_memory();
    let mut client = Two::connect(&mut bench);
    let mut all: Vec<_> = (0..100).map(|n| client.get(&mut bench, &format!("/{n}"))).collect();
    assert_eq!(bench.outside.order.len(), 100);
    for id in bench.outside.order.clone().into_iter().rev() {
        let target = bench.request(id).target.clone();
        bench.respond_text(id, &target);
    }
    client.turn(&mut bench, &mut all.iter_mut().collect::<Vec<_>>());
    for (n, asked) in all.iter().enumerate() {
        assert!(asked.is_whole() && asked.text() == format!("/{n}"), "{n}: {:?}", asked.ended);
    }
    // The next waits in the client: it is told how many there may be.
    let mut bench = Bench::with(&[("streams", "3")]);
    let mut client = Two::connect(&mut bench);
    let _all: Vec<_> = (0..5).map(|_| client.get(&mut bench, "/")).collect();
    assert_eq!(bench.outside.order.len(), 3);
}

#[test]
fn a_stream_that_is_slow_holds_up_no_other() {
    let mut bench = Bench::new();
    let mut client = Two::connect_with(&mut bench, h2::client::Builder::new().initial_connection_window_size(1 << 20));
    let (mut slow, mut quick) = (client.get(&mut bench, "/slow"), client.get(&mut bench, "/quick"));
    slow.reads = false;
    let ids = bench.outside.order.clone();
    bench.event(Event::Response { request: ids[0], status: 200, headers: b"" });
    bench.event(Event::Body { request: ids[0], data: &[b's'; 64 << 10] });
    bench.turn();
    client.turn(&mut bench, &mut [&mut slow, &mut quick]);
    bench.event(Event::Body { request: ids[0], data: &[b's'; 10_000] });
    bench.respond_text(ids[1], "quick");
    client.turn(&mut bench, &mut [&mut slow, &mut quick]);
    assert!(quick.is_whole() && slow.ended.is_none());
    // It is given up alone.
    bench.wait(60 * SECOND);
    client.turn(&mut bench, &mut [&mut slow, &mut quick]);
    slow.reads = true;
    client.turn(&mut bench, &mut [&mut slow, &mut quick]);
    assert!(matches!(slow.ended, Some(Err(_))) && bench.request(ids[0]).cancelled);
    assert!(client.ended.is_none());
    let asked = client.get(&mut bench, "/");
    assert!(asked.ended.is_none() && bench.outside.order.len() == 3);
}

#[test]
fn clients_and_handlers_that_give_up() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    let mut asked = client.get(&mut bench, "/");
    asked.body.send_reset(Reason::CANCEL);
    client.turn(&mut bench, &mut []);
    assert!(bench.last().cancelled);
    // before a head, in a body, and a box that is lost
    for begins in [false, true] {
        for is_lost in [false, true] {
            let mut asked = client.get(&mut bench, "/");
            let id = bench.last().id;
            if begins {
                bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 10\r\n" });
                bench.event(Event::Body { request: id, data: b"hello" });
                bench.turn();
            }
            if is_lost {
                bench.detach_handler(0);
                bench.attach_handler(0, "", "");
            } else {
                bench.event(Event::Failed { request: id, why: "it is a test" });
                bench.turn();
            }
            client.turn(&mut bench, &mut [&mut asked]);
            if begins {
                assert_eq!(asked.reason(), Some(Reason::INTERNAL_ERROR), "{is_lost}");
            } else {
                assert_eq!((asked.status(), asked.is_whole()), (502, true), "{is_lost}");
            }
        }
    }
    assert!(client.ended.is_none());
    // a response before the request's body is over
    let mut asked = client.ask(&mut bench, Request::post("https://h/").body(()).unwrap(), false);
    bench.respond_text(bench.last().id, "enough");
    client.turn(&mut bench, &mut [&mut asked]);
    assert!(asked.is_whole() && asked.text() == "enough", "{:?}", asked.ended);
    assert!(client.get(&mut bench, "/").ended.is_none());
}

#[test]
fn a_connection_that_is_gone_takes_its_requests_along() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    let _all: Vec<_> = (0..5).map(|_| client.get(&mut bench, "/")).collect();
    bench.outside.clients.get_mut(&client.connection).unwrap().closed = true;
    bench.tcp_event(wit::tcp::Event::Closed { connection: client.connection, why: "reset" });
    bench.turn();
    assert!(bench.requests().iter().all(|request| request.cancelled));
    // One that has finished gets what it has asked for.
    let mut client = Two::connect(&mut bench);
    let (mut first, _second) =
        (client.get(&mut bench, "/"), client.ask(&mut bench, Request::post("https://h/").body(()).unwrap(), false));
    let ids = bench.outside.order[5..].to_vec();
    bench.finish(client.connection);
    assert!(!bench.request(ids[0]).cancelled && bench.request(ids[1]).cancelled);
    bench.respond_text(ids[0], "x");
    client.turn(&mut bench, &mut [&mut first]);
    assert!(first.is_whole());
    assert!(bench.client(client.connection).closed);
}

#[test]
fn what_is_no_request_is_refused() {
    let mut bench = Bench::new();
    let client = two::begin(&mut bench);
    two::frames(&mut bench, client);
    let host = |host| [two::GET, &[("host", host)]].concat();
    let without_authority: Vec<_> = two::GET.iter().copied().filter(|field| field.0 != ":authority").collect();
    let answers = [
        (host("other"), "400"),
        (without_authority.clone(), "400"),
        (vec![(":method", "CONNECT"), (":authority", "h:443")], "501"),
        ([&without_authority[..], &[("host", "a"), ("host", "a")]].concat(), "400"),
    ];
    let mut stream = 1;
    for (fields, status) in answers {
        bench.send(client, two::frame(1, 5, stream, &two::block(&fields)));
        let frames = two::frames(&mut bench, client);
        let body = frames.iter().find(|frame| frame.kind == 0 && frame.stream == stream).expect("an answer");
        assert!(
            body.payload.starts_with(status.as_bytes()),
            "{fields:?}: {:?}",
            String::from_utf8_lossy(&body.payload)
        );
        stream += 2;
    }
    // what RFC 9113, section 8, says is malformed
    let more = |field| [two::GET, &[field]].concat();
    for fields in [
        more(("connection", "close")),
        more(("transfer-encoding", "chunked")),
        more(("keep-alive", "5")),
        more(("upgrade", "websocket")),
        more(("proxy-connection", "x")),
        more(("te", "gzip")),
        more(("content-length", "5")),
        more((":path", "/again")),
        more((":protocol", "websocket")),
        more((":status", "200")),
        two::GET[1..].to_vec(),
        two::GET[..3].to_vec(),
        [&[("a", "b")], two::GET].concat(),
        [&two::GET[..3], &[(":path", "")]].concat(),
    ] {
        bench.send(client, two::frame(1, 5, stream, &two::block(&fields)));
        assert_eq!(two::reset(&two::frames(&mut bench, client), stream), Some(1), "{fields:?}");
        stream += 2;
    }
    assert!(bench.outside.order.is_empty());
    // what would break a line of HTTP/1.1, or is no name
    for fields in
        [more(("Upper", "x")), more(("x", "a\r\nb: c")), more(("x", "a\nb")), more(("x\r\ny", "a")), more(("x", "\0"))]
    {
        let client = two::begin(&mut bench);
        bench.send(client, two::frame(1, 5, 1, &two::block(&fields)));
        assert!(bench.outside.order.is_empty(), "{fields:?}");
    }
    for path in ["/a b", "/a\r\nHost: evil", "a", "http://evil/", "/\u{e9}", "/\"", "/%zz"] {
        let client = two::begin(&mut bench);
        let fields = [&two::GET[..3], &[(":path", path)]].concat();
        bench.send(client, two::frame(1, 5, 1, &two::block(&fields)));
        assert!(bench.outside.order.is_empty(), "{path:?}: {:?}", bench.last().target);
    }
    bench.send(client, two::request(stream));
    assert_eq!(bench.outside.order.len(), 1, "the connection goes on");
}

#[test]
fn without_its_preface_nothing_is_http_2() {
    let mut bench = Bench::new();
    // cut anywhere
    for cut in 1..two::PREFACE.len() {
        let client = bench.connect();
        bench.send(client, &two::PREFACE[..cut]);
        bench.send(client, [&two::PREFACE[cut..], &two::frame(4, 0, 0, b"")].concat());
        assert_eq!(two::frames(&mut bench, client)[0].kind, 4, "cut at {cut}");
    }
    for other in ["PRI * HTTP/2.0\r\n\r\n\r\n\r\n......", "PRI / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let client = bench.connect();
        bench.send(client, other);
        assert!(!bench.client(client).received.starts_with(&[0, 0]), "{other}");
    }
    // over TLS only what was agreed on counts
    bench.is_secured = true;
    let client = bench.connect();
    bench.send(client, two::PREFACE);
    assert!(bench.take(client).starts_with("HTTP/1.1 "));
    bench.protocol = "h2";
    let client = bench.connect();
    bench.send(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(bench.client(client).finished && bench.outside.order.len() == 1);
    // a preface that does not come
    let client = bench.connect();
    bench.send(client, b"PRI");
    bench.wait(10 * SECOND);
    assert!(bench.client(client).finished || bench.client(client).closed);
}

#[test]
fn an_idle_connection_ends() {
    let mut bench = Bench::with(&[("idle-timeout", "5 s")]);
    let mut client = Two::connect(&mut bench);
    let mut asked = client.get(&mut bench, "/");
    bench.respond_text(bench.last().id, "x");
    client.turn(&mut bench, &mut [&mut asked]);
    bench.wait(4 * SECOND);
    assert!(!bench.client(client.connection).finished);
    bench.wait(SECOND);
    client.turn(&mut bench, &mut []);
    assert!(bench.client(client.connection).finished && matches!(client.ended, Some(Ok(()))), "{:?}", client.ended);
}

#[test]
fn a_server_that_is_replaced_loses_no_stream() {
    for by_tcp in [false, true] {
        let mut bench = Bench::new();
        let mut client = Two::connect(&mut bench);
        let mut all: Vec<_> = (0..5).map(|n| client.get(&mut bench, &format!("/{n}"))).collect();
        if by_tcp {
            bench.tcp_peer(wit::Peer::Retire(0));
        } else {
            bench.http.retire(bench.now);
        }
        bench.turn();
        client.turn(&mut bench, &mut all.iter_mut().collect::<Vec<_>>());
        for id in bench.outside.order.clone() {
            bench.respond_text(id, "x");
        }
        client.turn(&mut bench, &mut all.iter_mut().collect::<Vec<_>>());
        assert!(all.iter().all(|asked| asked.is_whole()));
        assert!(matches!(client.ended, Some(Ok(()))), "{:?}", client.ended);
        assert!(bench.client(client.connection).finished);
        bench.finish(client.connection);
        bench.wait(SECOND);
        assert_eq!(bench.outside.released.len(), usize::from(by_tcp));
    }
}

#[test]
fn a_handler_without_room_gets_requests_later() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    bench.outside.handler_full = true;
    for _ in 0..40 {
        // fills what the box keeps for the handler
        let other = bench.connect();
        bench.send(other, format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000)));
    }
    let mut asked = client.ask(&mut bench, Request::post("https://h/late").body(()).unwrap(), false);
    asked.body.send_data(Bytes::from_static(b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n"), true).unwrap();
    client.turn(&mut bench, &mut [&mut asked]);
    assert!(!bench.requests().iter().any(|request| request.target == "/late"));
    bench.outside.handler_full = false;
    bench.room = true;
    bench.turn();
    bench.turn();
    let late = bench.requests().into_iter().find(|request| request.target == "/late").expect("it came");
    assert!(late.ended && late.body.starts_with(b"GET / HTTP/1.1") && late.authority == "h", "{late:?}");
}

#[test]
fn rules_hold_for_streams_too() {
    let settings = [("rules.0.path", "/old"), ("rules.0.redirect", "/new"), ("rules.1.rate", "1/min")];
    let mut bench = Bench::with(&settings);
    let mut client = Two::connect(&mut bench);
    let asked = client.get(&mut bench, "/old");
    assert_eq!((asked.status(), asked.header("location")), (301, "/new"));
    let asked = client.get(&mut bench, "/");
    assert_eq!((asked.status(), asked.is_whole(), asked.header("retry-after")), (429, true, "60"));
}

/// TCP has room now and then, for all that it has room for at once: each time as much is sent, of all streams in turn.
#[test]
fn data_waits_for_tcp_and_no_longer() {
    let mut bench = with_much_memory();
    let mut windows = h2::client::Builder::new();
    windows.initial_window_size(1 << 24).initial_connection_window_size(1 << 24);
    let mut client = Two::connect_with(&mut bench, &windows);
    let mut all: Vec<_> = (0..20).map(|_| client.get(&mut bench, "/")).collect();
    bench.clients_read = false;
    let ids = bench.outside.order.clone();
    for &request in &ids {
        bench.event(Event::Response { request, status: 200, headers: b"content-length: 100000\r\n" });
    }
    let mut given = vec![0; ids.len()];
    let mut begun = 0;
    for _ in 0..2_000 {
        for (&request, given) in ids.iter().zip(&mut given) {
            let length = (bench.request(request).response_credit as usize).min(100_000 - *given);
            if length > 0 {
                bench.event(Event::Body { request, data: &vec![b'x'; length] });
                *given += length;
                if *given == 100_000 {
                    bench.event(Event::End { request });
                }
            }
        }
        bench.turn();
        client.turn(&mut bench, &mut all.iter_mut().collect::<Vec<_>>());
        if all.iter().any(|asked| asked.is_whole()) && begun == 0 {
            begun = all.iter().filter(|asked| !asked.data.is_empty()).count();
        }
        if all.iter().all(|asked| asked.is_whole()) {
            assert_eq!(begun, all.len(), "all have got something before the first has got all");
            return;
        }
        let credit = bench.client(client.connection).credit;
        // as TLS does, which gives credit back in steps of 16 KiB
        assert!(credit <= 48 << 10, "there is room for {credit} bytes, and nothing is sent");
        bench.read(client.connection, (1 << 16) - credit);
        bench.turn();
    }
    panic!("{:?}", all.iter().map(|asked| asked.data.len()).collect::<Vec<_>>());
}

/// A client that is answered before its body is over may go on sending, for some time; no more is taken of one that does not end.
#[test]
fn what_follows_an_answer_is_dropped() {
    let mut bench = Bench::new();
    let mut client = Two::connect(&mut bench);
    for (size, is_reset) in [(100_000, false), (1_000_000, true)] {
        let mut asked = client.ask(&mut bench, Request::post("https://h/").body(()).unwrap(), false);
        bench.respond_text(bench.last().id, "enough");
        let mut sent = 0;
        for _ in 0..1_000 {
            asked.body.reserve_capacity(size - sent);
            client.turn(&mut bench, &mut [&mut asked]);
            let length = asked.body.capacity().min(size - sent);
            if length == 0 {
                break;
            }
            sent += length;
            if asked.body.send_data(vec![b'x'; length].into(), sent == size).is_err() {
                break;
            }
        }
        client.turn(&mut bench, &mut [&mut asked]);
        assert!(asked.is_whole() && asked.text() == "enough", "{size}: {:?}", asked.ended);
        assert_eq!(sent < size, is_reset, "{sent}");
    }
    let asked = client.get(&mut bench, "/");
    assert!(asked.ended.is_none() && client.ended.is_none());
}

/// Under pressure one request of a connection is served at a time, and none is turned away.
#[test]
fn under_pressure_streams_wait_for_each_other() {
    let mut bench = Bench::without_handler(&[("held-bytes", "1 MiB")]);
    bench.attach_handler(0, "", "");
    bench.clients_read = false;
    // holds more than half of what may be held
    for _ in 0..10 {
        let slow = bench.connect();
        bench.send(slow, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
        let request = bench.last().id;
        bench.event(Event::Response { request, status: 200, headers: b"" });
        bench.event(Event::Body { request, data: &[b'x'; 64 << 10] });
        bench.turn();
        let credit = bench.request(request).response_credit as usize;
        bench.event(Event::Body { request, data: &vec![b'x'; credit] });
        bench.turn();
    }
    let before = bench.outside.order.len();
    bench.clients_read = true;
    let mut client = Two::connect(&mut bench);
    let mut all: Vec<_> = (0..10).map(|n| client.get(&mut bench, &format!("/{n}"))).collect();
    let mut most = 0;
    while bench.outside.order.len() < before + 10 || all.iter().any(|asked| !asked.is_whole()) {
        let open: Vec<_> = bench.requests()[before..].iter().filter(|request| !request.over).cloned().collect();
        most = most.max(open.len());
        bench.respond_text(open[0].id, &open[0].target);
        client.turn(&mut bench, &mut all.iter_mut().collect::<Vec<_>>());
    }
    for (n, asked) in all.iter().enumerate() {
        assert_eq!((asked.status(), asked.text()), (200, format!("/{n}").as_str()));
    }
    assert!(most < 10, "{most} at once");
}

/// More responses than there is memory for at once, of one connection and of several: streams wait for each other, however long that
/// takes, and none is given up.
#[test]
fn many_large_downloads_at_once() {
    const SIZE: usize = 1 << 20;
    for connections in [1, 4] {
        let mut bench = Bench::new();
        bench.clients_read = false;
        let mut windows = h2::client::Builder::new();
        windows.initial_window_size(1 << 24).initial_connection_window_size(1 << 26);
        let mut clients: Vec<_> = (0..connections).map(|_| Two::connect_with(&mut bench, &windows)).collect();
        let mut ask = |client: &mut Two| (0..40 / connections).map(|_| client.get(&mut bench, "/")).collect::<Vec<_>>();
        let mut all: Vec<_> = clients.iter_mut().map(&mut ask).collect();
        let mut given = Vec::new();
        for _ in 0..1_000 {
            for (n, request) in bench.outside.order.clone().into_iter().enumerate() {
                if n == given.len() {
                    given.push(0);
                    let headers = format!("content-length: {SIZE}\r\n");
                    bench.event(Event::Response { request, status: 200, headers: headers.as_bytes() });
                }
                if bench.request(request).over || bench.request(request).cancelled {
                    continue;
                }
                let length = (bench.request(request).response_credit as usize).min(SIZE - given[n]);
                if length > 0 {
                    bench.event(Event::Body { request, data: &vec![b'x'; length] });
                    given[n] += length;
                }
                if given[n] == SIZE {
                    bench.event(Event::End { request });
                }
            }
            bench.wait(SECOND);
            for (client, asked) in clients.iter_mut().zip(&mut all) {
                client.turn(&mut bench, &mut asked.iter_mut().collect::<Vec<_>>());
                let credit = bench.client(client.connection).credit;
                bench.read(client.connection, (1 << 16) - credit);
            }
            if all.iter().flatten().all(|asked| asked.ended.is_some()) {
                break;
            }
        }
        for asked in all.iter().flatten() {
            let seen = (asked.status(), asked.is_whole(), asked.data.len());
            assert_eq!(seen, (200, true, SIZE), "{:?}: {:?}", asked.ended, bench.outside.log);
        }
        assert!(!bench.logged("given up"), "{:?}", bench.outside.log);
    }
}

/// A client that does not answer the PING which comes with GOAWAY would be served for as long as it asks.
#[test]
fn who_asks_on_after_goaway_is_refused_in_time() {
    for by_tcp in [false, true] {
        let mut bench = Bench::new();
        let client = two::begin(&mut bench);
        bench.send(client, two::request(1));
        if by_tcp {
            bench.tcp_peer(wit::Peer::Retire(0));
        } else {
            bench.http.retire(bench.now);
        }
        bench.turn();
        assert_eq!(two::goaway(&two::frames(&mut bench, client)), Some(0));
        bench.wait(2 * SECOND);
        bench.send(client, two::request(3));
        assert_eq!(bench.outside.order.len(), 2, "it may have been on its way");
        bench.wait(2 * SECOND);
        bench.send(client, two::request(5));
        assert_eq!(two::reset(&two::frames(&mut bench, client), 5), Some(7), "REFUSED_STREAM");
        assert_eq!(bench.outside.order.len(), 2);
        for (id, stream) in bench.outside.order.clone().into_iter().zip([1, 3]) {
            assert!(!bench.client(client).finished);
            bench.respond_text(id, "x");
            let frames = two::frames(&mut bench, client);
            assert!(frames.iter().any(|frame| (frame.kind, frame.stream) == (0, stream)), "{stream}: {frames:?}");
        }
        assert!(bench.client(client).finished && !bench.client(client).aborted);
        // one that TCP had accepted before is served once more; what it asks for later is not, though nothing is open
        let late = two::begin(&mut bench);
        bench.send(late, two::request(1));
        bench.respond_text(bench.last().id, "late");
        two::frames(&mut bench, late);
        bench.wait(2 * SECOND);
        bench.send(late, two::request(3));
        bench.respond_text(bench.last().id, "later");
        assert_eq!(bench.outside.order.len(), 4);
        bench.wait(2 * SECOND);
        bench.send(late, two::request(5));
        let frames = two::frames(&mut bench, late);
        assert_eq!((two::reset(&frames, 5), two::goaway(&frames)), (Some(7), Some(0)), "{frames:?}");
        assert!(bench.outside.order.len() == 4 && bench.client(late).finished);
    }
}
