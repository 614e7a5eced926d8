//! The box: [`Fetch`] between its arrows.

use crate::{Config, Fetch, Level, Outside, To, Wake};
use sdk::bindings::pearwood::{
    box0_2_0::{config, log},
    http::handler,
    net::{names, tcp},
};
use sdk::config::memory_left;
use sdk::figures::{self, Figure};
use sdk::ports::{self, Notices, Received};

sdk::service!(run);

fn run() {
    let settings = config::get();
    let fetch = match Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
        Ok(config) => Fetch::new(config, memory_left()).map_err(|error| vec![error]),
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    };
    drop(settings);
    match fetch {
        Ok(fetch) => serve(fetch),
        Err(errors) => errors.iter().for_each(|error| log::write(log::Level::Error, error)),
    }
}

fn serve(mut fetch: Fetch) {
    fetch.reports();
    let mut arrows = Arrows { tcp: tcp::client(&[]), names: names::client(&[]), clients: handler::service(&[]) };
    loop {
        let turn = ports::wait_and_receive(fetch.deadline());
        let wake = turn.wake;
        let mut batches = Received::new(wake.ready, turn.received);
        let (tcp, names, clients) = (batches.of(arrows.tcp), batches.of(arrows.names), batches.of(arrows.clients));
        if wake.notices.contains(Notices::RETIRE) {
            fetch.retire();
        }
        let room = wake.notices.contains(Notices::ROOM);
        fetch.turn(Wake { now: wake.now, clients: &clients, tcp: &tcp, names: &names, room }, &mut arrows);
        if fetch.is_done() {
            return;
        }
    }
}

struct Arrows {
    tcp: u32,
    names: u32,
    clients: u32,
}

impl Outside for Arrows {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        match to {
            To::Client(peer) => ports::send(self.clients, peer, batch),
            To::Tcp(peer) => ports::send(self.tcp, peer, batch),
            To::Names(peer) => ports::send(self.names, peer, batch),
        }
    }

    fn log(&mut self, level: Level, line: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
        };
        log::write(level, line);
    }

    fn report(&mut self, figures: Vec<Figure>) {
        figures::report(figures);
    }
}
