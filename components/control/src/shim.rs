//! The box: [`Control`] between its arrows.

use crate::{
    Config, Control, Identity, Level, Outside, Power, Wake, hex,
    message::{self, Request, Response},
};
use bindings::pearwood::{
    box0_2_0::{
        config, entropy, log,
        ports::{self, Notices},
    },
    control::node,
    net::tcp,
};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/box", "../../wit/net", "../../wit/control"],
        // The generator does not escape `box`, a reserved word, as the name of a module, but puts versions into the
        // names of modules where a package has several. The empty one is there for that.
        inline: "
            package pearwood:control-box;
            package pearwood:box@0.0.0 {}
            world control {
                import pearwood:box/ports@0.2.0;
                import pearwood:box/log@0.2.0;
                import pearwood:box/config@0.2.0;
                import pearwood:box/entropy@0.2.0;
                import pearwood:net/tcp@0.2.0;
                import pearwood:control/node@0.2.0;
                export pearwood:box/service@0.2.0;
            }
        ",
        world: "pearwood:control-box/control",
        generate_all,
    });
    use super::ControlBox;
    export!(ControlBox);
}

struct ControlBox;

impl bindings::exports::pearwood::box0_2_0::service::Guest for ControlBox {
    fn run() {
        let settings = config::get();
        let config = match Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
            Ok(config) => config,
            Err(error) => return log::write(log::Level::Error, &error),
        };
        if config.keys.is_empty() {
            let line = "no keys are configured: no port is opened, and nobody can manage this node; \
                        `pearwood key show` prints a key for config.keys";
            log::write(log::Level::Warn, line);
            return sleep();
        }
        let (identity, origin) = match &config.secret {
            Some(secret) => (Identity::derive(secret.as_bytes()), "derived from config.secret"),
            None => (Identity::derive(&node::boot_secret()), "made at this boot, another at the next"),
        };
        log::write(log::Level::Info, &format!("the node's key is {} ({origin})", hex(identity.public())));
        let mut control = Control::new(config, identity);
        let mut arrows = Arrows { tcp: tcp::client(&[]) };
        loop {
            let ports::Turn { wake, received, .. } = ports::wait_and_receive(control.deadline());
            if wake.notices.contains(Notices::RETIRE) {
                control.retire();
            }
            let room = wake.notices.contains(Notices::ROOM);
            control.turn(Wake { now: wake.now, tcp: &received, room }, &mut arrows);
            if control.is_done() {
                return;
            }
        }
    }
}

/// Nothing to do until another takes the box's place.
fn sleep() {
    while !ports::wait_and_receive(u64::MAX).wake.notices.contains(Notices::RETIRE) {}
}

struct Arrows {
    tcp: u32,
}

impl Power for Arrows {
    fn ask(&mut self, by: &str, request: &Request<'_>) -> Response {
        let response = node::ask(by, &message::encode(request));
        message::decode(&response).unwrap_or_else(|| Response::Refused("the node's answer is not understood".into()))
    }
}

impl Outside for Arrows {
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool {
        ports::send(self.tcp, peer, batch)
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
