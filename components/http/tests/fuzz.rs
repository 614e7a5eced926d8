//! Random clients and handlers, honest and hostile. What the bench checks as it goes (credit, order of events, nothing
//! after an end) holds for all; what clients receive is well formed; everything comes to an end.
//!
//! `FUZZ_SEEDS=5000 cargo test --release --test fuzz` tries more.

mod common;
use common::random::Random;
use common::{Bench, SECOND, responses};
use std::collections::BTreeMap;
use wit::http::Event;

/// A stream of requests whose targets say whose they are and which.
fn stream(random: &mut Random, client: u32) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..1 + random.below(8) {
        let target = format!("/{client}/{number}");
        let extra = random.pick(&[
            "",
            "Accept: */*\r\n",
            "Accept-Encoding: gzip\r\n",
            "accept-encoding: gzip\r\nX-Forwarded-For: 192.0.2.1\r\nTE: trailers\r\n",
            "X:y\r\n",
            "Connection: x\r\nX: y\r\n",
            "Expect: 100-continue\r\n",
        ]);
        let most = if random.one_in(10) { 100_000 } else { 300 };
        let size = random.below(most);
        match random.below(6) {
            0 => {
                stream.extend_from_slice(
                    format!("POST {target} HTTP/1.1\r\nHost: h\r\n{extra}Content-Length: {size}\r\n\r\n").as_bytes(),
                );
                stream.extend(std::iter::repeat_n(b'b', size));
            }
            1 => {
                stream.extend_from_slice(
                    format!("PUT {target} HTTP/1.1\r\nHost: h\r\n{extra}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
                );
                for _ in 0..random.below(4) {
                    let size = 1 + size / 3;
                    stream.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    stream.extend(std::iter::repeat_n(b'c', size));
                    stream.extend_from_slice(b"\r\n");
                }
                stream.extend_from_slice(b"0\r\n\r\n");
            }
            _ => stream.extend_from_slice(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{extra}\r\n").as_bytes()),
        }
    }
    stream
}

fn mutate(random: &mut Random, stream: &mut Vec<u8>) {
    for _ in 0..1 + random.below(4) {
        let place = random.below(stream.len());
        match random.below(4) {
            0 => stream[place] = random.next() as u8,
            1 => stream.insert(place, *random.pick(b"\r\n \t:;,\0\x7f\xff0aGHT/")),
            2 => drop(stream.remove(place)),
            _ => {
                let piece: &[u8] = random.pick::<&[u8]>(&[
                    b"\r\n",
                    b"\r\n\r\n",
                    b"Content-Length: 3\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Connection: close\r\n",
                    b"HTTP/1.0",
                    b"0\r\n\r\n",
                ]);
                stream.splice(place..place, piece.iter().copied());
            }
        }
    }
}

/// An honest answer says which request it is for.
fn answer(random: &mut Random, bench: &mut Bench, id: u32) {
    let target = bench.request(id).target.clone();
    let kind = random.pick(&["", "content-type: text/plain\r\n"]);
    let headers = format!("x-target: {target}\r\n{kind}");
    match random.below(4) {
        0 => {
            let size = random.below(150_000).min(bench.request(id).response_credit as usize);
            bench.event(Event::Response { request: id, status: 200, headers: headers.as_bytes() });
            bench.event(Event::Body { request: id, data: &vec![b'd'; size] });
            bench.event(Event::End { request: id });
        }
        1 => bench.event(Event::Failed { request: id, why: "random" }),
        _ => {
            let headers = format!("{headers}content-length: 4\r\n");
            bench.event(Event::Response { request: id, status: 200, headers: headers.as_bytes() });
            bench.event(Event::Body { request: id, data: b"body" });
            bench.event(Event::End { request: id });
        }
    }
}

fn misbehave(random: &mut Random, bench: &mut Bench, id: u32) {
    let id = if random.one_in(3) { id ^ (random.next() as u32 & 0x1_000f) } else { id };
    let most = if random.one_in(5) { 70_000 } else { 40 };
    let size = random.below(most);
    let mut bytes: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
    let kind = if random.one_in(10) { random.next() as u8 % 240 } else { 1 + random.below(6) as u8 };
    if kind == 1 && !random.one_in(3) {
        let head: &[u8] = random.pick::<&[u8]>(&[
            b"\xc8\0content-length: 10\r\n",
            b"\xc8\0",
            b"\xc8\0content-type: text/html\r\n",
            b"\xc8\0content-type: a/b+xml\r\ncontent-length: 2000\r\n",
            b"\xc8\0a: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"\xcc\0content-length: 7\r\n",
            b"\x30\x01connection: close\r\n",
            b"\xc8\0transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        ]);
        let (status, headers) = head.split_at(2);
        bytes = [status, &(headers.len() as u32).to_le_bytes(), headers].concat();
    } else if matches!(kind, 2 | 5 | 6) && !random.one_in(3) {
        // well formed, but for what is no UTF-8
        bytes.splice(0..0, (size as u32).to_le_bytes());
    }
    let peer = random.below(3) as u32;
    bench.handler_record(peer, kind, id, &bytes);
}

fn run(seed: u64) {
    let mut random = Random::new(seed);
    let hostile = random.one_in(2);
    let settings = [("connections", "6"), ("held-bytes", "1 MiB"), ("header-bytes", "2 KiB"), ("body-bytes", "90000")];
    let rules = [
        ("access-log", "vhost-combined"),
        ("rules.0.path", "*1"),
        ("rules.0.redirect", "/*"),
        ("rules.1.path", "*2"),
        ("rules.1.rate", "1/s"),
        ("rules.2.path", "*3"),
        ("rules.2.users.anna", "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie"),
        ("client-connections", "3"),
        ("trusted-proxies", "::1"),
    ];
    let with_rules = random.one_in(2);
    let mut bench = Bench::with(&[&settings[..], if with_rules { &rules } else { &[] }].concat());
    bench.attach_handler(1, "", "/1");
    bench.clients_read = random.one_in(2);
    let mut streams: BTreeMap<u32, (Vec<u8>, bool)> = BTreeMap::new();
    for _ in 0..40 + random.below(200) {
        let clients: Vec<u32> = streams.keys().copied().collect();
        let waiting: Vec<u32> =
            bench.outside.requests.values().filter(|r| !r.over && !r.cancelled).map(|r| r.id).collect();
        match random.below(20) {
            0..2 => {
                let client = bench.connect();
                let mut bytes = stream(&mut random, client);
                let mutated = random.one_in(2);
                if mutated {
                    mutate(&mut random, &mut bytes);
                }
                streams.insert(client, (bytes, mutated));
            }
            2..9 if !clients.is_empty() => {
                let client = *random.pick(&clients);
                let rest = &mut streams.get_mut(&client).unwrap().0;
                let most = if random.one_in(2) { 20 } else { 40_000 };
                let length = (1 + random.below(most)).min(rest.len()).min(bench.client(client).send_credit as usize);
                if length > 0 {
                    let piece: Vec<u8> = rest.drain(..length).collect();
                    bench.data(client, &piece);
                    if !random.one_in(4) {
                        bench.turn();
                    }
                }
            }
            9..13 if !waiting.is_empty() => {
                let id = *random.pick(&waiting);
                if hostile && !random.one_in(3) {
                    misbehave(&mut random, &mut bench, id);
                } else if !hostile || bench.request(id).peer == 0 {
                    answer(&mut random, &mut bench, id);
                }
                if random.one_in(2) {
                    bench.turn();
                }
            }
            13 if !waiting.is_empty() => {
                let id = *random.pick(&waiting);
                let used = wit::INITIAL_CREDIT.saturating_sub(bench.request(id).credit);
                if used > 0 && !hostile {
                    bench.event(Event::Credit { request: id, bytes: used });
                    bench.turn();
                }
            }
            14 if !clients.is_empty() => {
                let client = *random.pick(&clients);
                let taken = wit::INITIAL_CREDIT - bench.client(client).credit;
                if taken > 0 {
                    bench.read(client, 1 + random.below(taken as usize) as u32);
                    bench.turn();
                }
            }
            15 if !clients.is_empty() && random.one_in(4) => bench.finish(*random.pick(&clients)),
            16 if random.one_in(6) => {
                let peer = random.below(2) as u32;
                bench.detach_handler(peer);
                if !random.one_in(3) {
                    bench.attach_handler(peer, "", ["", "/1"][peer as usize]);
                }
            }
            17 if random.one_in(3) => {
                bench.outside.handler_full = random.one_in(3);
                bench.outside.tcp_full = random.one_in(3);
                bench.room = true;
                bench.turn();
            }
            18 => {
                let time = random.next() % (3 * SECOND);
                bench.wait(time);
            }
            _ => bench.turn(),
        }
        assert!(bench.http.held() < 4 << 20, "{} bytes are held", bench.http.held());
        assert!(bench.outside.log.len() < 10_000);
    }
    end(&mut bench);
    for (client, (_, mutated)) in streams {
        check(&bench, client, mutated, hostile);
    }
}

/// Everybody reads, and time passes: all must come to an end.
fn end(bench: &mut Bench) {
    bench.outside.handler_full = false;
    bench.outside.tcp_full = false;
    bench.room = true;
    bench.turn();
    bench.clients_read = true;
    for _ in 0..200 {
        for client in bench.outside.clients.keys().copied().collect::<Vec<_>>() {
            let taken = wit::INITIAL_CREDIT - bench.client(client).credit;
            if taken > 0 {
                bench.read(client, taken);
            }
        }
        bench.wait(SECOND * 3);
    }
    assert!(bench.outside.clients.values().all(|client| client.closed || client.finished));
    let guessed = &bench.outside.guessed;
    let mut left = bench.outside.requests.values().filter(|request| !request.over && !request.cancelled);
    let left = left.find(|request| !guessed.contains(&(request.peer, request.id)));
    assert!(left.is_none(), "nobody ended {left:?}");
    assert_eq!((bench.http.held(), bench.http.deadline()), (0, u64::MAX));
}

fn check(bench: &Bench, client: u32, mutated: bool, hostile: bool) {
    let stream = &bench.client(client).received;
    let responses = match responses::read(stream, &[]) {
        Ok(responses) => responses,
        Err(why) if bench.client(client).aborted && why.starts_with("a head without an end") => return,
        Err(why) => panic!("client {client}: {why}\n{}", String::from_utf8_lossy(stream)),
    };
    if mutated || hostile {
        return;
    }
    let mut next = 0;
    for response in responses {
        if let Some(target) = response.header("x-target") {
            let (whose, number) = target[1..].split_once('/').unwrap();
            assert_eq!(whose.parse(), Ok(client), "a response for another client");
            let number: usize = number.parse().unwrap();
            assert!(number >= next, "a response out of order");
            next = number + 1;
        }
    }
}

#[test]
fn random_clients_and_handlers() {
    let number = |name, default| std::env::var(name).map_or(default, |number| number.parse().unwrap());
    let first = number("FUZZ_FIRST", 0);
    for seed in first..first + number("FUZZ_SEEDS", 400) {
        if let Err(cause) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(cause);
        }
    }
}
