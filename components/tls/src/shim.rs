//! The box: [`Tls`] between its arrows.

mod processor;

use crate::{Config, GetRandomFailed, Keys, Level, Outside, SecureRandom, TimeProvider, Tls, To, UnixTime, Wake};
use bindings::pearwood::keys::tls as keys;
use sdk::bindings::pearwood::{
    box0_2_0::{config, entropy, heir, log},
    net::{names, tcp},
};
use sdk::config::memory_left;
use sdk::figures::{self, Figure};
use sdk::ports::{self, Notices, Received, Turn};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroize;

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/keys"],
        inline: "
            package pearwood:tls-box;
            world tls {
                import pearwood:keys/tls@0.2.0;
            }
        ",
        world: "pearwood:tls-box/tls",
        generate_all,
    });
}

sdk::service!(run);
sdk::handover!(Handover);

struct Handover;

thread_local! {
    /// what another instance left, until `run` takes it over
    static LEFT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    /// the last version of the certificates that the keys have told
    static KNOWN: Cell<u64> = const { Cell::new(0) };
}

impl sdk::handover::Handover for Handover {
    /// All was given while this instance went on, if there was somebody to give it to.
    fn save() -> Vec<u8> {
        Vec::new()
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        LEFT.set(Some(state));
        Ok(())
    }
}

/// The node's randomness.
#[derive(Debug)]
struct Entropy;

impl SecureRandom for Entropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        /// The most that the node gives at once.
        const MOST: usize = 4_096;
        for part in buffer.chunks_mut(MOST) {
            let mut random = entropy::get(part.len() as u32);
            if random.len() != part.len() {
                return Err(GetRandomFailed);
            }
            part.copy_from_slice(&random);
            random.zeroize();
        }
        Ok(())
    }
}

/// The time of day, if the node knows it.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        entropy::wall_clock().map(|now| UnixTime::since_unix_epoch(Duration::from_nanos(now)))
    }
}

/// The box with the keys.
struct Arrow;

impl Keys for Arrow {
    fn public_key(&self, key: &str) -> Result<Vec<u8>, String> {
        keys::public_key(key)
    }

    fn version(&self) -> u64 {
        // while the keys do not answer, the certificates are those that there are
        keys::version().inspect(|version| KNOWN.set(*version)).unwrap_or_else(|_| KNOWN.get())
    }

    fn certificate(&self, key: &str, names: &[String]) -> Result<Vec<Vec<u8>>, String> {
        keys::certificate(key, names)
    }

    fn prove(&self, name: &str) -> Option<(String, Vec<u8>)> {
        keys::prove(name).ok().flatten().map(|proof| (proof.key, proof.certificate))
    }

    fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        keys::sign(key, message)
    }
}

fn run() {
    processor::take();
    let settings = config::get();
    let keys: Arc<dyn Keys> = Arc::new(Arrow);
    let config = Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    drop(settings);
    match config {
        Ok(mut config) => {
            // a box that only makes connections does without
            if keys::version().is_err_and(|why| why == wit::NO_ARROW) {
                config.certificates.clear();
            }
            start(config, &keys);
        }
        Err(faults) => faults.iter().for_each(|fault| log::write(log::Level::Error, &fault.to_string())),
    }
}

fn start(config: Config, keys: &Arc<dyn Keys>) {
    match Tls::new(config, memory_left(), &Entropy, keys, Arc::new(WallClock)) {
        Ok(mut tls) => {
            tls.reports();
            serve(tls);
        }
        Err(error) => {
            log::write(log::Level::Error, &error);
            // what the box of the keys lacks may be there when the node starts this one again
            std::process::abort();
        }
    }
}

fn serve(mut tls: Tls) {
    let mut arrows =
        Arrows { net: tcp::client(&[]), names: names::client(&[]), clients: tcp::service(&[]), turn: None };
    let mut left = LEFT.take();
    loop {
        let turn = arrows.turn.take().unwrap_or_else(|| ports::wait_and_receive(tls.deadline()));
        let Turn { wake, received, .. } = turn;
        if let Some(mut state) = left.take() {
            if let Err(why) = tls.inherit(wake.now, &state) {
                log::write(log::Level::Warn, why);
            }
            state.zeroize();
        }
        let mut batches = Received::new(wake.ready, received);
        let (net, names, clients) = (batches.of(arrows.net), batches.of(arrows.names), batches.of(arrows.clients));
        if wake.notices.contains(Notices::RETIRE) {
            let mut state = tls.retire(wake.now);
            heir::give(&state);
            state.zeroize();
        }
        let room = wake.notices.contains(Notices::ROOM);
        tls.turn(Wake { now: wake.now, net: &net, names: &names, clients: &clients, room }, &mut arrows);
        if tls.is_done() {
            return;
        }
    }
}

struct Arrows {
    net: u32,
    names: u32,
    clients: u32,
    /// the next one, if the box has slept already
    turn: Option<Turn>,
}

impl Arrows {
    const fn port(&self, to: To) -> (u32, u32) {
        match to {
            To::Net(peer) => (self.net, peer),
            To::Names(peer) => (self.names, peer),
            To::Client(peer) => (self.clients, peer),
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
