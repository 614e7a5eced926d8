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
//! | `credit?N,PATH` | asks another box for that with a body of N bytes, and gives it 4 GB of credit, three times |
//! | `deaf?N,PATH` | asks another box for that, N times, and takes none of the answers |
//! | any other | it answers |

use pearwood::bindings::pearwood::{
    box0_2_0::ports::{receive, send, wait},
    http::handler,
    net::{names, tcp},
};
use std::cell::RefCell;
use wit::{
    Batch, Peer, Record, Records,
    http::{Attach, Command, Event, Head, Scheme},
};

pearwood::service!(run);

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
        for port in [tcp::client(&[]), names::client(&[])] {
            receive(port);
        }
        let batch = receive(handler::client(&[]));
        Records::new(&batch).flatten().for_each(|record| note(&record));
    }
}

/// The largest batch.
const BATCH: usize = wit::MAX_BATCH;

fn misbehave(what: &str, query: &str, peer: u32, request: u32) -> String {
    let (count, path) = query.split_once(',').unwrap_or((query, ""));
    let count = count.parse().unwrap_or(1);
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
        "credit" => match service(path) {
            Some(service) => format!("{} bytes", give(service, path, count)),
            None => "it is not there".into(),
        },
        "deaf" => match service(path) {
            Some(service) => {
                let mut number = 1_000;
                repeat(count, || {
                    number += 1;
                    let mut batch = ask(number, path);
                    Command::End { request: number }.encode(&mut batch);
                    send(handler::client(&[]), service, batch.as_bytes())
                })
            }
            None => "it is not there".into(),
        },
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

/// A request whose body is to come.
fn ask(request: u32, target: &str) -> Batch {
    let head = Head {
        method: "POST",
        target,
        authority: b"greedy",
        remote: std::net::Ipv6Addr::LOCALHOST,
        headers: b"",
        scheme: Scheme::Http,
        upgrade: "",
    };
    let mut batch = Batch::new();
    Command::Request { request, head }.encode(&mut batch);
    batch
}

/// The box that requests for that path go to: the path of its arrow begins it.
fn service(path: &str) -> Option<u32> {
    SERVICES.with_borrow(|services| services.iter().find(|(_, of)| path.starts_with(of)).map(|(peer, _)| *peer))
}

thread_local! {
    /// Those that are there, and the paths of the arrows to them.
    static SERVICES: RefCell<Vec<(u32, String)>> = RefCell::default();
}

/// Notes which services come and go.
fn note(record: &Record<'_>) {
    SERVICES.with_borrow_mut(|services| match Peer::decode(record) {
        Some(Peer::Attach(peer, grant)) => {
            let path = Attach::decode(grant).map_or("", |attach| attach.path);
            services.push((peer, path.into()));
        }
        Some(Peer::Detach(peer, _)) => services.retain(|(known, _)| *known != peer),
        _ => {}
    });
}

/// Asks with a body of so many bytes and far too much credit, and says how many bytes come as an answer.
fn give(service: u32, path: &str, mut body: usize) -> usize {
    const REQUEST: u32 = 0;
    let mut batch = ask(REQUEST, path);
    for _ in 0..3 {
        Command::Credit { request: REQUEST, bytes: u32::MAX }.encode(&mut batch);
    }
    let (mut permitted, mut has_ended, mut heard) = (wit::INITIAL_CREDIT as usize, false, 0);
    loop {
        let part = body.min(permitted).min(BATCH / 2);
        if batch.as_bytes().is_empty() && part > 0 {
            Command::Body { request: REQUEST, data: &vec![0; part] }.encode(&mut batch);
            (body, permitted) = (body - part, permitted - part);
        }
        if body == 0 && !has_ended {
            Command::End { request: REQUEST }.encode(&mut batch);
            has_ended = true;
        }
        if !batch.as_bytes().is_empty() && send(handler::client(&[]), service, batch.as_bytes()) {
            batch = Batch::new();
        }
        let received = receive(handler::client(&[]));
        for record in Records::new(&received).flatten() {
            note(&record);
            if matches!(Peer::decode(&record), Some(Peer::Detach(peer, _)) if peer == service) {
                return heard;
            }
            match Event::decode(&record) {
                Ok(Event::Body { request: REQUEST, data }) => heard += data.len(),
                Ok(Event::Credit { request: REQUEST, bytes }) => permitted += bytes as usize,
                Ok(Event::End { request: REQUEST } | Event::Failed { request: REQUEST, .. }) => return heard,
                _ => {}
            }
        }
        if received.is_empty() && (body == 0 || permitted == 0 || !batch.as_bytes().is_empty()) {
            wait(u64::MAX);
        }
    }
}
