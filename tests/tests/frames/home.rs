//! N1 to N8: what a router at home, its network and those who live there do to a node, one after the other on one node.

use super::{NODE4, NODE6, STRANGER6};
use crate::ethernet::{
    frames::{self, Seen, Tcp},
    host::CARD,
};
use pearwood::Launch;
use smoltcp::wire::{IpProtocol, Ipv6Address, TcpControl};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tests::{
    TestNode,
    managed::{Managed, People},
    wire::{Socket, Wire},
};

const ROUTER4: &str = "10.0.2.2";
const ROUTER6: &str = "fe80::2";
/// The port of the box `control`.
const MANAGEMENT: u16 = 7327;
const LARGE: usize = 60_000;

/// A node, and a wire on which all that goes to this card is here.
struct Home<'a> {
    managed: Managed<'a>,
    wire: Wire,
}

/// One end of a connection whose every segment is made here.
struct Remote {
    address: &'static str,
    port: u16,
    sequence: u32,
    next: u32,
}

#[test]
fn a_network_behind_any_homes_router() {
    let people = People::new();
    people.write("public/large.txt", &"pear ".repeat(LARGE / 5));
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(people.path()).expect("a system")));
    let (machine, socket) = Socket::through(launch.reachable());
    let connect = || Wire::connect(socket, |frame| frame.starts_with(&CARD));
    let (node, wire) = TestNode::start_wired(launch, machine, connect);
    let line = node.wait_for(0, "the node's key is ");
    let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key").into();
    node.wait_for(0, "listening on port 7327");
    let address = format!("127.0.0.1:{}", node.node.port(MANAGEMENT));
    let mut home = Home { managed: Managed { people: &people, node, address, key }, wire };
    home.managed.accept("anna");
    home.first_echo_requests();
    home.sequence_numbers();
    home.old_acknowledgements_and_forged_resets();
    home.routers_that_say("10.0.2.77");
    home.routers_that_say(STRANGER6);
    home.networks_that_lose_large_packets();
    home.floods();
    home.advertised_mtu();
    home.complaints();
    home.addresses_of_others();
    for name in ["net", "http", "control"] {
        assert_eq!(home.managed.node.box_status(name)["restarts"], 0, "{name}");
    }
    home.managed.node.power_off();
}

impl Home<'_> {
    fn wait_for<T>(&mut self, what: &str, fits: impl Fn(&[u8]) -> Option<T>) -> T {
        let frame = self.wire.wait_for(&self.managed.node, what, |frame| fits(frame).is_some());
        fits(&frame).expect("it was looked at")
    }

    /// The next segment to a remote side that fits, and its frame.
    fn heard(&mut self, remote: &Remote, what: &str, fits: impl Fn(&Seen) -> bool) -> (Seen, Vec<u8>) {
        let port = remote.port;
        self.wait_for(what, |frame| {
            let seen = frames::read_tcp(frame).filter(|seen| seen.ports.1 == port && fits(seen))?;
            Some((seen, frame.to_vec()))
        })
    }

    /// A segment so many bytes beyond the next of each side.
    fn say(&mut self, remote: &Remote, control: TcpControl, ahead: i32, acknowledge: Option<i32>, payload: &[u8]) {
        self.wire.send(&frames::tcp(&Tcp {
            from: (remote.address, remote.port),
            to: (node(remote.address), 80),
            control,
            sequence: remote.sequence.wrapping_add_signed(ahead),
            acknowledge: acknowledge.map(|ahead| remote.next.wrapping_add_signed(ahead)),
            payload,
        }));
    }

    fn introduce(&mut self, address: &str) {
        self.wire.send(&match address.contains(':') {
            false => frames::arp(address, CARD, NODE4),
            true => {
                let target = NODE6.parse::<Ipv6Address>().expect("an address").octets();
                let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target, &[1, 1], &CARD].concat();
                frames::icmp6(address, "ff02::1:ff12:3456", &message)
            }
        });
    }

    /// A SYN from there, and what answers it.
    fn synchronize(&mut self, address: &'static str, port: u16) -> (Remote, Seen) {
        let mut remote = Remote { address, port, sequence: 7_000, next: 0 };
        self.introduce(address);
        self.say(&remote, TcpControl::Syn, 0, None, b"");
        let (seen, _) = self.heard(&remote, "answer to a SYN", |seen| seen.control == TcpControl::Syn);
        remote.sequence += 1;
        assert_eq!(seen.acknowledge, Some(remote.sequence));
        remote.next = seen.sequence.wrapping_add(1);
        (remote, seen)
    }

    fn open(&mut self, address: &'static str, port: u16) -> Remote {
        let (remote, _) = self.synchronize(address, port);
        self.say(&remote, TcpControl::None, 0, Some(0), b"");
        remote
    }

    fn get(&mut self, remote: &mut Remote, path: &str, acknowledge: i32) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.say(remote, TcpControl::Psh, 0, Some(acknowledge), request.as_bytes());
        remote.sequence = remote.sequence.wrapping_add(request.len() as u32);
    }

    /// Takes frames of at most that many bytes until there is the whole large file. Their lengths.
    fn take_large(&mut self, remote: &mut Remote, most: usize) -> Vec<usize> {
        let (first, mut kept, mut lengths) = (remote.next, BTreeMap::new(), Vec::new());
        let mut got = Vec::new();
        loop {
            let (seen, frame) = self.heard(remote, "more of the file", |seen| seen.payload > 0);
            if frame.len() > most {
                continue;
            }
            lengths.push(frame.len());
            let offset = seen.sequence.wrapping_sub(first) as usize;
            kept.insert(offset, frame[frame.len() - seen.payload..].to_vec());
            while let Some((&offset, _)) = kept.first_key_value().filter(|(offset, _)| **offset <= got.len()) {
                let data = kept.remove(&offset).expect("it is there");
                got.extend_from_slice(data.get(got.len() - offset..).unwrap_or_default());
            }
            remote.next = first.wrapping_add(got.len() as u32);
            self.say(remote, TcpControl::None, 0, Some(0), b"");
            if got.windows(4).position(|four| four == b"\r\n\r\n").is_some_and(|head| got.len() - head - 4 == LARGE) {
                assert!(got.ends_with("pear ".repeat(LARGE / 5).as_bytes()));
                return lengths;
            }
        }
    }

    /// N6: from machines that the node has never heard of.
    fn first_echo_requests(&mut self) {
        for n in 0..10 {
            for (from, to) in [(format!("10.0.2.{}", 100 + n), NODE4), (format!("fe80::{}", 100 + n), NODE6)] {
                let message = [if to == NODE4 { 8 } else { 128 }, 0, 0, 0, 0x50, 0x57, 0, n];
                let echo = if to == NODE4 { frames::icmp4 } else { frames::icmp6 };
                self.wire.send(&echo(&from, to, &message));
                let reply = if to == NODE4 { (34, 0) } else { (54, 129) };
                self.wait_for(&format!("answer to the first echo request of {from}"), |frame| {
                    let id = frame.get(reply.0 + 4..reply.0 + 8);
                    (frame[reply.0] == reply.1 && id == Some(&[0x50, 0x57, 0, n])).then_some(())
                });
            }
        }
    }

    /// N7: of one flow they follow a clock, and say nothing of another's.
    fn sequence_numbers(&mut self) {
        let mut numbers = |port| {
            let (remote, seen) = self.synchronize("10.0.2.77", port);
            self.say(&remote, TcpControl::Rst, 0, None, b"");
            seen.sequence
        };
        let first: Vec<u32> = (0..8).map(|n| numbers(30_000 + n)).collect();
        let second: Vec<u32> = (0..8).map(|n| numbers(30_000 + n)).collect();
        // In ticks of 4 microseconds this is an hour.
        const SMALL: u32 = 1 << 30;
        assert!(first.iter().zip(&second).all(|(a, b)| b.wrapping_sub(*a) < SMALL), "{first:?} {second:?}");
        assert!(!first.windows(2).all(|two| two[1].wrapping_sub(two[0]) < SMALL), "{first:?}");
    }

    /// N5
    fn old_acknowledgements_and_forged_resets(&mut self) {
        let mut remote = self.open("10.0.2.77", 31_000);
        self.get(&mut remote, "/", 0);
        let (seen, _) = self.heard(&remote, "an answer", |seen| seen.payload > 0);
        let answer = seen.payload as i32;
        remote.next = seen.sequence.wrapping_add(seen.payload as u32);
        self.say(&remote, TcpControl::None, 0, Some(0), b"");
        // It was on its way when the answer came.
        self.get(&mut remote, "/", -answer);
        let (seen, _) = self.heard(&remote, "an answer to what overtook an acknowledgement", |seen| seen.payload > 0);
        assert_eq!(seen.sequence, remote.next);
        remote.next = seen.sequence.wrapping_add(seen.payload as u32);
        self.say(&remote, TcpControl::None, 0, Some(0), b"");
        // Who does not know the sequence number only guesses.
        self.say(&remote, TcpControl::Rst, 100, None, b"");
        let is_challenge = |seen: &Seen| seen.payload == 0 && seen.control == TcpControl::None;
        let (seen, _) = self.heard(&remote, "a challenge", is_challenge);
        assert_eq!((seen.sequence, seen.acknowledge), (remote.next, Some(remote.sequence)));
        self.get(&mut remote, "/", 0);
        self.heard(&remote, "an answer after a forged reset", |seen| seen.payload > 0);
        self.say(&remote, TcpControl::Rst, 0, None, b"");
    }

    /// N1 and N2
    fn routers_that_say(&mut self, address: &'static str) {
        let mut remote = self.open(address, 32_000);
        self.get(&mut remote, "/large.txt", 0);
        let (_, frame) = self.heard(&remote, "the file", |seen| seen.payload > 1_000);
        assert_eq!(frame.len(), 1514, "{address}");
        let packet = &frame[14..];
        self.wire.send(&match address.contains(':') {
            false => frames::icmp4(ROUTER4, NODE4, &[&[3, 4, 0, 0, 0, 0, 5, 200][..], &packet[..28]].concat()),
            true => frames::icmp6(ROUTER6, NODE6, &[&[2, 0, 0, 0, 0, 0, 5, 200][..], &packet[..1232]].concat()),
        });
        let lengths = self.take_large(&mut remote, 14 + 1480);
        assert!(lengths.contains(&(14 + 1480)), "{address}: {lengths:?}");
        self.say(&remote, TcpControl::Rst, 0, None, b"");
        // What is opened later knows it.
        let mut remote = self.open(address, 32_001);
        self.get(&mut remote, "/large.txt", 0);
        let (_, frame) = self.heard(&remote, "the file", |seen| seen.payload > 1_000);
        assert_eq!(frame.len(), 14 + 1480, "{address}");
        self.say(&remote, TcpControl::Rst, 0, None, b"");
    }

    /// N4
    fn networks_that_lose_large_packets(&mut self) {
        let mut remote = self.open("10.0.2.78", 33_000);
        self.get(&mut remote, "/large.txt", 0);
        let lengths = self.take_large(&mut remote, 14 + 1480);
        assert!(!lengths.is_empty());
        self.say(&remote, TcpControl::Rst, 0, None, b"");
    }

    /// N8: the management port first.
    fn floods(&mut self) {
        for port in [MANAGEMENT, 80] {
            let Home { managed, wire } = self;
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| flood(wire, port, &over));
                // also when a client gives up
                let _over = Over(&over);
                for _ in 0..5 {
                    managed.obeyed("anna", &["ps"]);
                    assert!(managed.title().contains("one"));
                }
            });
        }
    }

    /// N3
    fn advertised_mtu(&mut self) {
        let (remote, seen) = self.synchronize(STRANGER6, 34_000);
        assert_eq!(seen.size, Some(1440));
        self.say(&remote, TcpControl::Rst, 0, None, b"");
        // From one that is no default router.
        let mut message = vec![134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&[5, 1, 0, 0, 0, 0, 5, 200]);
        self.wire.send(&frames::icmp6(ROUTER6, "ff02::1", &message));
        for (address, size) in [(STRANGER6, 1420), ("10.0.2.77", 1440)] {
            let (remote, seen) = self.synchronize(address, 34_001);
            assert_eq!(seen.size, Some(size), "{address}");
            self.say(&remote, TcpControl::Rst, 0, None, b"");
        }
    }
}

impl Home<'_> {
    /// RFC 4443 section 2.4 (e) and RFC 7112 section 5: about what was sent to many there is no error, about a first fragment
    /// with half of its headers there is.
    fn complaints(&mut self) {
        self.introduce(STRANGER6);
        self.wire.send(&frames::ip(STRANGER6, "ff02::1", IpProtocol::Unknown(253), 64, b"whatever"));
        let fragment = [&[6, 0, 0, 1, 0, 0, 0, 7][..], &[0; 16]].concat();
        self.wire.send(&frames::ip(STRANGER6, NODE6, IpProtocol::Ipv6Frag, 64, &fragment));
        let code = self.wait_for("an ICMPv6 error", |frame| {
            let is_error =
                frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame.get(54).is_some_and(|kind| *kind < 128);
            is_error.then(|| [frame[54], frame[55]])
        });
        assert_eq!(code, [4, 3]);
    }

    /// N6: RFC 5227 sections 2.1 and 2.4, RFC 2131 section 4.4.4. It is the last: the node changes its address, if to the same.
    fn addresses_of_others(&mut self) {
        let claim = |from: &str| frames::arp(from, CARD, NODE4);
        self.wire.send(&claim("0.0.0.0"));
        self.wait_for("answer to who asks whether anybody has the address", |frame| {
            (frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == [10, 0, 2, 15]).then_some(())
        });
        let node = &self.managed.node;
        let position = node.node.console().position();
        self.wire.send(&claim(NODE4));
        let card = "with the card 02-00-00-00-00-01";
        node.wait_for(position, &format!("another machine, {card}, uses the address {NODE4} of this one as well"));
        self.wire.send(&claim(NODE4));
        node.wait_for(position, &format!("the address {NODE4} is in use by another machine, {card}: not used here"));
        // QEMU's server has no other.
        node.wait_for(position, "address 10.0.2.15/24 by DHCP");
        assert!(self.managed.title().contains("one"));
    }
}

/// 800 SYNs a second from as many addresses.
fn flood(wire: &mut Wire, port: u16, over: &AtomicBool) {
    const A_SECOND: f64 = 800.0;
    let begun = Instant::now();
    let mut sent = 0u32;
    while !over.load(Relaxed) {
        while f64::from(sent) < begun.elapsed().as_secs_f64() * A_SECOND {
            sent += 1;
            let from = format!("172.16.{}.{}", sent / 250 % 250, 2 + sent % 250);
            wire.send(&frames::tcp(&Tcp {
                from: (&from, 5_000),
                to: (NODE4, port),
                control: TcpControl::Syn,
                sequence: sent.wrapping_mul(77_777),
                acknowledge: None,
                payload: b"",
            }));
        }
        wire.next(Duration::from_millis(2));
    }
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The node's address of that kind.
fn node(address: &str) -> &'static str {
    if address.contains(':') { NODE6 } else { NODE4 }
}
