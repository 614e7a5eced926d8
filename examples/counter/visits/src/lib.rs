//! A box that counts: `GET /` is answered with how often that was asked for, ever. Other paths do not count.
//!
//! The count is in sector 0: `visits`, two zero bytes, and the number (little endian). A disk writes a sector as a whole
//! or not at all, so whenever power fails, one count or the next is there. All requests of a turn are counted together,
//! written once, and answered when that is durable.

use bindings::{
    exports::pearwood::box0_2_0::service::Guest,
    pearwood::{
        box0_2_0::{
            log::{Level, write as log},
            ports::{Notices, receive, send, wait},
        },
        hardware::block,
        http::handler,
    },
};
use wit::{
    Batch, Incoming, Outbox, Peer, Peers, Records, block as disk,
    http::{Command, Event},
};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/box", "../../../wit/hardware", "../../../wit/net", "../../../wit/http"],
        // The empty package makes the generator name a module `box0_2_0`: `box` is a word that Rust reserves.
        inline: "
            package example:visits;
            package pearwood:box@0.0.0 {}
            world visits {
                import pearwood:box/ports@0.2.0;
                import pearwood:box/log@0.2.0;
                import pearwood:hardware/block@0.2.0;
                import pearwood:http/handler@0.2.0;
                export pearwood:box/service@0.2.0;
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
        let port = handler::service(&[]);
        let (mut disk, mut count) = match Disk::open(block::client(&[])) {
            Ok(opened) => opened,
            Err(why) => panic!("cannot read the count: {why}"),
        };
        log(Level::Info, &format!("counts on from {count}"));
        // those who may ask, and what is for them
        let mut peers = Peers::default();
        loop {
            disk.sleep();
            // A peer whose queue is full takes nothing; until it has room, no more requests are taken.
            peers.retry();
            peers.flush(|peer, batch| send(port, peer, batch));
            if !peers.any_waiting() {
                count = answer(count, &mut disk, &receive(port), &mut peers);
                peers.flush(|peer, batch| send(port, peer, batch));
            }
            if disk.retiring && !peers.any_attached() {
                return;
            }
        }
    }
}

/// The sector that the count is in.
struct Disk {
    port: u32,
    sector_size: usize,
    /// Another instance takes this one's place: heard of while the box slept.
    retiring: bool,
}

impl Disk {
    /// Finds the disk, and the count that is stored on it.
    fn open(port: u32) -> Result<(Self, u64), String> {
        let mut disk = Disk { port, sector_size: 0, retiring: false };
        while disk.sector_size == 0 {
            disk.sleep();
            for record in Records::new(&receive(port)).flatten() {
                if let Some(Peer::Attach(0, attach)) = Peer::decode(&record) {
                    let attach = disk::Attach::decode(attach).map_err(|error| error.to_string())?;
                    disk.sector_size = attach.sector_size as usize;
                }
            }
        }
        let sector = disk.call(disk::Command::Read { ticket: 0, first: 0, count: 1 });
        let sector = sector.map_err(|error| format!("{error:?}"))?;
        match sector.split_first_chunk() {
            Some((MAGIC, rest)) => {
                let number = rest.first_chunk().ok_or("the sector is too short")?;
                Ok((disk, u64::from_le_bytes(*number)))
            }
            _ if sector.iter().all(|byte| *byte == 0) => Ok((disk, 0)),
            _ => Err("there is something else on the disk".into()),
        }
    }

    fn sleep(&mut self) {
        self.retiring |= wait(u64::MAX).notices.contains(Notices::RETIRE);
    }

    /// Asks the disk one thing, and sleeps until it has answered.
    fn call(&mut self, command: disk::Command<'_>) -> Result<Vec<u8>, disk::Error> {
        let mut batch = Batch::new();
        command.encode(&mut batch);
        send(self.port, 0, batch.as_bytes());
        loop {
            for record in Records::new(&receive(self.port)).flatten() {
                match disk::Event::decode(&record) {
                    Ok(disk::Event::Data { data, .. }) => return Ok(data.to_vec()),
                    Ok(disk::Event::Done { .. }) => return Ok(Vec::new()),
                    Ok(disk::Event::Failed { error, .. }) => return Err(error),
                    _ => {}
                }
            }
            self.sleep();
        }
    }

    fn store(&mut self, count: u64) -> Result<(), disk::Error> {
        let mut sector = [&MAGIC[..], &count.to_le_bytes()].concat();
        sector.resize(self.sector_size, 0);
        self.call(disk::Command::Write { ticket: 1, first: 0, data: &sector })?;
        self.call(disk::Command::Flush { ticket: 2 }).map(drop)
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
fn answer(before: u64, disk: &mut Disk, batch: &[u8], peers: &mut Peers) -> u64 {
    let (mut count, mut asked) = (before, Vec::new());
    for incoming in wit::incoming(batch).flatten() {
        match incoming {
            Incoming::Attach(peer, _) => drop(peers.attach(peer, ())),
            Incoming::Detach(peer, _) => drop(peers.detach(peer)),
            Incoming::Retire(_) => {}
            Incoming::Record(peer, record) => {
                let Ok(Command::Request { request, head }) = Command::decode(&record) else { continue };
                let counts = head.method == "GET" && head.target.split('?').next() == Some("/");
                count += u64::from(counts);
                asked.push(Asked { peer, request, visit: counts.then_some(count), body: head.method != "HEAD" });
            }
        }
    }
    let stored = if count == before { Ok(()) } else { disk.store(count) };
    let stored = stored.map_err(|error: disk::Error| format!("{error:?}").to_lowercase());
    if let Err(error) = &stored {
        log(Level::Error, &format!("the count cannot be stored: {error}"));
    }
    for Asked { peer, request, visit, body } in asked {
        let (status, text) = match (visit, &stored) {
            (None, _) => (404, "Only / is counted.\n".into()),
            (Some(visit), Ok(())) => (200, format!("{visit}\n")),
            (Some(_), Err(error)) => (500, format!("The count cannot be stored: {error}\n")),
        };
        let headers = format!("content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n", text.len());
        let Some(batch) = peers.out(peer).map(Outbox::batch) else { continue };
        Event::Response { request, status, headers: headers.as_bytes() }.encode(batch);
        if body {
            Event::Body { request, data: text.as_bytes() }.encode(batch);
        }
        Event::End { request }.encode(batch);
    }
    // what could not be stored was not promised to anybody
    if stored.is_ok() { count } else { before }
}
