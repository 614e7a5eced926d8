//! One HTTP request and its 1 KiB answer after another, on one connection or several: what the stack costs.
//!
//! The remote side is a template of a frame, so that nearly all instructions are the stack's:
//!
//! ```text
//! cargo bench -p pearwood-net --bench keep_alive --no-run
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*turn*' target/release/deps/keep_alive-… 10000 1
//! ```

use pearwood_net::{Card, Settings, Stack};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;
use wit::tcp::{Command, Event};
use wit::{Batch, Peer, Records};

const CARD: [u8; 6] = [2, 0, 0, 0, 0, 1];
const STACK: [u8; 6] = [2, 0, 0, 0, 0, 2];
const REMOTE: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const LOCAL: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 10.0.0.2\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: usize = 1024 + 120;
const MILLISECOND: u64 = 1_000_000;

/// The remote side of a connection.
struct Remote {
    port: u16,
    sequence: u32,
    acknowledge: u32,
    number: u32,
}

impl Remote {
    fn segment(&self, control: TcpControl, payload: &[u8], batch: &mut Batch) {
        let tcp = TcpRepr {
            src_port: self.port,
            dst_port: 80,
            control,
            seq_number: TcpSeqNumber(self.sequence as i32),
            ack_number: (control != TcpControl::Syn).then_some(TcpSeqNumber(self.acknowledge as i32)),
            window_len: 64_000,
            window_scale: None,
            max_seg_size: (control == TcpControl::Syn).then_some(1460),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let ip = Ipv4Repr {
            src_addr: REMOTE,
            dst_addr: LOCAL,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let buffer = batch.reserve(wit::nic::Event::FRAME, 0, 14 + ip.buffer_len() + tcp.buffer_len());
        let mut frame = EthernetFrame::new_unchecked(buffer);
        frame.set_src_addr(EthernetAddress(CARD));
        frame.set_dst_addr(EthernetAddress(STACK));
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let payload = frame.payload_mut();
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut *payload), &ChecksumCapabilities::default());
        let mut packet = TcpPacket::new_unchecked(&mut payload[20..]);
        tcp.emit(&mut packet, &REMOTE.into(), &LOCAL.into(), &ChecksumCapabilities::default());
    }
}

/// Frames in, frames and events out.
#[inline(never)]
fn turn(stack: &mut Stack, now: u64, frames: &[u8], commands: &[u8], out: &mut Batch, events: &mut Batch) {
    stack.frames(now, frames);
    stack.tcp_commands(commands);
    stack.step(now);
    stack.transmit(|packed| out.append(packed));
    stack.deliver_tcp(|_, packed| {
        events.append(packed);
        true
    });
}

fn arp(batch: &mut Batch) {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(CARD),
        source_protocol_addr: REMOTE,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: LOCAL,
    };
    let buffer = batch.reserve(wit::nic::Event::FRAME, 0, 14 + arp.buffer_len());
    let mut frame = EthernetFrame::new_unchecked(buffer);
    frame.set_src_addr(EthernetAddress(CARD));
    frame.set_dst_addr(EthernetAddress::BROADCAST);
    frame.set_ethertype(EthernetProtocol::Arp);
    arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
}

/// Takes over sequence numbers from what the stack sent. `next` is counted by payload and SYN.
fn receive(out: &Batch, remotes: &mut [Remote]) -> usize {
    let mut payload = 0;
    for record in out.records() {
        let frame = record.unwrap().bytes;
        if frame[12..14] != [8, 0] || frame[23] != 6 {
            continue;
        }
        let port = u16::from_be_bytes([frame[36], frame[37]]);
        let sequence = u32::from_be_bytes(frame[38..42].try_into().unwrap());
        let data = frame.len() - 34 - usize::from(frame[46] >> 4) * 4;
        let syn = usize::from(frame[47] >> 1 & 1);
        let remote = remotes.iter_mut().find(|remote| remote.port == port).unwrap();
        remote.acknowledge = sequence.wrapping_add((data + syn) as u32);
        payload += data;
    }
    payload
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u16>().ok());
    let rounds = arguments.next().unwrap_or(10_000);
    let count = arguments.next().unwrap_or(1);
    let settings = Settings::read([("address", "10.0.0.2/24"), ("address6", "fd00::2/64")]).unwrap();
    let mut now = MILLISECOND;
    let mut stack = Stack::new(&settings, Card { address: STACK, mtu: 1500 }, [7; 32], now);
    let [mut frames, mut commands, mut out, mut events] = [const { Batch::new() }; 4];
    Peer::Attach(0, b"").encode(&mut commands);
    Peer::Is(0).encode(&mut commands);
    Command::Listen { port: 80, backlog: 256 }.encode(&mut commands);
    arp(&mut frames);
    turn(&mut stack, now, frames.as_bytes(), commands.as_bytes(), &mut out, &mut events);
    let connect = |n| Remote { port: 1000 + n, sequence: 1, acknowledge: 0, number: 0 };
    let mut remotes: Vec<Remote> = (0..count).map(connect).collect();
    for control in [TcpControl::Syn, TcpControl::None] {
        [&mut frames, &mut commands, &mut out].into_iter().for_each(Batch::clear);
        for remote in &mut remotes {
            remote.segment(control, &[], &mut frames);
            remote.sequence += u32::from(control == TcpControl::Syn);
        }
        turn(&mut stack, now, frames.as_bytes(), commands.as_bytes(), &mut out, &mut events);
        receive(&out, &mut remotes);
    }
    for record in events.records() {
        if let Ok(Event::Accepted { connection, remote, .. }) = Event::decode(&record.unwrap()) {
            remotes.iter_mut().find(|r| r.port == remote.port).unwrap().number = connection;
        }
    }
    let answer = [b'x'; ANSWER];
    let mut bytes = 0;
    for _ in 0..rounds {
        [&mut frames, &mut commands, &mut out, &mut events].into_iter().for_each(Batch::clear);
        for remote in &mut remotes {
            remote.segment(TcpControl::Psh, REQUEST, &mut frames);
            remote.sequence = remote.sequence.wrapping_add(REQUEST.len() as u32);
        }
        turn(&mut stack, now, frames.as_bytes(), &[], &mut out, &mut events);
        now += MILLISECOND / 20;
        Peer::Is(0).encode(&mut commands);
        let mut part = 0;
        for record in Records::new(events.as_bytes()) {
            if let Ok(Event::Data { connection, data }) = Event::decode(&record.unwrap()) {
                Command::Credit { connection, bytes: data.len() as u32 }.encode(&mut commands);
                // A request may come in two parts.
                part += data.len();
                if part == REQUEST.len() {
                    Command::Send { connection, data: &answer }.encode(&mut commands);
                    part = 0;
                }
            }
        }
        out.clear();
        turn(&mut stack, now, &[], commands.as_bytes(), &mut out, &mut events);
        bytes += receive(&out, &mut remotes);
        now += MILLISECOND / 20;
    }
    let requests = usize::from(rounds) * usize::from(count);
    assert_eq!(bytes, requests * ANSWER, "answers are missing");
    println!("{requests} requests, {bytes} bytes of answers, {:?}", stack.counters());
}
