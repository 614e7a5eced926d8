//! What the server holds is bounded by the memory that it has, whoever asks for what; and those who make it hold much, or
//! hold places for long, go before the others.

mod common;
use common::memory::{self, Counter};
use common::{Bench, MEMORY, SECOND, responses};
use std::net::{Ipv4Addr, Ipv6Addr};
use wit::http::Event;
use wit::{INITIAL_CREDIT, Peer};

#[global_allocator]
static COUNTER: Counter = Counter;

const GET: &str = "GET /file HTTP/1.1\r\nHost: h\r\n\r\n";

fn within(memory: usize, settings: &[(&str, &str)]) -> Bench {
    // A bench before this one is gone, or is not used any more.
    memory::reset();
    let mut bench = Bench::within(memory, settings);
    bench.attach_handler(0, "", "");
    bench
}

fn assert_within(memory: usize) {
    let peak = memory::peak();
    assert!(peak <= memory, "{peak} bytes at one time, of {memory}");
}

/// The handler answers what it has been asked last, with as much of 1 MB as it has credit for.
fn serve(bench: &mut Bench) {
    for request in bench.outside.order.split_off(0) {
        bench.event(Event::Response { request, status: 200, headers: b"content-length: 1000000\r\n" });
        go_on(bench, request);
    }
}

fn go_on(bench: &mut Bench, request: u32) {
    let credit = bench.request(request).response_credit;
    bench.event(Event::Body { request, data: &vec![b'x'; credit as usize] });
    bench.turn();
}

/// A client that reads what it gets is served, over a new connection.
fn assert_served(bench: &mut Bench) {
    bench.address = Ipv4Addr::new(192, 0, 2, 200).to_ipv6_mapped();
    let client = bench.connect();
    assert!(!bench.client(client).closed, "there is no place for an honest client");
    bench.send(client, GET);
    bench.respond_text(bench.last().id, "x");
    let text = bench.take(client);
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(!bench.client(client).closed);
}

/// Clients that ask for 1 MB, by `pipelined` requests each, send `more`, and never read; and one that reads slowly.
fn never_read(settings: &[(&str, &str)], memory: usize, clients: u32, pipelined: usize, more: usize) {
    let mut bench = within(memory, settings);
    bench.clients_read = false;
    bench.address = Ipv4Addr::new(192, 0, 2, 100).to_ipv6_mapped();
    let phone = bench.connect();
    bench.send(phone, GET);
    let download = bench.last().id;
    serve(&mut bench);
    for number in 0..clients {
        bench.address = Ipv6Addr::from(u128::from(number) << 64);
        let client = bench.connect();
        if bench.client(client).closed {
            continue;
        }
        bench.send(client, GET.repeat(pipelined));
        let mut left = more.min(bench.client(client).send_credit as usize);
        while left > 0 && !bench.client(client).closed {
            let part = left.min(16 << 10);
            bench.send(client, vec![b'A'; part]);
            left -= part;
        }
        serve(&mut bench);
        bench.now += SECOND / 50;
        bench.read(phone, 400.min(INITIAL_CREDIT - bench.client(phone).credit));
        bench.turn();
        go_on(&mut bench, download);
    }
    assert_within(memory);
    assert!(!bench.client(phone).closed, "the slow client that reads was given up");
    bench.clients_read = true;
    assert_served(&mut bench);
}

/// H9: what clients leave unread is within the memory, and those go first who have left much for long.
#[test]
fn pipelines_that_are_never_read() {
    never_read(&[], MEMORY, 17, 16, 0);
    never_read(&[], MEMORY, 40, 16, 0);
    never_read(&[], MEMORY, 200, 16, 0);
}

/// H9
#[test]
fn full_pipelines_with_more_input() {
    never_read(&[], MEMORY, 170, 16, 64 << 10);
    never_read(&[], MEMORY, 1000, 16, 64 << 10);
}

#[test]
fn one_request_each_and_never_read() {
    never_read(&[], MEMORY, 1000, 1, 0);
}

#[test]
fn at_settings_that_allow_the_most() {
    let settings = [
        ("connections", "2048"),
        ("header-bytes", "60 KiB"),
        ("target-bytes", "60 KiB"),
        ("headers", "256"),
        ("held-bytes", "2 GiB"),
        ("client-connections", "2048"),
        ("access-log", "vhost-combined"),
        ("rules.0.rate", "1000/s"),
    ];
    for memory in [6 << 20, MEMORY] {
        never_read(&settings, memory, 2200, 16, 64 << 10);
    }
}

#[test]
fn heads_that_do_not_end() {
    for connections in ["800", "2048"] {
        let mut bench = within(MEMORY, &[("connections", connections)]);
        for number in 0..2_100 {
            bench.address = Ipv6Addr::from(number << 64);
            let client = bench.connect();
            bench.send(client, format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(15_900)));
            bench.now += SECOND / 1000;
        }
        assert_within(MEMORY);
        assert_served(&mut bench);
    }
}

/// Requests that are over leave nothing behind but their place.
#[test]
fn what_was_held_is_given_back() {
    let mut bench = within(MEMORY, &[("access-log", "true")]);
    let before = memory::live();
    for round in 0..2 {
        let clients: Vec<u32> = (0..200).map(|_| bench.connect()).collect();
        for &client in &clients {
            bench.send(client, format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(4000)).repeat(16));
        }
        for &client in &clients {
            bench.finish(client);
        }
        for id in bench.outside.order.split_off(0) {
            bench.respond(id, 200, "content-length: 4000\r\n", &"x".repeat(4000));
        }
        for &client in &clients {
            bench.finish(client);
        }
        assert_eq!(bench.http.held(), 0);
        assert!(memory::live() < before + (3 << 20), "round {round}: {} bytes remain", memory::live() - before);
    }
    assert_within(MEMORY);
}

#[test]
fn one_batch_of_15_mb_from_a_handler() {
    let memory = 32 << 20;
    // a reason that is no UTF-8 and would take three times its length in it, and one that is written out longer than it is
    let mut bench = within(memory, &[]);
    let client = bench.connect();
    for byte in [0xff, 1] {
        bench.send(client, GET);
        let why = [&15_000_000_u32.to_le_bytes()[..], &vec![byte; 15_000_000]].concat();
        bench.handler_record(0, 5, bench.last().id, &why);
        bench.turn();
        assert!(bench.take(client).starts_with("HTTP/1.1 502"));
    }
    bench.handler_peer(Peer::Detach(0, &vec![0xff; 15_000_000]));
    bench.turn();
    bench.attach_handler(0, "", "");
    // header lines
    bench.send(client, GET);
    let id = bench.last().id;
    bench.event(Event::Response { request: id, status: 200, headers: &b"a: b\r\n".repeat(2_500_000) });
    bench.turn();
    assert!(bench.take(client).starts_with("HTTP/1.1 502"));
    // bodies of one byte each, as chunks, for clients that do not read
    bench.clients_read = false;
    for _ in 0..10 {
        let client = bench.connect();
        bench.send(client, GET.repeat(16));
    }
    let waiting: Vec<u32> = bench.requests().iter().filter(|r| !r.over && !r.cancelled).map(|r| r.id).collect();
    for &request in &waiting {
        bench.event(Event::Response { request, status: 200, headers: b"" });
    }
    for number in 0..600_000 {
        bench.event(Event::Body { request: waiting[number % waiting.len()], data: b"x" });
    }
    bench.turn();
    // what no handler may send, and kinds that are not known
    for number in 0..600_000 {
        let kind = if number % 2 == 0 { 4 } else { 200 };
        bench.handler_record(0, kind, waiting[number / 2 % waiting.len()], b"");
    }
    bench.turn();
    assert_within(memory);
    bench.clients_read = true;
    assert_served(&mut bench);
}

#[test]
fn one_batch_of_15_mb_from_tcp() {
    let memory = 32 << 20;
    for (full, log) in [(false, "false"), (true, "false"), (false, "true")] {
        let mut bench = within(memory, &[("access-log", log)]);
        // data of many connections, as requests that are answered with more than they are
        bench.handler_peer(Peer::Detach(0, b""));
        bench.turn();
        bench.clients_read = false;
        let clients: Vec<u32> = (0..228).map(|_| bench.connect()).collect();
        for &client in &clients {
            bench.data(client, &GET.as_bytes().repeat(INITIAL_CREDIT as usize / GET.len()));
        }
        bench.turn();
        // connections without end
        bench.outside.tcp_full = full;
        for connection in 0..500_000 {
            let remote = wit::tcp::Endpoint { address: Ipv6Addr::LOCALHOST, port: 50_000 };
            bench.tcp_event(wit::tcp::Event::Accepted {
                connection: 1_000_000 + connection,
                remote,
                port: 80,
                secured: None,
            });
        }
        bench.turn();
        assert_within(memory);
    }
}

/// Posts that send a byte now and then.
fn slow_posts(bench: &mut Bench, count: u32, address: impl Fn(u32) -> Ipv6Addr) -> Vec<u32> {
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n";
    (0..count)
        .map(|number| {
            bench.address = address(number);
            let client = bench.connect();
            bench.send(client, post);
            client
        })
        .collect()
}

/// H8
#[test]
fn bodies_that_come_too_slowly_make_room() {
    let mut bench = within(MEMORY, &[]);
    let mut slow = slow_posts(&mut bench, 800, |number| Ipv6Addr::from(u128::from(number) << 64));
    let users = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
    for round in 0..10 {
        bench.wait(5 * SECOND);
        if round % 4 == 3 {
            for &client in &slow {
                if !bench.client(client).finished {
                    bench.data(client, b"x");
                }
            }
            bench.turn();
        }
        assert_served(&mut bench);
        // they come again
        slow.retain(|&client| !bench.client(client).finished && !bench.client(client).closed);
        let again = 800 - slow.len() as u32;
        slow.extend(slow_posts(&mut bench, again, |number| Ipv6Addr::from(u128::from(10_000 + number) << 64)));
        bench.address = users;
    }
}

/// H8
#[test]
fn one_address_does_not_have_all_places() {
    let proxy = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
    // one network of IPv6, in which a client chooses its addresses
    let network = |number: u32| Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number));
    let mut bench = within(MEMORY, &[("client-connections", "800")]);
    let users = slow_posts(&mut bench, 100, |_| proxy);
    let greedy = slow_posts(&mut bench, 700, network);
    assert_served(&mut bench);
    // all places are taken by requests under way again, and one of those who have most makes room
    let more = slow_posts(&mut bench, 50, |number| Ipv6Addr::from(u128::from(number) << 80));
    assert!(more.iter().all(|&client| !bench.client(client).closed && !bench.client(client).finished));
    assert!(users.iter().all(|&client| !bench.client(client).closed), "the users of a proxy stay");
    assert!(greedy.iter().any(|&client| bench.client(client).closed));
    // who has most gets no more
    let last = slow_posts(&mut bench, 1, network)[0];
    let texts = responses::read(bench.take(last).as_bytes(), &[]).unwrap();
    assert_eq!(texts[0].status, 503);
}

/// H8: a client has its share of the places, whether there are others or not; its own slowest makes room for its next.
#[test]
fn the_connections_of_one_client() {
    let networks: [fn(u32) -> Ipv6Addr; 2] = [
        |_| Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped(),
        // one network of IPv6, in which a client chooses its addresses
        |number| Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)),
    ];
    for (settings, most) in [(&[][..], 400), (&[("client-connections", "50")], 50), (&[("connections", "40")], 32)] {
        for network in networks {
            let mut bench = within(MEMORY, settings);
            let all = slow_posts(&mut bench, most, network);
            assert!(all.iter().all(|&client| !bench.client(client).finished && !bench.client(client).closed));
            let more = slow_posts(&mut bench, 1, |number| network(number + 1_000))[0];
            assert!(bench.take(more).starts_with("HTTP/1.1 503"), "{most}");
            assert_served(&mut bench);
            // who has waited for long makes room, and is of the same client
            bench.wait(10 * SECOND);
            let more = slow_posts(&mut bench, 1, |number| network(number + 2_000))[0];
            assert!(!bench.client(more).finished && !bench.client(more).closed);
            assert_eq!(all.iter().filter(|&&client| bench.client(client).closed).count(), 1);
            // places that are free again count for nobody
            for &client in &all {
                bench.finish(client);
            }
            bench.wait(60 * SECOND);
            assert_served(&mut bench);
        }
    }
}

/// H8: however fast it comes.
#[test]
fn the_whole_time_of_a_request() {
    let mut bench = within(MEMORY, &[("request-timeout", "2 min"), ("body-bytes", "1 GiB")]);
    let client = bench.connect();
    bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
    let request = bench.last().id;
    for second in 1..=120 {
        assert!(bench.client(client).received.is_empty(), "after {second} s");
        bench.send(client, [b'x'; 10_000]);
        bench.event(Event::Credit { request, bytes: 10_000 });
        bench.wait(SECOND);
    }
    assert!(bench.take(client).starts_with("HTTP/1.1 408"));
    assert!(bench.client(client).finished && bench.request(request).cancelled);
}

/// H8: 300 bytes a second is too slow, 1,000 are not.
#[test]
fn the_least_rate_of_a_body() {
    let mut bench = within(MEMORY, &[]);
    let [slow, phone] = [(); 2].map(|()| {
        let client = bench.connect();
        bench.send(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
        client
    });
    let request = bench.last().id;
    for _ in 0..120 {
        bench.wait(SECOND);
        if !bench.client(slow).finished {
            bench.send(slow, [b'x'; 300]);
        }
        bench.send(phone, [b'x'; 1000]);
        bench.event(Event::Credit { request, bytes: 1000 });
    }
    assert!(bench.take(slow).starts_with("HTTP/1.1 408"));
    assert!(!bench.client(phone).finished && bench.client(phone).received.is_empty());
}
