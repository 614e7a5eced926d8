//! Random frames of HTTP/2, valid, wrong and cut anywhere, by clients that read when they like, while handlers do what they like; and
//! one client among them that is honest, with the library on its side. What the bench checks as it goes (credit, order of events,
//! nothing after an end) holds for all; the honest client gets what is its own; everything comes to an end.
//!
//! `FUZZ_SEEDS=5000 cargo test --release --test frames` tries more.

mod common;
use common::memory::{self, Counter};
use common::random::Random;
use common::two::{self, Asked, Two, frame};
use common::{Bench, MEMORY, SECOND};
use wit::http::Event;

#[global_allocator]
static COUNTER: Counter = Counter;

/// A client that makes its frames as it likes.
struct Hostile {
    client: u32,
    /// the next stream
    next: u32,
    out: Vec<u8>,
}

impl Hostile {
    fn begin(bench: &mut Bench) -> Self {
        Hostile { client: two::begin(bench), next: 1, out: Vec::new() }
    }

    /// A stream that was used, or may be.
    fn stream(&self, random: &mut Random) -> u32 {
        match random.below(10) {
            0 => random.next() as u32,
            1 => self.next,
            _ => self.next.saturating_sub(2 * random.below(6) as u32),
        }
    }

    fn frame(&mut self, random: &mut Random) -> Vec<u8> {
        let stream = self.stream(random);
        match random.below(14) {
            0..=3 => {
                let stream = self.next;
                self.next += 2;
                let (wrong_method, wrong_path) = (random.one_in(8), random.one_in(8));
                let methods = ["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "a b", ""];
                let paths = ["/", "/a?b", "*", "", "/\r\n", "a"];
                let mut fields = vec![
                    (":method", *random.pick(&methods[..if wrong_method { 7 } else { 3 }])),
                    (":scheme", "https"),
                    (":path", *random.pick(&paths[..if wrong_path { 6 } else { 2 }])),
                    (":authority", "h"),
                ];
                let more = [
                    ("content-length", "10"),
                    ("te", "trailers"),
                    ("expect", "100-continue"),
                    ("cookie", "a"),
                    ("cookie", "b"),
                    ("host", "h"),
                    ("host", "i"),
                    ("connection", "close"),
                    ("transfer-encoding", "chunked"),
                    ("x", "y"),
                ];
                (0..random.below(4)).for_each(|_| fields.push(*random.pick(&more)));
                let block = two::block(&fields);
                let ends = u8::from(random.one_in(2));
                if random.one_in(4) {
                    let (first, rest) = block.split_at(random.below(block.len()));
                    [frame(1, ends, stream, first), frame(9, 4, stream, rest)].concat()
                } else {
                    frame(1, 4 | ends, stream, &block)
                }
            }
            4..=6 => {
                let most = if random.one_in(4) { 16_384 } else { 100 };
                frame(0, u8::from(random.one_in(4)), stream, &vec![b'd'; random.below(most)])
            }
            7 => frame(3, 0, stream, &(random.below(14) as u32).to_be_bytes()),
            8 => frame(8, 0, if random.one_in(2) { 0 } else { stream }, &(random.below(1 << 17) as u32).to_be_bytes()),
            9 => {
                let value = *random.pick(&[0, 1, 100, 65_535, 1 << 20, u32::MAX]);
                let setting = [&(random.below(10) as u16).to_be_bytes()[..], &value.to_be_bytes()].concat();
                frame(4, u8::from(random.one_in(8)), 0, &setting)
            }
            10 => frame(6, random.below(2) as u8, 0, &[7; 8]),
            11 => frame(2, 0, stream, &[0, 0, 0, random.next() as u8, 1]),
            12 => frame(1, 5, stream, &two::block(&[("digest", "x")])),
            _ if random.one_in(10) => {
                frame(random.next() as u8, random.next() as u8, stream, &vec![7; random.below(64)])
            }
            _ => frame(200, 0, stream, b"unknown"),
        }
    }

    fn act(&mut self, random: &mut Random, bench: &mut Bench) {
        for _ in 0..random.below(6) {
            let mut frame = self.frame(random);
            if random.one_in(40) {
                let place = random.below(frame.len());
                frame[place] ^= 1 << random.below(8);
            }
            self.out.extend(frame);
        }
        let credit = bench.client(self.client).send_credit as usize;
        let length = random.below(self.out.len() + 1).min(credit);
        if length > 0 && !bench.client(self.client).has_finished {
            bench.data(self.client, &self.out[..length]);
            self.out.drain(..length);
        }
        if random.one_in(60) && !bench.client(self.client).has_finished {
            bench.finish(self.client);
        }
    }
}

/// What a handler does about a request.
fn handle(random: &mut Random, bench: &mut Bench, id: u32) {
    let request = bench.request(id).clone();
    if request.over || request.cancelled {
        return;
    }
    // An honest client is told what is its own.
    let own = request.target.starts_with("/own/");
    let text = format!("of {}", request.target);
    match random.below(if own { 2 } else { 8 }) {
        0 => {
            let headers = format!("content-length: {}\r\n", text.len());
            bench.event(Event::Response { request: id, status: 200, headers: headers.as_bytes() });
            if request.method != "HEAD" {
                bench.event(Event::Body { request: id, data: text.as_bytes() });
            }
            bench.event(Event::End { request: id });
        }
        1 => {
            bench.event(Event::Response { request: id, status: 200, headers: b"" });
            bench.event(Event::Body { request: id, data: text.as_bytes() });
            bench.event(Event::Trailers { request: id, lines: b"a: b\r\n" });
            bench.event(Event::End { request: id });
        }
        2 => bench.event(Event::Failed { request: id, why: "random" }),
        3 => {
            let size = random.below(100_000).min(bench.request(id).response_credit as usize);
            bench.event(Event::Response { request: id, status: 200, headers: b"content-length: 200000\r\n" });
            bench.event(Event::Body { request: id, data: &vec![b'd'; size] });
        }
        4 => bench.event(Event::Body { request: id, data: b"out of turn" }),
        5 => bench.event(Event::Response { request: id, status: 103, headers: b"link: x\r\n" }),
        6 => bench.event(Event::Credit { request: id, bytes: random.below(1 << 16) as u32 }),
        _ => {}
    }
}

fn run(seed: u64) {
    let random = &mut Random::new(seed);
    memory::reset();
    let settings = [("streams", *random.pick(&["1", "10", "100"])), ("body-bytes", "100000")];
    let mut bench = Bench::within(MEMORY, &settings);
    bench.attach_handler(0, "", "");
    let mut honest = Two::connect(&mut bench);
    let mut asked: Vec<(String, Asked)> = Vec::new();
    let mut hostile: Vec<_> = (0..1 + random.below(4)).map(|_| Hostile::begin(&mut bench)).collect();
    let mut whole = 0;
    for round in 0..60 {
        bench.clients_read = !random.one_in(3);
        for one in &mut hostile {
            one.act(random, &mut bench);
            if bench.client(one.client).closed || bench.client(one.client).has_finished {
                *one = Hostile::begin(&mut bench);
            }
        }
        if asked.len() < 8 && random.one_in(2) {
            let path = format!("/own/{round}");
            bench.clients_read = true;
            asked.push((path.clone(), honest.get(&mut bench, &path)));
        }
        bench.outside.tcp_full = random.one_in(10);
        bench.outside.handler_full = random.one_in(10);
        bench.room = true;
        bench.turn();
        for id in bench.outside.order.clone() {
            if random.one_in(2) {
                handle(random, &mut bench, id);
            }
        }
        bench.turn();
        (bench.outside.tcp_full, bench.outside.handler_full, bench.room) = (false, false, true);
        bench.turn();
        // clients that have not read do it later, or never
        let owed: Vec<u32> = hostile.iter().map(|one| one.client).collect();
        for client in owed {
            let credit = bench.client(client).credit;
            if credit < 1 << 16 && random.one_in(3) && !bench.client(client).closed {
                bench.read(client, (1 << 16) - credit);
            }
        }
        bench.clients_read = true;
        let credit = bench.client(honest.connection).credit;
        if credit < 1 << 16 {
            bench.read(honest.connection, (1 << 16) - credit);
        }
        bench.turn();
        let mut all: Vec<&mut Asked> = asked.iter_mut().map(|(_, asked)| asked).collect();
        honest.turn(&mut bench, &mut all);
        assert!(honest.ended.is_none(), "seed {seed}, round {round}: {:?}", honest.ended);
        asked.retain(|(path, asked)| {
            let Some(ended) = &asked.ended else { return true };
            assert!(ended.is_ok() && asked.status() == 200, "seed {seed}: {} {ended:?}", asked.status());
            assert_eq!(asked.text(), format!("of {path}"), "seed {seed}");
            whole += 1;
            false
        });
        bench.wait(SECOND / 50 * random.below(20) as u64);
    }
    // All that is open comes to an end; of what was asked, perhaps one after the other.
    for _ in 0..2 * asked.len() {
        for id in bench.outside.order.clone() {
            if bench.request(id).target.starts_with("/own/") {
                handle(random, &mut bench, id);
            }
        }
        bench.turn();
        honest.turn(&mut bench, &mut asked.iter_mut().map(|(_, asked)| asked).collect::<Vec<_>>());
    }
    let left: Vec<_> =
        asked.iter().filter(|(_, asked)| !asked.is_whole()).map(|(path, asked)| (path, &asked.ended)).collect();
    let known: Vec<_> =
        bench.requests().into_iter().filter(|request| left.iter().any(|(path, _)| **path == request.target)).collect();
    assert!(left.is_empty(), "seed {seed}: {left:?} {known:?}");
    for _ in 0..20 {
        bench.wait(60 * SECOND);
    }
    let open: Vec<_> = bench.requests().into_iter().filter(|request| !request.over && !request.cancelled).collect();
    assert!(open.is_empty(), "seed {seed}: {open:?} {:?}", bench.outside.log.iter().rev().take(5).collect::<Vec<_>>());
    assert!(bench.outside.clients.values().all(|client| client.closed || client.finished), "seed {seed}");
    assert_eq!(bench.http.held(), 0, "seed {seed}");
    assert!(memory::peak() <= MEMORY, "seed {seed}: {}", memory::peak());
    assert!(whole > 0, "seed {seed}");
}

#[test]
fn hostile_frames() {
    let seeds = std::env::var("FUZZ_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    (1..=seeds).for_each(run);
}
