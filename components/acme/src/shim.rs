//! The box: [`Service`] between its arrows.

use crate::{Config, Keys, Level, Outside, Service, To, Wake};
use bindings::pearwood::keys::acme as arrow;
use sdk::bindings::pearwood::{
    box0_2_0::{config, entropy, log},
    http::handler,
};
use sdk::figures::{self, Figure};
use sdk::ports::{self, Notices, Received};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/keys"],
        inline: "
            package pearwood:acme-box;
            world acme {
                import pearwood:keys/acme@0.2.0;
            }
        ",
        world: "pearwood:acme-box/acme",
        generate_all,
    });
}

sdk::service!(run);
sdk::handover!(Handover);

/// What another instance is to know is with the keys. This has it begin when this one has ended, so that there are not two that order.
struct Handover;

impl sdk::handover::Handover for Handover {
    fn save() -> Vec<u8> {
        Vec::new()
    }

    fn restore(_: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

fn run() {
    let settings = config::get();
    match Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
        Ok(config) => serve(Service::new(config)),
        Err(faults) => faults.iter().for_each(|fault| log::write(log::Level::Error, &fault.to_string())),
    }
}

fn serve(mut service: Service) {
    service.reports();
    let mut arrows = Arrows { carriers: handler::client(&[]), clients: handler::service(&[]) };
    loop {
        let turn = ports::wait_and_receive(service.deadline());
        let wake = turn.wake;
        let mut batches = Received::new(wake.ready, turn.received);
        let (carriers, clients) = (batches.of(arrows.carriers), batches.of(arrows.clients));
        // what is under way goes on with the instance that takes this one's place
        if wake.notices.contains(Notices::RETIRE) {
            return;
        }
        let time = entropy::wall_clock().map(|nanoseconds| nanoseconds / 1_000_000_000);
        let room = wake.notices.contains(Notices::ROOM);
        service.turn(
            Wake { now: wake.now, time, clients: &clients, carriers: &carriers, room },
            &mut Arrow,
            &mut arrows,
        );
    }
}

struct Arrows {
    carriers: u32,
    clients: u32,
}

impl Outside for Arrows {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        match to {
            To::Client(peer) => ports::send(self.clients, peer, batch),
            To::Carrier(peer) => ports::send(self.carriers, peer, batch),
        }
    }

    fn log(&mut self, level: Level, line: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
        };
        log::write(level, line);
    }

    fn report(&mut self, figures: Vec<Figure>) {
        figures::report(figures);
    }
}

/// The box with the keys.
struct Arrow;

impl Keys for Arrow {
    fn account(&mut self) -> Result<[u8; 64], String> {
        arrow::account()?.try_into().map_err(|_| "pearwood:keys/acme: 64 bytes are meant".into())
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        arrow::sign(message)
    }

    fn make(&mut self, key: &str) -> Result<(), String> {
        arrow::make(key)
    }

    fn request(&mut self, key: &str, names: &[String]) -> Result<Vec<u8>, String> {
        arrow::request(key, names)
    }

    fn store(&mut self, key: &str, chain: Vec<Vec<u8>>) -> Result<(), String> {
        arrow::store(key, &chain)
    }

    fn stored(&mut self, key: &str) -> Result<Vec<Vec<u8>>, String> {
        arrow::stored(key)
    }

    fn remember(&mut self, state: Vec<u8>) -> Result<(), String> {
        arrow::remember(&state)
    }

    fn remembered(&mut self) -> Result<Vec<u8>, String> {
        arrow::remembered()
    }

    fn challenge(&mut self, key: &str, name: &str, digest: Option<&[u8]>) -> Result<(), String> {
        arrow::challenge(key, name, digest)
    }
}
