//! The box: a [`Stack`] between its arrows.

use crate::{Card, Heritage, Level, Seed, Settings, Stack};
use bindings::pearwood::{
    box0_1_0::{
        config, entropy, heir, log, schedule,
        schedule::{Arrow, Ready, Turn},
    },
    hardware::nic,
    net::{names_service, tcp_service, udp_service},
};

use std::cell::RefCell;

// for its allocator
use support as _;

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/box", "../../wit/hardware", "../../wit/net"],
        // The generator does not escape `box`, a reserved word, as the name of a module, but puts versions into the
        // names of modules where a package has several. The empty one is there for that.
        inline: "
            package pearwood:net-box;
            package pearwood:box@0.0.0 {}
            world net {
                import pearwood:box/schedule@0.1.0;
                import pearwood:box/log@0.1.0;
                import pearwood:box/config@0.1.0;
                import pearwood:box/entropy@0.1.0;
                import pearwood:box/heir@0.1.0;
                import pearwood:hardware/nic@0.1.0;
                import pearwood:net/tcp-service@0.1.0;
                import pearwood:net/udp-service@0.1.0;
                import pearwood:net/names-service@0.1.0;
                export pearwood:box/service@0.1.0;
                export pearwood:box/handover@0.1.0;
            }
        ",
        world: "pearwood:net-box/net",
        generate_all,
    });
    use super::Net;
    export!(Net);
}

struct Net;

impl bindings::exports::pearwood::box0_1_0::service::Guest for Net {
    fn run() {
        match start() {
            Ok((stack, turn)) => serve(stack, turn),
            Err(why) => log::write(log::Level::Error, &why),
        }
    }
}

thread_local! {
    /// what another instance left, until `run` takes it over
    static HERITAGE: RefCell<Option<Heritage>> = const { RefCell::new(None) };
}

impl bindings::exports::pearwood::box0_1_0::handover::Guest for Net {
    /// All was given while this instance went on, if there was somebody to give it to.
    fn save() -> Vec<u8> {
        Vec::new()
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let heritage = Heritage::read(&state).map_err(|malformed| malformed.to_string())?;
        HERITAGE.set(Some(heritage));
        Ok(())
    }
}

/// The stack, and its first turn.
fn start() -> Result<(Stack, Turn), String> {
    let pairs = config::get();
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let settings = Settings::read(pairs).map_err(|invalid| invalid.to_string())?;
    let nic::Info { address, mtu } = nic::describe();
    let address = address.try_into().map_err(|_| "pearwood:hardware/nic: the card's address is not six octets")?;
    if !(1280..=9000).contains(&mtu) {
        return Err(format!("pearwood:hardware/nic: an MTU of {mtu}; IPv6 needs at least 1280"));
    }
    let seed = entropy::get(size_of::<Seed>() as u32);
    let seed = seed.try_into().map_err(|_| "pearwood:box/entropy: fewer bytes than asked for")?;
    let turn = schedule::wait_and_receive(0);
    let mut stack = Stack::new(&settings, Card { address, mtu }, seed, turn.wake.now);
    if let Some(heritage) = HERITAGE.take() {
        stack.inherit(turn.wake.now, &heritage);
    }
    Ok((stack, turn))
}

fn serve(mut stack: Stack, mut turn: Turn) {
    loop {
        let (now, ready) = (turn.wake.now, turn.wake.ready);
        // the first ready arrow's batch is there already
        let mut received = Some(turn.received);
        let mut take = |receive: fn() -> Vec<u8>| received.take().unwrap_or_else(receive);
        if ready.contains(Ready::NIC) {
            stack.frames(now, &take(nic::receive));
        }
        if ready.contains(Ready::TCP_SERVICE) {
            stack.tcp_commands(&take(tcp_service::receive));
        }
        if ready.contains(Ready::UDP_SERVICE) {
            stack.udp_commands(now, &take(udp_service::receive));
        }
        if ready.contains(Ready::NAMES_SERVICE) {
            stack.names_commands(now, &take(names_service::receive));
        }
        if ready.contains(Ready::ROOM) {
            stack.room();
        }
        // What has come before is this instance's, and what comes after the state is given the other gets too.
        if ready.contains(Ready::RETIRE) {
            heir::give(&stack.leave(now).write());
        }
        stack.step(now);
        for (level, line) in stack.log() {
            log::write(level.into(), &line);
        }
        let done = stack.is_done();
        let rests = !done && stack.is_last_batch();
        let mut out = Departure { rest_until: rests.then(|| stack.deadline()), turn: None };
        stack.transmit(|frames| {
            out.send(Arrow::Nic, 0, frames, |_, frames| {
                nic::transmit(frames);
                true
            });
        });
        stack.deliver_tcp(|peer, events| out.send(Arrow::TcpService, peer, events, tcp_service::send));
        stack.deliver_udp(|peer, events| out.send(Arrow::UdpService, peer, events, udp_service::send));
        stack.deliver_names(|peer, events| out.send(Arrow::NamesService, peer, events, names_service::send));
        if done {
            return;
        }
        turn = out.turn.unwrap_or_else(|| schedule::wait_and_receive(stack.deadline()));
    }
}

/// How batches leave. If there is only one, the box sleeps with the same call.
struct Departure {
    rest_until: Option<u64>,
    turn: Option<Turn>,
}

impl Departure {
    fn send(&mut self, arrow: Arrow, peer: u32, batch: &[u8], send: impl FnOnce(u32, &[u8]) -> bool) -> bool {
        let Some(deadline) = self.rest_until else { return send(peer, batch) };
        let turn = schedule::send_and_wait(arrow, peer, batch, deadline);
        self.turn.insert(turn).sent
    }
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        }
    }
}
