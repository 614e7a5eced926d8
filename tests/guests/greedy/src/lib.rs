//! A box that wants more of the node than it has, in the ways that records allow. It answers `/greedy/WHAT?N` when it has done
//! that, unless it ends by it.
//!
//! | path | what it does |
//! |---|---|
//! | `listen?N` | asks for a port that is not granted, N times, and takes none of the refusals |
//! | `lookups?N` | looks N names of 200,000 bytes up, and takes none of the answers |
//! | `lookup?N` | looks one name of N bytes up |
//! | `net?N`, `http?N` | sends one valid batch of N bytes to that box |
//! | `records?N` | sends N small records in one batch |
//! | `flood?N` | sends N small records in batches of the largest size |
//! | `credit?PATH` | asks the box `greedy2` for that, and gives it 4 GB of credit, three times |
//! | `deaf?N` | asks the box `greedy2` N times, and takes none of the answers |
//! | any other | it answers |

use bindings::{
    exports::pearwood::box0_2_0::service::Guest,
    pearwood::{
        box0_2_0::ports::{receive, send, wait},
        http::handler,
        net::{names, tcp},
    },
};
use wit::{
    Batch, Peer, Records,
    http::{Command, Event, Head, Scheme},
};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/box", "../../../wit/net", "../../../wit/http"],
        // The empty package makes the generator name a module `box0_2_0`: `box` is a word that Rust reserves.
        inline: "
            package example:greedy;
            package pearwood:box@0.0.0 {}
            world greedy {
                import pearwood:box/ports@0.2.0;
                import pearwood:net/tcp@0.2.0;
                import pearwood:net/names@0.2.0;
                import pearwood:http/handler@0.2.0;
                export pearwood:box/service@0.2.0;
            }
        ",
        world: "example:greedy/greedy",
        generate_all,
    });
    use super::Greedy;
    export!(Greedy);
}

struct Greedy;

impl Guest for Greedy {
    fn run() {
        let port = handler::service(&[]);
        loop {
            wait(u64::MAX);
            let batch = receive(port);
            let mut peer = 0;
            for record in Records::new(&batch).flatten() {
                if let Some(Peer::Is(number)) = Peer::decode(&record) {
                    peer = number;
                } else if let Ok(Command::Request { request, head }) = Command::decode(&record) {
                    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
                    let text = misbehave(path.rsplit('/').next().unwrap_or_default(), query, peer, request);
                    let mut batch = Batch::new();
                    Event::Response { request, status: 200, headers: b"" }.encode(&mut batch);
                    Event::Body { request, data: text.as_bytes() }.encode(&mut batch);
                    Event::End { request }.encode(&mut batch);
                    // what it has sent before may be in the way
                    while !send(port, peer, batch.as_bytes()) {
                        wait(u64::MAX);
                    }
                }
            }
            // what others have said meanwhile
            for port in [tcp::client(&[]), names::client(&[]), handler::client(&[])] {
                receive(port);
            }
        }
    }
}

/// The largest batch.
const BATCH: usize = wit::MAX_BATCH;

fn misbehave(what: &str, query: &str, peer: u32, request: u32) -> String {
    let count = query.parse().unwrap_or(1);
    match what {
        "listen" => {
            let mut batch = Batch::new();
            (1..20).for_each(|port| wit::tcp::Command::Listen { port, backlog: 1 }.encode(&mut batch));
            repeat(count, || send(tcp::client(&[]), 0, batch.as_bytes()))
        }
        "lookups" => {
            let name = "n".repeat(200_000);
            let mut ticket = 0;
            repeat(count, || {
                let mut batch = Batch::new();
                wit::names::Command::Lookup { ticket, name: &name }.encode(&mut batch);
                ticket += 1;
                send(names::client(&[]), 0, batch.as_bytes())
            })
        }
        "lookup" => {
            let mut batch = Batch::new();
            wit::names::Command::Lookup { ticket: 1, name: &"n".repeat(count) }.encode(&mut batch);
            send(names::client(&[]), 0, batch.as_bytes()).to_string()
        }
        "net" => {
            let mut batch = Batch::new();
            wit::tcp::Command::Send { connection: 1, data: &vec![0; count] }.encode(&mut batch);
            send(tcp::client(&[]), 0, batch.as_bytes()).to_string()
        }
        "http" => {
            let mut batch = Batch::new();
            Event::Response { request, status: 200, headers: b"" }.encode(&mut batch);
            Event::Body { request, data: &vec![0; count] }.encode(&mut batch);
            send(handler::service(&[]), peer, batch.as_bytes()).to_string()
        }
        "records" => send(tcp::client(&[]), 0, small(count).as_bytes()).to_string(),
        "flood" => {
            let batch = small(BATCH / 8);
            let rounds = count / (BATCH / 8);
            let net = repeat(rounds, || send(tcp::client(&[]), 0, batch.as_bytes()));
            let http = repeat(rounds, || send(handler::service(&[]), peer, batch.as_bytes()));
            format!("{net} {http}")
        }
        "credit" => {
            let batch = ask(0, query);
            send(handler::client(&[]), 0, batch.as_bytes());
            for _ in 0..3 {
                let mut batch = Batch::new();
                Command::Credit { request: 0, bytes: u32::MAX }.encode(&mut batch);
                send(handler::client(&[]), 0, batch.as_bytes());
            }
            format!("{} bytes", hear(0))
        }
        "deaf" => {
            let mut number = 1_000;
            repeat(count, || {
                number += 1;
                send(handler::client(&[]), 0, ask(number, "/greedy2/bytes?1000").as_bytes())
            })
        }
        _ => "fine".into(),
    }
}

/// Does it so often, without ever receiving, and says how often it was taken.
fn repeat(count: usize, mut send: impl FnMut() -> bool) -> String {
    let taken = (0..count).filter(|_| {
        wait(0);
        send()
    });
    format!("{} of {count}", taken.count())
}

/// Records that are the smallest there are: of a kind that nobody knows.
fn small(count: usize) -> Batch {
    let mut batch = Batch::new();
    (0..count).for_each(|id| batch.push(99, id as u32, b""));
    batch
}

fn ask(request: u32, target: &str) -> Batch {
    let head = Head {
        method: "GET",
        target,
        authority: b"greedy2",
        remote: std::net::Ipv6Addr::LOCALHOST,
        headers: b"",
        scheme: Scheme::Http,
        upgrade: "",
    };
    let mut batch = Batch::new();
    Command::Request { request, head }.encode(&mut batch);
    Command::End { request }.encode(&mut batch);
    batch
}

/// How many bytes come as an answer.
fn hear(asked: u32) -> usize {
    let mut heard = 0;
    loop {
        let batch = receive(handler::client(&[]));
        for record in Records::new(&batch).flatten() {
            if matches!(Peer::decode(&record), Some(Peer::Detach(..))) {
                return heard;
            }
            match Event::decode(&record) {
                Ok(Event::Body { request, data }) if request == asked => heard += data.len(),
                Ok(Event::End { request } | Event::Failed { request, .. }) if request == asked => return heard,
                _ => {}
            }
        }
        wait(u64::MAX);
    }
}
