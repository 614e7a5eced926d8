//! What clients of HTTP/2 do to servers, by hand-made frames: each attack that has a name, within the memory that the server has, and
//! while another client is served.

mod common;
use common::memory::{self, Counter};
use common::two::{self, ENHANCE_YOUR_CALM, Frame, frame, frames, goaway};
use common::{Bench, MEMORY, SECOND};
use wit::INITIAL_CREDIT;
use wit::http::Event;

#[global_allocator]
static COUNTER: Counter = Counter;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// A server, an attacker that has begun, and what it got.
struct Attack {
    bench: Bench,
    client: u32,
    got: Vec<Frame>,
}

impl Attack {
    fn begin(settings: &[(&str, &str)]) -> Self {
        Self::within(MEMORY, settings)
    }

    fn within(memory: usize, settings: &[(&str, &str)]) -> Self {
        memory::reset();
        let mut bench = Bench::within(memory, settings);
        bench.attach_handler(0, "", "");
        let client = two::begin(&mut bench);
        let got = frames(&mut bench, client);
        Attack { bench, client, got }
    }

    /// False: the connection has ended.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let client = self.bench.client(self.client);
            if client.closed || client.finished {
                return false;
            }
            let (now, later) = rest.split_at(rest.len().min(client.send_credit as usize));
            if now.is_empty() {
                return true;
            }
            self.bench.send(self.client, now);
            self.got.extend(frames(&mut self.bench, self.client));
            rest = later;
        }
        let client = self.bench.client(self.client);
        !client.closed && !client.finished
    }

    /// Sends it over and over, at most so many times. How often it could.
    fn flood(&mut self, most: usize, mut bytes: impl FnMut(u32) -> Vec<u8>) -> usize {
        (0..most).take_while(|&n| self.send(&bytes(n as u32))).count()
    }

    /// Others are served, and no more memory was used than there is.
    fn assert_others_are_served(&mut self) {
        let client = self.bench.connect();
        self.bench.send(client, "GET /other HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(self.bench.last().target, "/other");
        self.bench.respond_text(self.bench.last().id, "x");
        assert!(self.bench.take(client).starts_with("HTTP/1.1 200 OK"));
        assert!(memory::peak() <= MEMORY / 2, "{} bytes at one time", memory::peak());
    }

    fn assert_calmed(&mut self) {
        assert_eq!(goaway(&self.got), Some(ENHANCE_YOUR_CALM), "{:?}", self.got.last());
        assert!(self.bench.client(self.client).finished || self.bench.client(self.client).closed);
        assert!(
            self.bench.requests().iter().all(|request| request.over || request.cancelled || request.target == "/other")
        );
        self.assert_others_are_served();
    }
}

/// CVE-2023-44487: requests that are taken back at once.
#[test]
fn rapid_reset() {
    let mut attack = Attack::begin(&[]);
    let count = attack.flood(100_000, |n| {
        let stream = 2 * n + 1;
        [two::request(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    assert!(count < 300, "{count}");
    attack.assert_calmed();
    // all in one piece
    let mut attack = Attack::begin(&[]);
    let one = |n: u32| [two::request(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat();
    let all: Vec<u8> = (0..5_000).flat_map(one).collect();
    attack.send(&all);
    attack.assert_calmed();
    assert!(attack.bench.outside.order.len() < 300);
}

/// Frames that have the server reset streams instead ("MadeYouReset", CVE-2025-8671).
#[test]
fn resets_that_the_server_is_made_to_do() {
    for wrong in [
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 0]),
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        |stream| frame(PRIORITY, 0, stream, &[0, 0, 0, 0]),
        |stream: u32| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[0]].concat()),
        |stream| frame(DATA, 1, stream, b"x"),
        |stream| two::request(stream),
    ] {
        let mut attack = Attack::begin(&[]);
        let count = attack.flood(100_000, |n| [two::request(2 * n + 1), wrong(2 * n + 1)].concat());
        assert!(count < 2_000, "{count}");
        assert!(goaway(&attack.got).is_some());
        attack.assert_others_are_served();
    }
}

/// A head that never ends.
#[test]
fn continuation_flood() {
    for part in [0, 1, 1_000] {
        let mut attack = Attack::begin(&[]);
        assert!(attack.send(&frame(HEADERS, 1, 1, &two::block(two::GET))));
        let count = attack.flood(100_000, |_| frame(CONTINUATION, 0, 1, &two::field("x", &"y".repeat(part))));
        assert!(count < 1_200, "{count}");
        attack.assert_calmed();
    }
    // one that comes a byte at a time
    let mut attack = Attack::begin(&[]);
    let slow = frame(HEADERS, 5, 1, &two::block(two::GET));
    let count = slow
        .iter()
        .take_while(|&&byte| {
            attack.send(&[byte]) && {
                attack.bench.wait(SECOND);
                true
            }
        })
        .count();
    assert!((9..=11).contains(&count), "{count}");
    assert!(attack.bench.client(attack.client).finished);
}

/// Its name, and a frame of it.
type Flood<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>);

#[test]
fn floods_of_frames_that_ask_for_nothing() {
    let settings = |n: u32| frame(SETTINGS, 0, 0, &[&[0, 3][..], &n.to_be_bytes()].concat());
    let floods: [Flood<'_>; 9] = [
        ("ping", &|_| frame(PING, 0, 0, &[7; 8])),
        ("pings that answer nothing", &|_| frame(PING, 1, 0, &[7; 8])),
        ("settings", &settings),
        ("empty settings", &|_| frame(SETTINGS, 0, 0, b"")),
        ("priorities", &|n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 1])),
        ("windows", &|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("frames that nobody knows", &|n| frame(200, n as u8, n, b"what")),
        ("goodbyes", &|_| frame(GOAWAY, 0, 0, &[0; 8])),
        ("updated priorities", &|_| frame(16, 0, 0, b"\0\0\0\x01u=1")),
    ];
    for (name, one) in floods {
        let mut attack = Attack::begin(&[]);
        let count = attack.flood(100_000, one);
        assert!(count <= 1_000, "{name}: {count}");
        assert!(attack.bench.client(attack.client).finished, "{name}");
        attack.assert_others_are_served();
        // the same in large pieces, and nothing of what is said to it is read
        let mut attack = Attack::begin(&[]);
        attack.bench.clients_read = false;
        let all: Vec<u8> = (0..3_000).flat_map(one).collect();
        attack.send(&all);
        attack.assert_others_are_served();
        attack.bench.wait(60 * SECOND);
        attack.bench.wait(60 * SECOND);
        assert!(attack.bench.client(attack.client).closed || attack.bench.client(attack.client).finished, "{name}");
    }
}

#[test]
fn empty_and_tiny_data() {
    for (size, padding) in [(0, false), (1, false), (0, true)] {
        let mut attack = Attack::begin(&[]);
        let post = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", "/")];
        assert!(attack.send(&frame(HEADERS, 4, 1, &two::block(&post))));
        let one = if padding {
            frame(DATA, 8, 1, &[[255].as_slice(), &[0; 255]].concat())
        } else {
            frame(DATA, 0, 1, &vec![b'x'; size])
        };
        let count = attack.flood(20_000, |_| one.clone());
        match size {
            0 => {
                assert!(count < 1_000, "{count}");
                attack.assert_calmed();
            }
            // What the handler takes is no attack; what it does not take ends with its credit.
            _ => assert!(attack.bench.last().body.len() + attack.bench.http.held() <= 20_000),
        }
    }
}

/// Data of streams that have ended for the server: of many uploads over time it is nothing, and at once it is too much.
#[test]
fn late_data() {
    let mut attack = Attack::begin(&[]);
    let post = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", "/")];
    for n in 0..300 {
        let stream = 2 * n + 1;
        assert!(attack.send(&frame(HEADERS, 4, stream, &two::block(&post))), "{n}");
        let request = attack.bench.last().id;
        attack.bench.event(Event::Response { request, status: 200, headers: b"" });
        attack.bench.event(Event::Failed { request, why: "it is a test" });
        attack.bench.turn();
        for _ in 0..4 {
            assert!(attack.send(&frame(DATA, 0, stream, b"late")), "{n}: {:?}", goaway(&attack.got));
        }
        let resets = attack.got.iter().filter(|frame| (frame.kind, frame.stream) == (RST_STREAM, stream)).count();
        assert!(resets >= 4, "{resets} of {n}: {:?}", attack.got);
        attack.got.clear();
        attack.bench.wait(SECOND);
    }
    let count = attack.flood(100_000, |_| frame(DATA, 0, 1, b"late"));
    assert!(count < 2_000, "{count}");
    attack.assert_calmed();
    // all in one piece
    let mut attack = Attack::begin(&[]);
    attack.send(&two::request(1));
    attack.bench.respond_text(attack.bench.last().id, "x");
    let all: Vec<u8> = (0..100_000).flat_map(|_| frame(DATA, 0, 1, b"")).collect();
    attack.send(&all);
    attack.assert_calmed();
}

/// A small head that stands for a large one (CVE-2016-1544): a long value goes to the table once, and then is named again and again.
#[test]
fn hpack_bomb() {
    let mut attack = Attack::begin(&[]);
    let mut kept = two::field("x", &"y".repeat(3_900));
    kept[0] = 0x40;
    let block = [two::block(two::GET), kept, vec![0xbe; 12_000]].concat();
    attack.send(&frame(HEADERS, 5, 1, &block));
    assert!(attack.bench.outside.order.is_empty(), "nobody is asked that");
    attack.assert_calmed();
    attack.assert_others_are_served();
    // a table that may be as large as can be
    let mut attack = Attack::begin(&[]);
    attack.send(&frame(SETTINGS, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff]));
    attack.send(&frame(HEADERS, 5, 1, &[&[0x3f, 0xff, 0xff, 0xff, 0x7f][..], &two::block(two::GET)].concat()));
    attack.assert_others_are_served();
}

#[test]
fn heads_that_are_too_large() {
    for (fields, length) in [(200, 1), (1, 15_000), (3, 15_000), (90, 170)] {
        let mut attack = Attack::begin(&[]);
        let value = "y".repeat(length);
        let more: Vec<_> = (0..fields).flat_map(|n| two::field(&format!("x{n}"), &value)).collect();
        let block = [two::block(two::GET), more].concat();
        let mut parts = block.chunks(16_000);
        let is_one = parts.len() == 1;
        assert!(attack.send(&frame(HEADERS, if is_one { 5 } else { 1 }, 1, parts.next().unwrap())));
        let count = parts.len();
        for (n, part) in parts.enumerate() {
            attack.send(&frame(CONTINUATION, if n + 1 == count { 4 } else { 0 }, 1, part));
        }
        assert_eq!(attack.bench.outside.order.len(), usize::from(fields * (length + 35) < 16_000 && fields < 100));
        assert!(attack.got.iter().any(|frame| frame.stream == 1 || frame.kind == GOAWAY) || fields == 1);
        attack.assert_others_are_served();
    }
}

/// Responses that are asked for and not taken: a window of nothing ("slow read", CVE-2019-9517 and others).
#[test]
fn zero_window_stall() {
    let mut attack = Attack::begin(&[]);
    assert!(attack.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])));
    assert!(attack.send(&(0..100).flat_map(|n| two::request(2 * n + 1)).collect::<Vec<_>>()));
    for request in attack.bench.outside.order.clone() {
        let credit = attack.bench.request(request).response_credit as usize;
        attack.bench.event(Event::Response { request, status: 200, headers: b"content-length: 1000000\r\n" });
        attack.bench.event(Event::Body { request, data: &vec![b'x'; credit] });
        attack.bench.turn();
    }
    attack.got.extend(frames(&mut attack.bench, attack.client));
    assert!(attack.got.iter().all(|frame| frame.kind != DATA));
    attack.assert_others_are_served();
    // a window that trickles is no less slow
    for _ in 0..40 {
        attack.bench.wait(SECOND);
        let streams = (0..100).map(|n| frame(WINDOW_UPDATE, 0, 2 * n + 1, &[0, 0, 0, 1]));
        if !attack.send(&streams.flatten().collect::<Vec<_>>()) {
            break;
        }
    }
    assert!(attack.bench.requests().iter().filter(|request| request.target == "/").all(|request| request.cancelled));
    // windows that are too large
    for overflow in [
        frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
        [frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]
            .concat(),
    ] {
        let mut attack = Attack::begin(&[]);
        assert!(!attack.send(&overflow));
        assert!(matches!(goaway(&attack.got), Some(1 | 3)), "PROTOCOL_ERROR or FLOW_CONTROL_ERROR");
    }
}

/// More data than there is a window for, and bodies that nobody takes.
#[test]
fn data_without_credit() {
    let mut attack = Attack::begin(&[]);
    let post = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", "/")];
    for n in 0..100 {
        attack.send(&frame(HEADERS, 4, 2 * n + 1, &two::block(&post)));
    }
    let mut sent = 0;
    'all: for _ in 0..20 {
        for n in 0..100 {
            if !attack.send(&frame(DATA, 0, 2 * n + 1, &[b'x'; 10_000])) {
                break 'all;
            }
            sent += 10_000;
        }
    }
    assert!(sent <= 1 << 20, "{sent} bytes were taken");
    assert_eq!(goaway(&attack.got), Some(3), "FLOW_CONTROL_ERROR");
    attack.assert_others_are_served();
}

#[test]
fn frames_that_are_out_of_place() {
    let push = frame(PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2][..], &two::block(two::GET)].concat());
    for wrong in [
        frame(DATA, 0, 0, b"x"),
        frame(DATA, 0, 1, b"x"),
        frame(DATA, 8, 1, &[9, 0]),
        frame(HEADERS, 5, 0, &two::block(two::GET)),
        frame(HEADERS, 5, 2, &two::block(two::GET)),
        frame(HEADERS, 5, 1, b"\x80"),
        frame(HEADERS, 5, 1, &[0xff; 20]),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        frame(RST_STREAM, 0, 1, &[0; 3]),
        frame(SETTINGS, 0, 1, b""),
        frame(SETTINGS, 0, 0, b"x"),
        frame(SETTINGS, 1, 0, &[0; 6]),
        frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 0]),
        frame(PING, 0, 0, b"short"),
        frame(PING, 0, 1, &[0; 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(CONTINUATION, 4, 1, b""),
        push,
        frame(DATA, 0, 1, &[0; 16_385]),
        vec![0xff; 9],
    ] {
        let mut attack = Attack::begin(&[]);
        assert!(!attack.send(&wrong), "{:?}", &wrong[..9]);
        assert!(goaway(&attack.got).is_some_and(|code| code != 0), "{:?}: {:?}", &wrong[..9], attack.got);
        attack.assert_others_are_served();
    }
}

/// Many clients that begin, and then do nothing: those who have done so for longest make room.
#[test]
fn idle_sessions_are_within_the_memory() {
    memory::reset();
    let mut bench = Bench::within(MEMORY, &[("client-connections", "2048")]);
    bench.attach_handler(0, "", "");
    let clients: Vec<_> = (0..500)
        .map(|_| {
            bench.now += SECOND / 100;
            two::begin(&mut bench)
        })
        .collect();
    let open = clients.iter().filter(|&&client| !bench.client(client).closed).count();
    assert!((30..500).contains(&open), "{open} are open");
    assert!(memory::peak() <= MEMORY, "{}", memory::peak());
    let newest = *clients.last().unwrap();
    bench.send(newest, two::request(1));
    assert_eq!(bench.outside.order.len(), 1);
    let other = bench.connect();
    bench.send(other, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(bench.outside.order.len(), 2);
}

/// What is charged for a connection of HTTP/2 and for a stream is not less than what they take.
#[test]
fn what_is_charged_is_what_it_takes() {
    let mut attack = Attack::within(256 << 20, &[("client-connections", "2048")]);
    let of = |attack: &mut Attack, count: u32| {
        let before = memory::live();
        for _ in 0..count {
            two::begin(&mut attack.bench);
        }
        (memory::live() - before) / count as usize
    };
    let session = of(&mut attack, 30);
    assert!((20 << 10..36 << 10).contains(&session), "a session takes {session} bytes");
    let before = memory::live();
    let requests: Vec<u8> = (0..100).flat_map(|n| two::request(2 * n + 1)).collect();
    attack.send(&requests);
    assert_eq!(attack.bench.outside.order.len(), 100);
    let stream = (memory::live() - before) / 100;
    assert!(stream <= (2 << 10) + 256, "a stream takes {stream} bytes, and its place among the exchanges");
    assert!(attack.bench.client(attack.client).send_credit <= INITIAL_CREDIT);
}
