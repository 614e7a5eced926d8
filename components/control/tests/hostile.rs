//! What was heard of good sessions, said again, cut, changed and mixed; commands beyond a role; and crowds.

mod common;

use common::{DEPLOY, Joined, OPERATE, Random, SECOND, VIEW, World};
use manage::{Role, Settings};
use pearwood_control::message::{Request, Response};

/// What is said, in all.
const MESSAGES: usize = 100_000;

/// The most bytes that may be held: what the box promises, and the slack of one answer.
const MOST: usize = 9 << 20;

/// One of each.
fn all() -> Vec<Request<'static>> {
    let all = vec![
        Request::Ping,
        Request::Describe,
        Request::System,
        Request::Metrics,
        Request::Logs { name: None, follow: true },
        Request::Restart { name: "http" },
        Request::Stop { name: "http" },
        Request::Start { name: "http" },
        Request::History,
        Request::RollBack(Settings::default()),
        Request::Begin { manifest: &[1; 40_000] },
        Request::Lacks,
        Request::Put { hash: [1; 32], length: 1, offset: 0, part: &[1] },
        Request::Deploy(Settings::default()),
        Request::Watch { number: 1 },
        Request::Cancel { request: 1 },
        Request::Page,
        Request::Lines { name: "http", first: 0 },
        Request::Reboot,
        Request::PowerOff,
        Request::Forget,
        Request::Successor { begun: true },
        Request::Token,
        Request::Confirm { number: Some(1), since: 0, other: true },
        Request::DeleteVolume { name: "guestbook", disk: None },
    ];
    // whoever adds one thinks of this list
    let place = |request: &Request<'_>| match request {
        Request::Ping => 0,
        Request::Describe => 1,
        Request::System => 2,
        Request::Metrics => 3,
        Request::Logs { .. } => 4,
        Request::Restart { .. } => 5,
        Request::Stop { .. } => 6,
        Request::Start { .. } => 7,
        Request::History => 8,
        Request::RollBack(_) => 9,
        Request::Begin { .. } => 10,
        Request::Lacks => 11,
        Request::Put { .. } => 12,
        Request::Deploy(_) => 13,
        Request::Watch { .. } => 14,
        Request::Cancel { .. } => 15,
        Request::Page => 16,
        Request::Lines { .. } => 17,
        Request::Reboot => 18,
        Request::PowerOff => 19,
        Request::Forget => 20,
        Request::Successor { .. } => 21,
        Request::Token => 22,
        Request::Confirm { .. } => 23,
        Request::DeleteVolume { .. } => 24,
    };
    assert!(all.iter().enumerate().all(|(index, request)| place(request) == index));
    all
}

#[test]
fn no_command_is_obeyed_beyond_its_role() {
    let mut world = World::new();
    for (seed, role) in [(VIEW, Role::View), (OPERATE, Role::Operate)] {
        for request in all().into_iter().filter(|request| request.needs() > role) {
            let mut joined = Joined::enter(&mut world, seed);
            let small = !matches!(request, Request::Begin { .. });
            let id = joined.send(&mut world, &request);
            match joined.hear(&mut world) {
                Some(pearwood_control::Heard::Response(heard, Response::Refused(why))) => {
                    assert!(heard == id && why.contains("this needs the role"), "{why}");
                }
                // longer than anything that the role may say
                None => assert!(!small && world.node.closed.get(&joined.connection) == Some(&"abort")),
                other => panic!("{request:?}: {other:?}"),
            }
            world.closed_by_client(joined.connection);
        }
    }
    assert_eq!((world.node.done, world.node.blobs), (vec![], vec![]));
}

/// The frames of sessions in which everything was said that there is to say.
fn recorded(world: &mut World) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for seed in [DEPLOY, OPERATE, VIEW, DEPLOY] {
        let mut joined = Joined::enter(world, seed);
        for request in all() {
            joined.send(world, &request);
            joined.hear(world);
        }
        let mut rest = &joined.spoken[..];
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (frame, after) = after.split_at(length);
            frames.push([&(length as u16).to_be_bytes()[..], frame].concat());
            rest = after;
        }
        world.closed_by_client(joined.connection);
    }
    frames
}

fn change(random: &mut Random, frame: &mut Vec<u8>) {
    let (at, bit) = (random.below(frame.len()), random.below(8));
    match random.below(6) {
        // as it was said
        0 | 1 => {}
        2 => frame.truncate(at),
        3 => frame[at] ^= 1 << bit,
        // longer than a frame may be, or than it is
        4 => frame[0] = 0xff,
        _ => {
            let length = random.below(2_000);
            frame.extend(random.bytes(length));
        }
    }
}

#[test]
fn nothing_that_was_recorded_gets_anybody_in() {
    let mut world = World::new();
    let frames = recorded(&mut world);
    assert!(frames.len() > 70);
    world.node.done.clear();
    world.node.said.clear();
    world.node.blobs.clear();
    let mut random = Random(0x5eed_0f00_ba11);
    let (mut said, mut rounds) = (0, 0);
    while said < MESSAGES {
        rounds += 1;
        // failures are forgiven after a while, or nothing would be listened to
        world.pass(7 * SECOND);
        let address = random.below(200) as u8;
        // on a connection of its own, or where somebody has said and heard enough to be asked for a key
        let connection = match random.below(32) {
            0 => Joined::shake(&mut world, address).connection,
            _ => world.accept(address),
        };
        let first = random.below(frames.len());
        for step in 0..1 + random.below(12) {
            // in the order in which they were said, or not
            let at = if random.below(2) == 0 { first + step } else { random.below(frames.len()) };
            let mut frame = frames[at % frames.len()].clone();
            change(&mut random, &mut frame);
            world.bytes(connection, &frame);
            said += 1;
        }
        assert!(world.control.held() < MOST && world.control.connections() <= 32);
        assert!(!world.node.said.iter().any(|line| line.contains(" may ")), "{:?}", world.node.said);
        world.node.said.clear();
        world.node.closed.clear();
        if rounds % 1_000 == 0 {
            let mut anna = Joined::enter(&mut world, DEPLOY);
            assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
            world.closed_by_client(anna.connection);
            world.node.said.clear();
        }
    }
    assert_eq!((&world.node.done, world.node.blobs.len()), (&vec![], 0));
}

#[test]
fn a_flood_of_one_does_not_push_out_others() {
    let mut world = World::new();
    // somebody slow, from elsewhere, who has not proved a key yet
    let mut slow = Joined::shake(&mut world, 7);
    for _ in 0..10_000 {
        world.accept(66);
        assert!(world.control.connections() <= 16);
    }
    assert!(matches!(slow.prove(&mut world, DEPLOY), pearwood_control::message::Greeting::Welcome { .. }));
    // nor does one who takes part in the handshake
    let mut slow = Joined::shake(&mut world, 8);
    for round in 0..100 {
        world.pass(SECOND);
        for address in 100..104 {
            let connection = world.accept(address);
            let hello = pearwood_control::Client::new([round; 32]).unwrap().take_output();
            world.bytes(connection, &hello);
        }
        if round == 8 {
            assert!(matches!(slow.prove(&mut world, VIEW), pearwood_control::message::Greeting::Welcome { .. }));
        }
    }
}

#[test]
fn one_key_does_not_keep_the_others_out() {
    let mut world = World::new();
    let mut let_in = 0;
    for _ in 0..40 {
        let mut vera = Joined::shake(&mut world, 9);
        match vera.prove(&mut world, VIEW) {
            pearwood_control::message::Greeting::Welcome { .. } => let_in += 1,
            pearwood_control::message::Greeting::Refused(why) => {
                assert_eq!(why, "this key has 8 connections already");
                world.closed_by_client(vera.connection);
                world.pass(10 * SECOND);
            }
        }
    }
    assert!((8..40).contains(&let_in), "{let_in}");
    let mut anna = Joined::enter(&mut world, DEPLOY);
    assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
}
