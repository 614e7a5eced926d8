//! Stands in for the `net` box with the sockets of Linux: the service's ends of `tcp`, `udp` and `names`, in a
//! thread of their own.

mod names;
mod tcp;
mod udp;

use super::Linux;
use mio::{Events, Poll, Token};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Wake, Waker},
};
use wasm_host::{
    arrows::{
        NAMES, TCP, UDP,
        channel::{End, Port, Refused},
    },
    boxes::BoxHandle,
};
use wit::{MAX_BATCH, Peers, tcp::Endpoint};

/// Where the ports that boxes listen on are found on this machine.
pub type PortMap = HashMap<u16, SocketAddr>;

const WAKE: Token = Token(0);

/// Starts the thread that serves the clients of `handle`'s ports.
pub fn serve(linux: &'static Linux, handle: Arc<BoxHandle>, ports: PortMap) -> io::Result<()> {
    let poll = Poll::new()?;
    let waker = Waker::from(Arc::new(Wakes(mio::Waker::new(poll.registry(), WAKE)?)));
    std::thread::Builder::new().name("sockets".into()).spawn(move || run(linux, &handle, ports, poll, &waker))?;
    Ok(())
}

struct Wakes(mio::Waker);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The other end lives as long as the process.
        let _ = self.0.wake();
    }
}

fn run(linux: &Linux, handle: &BoxHandle, ports: PortMap, mut poll: Poll, waker: &Waker) {
    let port = |path| handle.port(path, End::Service).cloned();
    let mut tokens = Tokens::default();
    let mut tcp = port(TCP).map(|port| tcp::Service::new(port, ports.clone()));
    let mut udp = port(UDP).map(|port| udp::Service::new(port, ports));
    let mut names = port(NAMES).map(|port| names::Service::new(port, waker.clone()));
    handle.ports.iter().for_each(|port| port.attach());
    linux.notify();
    let mut events = Events::with_capacity(256);
    let mut context = Context::from_waker(waker);
    loop {
        if handle.signal.poll(&mut context).is_pending()
            && let Err(error) = poll.poll(&mut events, None)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // no socket can be waited for any more
            panic!("waiting for sockets: {error}");
        }
        let registry = poll.registry();
        if let Some(tcp) = &mut tcp {
            events.iter().for_each(|event| tcp.note(event));
            tcp.turn(registry, &mut tokens);
        }
        if let Some(udp) = &mut udp {
            events.iter().for_each(|event| udp.note(event));
            udp.turn(registry, &mut tokens);
        }
        if let Some(names) = &mut names {
            names.turn();
        }
        events.clear();
        linux.notify();
    }
}

/// The clients of a port, with nothing kept of them beside what waits.
fn clients() -> Peers {
    Peers::new(MAX_BATCH, 16 * MAX_BATCH)
}

/// Sends what waits for clients, also to those that had no room. True: data that was not taken may be now.
fn flush(clients: &mut Peers, port: &Port) -> bool {
    clients.retry();
    clients.flush(|peer, batch| match port.send(peer, batch) {
        Ok(taken) => taken,
        // It was to be let go, and is not any more.
        Err(Refused::Reserved { .. }) => true,
        // A fault of ours: a malformed batch or a peer that never was.
        Err(refused) => panic!("the stand-in for net {refused}"),
    })
}

/// Hands out what the poll knows a socket by.
#[derive(Default)]
pub struct Tokens(usize);

impl Tokens {
    fn next(&mut self) -> Token {
        self.0 += 1;
        Token(self.0)
    }
}

/// IPv4 addresses travel in their IPv6-mapped form.
fn to_socket(endpoint: Endpoint) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(endpoint.address).to_canonical(), endpoint.port)
}

fn to_endpoint(address: SocketAddr) -> Endpoint {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Endpoint { address: ip, port: address.port() }
}

/// Where a port that a box listens on is on this machine.
fn local(ports: &PortMap, port: u16) -> SocketAddr {
    ports.get(&port).copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], port)))
}
