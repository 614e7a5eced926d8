//! Frames on the node's wire that no honest machine sends, tens of thousands of them: it goes on as before. And in
//! `home.rs` those that every network at home has.
//!
//! `PEARWOOD_FRAMES` says how many there are. They are the same at each run.

#[path = "frames/home.rs"]
mod home;

use crate::ethernet::{
    STACK_CARD,
    frames::{self, Tcp},
    host, mutate,
    wire::Dice,
};
use smoltcp::wire::{IpProtocol, TcpControl};
use tests::{
    TestNode,
    client::curl,
    node::example,
    wire::{Socket, Wire},
};

const NODE4: &str = "10.0.2.15";
const NODE6: &str = "fe80::5054:ff:fe12:3456";
const STRANGER4: &str = "10.0.2.77";
const STRANGER6: &str = "fe80::ff:fe00:1";

/// QEMU's router, which the node sends its answers through.
const ROUTER4: &str = "10.0.2.2";
const ROUTER_CARD: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];

/// Frames between two looks at whether the node is well.
const VOLLEY: usize = 250;

/// Bytes by which what the node itself holds may differ afterwards.
const SLACK: u64 = 1 << 20;

#[test]
fn hostile_frames_harm_nobody() {
    let launch = example("boxes");
    let (machine, socket) = Socket::on(launch.reachable());
    let node = TestNode::start_qemu(launch, machine);
    let mut wire = Wire::connect(socket, |frame| frame.get(23) == Some(&1));
    let count: usize = std::env::var("PEARWOOD_FRAMES").map_or(20_000, |count| count.parse().expect("a number"));

    let heap = |node: &TestNode| node.status()["memory"]["heap"].as_u64().expect("a number");
    let before = heap(&node);
    let mut dice = Dice::new(1);
    let corpus = corpus();
    for volley in 0..count.div_ceil(VOLLEY) {
        for _ in 0..VOLLEY {
            wire.send(&hostile(&mut dice, &corpus));
        }
        // what strangers said of who has which address, those who have them put right, as on any network
        wire.send(&frames::arp(ROUTER4, ROUTER_CARD, NODE4));
        ping(&mut wire, &node, volley as u16);
        assert_eq!(curl(&[], &node.url("/")).status, 200, "after volley {volley}");
    }

    for name in ["net", "http", "site", "echo"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    let limit = launch.system.find("net").expect("the box net").memory;
    assert!(node.box_status("net")["memory"].as_u64().expect("a number") <= limit);
    let after = heap(&node);
    assert!(after < before + SLACK, "the node holds {after} bytes, {before} before");
    assert_eq!(curl(&[], &node.url("/echo/bytes?n=300000")).body.len(), 300_000);
    node.power_off();
}

/// Sends an echo request and waits for its answer: all frames before it have been dealt with by then.
fn ping(wire: &mut Wire, node: &TestNode, number: u16) {
    let [high, low] = number.to_be_bytes();
    wire.send(&frames::arp(STRANGER4, host::CARD, NODE4));
    wire.send(&frames::icmp4(STRANGER4, NODE4, &[8, 0, 0, 0, 0x50, 0x57, high, low]));
    wire.wait_for(node, &format!("answer to ping {number}"), |frame| {
        frame.get(34) == Some(&0) && frame.get(38..42) == Some(&[0x50, 0x57, high, low])
    });
}

fn hostile(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    match dice.below(20) {
        0..3 => mutate::random(dice, STACK_CARD),
        3..6 => mutate::options(dice, &syn(4000)),
        // a flood of connections that are never completed
        6..8 => syn(dice.next() as u16 | 1),
        8 => corpus[dice.below(corpus.len())][..dice.below(42)].to_vec(),
        9 => giant(dice, corpus),
        10 => fragment(dice),
        _ => mutate::spoil(dice, corpus),
    }
}

fn syn(port: u16) -> Vec<u8> {
    frames::tcp(&Tcp {
        from: (STRANGER4, port),
        to: (NODE4, 80),
        control: TcpControl::Syn,
        sequence: 7,
        acknowledge: None,
        payload: b"",
    })
}

/// Longer than the wire allows, with a length that is true, or is not.
fn giant(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = corpus[dice.below(corpus.len())].clone();
    frame.resize([1_515, 1_519, 2_048, 4_096, 9_018, 65_549][dice.below(6)], 0x5a);
    if dice.percent(50) && frame[12..14] == [8, 0] {
        let length = (frame.len() - 14).min(65_535) as u16;
        frame[16..18].copy_from_slice(&length.to_be_bytes());
    }
    frame
}

/// A part of a datagram whose parts overlap, go past the end or never come.
fn fragment(dice: &mut Dice) -> Vec<u8> {
    let payload = vec![0xa5; 8 * dice.below(180)];
    let mut frame = frames::ip(STRANGER4, NODE4, [IpProtocol::Udp, IpProtocol::Tcp][dice.below(2)], 64, &payload);
    let offset = dice.next() as u16 & [0x1fff, 0x00ff, 0x0003][dice.below(3)];
    let more = if dice.percent(70) { 0x2000 } else { 0 };
    let number = dice.below(8) as u16;
    frame[18..20].copy_from_slice(&number.to_be_bytes());
    frame[20..22].copy_from_slice(&(offset | more).to_be_bytes());
    let mut header = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
    header.fill_checksum();
    frame
}

/// Frames that make sense, to be spoiled.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = vec![
        frames::arp(STRANGER4, host::CARD, NODE4),
        frames::icmp4(STRANGER4, NODE4, b"\x08\0\0\0\0\x01\0\x02payload"),
        frames::icmp4(STRANGER4, NODE4, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &[0x45; 40]].concat()),
        frames::icmp4(STRANGER4, NODE4, &[&[5, 1, 0, 0, 10, 0, 2, 77][..], &[0x45; 40]].concat()),
        frames::icmp6(STRANGER6, NODE6, b"\x80\0\0\0\0\x01\0\x02payload"),
        frames::icmp6(STRANGER6, NODE6, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &[0x60; 60]].concat()),
        frames::ip(STRANGER6, NODE6, IpProtocol::HopByHop, 64, &[6, 0, 5, 2, 0, 0, 1, 0, 0, 80, 0, 80, 0, 0, 0, 0]),
        frames::ip(STRANGER6, NODE6, IpProtocol::Ipv6Frag, 64, &[17, 0, 0, 1, 0, 0, 0, 7, 0, 53, 0, 53, 0, 8, 0, 0]),
        frames::ip(STRANGER4, "224.0.0.1", IpProtocol::Igmp, 1, &[0x11, 0x64, 0xee, 0x9b, 0, 0, 0, 0]),
        frames::udp((STRANGER4, 5), (NODE4, 53), b"question"),
        frames::udp((STRANGER4, 53), (NODE4, 49_152), &[0; 64]),
        frames::udp((STRANGER4, 67), ("255.255.255.255", 68), &[2; 300]),
        frames::udp((STRANGER6, 5), (NODE6, 53), b"question"),
    ];
    for kind in 133..=137 {
        let message = [&[kind, 0, 0, 0, 64, 0, 7, 8], &[0xfe; 16][..], &[1, 1], &host::CARD].concat();
        corpus.push(frames::icmp6(STRANGER6, "ff02::1", &message));
    }
    for (control, acknowledge) in [
        (TcpControl::Syn, None),
        (TcpControl::Syn, Some(1)),
        (TcpControl::None, Some(1)),
        (TcpControl::Psh, Some(2)),
        (TcpControl::Fin, Some(3)),
        (TcpControl::Rst, None),
    ] {
        for (from, to) in [(STRANGER4, NODE4), (STRANGER6, NODE6)] {
            let payload: &[u8] = if control == TcpControl::Psh { b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" } else { b"" };
            corpus.push(frames::tcp(&Tcp {
                from: (from, 4000),
                to: (to, 80),
                control,
                sequence: 8,
                acknowledge,
                payload,
            }));
        }
    }
    corpus
}
