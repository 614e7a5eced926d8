//! N1 to N8: load on a wire that loses, duplicates and delays 5 % of the frames in each direction: every body is right,
//! and memory is then as it was.
//!
//! It takes a minute, or as long as `PEARWOOD_SOAK` says: `90s`, `30m`, `8h`. The other end of the wire is smoltcp, as another
//! machine would use it, over IPv4 and IPv6. (QEMU's own network loses what it was to send again when an answer to its SYN
//! comes twice.)

use crate::ethernet::{
    frames,
    host::{CARD, Host},
    wire::{Dice, MILLISECOND, Quality, Wire},
};
use pearwood::Launch;
use smoltcp::{iface::SocketHandle, socket::tcp::State, wire::TcpControl};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tests::{TestNode, client::curl, node::PATIENCE, soak, wire::Socket};

const NODE: [&str; 2] = ["10.0.2.15", "fe80::5054:ff:fe12:3456"];

const LOSSY: Quality = Quality { delay: 2 * MILLISECOND, loss: 5, duplication: 5, reordering: 5 };

/// Clients of the first moments. Linear memory does not shrink: a box keeps what its busiest moment needed. Later there are
/// fewer, so that no moment is as busy.
const MOST: usize = 48;
const CLIENTS: usize = 12;
const FIRST: Duration = Duration::from_secs(20);
/// This side's own FIN may be lost for good: smoltcp 0.14 never sends it again after three acknowledgements of what was before it.
const GIVEN_UP: Duration = Duration::from_secs(100);
/// Bytes of the longest body.
const LONGEST: usize = 200_000;

/// A segment that is lost five times in a row comes after a minute.
const SYSTEM: &str = r#"
[system]
name = "lossy"

[box.net]
component = "net"
arrows."pearwood:hardware/nic" = { device = "nic0" }

[box.http]
component = "http"
config = { write-timeout = "5 min", body-timeout = "5 min", idle-timeout = "5 min", header-timeout = "5 min" }
arrows."pearwood:net/tcp" = { box = "net", listen = [80] }
arrows."pearwood:http/handler" = { box = "echo", path = "/echo/" }

[box.echo]
component = "echo"
"#;

#[test]
fn every_body_is_right_on_a_wire_that_loses_reorders_and_duplicates() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("system.toml"), SYSTEM).expect("written");
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(folder.path()).expect("a system")));
    let (machine, socket) = Socket::through(launch.reachable());
    let (sender, groups) = channel();
    // what is for everybody is for QEMU's network too
    let wanted = move |frame: &[u8]| match frame.first().is_some_and(|first| first & 1 != 0) {
        true => sender.send(frame.to_vec()).is_err(),
        false => frame.starts_with(&CARD),
    };
    let (node, cable) = TestNode::start_wired(launch, machine, || tests::wire::Wire::connect(socket, wanted));
    let pattern = curl(&[], &node.url(&format!("/echo/bytes?n={LONGEST}"))).body;
    assert_eq!(pattern.len(), LONGEST);
    let mut town = Town::new(cable, groups, pattern);
    town.run(MOST, FIRST);
    soak::rounds(&node, || {
        town.run(CLIENTS, Duration::from_secs(15));
        eprintln!("{}", town.report());
    });
    town.finish();
    assert!(town.requests >= 200, "{}", town.report());
    assert!(town.seen.iter().all(|seen| seen.lost > 0 && seen.twice > 0 && seen.again > 0), "{}", town.report());
    for name in ["net", "http", "echo"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    node.power_off();
}

/// The other end of the wire, and the clients there.
struct Town {
    cable: tests::wire::Wire,
    groups: Receiver<Vec<u8>>,
    start: Instant,
    /// from the node and to it
    wires: [Wire; 2],
    seen: [Seen; 2],
    host: Host,
    clients: Vec<Client>,
    dice: Dice,
    pattern: Vec<u8>,
    requests: u64,
    connections: u64,
    /// bytes of bodies that were right
    bytes: u64,
}

/// A connection, and what is asked on it.
struct Client {
    handle: SocketHandle,
    to: &'static str,
    /// requests, and the bodies that answer them
    plan: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// bytes of the first of them that have been sent
    sent: usize,
    got: Vec<u8>,
    since: Instant,
}

impl Town {
    fn new(cable: tests::wire::Wire, groups: Receiver<Vec<u8>>, pattern: Vec<u8>) -> Self {
        Town {
            cable,
            groups,
            start: Instant::now(),
            wires: [1, 2].map(|seed| Wire::new(LOSSY, seed)),
            seen: Default::default(),
            host: Host::new(&["10.0.2.77/24", "fe80::ff:fe00:4d/64"]),
            clients: Vec::new(),
            dice: Dice::new(1),
            pattern,
            requests: 0,
            connections: 0,
            bytes: 0,
        }
    }

    fn report(&self) -> String {
        let Town { requests, connections, bytes, seen: [from, to], .. } = self;
        let mut report = format!("{requests} requests on {connections} connections, {bytes} bytes of bodies right");
        for (what, seen) in [("from the node", from), ("to the node", to)] {
            let Seen { frames, lost, twice, again, .. } = seen;
            let _ = write!(report, "; {what} {frames} frames, {lost} lost, {twice} twice, {again} sent again");
        }
        report
    }

    /// Lets clients ask one thing after another for that long.
    fn run(&mut self, clients: usize, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            while self.clients.len() < clients {
                let client = self.begin();
                self.clients.push(client);
            }
            self.turn();
        }
    }

    /// Lets what has begun come to its end, on a wire that is good.
    fn finish(&mut self) {
        for wire in &mut self.wires {
            wire.quality = Quality { delay: MILLISECOND, ..Quality::CLEAN };
        }
        while !self.clients.is_empty() {
            self.turn();
        }
    }

    fn begin(&mut self) -> Client {
        let dice = &mut self.dice;
        let to = NODE[dice.below(2)];
        let get = |length: usize| {
            let request = format!("GET /echo/bytes?n={length} HTTP/1.1\r\nHost: x\r\n\r\n");
            (request.into_bytes(), self.pattern[..length].to_vec())
        };
        let plan = match dice.below(4) {
            0 => VecDeque::from([get(dice.below(LONGEST))]),
            1 => {
                let body: Vec<u8> = (0..1 + dice.below(LONGEST / 2)).map(|_| dice.next() as u8).collect();
                let head = format!("POST /echo/mirror HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
                VecDeque::from([([head.as_bytes(), &body].concat(), body)])
            }
            _ => (0..1 + dice.below(6)).map(|_| get(dice.below(10_000))).collect(),
        };
        self.connections += 1;
        let handle = self.host.connect(to, 80);
        Client { handle, to, plan, sent: 0, got: Vec::new(), since: Instant::now() }
    }

    /// Moves frames and bytes as far as they go, and waits a moment for more.
    fn turn(&mut self) {
        let start = self.start;
        let now = move || start.elapsed().as_nanos() as u64;
        let Town { cable, groups, wires: [from, to], seen, host, .. } = self;
        let next = [host.poll_at(now()), from.next(), to.next()].into_iter().min().unwrap_or(0);
        let mut wait = Duration::from_nanos(next.saturating_sub(now()).min(5 * MILLISECOND));
        while let Some(frame) = cable.next(wait) {
            seen[0].take(&frame, from, now());
            wait = Duration::ZERO;
        }
        for frame in groups.try_iter() {
            seen[0].take(&frame, from, now());
        }
        from.receive(now()).into_iter().for_each(|frame| host.receive(frame));
        for frame in host.poll(now()) {
            seen[1].take(&frame, to, now());
        }
        for frame in to.receive(now()) {
            cable.send(&frame);
        }
        for mut client in std::mem::take(&mut self.clients) {
            if client.step(&mut self.host, &mut self.requests, &mut self.bytes) {
                self.clients.push(client);
            } else {
                self.host.sockets.remove(client.handle);
            }
        }
    }
}

impl Client {
    /// False once everything has been asked and answered, and both sides are through.
    fn step(&mut self, host: &mut Host, requests: &mut u64, bytes: &mut u64) -> bool {
        let socket = host.tcp(self.handle);
        let waited = self.since.elapsed();
        let left = self.plan.len();
        assert!(waited < PATIENCE, "{}: {left} requests not answered, {} bytes of an answer", self.to, self.got.len());
        let Some((request, body)) = self.plan.front() else {
            socket.close();
            if waited > GIVEN_UP {
                socket.abort();
            }
            while socket.can_recv() {
                socket
                    .recv(|more| (more.len(), assert_eq!(more, b"", "after the last answer")))
                    .expect("an open socket");
            }
            return !matches!(socket.state(), State::Closed | State::TimeWait);
        };
        if socket.can_send() && self.sent < request.len() {
            self.sent += socket.send_slice(&request[self.sent..]).expect("an open socket");
        }
        while socket.can_recv() {
            socket.recv(|more| (more.len(), self.got.extend_from_slice(more))).expect("an open socket");
        }
        if let Some(end) = self.got.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&self.got[..end]);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let length = format!("content-length: {}\r\n", body.len());
            assert!(head.to_ascii_lowercase().contains(&length), "{head} instead of {length}");
            if self.got.len() >= end + body.len() {
                let same = self.got[end..] == body[..];
                assert!(same, "{}: another body of {} bytes than expected", self.to, body.len());
                *requests += 1;
                *bytes += body.len() as u64;
                self.plan.pop_front();
                (self.sent, self.got, self.since) = (0, Vec::new(), Instant::now());
                return true;
            }
        }
        let state = socket.state();
        let open = matches!(state, State::SynSent | State::SynReceived | State::Established);
        assert!(open || socket.can_recv(), "{}: {state} after {waited:?} and {} bytes", self.to, self.got.len());
        true
    }
}

/// What has gone over one direction of the wire.
#[derive(Default)]
struct Seen {
    frames: u64,
    lost: u64,
    twice: u64,
    /// segments with data of which all had come before
    again: u64,
    /// of each flow, the end of its data so far
    ends: BTreeMap<(u16, u16), u32>,
}

impl Seen {
    /// Sends a frame on its way.
    fn take(&mut self, frame: &[u8], wire: &mut Wire, now: u64) {
        let before = wire.len();
        wire.send(now, frame);
        self.frames += 1;
        match wire.len() - before {
            0 => self.lost += 1,
            1 => {}
            _ => self.twice += 1,
        }
        let Some(seen) = frames::read_tcp(frame) else { return };
        let end = seen.sequence.wrapping_add(seen.payload as u32);
        if seen.control == TcpControl::Syn {
            self.ends.insert(seen.ports, end.wrapping_add(1));
        } else if seen.payload > 0 {
            let known = self.ends.entry(seen.ports).or_insert(end.wrapping_sub(1));
            match (end.wrapping_sub(*known) as i32) > 0 {
                true => *known = end,
                false => self.again += 1,
            }
        }
    }
}
