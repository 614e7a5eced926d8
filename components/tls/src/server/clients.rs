//! What the boxes say that listen here.

use super::{Level, Tls};
use wit::Incoming;
use wit::tcp::{Command, Event};

/// Ports that may be listened at, by all boxes together.
const MAX_PORTS: usize = 256;

/// Who gets the connections of a port.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    pub client: u32,
    backlog: u16,
}

impl Tls {
    pub(super) fn of_client(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Attach(peer, _) => {
                self.forget_client(peer);
                self.clients.attach(peer, ());
                self.answer(peer, Event::Secures);
            }
            Incoming::Detach(peer, _) => {
                self.clients.detach(peer);
                self.forget_client(peer);
            }
            Incoming::Retire(peer) => self.clients.retire(peer),
            Incoming::Record(peer, record) if self.clients.is_attached(peer) => match Command::decode(&record) {
                Ok(command) => self.client_command(peer, command),
                Err(_) => {
                    self.say(Level::Error, format!("client {peer}: a malformed record of kind {}", record.kind));
                }
            },
            Incoming::Record(..) => {}
        }
    }

    fn client_command(&mut self, peer: u32, command: Command<'_>) {
        match command {
            Command::Send { connection, data } => {
                let Some(key) = self.connections.of_client(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                if connection.client_finished {
                    return;
                }
                let Some(allowance) = connection.allowance.checked_sub(data.len() as u32) else {
                    self.say(Level::Error, format!("client {peer} has sent more than it may"));
                    return self.abort(key, "more was sent than there was credit for");
                };
                connection.allowance = allowance;
                connection.active_at = self.now;
                self.write(key, data);
                self.advance(key);
            }
            Command::Credit { connection, bytes } => {
                let Some(key) = self.connections.of_client(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.client_credit = connection.client_credit.saturating_add(bytes);
                self.advance(key);
            }
            Command::Finish { connection } => {
                let Some(key) = self.connections.of_client(peer, connection) else { return };
                let Some(connection) = self.connections.get(key) else { return };
                connection.client_finished = true;
                self.advance(key);
            }
            Command::Abort { connection } => {
                if let Some(key) = self.connections.of_client(peer, connection) {
                    self.abort(key, "aborted");
                }
            }
            Command::Listen { port, backlog } => {
                if let Err(why) = self.listen(peer, port, backlog) {
                    self.answer(peer, Event::Refused { id: port.into(), why });
                }
            }
            Command::Unlisten { port } => {
                if self.listeners.get(&port).is_some_and(|listener| listener.client == peer) {
                    self.unlisten(port);
                }
            }
            Command::Connect { ticket, .. } => {
                let why = "this box makes connections to hosts that prove who they are: `dial` says which";
                self.answer(peer, Event::Refused { id: ticket, why });
            }
            Command::Dial { ticket, port, name } => self.dial(peer, ticket, (name, port)),
            // of a later version of the protocol
            Command::Unknown { .. } => {}
        }
    }

    /// Lets a box have the connections of a port, or those of another box that retires. The network answers.
    fn listen(&mut self, client: u32, port: u16, backlog: u16) -> Result<(), &'static str> {
        if self.is_retired {
            return Err("this box is being replaced");
        }
        if self.config.certificates.is_empty() {
            return Err("this box has no certificate to show: it lacks an arrow `pearwood:keys/tls`");
        }
        match self.listeners.get(&port).copied() {
            Some(listener) if listener.client != client && !self.clients.is_retiring(listener.client) => {
                return Err("another box listens on this port");
            }
            None if self.listeners.len() >= MAX_PORTS => return Err("too many ports are listened on"),
            _ => {}
        }
        self.listeners.insert(port, Listener { client, backlog });
        for peer in self.net.numbers() {
            self.tell_to_listen(peer, port, backlog);
        }
        Ok(())
    }

    /// Asks a peer of the network for all ports.
    pub(super) fn listen_at(&mut self, peer: u32) {
        let ports: Vec<_> = self.listeners.iter().map(|(port, listener)| (*port, listener.backlog)).collect();
        for (port, backlog) in ports {
            self.tell_to_listen(peer, port, backlog);
        }
    }

    fn tell_to_listen(&mut self, peer: u32, port: u16, backlog: u16) {
        // the ports of one that is replaced are its successor's
        if !self.is_retired
            && !self.net.is_retiring(peer)
            && let Some(out) = self.net.answer(peer)
        {
            Command::Listen { port, backlog }.encode(out.batch());
        }
    }

    fn unlisten(&mut self, port: u16) {
        self.listeners.remove(&port);
        for peer in self.net.numbers() {
            if let Some(out) = self.net.answer(peer) {
                Command::Unlisten { port }.encode(out.batch());
            }
        }
    }

    /// Tells whoever listens at a port.
    pub(super) fn answer_listener(&mut self, port: u16, event: Event<'_>) {
        if let Some(listener) = self.listeners.get(&port) {
            self.answer(listener.client, event);
        }
    }

    pub(super) fn answer(&mut self, client: u32, event: Event<'_>) {
        if let Some(out) = self.clients.answer(client) {
            event.encode(out.batch());
        }
    }

    /// A client knows nothing more of its connections and ports.
    fn forget_client(&mut self, peer: u32) {
        self.dials.forget(|dialed| dialed.client == peer);
        for key in self.connections.which(|connection| connection.is_of(peer)) {
            self.abort(key, "");
        }
        let ports: Vec<_> =
            self.listeners.iter().filter(|(_, listener)| listener.client == peer).map(|(port, _)| *port).collect();
        for port in ports {
            self.unlisten(port);
        }
    }
}
