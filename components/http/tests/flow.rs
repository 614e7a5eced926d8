//! Backpressure: nobody is sent more than they have room for, and what cannot go on holds up what comes after it.

mod common;
use common::{Bench, SECOND, responses};
use wit::INITIAL_CREDIT;
use wit::http::Event;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_request_body_goes_as_far_as_the_handler_has_room() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n");
    let id = bench.last().id;
    let body: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let mut sent = 0;
    let send_all = |bench: &mut Bench, sent: &mut usize| {
        while bench.client(client).send_credit > 0 && *sent < body.len() {
            let length = (bench.client(client).send_credit as usize).min(1460).min(body.len() - *sent);
            bench.send(client, &body[*sent..*sent + length]);
            *sent += length;
        }
    };
    send_all(&mut bench, &mut sent);
    assert_eq!(bench.request(id).body.len(), INITIAL_CREDIT as usize);
    assert!(sent < 3 * INITIAL_CREDIT as usize, "the client is held up too");
    while !bench.request(id).ended {
        assert_eq!(bench.request(id).credit, 0);
        bench.event(Event::Credit { request: id, bytes: 10_000 });
        bench.turn();
        send_all(&mut bench, &mut sent);
    }
    assert_eq!(bench.request(id).body, body);
}

#[test]
fn a_response_goes_as_far_as_the_client_has_room() {
    for chunked in [false, true] {
        let mut bench = Bench::new();
        bench.clients_read = false;
        let client = bench.connect();
        bench.send(client, GET);
        let id = bench.last().id;
        let body: Vec<u8> = (0..300_000u32).map(|n| (n >> 3) as u8).collect();
        let headers: &[u8] = if chunked { b"" } else { b"content-length: 300000\r\n" };
        bench.event(Event::Response { request: id, status: 200, headers });
        let mut sent = 0;
        let send_all = |bench: &mut Bench, sent: &mut usize| {
            while bench.request(id).response_credit > 0 && *sent < body.len() {
                let length = (bench.request(id).response_credit as usize).min(7000).min(body.len() - *sent);
                bench.event(Event::Body { request: id, data: &body[*sent..*sent + length] });
                bench.turn();
                *sent += length;
            }
        };
        send_all(&mut bench, &mut sent);
        assert_eq!(bench.client(client).received.len(), INITIAL_CREDIT as usize);
        assert!(sent <= 2 * INITIAL_CREDIT as usize, "the handler is held up too");
        while sent < body.len() {
            bench.read(client, 5_000);
            bench.turn();
            send_all(&mut bench, &mut sent);
        }
        bench.event(Event::End { request: id });
        bench.turn();
        bench.read(client, 500_000);
        bench.turn();
        let response = &responses::read(&bench.client(client).received, &[]).unwrap()[0];
        assert!(response.whole && response.body == body);
    }
}

#[test]
fn answers_that_came_too_early_are_held_within_their_credit() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET.repeat(3));
    let ids: Vec<_> = bench.requests().iter().map(|r| r.id).collect();
    for &id in &ids[1..] {
        bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 100000\r\n" });
        bench.event(Event::Body { request: id, data: &[b'x'; 65_536] });
    }
    bench.turn();
    assert_eq!(bench.request(ids[1]).response_credit, 0);
    bench.respond_text(ids[0], "first");
    assert!(bench.request(ids[1]).response_credit > 0, "its turn has come");
    assert_eq!(bench.request(ids[2]).response_credit, 0);
    for &id in &ids[1..] {
        bench.event(Event::Body { request: id, data: &[b'y'; 34_464] });
        bench.event(Event::End { request: id });
        bench.turn();
    }
    let responses = responses::read(&bench.client(client).received, &[]).unwrap();
    assert_eq!(responses.iter().map(|r| r.body.len()).collect::<Vec<_>>(), [5, 100_000, 100_000]);
}

#[test]
fn a_handler_without_room_holds_up_its_requests_only() {
    let mut bench = Bench::new();
    let (a, b) = (bench.connect(), bench.connect());
    bench.outside.handler_full = true;
    bench.send(a, GET);
    assert!(bench.requests().is_empty(), "the batch was not taken");
    bench.send(b, format!("{GET}{GET}"));
    bench.send(a, GET);
    bench.outside.handler_full = false;
    bench.turn();
    assert!(bench.requests().is_empty(), "nothing is sent again before there is room");
    bench.room = true;
    bench.turn();
    assert_eq!(bench.requests().len(), 4);
    for request in bench.requests() {
        bench.respond_text(request.id, "x");
    }
    assert_eq!(responses::read(&bench.client(a).received, &[]).unwrap().len(), 2);
    assert_eq!(responses::read(&bench.client(b).received, &[]).unwrap().len(), 2);
}

#[test]
fn a_handler_that_never_has_room_is_busy() {
    let mut bench = Bench::new();
    let (a, b) = (bench.connect(), bench.connect());
    bench.outside.handler_full = true;
    bench.send(a, GET);
    bench.send(b, GET);
    bench.wait(31 * SECOND);
    assert!(bench.take(a).starts_with("HTTP/1.1 504 "));
    assert!(bench.take(b).starts_with("HTTP/1.1 503 "));
}

#[test]
fn tcp_without_room_holds_up_the_handler() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, GET);
    let id = bench.last().id;
    bench.outside.tcp_full = true;
    bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 150000\r\n" });
    let mut sent = 0;
    while bench.request(id).response_credit > 0 {
        let length = bench.request(id).response_credit.min(10_000) as usize;
        bench.event(Event::Body { request: id, data: &vec![b'z'; length] });
        bench.turn();
        sent += length;
    }
    assert!(sent < 150_000);
    assert_eq!(bench.client(client).text(), "");
    bench.outside.tcp_full = false;
    bench.room = true;
    bench.turn();
    while sent < 150_000 {
        let length = (bench.request(id).response_credit as usize).min(150_000 - sent);
        assert!(length > 0, "the handler goes on");
        bench.event(Event::Body { request: id, data: &vec![b'z'; length] });
        bench.turn();
        sent += length;
    }
    bench.event(Event::End { request: id });
    bench.turn();
    let response = &responses::read(&bench.client(client).received, &[]).unwrap()[0];
    assert!(response.whole && response.body.len() == 150_000);
}

#[test]
fn large_bodies_both_ways_at_once() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let id = bench.last().id;
    bench.event(Event::Response { request: id, status: 200, headers: b"" });
    let mut echoed = 0;
    for round in 0..40 {
        let data = vec![round; 8192];
        bench.send(client, [b"2000\r\n", data.as_slice(), b"\r\n"].concat());
        let body = bench.request(id).body[echoed..].to_vec();
        echoed += body.len();
        bench.event(Event::Credit { request: id, bytes: body.len() as u32 });
        bench.event(Event::Body { request: id, data: &body });
        bench.turn();
    }
    bench.send(client, "0\r\n\r\n");
    bench.event(Event::End { request: id });
    bench.turn();
    let response = &responses::read(&bench.client(client).received, &[]).unwrap()[0];
    assert!(response.whole);
    assert_eq!(response.body, (0..40).flat_map(|round| vec![round; 8192]).collect::<Vec<u8>>());
}

#[test]
fn memory_for_slow_clients_is_bounded() {
    let mut bench = Bench::with(&[("held-bytes", "1 MiB")]);
    bench.clients_read = false;
    let modest = bench.connect();
    bench.send(modest, GET);
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let client = bench.connect();
        greedy.push(client);
        bench.send(client, GET.repeat(16));
        for id in bench.outside.order.clone() {
            if bench.request(id).response_credit > 0 && id != bench.outside.order[0] && !bench.request(id).cancelled {
                bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 65000\r\n" });
                bench.event(Event::Body { request: id, data: &[b'x'; 65_000] });
                bench.event(Event::End { request: id });
                bench.turn();
                bench.outside.requests.get_mut(&id).unwrap().response_credit = 0;
            }
        }
    }
    assert!(greedy.iter().filter(|&&client| bench.client(client).aborted).count() >= 2);
    bench.respond_text(bench.outside.order[0], "still here");
    assert!(bench.take(modest).ends_with("still here"));
}

#[test]
fn tcp_that_sends_more_than_it_may_loses_the_connection() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..2 {
        bench.tcp_event(wit::tcp::Event::Data { connection: client, data: &[b'x'; 40_000] });
        bench.turn();
    }
    assert!(bench.client(client).aborted && bench.last().cancelled);
}
