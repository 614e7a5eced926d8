//! What proxies say of their connections, and what `accepted` says of the certificate.

mod common;

use common::{Client, PORT, SECOND, World, client_config};
use rustls::version::TLS13;
use wit::tcp::Event;

const PROXY: &str = "::ffff:10.0.0.1";
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n";

/// Makes a handshake by a proxy, whose header comes in pieces, the last of them with the first bytes of the client's if it is cut at its end.
fn connect(world: &mut World, number: u32, header: &[u8], step: usize) -> Client {
    let config = client_config(world, &["localhost"], &[&TLS13]);
    let mut client = Client::new(world, number, &config, "localhost");
    header.chunks(step).for_each(|data| {
        world.net_says(&Event::Data { connection: number, data });
        world.turn();
    });
    client.go(world);
    client
}

#[test]
fn the_client_is_whom_the_proxy_names() {
    let second = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 8, 10, 0, 0, 1, 1, 2, 1, 187]].concat();
    for (header, expected) in [(HEADER, "192.0.2.7"), (&second, "192.0.2.8"), (b"PROXY UNKNOWN\r\n", "192.0.2.1")] {
        for step in [1, 7, 1_000] {
            let mut world = World::new(&[("proxy-protocol-from", "192.0.2.1")]);
            let mut client = connect(&mut world, 7, header, step);
            assert_eq!((client.error.clone(), world.last().remote.as_str()), (None, expected), "{header:?} by {step}");
            client.write(b"ping");
            client.go(&mut world);
            assert_eq!(world.last().data, b"ping");
        }
    }
    // in one piece with what the client says first
    let mut world = World::new(&[("proxy-protocol-from", "192.0.2.1")]);
    let config = client_config(&world, &["localhost"], &[&TLS13]);
    let mut client = Client::new(&mut world, 7, &config, "localhost");
    let mut stream = HEADER.to_vec();
    client.tls.write_tls(&mut stream).unwrap();
    world.net_says(&Event::Data { connection: 7, data: &stream });
    client.go(&mut world);
    assert_eq!((client.error, world.last().remote.as_str()), (None, "192.0.2.7"));
}

#[test]
fn what_is_no_header_ends_the_connection() {
    let mut world = World::new(&[("proxy-protocol-from", "10.0.0.0/8")]);
    let long = b"PROXY UNKNOWN ".repeat(20);
    for (number, data) in [(1, &b"\x16\x03\x01\x02\x00"[..]), (2, b"PROXY TCP4 a b c d\r\n"), (3, &long)] {
        world.accept_from(number, PROXY.parse().unwrap());
        world.net_says(&Event::Data { connection: number, data });
        world.turn();
        assert!(world.sides.told[&number].aborted, "{data:?}");
    }
    assert!(world.sides.log.iter().any(|line| line.starts_with("10.0.0.1: ") && line.contains("PROXY protocol")));
    // nor is a slow one waited for
    world.accept_from(4, PROXY.parse().unwrap());
    world.net_says(&Event::Data { connection: 4, data: &HEADER[..9] });
    world.turn();
    world.now += 9 * SECOND;
    world.turn();
    assert!(!world.sides.told.get(&4).is_some_and(|told| told.aborted));
    world.now += SECOND;
    world.turn();
    assert!(world.sides.told[&4].aborted);
    // others have none
    let client = connect(&mut world, 5, HEADER, 1_000);
    assert!(world.sides.accepted.is_empty() && client.tls.is_handshaking());
}

/// All clients of a proxy come from its address; each of them has its own limit.
#[test]
fn limits_are_those_of_clients() {
    let settings = [("proxy-protocol-from", "10.0.0.1"), ("client-connections", "3")];
    let mut world = World::new(&settings);
    for number in 0..10 {
        world.accept_from(number, PROXY.parse().unwrap());
    }
    world.turn();
    let open = |world: &World| (0..10).filter(|n| !world.sides.told.get(n).is_some_and(|told| told.aborted)).count();
    assert_eq!(open(&world), 10);
    for number in 0..10 {
        world.net_says(&Event::Data { connection: number, data: HEADER });
        world.turn();
    }
    assert_eq!(open(&world), 3);
}

#[test]
fn the_names_of_the_certificate_are_told() {
    let mut world = World::new(&[
        ("certificates.0.names", "localhost"),
        ("certificates.1.names.0", "a.example"),
        ("certificates.1.names.1", "*.b.example"),
    ]);
    assert_eq!(PORT, 443);
    for (name, covers) in
        [("localhost", "localhost"), ("x.b.example", "a.example *.b.example"), ("c.example", "localhost")]
    {
        let names: &[&str] = if covers == "localhost" { &["localhost"] } else { &["a.example", "*.b.example"] };
        let config = client_config(&world, names, &[&TLS13]);
        let mut client = Client::new(&mut world, 9, &config, name);
        client.go(&mut world);
        // of a name that it is not for, the client says so once the box has all that it asks for
        if name != "c.example" {
            assert_eq!((client.error, world.last().covers.as_str()), (None, covers), "{name}");
        }
        world.net_says(&Event::Closed { connection: 9, why: "" });
        world.turn();
    }
}
