//! Datagrams between client boxes and another machine.

mod common;

use common::wire::Quality;
use common::*;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::IpAddress;
use wit::tcp::Endpoint;
use wit::udp::{Command, Event};
use wit::{Batch, Peer, Records};

fn host_socket(world: &mut World, port: u16) -> SocketHandle {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65_536]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).unwrap();
    world.host.sockets.add(socket)
}

fn host(world: &mut World, handle: SocketHandle) -> &mut udp::Socket<'static> {
    world.host.sockets.get_mut(handle)
}

fn command(world: &mut World, peer: u32, command: Command<'_>) {
    let mut batch = Batch::new();
    Peer::Is(peer).encode(&mut batch);
    command.encode(&mut batch);
    world.stack.udp_commands(world.now, batch.as_bytes());
}

/// The events of a peer, written down.
fn events(world: &mut World, peer: u32) -> Vec<String> {
    let taken = std::mem::take(&mut world.udp);
    let (own, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(p, _)| *p == peer);
    world.udp = others;
    let records = own.iter().flat_map(|(_, packed)| Records::new(packed));
    let event = |event| match event {
        Event::Bound { port } => format!("bound {port}"),
        Event::Refused { port, why } => format!("refused {port}: {why}"),
        Event::Datagram { port, from, data } => {
            format!("{port} from {} {}: {}", from.address, from.port, String::from_utf8_lossy(data))
        }
        other => panic!("{other:?}"),
    };
    records.map(|record| event(Event::decode(&record.unwrap()).unwrap())).collect()
}

#[test]
fn datagrams_both_ways() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = host_socket(&mut world, 9);
    command(&mut world, 0, Command::Bind { port: 53 });
    for (stack, mapped, name) in [(STACK4, "::ffff:10.0.0.1", "::ffff:10.0.0.1"), (STACK6, HOST6, HOST6)] {
        let to: IpAddress = stack.parse().unwrap();
        host(&mut world, handle).send_slice(b"question", (to, 53)).unwrap();
        assert!(world.run(5, |world| world.udp.len() > usize::from(name != HOST6)));
        let got = events(&mut world, 0);
        assert_eq!(got.last().unwrap(), &format!("53 from {name} 9: question"));
        let to = Endpoint { address: mapped.parse().unwrap(), port: 9 };
        command(&mut world, 0, Command::Datagram { port: 53, to, data: b"answer" });
        assert!(world.run(5, |world| host(world, handle).can_recv()), "{stack}");
        let (data, from) = host(&mut world, handle).recv().unwrap();
        assert_eq!((data, from.endpoint.port), (&b"answer"[..], 53));
    }
}

#[test]
fn large_datagrams_travel_in_fragments() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = host_socket(&mut world, 9);
    command(&mut world, 0, Command::Bind { port: 53 });
    let data = "long ".repeat(1_000);
    let to: IpAddress = STACK4.parse().unwrap();
    host(&mut world, handle).send_slice(data.as_bytes(), (to, 53)).unwrap();
    assert!(world.run(5, |world| world.udp.len() == 2));
    assert_eq!(events(&mut world, 0), ["bound 53", &format!("53 from ::ffff:10.0.0.1 9: {data}")]);
    let to = Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 9 };
    command(&mut world, 0, Command::Datagram { port: 53, to, data: data.as_bytes() });
    assert!(world.run(5, |world| host(world, handle).can_recv()));
    assert_eq!(host(&mut world, handle).recv().unwrap().0, data.as_bytes());
}

#[test]
fn ports_belong_to_the_box_that_bound_them() {
    let mut world = World::new(Quality::CLEAN, 1);
    world.attach(1);
    command(&mut world, 0, Command::Bind { port: 53 });
    command(&mut world, 0, Command::Bind { port: 53 });
    command(&mut world, 1, Command::Bind { port: 53 });
    command(&mut world, 1, Command::Bind { port: 0 });
    command(&mut world, 1, Command::Bind { port: 68 });
    let to = Endpoint { address: "::ffff:10.0.0.1".parse().unwrap(), port: 9 };
    command(&mut world, 1, Command::Datagram { port: 53, to, data: b"forged" });
    command(&mut world, 1, Command::Unbind { port: 53 });
    world.pass(1);
    assert_eq!(events(&mut world, 0), ["bound 53", "bound 53"]);
    assert_eq!(
        events(&mut world, 1),
        [
            "refused 53: another box has bound this port",
            "refused 0: the port is not available",
            "refused 68: the port is not available"
        ]
    );
    world.detach(0);
    command(&mut world, 1, Command::Bind { port: 53 });
    world.pass(1);
    assert_eq!(events(&mut world, 1), ["bound 53"]);
    command(&mut world, 1, Command::Unbind { port: 53 });
    command(&mut world, 1, Command::Bind { port: 53 });
    world.pass(1);
    assert_eq!(events(&mut world, 1), ["bound 53"]);
}

#[test]
fn no_more_ports_than_the_limit() {
    let mut world = World::new(Quality::CLEAN, 1);
    for port in 1000..1100 {
        command(&mut world, 0, Command::Bind { port });
    }
    world.pass(1);
    let events = events(&mut world, 0);
    assert_eq!(events.iter().filter(|event| event.starts_with("bound")).count(), 64);
    assert_eq!(events[99], "refused 1099: too many ports are bound");
}

#[test]
fn a_box_without_room_loses_datagrams_and_nothing_else() {
    let mut world = World::new(Quality::CLEAN, 1);
    let handle = host_socket(&mut world, 9);
    command(&mut world, 0, Command::Bind { port: 53 });
    world.pass(1);
    world.full.insert(0);
    let to: IpAddress = STACK4.parse().unwrap();
    for _ in 0..100 {
        host(&mut world, handle).send_slice(b"x", (to, 53)).unwrap();
        world.pass(1);
    }
    world.full.clear();
    world.stack.room();
    world.pass(1);
    // One was in the batch that was refused, the others waited in the socket.
    let got = events(&mut world, 0).len();
    assert!((32..=34).contains(&got), "{got}");
    host(&mut world, handle).send_slice(b"y", (to, 53)).unwrap();
    world.pass(1);
    assert_eq!(events(&mut world, 0), ["53 from ::ffff:10.0.0.1 9: y"]);
}
