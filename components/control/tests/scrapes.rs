//! Metrics over HTTP: who may read them, and that reading them holds nothing up.

mod common;

use common::{DEPLOY, Joined, SECOND, STRANGER, VIEW, World, key};
use manage::{Request, Response};
use std::net::Ipv4Addr;
use wit::http::{Command, Event, Head};
use wit::{Batch, Peer, Records};

const DESCRIPTION: &str =
    r#"{"system":"web","uptime":1500000000,"memory":{"total":9,"frames":4,"heap":1},"boxes":[],"arrows":[]}"#;

/// The peer that is `http`.
const HTTP: u32 = 0;

fn head<'a>(target: &'a str, remote: [u8; 4], headers: &'a str) -> Head<'a> {
    Head {
        method: "GET",
        target,
        authority: b"node",
        remote: Ipv4Addr::from(remote).to_ipv6_mapped(),
        headers: headers.as_bytes(),
        scheme: wit::http::Scheme::Http,
        upgrade: "",
    }
}

const LISTED: [u8; 4] = [192, 0, 2, 5];
const ELSEWHERE: [u8; 4] = [198, 51, 100, 1];

fn world() -> World {
    let mut world = World::new();
    world.node.description = Some(DESCRIPTION.into());
    let mut batch = Batch::new();
    Peer::Attach(HTTP, b"").encode(&mut batch);
    world.http(&batch);
    world
}

fn send(world: &mut World, commands: &[Command<'_>]) {
    let mut batch = Batch::new();
    Peer::Is(HTTP).encode(&mut batch);
    commands.iter().for_each(|command| command.encode(&mut batch));
    world.http(&batch);
}

/// What has been answered to a request: the status, the body, and whether it has ended.
fn answer(world: &mut World, of: u32) -> (u16, String, bool) {
    let (mut status, mut body, mut ended) = (0, Vec::new(), false);
    for (peer, batch) in std::mem::take(&mut world.node.answered) {
        assert_eq!(peer, HTTP);
        for record in Records::new(&batch).map(Result::unwrap) {
            match Event::decode(&record).unwrap() {
                Event::Response { request, status: it, .. } if request == of => status = it,
                Event::Body { request, data } if request == of => body.extend_from_slice(data),
                Event::End { request } if request == of => ended = true,
                _ => {}
            }
        }
    }
    (status, String::from_utf8(body).unwrap(), ended)
}

fn get(world: &mut World, head: Head<'_>) -> (u16, String) {
    send(world, &[Command::Request { request: 1, head }, Command::End { request: 1 }]);
    let (status, body, ended) = answer(world, 1);
    assert!(ended);
    (status, body)
}

#[test]
fn metrics_are_for_listed_addresses_and_for_tokens() {
    let mut world = world();
    let (status, text) = get(&mut world, head("/metrics", LISTED, ""));
    assert!(status == 200 && text.contains("\npearwood_node_uptime_seconds 1.5\n"), "{status} {text}");
    let mut vera = Joined::enter(&mut world, VIEW);
    let Response::Text(token) = vera.ask(&mut world, &Request::Token) else { panic!("no token") };
    let with = |token: &str| format!("accept: */*\r\nAuthorization: Bearer {token}\r\n");
    assert_eq!(get(&mut world, head("/node1/metrics?x=1", ELSEWHERE, &with(&token))).0, 200);
    // not that of a key which is not listed, nor anything else
    let strangers = common::identity().token(key(STRANGER).verifying_key().as_bytes()).to_hex();
    let basic = format!("authorization: Basic {token}\r\n");
    for headers in ["", &with(&strangers), &with(&token[1..]), &with(""), &basic, &with("é"), "authorization"] {
        let (status, text) = get(&mut world, head("/metrics", ELSEWHERE, headers));
        assert!(status == 401 && text.contains("config.metrics"), "{headers}: {status} {text}");
    }
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let Response::Text(annas) = anna.ask(&mut world, &Request::Token) else { panic!("no token") };
    assert_ne!(annas, token);
    assert_eq!(get(&mut world, head("/", LISTED, "")).0, 404);
    assert_eq!(get(&mut world, Head { method: "POST", ..head("/metrics", LISTED, "") }).0, 405);
    assert_eq!(get(&mut world, Head { method: "HEAD", ..head("/metrics", LISTED, "") }), (200, String::new()));
    assert_eq!(world.node.done, Vec::<String>::new());
}

#[test]
fn many_who_scrape_are_told_the_same_and_too_many_to_come_again() {
    let mut world = world();
    world.node.is_busy = true;
    let requests: Vec<_> =
        (0..20).map(|request| Command::Request { request, head: head("/metrics", LISTED, "") }).collect();
    send(&mut world, &requests);
    assert_eq!(answer(&mut world, 19).0, 503);
    assert_eq!(world.node.described, 0);
    world.ready();
    assert_eq!((world.node.described, world.node.answered.is_empty()), (1, false));
    assert_eq!(answer(&mut world, 3).0, 200);
    // one that goes is forgotten
    world.node.is_busy = true;
    send(&mut world, &[Command::Request { request: 1, head: head("/metrics", LISTED, "") }]);
    send(&mut world, &[Command::Cancel { request: 1 }]);
    world.ready();
    assert_eq!(answer(&mut world, 1), (0, String::new(), false));
}

#[test]
fn a_long_text_is_sent_as_there_is_credit() {
    let mut world = world();
    let one =
        r#"{"name":"NAME","phase":"running","restarts":2,"cpu":250000000,"turns":7,"memory":65536,"limit":131072}"#;
    let boxes: Vec<String> = (0..400).map(|number| one.replace("NAME", &format!("box-{number}"))).collect();
    world.node.description = Some(DESCRIPTION.replace("\"boxes\":[]", &format!("\"boxes\":[{}]", boxes.join(","))));
    send(&mut world, &[Command::Request { request: 1, head: head("/metrics", LISTED, "") }]);
    let (status, mut text, mut ended) = answer(&mut world, 1);
    assert_eq!((status, text.len(), ended), (200, 65_536, false));
    assert!(world.control.deadline() > world.now, "it waits for credit, and not at work");
    while !ended {
        send(&mut world, &[Command::Credit { request: 1, bytes: 10_000 }]);
        let (_, more, is_over) = answer(&mut world, 1);
        assert!(!more.is_empty());
        text += &more;
        ended = is_over;
    }
    assert!(text.contains("pearwood_box_up{box=\"box-399\"} 1\n") && text.ends_with('\n'));
    // and a node that does not answer well is said to be so
    world.node.description = Some("{}".into());
    let (status, why) = get(&mut world, head("/metrics", LISTED, ""));
    assert_eq!((status, why.as_str()), (503, "the node's description is not understood\n"));
    world.pass(SECOND);
}
