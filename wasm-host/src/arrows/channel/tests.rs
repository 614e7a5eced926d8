use super::*;
use crate::{
    arrows::{Kinds, Protocol, measure::Meter},
    grants::net::{self, Known},
    plan::grant::{NetGrant, Ports},
    platform::fake::FakePlatform,
    system::known,
};
use alloc::{sync::Arc, vec, vec::Vec};
use wit::{Batch, Peer, Records, tcp};

mod gates;

struct Side {
    signal: Arc<Signal>,
    port: Arc<Port>,
}

/// The protocol of connections, as far as the node looks at it.
fn connections() -> Protocol {
    let opens = Kinds::bit(tcp::Event::ACCEPTED) | Kinds::bit(tcp::Event::CONNECTED);
    Protocol::new("pearwood:net/tcp@0.2", Kinds { opens, fails: Kinds::bit(tcp::Event::REFUSED), ..Kinds::default() })
}

/// The number of the ports of all sides.
const NUMBER: u8 = 7;

fn side_of(protocol: Protocol, end: End, limit: usize) -> Side {
    let signal = Arc::new(Signal::default());
    let port = Port::new(Setup {
        protocol,
        end,
        number: NUMBER,
        owner: &"box".into(),
        signal: &signal,
        limit,
        services: Vec::new(),
    });
    Side { signal, port }
}

fn side(end: End) -> Side {
    side_of(connections(), end, 100)
}

/// The gate of a client that may listen there.
fn listens(port: &str) -> Option<Arc<dyn Gate>> {
    let grant = NetGrant { listen: vec![Ports::parse(port).unwrap()], ..NetGrant::default() };
    Some(net::tcp(&grant, &Arc::<Known>::default()))
}

/// Two clients of one service, all up.
fn system() -> (Side, Side, Side) {
    let (a, b, service) = (side(End::Client), side(End::Client), side(End::Service));
    let join = |client: &Side, attach: &[u8]| {
        Arrow::join(&client.port, &service.port, attach.to_vec(), listens("80"), None);
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
    let both = [(Peer::ATTACH, 0, vec![]), (Peer::ATTACH, 1, b"hello".to_vec())];
    assert_eq!(received(&service), both, "either end is told what the arrow says");
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
fn what_is_received_is_put_where_the_box_says() {
    let (a, _, service) = system();
    received(&service);
    let sent = batch(&[LISTEN, LISTEN]);
    assert_eq!(a.port.send(0, &sent), Ok(true));
    let length = wit::batch::HEADER + sent.len();
    let mut space = [0xff; 100];
    let Err(mut whole) = service.port.receive_into(&mut space[..length - 1]) else { panic!("there is no room") };
    assert_eq!((whole.buffer().len(), space), (length, [0xff; 100]));
    drop(whole);
    assert!(matches!(service.port.receive_into(&mut space), Ok(0)));
    assert_eq!(a.port.send(0, &sent), Ok(true));
    assert!(matches!(service.port.receive_into(&mut space[..length]), Ok(received) if received == length));
    assert_eq!((&space[wit::batch::HEADER..length], space[length]), (&sent[..], 0xff));
    assert!(received(&service).is_empty(), "it was taken");
    // and who found the inbox full learns that it has room
    let big = batch(&[tcp::Command::Send { connection: 1, data: &[0; 60] }]);
    assert_eq!((a.port.send(0, &big), a.port.send(0, &big)), (Ok(true), Ok(false)));
    a.signal.take();
    assert!(service.port.receive_into(&mut [0; 200]).is_ok());
    assert_eq!(a.signal.take(), Ready::ROOM);
}

/// The sockets that stand in for `net` on Linux take what comes on a thread of their own.
#[test]
fn room_is_told_however_closely_the_inbox_is_emptied() {
    use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::{
        thread,
        time::{Duration, Instant},
    };
    const LONG: Duration = Duration::from_secs(20);
    let (a, _, service) = system();
    a.signal.take();
    let big = batch(&[tcp::Command::Send { connection: 1, data: &[0; 60] }]);
    let over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                service.port.receive();
            }
        });
        let told = (0..200_000).all(|_| {
            let began = Instant::now();
            while !a.port.send(0, &big).unwrap() {
                while !a.signal.take().contains(Ready::ROOM) {
                    if began.elapsed() > LONG {
                        return false;
                    }
                    thread::yield_now();
                }
            }
            true
        });
        over.store(true, Relaxed);
        told
    });
    assert!(told, "the inbox was emptied, and nobody said so to the box that found it full");
}

#[test]
fn a_full_inbox_takes_nothing_and_says_when_it_has_room() {
    let (a, _, service) = system();
    received(&service);
    a.signal.take();
    let big = batch(&[tcp::Command::Send { connection: 1, data: &[0; 60] }]);
    assert_eq!(a.port.send(0, &big), Ok(true));
    assert_eq!(a.port.send(0, &big), Ok(false));
    assert_eq!(a.signal.take(), Ready::default());
    assert_eq!(received(&service).len(), 2);
    assert_eq!(a.signal.take(), Ready::ROOM);
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
fn a_crash_is_told_and_nothing_of_it_remains() {
    let (a, b, service) = system();
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true));
    service.port.detach("trap");
    received(&b);
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true), "lost, as `detach` says");
    let last = received(&a).pop();
    assert_eq!(last, Some((Peer::DETACH, 0, b"trap".to_vec())));
    service.port.attach();
    let both = [(Peer::ATTACH, 0, vec![]), (Peer::ATTACH, 1, b"hello".to_vec())];
    assert_eq!(received(&service), both, "either end is told what the arrow says");
    assert_eq!(received(&b), [(Peer::ATTACH, 0, b"hello".to_vec())]);
}

#[test]
fn traffic_is_counted() {
    let (client, service) = (side(End::Client), side(End::Service));
    let meter = Arc::new(Meter::of_protocol(&connections(), FakePlatform::leak()));
    let arrow = Arrow::join(&client.port, &service.port, Vec::new(), listens("80"), Some(meter.clone()));
    for side in [&client, &service] {
        side.port.attach();
    }
    let sent = batch(&[LISTEN, LISTEN]);
    assert_eq!(client.port.send(0, &sent), Ok(true));
    let traffic = meter.traffic(End::Client);
    let load = |counter: &core::sync::atomic::AtomicU64| counter.load(core::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&traffic.batches), load(&traffic.records), load(&traffic.bytes)), (1, 2, sent.len() as u64));
    // another grant, the same figures
    arrow.with_gate(listens("80"));
    received(&client);
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
    let arrow = Arrow::join(&a.port, &other.port, b"route".to_vec(), None, None);
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
        let arrow = Arrow::join(&a.port, &other.port, Vec::new(), None, None);
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
    assert!(a.signal.take().contains(Ready::ROOM));
    assert_eq!(a.port.send(0, &big), Ok(true), "lost, as `detach` says");
}

#[test]
fn a_grant_changes_under_an_arrow() {
    let (a, _, service) = system();
    [&a, &service].iter().for_each(|side| drop(received(side)));
    let arrow = a.port.arrows().remove(0).with_gate(listens("81"));
    assert_eq!((kinds(&a), kinds(&service)), (vec![], vec![]), "nobody notices");
    assert_eq!(a.port.send(0, &batch(&[LISTEN])), Ok(true));
    assert_eq!((kinds(&a), kinds(&service)), (vec![(Peer::IS, 0), (2, 80)], vec![]));
    assert_eq!(a.port.send(0, &batch(&[tcp::Command::Listen { port: 81, backlog: 1 }])), Ok(true));
    assert_eq!(kinds(&service), [(Peer::IS, 0), (1, 81)]);
    arrow.unlink("over");
    assert_eq!(kinds(&service), [(Peer::DETACH, 0)]);
}

/// What the trial of a new version asks a meter.
#[test]
fn failures_are_counted_and_ring() {
    let side = |end| side_of(known::handler(), end, 10_000);
    let (client, service) = (side(End::Client), side(End::Service));
    let meter = Arc::new(Meter::of_protocol(&known::handler(), FakePlatform::leak()));
    Arrow::join(&client.port, &service.port, Vec::new(), None, Some(meter.clone()));
    [&client, &service].iter().for_each(|side| side.port.attach());
    let rung = Arc::new(Signal::default());
    let heard = |status: u16| {
        meter.failure().listen(&rung.waker(Ready::DEADLINE));
        let mut asked = Batch::new();
        asked.push(wit::http::Command::REQUEST, status.into(), b"");
        client.port.send(0, asked.as_bytes()).unwrap();
        let mut answer = Batch::new();
        wit::http::Event::Response { request: status.into(), status, headers: b"" }.encode(&mut answer);
        wit::http::Event::End { request: status.into() }.encode(&mut answer);
        service.port.send(0, answer.as_bytes()).unwrap();
        rung.take() != Ready::default()
    };
    assert_eq!([200, 404, 500, 503].map(heard), [false, false, true, true]);
    assert_eq!((meter.requests(), meter.errors()), (Some(4), 2));
    let mut failed = Batch::new();
    wit::http::Event::Failed { request: 1, why: "broken" }.encode(&mut failed);
    service.port.send(0, failed.as_bytes()).unwrap();
    assert_eq!(meter.errors(), 3);
}

#[test]
fn a_batch_is_no_longer_than_any_receiver_takes() {
    let (a, _, service) = system();
    received(&service);
    let longest = |bytes: usize| {
        let mut batch = Batch::new();
        batch.reserve(tcp::Command::FINISH, 1, bytes - wit::batch::HEADER);
        batch.into_bytes()
    };
    assert_eq!(a.port.send(0, &longest(wit::MAX_BATCH)), Ok(true), "an empty inbox takes it, whatever its limit");
    let bytes = wit::MAX_BATCH + 1;
    assert_eq!(a.port.send(0, &longest(bytes)), Err(Refused::TooLong { bytes }));
    assert_eq!(kinds(&service), [(Peer::IS, 0), (tcp::Command::FINISH, 1)]);
    let said = alloc::format!("{}", Refused::TooLong { bytes });
    assert_eq!(said, "sent a batch of 262145 bytes; the longest is 262144");
}

/// The node looks at nothing of a protocol that only the boxes know.
#[test]
fn a_protocol_that_the_node_has_never_heard_of() {
    let protocol = || Protocol::new("acme:chat/room@3", Kinds::default());
    assert_eq!((protocol().path(), protocol().is_of_requests()), ("acme:chat/room", false));
    let (client, service) = (side_of(protocol(), End::Client, 10_000), side_of(protocol(), End::Service, 10_000));
    let meter = Arc::new(Meter::of_protocol(&protocol(), FakePlatform::leak()));
    Arrow::join(&client.port, &service.port, b"topic".to_vec(), None, Some(meter.clone()));
    [&client, &service].iter().for_each(|side| side.port.attach());
    assert_eq!(received(&client), received(&service));
    let mut all = Batch::new();
    (0..Peer::FIRST_KIND).for_each(|kind| all.push(kind, u32::from(kind) << 20, &[kind; 3]));
    for (from, to) in [(&client, &service), (&service, &client)] {
        to.signal.take();
        assert_eq!(from.port.send(0, all.as_bytes()), Ok(true));
        assert_eq!(to.signal.take(), Ready::port(NUMBER));
        let mut got = to.port.receive();
        let (head, rest) = got.buffer().split_at(wit::batch::HEADER);
        assert_eq!(Records::new(head).next().unwrap().unwrap().kind, Peer::IS);
        assert!(rest == all.as_bytes(), "as it was sent");
    }
    assert_eq!((meter.requests(), meter.connections(), meter.errors()), (None, None, 0));
    let sent = meter.traffic(End::Service).records.load(core::sync::atomic::Ordering::Relaxed);
    assert_eq!(sent, u64::from(Peer::FIRST_KIND));
}
