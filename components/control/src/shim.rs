//! The box: [`Control`] between its arrows.

use crate::{Config, Control, Identity, Level, Outside, Wake, hex};
use sdk::bindings::pearwood::{
    box0_2_0::{config, entropy, log},
    control::node,
    http::handler,
    net::tcp,
};

use sdk::ports::{self, Notices};
use wit::{Peer, Records, control::Attach};

sdk::service!(run);

fn run() {
    let settings = config::get();
    let config = match Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
        Ok(config) => config,
        Err(faults) => return faults.iter().for_each(|fault| log::write(log::Level::Error, &fault.to_string())),
    };
    if config.keys.is_empty() {
        let line = "no keys are configured: no port is opened, and nobody can manage this node; \
                    `pearwood key show` prints a key for config.keys";
        log::write(log::Level::Warn, line);
    }
    let mut arrows = Arrows { tcp: tcp::client(&[]), node: node::client(&[]), http: handler::service(&[]) };
    let (mut attached, boot_secret) = arrows.attached();
    let (identity, origin) = match &config.secret {
        Some(secret) => (Identity::derive(secret.as_bytes()), "derived from config.secret"),
        None => (Identity::derive(&boot_secret), "made at this boot, another at the next"),
    };
    log::write(log::Level::Info, &format!("the node's key is {} ({origin})", hex(identity.public())));
    let mut control = Control::new(config, identity);
    loop {
        let wake = match attached.is_empty() {
            true => ports::wait(control.deadline()),
            false => ports::wait(0),
        };
        let receive = |port: u32| if wake.ready >> port & 1 == 1 { ports::receive(port) } else { Vec::new() };
        let tcp = receive(arrows.tcp);
        let http = receive(arrows.http);
        let node = [std::mem::take(&mut attached), receive(arrows.node)].concat();
        if wake.notices.contains(Notices::RETIRE) {
            control.retire();
        }
        let room = wake.notices.contains(Notices::ROOM);
        control.turn(Wake { now: wake.now, tcp: &tcp, node: &node, http: &http, room }, &mut arrows);
        if control.is_done() {
            return;
        }
    }
}

struct Arrows {
    tcp: u32,
    node: u32,
    http: u32,
}

impl Arrows {
    /// What the node has said first, and its secret.
    fn attached(&self) -> (Vec<u8>, Vec<u8>) {
        loop {
            let batch = ports::receive(self.node);
            for record in Records::new(&batch).flatten() {
                if let Some(Peer::Attach(_, attach)) = Peer::decode(&record)
                    && let Ok(attach) = Attach::decode(attach)
                {
                    let boot_secret = attach.boot_secret.to_vec();
                    return (batch, boot_secret);
                }
            }
            ports::wait(u64::MAX);
        }
    }
}

impl Outside for Arrows {
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool {
        ports::send(self.tcp, peer, batch)
    }

    fn ask(&mut self, batch: &[u8]) -> bool {
        // the node is the only peer of this port
        ports::send(self.node, 0, batch)
    }

    fn answer(&mut self, peer: u32, batch: &[u8]) -> bool {
        ports::send(self.http, peer, batch)
    }

    fn random(&mut self) -> [u8; 32] {
        // A node that gives no randomness breaks its word, and no channel may be made then.
        entropy::get(32).try_into().expect("the node gives 32 random bytes")
    }

    fn log(&mut self, level: Level, line: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
        };
        log::write(level, line);
    }
}
