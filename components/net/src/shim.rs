//! The box: a [`Stack`] between its arrows.

use crate::{Card, Heritage, Level, Seed, Settings, Stack};
use sdk::bindings::pearwood::{
    box0_2_0::{config, entropy, heir, log},
    hardware::nic,
    net::{names, tcp, udp},
};
use sdk::ports::{self, Arrived, Notices, Turn};
use std::cell::RefCell;

// for its allocator
use support as _;

sdk::service!(run);

fn run() -> Result<(), String> {
    let (mut stack, numbers, turn) = start()?;
    serve(&mut stack, &numbers, turn);
    Ok(())
}

sdk::handover!(Net);

struct Net;

thread_local! {
    /// what another instance left, until `run` takes it over
    static HERITAGE: RefCell<Option<Heritage>> = const { RefCell::new(None) };
}

impl sdk::handover::Handover for Net {
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

/// The numbers of the box's ports.
struct Numbers {
    nic: u32,
    tcp: u32,
    udp: u32,
    names: u32,
}

/// The stack, and its first turn: that in which the node tells of the card.
fn start() -> Result<(Stack, Numbers, Turn), String> {
    let numbers =
        Numbers { nic: nic::client(&[]), tcp: tcp::service(&[]), udp: udp::service(&[]), names: names::service(&[]) };
    let pairs = config::get();
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let settings = Settings::read(pairs).map_err(|faults| wit::setting::in_words(&faults))?;
    let seed = entropy::get(size_of::<Seed>() as u32);
    let seed = seed.try_into().map_err(|_| "pearwood:box/entropy: fewer bytes than asked for")?;
    let mut wake = ports::wait(u64::MAX);
    let (card, received) = loop {
        let received = ports::receive(numbers.nic);
        if let Some(card) = card(&received)? {
            break (card, received);
        }
        let next = ports::wait(u64::MAX);
        wake = ports::Wake { ready: wake.ready | next.ready, notices: wake.notices | next.notices, now: next.now };
    };
    wake.ready |= 1 << numbers.nic;
    let turn = Turn { wake, received: received.into(), sent: true };
    let mut stack = Stack::new(&settings, card, seed, turn.wake.now);
    if let Some(heritage) = HERITAGE.take() {
        stack.inherit(turn.wake.now, &heritage);
    }
    Ok((stack, numbers, turn))
}

/// The card, as `attach` tells of it.
fn card(batch: &[u8]) -> Result<Option<Card>, String> {
    let attached = wit::Records::new(batch).flatten().find_map(|record| match wit::Peer::decode(&record) {
        Some(wit::Peer::Attach(0, attach)) => Some(wit::nic::Attach::decode(attach)),
        _ => None,
    });
    let Some(attached) = attached else { return Ok(None) };
    let wit::nic::Attach { address, mtu } = attached.map_err(|error| format!("pearwood:hardware/nic: {error}"))?;
    if !(1280..=9000).contains(&mtu) {
        return Err(format!("pearwood:hardware/nic: an MTU of {mtu}; IPv6 needs at least 1280"));
    }
    let [_, _, address @ ..] = address.to_be_bytes();
    Ok(Some(Card { address, mtu }))
}

// Apart from what begins and ends the box: in one function with that, every value is kept on the stack.
#[inline(never)]
fn serve(stack: &mut Stack, numbers: &Numbers, mut turn: Turn) {
    loop {
        let (now, ready, notices) = (turn.wake.now, turn.wake.ready, turn.wake.notices);
        // the batch of the first port that is ready is there already
        let mut received = Some(turn.received);
        let mut take = |port: u32| {
            let is_first = ready.trailing_zeros() == port;
            let there = ready >> port & 1 != 0;
            there.then(|| received.take_if(|_| is_first).unwrap_or_else(|| ports::receive(port).into()))
        };
        if let Some(frames) = take(numbers.nic) {
            stack.frames(now, &frames);
        }
        if let Some(commands) = take(numbers.tcp) {
            stack.tcp_commands(&commands);
        }
        if ready & (1 << numbers.udp | 1 << numbers.names) != 0 {
            take_others(stack, numbers, now, take);
        }
        if notices.contains(Notices::ROOM) {
            stack.room();
        }
        // What has come before is this instance's, and what comes after the state is given the other gets too.
        if notices.contains(Notices::RETIRE) {
            leave(stack, now);
        }
        stack.step(now);
        if stack.has_log() {
            write_log(stack);
        }
        let done = stack.is_done();
        let rests = !done && stack.is_last_batch();
        let mut out = Departure { rest_until: rests.then(|| stack.deadline()), turn: None };
        stack.transmit(|frames| {
            out.send(numbers.nic, 0, frames);
        });
        stack.deliver_tcp(|peer, events| out.send(numbers.tcp, peer, events));
        if stack.has_more_to_deliver() {
            deliver_others(stack, numbers, &mut out);
        }
        if done {
            return;
        }
        turn = out.turn.unwrap_or_else(|| ports::wait_and_receive(stack.deadline()));
    }
}

// What is seldom there is not on the way of what always is.

#[cold]
#[inline(never)]
fn write_log(stack: &mut Stack) {
    for (level, line) in stack.log() {
        log::write(level.into(), &line);
    }
}

#[cold]
#[inline(never)]
fn leave(stack: &mut Stack, now: u64) {
    heir::give(&stack.leave(now).write());
}

#[cold]
#[inline(never)]
fn take_others(stack: &mut Stack, numbers: &Numbers, now: u64, mut take: impl FnMut(u32) -> Option<Arrived>) {
    if let Some(commands) = take(numbers.udp) {
        stack.udp_commands(now, &commands);
    }
    if let Some(commands) = take(numbers.names) {
        stack.names_commands(now, &commands);
    }
}

#[cold]
#[inline(never)]
fn deliver_others(stack: &mut Stack, numbers: &Numbers, out: &mut Departure) {
    stack.deliver_udp(|peer, events| out.send(numbers.udp, peer, events));
    stack.deliver_names(|peer, events| out.send(numbers.names, peer, events));
}

/// How batches leave. If there is only one, the box sleeps with the same call.
struct Departure {
    rest_until: Option<u64>,
    turn: Option<Turn>,
}

impl Departure {
    #[inline(never)]
    fn send(&mut self, port: u32, peer: u32, batch: &[u8]) -> bool {
        let Some(deadline) = self.rest_until else { return ports::send(port, peer, batch) };
        let turn = ports::send_and_wait(port, peer, batch, deadline);
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
