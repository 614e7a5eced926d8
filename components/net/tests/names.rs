//! Name lookups, with scripted name servers on the host.

mod common;

use common::wire::{Quality, SECOND};
use common::*;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use std::collections::BTreeMap;
use wit::names::{Command, Event};
use wit::{Batch, Peer, Records};

/// Name servers at the host's two IPv4 addresses. What they know: a name and a type (1 or 28) give an answer.
struct Servers {
    handle: SocketHandle,
    zone: BTreeMap<(&'static str, u16), Reply>,
    queries: Vec<(String, u16)>,
}

#[derive(Clone)]
enum Reply {
    Records(Vec<(u16, Vec<u8>)>),
    Code(u8),
    Silence,
}

fn world(servers: &[&str]) -> World {
    let names: Vec<String> = (0..servers.len()).map(|i| format!("dns.{i}")).collect();
    let pairs: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(servers.iter().copied()).collect();
    World::with(Quality::CLEAN, 1, &settings(&pairs))
}

impl Servers {
    fn new(world: &mut World) -> Self {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65_536]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(53).unwrap();
        let handle = world.host.sockets.add(socket);
        world.host.interface.update_ip_addrs(|list| list.push("10.0.0.3/24".parse().unwrap()).unwrap());
        Servers { handle, zone: BTreeMap::new(), queries: Vec::new() }
    }

    fn knows(&mut self, name: &'static str, kind: u16, reply: Reply) {
        self.zone.insert((name, kind), reply);
    }

    /// Answers what has been asked. `only` is the address at which a server works; the other is broken.
    fn serve(&mut self, world: &mut World) {
        let socket: &mut udp::Socket = world.host.sockets.get_mut(self.handle);
        while let Ok((query, metadata)) = socket.recv() {
            let query = query.to_vec();
            let (name, kind) = question(&query);
            self.queries.push((name.clone(), kind));
            let reply = self.zone.iter().find(|((n, k), _)| *n == name && *k == kind).map(|(_, reply)| reply.clone());
            let broken = metadata.local_address == Some("10.0.0.3".parse().unwrap());
            let reply = if broken { Reply::Code(2) } else { reply.unwrap_or(Reply::Code(3)) };
            if let Some(message) = answer(&query, &reply) {
                socket.send_slice(&message, metadata).unwrap();
            }
        }
    }
}

fn question(query: &[u8]) -> (String, u16) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..at + 1 + length].to_vec()).unwrap());
        at += 1 + length;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}

fn answer(query: &[u8], reply: &Reply) -> Option<Vec<u8>> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    match reply {
        Reply::Silence => return None,
        Reply::Code(code) => message[3] |= code,
        Reply::Records(records) => {
            message[7] = records.len() as u8;
            for (kind, data) in records {
                // The name is where the question has it, or where the record before put it.
                let pointer = if *kind & 0x8000 != 0 { message.len() as u16 - 2 - 2 } else { 12 };
                let _ = pointer;
                message.extend_from_slice(&[0xc0, 12]);
                message.extend_from_slice(&(kind & 0x7fff).to_be_bytes());
                message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
                message.extend_from_slice(&(data.len() as u16).to_be_bytes());
                message.extend_from_slice(data);
            }
        }
    }
    Some(message)
}

fn lookup(world: &mut World, ticket: u32, name: &str) {
    let mut batch = Batch::new();
    Peer::Is(0).encode(&mut batch);
    Command::Lookup { ticket, name }.encode(&mut batch);
    world.stack.names_commands(world.now, batch.as_bytes());
}

/// Runs until the lookup has its result.
fn result(world: &mut World, servers: &mut Servers) -> String {
    assert!(world.run(60, |world| {
        servers.serve(world);
        !world.names.is_empty()
    }));
    let (_, packed) = world.names.remove(0);
    let record = Records::new(&packed).next().unwrap().unwrap();
    match Event::decode(&record).unwrap() {
        Event::Addresses { ticket, addresses } => {
            let addresses: Vec<String> = addresses.iter().map(|address| address.to_string()).collect();
            format!("{ticket}: {}", addresses.join(" "))
        }
        Event::Unknown { kind } => panic!("kind {kind}"),
        Event::Failed { ticket, why } => format!("{ticket}: {why}"),
    }
}

fn a(octets: [u8; 4]) -> Reply {
    Reply::Records(vec![(1, octets.to_vec())])
}

#[test]
fn addresses_of_both_families() {
    let mut world = world(&[HOST4]);
    let mut servers = Servers::new(&mut world);
    servers.knows("example.org", 1, Reply::Records(vec![(1, vec![192, 0, 2, 1]), (1, vec![192, 0, 2, 2])]));
    let mut octets = vec![0; 16];
    (octets[0], octets[1], octets[15]) = (0x20, 0x01, 7);
    servers.knows("example.org", 28, Reply::Records(vec![(28, octets)]));
    lookup(&mut world, 5, "Example.ORG.");
    assert_eq!(result(&mut world, &mut servers), "5: ::ffff:192.0.2.1 ::ffff:192.0.2.2 2001::7");
    // Again, from the cache.
    lookup(&mut world, 6, "example.org");
    assert_eq!(result(&mut world, &mut servers), "6: ::ffff:192.0.2.1 ::ffff:192.0.2.2 2001::7");
    assert_eq!(servers.queries.len(), 2);
    world.pass(61);
    lookup(&mut world, 7, "example.org");
    result(&mut world, &mut servers);
    assert_eq!(servers.queries.len(), 4);
}

#[test]
fn aliases_are_followed() {
    let mut world = world(&[HOST4]);
    let mut servers = Servers::new(&mut world);
    // An alias to itself is all that one pointer can say here; the address belongs to the same name.
    servers.knows("www.example.org", 1, Reply::Records(vec![(5, vec![0xc0, 12]), (1, vec![192, 0, 2, 9])]));
    servers.knows("www.example.org", 28, Reply::Records(vec![]));
    lookup(&mut world, 1, "www.example.org");
    assert_eq!(result(&mut world, &mut servers), "1: ::ffff:192.0.2.9");
}

#[test]
fn failures_say_why() {
    let mut world = world(&[HOST4]);
    let mut servers = Servers::new(&mut world);
    servers.knows("empty.example", 1, Reply::Records(vec![]));
    servers.knows("empty.example", 28, Reply::Records(vec![]));
    servers.knows("silent.example", 1, Reply::Silence);
    servers.knows("silent.example", 28, Reply::Silence);
    servers.knows("broken.example", 1, Reply::Code(2));
    servers.knows("broken.example", 28, Reply::Code(2));
    let long = "x".repeat(64);
    for (name, why) in [
        ("none.example", "no such name"),
        ("empty.example", "the name has no address"),
        ("silent.example", "no answer from the name servers"),
        ("broken.example", "the name servers cannot say"),
        ("", "not a host name"),
        ("a..b", "not a host name"),
        (&long, "not a host name"),
        // Addresses are told for names that were looked up only: a grant of the name would grant them.
        ("192.0.2.1", "not a host name"),
        ("127.0x1", "not a host name"),
        ("2001:db8::1", "not a host name"),
    ] {
        lookup(&mut world, 1, name);
        assert_eq!(result(&mut world, &mut servers), format!("1: {why}"), "{name}");
    }
}

#[test]
fn a_ticket_is_good_for_one_lookup_at_a_time() {
    let mut world = world(&[HOST4]);
    let mut servers = Servers::new(&mut world);
    servers.knows("example.org", 1, a([192, 0, 2, 1]));
    servers.knows("example.com", 1, a([192, 0, 2, 2]));
    lookup(&mut world, 1, "example.org");
    lookup(&mut world, 1, "example.com");
    assert_eq!(result(&mut world, &mut servers), "1: a lookup with this ticket is being answered");
    assert_eq!(result(&mut world, &mut servers), "1: ::ffff:192.0.2.1");
    lookup(&mut world, 1, "example.com");
    assert_eq!(result(&mut world, &mut servers), "1: ::ffff:192.0.2.2");
}

#[test]
fn the_next_server_is_asked_when_one_fails() {
    // 10.0.0.3 cannot answer, and nobody is at 10.0.0.9.
    let mut world = world(&["10.0.0.3", "10.0.0.9", HOST4]);
    let mut servers = Servers::new(&mut world);
    servers.knows("example.org", 1, a([192, 0, 2, 1]));
    lookup(&mut world, 1, "example.org");
    let began = world.now;
    assert_eq!(result(&mut world, &mut servers), "1: ::ffff:192.0.2.1");
    assert!(world.now - began < 6 * SECOND);
}

#[test]
fn without_a_server_it_fails_in_time() {
    let mut world = World::new(Quality::CLEAN, 1);
    let mut servers = Servers::new(&mut world);
    lookup(&mut world, 1, "example.org");
    let began = world.now;
    assert_eq!(result(&mut world, &mut servers), "1: no name server is known");
    assert!(world.now - began <= 11 * SECOND);
}

#[test]
fn a_detached_box_is_not_answered() {
    let mut world = world(&[HOST4]);
    let mut servers = Servers::new(&mut world);
    servers.knows("example.org", 1, a([192, 0, 2, 1]));
    lookup(&mut world, 1, "example.org");
    world.detach(0);
    world.attach(0);
    world.run(20, |world| {
        servers.serve(world);
        false
    });
    assert!(world.names.is_empty());
}

/// A name server on the host that has no room in datagrams, and what it does over TCP.
struct Streaming {
    udp: SocketHandle,
    tcp: Vec<SocketHandle>,
    /// bytes of what has come on each
    got: Vec<Vec<u8>>,
    answers: Over,
    /// questions of one stream
    asked: Vec<(String, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// many addresses, in so many bytes that only TCP has room for them
    Tcp,
    /// the same, on a wire where segments overtake each other
    Slowly,
    Silence,
    Refusal,
    /// messages that answer nothing
    Nonsense,
    /// and closes before the end
    Half,
}

const MANY: usize = 400;

fn many(query: &[u8], kind: u16, count: usize, truncated: bool) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80 | if truncated { 2 } else { 0 };
    message[6..8].copy_from_slice(&(count as u16).to_be_bytes());
    for n in 0..count as u16 {
        let [high, low] = n.to_be_bytes();
        let four = vec![192, 0, high, low];
        let data = if kind == 1 { four } else { [&[0x20, 1], &[0; 10][..], &four].concat() };
        message.extend_from_slice(&[0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        message.extend_from_slice(&data);
    }
    message
}

impl Streaming {
    fn new(world: &mut World, answers: Over) -> Self {
        let Servers { handle: udp, .. } = Servers::new(world);
        let tcp = if answers == Over::Refusal { Vec::new() } else { (0..12).map(|_| world.host.listen(53)).collect() };
        let got = vec![Vec::new(); tcp.len()];
        Streaming { udp, tcp, got, answers, asked: Vec::new() }
    }

    fn serve(&mut self, world: &mut World) {
        let socket: &mut udp::Socket = world.host.sockets.get_mut(self.udp);
        while let Ok((query, metadata)) = socket.recv() {
            let query = query.to_vec();
            let (_, kind) = question(&query);
            socket.send_slice(&many(&query, kind, 2, true), metadata).unwrap();
        }
        for (handle, got) in self.tcp.iter().zip(&mut self.got) {
            let socket = world.host.tcp(*handle);
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
            }
            while got.len() > 2 && got.len() >= 2 + usize::from(got[0]) * 256 + usize::from(got[1]) {
                let query: Vec<u8> = got.drain(..2 + usize::from(got[1])).skip(2).collect();
                let (name, kind) = question(&query);
                self.asked.push((name, kind));
                let mut answer = many(&query, kind, MANY, false);
                if self.answers == Over::Nonsense {
                    answer[0] ^= 1;
                }
                let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
                match self.answers {
                    Over::Silence => {}
                    Over::Half => {
                        socket.send_slice(&framed[..1_000]).unwrap();
                        socket.close();
                        got.clear();
                    }
                    _ => assert_eq!(socket.send_slice(&framed), Ok(framed.len())),
                }
            }
        }
    }

    fn result(&mut self, world: &mut World) -> String {
        let mut none = Servers { handle: self.udp, zone: BTreeMap::new(), queries: Vec::new() };
        let came = world.run(120, |world| {
            self.serve(world);
            !world.names.is_empty()
        });
        assert!(came, "{:?}", self.answers);
        result(world, &mut none)
    }
}

/// RFC 7766: an answer that does not fit into a datagram is asked for over TCP, of the same server.
#[test]
fn a_truncated_answer_is_asked_again_over_tcp() {
    for answers in [Over::Tcp, Over::Slowly] {
        let mut world = world(&[HOST4]);
        if answers == Over::Slowly {
            world.to_stack.quality = Quality { duplication: 20, reordering: 20, ..Quality::CLEAN };
        }
        let mut server = Streaming::new(&mut world, answers);
        for round in 0..3 {
            let name = ["a.example", "b.example", "c.example"][round];
            lookup(&mut world, 5, name);
            let result = server.result(&mut world);
            // as many as are used of each family
            let addresses: Vec<&str> = result.strip_prefix("5: ").unwrap().split(' ').collect();
            assert_eq!(addresses.len(), 32, "{result}");
            assert_eq!((addresses[2], addresses[31]), ("::ffff:192.0.0.2", "2001::c000:f"));
            let mut asked = std::mem::take(&mut server.asked);
            asked.sort();
            assert_eq!(asked, [(name.into(), 1), (name.into(), 28)]);
            // On one connection, which is over then.
            world.pass(5);
            assert_eq!(world.stack.connections(), 0);
        }
        // No client has heard anything of that.
        assert!(world.peer(0).closed.is_empty() && world.peer(0).refused.is_empty());
    }
}

/// The next server is asked, and where none can say more, what there was room for is better than nothing.
#[test]
fn servers_that_fail_over_tcp() {
    for answers in [Over::Silence, Over::Refusal, Over::Nonsense, Over::Half] {
        let mut world = world(&[HOST4, "10.0.0.3"]);
        let mut server = Streaming::new(&mut world, answers);
        lookup(&mut world, 5, "a.example");
        let began = world.now;
        let result = server.result(&mut world);
        assert_eq!(result, "5: ::ffff:192.0.0.0 ::ffff:192.0.0.1 2001::c000:0 2001::c000:1", "{answers:?}");
        assert!(world.now - began < 60 * SECOND);
        world.pass(120);
        assert_eq!(world.stack.connections(), 0, "{answers:?}");
    }
}

/// However many lookups there are, and whoever goes meanwhile.
#[test]
fn streams_have_a_bound_and_end_with_their_box() {
    let mut world = world(&[HOST4]);
    let mut server = Streaming::new(&mut world, Over::Silence);
    let name = |n: u32| format!("n{n}.example");
    (0..40).for_each(|n| lookup(&mut world, n, &name(n)));
    world.run(4, |world| {
        server.serve(world);
        assert!(world.stack.connections() <= 8);
        false
    });
    assert_eq!(world.stack.connections(), 8);
    world.detach(0);
    world.pass(2);
    assert_eq!(world.stack.connections(), 0);
    // Another box is none the worse for it.
    world.names.clear();
    server.answers = Over::Tcp;
    world.attach(0);
    lookup(&mut world, 1, "c.example");
    assert!(server.result(&mut world).contains("::ffff:192.0.0.9"));
}
