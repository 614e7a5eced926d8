//! A box that counts: `GET /` is answered with how often that was asked for, ever. Other paths do not count.
//!
//! The count is in sector 0: `visits`, two zero bytes, and the number (little endian). A disk writes a sector as a whole
//! or not at all, so whenever power fails, one count or the next is there. All requests of a turn are counted together,
//! written once, and answered when that is durable.

use bindings::{
    exports::pearwood::box0_1_0::service::Guest,
    pearwood::{
        box0_1_0::{
            log::{Level, write as log},
            schedule::{Ready, wait},
        },
        hardware::block::{Error, describe, flush, read, write},
        http::handler_service::{receive, send},
    },
};
use std::collections::BTreeMap;
use wit::{
    Batch, Peer, Records,
    http::{Command, Event},
};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/box", "../../../wit/hardware", "../../../wit/http"],
        // The empty package makes the generator name a module `box0_1_0`: `box` is a word that Rust reserves.
        inline: "
            package example:visits;
            package pearwood:box@0.0.0 {}
            world visits {
                import pearwood:box/schedule@0.1.0;
                import pearwood:box/log@0.1.0;
                import pearwood:hardware/block@0.1.0;
                import pearwood:http/handler-service@0.1.0;
                export pearwood:box/service@0.1.0;
            }
        ",
        world: "example:visits/visits",
        generate_all,
    });
    use super::Visits;
    export!(Visits);
}

const MAGIC: &[u8; 8] = b"visits\0\0";

struct Visits;

impl Guest for Visits {
    fn run() {
        let mut count = match load() {
            Ok(count) => count,
            Err(why) => panic!("cannot read the count: {why}"),
        };
        log(Level::Info, &format!("counts on from {count}"));
        // those who may ask, and what is for them
        let mut answers: BTreeMap<u32, Batch> = BTreeMap::new();
        let mut retiring = false;
        loop {
            retiring |= wait(u64::MAX).ready.contains(Ready::RETIRE);
            // A peer whose queue is full takes nothing; until it has room, no more requests are taken.
            answers.iter_mut().for_each(offer);
            if answers.values().all(Batch::is_empty) {
                count = answer(count, &receive(), &mut answers);
                answers.iter_mut().for_each(offer);
            }
            if retiring && answers.is_empty() {
                return;
            }
        }
    }
}

fn offer((peer, batch): (&u32, &mut Batch)) {
    if send(*peer, batch.as_bytes()) {
        batch.clear();
    }
}

/// A request that is to be answered once the count is stored.
struct Asked {
    peer: u32,
    request: u32,
    /// its number, if it counts
    visit: Option<u64>,
    body: bool,
}

/// Counts and answers the requests of a batch, and returns the count that is stored then.
fn answer(before: u64, batch: &[u8], answers: &mut BTreeMap<u32, Batch>) -> u64 {
    let (mut peer, mut count, mut asked) = (0, before, Vec::new());
    for record in Records::new(batch).flatten() {
        if let Some(event) = Peer::decode(&record) {
            match event {
                Peer::Is(number) => peer = number,
                Peer::Attach(number, _) => drop(answers.insert(number, Batch::new())),
                Peer::Detach(number, _) => drop(answers.remove(&number)),
                Peer::Retire(_) | Peer::Release(_) => {}
            }
        } else if let Ok(Command::Request { request, head }) = Command::decode(&record) {
            let counts = head.method == "GET" && head.target.split('?').next() == Some("/");
            count += u64::from(counts);
            asked.push(Asked { peer, request, visit: counts.then_some(count), body: head.method != "HEAD" });
        }
    }
    let stored = if count == before { Ok(()) } else { store(count) };
    if let Err(error) = &stored {
        log(Level::Error, &format!("the count cannot be stored: {}", error.name()));
    }
    for Asked { peer, request, visit, body } in asked {
        let (status, text) = match (visit, &stored) {
            (None, _) => (404, "Only / is counted.\n".into()),
            (Some(visit), Ok(())) => (200, format!("{visit}\n")),
            (Some(_), Err(error)) => (500, format!("The count cannot be stored: {}\n", error.name())),
        };
        let headers = format!("content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n", text.len());
        let batch = answers.entry(peer).or_default();
        Event::Response { request, status, headers: headers.as_bytes() }.encode(batch);
        if body {
            Event::Body { request, data: text.as_bytes() }.encode(batch);
        }
        Event::End { request }.encode(batch);
    }
    // what could not be stored was not promised to anybody
    if stored.is_ok() { count } else { before }
}

fn load() -> Result<u64, String> {
    let sector = read(0, 1).map_err(|error| error.name().to_string())?;
    match sector.split_first_chunk() {
        Some((MAGIC, rest)) => {
            let number = rest.first_chunk().ok_or("the sector is too short")?;
            Ok(u64::from_le_bytes(*number))
        }
        _ if sector.iter().all(|byte| *byte == 0) => Ok(0),
        _ => Err("there is something else on the disk".into()),
    }
}

fn store(count: u64) -> Result<(), Error> {
    let mut sector = [&MAGIC[..], &count.to_le_bytes()].concat();
    sector.resize(describe().sector_size as usize, 0);
    write(0, &sector)?;
    flush()
}
