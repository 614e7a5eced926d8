//! The box: [`Site`] between its arrows.

use crate::{Assets, Entry, Fetched, Progress, Settings, Site};
use sdk::bindings::pearwood::{
    box0_2_0::{assets, config, log},
    http::handler,
};
use sdk::ports::{self, Notices};

// for its allocator
use support as _;

sdk::service!(run);

fn run() {
    let config = config::get();
    let settings = match Settings::read(config.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
        Ok(settings) => settings,
        Err(faults) => {
            faults.iter().for_each(|fault| log::write(log::Level::Error, &fault.to_string()));
            return;
        }
    };
    let mut site = Site::new(Image, settings);
    site.warnings().for_each(|warning| log::write(log::Level::Warn, &warning));
    let port = handler::service(&[]);
    let mut turn = ports::wait_and_receive(u64::MAX);
    loop {
        if !turn.received.is_empty() {
            site.receive(&turn.received);
        }
        if turn.wake.notices.contains(Notices::RETIRE) {
            site.retire();
        }
        if turn.wake.notices.contains(Notices::ROOM) {
            site.fetch_again();
        }
        if site.is_done() {
            return;
        }
        let mut slept = None;
        let progress = site.transmit(|peer, batch, last| {
            if last {
                slept.insert(ports::send_and_wait(port, peer, batch, u64::MAX)).sent
            } else {
                ports::send(port, peer, batch)
            }
        });
        turn = slept.unwrap_or_else(|| {
            ports::wait_and_receive(match progress {
                Progress::More => 0,
                Progress::Idle | Progress::Blocked => u64::MAX,
            })
        });
    }
}

struct Image;

impl Assets for Image {
    fn entries(&mut self) -> Vec<Entry> {
        let entry = |entry: assets::Entry| Entry {
            path: entry.path,
            size: entry.size,
            hash: entry.hash.try_into().unwrap_or_default(),
            modified: entry.modified,
        };
        assets::entries().into_iter().map(entry).collect()
    }

    fn fetch(&mut self, index: u32, offset: u64, len: u32) -> Fetched {
        match assets::fetch(index, offset, len) {
            Ok(Some(bytes)) => Fetched::Bytes(bytes),
            Ok(None) => Fetched::Awaited,
            Err(()) => Fetched::Lost,
        }
    }
}
