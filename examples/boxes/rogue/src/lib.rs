//! A box that does what no box should, as the last segment of the path says. Whatever it does, only it may suffer.
//!
//! | path | what happens |
//! |---|---|
//! | `trap` | it crashes in the middle of a request |
//! | `spin` | it computes for ever |
//! | `eat` | it takes memory until it gets no more |
//! | `deep` | it calls itself until its stack ends |
//! | `reenter?N` | it calls itself N times, then the node, and until its stack ends when that asks it for memory |
//! | `return` | it ends as if it were done |
//! | `silent` | it never answers |
//! | `short` | it promises ten bytes and sends three |
//! | `long` | it promises three bytes and sends ten |
//! | `twice` | it answers the same request twice |
//! | `stranger` | it answers requests that nobody made |
//! | `beyond` | it sends far more than its credit |
//! | `broken` | it sends a batch that is no batch |
//! | `forged` | it sends a record that only the node may send |
//! | `nobody` | it sends to a peer that it does not have |
//! | `outside` | it wants what it receives where it has no memory |
//! | `header` | it tries to smuggle a header line into its answer |
//! | `chatter` | it writes 100,000 lines to its log, then answers |
//! | `figures` | it reports figures that are too many, too long and wrong, and then answers |
//! | any other | it answers properly |

use pearwood::bindings::pearwood::{
    box0_2_0::{
        config,
        log::{Level, write},
        ports::{exchange, receive, send as send_to, wait},
    },
    http::handler,
};
use pearwood::figures::{Figure, Value, try_report};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use wit::{
    Batch, Peer, Records,
    http::{Command, Event},
};

/// The number of the only port. The node says it as often as it is asked.
fn port() -> u32 {
    handler::service(&[])
}

fn send(peer: u32, batch: &[u8]) -> bool {
    send_to(port(), peer, batch)
}

pearwood::service!(run);

fn run() {
    loop {
        wait(u64::MAX);
        let batch = receive(port());
        let mut peer = 0;
        for record in Records::new(&batch).flatten() {
            if let Some(Peer::Is(number)) = Peer::decode(&record) {
                peer = number;
            } else if let Ok(Command::Request { request, head }) = Command::decode(&record) {
                let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
                let misdeed = path.rsplit('/').next().unwrap_or_default();
                if misdeed == "return" {
                    return;
                }
                misbehave(misdeed, query, peer, request);
            }
        }
    }
}

fn misbehave(misdeed: &str, query: &str, peer: u32, request: u32) {
    match misdeed {
        "trap" => panic!("on request"),
        "spin" => loop {
            black_box(());
        },
        "eat" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(black_box(vec![1u8; 64 << 10]));
            }
        }
        "deep" => drop(black_box(deep(1))),
        "reenter" => {
            descend(query.parse().unwrap_or(0));
            answer(peer, request, "", b"it has more stack than it should\n");
        }
        "silent" => {}
        "short" => answer(peer, request, "content-length: 10\r\n", b"abc"),
        "long" => answer(peer, request, "content-length: 3\r\n", b"abcdefghij"),
        "twice" => {
            answer(peer, request, "", b"once");
            answer(peer, request, "", b"twice");
        }
        "stranger" => {
            for stranger in (0..100).map(|at| request.wrapping_add(1 + at)) {
                answer(peer, stranger, "", b"never asked for");
            }
            answer(peer, request, "", b"fine\n");
        }
        "beyond" => {
            send_events(peer, &[Event::Response { request, status: 200, headers: b"" }]);
            let data = [b'x'; 32 << 10];
            for _ in 0..1_000 {
                if !send_events(peer, &[Event::Body { request, data: &data }]) {
                    break;
                }
            }
        }
        "broken" => drop(send(peer, b"\x01\x02\x03")),
        "forged" => {
            let mut batch = Batch::new();
            Peer::Detach(0, b"forged").encode(&mut batch);
            send(peer, batch.as_bytes());
        }
        "nobody" => drop(send(1_000, b"")),
        "outside" => drop(exchange(port(), peer, b"", 0, u32::MAX - 8, 64)),
        "header" => answer(peer, request, "x: y\r\n\r\nHTTP/1.1 200 OK\r\nset-cookie: a=b\r\n", b"fine\n"),
        "chatter" => {
            for line in 0..100_000 {
                write(Level::Info, &format!("line {line}"));
            }
            answer(peer, request, "", b"fine\n");
        }
        "figures" => {
            let figure = |label: &str| Figure::gauge("size", 1).of("n", label);
            let long = "x".repeat(64 << 10);
            for _ in 0..20 {
                assert!(try_report((0..600).map(|n| figure(&n.to_string())).collect()).is_err());
                assert!(try_report((0..512).map(|n| figure(&format!("{n}{}", &long[..255]))).collect()).is_err());
                assert!(try_report(vec![figure("a"), figure("a")]).is_err());
                assert!(try_report(vec![Figure::new("Size", Value::Text(long.clone()))]).is_err());
                // the labels' end is cut off
                assert!(try_report(vec![figure(&long)]).is_ok());
            }
            answer(peer, request, "content-type: text/plain\r\ncontent-length: 5\r\n", b"fine\n");
        }
        _ => answer(peer, request, "content-type: text/plain\r\ncontent-length: 5\r\n", b"fine\n"),
    }
}

#[expect(unconditional_recursion, reason = "that is the misdeed")]
fn deep(depth: u64) -> u64 {
    black_box([depth; 64]).iter().sum::<u64>() + black_box(deep(depth + 1))
}

/// Calls itself, and then asks the node for what it can only hand over in memory that the box allocates.
fn descend(depth: u32) {
    if depth == 0 {
        DESCENDS.store(true, Relaxed);
        black_box(config::get());
    } else {
        descend(depth - 1);
        black_box(depth);
    }
}

/// Whether each allocation uses up the stack.
static DESCENDS: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Descending = Descending;

struct Descending;

// SAFETY: all memory is the system allocator's; what happens before does not touch it, and does not come back.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Descending {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if DESCENDS.load(Relaxed) {
            black_box(endless(1));
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Like [`deep`], but with nothing in memory: it is the stack of calls that ends.
#[expect(unconditional_recursion, reason = "that is the misdeed")]
fn endless(depth: u64) -> u64 {
    endless(depth + 1).wrapping_mul(depth | 1).rotate_left(1)
}

fn answer(peer: u32, request: u32, headers: &str, body: &[u8]) {
    let head = Event::Response { request, status: 200, headers: headers.as_bytes() };
    send_events(peer, &[head, Event::Body { request, data: body }, Event::End { request }]);
}

fn send_events(peer: u32, events: &[Event<'_>]) -> bool {
    let mut batch = Batch::new();
    events.iter().for_each(|event| event.encode(&mut batch));
    send(peer, batch.as_bytes())
}
