//! The box: [`Http`] between its arrows.

use crate::{Config, Http, Level, Outside, To, Wake};
use sdk::bindings::pearwood::{
    box0_2_0::{config, entropy, log},
    http::handler,
    net::tcp,
};
use sdk::config::memory_left;
use sdk::figures::{self, Figure};
use sdk::ports::{self, Notices, Received, Turn};

sdk::service!(run);

fn run() {
    let settings = config::get();
    let http = match Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
        Ok(config) => Http::new(config, memory_left()).map_err(|error| vec![error]),
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    };
    match http {
        Ok(mut http) => serve(&mut http),
        Err(errors) => errors.iter().for_each(|error| log::write(log::Level::Error, error)),
    }
}

// Apart from what begins and ends the box: in one function with that, every value is kept on the stack.
#[inline(never)]
fn serve(http: &mut Http) {
    http.reports();
    let mut arrows = Arrows { tcp: tcp::client(&[]), handler: handler::client(&[]), turn: None };
    loop {
        let turn = arrows.turn.take().unwrap_or_else(|| ports::wait_and_receive(http.deadline()));
        let Turn { wake, received, .. } = turn;
        let mut batches = Received::new(wake.ready, received);
        let (tcp, handler) = (batches.of(arrows.tcp), batches.of(arrows.handler));
        if wake.notices.contains(Notices::RETIRE) {
            http.retire(wake.now);
        }
        let room = wake.notices.contains(Notices::ROOM);
        http.turn(Wake { now: wake.now, tcp: &tcp, handler: &handler, room }, &mut arrows);
        if http.is_done() {
            return;
        }
    }
}

struct Arrows {
    tcp: u32,
    handler: u32,
    /// the next one, if the box has slept already
    turn: Option<Turn>,
}

impl Arrows {
    const fn port(&self, to: To) -> (u32, u32) {
        match to {
            To::Tcp(peer) => (self.tcp, peer),
            To::Handler(peer) => (self.handler, peer),
        }
    }
}

impl Outside for Arrows {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        let (port, peer) = self.port(to);
        ports::send(port, peer, batch)
    }

    fn send_last(&mut self, to: To, batch: &[u8], deadline: u64) -> bool {
        let (port, peer) = self.port(to);
        let turn = ports::send_and_wait(port, peer, batch, deadline);
        self.turn.insert(turn).sent
    }

    fn wall_clock(&mut self) -> Option<u64> {
        entropy::wall_clock()
    }

    fn log(&mut self, level: Level, line: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        };
        log::write(level, line);
    }

    fn report(&mut self, figures: Vec<Figure>) {
        figures::report(figures);
    }
}
