//! Whatever is sent, nobody gets in without a key, nothing is done, and memory stays bounded.

mod common;

use common::{DEPLOY, Joined, Random, SECOND, VIEW, World};
use pearwood_control::message::{Request, Response};

const MESSAGES: usize = 100_000;

/// The most bytes that may be held: what the box promises, and the slack of one answer.
const MOST: usize = 9 << 20;

/// What has been sent by an honest client, changed: cut, flipped, doubled, or nothing of it.
fn mutate(random: &mut Random, honest: &[u8]) -> Vec<u8> {
    let mut bytes = honest.to_vec();
    match random.below(6) {
        0 => {
            let length = random.below(300);
            bytes = random.bytes(length);
        }
        1 => bytes.truncate(random.below(honest.len())),
        2 => {
            let (at, bit) = (random.below(bytes.len()), random.below(8));
            bytes[at] ^= 1 << bit;
        }
        3 => bytes.extend_from_slice(honest),
        4 => {
            let at = random.below(bytes.len());
            bytes.remove(at);
        }
        _ => {
            let length = random.below(200);
            let random_bytes = random.bytes(length);
            bytes = (length as u16).to_be_bytes().to_vec();
            bytes.extend(random_bytes);
        }
    }
    bytes
}

#[test]
fn no_garbage_gets_in() {
    let mut world = World::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut sent = 0;
    while sent < MESSAGES {
        // time passes, so that failures are forgiven
        world.pass(7 * SECOND);
        let address = random.below(200) as u8;
        let depth = random.below(64);
        if depth == 0 {
            // as far as the proof of a key
            let mut joined = Joined::shake(&mut world, address);
            joined.client.prove([3; 32], |_| [7; 64]).unwrap();
            let honest = joined.client.take_output();
            let changed = mutate(&mut random, &honest);
            world.bytes(joined.connection, &changed);
            sent += 1;
        } else {
            let connection = world.accept(address);
            let honest = pearwood_control::Client::new([address; 32]).unwrap().take_output();
            for _ in 0..8 {
                let changed = mutate(&mut random, &honest);
                if changed == honest {
                    continue;
                }
                world.bytes(connection, &changed);
                sent += 1;
            }
        }
        assert!(world.control.held() < MOST);
        assert!(!world.node.said.iter().any(|line| line.contains(" may ")), "{:?}", world.node.said);
        world.node.said.clear();
        world.node.closed.clear();
    }
    assert_eq!(world.node.done, Vec::<String>::new());
    Joined::enter(&mut world, DEPLOY);
}

#[test]
fn garbage_of_those_who_are_in_does_nothing() {
    let mut world = World::new();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut next = VIEW;
    for _ in 0..2_000 {
        next = if next == VIEW { DEPLOY } else { VIEW };
        let mut joined = Joined::enter(&mut world, next);
        joined.client.request(&Request::Restart { name: "http" }).unwrap();
        let honest = joined.client.take_output();
        let mut changed = mutate(&mut random, &honest);
        // honest requests are obeyed
        if changed.starts_with(&honest) {
            changed[5] ^= 1;
        }
        world.bytes(joined.connection, &changed);
        assert_eq!(world.node.done, Vec::<String>::new());
        world.closed_by_client(joined.connection);
        world.pass(7 * SECOND);
        world.node.said.clear();
    }
    assert_eq!(world.control.connections(), 0);
    let mut anna = Joined::enter(&mut world, DEPLOY);
    assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
}

#[test]
fn batches_of_the_node_are_never_trusted_to_make_sense() {
    let mut random = Random(77);
    let mut world = World::new();
    for _ in 0..20_000 {
        let length = random.below(60);
        let kind = 1 + random.below(9) as u8;
        let id = random.below(4) as u32;
        let mut batch = wit::Batch::new();
        wit::Peer::Is(random.below(2) as u32).encode(&mut batch);
        let bytes = random.bytes(length);
        match random.below(2) {
            0 => batch.push(kind, id, &bytes),
            _ => batch.push_list(kind, id, &bytes),
        }
        let (tcp, node) = if random.below(2) == 0 { (batch.as_bytes(), &[][..]) } else { (&[][..], batch.as_bytes()) };
        let wake =
            pearwood_control::Wake { now: world.now, tcp, node, room: random.below(4) == 0, ..Default::default() };
        world.control.turn(wake, &mut world.node);
        world.now += random.next() % SECOND;
    }
    assert!(world.control.held() < MOST);
}
