use super::*;
use crate::{
    arrows::measure::Meter,
    plan::grant::{NetGrant, Ports, Remote},
    platform::fake::FakePlatform,
};
use alloc::{sync::Arc, vec, vec::Vec};
use wit::{Batch, Peer, Records, names, tcp};

struct Side {
    signal: Arc<Signal>,
    port: Arc<Port>,
}

fn side(end: End) -> Side {
    let signal = Arc::new(Signal::default());
    let port = Port::new(Channel::Tcp, end, &"box".into(), &signal, &Arc::default(), 100);
    Side { signal, port }
}

/// Two clients of one service, all up.
fn system() -> (Side, Side, Side) {
    let (a, b, service) = (side(End::Client), side(End::Client), side(End::Service));
    let grant = NetGrant { listen: vec![Ports::parse("80").unwrap()], ..NetGrant::default() };
    let join = |client: &Side, attach: &[u8]| {
        Arrow::join(&client.port, &service.port, attach.to_vec(), Some(grant.clone()));
    };
    join(&a, b"");
    join(&b, b"hello");
    for side in [&a, &b, &service] {
        side.port.attach();
    }
    (a, b, service)
}

fn received(side: &Side) -> Vec<(u8, u32, Vec<u8>)> {
    let mut bytes = side.port.receive();
    Records::new(bytes.buffer()).map(|r| r.unwrap()).map(|r| (r.kind, r.id, r.bytes.to_vec())).collect()
}

fn batch(commands: &[tcp::Command<'_>]) -> Vec<u8> {
    let mut batch = Batch::new();
    commands.iter().for_each(|command| command.encode(&mut batch));
    batch.into_bytes()
}

const LISTEN: tcp::Command<'_> = tcp::Command::Listen { port: 80, backlog: 1 };

#[test]
fn peers_learn_of_each_other_once() {
    let (a, b, service) = system();
    assert_eq!(received(&a), [(Peer::ATTACH, 0, vec![])]);
    assert_eq!(received(&b), [(Peer::ATTACH, 0, b"hello".to_vec())]);
    assert_eq!(received(&service), [(Peer::ATTACH, 0, vec![]), (Peer::ATTACH, 1, vec![])]);
}

#[test]
fn what_is_received_names_its_peer() {
    let (a, b, service) = system();
    received(&service);
    for side in [&a, &a, &b, &a] {
        assert_eq!(side.port.send(0, &batch(&[LISTEN])), Ok(true));
    }
    let kinds: Vec<_> = received(&service).iter().map(|&(kind, id, _)| (kind, id)).collect();
    let is = |peer| (Peer::IS, peer);
    assert_eq!(kinds, [is(0), (1, 80), (1, 80), is(1), (1, 80), is(0), (1, 80)]);
    assert_eq!(service.port.send(1, &batch(&[])), Ok(true));
    received(&b);
    assert_eq!(received(&b), []);
}

#[test]
fn a_full_inbox_takes_nothing_and_says_when_it_has_room() {
    let (a, _, service) = system();
    received(&service);
    a.signal.take();
    let big = batch(&[tcp::Command::Send { connection: 1, data: &[0; 60] }]);
    assert_eq!(a.port.send(0, &big), Ok(true));
    assert_eq!(a.port.send(0, &big), Ok(false));
    assert_eq!(a.signal.take(), 0);
    assert_eq!(received(&service).len(), 2);
    assert_eq!(a.signal.take(), Ready::Room as u32);
    // one batch larger than the limit is taken by an empty inbox
    let larger = batch(&[tcp::Command::Send { connection: 1, data: &[0; 1_000] }]);
    assert_eq!(a.port.send(0, &larger), Ok(true));
}

#[test]
fn what_no_honest_box_sends_is_refused() {
    let (a, _, service) = system();
    assert_eq!(a.port.send(1, &[]), Err(Refused::NoPeer { peer: 1, peers: 1 }));
    assert_eq!(a.port.send(0, b"garbage"), Err(Refused::Malformed));
    let mut forged = Batch::new();
    Peer::Is(1).encode(&mut forged);
    assert_eq!(a.port.send(0, forged.as_bytes()), Err(Refused::Reserved { kind: Peer::IS }));
    let short = {
        let mut batch = Batch::new();
        batch.push(1, 80, b"");
        batch
    };
    assert_eq!(a.port.send(0, short.as_bytes()), Err(Refused::Malformed));
    received(&service);
    assert_eq!(received(&service), []);
}

#[test]
fn the_node_refuses_what_the_grant_does_not_permit_and_passes_the_rest() {
    let (a, _, service) = system();
    received(&a);
    received(&service);
    let to = tcp::Endpoint { address: core::net::Ipv6Addr::LOCALHOST, port: 25 };
    let sent = batch(&[tcp::Command::Listen { port: 22, backlog: 1 }, LISTEN, tcp::Command::Connect { ticket: 7, to }]);
    assert_eq!(a.port.send(0, &sent), Ok(true));
    let passed: Vec<_> = received(&service).iter().map(|&(kind, id, _)| (kind, id)).collect();
    assert_eq!(passed, [(Peer::IS, 0), (1, 80)]);
    let answers = received(&a);
    assert_eq!((answers[0].0, answers[1].0, answers[1].1, answers[2].1), (Peer::IS, 2, 22, 7));
    assert_eq!(answers[2].2, b"the arrow does not grant to connect to [::1]:25");
}

#[test]
fn a_grant_can_speak_of_names_that_the_box_has_looked_up() {
    let resolved = Resolved::default();
    let grant = NetGrant { connect: vec![Remote::parse("example.org:443").unwrap()], ..NetGrant::default() };
    let to = tcp::Endpoint { address: "2001:db8::1".parse().unwrap(), port: 443 };
    let denied = || {
        let packed = batch(&[tcp::Command::Connect { ticket: 1, to }]);
        let record = Records::new(&packed).next().unwrap().unwrap();
        grant::check(Channel::Tcp, Some(&grant), &resolved, &record).unwrap().is_some()
    };
    assert!(denied());
    let answer = |ticket| {
        let mut batch = Batch::new();
        names::Event::Addresses { ticket, packed: &to.address.octets() }.encode(&mut batch);
        batch.into_bytes()
    };
    for (ticket, name) in [(1, "other.org"), (2, "example.org")] {
        let mut asked = Batch::new();
        names::Command::Lookup { ticket, name }.encode(&mut asked);
        let record = asked.records().next().unwrap().unwrap();
        assert_eq!(grant::check(Channel::Names, None, &resolved, &record), Ok(None));
    }
    resolved.learn(&answer(1));
    resolved.learn(&answer(3));
    assert!(denied(), "that address belongs to another name");
    resolved.learn(&answer(2));
    assert!(!denied());
}

#[test]
fn a_crash_is_told_and_nothing_of_it_remains() {
    let (a, b, service) = system();
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true));
    service.port.detach("trap");
    received(&b);
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true), "lost, as `detach` says");
    let last = received(&a).pop();
    assert_eq!(last, Some((Peer::DETACH, 0, b"trap".to_vec())));
    service.port.attach();
    assert_eq!(received(&service), [(Peer::ATTACH, 0, vec![]), (Peer::ATTACH, 1, vec![])]);
    assert_eq!(received(&b), [(Peer::ATTACH, 0, b"hello".to_vec())]);
}

#[test]
fn traffic_is_counted() {
    let (client, service) = (side(End::Client), side(End::Service));
    let meter = Arc::new(Meter::of_channel(Channel::Tcp, FakePlatform::leak()));
    let grant = NetGrant { listen: vec![Ports::parse("80").unwrap()], ..NetGrant::default() };
    let arrow = Arrow::join_measured(&client.port, &service.port, Vec::new(), Some(grant.clone()), Some(meter.clone()));
    for side in [&client, &service] {
        side.port.attach();
    }
    let sent = batch(&[LISTEN, LISTEN]);
    assert_eq!(client.port.send(0, &sent), Ok(true));
    let traffic = meter.traffic(End::Client);
    let load = |counter: &core::sync::atomic::AtomicU64| counter.load(core::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&traffic.batches), load(&traffic.records), load(&traffic.bytes)), (1, 2, sent.len() as u64));
    // another grant, the same figures
    arrow.with_grant(Some(grant));
    assert_eq!(client.port.send(0, &batch(&[tcp::Command::Listen { port: 81, backlog: 1 }])), Ok(true));
    assert_eq!(meter.errors(), 1, "it was refused");
    while client.port.send(0, &sent) == Ok(true) {}
    assert_eq!(load(&traffic.full), 1);
}

fn kinds(side: &Side) -> Vec<(u8, u32)> {
    received(side).iter().map(|&(kind, id, _)| (kind, id)).collect()
}

#[test]
fn an_arrow_that_is_made_while_boxes_run_introduces_them() {
    let (a, b, service) = system();
    [&a, &b, &service].iter().for_each(|side| drop(received(side)));
    let other = side(End::Service);
    let arrow = Arrow::join(&a.port, &other.port, b"route".to_vec(), None);
    assert_eq!((kinds(&a), kinds(&other)), (vec![], vec![]), "not while one is down");
    other.port.attach();
    assert_eq!(received(&a), [(Peer::ATTACH, 1, b"route".to_vec())]);
    assert_eq!(kinds(&other), [(Peer::ATTACH, 0)]);
    assert_eq!(a.port.send(1, &batch(&[tcp::Command::Finish { connection: 3 }])), Ok(true));
    assert_eq!(kinds(&other), [(Peer::IS, 0), (6, 3)]);
    arrow.unlink("moved");
    assert_eq!(received(&a), [(Peer::DETACH, 1, b"moved".to_vec())]);
    assert_eq!(kinds(&other), [(Peer::DETACH, 0)]);
    assert_eq!(a.port.send(1, &batch(&[LISTEN])), Ok(true), "lost");
    assert_eq!(kinds(&other), []);
}

/// A box that has not read of a peer's end may speak to it still, and must not be heard by another.
#[test]
fn a_number_is_used_again_only_when_its_end_has_been_read() {
    let (a, _, service) = system();
    received(&a);
    let next = || {
        let other = side(End::Service);
        other.port.attach();
        let arrow = Arrow::join(&a.port, &other.port, Vec::new(), None);
        (other, arrow)
    };
    let (_, first) = next();
    first.unlink("over");
    let (_, second) = next();
    assert_eq!(second.half(End::Client).number, 2, "1 is not free");
    received(&a);
    let (_, third) = next();
    assert_eq!(third.half(End::Client).number, 3, "it may be at it");
    received(&a);
    let (_, fourth) = next();
    assert_eq!(fourth.half(End::Client).number, 1);
    assert_eq!(service.port.arrows().len(), 2);
}

#[test]
fn a_peer_that_retires_is_released_by_the_other_end() {
    let (a, b, service) = system();
    [&a, &b, &service].iter().for_each(|side| drop(received(side)));
    let release = Peer::release(0);
    assert_eq!(a.port.send(0, release.as_bytes()), Err(Refused::Reserved { kind: Peer::RELEASE }), "not asked for");
    let arrow = a.port.arrows().remove(0);
    arrow.retire(End::Client);
    arrow.retire(End::Client);
    assert_eq!(kinds(&a), [(Peer::RETIRE, 0)], "once");
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true));
    assert_eq!(kinds(&service), [(Peer::IS, 0), (1, 80)], "what is open goes on");
    let mut more = Peer::release(0);
    LISTEN.encode(&mut more);
    assert_eq!(a.port.send(0, more.as_bytes()), Err(Refused::Reserved { kind: Peer::RELEASE }));
    assert_eq!(a.port.send(0, release.as_bytes()), Ok(true));
    assert!(!arrow.is_joined() && arrow.is_retiring());
    assert_eq!((kinds(&a), kinds(&service)), (vec![(Peer::DETACH, 0)], vec![(Peer::DETACH, 0)]));
    assert_eq!(b.port.send(0, &batch(&[LISTEN])), Ok(true));
    assert_eq!(kinds(&service), [(Peer::IS, 1), (1, 80)], "the others' arrows stay");
}

/// The client has nothing open, and does not know of what the service is about to announce.
#[test]
fn an_arrow_that_both_ends_are_to_let_go_waits_for_both() {
    for first in [End::Client, End::Service] {
        let (a, _, service) = system();
        [&a, &service].iter().for_each(|side| drop(received(side)));
        let arrow = a.port.arrows().remove(0);
        [End::Client, End::Service].iter().for_each(|end| arrow.retire(*end));
        let (one, other) = if first == End::Client { (&a, &service) } else { (&service, &a) };
        assert_eq!(one.port.send(0, Peer::release(0).as_bytes()), Ok(true));
        assert!(arrow.is_joined());
        assert_eq!(other.port.send(0, &batch(&[LISTEN])), Ok(true));
        assert_eq!(kinds(one), [(Peer::RETIRE, 0), (Peer::IS, 0), (1, 80)]);
        assert_eq!(other.port.send(0, Peer::release(0).as_bytes()), Ok(true));
        assert!(!arrow.is_joined());
    }
    let (a, _, service) = system();
    let arrow = a.port.arrows().remove(0);
    [End::Client, End::Service].iter().for_each(|end| arrow.retire(*end));
    a.port.detach("crashed");
    assert_eq!(service.port.send(0, Peer::release(0).as_bytes()), Ok(true));
    assert!(!arrow.is_joined(), "one that is down has nothing open");
}

#[test]
fn a_peer_that_goes_gives_room() {
    let (a, _, service) = system();
    let big = batch(&[tcp::Command::Send { connection: 1, data: &[0; 60] }]);
    assert_eq!((a.port.send(0, &big), a.port.send(0, &big)), (Ok(true), Ok(false)));
    a.signal.take();
    service.port.unlink("gone");
    assert_ne!(a.signal.take() & Ready::Room as u32, 0);
    assert_eq!(a.port.send(0, &big), Ok(true), "lost, as `detach` says");
}

#[test]
fn a_grant_changes_under_an_arrow() {
    let (a, _, service) = system();
    [&a, &service].iter().for_each(|side| drop(received(side)));
    let port = |port: &str| NetGrant { listen: vec![Ports::parse(port).unwrap()], ..NetGrant::default() };
    let arrow = a.port.arrows().remove(0).with_grant(Some(port("81")));
    assert_eq!((kinds(&a), kinds(&service)), (vec![], vec![]), "nobody notices");
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true));
    assert_eq!((kinds(&a), kinds(&service)), (vec![(Peer::IS, 0), (2, 80)], vec![]));
    assert_eq!(a.port.send(0, &batch(&[tcp::Command::Listen { port: 81, backlog: 1 }])), Ok(true));
    assert_eq!(kinds(&service), [(Peer::IS, 0), (1, 81)]);
    arrow.unlink("over");
    assert_eq!(kinds(&service), [(Peer::DETACH, 0)]);
}

#[test]
fn answers_are_counted_on_trial() {
    let signal = Arc::new(Signal::default());
    let port = |end| Port::new(Channel::Handler, end, &"box".into(), &signal, &Arc::default(), 10_000);
    let (client, service) = (port(End::Client), port(End::Service));
    Arrow::join(&client, &service, Vec::new(), None);
    client.attach();
    service.attach();
    let tally = service.tally();
    let send = |status| {
        let mut batch = Batch::new();
        wit::http::Event::Response { request: 1, status, headers: b"" }.encode(&mut batch);
        wit::http::Event::End { request: 1 }.encode(&mut batch);
        service.send(0, batch.as_bytes()).unwrap();
    };
    [200, 404, 500, 503].iter().for_each(|status| send(*status));
    assert_eq!(tally.counts(), (4, 2));
    service.end_tally();
    send(500);
    assert_eq!(tally.counts(), (4, 2));
}
