//! Stands in for the `net` box with the sockets of Linux: the service's ends of `tcp`, `udp` and `names`, in a task of the
//! node's.

mod names;
mod tcp;
mod udp;

use super::Linux;
use mio::Token;
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Poll,
};
use wasm_host::{
    arrows::{
        NAMES, TCP, UDP,
        channel::{End, Port, Refused},
    },
    boxes::BoxHandle,
    executor::NORMAL_WEIGHT,
    node::Node,
};
use wit::{MAX_BATCH, Peers, tcp::Endpoint};

/// Where the ports that boxes listen on are found on this machine.
pub type PortMap = HashMap<u16, SocketAddr>;

/// Starts the task that serves the clients of `handle`'s ports.
///
/// # Errors
/// If the process has no descriptors left.
pub fn serve(linux: &'static Linux, node: &Node, handle: Arc<BoxHandle>, ports: PortMap) -> io::Result<()> {
    node.executor().spawn(NORMAL_WEIGHT, run(linux, handle, ports)?);
    Ok(())
}

fn run(
    linux: &'static Linux,
    handle: Arc<BoxHandle>,
    ports: PortMap,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let registry = linux.reactor().registry()?;
    let port = |path| handle.port(path, End::Service).cloned();
    let mut tokens = Tokens::default();
    let mut tcp = port(TCP).map(|port| tcp::Service::new(port, ports.clone()));
    let mut udp = port(UDP).map(|port| udp::Service::new(port, ports));
    let mut names = port(NAMES).map(|port| names::Service::new(port, linux));
    handle.ports.iter().for_each(|port| port.attach());
    Ok(poll_fn(move |context| {
        // What is raised from here on is another turn's.
        let _ = handle.signal.poll(context);
        loop {
            linux.reactor().take(context.waker(), |event| {
                if let Some(tcp) = &mut tcp {
                    tcp.note(event);
                }
                if let Some(udp) = &mut udp {
                    udp.note(event);
                }
            });
            if let Some(tcp) = &mut tcp {
                tcp.turn(&registry, &mut tokens);
            }
            if let Some(udp) = &mut udp
                && udp.turn(&registry, &mut tokens)
            {
                context.waker().wake_by_ref();
            }
            if let Some(names) = &mut names {
                names.turn(context.waker());
            }
            if handle.signal.poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }))
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
