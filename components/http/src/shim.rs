//! The box: [`Http`] between its arrows.

use crate::{Config, Http, Level, Outside, To, Wake};
use bindings::pearwood::{
    box0_1_0::{
        config, entropy, log,
        schedule::{self, Arrow, Ready, Turn},
    },
    http::handler,
    net::tcp,
};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/box", "../../wit/net", "../../wit/http"],
        // The generator does not escape `box`, a reserved word, as the name of a module, but puts versions into the
        // names of modules where a package has several. The empty one is there for that.
        inline: "
            package pearwood:http-box;
            package pearwood:box@0.0.0 {}
            world http {
                import pearwood:box/schedule@0.1.0;
                import pearwood:box/log@0.1.0;
                import pearwood:box/config@0.1.0;
                import pearwood:box/entropy@0.1.0;
                import pearwood:net/tcp@0.1.0;
                import pearwood:http/handler@0.1.0;
                export pearwood:box/service@0.1.0;
            }
        ",
        world: "pearwood:http-box/http",
        generate_all,
    });
    use super::HttpBox;
    export!(HttpBox);
}

struct HttpBox;

/// The box's memory limit: `memory` of system.toml, of which the node does not tell the box. This is what it is if it is
/// not said there.
const MEMORY: usize = 16 << 20;

impl bindings::exports::pearwood::box0_1_0::service::Guest for HttpBox {
    fn run() {
        let settings = config::get();
        let http = match Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
            Ok(config) => Http::new(config, MEMORY.saturating_sub(core::arch::wasm32::memory_size(0) << 16)),
            Err(error) => Err(error),
        };
        let mut http = match http {
            Ok(http) => http,
            Err(error) => return log::write(log::Level::Error, &error),
        };
        let mut arrows = Arrows::default();
        loop {
            let turn = arrows.turn.take().unwrap_or_else(|| schedule::wait_and_receive(http.deadline()));
            let Turn { wake, received, .. } = turn;
            let (tcp, handler) = match (wake.ready.contains(Ready::TCP), wake.ready.contains(Ready::HANDLER)) {
                (true, true) => (received, handler::receive()),
                (true, false) => (received, Vec::new()),
                (false, _) => (Vec::new(), received),
            };
            if wake.ready.contains(Ready::RETIRE) {
                http.retire(wake.now);
            }
            let room = wake.ready.contains(Ready::ROOM);
            http.turn(Wake { now: wake.now, tcp: &tcp, handler: &handler, room }, &mut arrows);
            if http.is_done() {
                return;
            }
        }
    }
}

#[derive(Default)]
struct Arrows {
    /// the next one, if the box has slept already
    turn: Option<Turn>,
}

impl Outside for Arrows {
    fn send(&mut self, to: To, batch: &[u8]) -> bool {
        match to {
            To::Tcp(peer) => tcp::send(peer, batch),
            To::Handler(peer) => handler::send(peer, batch),
        }
    }

    fn send_last(&mut self, to: To, batch: &[u8], deadline: u64) -> bool {
        let (arrow, peer) = match to {
            To::Tcp(peer) => (Arrow::Tcp, peer),
            To::Handler(peer) => (Arrow::Handler, peer),
        };
        let turn = schedule::send_and_wait(arrow, peer, batch, deadline);
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
}
