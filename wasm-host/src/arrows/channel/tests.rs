use super::*;
use crate::system::grant::{NetGrant, Ports, Remote};
use alloc::{sync::Arc, vec, vec::Vec};
use wit::{Batch, Peer, Records, names, tcp};

struct Side {
    signal: Arc<Signal>,
    port: Arc<Port>,
}

fn side(end: End) -> Side {
    let signal = Arc::new(Signal::default());
    let port = Port::new(Channel::Tcp, end, &signal, &Arc::default(), 100);
    Side { signal, port }
}

/// Two clients of one service, all up.
fn system() -> (Side, Side, Side) {
    let (a, b, service) = (side(End::Client), side(End::Client), side(End::Service));
    let grant = NetGrant { listen: vec![Ports::parse("80").unwrap()], ..NetGrant::default() };
    let arrow = |client: &Side, attach: &[u8]| Arrow {
        client: client.port.clone(),
        service: service.port.clone(),
        attach: attach.to_vec(),
        grant: Some(grant.clone()),
    };
    join(vec![arrow(&a, b""), arrow(&b, b"hello")]);
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
    let (a, _, _service) = system();
    let sent = batch(&[LISTEN, LISTEN]);
    assert_eq!(a.port.send(0, &sent), Ok(true));
    let traffic = a.port.traffic().next().unwrap();
    let load = |counter: &core::sync::atomic::AtomicU64| counter.load(core::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&traffic.batches), load(&traffic.records), load(&traffic.bytes)), (1, 2, sent.len() as u64));
}
