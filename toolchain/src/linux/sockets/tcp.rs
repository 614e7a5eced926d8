//! `pearwood:net/tcp` over sockets.

use super::{PortMap, Tokens, clients, flush, local, to_endpoint, to_socket};
use mio::{
    Interest, Registry, Token,
    event::Event as SocketEvent,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::Arc,
};
use wasm_host::arrows::channel::Port;
use wit::{
    INITIAL_CREDIT, Incoming, Peers,
    tcp::{Command, Event},
};

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

/// Bytes read from a socket at once.
const READ: usize = 16 << 10;

pub struct Service {
    port: Arc<Port>,
    ports: PortMap,
    listeners: BTreeMap<u16, Listener>,
    connections: BTreeMap<u32, Connection>,
    by_token: HashMap<Token, u32>,
    next: u32,
    clients: Peers,
    /// connections that may have something to do
    stirred: Vec<u32>,
    /// what a socket is read into
    buffer: Box<[u8]>,
}

struct Listener {
    peer: u32,
    token: Token,
    socket: TcpListener,
    ready: bool,
}

struct Connection {
    peer: u32,
    token: Token,
    socket: TcpStream,
    /// what the client connects by, until it is connected
    ticket: Option<u32>,
    unsent: VecDeque<u8>,
    /// bytes that may still be passed to the client
    window: u32,
    readable: bool,
    writable: bool,
    /// an event has said that the other side's last byte is there to be read
    ending: bool,
    /// the client has sent its last byte
    finishing: bool,
    /// ... and so has the socket
    sent_fin: bool,
    got_fin: bool,
}

impl Service {
    pub fn new(port: Arc<Port>, ports: PortMap) -> Self {
        Service {
            port,
            ports,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            by_token: HashMap::new(),
            next: 0,
            clients: clients(),
            stirred: Vec::new(),
            buffer: vec![0; READ].into(),
        }
    }

    /// A socket has become ready.
    pub fn note(&mut self, event: &SocketEvent) {
        if let Some(&number) = self.by_token.get(&event.token()) {
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                connection.ending |= event.is_read_closed() || event.is_error();
                connection.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                self.stirred.push(number);
            }
        } else if let Some(listener) = self.listeners.values_mut().find(|listener| listener.token == event.token()) {
            listener.ready = true;
        }
    }

    /// Does all there is to do.
    pub fn turn(&mut self, registry: &Registry, tokens: &mut Tokens) {
        self.commands(registry, tokens);
        loop {
            self.accept(registry, tokens);
            for number in std::mem::take(&mut self.stirred) {
                self.serve(number);
            }
            if !flush(&mut self.clients, &self.port) {
                break;
            }
            // those that were not read because their client had no room
            self.stirred.extend(self.connections.keys());
        }
        if self.clients.any_retiring() {
            let (listeners, connections) = (&self.listeners, &self.connections);
            self.clients.release(|peer| {
                listeners.values().any(|listener| listener.peer == peer)
                    || connections.values().any(|connection| connection.peer == peer)
            });
            flush(&mut self.clients, &self.port);
        }
    }

    fn commands(&mut self, registry: &Registry, tokens: &mut Tokens) {
        let mut received = self.port.receive();
        for incoming in wit::incoming(received.buffer()).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => {
                    self.drop_peer(peer);
                    self.clients.attach(peer, ());
                }
                Incoming::Detach(peer, _) => self.drop_peer(peer),
                Incoming::Retire(peer) => self.clients.retire(peer),
                // A malformed command would have ended the box that sent it.
                Incoming::Record(peer, record) => match Command::decode(&record) {
                    Ok(command) => self.obey(registry, tokens, peer, command),
                    Err(_) => continue,
                },
            }
        }
    }

    fn obey(&mut self, registry: &Registry, tokens: &mut Tokens, peer: u32, command: Command<'_>) {
        match command {
            Command::Listen { .. } | Command::Connect { .. } if self.clients.is_deaf(peer) => {}
            Command::Listen { port, .. } => match self.listen(registry, tokens, peer, port) {
                Ok(()) => self.say(peer, Event::Listening { port }),
                Err(error) => {
                    let why = format!("port {port}: {error}");
                    self.say(peer, Event::Refused { id: port.into(), why: &why });
                }
            },
            Command::Dial { .. } | Command::Unknown { .. } => {}
            Command::Unlisten { port } => {
                self.listeners.retain(|&number, listener| (number, listener.peer) != (port, peer));
            }
            Command::Connect { ticket, to } => {
                let connected = TcpStream::connect(to_socket(to));
                if let Err(error) = connected.and_then(|socket| self.open(registry, tokens, peer, socket, Some(ticket)))
                {
                    self.say(peer, Event::Refused { id: ticket, why: &error.to_string() });
                }
            }
            Command::Send { connection, data } => self.with(peer, connection, |connection| {
                connection.unsent.extend(data);
            }),
            Command::Credit { connection, bytes } => self.with(peer, connection, |connection| {
                connection.window = connection.window.saturating_add(bytes).min(INITIAL_CREDIT);
            }),
            Command::Finish { connection } => self.with(peer, connection, |connection| connection.finishing = true),
            Command::Abort { connection } => {
                if self.connections.get(&connection).is_some_and(|found| found.peer == peer) {
                    self.close(connection, "aborted");
                }
            }
        }
    }

    /// What the client must know: as much as it has asked for, and has connections.
    fn say(&mut self, peer: u32, event: Event<'_>) {
        if let Some(out) = self.clients.out(peer) {
            event.encode(out.batch());
        }
    }

    /// Changes a connection of the peer; a number that is not its own means nothing.
    fn with(&mut self, peer: u32, number: u32, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.connections.get_mut(&number).filter(|connection| connection.peer == peer) {
            change(connection);
            self.stirred.push(number);
        }
    }

    fn listen(&mut self, registry: &Registry, tokens: &mut Tokens, peer: u32, port: u16) -> io::Result<()> {
        if let Some(listener) = self.listeners.get_mut(&port) {
            if listener.peer != peer && !self.clients.is_retiring(listener.peer) {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another box listens there"));
            }
            listener.peer = peer;
            return Ok(());
        }
        let address = local(&self.ports, port);
        let mut socket =
            TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        let token = tokens.next();
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.listeners.insert(port, Listener { peer, token, socket, ready: false });
        Ok(())
    }

    fn accept(&mut self, registry: &Registry, tokens: &mut Tokens) {
        let ready: Vec<u16> =
            self.listeners.iter().filter(|(_, listener)| listener.ready).map(|(&port, _)| port).collect();
        for port in ready {
            while let Some(listener) = self.listeners.get_mut(&port)
                && self.clients.room(listener.peer).is_some()
            {
                let (peer, accepted) = (listener.peer, listener.socket.accept());
                let Ok((socket, remote)) = accepted else {
                    // nobody waits, or Linux has no descriptors left: the next event tries again
                    listener.ready = false;
                    break;
                };
                let number = self.next;
                if self.open(registry, tokens, peer, socket, None).is_ok() {
                    let remote = to_endpoint(remote);
                    self.say(peer, Event::Accepted { connection: number, remote, port, secured: None });
                }
            }
        }
    }

    fn open(
        &mut self,
        registry: &Registry,
        tokens: &mut Tokens,
        peer: u32,
        mut socket: TcpStream,
        ticket: Option<u32>,
    ) -> io::Result<()> {
        let token = tokens.next();
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let _ = socket.set_nodelay(true);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let accepted = ticket.is_none();
        let connection = Connection {
            peer,
            token,
            socket,
            ticket,
            unsent: VecDeque::new(),
            window: INITIAL_CREDIT,
            readable: accepted,
            writable: accepted,
            ending: false,
            finishing: false,
            sent_fin: false,
            got_fin: false,
        };
        self.connections.insert(number, connection);
        self.by_token.insert(token, number);
        self.stirred.push(number);
        Ok(())
    }

    /// Moves bytes both ways as far as sockets and credit go.
    fn serve(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let peer = connection.peer;
        let result = connection.connected(number, &mut self.clients).and_then(|connected| {
            if connected {
                connection.write(number, &mut self.clients)?;
                connection.read(number, &mut self.clients, &mut self.buffer)?;
            }
            Ok(())
        });
        let over = connection.sent_fin && connection.got_fin;
        match result {
            Err(error) => match connection.ticket {
                Some(ticket) => {
                    self.say(peer, Event::Refused { id: ticket, why: &error.to_string() });
                    self.remove(number);
                }
                None => self.close(number, &error.to_string()),
            },
            Ok(()) if over => self.close(number, ""),
            Ok(()) => {}
        }
    }

    fn close(&mut self, number: u32, why: &str) {
        if let Some(connection) = self.remove(number) {
            self.say(connection.peer, Event::Closed { connection: number, why });
        }
    }

    fn remove(&mut self, number: u32) -> Option<Connection> {
        let connection = self.connections.remove(&number)?;
        self.by_token.remove(&connection.token);
        Some(connection)
    }

    fn drop_peer(&mut self, peer: u32) {
        self.listeners.retain(|_, listener| listener.peer != peer);
        let gone: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.peer == peer)
            .map(|(&number, _)| number)
            .collect();
        for number in gone {
            self.remove(number);
        }
        self.clients.detach(peer);
    }
}

impl Connection {
    /// Whether the connection stands; tells the client when it has come to.
    fn connected(&mut self, number: u32, clients: &mut Peers) -> io::Result<bool> {
        let Some(ticket) = self.ticket else { return Ok(true) };
        if !self.writable {
            return Ok(false);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.ticket = None;
                if let Some(out) = clients.out(self.peer) {
                    Event::Connected { connection: number, ticket }.encode(out.batch());
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, number: u32, clients: &mut Peers) -> io::Result<()> {
        if self.unsent.len() > INITIAL_CREDIT as usize {
            return Err(io::Error::other("sent more than its credit"));
        }
        let mut sent = 0;
        while self.writable && !self.unsent.is_empty() {
            match self.socket.write(self.unsent.as_slices().0) {
                Ok(length) => {
                    self.unsent.drain(..length);
                    sent += length as u32;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if sent > 0
            && let Some(out) = clients.out(self.peer)
        {
            Event::Sent { connection: number, bytes: sent }.encode(out.batch());
        }
        if self.finishing && !self.sent_fin && self.unsent.is_empty() {
            self.socket.shutdown(Shutdown::Write)?;
            self.sent_fin = true;
        }
        Ok(())
    }

    fn read(&mut self, number: u32, clients: &mut Peers, buffer: &mut [u8]) -> io::Result<()> {
        while self.readable
            && !self.got_fin
            && self.window > 0
            && let Some(out) = clients.room(self.peer)
        {
            let limit = READ.min(self.window as usize);
            match self.socket.read(&mut buffer[..limit]) {
                Ok(0) => {
                    self.got_fin = true;
                    Event::Finished { connection: number }.encode(out.batch());
                }
                Ok(length) => {
                    self.window -= length as u32;
                    // Then nothing is left; an event will tell of more (epoll(7)).
                    self.readable = length == limit || self.ending;
                    Event::Data { connection: number, data: &buffer[..length] }.encode(out.batch());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
