//! `pearwood:net/udp-service` over sockets.

use super::{PortMap, Tokens, clients, flush, local, to_endpoint, to_socket};
use mio::{Interest, Registry, Token, event::Event as SocketEvent, net::UdpSocket};
use std::{collections::BTreeMap, io, sync::Arc};
use wasm_host::arrows::channel::Port;
use wit::{
    Incoming, Peers,
    udp::{Command, Event},
};

/// Datagrams of a socket that are read before others have their turn.
const AT_ONCE: usize = 64;

pub struct Service {
    port: Arc<Port>,
    ports: PortMap,
    sockets: BTreeMap<u16, Bound>,
    clients: Peers,
    /// what a datagram is read into
    buffer: Box<[u8]>,
}

struct Bound {
    peer: u32,
    token: Token,
    socket: UdpSocket,
    ready: bool,
}

impl Service {
    pub fn new(port: Arc<Port>, ports: PortMap) -> Self {
        Service { port, ports, sockets: BTreeMap::new(), clients: clients(), buffer: vec![0; 65_536].into() }
    }

    pub fn note(&mut self, event: &SocketEvent) {
        if let Some(bound) = self.sockets.values_mut().find(|bound| bound.token == event.token()) {
            bound.ready = true;
        }
    }

    /// Does what there is to do. True: there is more, but others come first.
    pub fn turn(&mut self, registry: &Registry, tokens: &mut Tokens) -> bool {
        let mut received = self.port.receive();
        for incoming in wit::incoming(received.buffer()).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => {
                    self.sockets.retain(|_, bound| bound.peer != peer);
                    self.clients.attach(peer, ());
                }
                Incoming::Detach(peer, _) => {
                    self.sockets.retain(|_, bound| bound.peer != peer);
                    self.clients.detach(peer);
                }
                Incoming::Retire(peer) => self.clients.retire(peer),
                Incoming::Record(peer, record) => match Command::decode(&record) {
                    Ok(command) => self.obey(registry, tokens, peer, command),
                    Err(_) => continue,
                },
            }
        }
        self.receive();
        flush(&mut self.clients, &self.port);
        if self.clients.any_retiring() {
            self.clients.release(|peer| self.sockets.values().any(|bound| bound.peer == peer));
            flush(&mut self.clients, &self.port);
        }
        self.sockets.values().any(|bound| bound.ready)
    }

    fn obey(&mut self, registry: &Registry, tokens: &mut Tokens, peer: u32, command: Command<'_>) {
        match command {
            Command::Bind { .. } if self.clients.is_deaf(peer) => {}
            Command::Bind { port } => match self.bind(registry, tokens, peer, port) {
                Ok(()) => self.answer(peer, Event::Bound { port }),
                Err(error) => self.refuse(peer, port, &error),
            },
            Command::Unbind { port } => {
                self.sockets.retain(|&number, bound| (number, bound.peer) != (port, peer));
            }
            Command::Unknown { .. } => {}
            Command::Datagram { port, to, data } => {
                let Some(bound) = self.sockets.get(&port).filter(|bound| bound.peer == peer) else {
                    return self.refuse(peer, port, &io::Error::other("it is not bound"));
                };
                // What a socket has no room for is lost, as datagrams may be.
                let _ = bound.socket.send_to(data, to_socket(to));
            }
        }
    }

    fn bind(&mut self, registry: &Registry, tokens: &mut Tokens, peer: u32, port: u16) -> io::Result<()> {
        if self.sockets.contains_key(&port) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another box has bound it"));
        }
        let mut socket = UdpSocket::bind(local(&self.ports, port))?;
        let token = tokens.next();
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.sockets.insert(port, Bound { peer, token, socket, ready: false });
        Ok(())
    }

    fn refuse(&mut self, peer: u32, port: u16, error: &io::Error) {
        let why = format!("port {port}: {error}");
        self.answer(peer, Event::Refused { port, why: &why });
    }

    fn answer(&mut self, peer: u32, event: Event<'_>) {
        if let Some(out) = self.clients.answer(peer) {
            event.encode(out.batch());
        }
    }

    fn receive(&mut self) {
        for (&port, bound) in self.sockets.iter_mut().filter(|(_, bound)| bound.ready) {
            for _ in 0..AT_ONCE {
                match bound.socket.recv_from(&mut self.buffer) {
                    Ok((length, from)) => {
                        // a client that does not keep up loses datagrams
                        let Some(out) = self.clients.room(bound.peer) else { continue };
                        let event = Event::Datagram { port, from: to_endpoint(from), data: &self.buffer[..length] };
                        event.encode(out.batch());
                    }
                    Err(_) => {
                        bound.ready = false;
                        break;
                    }
                }
            }
        }
    }
}
