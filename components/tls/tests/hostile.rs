//! What no honest client sends.

mod common;

use common::hello::{self, Seeded};
use common::{Client, SECOND, World, client_config, keys};
use rustls::version::{TLS12, TLS13};
use wit::tcp::{Command, Event};
use wit::{Peer, Records};

/// What the box answers to bytes, and whether it finishes the connection.
fn say(world: &mut World, number: u32, bytes: &[u8]) -> (Vec<u8>, bool) {
    world.accept(number);
    for part in bytes.chunks(60_000) {
        world.net_says(&Event::Data { connection: number, data: part });
    }
    world.turn();
    let answer = world.sent(number);
    let told = world.sides.told.get(&number);
    (answer, told.is_some_and(|told| told.finished || told.aborted))
}

#[test]
fn what_is_no_tls_gets_an_alert() {
    let mut world = World::new(&[]);
    for (number, bytes) in (0..).zip([
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        // SSL 2
        &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10],
        // a record that is too long
        &[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0],
        // of no kind, of no version
        &[99, 3, 1, 0, 1, 0],
        &[22, 9, 9, 0, 1, 0],
        // empty
        &[22, 3, 1, 0, 0],
        // data before the handshake, an unencrypted alert
        &[23, 3, 3, 0, 3, 1, 2, 3],
        &[21, 3, 3, 0, 2, 2, 40],
        &[0xff; 1_000],
    ]) {
        let (answer, is_over) = say(&mut world, number, bytes);
        assert!(is_over, "{bytes:02x?}");
        assert!(answer.is_empty() || answer[0] == 21, "{answer:02x?} to {bytes:02x?}");
    }
    assert!(world.sides.accepted.is_empty());
    assert!(world.sides.log.iter().any(|line| line.contains("no handshake with 192.0.2.1")), "{:?}", world.sides.log);
    assert_eq!(world.sides.log.len(), 1, "the log is not theirs to fill");
}

#[test]
fn one_who_says_nothing_is_let_go() {
    let mut world = World::new(&[("handshake-timeout", "10 s")]);
    let config = client_config(&world, &["localhost"], &[&TLS13]);
    let mut client = Client::new(&mut world, 1, &config, "localhost");
    world.accept(2);
    world.accept(3);
    world.net_says(&Event::Data { connection: 3, data: &[22, 3, 1, 2, 0, 1] });
    client.go(&mut world);
    world.now += 9 * SECOND;
    world.turn();
    assert!(!world.sides.told.get(&2).is_some_and(|told| told.aborted));
    world.now += 2 * SECOND;
    world.turn();
    assert!(world.sides.told[&2].aborted && world.sides.told[&3].aborted);
    assert!(!world.sides.told[&1].aborted, "the one whose handshake is over is the listener's");
}

#[test]
fn a_message_without_end_is_not_waited_for() {
    let mut world = World::new(&[]);
    world.accept(1);
    // a `ClientHello` of 16 MiB, in records of 16 KiB
    let mut sent = 0;
    for piece in 0..64 {
        let mut record = vec![22, 3, 1, 0x40, 0];
        record.extend_from_slice(&[0; 0x4000]);
        if piece == 0 {
            record[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
        }
        let told = world.sides.told.get(&1);
        if told.is_some_and(|told| told.finished || told.aborted) {
            break;
        }
        let credit = 65_536 + told.map_or(0, |told| told.credit as usize);
        if sent + record.len() > credit {
            break;
        }
        sent += record.len();
        world.net_says(&Event::Data { connection: 1, data: &record });
        world.turn();
    }
    world.now += 11 * SECOND;
    world.turn();
    let told = &world.sides.told[&1];
    assert!((told.finished || told.aborted) && sent <= 65_536 + (16 << 10), "{sent} bytes");
}

/// Each client has half of all places at most, and others get in.
#[test]
fn many_connections_leave_room_for_others() {
    let mut world = World::new(&[("connections", "64"), ("client-connections", "40")]);
    let config = client_config(&world, &["localhost"], &[&TLS13]);
    let mut first = Client::new(&mut world, 1_000, &config, "localhost");
    first.go(&mut world);
    for number in 0..500 {
        world.accept_from(number, "2001:db8::1".parse().unwrap());
        world.turn();
    }
    let aborted = world.sides.told.values().filter(|told| told.aborted).count();
    assert_eq!(aborted, 500 - 40);
    for number in 2_000..2_300_u32 {
        world.accept_from(number, format!("2001:db8:{:x}::1", number).parse().unwrap());
        world.turn();
    }
    first.write(b"still here");
    first.go(&mut world);
    assert_eq!(world.last().data, b"still here");
    let mut late = Client::new(&mut world, 5_000, &config, "localhost");
    late.go(&mut world);
    late.write(b"also here");
    late.go(&mut world);
    assert_eq!(world.last().data, b"also here");
}

/// A handshake costs as much as hundreds of requests: those go on in between.
#[test]
fn handshakes_take_turns_with_what_is_open() {
    let mut world = World::new(&[]);
    let config = client_config(&world, &["localhost"], &[&TLS13]);
    let mut open = Client::new(&mut world, 1, &config, "localhost");
    open.go(&mut world);
    let mut hello = Vec::new();
    let name = "localhost".try_into().unwrap();
    rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
    for number in 10..110 {
        world.accept(number);
        world.net_says(&Event::Data { connection: number, data: &hello });
    }
    open.write(b"a request");
    let mut bytes = Vec::new();
    open.tls.write_tls(&mut bytes).unwrap();
    world.net_says(&Event::Data { connection: 1, data: &bytes });
    let batch = core::mem::take(world.net_batch());
    let wake = pearwood_tls::Wake { now: world.now, net: batch.as_bytes(), ..Default::default() };
    world.tls.turn(wake, &mut world.sides);
    assert_eq!(world.last().data, b"a request");
    let answered = world.sides.told.values().filter(|told| !told.data.is_empty()).count();
    assert!(answered < 10, "{answered} handshakes in one turn");
    assert_eq!(world.tls.deadline(), 0, "there is more to do");
    world.turn();
    assert_eq!((10..110).filter(|number| !world.sent(*number).is_empty()).count(), 100);
}

#[test]
fn a_box_that_takes_nothing_is_told_of_no_more_connections_than_it_can_be() {
    let mut world = World::with(&[], 4 << 20, keys(&[]));
    world.sides.is_deaf = true;
    let config = client_config(&world, &["localhost"], &[&TLS13]);
    for number in 0..200 {
        let mut client = Client::new(&mut world, number, &config, "localhost");
        client.go(&mut world);
        client.write(&[1; 20_000]);
        client.go(&mut world);
    }
    assert!(world.sides.accepted.is_empty());
    world.sides.is_deaf = false;
    world.turn_with(true);
    assert!(!world.sides.accepted.is_empty());
}

/// Where the records of some bytes begin, as far as they are records.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some([_, _, _, high, low, ..]) = bytes.get(starts[starts.len() - 1]..) {
        let next = starts[starts.len() - 1] + 5 + usize::from(u16::from_be_bytes([*high, *low]));
        if next >= bytes.len() {
            break;
        }
        starts.push(next);
    }
    starts
}

/// Changes bytes as somebody would who knows what records are.
fn mutate(bytes: &mut Vec<u8>, random: &mut Seeded) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let starts = records(bytes);
        let start = starts[random.below(starts.len())];
        let at = random.below(bytes.len());
        match random.below(10) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            // a record's kind, version, length
            3 => bytes[start] = [20, 21, 22, 23, 24, 0][random.below(6)],
            4 if start + 5 <= bytes.len() => bytes[start + 3 + random.below(2)] = random.next() as u8,
            5 if start + 9 < bytes.len() => bytes[start + 5 + random.below(4)] = random.next() as u8,
            // twice, or not at all
            6 => {
                let copy = bytes[start..].to_vec();
                bytes.splice(start..start, copy);
            }
            7 => drop(bytes.drain(start..at.max(start))),
            // a record in between
            8 => {
                let kind = [20, 21, 22, 23][random.below(4)];
                let body: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
                let record = [&[kind, 3, 3, 0, body.len() as u8][..], &body].concat();
                bytes.splice(start..start, record);
            }
            _ => {
                let end = (at + random.below(8)).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
        }
        bytes.truncate(60_000);
    }
}

/// The handshakes of both versions, and requests after them, changed in 10,000 ways: the box stays up, and whoever is honest is served.
#[test]
fn ten_thousand_changed_handshakes() {
    let mut world = World::new(&[]);
    let mut random = Seeded(10);
    let configs = [[&TLS13], [&TLS12]].map(|versions| client_config(&world, &["localhost"], &versions));
    let mut number = 0;
    let mut went_through = 0;
    for round in 0..10_000 {
        number += 1;
        let config = &configs[round % 2];
        let mut client = Client::new(&mut world, number, config, "localhost");
        // which of the client's flights is changed
        let changed = random.below(3);
        for flight in 0..4 {
            if flight > 0 && !client.tls.is_handshaking() {
                client.write(b"GET / HTTP/1.1\r\n\r\n");
            }
            let mut bytes = Vec::new();
            while client.tls.wants_write() {
                client.tls.write_tls(&mut bytes).unwrap();
            }
            if flight == changed {
                mutate(&mut bytes, &mut random);
            }
            let cut = random.below(bytes.len() + 1);
            for part in [&bytes[..cut], &bytes[cut..]] {
                world.net_says(&Event::Data { connection: number, data: part });
                if random.below(2) == 0 {
                    world.turn();
                }
            }
            world.turn();
            let received = world.sent(number);
            let mut received = &received[..];
            let read = client.tls.read_tls(&mut received);
            if read.is_err() || client.tls.process_new_packets().is_err() {
                break;
            }
        }
        went_through += usize::from(!client.tls.is_handshaking());
        match random.below(3) {
            0 => world.net_says(&Event::Finished { connection: number }),
            1 => world.net_says(&Event::Closed { connection: number, why: "reset" }),
            _ => world.now += SECOND / 10,
        }
        world.turn();
        if round % 1_000 == 999 {
            let mut honest = Client::new(&mut world, 1_000_000 + number, config, "localhost");
            honest.go(&mut world);
            honest.write(b"hello");
            honest.go(&mut world);
            assert_eq!((honest.error.clone(), world.last().data.as_slice()), (None, &b"hello"[..]), "round {round}");
            world.sides.heard.retain(|_, heard| heard.closed.is_none());
        }
    }
    assert!((100..10_000).contains(&went_through), "{went_through}");
    // nothing is kept of those who are gone
    for listener in world.sides.accepted.clone() {
        world.client_says(&Command::Abort { connection: listener });
    }
    world.now += 20 * SECOND;
    world.turn();
    Peer::Retire(0).encode(world.net_batch());
    world.turn();
    world.now += SECOND;
    world.turn();
    assert_eq!(world.sides.releases, [pearwood_tls::To::Net(0)]);
}

/// Connections by somebody who knows what records and handshakes are, with 100,000 records: the box stays up, holds nothing of those who are
/// gone, and whoever is honest is served. `TLS_HELLOS=1000000` tries so many connections.
#[test]
fn a_hundred_thousand_hostile_records() {
    let count = std::env::var("TLS_HELLOS").ok().and_then(|count| count.parse().ok()).unwrap_or(30_000_u32);
    let mut world = World::new(&[]);
    let mut random = Seeded(12);
    let config = client_config(&world, &["localhost"], &[&TLS13, &TLS12]);
    let (mut answered, mut sent) = (0, 0);
    for number in 1..=count {
        let bytes = hello::connection(&mut random);
        sent += records(&bytes).len();
        world.accept(number);
        let cut = if random.below(4) == 0 { random.below(bytes.len() + 1) } else { bytes.len() };
        for part in [&bytes[..cut], &bytes[cut..]].into_iter().filter(|part| !part.is_empty()) {
            world.net_says(&Event::Data { connection: number, data: part });
            world.turn();
        }
        // a `ServerHello`, and not an alert
        answered += u32::from(world.sent(number).first() == Some(&22));
        match random.below(3) {
            0 => world.net_says(&Event::Finished { connection: number }),
            1 => world.net_says(&Event::Closed { connection: number, why: "reset" }),
            _ => world.now += SECOND / 2,
        }
        world.turn();
        world.sides.told.remove(&number);
        if number % 10_000 == 0 {
            let mut honest = Client::new(&mut world, u32::MAX - number, &config, "localhost");
            honest.go(&mut world);
            honest.write(b"hello");
            honest.go(&mut world);
            assert_eq!((honest.error.clone(), world.last().data.as_slice()), (None, &b"hello"[..]), "{number}");
            let connection = world.last_number();
            world.client_says(&Command::Abort { connection });
            world.turn();
        }
    }
    // they come far enough to be of interest, and none comes through
    assert!((count / 20..count).contains(&answered), "{answered} of {count} were answered");
    assert!(count < 30_000 || sent >= 100_000, "{sent} records");
    assert_eq!(world.sides.accepted.len() as u32, count / 10_000);
    world.now += 20 * SECOND;
    world.turn();
    Peer::Retire(0).encode(world.net_batch());
    world.turn();
    world.now += SECOND;
    world.turn();
    assert_eq!(world.sides.releases, [pearwood_tls::To::Net(0)]);
}

/// The records of the arrows themselves, changed: no panic, whatever a peer says.
#[test]
fn changed_batches() {
    let mut random = Seeded(11);
    let mut world = World::new(&[]);
    for round in 0..10_000_u32 {
        let mut batch = wit::Batch::new();
        for _ in 0..=random.below(6) {
            Peer::Is(random.below(2) as u32).encode(&mut batch);
            let kind = 1 + random.below(10) as u8;
            let body: Vec<u8> = (0..random.below(48)).map(|_| random.next() as u8).collect();
            let id = [0, 7, 443, round, world.sides.accepted.last().copied().unwrap_or(9)][random.below(5)];
            batch.push(kind, id, &body);
        }
        let mut bytes = batch.into_bytes();
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        let _ = Records::new(&bytes).count();
        let other = if random.below(2) == 0 { &bytes[..] } else { &[] };
        let wake = pearwood_tls::Wake {
            now: world.now,
            net: &bytes,
            names: &bytes,
            clients: other,
            room: random.below(8) == 0,
        };
        world.now += SECOND / 100;
        world.tls.turn(wake, &mut Nobody);
    }
}

/// Takes anything.
struct Nobody;

impl pearwood_tls::Outside for Nobody {
    fn send(&mut self, _: pearwood_tls::To, _: &[u8]) -> bool {
        true
    }

    fn log(&mut self, _: pearwood_tls::Level, _: &str) {}
}
