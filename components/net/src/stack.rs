//! The whole stack as a state machine: batches and the time go in, batches and a deadline come out.
//!
//! A turn is: frames and commands in any order, one [`Stack::step`], then what the step left is taken out with
//! [`Stack::transmit`] and the `deliver` functions. Nothing blocks, and nothing knows where the bytes come from.

mod handover;

use crate::addresses::Addresses;
use crate::datagrams::Datagrams;
use crate::echo;
use crate::extensions::{Extensions, Outcome};
use crate::journal::{Journal, Level};
use crate::link::{Card, Link, from_mapped};
use crate::names::Names;
use crate::neighbours::{Neighbours, is_answer};
use crate::outgoing::LARGEST;
use crate::packet::{self, Flow, Packet, Segment};
use crate::paths::TooBig;
use crate::random::{Random, Seed};
use crate::restraint::Restraint;
use crate::settings::Settings;
use crate::tcp::Tcp;
use crate::udp::{Sending, Udp};
use wit::{Peers, Records, nic};

const SECOND: u64 = 1_000_000_000;
/// How often peers that retire are looked at.
const RETIRE_INTERVAL: u64 = SECOND / 20;
/// How often the counters are looked at for the log.
const REPORT_INTERVAL: u64 = 60 * SECOND;

pub struct Stack {
    link: Link,
    random: Random,
    addresses: Addresses,
    datagrams: Datagrams,
    tcp: Tcp,
    udp: Udp,
    names: Names,
    journal: Journal,
    neighbours: Neighbours,
    extensions: Extensions,
    /// Another instance has taken over, and this one finishes what is open.
    left: bool,
    /// Another instance has something open.
    shared: bool,
    /// of ICMP errors
    errors: Restraint,
    /// somebody asks which multicast groups this machine listens to
    group_query: bool,
    /// when `step` was called last
    now: u64,
    /// when anything but TCP has something to do
    others_at: u64,
    counters: Counters,
    reported: Counters,
    report_at: u64,
}

/// What happened, for the log and for tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub received: u64,
    pub transmitted: u64,
    /// frames not processed: not for us, malformed, of a protocol not spoken here
    pub ignored: u64,
    /// ICMP errors not sent, since there were too many
    pub unanswered: u64,
    pub tcp: crate::tcp::Counters,
    pub udp: crate::udp::Counters,
}

impl Stack {
    /// `now` is in nanoseconds of a clock that never goes back, as everywhere here.
    pub fn new(settings: &Settings, card: Card, seed: Seed, now: u64) -> Self {
        let mut random = Random::new(seed);
        let mut link = Link::new(card, random.u64(), now);
        let mut datagrams = Datagrams::new();
        let addresses = Addresses::new(settings, &mut link, &mut datagrams, now);
        let tcp = Tcp::new(settings, &mut random);
        Stack {
            link,
            random,
            addresses,
            datagrams,
            tcp,
            udp: Udp::default(),
            names: Names::default(),
            journal: Journal::default(),
            neighbours: Neighbours::default(),
            extensions: Extensions::default(),
            left: false,
            shared: false,
            errors: Restraint::default(),
            group_query: false,
            now,
            others_at: 0,
            counters: Counters::default(),
            reported: Counters::default(),
            report_at: now + REPORT_INTERVAL,
        }
    }

    /// Takes a batch of received frames.
    // This and others are functions of their own: in one as large as the box's loop would be with them, every value is kept
    // on the stack.
    #[inline(never)]
    pub fn frames(&mut self, now: u64, packed: &[u8]) {
        self.now = now;
        let mut waiting = None;
        for record in Records::new(packed) {
            match record {
                Ok(record) if record.kind == nic::Event::FRAME => self.frame(now, record.bytes, &mut waiting),
                Ok(record) if record.kind == nic::Event::SHARED => self.share(now, record.id != 0),
                // what the node says of the card, which the shim has read
                Ok(record) if record.kind >= wit::Peer::FIRST_KIND => {}
                _ => self.counters.ignored += 1,
            }
        }
        if let Some((frame, segment)) = waiting {
            self.tcp.receive(now, frame, &segment, &mut self.link);
        }
    }

    /// An acknowledgement waits for the next frame: of a run of them only the last matters.
    #[inline]
    fn frame<'a>(&mut self, now: u64, frame: &'a [u8], waiting: &mut Option<(&'a [u8], Segment)>) {
        self.counters.received += 1;
        let Stack { link, tcp, counters, .. } = self;
        // The first bit of an Ethernet address says that it is a group's.
        let group = frame.first().is_some_and(|octet| octet & 1 != 0);
        if !group && frame.get(..6) != Some(&link.card.address) {
            counters.ignored += 1;
            return;
        }
        match Packet::classify(frame) {
            Packet::Tcp(segment) if !group => {
                if let Some((earlier, of)) = waiting.take()
                    && !(segment.is_plain_acknowledgement() && tcp.supersedes(frame, &segment, &of))
                {
                    tcp.receive(now, earlier, &of, link);
                }
                if segment.is_plain_acknowledgement() {
                    *waiting = Some((frame, segment));
                } else {
                    tcp.receive(now, frame, &segment, link);
                }
            }
            packet => self.other(now, frame, group, packet),
        }
    }

    /// Takes a frame that is not a TCP segment to this card.
    #[cold]
    #[inline(never)]
    fn other(&mut self, now: u64, frame: &[u8], group: bool, packet: Packet) {
        let Stack { link, tcp, datagrams, addresses, neighbours, counters, errors, others_at, group_query, .. } = self;
        let journal = &mut self.journal;
        // It says which connection it is about.
        if let Packet::TooBig(message) = packet {
            match TooBig::read(frame, message) {
                Some(said) if said.is_datagram() => {
                    let Flow { remote, local_port, .. } = said.flow;
                    if datagrams.senders.has_sent(local_port, from_mapped(remote)) && link.owns(said.flow.local) {
                        tcp.paths.learn(now, remote, said.mtu);
                    }
                }
                Some(said) => tcp.too_big(now, &said, link),
                None => counters.ignored += 1,
            }
            return;
        }
        let is_for_other = match packet {
            Packet::Extended => false,
            Packet::Udp { port, .. } => (self.left || self.shared) && !datagrams.is_bound(port),
            Packet::Neighbour => self.left && !is_answer(frame),
            _ => self.left,
        };
        // Neighbours who have this machine's address are to be heard of.
        let is_impossible = |source| link.is_impossible(source) || packet != Packet::Neighbour && link.owns(source);
        let is_impossible = packet::source(frame).is_some_and(is_impossible);
        if is_for_other || is_impossible || packet::to_stranger(frame, |address| link.owns(address)) {
            counters.ignored += 1;
            return;
        }
        if packet == Packet::Extended {
            return self.extended(now, frame, group);
        }
        *others_at = 0;
        match packet {
            Packet::Echo(message) => counters.ignored += u64::from(!echo::answer(frame, message, link)),
            Packet::RouterAdvertisement(message) => addresses.advertisement(now, frame, message),
            // One answer per batch of frames is enough for any number of questions.
            Packet::GroupQuery => *group_query = true,
            Packet::Neighbour if addresses.hear(now, frame, link, journal) => {}
            Packet::Neighbour => {
                neighbours.learn(frame);
                datagrams.receive(now, frame, link);
                datagrams.neighbour_found();
                tcp.neighbour_found();
            }
            // smoltcp would answer a datagram that nobody wants with an ICMP error even when it went to a group.
            Packet::Udp { port, multicast } if (multicast || group) && !datagrams.is_bound(port) => {
                counters.ignored += 1;
            }
            // The same of an unknown protocol over IPv6 (RFC 4443 section 2.4 (e)).
            Packet::Other
                if (group || packet::is_to_group(frame)) && !packet::is_icmp(frame) && packet::is_ipv6(frame) =>
            {
                counters.ignored += 1;
            }
            // smoltcp answers what nobody wants with an ICMP error.
            Packet::Udp { port, .. } if !datagrams.is_bound(port) && !errors.allows(now) => counters.unanswered += 1,
            Packet::Other if !packet::is_icmp(frame) && !errors.allows(now) => counters.unanswered += 1,
            Packet::Udp { .. } | Packet::Other => datagrams.receive(now, frame, link),
            Packet::Tcp(_) | Packet::TooBig(_) | Packet::Extended | Packet::Drop(_) => counters.ignored += 1,
        }
    }

    /// Takes an IPv6 packet that has extension headers.
    fn extended(&mut self, now: u64, frame: &[u8], group: bool) {
        match self.extensions.take(now, frame) {
            Outcome::Plain { frame, fragmented } => match Packet::classify(&frame) {
                Packet::Tcp(segment) if !group => self.tcp.receive(now, &frame, &segment, &mut self.link),
                // RFC 6980: too easily forged.
                Packet::Neighbour | Packet::RouterAdvertisement(_) if fragmented => self.counters.ignored += 1,
                packet => self.other(now, &frame, group, packet),
            },
            Outcome::Dropped(Some(problem)) if self.errors.allows(now) => {
                echo::complain(frame, group, problem, &mut self.link)
            }
            Outcome::Dropped(problem) => {
                self.counters.ignored += 1;
                self.counters.unanswered += u64::from(problem.is_some());
            }
        }
    }

    #[inline(never)]
    pub fn tcp_commands(&mut self, packed: &[u8]) {
        self.tcp.commands(self.now, packed, &mut self.link, &mut self.random);
    }

    pub fn udp_commands(&mut self, now: u64, packed: &[u8]) {
        self.others_at = 0;
        let Stack { link, random, datagrams, tcp, udp, .. } = self;
        udp.commands(now, packed, &mut Sending { datagrams, link, random, paths: &tcp.paths });
    }

    pub fn names_commands(&mut self, now: u64, packed: &[u8]) {
        self.others_at = 0;
        self.names.commands(now, packed, &mut self.datagrams, &mut self.random);
    }

    /// A peer that had no room for its events has some.
    #[cold]
    #[inline(never)]
    pub fn room(&mut self) {
        if self.tcp.peers.retry() {
            self.tcp.room_found();
        }
        self.others_at = 0;
        self.udp.peers.retry();
        self.names.peers.retry();
    }

    /// Does all there is to do.
    #[inline(never)]
    pub fn step(&mut self, now: u64) {
        self.now = now;
        if now >= self.others_at || self.udp.peers.any_retiring() {
            self.step_others(now);
        }
        self.tcp.step(now, &mut self.link);
    }

    #[cold]
    #[inline(never)]
    fn step_others(&mut self, now: u64) {
        let Stack { link, random, addresses, datagrams, tcp, udp, names, journal, neighbours, .. } = self;
        if core::mem::take(&mut self.group_query) {
            addresses.report_groups(link);
        }
        datagrams.transmit(now, link);
        let mtu = link.card.mtu;
        if addresses.step(now, link, datagrams, random, journal) {
            if link.card.mtu != mtu {
                // smoltcp has begun anew, and knows nobody.
                let known = neighbours.all().to_vec();
                neighbours.inherit(now, &known, link);
            }
            tcp.network_changed(link);
            names.network_changed();
        }
        names.step(now, addresses, datagrams, link, random);
        if let Some(commands) = names.tcp_commands() {
            tcp.commands(now, commands.as_bytes(), link, random);
        }
        datagrams.transmit(now, link);
        udp.report(datagrams);
        tcp.keep_promises(now);
        udp.keep_promises(now, datagrams);
        if now >= self.report_at {
            self.report(now);
        }
        let promised = self.tcp.promised_until().min(self.udp.promised_until());
        let others = [self.datagrams.deadline(), self.addresses.deadline(), self.names.deadline()];
        let deadlines = others.into_iter().chain([promised, self.report_at]);
        self.others_at = deadlines.min().unwrap_or(u64::MAX);
    }

    /// Whether `transmit` and the `deliver` functions have one batch to send, and nothing is to be done after it before
    /// the deadline.
    #[inline(never)]
    pub fn is_last_batch(&self) -> bool {
        let frames = self.link.outgoing.len().div_ceil(LARGEST);
        let peers = [&self.tcp.peers, &self.udp.peers, &self.names.peers];
        let batches = peers.map(Peers::waiting).iter().sum::<usize>() + frames;
        batches == 1 && !peers.iter().any(|peers| peers.any_refused())
    }

    /// Frames for the card. They must go out before the next frames or commands come in.
    pub fn transmit(&mut self, send: impl FnMut(&[u8])) {
        self.link.outgoing.batches().for_each(send);
        self.link.outgoing.clear();
    }

    /// Events for the clients of `pearwood:net/tcp`. `send` says whether the peer took them.
    pub fn deliver_tcp(&mut self, mut send: impl FnMut(u32, &[u8]) -> bool) {
        let Stack { tcp, names, others_at, .. } = self;
        let room = tcp.peers.flush(|peer, packed| {
            if peer != crate::names::PEER {
                return send(peer, packed);
            }
            names.tcp_events(packed);
            *others_at = 0;
            true
        });
        if room {
            self.tcp.room_found();
        }
    }

    /// Whether somebody but the clients of `pearwood:net/tcp` is to get something.
    pub fn has_more_to_deliver(&self) -> bool {
        self.udp.peers.waiting() + self.names.peers.waiting() > 0
    }

    pub fn deliver_udp(&mut self, send: impl FnMut(u32, &[u8]) -> bool) {
        if self.udp.peers.flush(send) {
            self.others_at = 0;
        }
    }

    pub fn deliver_names(&mut self, send: impl FnMut(u32, &[u8]) -> bool) {
        self.names.peers.flush(send);
    }

    /// When to call [`Stack::step`] next, if nothing else happens. It may be past.
    pub fn deadline(&self) -> u64 {
        let deadline = self.tcp.deadline().min(self.others_at);
        // Peers that retire are let go when they have taken their last events, which no event tells of.
        let retiring = self.tcp.peers.any_retiring() || self.udp.peers.any_retiring();
        if retiring { deadline.min(self.now.saturating_add(RETIRE_INTERVAL)) } else { deadline }
    }

    pub fn counters(&self) -> Counters {
        Counters { transmitted: self.link.sent.frames, tcp: self.tcp.counters, udp: self.udp.counters, ..self.counters }
    }

    /// Open TCP connections.
    pub fn connections(&self) -> usize {
        self.tcp.len()
    }

    /// Bytes of TCP buffers in use.
    pub fn memory(&self) -> usize {
        self.tcp.memory()
    }

    pub fn has_log(&self) -> bool {
        !self.journal.is_empty()
    }

    /// Lines for the log.
    pub fn log(&mut self) -> impl Iterator<Item = (Level, String)> + '_ {
        self.journal.take()
    }

    #[cold]
    #[inline(never)]
    fn report(&mut self, now: u64) {
        self.report_at = now + REPORT_INTERVAL;
        let (new, old) = (self.counters(), self.reported);
        if new == old {
            return;
        }
        let (tcp, of) = (new.tcp, old.tcp);
        let troubles = [
            (
                tcp.exhausted - of.exhausted,
                "connections refused: too many, or no memory (config.connections, config.buffers)",
            ),
            (
                tcp.overflowed - of.overflowed,
                "connections not taken or given up half open: more than the box that listens keeps",
            ),
            (tcp.corrupt - of.corrupt, "TCP segments with a wrong checksum"),
            (
                new.unanswered - old.unanswered + tcp.unanswered - of.unanswered,
                "questions for closed ports not answered, since there were so many",
            ),
            (new.udp.dropped - old.udp.dropped, "datagrams dropped"),
        ];
        for (count, what) in troubles {
            if count > 0 {
                self.journal.write(Level::Warn, format_args!("in the last minute {count} {what}"));
            }
        }
        self.reported = new;
    }
}
