//! Sockets that UDP datagrams are sent from.
//!
//! A smoltcp socket keeps a datagram until it knows its neighbour's address, and everything queued behind it, for ever
//! if the neighbour does not exist. So a datagram is not sent from the socket that receives for its port, but from one
//! that at the time sends to this destination only, and that is emptied if it cannot.

use crate::link::Link;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket, UdpMetadata};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Destinations that can be waited for at a time.
const COUNT: usize = 8;
const DATAGRAMS: usize = 16;
/// Bytes; a larger datagram cannot be sent.
const BUFFER: usize = 16 << 10;
/// Nanoseconds that a neighbour has to answer.
const PATIENCE: u64 = 3_000_000_000;
const RETRY: u64 = 10_000_000;

struct Sender {
    handle: SocketHandle,
    port: u16,
    to: IpAddress,
    /// when its first datagram came
    since: u64,
}

pub struct Senders {
    sockets: SocketSet<'static>,
    senders: Vec<Sender>,
    touched: bool,
    deadline: u64,
}

impl Senders {
    pub fn new() -> Self {
        Senders { sockets: SocketSet::new(Vec::new()), senders: Vec::new(), touched: false, deadline: u64::MAX }
    }

    /// Queues a datagram. False if there is no way to send it.
    pub fn send(&mut self, now: u64, port: u16, to: IpEndpoint, data: &[u8], link: &mut Link) -> bool {
        let Some(source) = link.source_for(&to.addr) else { return false };
        if to.port == 0 || data.len() > BUFFER {
            return false;
        }
        let metadata = UdpMetadata { endpoint: to, local_address: Some(source), meta: Default::default() };
        let socket = self.sender(now, port, to.addr);
        if socket.send_slice(data, metadata).is_err() {
            // Full: what is in it may go out now.
            self.transmit(now, link);
            if self.sender(now, port, to.addr).send_slice(data, metadata).is_err() {
                return false;
            }
        }
        self.touched = true;
        true
    }

    /// The sender that has datagrams for this destination already, or one that has none, or the one that waits longest.
    fn sender(&mut self, now: u64, port: u16, to: IpAddress) -> &mut Socket<'static> {
        let busy = |s: &Sender| self.sockets.get::<Socket>(s.handle).send_queue() > 0;
        let same = self.senders.iter().position(|s| s.port == port && s.to == to && busy(s));
        let at = same.or_else(|| self.senders.iter().position(|s| !busy(s))).unwrap_or_else(|| {
            if self.senders.len() < COUNT {
                self.senders.push(Sender { handle: self.sockets.add(socket()), port, to, since: now });
                return self.senders.len() - 1;
            }
            let longest = self.senders.iter().enumerate().min_by_key(|(_, s)| s.since);
            longest.map_or(0, |(at, _)| at)
        });
        let sender = &mut self.senders[at];
        let socket: &mut Socket = self.sockets.get_mut(sender.handle);
        if same.is_none() {
            *sender = Sender { handle: sender.handle, port, to, since: now };
            socket.close();
            // Only port 0 is refused, and never bound by a client.
            let _ = socket.bind(port);
        }
        socket
    }

    pub fn transmit(&mut self, now: u64, link: &mut Link) {
        if !self.touched && now < self.deadline {
            return;
        }
        self.touched = false;
        for sender in &self.senders {
            if sender.since + PATIENCE <= now {
                self.sockets.get_mut::<Socket>(sender.handle).close();
            }
        }
        self.deadline = link.drain(now, RETRY, &mut self.sockets);
    }

    pub fn neighbour_found(&mut self) {
        self.touched = true;
    }

    pub fn deadline(&self) -> u64 {
        if self.touched { 0 } else { self.deadline }
    }
}

fn socket() -> Socket<'static> {
    let nothing = PacketBuffer::new(Vec::new(), Vec::new());
    Socket::new(nothing, PacketBuffer::new(vec![PacketMetadata::EMPTY; DATAGRAMS], vec![0; BUFFER]))
}
