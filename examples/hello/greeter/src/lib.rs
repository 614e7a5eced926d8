//! A box that greets: `GET /Ada` is answered with `Hello, Ada!`.

use bindings::{
    exports::pearwood::box0_2_0::service::Guest,
    pearwood::{
        box0_2_0::{
            config,
            ports::{Notices, receive, send, wait},
        },
        http::handler,
    },
};
use std::collections::BTreeMap;
use wit::{
    Incoming, Outbox, Peers,
    http::{Command, Event, Head},
};

/// What this box imports is all that it can do; what it exports is how the node runs it.
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/box", "../../../wit/net", "../../../wit/http"],
        // The empty package makes the generator name a module `box0_2_0`: `box` is a word that Rust reserves.
        inline: "
            package example:greeter;
            package pearwood:box@0.0.0 {}
            world greeter {
                import pearwood:box/ports@0.2.0;
                import pearwood:box/config@0.2.0;
                import pearwood:http/handler@0.2.0;
                export pearwood:box/service@0.2.0;
            }
        ",
        world: "example:greeter/greeter",
        generate_all,
    });
    use super::Greeter;
    export!(Greeter);
}

struct Greeter;

impl Guest for Greeter {
    /// Sleeps until there are requests, answers them, and sleeps again.
    fn run() {
        let config: BTreeMap<_, _> = config::get().into_iter().collect();
        let greeting = config.get("greeting").map_or("Hello", String::as_str);
        // Each box that has an arrow to this one is a peer: this knows them, and what is to be sent to each.
        let mut peers = Peers::default();
        let mut retiring = false;
        let port = handler::service(&[]);
        loop {
            retiring |= wait(u64::MAX).notices.contains(Notices::RETIRE);
            // A peer whose queue is full takes nothing; until it has room, no more requests are taken.
            peers.retry();
            peers.flush(|peer, batch| send(port, peer, batch));
            if !peers.any_waiting() {
                answer(greeting, &receive(port), &mut peers);
                peers.flush(|peer, batch| send(port, peer, batch));
            }
            // Another instance has taken this one's place, and all peers have turned to that.
            if retiring && !peers.any_attached() {
                return;
            }
        }
    }
}

fn answer(greeting: &str, requests: &[u8], peers: &mut Peers) {
    for incoming in wit::incoming(requests).flatten() {
        match incoming {
            Incoming::Attach(peer, _) => drop(peers.attach(peer, ())),
            Incoming::Detach(peer, _) => drop(peers.detach(peer)),
            Incoming::Retire(_) => {}
            Incoming::Record(peer, record) => {
                let Ok(Command::Request { request, head }) = Command::decode(&record) else { continue };
                let Some(batch) = peers.out(peer).map(Outbox::batch) else { continue };
                let (status, text) = greet(greeting, &head);
                let headers = format!("content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n", text.len());
                Event::Response { request, status, headers: headers.as_bytes() }.encode(batch);
                if head.method != "HEAD" {
                    Event::Body { request, data: text.as_bytes() }.encode(batch);
                }
                Event::End { request }.encode(batch);
            }
        }
    }
}

fn greet(greeting: &str, head: &Head<'_>) -> (u16, String) {
    if !matches!(head.method, "GET" | "HEAD") {
        return (405, "I only greet.\n".into());
    }
    let path = head.target.split('?').next().unwrap_or_default();
    match path.trim_matches('/') {
        "" => (200, format!("{greeting}!\n")),
        name => (200, format!("{greeting}, {name}!\n")),
    }
}
