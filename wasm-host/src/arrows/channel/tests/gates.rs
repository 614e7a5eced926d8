//! What the node refuses in a service's place, and what it learns from what passes.

use super::*;
use crate::system::grant::Remote;
use alloc::{
    format,
    string::{String, ToString},
};
use core::net::Ipv6Addr;
use wit::{Record, names, tcp::Endpoint, udp};

fn grant(listen: &[&str], connect: &[&str]) -> NetGrant {
    NetGrant {
        listen: listen.iter().map(|ports| Ports::parse(ports).unwrap()).collect(),
        connect: connect.iter().map(|remote| Remote::parse(remote).unwrap()).collect(),
    }
}

/// A client and a service with this gate between them, who have read that the other is there.
fn gated(gate: Arc<dyn Gate>, limit: usize) -> (Side, Side) {
    let protocol = || Protocol::new("acme:any/thing@1", Kinds::default());
    let (client, service) = (side_of(protocol(), End::Client, limit), side_of(protocol(), End::Service, limit));
    Arrow::join(&client.port, &service.port, Vec::new(), Some(gate), None);
    [&client, &service].iter().for_each(|side| side.port.attach());
    for side in [&client, &service] {
        received(side);
        side.signal.take();
    }
    (client, service)
}

/// What `read` makes of the records that the other end has sent, or the node in its place.
fn heard<T>(side: &Side, read: impl Fn(&Record<'_>) -> Option<T>) -> Vec<T> {
    let mut bytes = side.port.receive();
    let records = Records::new(bytes.buffer()).map(Result::unwrap).filter(|record| record.kind < Peer::FIRST_KIND);
    records.map(|record| read(&record).unwrap_or_else(|| panic!("{record:?}"))).collect()
}

#[test]
fn the_node_refuses_what_the_grant_does_not_permit_and_passes_the_rest() {
    let (a, _, service) = system();
    received(&a);
    received(&service);
    let to = Endpoint { address: Ipv6Addr::LOCALHOST, port: 25 };
    let sent = batch(&[tcp::Command::Listen { port: 22, backlog: 1 }, LISTEN, tcp::Command::Connect { ticket: 7, to }]);
    assert_eq!(a.port.send(0, &sent), Ok(true));
    let passed: Vec<_> = received(&service).iter().map(|&(kind, id, _)| (kind, id)).collect();
    assert_eq!(passed, [(Peer::IS, 0), (1, 80)]);
    let answers = heard(&a, |record| match tcp::Event::decode(record) {
        Ok(tcp::Event::Refused { id, why }) => Some((id, why.to_string())),
        _ => None,
    });
    let [listen, connect] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(*listen, (22, "the arrow does not grant to listen on port 22".into()));
    assert_eq!(*connect, (7, "the arrow does not grant to connect to [::1]:25".into()));
}

/// Whoever makes the connection looks the name up by itself: it is the name that the grant is held against.
#[test]
fn hosts_are_dialed_by_the_names_and_addresses_of_the_grant() {
    let remotes = ["a.example:443", "*.b.example:1-9", "192.0.2.0/24:443", "[2001:db8::1]:443"];
    let gate = crate::grants::net::tcp(&grant(&[], &remotes), &Arc::default());
    let (client, service) = gated(gate, 1 << 20);
    let long = "x".repeat(60_000);
    let dials = [
        ("a.example", 443, true),
        ("A.Example.", 443, true),
        ("a.example", 80, false),
        ("b.a.example", 443, false),
        ("x.b.example", 9, true),
        ("b.example", 9, false),
        ("192.0.2.7", 443, true),
        ("192.0.3.7", 443, false),
        ("[2001:db8::1]", 443, true),
        ("2001:db8::2", 443, false),
        ("", 443, false),
        (&long, 443, false),
    ];
    let mut expected = Vec::new();
    for (ticket, (name, port, may)) in (0..).zip(dials) {
        assert_eq!(client.port.send(0, &batch(&[tcp::Command::Dial { ticket, port, name }])), Ok(true));
        expected.extend(may.then_some(ticket));
    }
    let passed = heard(&service, |record| match tcp::Command::decode(record) {
        Ok(tcp::Command::Dial { ticket, .. }) => Some(ticket),
        _ => None,
    });
    assert_eq!(passed, expected);
    let refused = heard(&client, |record| match tcp::Event::decode(record) {
        Ok(tcp::Event::Failed { ticket, cause: tcp::Cause::Denied, why, .. }) => Some((ticket, why.to_string())),
        _ => None,
    });
    assert_eq!(refused.len(), dials.len() - expected.len());
    assert_eq!(refused[0], (2, "the arrow does not grant to connect to a.example:80".into()));
    assert!(refused.iter().all(|(_, why)| why.len() < 400));
}

/// A box that asks for what it is not granted, and never reads that it is not.
#[test]
fn refusals_are_held_to_the_limit_of_the_boxes_own_inbox() {
    let (a, _, service) = system();
    [&a, &service].iter().for_each(|side| drop(received(side)));
    let denied = batch(&[tcp::Command::Listen { port: 22, backlog: 1 }]);
    assert_eq!(a.port.send(0, &denied), Ok(true));
    a.signal.take();
    let mixed = batch(&[LISTEN, tcp::Command::Listen { port: 22, backlog: 1 }]);
    for sent in [&denied, &mixed, &denied] {
        assert_eq!(a.port.send(0, sent), Ok(false), "there is no room for another refusal");
    }
    assert_eq!((kinds(&service), a.signal.take()), (vec![], Ready::default()), "nothing was taken");
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true), "what needs no answer of the node passes");
    assert_eq!(kinds(&a), [(Peer::IS, 0), (2, 22)]);
    assert_eq!(a.signal.take(), Ready::ROOM);
    assert_eq!(a.port.send(0, &mixed), Ok(true));
    assert_eq!(kinds(&a), [(Peer::IS, 0), (2, 22)]);
    assert_eq!(kinds(&service), [(Peer::IS, 0), (1, 80), (1, 80)]);
    // refusals of one batch that are together longer than any batch: no receiver takes them at once
    let mut many = Batch::new();
    while many.len() < wit::MAX_BATCH / 2 {
        tcp::Command::Listen { port: 22, backlog: 1 }.encode(&mut many);
    }
    assert_eq!(a.port.send(0, many.as_bytes()), Err(Refused::TooLong { bytes: many.len() }));
    assert_eq!((kinds(&a), kinds(&service)), (vec![], vec![]));
}

fn lookup(ticket: u32, name: &str) -> Vec<u8> {
    let mut batch = Batch::new();
    names::Command::Lookup { ticket, name }.encode(&mut batch);
    batch.into_bytes()
}

fn found(ticket: u32, addresses: &[Ipv6Addr]) -> Vec<u8> {
    let mut batch = Batch::new();
    names::Event::Addresses { ticket, addresses: addresses.into() }.encode(&mut batch);
    batch.into_bytes()
}

fn failures(client: &Side) -> Vec<(u32, String)> {
    heard(client, |record| match names::Event::decode(record) {
        Ok(names::Event::Failed { ticket, why }) => Some((ticket, why.into())),
        _ => None,
    })
}

#[test]
fn a_grant_can_speak_of_names_that_the_box_has_looked_up() {
    let known = Arc::<Known>::default();
    let grant = grant(&[], &["example.org:443", "other.org:80"]);
    let (client, service) = gated(net::names(&[&grant], &known), 10_000);
    let gate = net::tcp(&grant, &known);
    let to = Endpoint { address: "2001:db8::1".parse().unwrap(), port: 443 };
    let denied = || {
        let packed = batch(&[tcp::Command::Connect { ticket: 1, to }]);
        let record = Records::new(&packed).next().unwrap().unwrap();
        gate.check(&record).unwrap().is_some()
    };
    assert!(denied());
    for (ticket, name) in [(1, "other.org"), (2, "example.org")] {
        assert_eq!(client.port.send(0, &lookup(ticket, name)), Ok(true));
    }
    for ticket in [1, 3, 2] {
        assert!(denied(), "that address belongs to another name, or to no question");
        assert_eq!(service.port.send(0, &found(ticket, &[to.address])), Ok(true));
    }
    assert!(!denied());
    let asked = heard(&service, |record| match names::Command::decode(record) {
        Ok(names::Command::Lookup { name, .. }) => Some(name.to_string()),
        _ => None,
    });
    assert_eq!(asked, ["other.org", "example.org"]);
    known.clear();
    assert!(denied(), "another instance of the box has looked nothing up");
}

#[test]
fn a_ticket_is_for_one_lookup_at_a_time() {
    let grant = grant(&[], &["*:443"]);
    let (client, service) = gated(net::names(&[&grant], &Arc::default()), 10_000);
    assert_eq!(client.port.send(0, &lookup(5, "example.org")), Ok(true));
    assert_eq!(client.port.send(0, &lookup(5, "other.org")), Ok(true));
    assert_eq!(failures(&client), [(5, "the ticket is in use".into())]);
    assert_eq!(kinds(&service).len(), 2, "`peer` and the first");
    assert_eq!(service.port.send(0, &found(5, &[])), Ok(true));
    assert_eq!(client.port.send(0, &lookup(5, "other.org")), Ok(true));
    let mut failed = Batch::new();
    names::Event::Failed { ticket: 5, why: "no such name" }.encode(&mut failed);
    assert_eq!(service.port.send(0, failed.as_bytes()), Ok(true));
    assert_eq!(client.port.send(0, &lookup(5, "third.org")), Ok(true));
    assert_eq!(kinds(&service).len(), 3, "`peer` and two more");
}

#[test]
fn names_that_no_grant_admits_are_not_looked_up() {
    // what any of the box's grants admits
    let (one, other) = (grant(&[], &["example.org:443"]), grant(&[], &["*.below.org:1", "10.0.0.0/8:*"]));
    let (client, service) = gated(net::names(&[&one, &other], &Arc::default()), 10_000);
    let mut asked = Batch::new();
    for (ticket, name) in [(1, "example.org"), (2, "a.below.org"), (3, "below.com"), (4, "10.0.0.1"), (5, "")] {
        asked.append(&lookup(ticket, name));
    }
    assert_eq!(client.port.send(0, asked.as_bytes()), Ok(true));
    let why = "no arrow of the box grants to reach such a host";
    assert_eq!(failures(&client), [3, 4, 5].map(|ticket| (ticket, why.into())));
    assert_eq!(kinds(&service), [(Peer::IS, 0), (1, 1), (1, 2)]);
}

#[test]
fn lookups_and_their_names_are_bounded() {
    let grant = grant(&[], &["*:443"]);
    let (client, service) = gated(net::names(&[&grant], &Arc::default()), 100_000);
    let name = "n".repeat(254);
    for ticket in 0..256 {
        assert_eq!(client.port.send(0, &lookup(ticket, &name)), Ok(true));
    }
    assert_eq!(failures(&client), []);
    assert_eq!(client.port.send(0, &lookup(256, "example.org")), Ok(true));
    assert_eq!(client.port.send(0, &lookup(257, &"n".repeat(255))), Ok(true));
    let expected = [(256, "too many lookups are under way".into()), (257, "the name is too long".into())];
    assert_eq!(failures(&client), expected);
    assert_eq!(kinds(&service).len(), 257);
    assert_eq!(service.port.send(0, &found(17, &[])), Ok(true));
    received(&client);
    assert_eq!(client.port.send(0, &lookup(256, "example.org")), Ok(true));
    assert_eq!(client.port.send(0, &lookup(17, "example.org")), Ok(true), "and again there is one too many");
    assert_eq!(failures(&client), [(17, "too many lookups are under way".into())]);
}

/// A lookup that the service has not got is not under way.
#[test]
fn a_lookup_that_found_no_room_or_no_service_can_be_asked_again() {
    let grant = grant(&[], &["*:443"]);
    let (client, service) = gated(net::names(&[&grant], &Arc::default()), 50);
    assert_eq!(client.port.send(0, &lookup(1, "example.org")), Ok(true));
    assert_eq!(client.port.send(0, &lookup(2, "example.org")), Ok(false), "the service does not read");
    let mut mixed = Batch::from_bytes(lookup(1, "refused"));
    mixed.append(&lookup(2, "example.org"));
    assert_eq!(client.port.send(0, mixed.as_bytes()), Ok(false));
    assert_eq!(kinds(&service), [(Peer::IS, 0), (1, 1)]);
    assert_eq!(client.port.send(0, &lookup(2, "example.org")), Ok(true));
    assert_eq!(client.port.send(0, &lookup(1, "other.org")), Ok(true));
    assert_eq!(failures(&client), [(1, "the ticket is in use".into())], "what was asked first still is");
    service.port.detach("it trapped");
    assert_eq!(client.port.send(0, &lookup(3, "example.org")), Ok(true), "lost");
    service.port.attach();
    [&client, &service].iter().for_each(|side| drop(received(side)));
    for ticket in [1, 2, 3] {
        assert_eq!(client.port.send(0, &lookup(ticket, "a.org")), Ok(true));
        assert_eq!(kinds(&service), [(Peer::IS, 0), (1, ticket)], "the new instance was asked nothing yet");
    }
    assert_eq!(failures(&client), []);
}

/// Those that were found last are known.
#[test]
fn addresses_are_remembered_up_to_a_number() {
    let known = Arc::<Known>::default();
    let grant = grant(&[], &["example.org:443"]);
    let (client, service) = gated(net::names(&[&grant], &known), 100_000);
    let gate = net::tcp(&grant, &known);
    let granted = |address: Ipv6Addr| {
        let packed = batch(&[tcp::Command::Connect { ticket: 1, to: Endpoint { address, port: 443 } }]);
        let record = Records::new(&packed).next().unwrap().unwrap();
        gate.check(&record).unwrap().is_none()
    };
    let address = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
    let all: Vec<Ipv6Addr> = (0..300).map(address).collect();
    assert_eq!(client.port.send(0, &lookup(1, "example.org")), Ok(true));
    assert_eq!(service.port.send(0, &found(1, &all)), Ok(true));
    assert_eq!(all.iter().filter(|address| granted(**address)).count(), 256);
    assert!(!granted(address(43)) && granted(address(44)) && granted(address(299)));
}

fn datagram(port: u16, to: Endpoint) -> udp::Command<'static> {
    udp::Command::Datagram { port, to, data: b"hello" }
}

#[test]
fn a_box_that_may_bind_a_port_answers_who_wrote_to_it_and_writes_first_only_to_whom_it_may() {
    let known = Arc::<Known>::default();
    let (client, service) = gated(net::udp(&grant(&["53"], &["[2001:db8::1]:123"]), &known), 10_000);
    let at = |host: u16, port| Endpoint { address: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host), port };
    let send = |command: udp::Command<'_>| {
        let mut batch = Batch::new();
        command.encode(&mut batch);
        assert_eq!(client.port.send(0, batch.as_bytes()), Ok(true));
        let refused = heard(&client, |record| match udp::Event::decode(record) {
            Ok(udp::Event::Refused { port, why }) => Some(Some((port, why.to_string()))),
            Ok(udp::Event::Datagram { .. }) => Some(None),
            _ => None,
        });
        let passed = !received(&service).is_empty();
        let refused: Vec<_> = refused.into_iter().flatten().collect();
        assert_eq!(passed, refused.is_empty());
        refused
    };
    assert_eq!(send(udp::Command::Bind { port: 53 }), []);
    assert_eq!(send(udp::Command::Bind { port: 54 }), [(54, "the arrow does not grant to bind port 54".into())]);
    assert_eq!(send(datagram(53, at(1, 123))), []);
    let other = format!("the arrow does not grant to send to [{}]:4444", at(2, 4444).address);
    assert_eq!(send(datagram(53, at(2, 4444))), [(53, other.clone())]);
    let mut event = Batch::new();
    udp::Event::Datagram { port: 53, from: at(2, 4444), data: b"?" }.encode(&mut event);
    assert_eq!(service.port.send(0, event.as_bytes()), Ok(true));
    assert_eq!(send(datagram(53, at(2, 4444))), []);
    // from no other port, to no other port, and to nobody else
    assert_eq!(send(datagram(54, at(2, 4444))), [(54, other)]);
    assert_eq!(send(datagram(53, at(2, 4445))).len(), 1);
    assert_eq!(send(datagram(53, at(3, 4444))).len(), 1);
    known.clear();
    assert_eq!(send(datagram(53, at(2, 4444))).len(), 1, "another instance has heard of nobody");
}
