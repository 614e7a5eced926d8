//! Who gets in, what they may ask, and what they are answered.

mod common;

use common::{DEPLOY, Joined, OPERATE, SECOND, STRANGER, VIEW, World, key};
use ed25519_dalek::Signer;
use manage::{Role, Settings};
use pearwood_control::message::{Greeting, LogLines, Request, Response};
use pearwood_control::{Heard, STATEMENT, hex};

fn refusal(response: Response) -> String {
    match response {
        Response::Refused(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_key_that_is_listed_gets_in() {
    let mut world = World::new();
    let mut anna = Joined::shake(&mut world, 9);
    let greeting = anna.prove(&mut world, DEPLOY);
    assert_eq!(greeting, Greeting::Welcome { role: Role::Deploy, name: "anna".into() });
    assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
    assert!(world.node.said.iter().any(|line| line == "anna at 192.0.2.9 may deploy"), "{:?}", world.node.said);
}

#[test]
fn a_key_that_is_not_listed_is_named_and_shut_out() {
    let mut world = World::new();
    let mut stranger = Joined::shake(&mut world, 9);
    let Greeting::Refused(why) = stranger.prove(&mut world, STRANGER) else { panic!("let in") };
    assert!(why.contains(&hex(key(STRANGER).verifying_key().as_bytes())), "{why}");
    assert_eq!(world.node.closed.get(&stranger.connection), Some(&"finish"), "the answer is not cut off");
    world.pass(5 * SECOND);
    assert_eq!(world.node.closed.get(&stranger.connection), Some(&"abort"), "nor waited for");
    assert_eq!(world.control.connections(), 0);
}

#[test]
fn somebody_elses_key_is_no_use() {
    let mut world = World::new();
    let annas = key(DEPLOY).verifying_key().to_bytes();
    let mut thief = Joined::shake(&mut world, 9);
    let greeting = thief.prove_as(&mut world, annas, |statement| key(STRANGER).sign(statement).to_bytes());
    assert!(matches!(&greeting, Greeting::Refused(why) if why.contains("signature")), "{greeting:?}");
    // nor is what anna has signed for another channel, or for none
    let mut signed = Vec::new();
    let mut anna = Joined::shake(&mut world, 10);
    anna.prove_as(&mut world, annas, |statement| {
        signed = key(DEPLOY).sign(statement).to_bytes().to_vec();
        signed.clone().try_into().unwrap()
    });
    for signature in [signed, key(DEPLOY).sign(STATEMENT).to_bytes().to_vec()] {
        let mut thief = Joined::shake(&mut world, 11);
        let greeting = thief.prove_as(&mut world, annas, |_| signature.clone().try_into().unwrap());
        assert!(matches!(greeting, Greeting::Refused(_)), "{greeting:?}");
    }
}

#[test]
fn roles_include_those_before_and_nothing_after() {
    let mut world = World::new();
    let deploys = || Request::Deploy(Settings::default());
    let restarts = || Request::Restart { name: "http" };
    let mut vera = Joined::enter(&mut world, VIEW);
    assert!(matches!(vera.ask(&mut world, &Request::Describe), Response::Text(_)));
    let why = refusal(vera.ask(&mut world, &deploys()));
    assert_eq!(why, "vera may not deploy: this needs the role `deploy`, and the key has `view`");
    for request in [
        restarts(),
        Request::Stop { name: "http" },
        Request::Start { name: "http" },
        Request::RollBack(Settings::default()),
        Request::Begin { manifest: &[] },
        Request::Lacks,
        Request::Put { hash: [0; 32], length: 1, offset: 0, part: &[1] },
    ] {
        refusal(vera.ask(&mut world, &request));
    }
    assert_eq!(world.node.done, Vec::<String>::new());
    let mut ole = Joined::enter(&mut world, OPERATE);
    assert_eq!(ole.ask(&mut world, &restarts()), Response::Done);
    refusal(ole.ask(&mut world, &deploys()));
    let mut anna = Joined::enter(&mut world, DEPLOY);
    assert_eq!(anna.ask(&mut world, &restarts()), Response::Done);
    assert_eq!(anna.ask(&mut world, &Request::Begin { manifest: &[1] }), Response::Number(1));
    assert_eq!(anna.ask(&mut world, &deploys()), Response::Number(1));
    assert_eq!(world.node.done, ["restart http by ole", "restart http by anna", "begin 1", "deploy by anna"]);
    let why = refusal(ole.ask(&mut world, &Request::Restart { name: "htpp" }));
    assert_eq!(why, "there is no box `htpp`");
}

/// D1: when the connection was made is not for the client to say.
#[test]
fn a_deployment_is_confirmed_with_the_age_of_the_connection() {
    let mut world = World::new();
    world.pass(5 * SECOND);
    let mut ole = Joined::enter(&mut world, OPERATE);
    let since = world.now;
    world.pass(SECOND);
    let request = Request::Confirm { number: Some(7), since: u64::MAX, other: false };
    assert_eq!(ole.ask(&mut world, &request), Response::Done);
    assert_eq!(world.node.done, [format!("confirm Some(7) by ole, other: false, here since {since}")]);
    let mut vera = Joined::enter(&mut world, VIEW);
    assert!(refusal(vera.ask(&mut world, &request)).starts_with("vera may not confirm what was deployed"));
}

/// D1: whoever watches a deployment confirms it over a second connection by the same key, however few there may be.
#[test]
fn whoever_watches_a_deployment_can_come_back() {
    for connections in 2..8 {
        let mut world = World::of_connections(connections);
        let _watching = Joined::enter(&mut world, DEPLOY);
        let mut again = Joined::shake(&mut world, 9);
        let greeting = again.prove(&mut world, DEPLOY);
        assert!(matches!(greeting, Greeting::Welcome { .. }), "{connections}: {greeting:?}");
    }
}

#[test]
fn what_was_heard_on_the_wire_cannot_be_said_again() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let before = anna.spoken.len();
    assert_eq!(anna.ask(&mut world, &Request::Restart { name: "http" }), Response::Done);
    let request = anna.spoken[before..].to_vec();
    assert_eq!(world.node.done.len(), 1);
    // on a connection of its own, from the first byte on
    let spy = world.accept(66);
    world.bytes(spy, &anna.spoken.clone());
    world.heard(spy);
    assert_eq!(world.node.closed.get(&spy), Some(&"abort"));
    // and on anna's
    world.bytes(anna.connection, &request);
    assert_eq!(world.node.closed.get(&anna.connection), Some(&"abort"));
    assert_eq!(world.node.done.len(), 1, "{:?}", world.node.done);
}

#[test]
fn long_messages_take_several_frames_either_way() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let Response::Text(system) = anna.ask(&mut world, &Request::System) else { panic!("no text") };
    assert_eq!(system.len(), 180_000);
    let manifest = vec![5; 200_000];
    assert_eq!(anna.ask(&mut world, &Request::Begin { manifest: &manifest }), Response::Number(200_000));
    // who may not deploy has no long messages to send
    let mut vera = Joined::enter(&mut world, VIEW);
    vera.send(&mut world, &Request::Logs { name: Some(&"x".repeat(2_000)), follow: false });
    assert_eq!(world.node.closed.get(&vera.connection), Some(&"abort"));
}

#[test]
fn logs_are_followed() {
    let mut world = World::new();
    let mut vera = Joined::enter(&mut world, VIEW);
    let lines = |text: &str| -> Vec<(String, Vec<String>)> {
        let all: Vec<LogLines> = serde_json::from_str(text).unwrap();
        all.into_iter().map(|of| (of.name, of.lines.into_iter().map(|line| line.text).collect())).collect()
    };
    let all = vera.ask(&mut world, &Request::Logs { name: None, follow: false });
    let Response::Text(text) = all else { panic!("{all:?}") };
    assert_eq!(lines(&text), [("http".to_string(), vec!["one".to_string(), "two".into()])]);
    assert_eq!(world.control.deadline(), world.now + 180 * SECOND, "nobody follows, and nothing is looked at");

    let id = vera.send(&mut world, &Request::Logs { name: Some("http"), follow: true });
    let mut next = |world: &mut World| {
        world.pass(SECOND / 4);
        match vera.hear(world) {
            Some(Heard::Response(heard, Response::More(text))) if heard == id => Some(lines(&text)[0].1.clone()),
            None => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next(&mut world), Some(vec!["one".into(), "two".into()]));
    assert_eq!(next(&mut world), None);
    world.node.logs.get_mut("http").unwrap().push("three".into());
    assert_eq!(next(&mut world), Some(vec!["three".into()]));
    assert_eq!(world.node.followed(), 1);
    assert!(world.control.deadline() > world.now + SECOND, "nothing is looked at meanwhile");
    assert_eq!(vera.ask(&mut world, &Request::Cancel { request: id }), Response::Done);
    assert_eq!(world.node.followed(), 0);
    assert!(refusal(vera.ask(&mut world, &Request::Logs { name: Some("x"), follow: true })).contains("`x`"));
}

#[test]
fn a_deployment_is_watched_to_its_end() {
    let mut world = World::new();
    let mut vera = Joined::enter(&mut world, VIEW);
    assert!(refusal(vera.ask(&mut world, &Request::Watch { number: 1 })).contains("no deployment 1"));
    world.node.history = r#"[{"number":1,"ended":null,"step":"preparing"}]"#.into();
    let id = vera.send(&mut world, &Request::Watch { number: 1 });
    world.pass(SECOND / 4);
    let Some(Heard::Response(heard, Response::More(text))) = vera.hear(&mut world) else { panic!("nothing") };
    assert!(heard == id && text.contains("preparing"), "{text}");
    world.pass(SECOND / 4);
    assert_eq!(vera.hear(&mut world), None, "nothing new");
    world.node.history = r#"[{"number":1,"ended":5,"step":"done"}]"#.into();
    world.pass(SECOND / 4);
    assert!(matches!(vera.hear(&mut world), Some(Heard::Response(_, Response::Text(_)))));
    assert_eq!(world.control.deadline(), world.now - 3 * SECOND / 4 + 180 * SECOND, "and nothing is followed");
}

#[test]
fn patience_ends() {
    let mut world = World::new();
    let silent = world.accept(1);
    let mut anna = Joined::enter(&mut world, DEPLOY);
    world.pass(10 * SECOND);
    assert_eq!(world.node.closed.get(&silent), Some(&"abort"));
    assert!(world.node.said.iter().any(|line| line.contains("192.0.2.1: has proved no key in time")));
    assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
    world.pass(180 * SECOND);
    assert!(world.node.closed.contains_key(&anna.connection));
    assert_eq!(world.control.connections(), 0);
    assert_eq!(world.control.deadline(), u64::MAX);
}

#[test]
fn who_fails_often_has_to_wait() {
    let mut world = World::new();
    for _ in 0..10 {
        let connection = world.accept(66);
        world.bytes(connection, b"\0\x05hello");
        assert_eq!(world.node.closed.get(&connection), Some(&"abort"));
    }
    let said = world.node.said.len();
    let again = world.accept(66);
    assert_eq!(world.node.closed.get(&again), Some(&"abort"), "not even a handshake");
    assert_eq!(world.node.said.len(), said, "nor a line in the log");
    Joined::enter(&mut world, DEPLOY);
    world.pass(7 * SECOND);
    let later = world.accept(66);
    assert_eq!(world.node.closed.get(&later), None);
}

#[test]
fn a_crowd_that_proves_nothing_keeps_nobody_out() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let crowd: Vec<u32> = (0..200).map(|i| world.accept(100 + i % 100)).collect();
    assert!(world.control.connections() <= 17, "{}", world.control.connections());
    assert_eq!(world.node.closed.get(&crowd[0]), Some(&"abort"));
    assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
    Joined::enter(&mut world, VIEW);
}

#[test]
fn a_client_that_takes_nothing_holds_little() {
    let mut world = World::new();
    let mut vera = Joined::enter(&mut world, VIEW);
    for _ in 0..1_000 {
        vera.client.request(&Request::System).unwrap();
    }
    let all = vera.client.take_output();
    // as much as there is credit for, and not a byte of the answers is taken
    let mut given = 65_536 - vera.spoken.len() as u32 + world.credit(vera.connection);
    let (mut at, start) = (0, world.credit(vera.connection));
    while at < all.len() && given > 0 {
        let part = (given as usize).min(all.len() - at).min(16 << 10);
        world.bytes(vera.connection, &all[at..at + part]);
        at += part;
        given = 65_536 + world.credit(vera.connection) - start - at as u32;
    }
    assert!(world.control.held() < 600 << 10, "{} bytes are held", world.control.held());
    // when it takes them, they are all there
    let mut answers = 0;
    loop {
        let heard = world.heard(vera.connection);
        if heard.is_empty() {
            break;
        }
        vera.client.receive(&heard);
        while let Some(heard) = vera.client.hear().unwrap() {
            assert!(matches!(heard, Heard::Response(_, Response::Text(_))));
            answers += 1;
        }
        let end = (at + (16 << 10)).min(all.len());
        world.bytes(vera.connection, &all[at..end]);
        at = end;
    }
    assert_eq!(answers, 1_000);
}

#[test]
fn tcp_without_room_is_sent_to_later() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    world.node.has_no_room = true;
    anna.send(&mut world, &Request::Ping);
    assert_eq!(anna.hear(&mut world), None);
    world.room();
    assert_eq!(anna.hear(&mut world), Some(Heard::Response(1, Response::Done)));
}

#[test]
fn a_box_that_retires_finishes_what_is_open() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let vera = Joined::enter(&mut world, VIEW);
    world.node.history = r#"[{"number":1,"ended":null,"step":"trial"}]"#.into();
    anna.send(&mut world, &Request::Watch { number: 1 });
    world.control.retire();
    world.turn();
    let late = world.accept(1);
    assert_eq!(world.node.closed.get(&late), Some(&"abort"));
    // what is followed goes on with the successor
    for connection in [anna.connection, vera.connection] {
        assert_eq!(world.node.closed.get(&connection), Some(&"finish"));
        assert!(!world.control.is_done());
        world.closed_by_client(connection);
    }
    assert!(world.control.is_done());
}

/// Its connections end when they are at rest, and it is let go with the last.
#[test]
fn a_tcp_that_retires_is_let_go() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let mut vera = Joined::enter(&mut world, VIEW);
    world.node.history = r#"[{"number":1,"ended":null,"step":"trial"}]"#.into();
    anna.send(&mut world, &Request::Watch { number: 1 });
    world.retire_tcp();
    assert_eq!(world.node.closed.get(&anna.connection), Some(&"finish"), "it follows something, and asks again");
    assert_eq!(vera.ask(&mut world, &Request::Ping), Response::Done);
    let late = Joined::enter(&mut world, VIEW);
    assert!(world.control.deadline() <= world.now + SECOND, "it looks again");
    world.pass(SECOND);
    for connection in [anna.connection, vera.connection, late.connection] {
        assert_eq!(world.node.closed.get(&connection), Some(&"finish"));
        assert!(!world.node.released);
        world.closed_by_client(connection);
    }
    assert!(world.node.released && !world.control.is_done());
}

#[test]
fn the_log_says_what_was_done_and_what_was_refused() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let said = |world: &mut World| std::mem::take(&mut world.node.said);
    said(&mut world);
    assert_eq!(anna.ask(&mut world, &Request::Restart { name: "http" }), Response::Done);
    assert_eq!(said(&mut world), ["anna restarts http"]);
    refusal(anna.ask(&mut world, &Request::Restart { name: "htp" }));
    assert_eq!(said(&mut world), ["anna was refused to restart boxes: there is no box `htp`"]);
    world.node.successor.is_other = true;
    refusal(anna.ask(&mut world, &Request::RollBack(Settings::default())));
    let why = "no box of the new system has the power over the node";
    let all = said(&mut world);
    assert!(all.len() == 1 && all[0].starts_with(&format!("anna was refused to roll back: {why}")), "{all:?}");
    world.node.successor.is_other = false;
    assert_eq!(anna.ask(&mut world, &Request::RollBack(Settings::default())), Response::Number(2));
    assert_eq!(said(&mut world), ["anna rolls back"]);
}

/// What is followed comes as fast as the client takes it, and is not held for it meanwhile.
#[test]
fn what_is_followed_waits_for_the_client() {
    let mut world = World::new();
    let mut vera = Joined::enter(&mut world, VIEW);
    let id = vera.send(&mut world, &Request::Logs { name: Some("http"), follow: true });
    // it cannot be followed twice by one number, nor without end
    for _ in 0..7 {
        vera.send(&mut world, &Request::Logs { name: None, follow: true });
    }
    for number in 0..500 {
        world.node.logs.get_mut("http").unwrap().push(format!("{number} {}", "x".repeat(3_000)));
        world.turn();
        assert!(world.control.held() < 1 << 20, "{} bytes are held", world.control.held());
    }
    let mut lines = Vec::new();
    while lines.len() < 502 {
        let heard = world.heard(vera.connection);
        assert!(!heard.is_empty(), "{} lines have come", lines.len());
        vera.client.receive(&heard);
        while let Some(Heard::Response(heard, response)) = vera.client.hear().unwrap() {
            if let (true, Response::More(text)) = (heard == id, response) {
                let all: Vec<LogLines> = serde_json::from_str(&text).unwrap();
                lines.extend(all.into_iter().flat_map(|of| of.lines).map(|line| line.number));
            }
        }
    }
    assert!(lines.into_iter().eq(0..502));
    let refused = refusal(vera.ask(&mut world, &Request::Watch { number: 1 }));
    assert_eq!(refused, "8 logs and deployments are followed already");
    assert_eq!(world.node.followed(), 8);
    world.closed_by_client(vera.connection);
    assert_eq!(world.node.followed(), 0, "who is gone follows nothing");
}

/// The node takes what it is asked when it can; a client has one answer after the other.
#[test]
fn a_node_without_room_is_asked_later() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    world.node.is_busy = true;
    let first = anna.send(&mut world, &Request::Describe);
    let second = anna.send(&mut world, &Request::Restart { name: "http" });
    assert_eq!(anna.hear(&mut world), None);
    world.ready();
    let heard = world.heard(anna.connection);
    anna.client.receive(&heard);
    for id in [first, second] {
        assert!(matches!(anna.client.hear(), Ok(Some(Heard::Response(heard, _))) if heard == id));
    }
    assert_eq!(world.node.done, ["restart http by anna"]);
}
