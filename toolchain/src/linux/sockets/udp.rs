//! `pearwood:net/udp-service` over sockets.

use super::{PortMap, Tokens, local, outbox::Outbox, retiring::Retiring, to_endpoint, to_socket};
use mio::{Interest, Registry, Token, event::Event as SocketEvent, net::UdpSocket};
use std::{collections::BTreeMap, io, sync::Arc};
use wasm_host::arrows::channel::Port;
use wit::{
    Peer, Records,
    udp::{Command, Event},
};

pub struct Service {
    port: Arc<Port>,
    ports: PortMap,
    sockets: BTreeMap<u16, Bound>,
    outbox: Outbox,
    retiring: Retiring,
}

struct Bound {
    peer: u32,
    token: Token,
    socket: UdpSocket,
    ready: bool,
}

impl Service {
    pub fn new(port: Arc<Port>, ports: PortMap) -> Self {
        Service { port, ports, sockets: BTreeMap::new(), outbox: Outbox::default(), retiring: Retiring::default() }
    }

    pub fn note(&mut self, event: &SocketEvent) {
        if let Some(bound) = self.sockets.values_mut().find(|bound| bound.token == event.token()) {
            bound.ready = true;
        }
    }

    pub fn turn(&mut self, registry: &Registry, tokens: &mut Tokens) {
        let mut received = self.port.receive();
        let mut peer = 0;
        for record in Records::new(received.buffer()).flatten() {
            match Peer::decode(&record) {
                Some(Peer::Is(number)) => peer = number,
                Some(Peer::Attach(gone, _) | Peer::Detach(gone, _)) => {
                    self.sockets.retain(|_, bound| bound.peer != gone);
                    self.outbox.forget(gone);
                    self.retiring.remove(gone);
                }
                Some(Peer::Retire(peer)) => self.retiring.add(peer),
                Some(Peer::Release(_)) => {}
                None => match Command::decode(&record) {
                    Ok(command) => self.obey(registry, tokens, peer, command),
                    Err(_) => continue,
                },
            }
        }
        self.receive();
        self.outbox.flush(&self.port);
        let sockets = &self.sockets;
        self.retiring.release(&self.port, &self.outbox, |peer| sockets.values().any(|bound| bound.peer == peer));
    }

    fn obey(&mut self, registry: &Registry, tokens: &mut Tokens, peer: u32, command: Command<'_>) {
        match command {
            Command::Bind { port } => match self.bind(registry, tokens, peer, port) {
                Ok(()) => Event::Bound { port }.encode(self.outbox.to(peer)),
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
        Event::Refused { port, why: &why }.encode(self.outbox.to(peer));
    }

    fn receive(&mut self) {
        let mut buffer = vec![0; 65_536];
        for (&port, bound) in &mut self.sockets {
            while bound.ready {
                match bound.socket.recv_from(&mut buffer) {
                    // a client that does not keep up loses datagrams
                    Ok(_) if self.outbox.is_full(bound.peer) => {}
                    Ok((length, from)) => {
                        let event = Event::Datagram { port, from: to_endpoint(from), data: &buffer[..length] };
                        event.encode(self.outbox.to(bound.peer));
                    }
                    Err(_) => bound.ready = false,
                }
            }
        }
    }
}
