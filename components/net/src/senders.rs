//! Sockets that UDP datagrams are sent from.
//!
//! A smoltcp socket keeps a datagram until it knows its neighbour's address, and everything queued behind it, for ever
//! if the neighbour does not exist. So a datagram is not sent from the socket that receives for its port, but from one
//! that at the time sends to this destination only, and that is emptied if it cannot.

use crate::fragments::{Datagram, LARGEST4, LARGEST6};
use crate::link::{Link, from_mapped};
use crate::random::Random;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket, UdpMetadata};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Destinations that can be waited for at a time.
const COUNT: usize = 8;
const DATAGRAMS: usize = 16;
/// Bytes: as many as one packet may have, and a larger datagram waits elsewhere.
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

/// Why a datagram is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// than that many bytes
    TooLarge(usize),
    NoWay,
    NoRoom,
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

    /// Queues a datagram.
    pub fn send(
        &mut self,
        now: u64,
        datagram: &Datagram<'_>,
        link: &mut Link,
        random: &mut Random,
    ) -> Result<(), Unsent> {
        let Datagram { ports, to, data, .. } = *datagram;
        let (port, to) = (ports.0, IpEndpoint::new(from_mapped(to), ports.1));
        let largest = if matches!(to.addr, IpAddress::Ipv4(_)) { LARGEST4 } else { LARGEST6 };
        if data.len() > largest {
            return Err(Unsent::TooLarge(largest));
        }
        let source = link.source_for(&to.addr).filter(|_| to.port != 0).ok_or(Unsent::NoWay)?;
        let token;
        let data = if datagram.fits(link.card.mtu) {
            data
        } else {
            let random = [(); 3].map(|()| random.u64());
            let expires = now.saturating_add(PATIENCE);
            let mtu = link.card.mtu;
            token = link.sent.fragments.keep(datagram, mtu, random, expires).ok_or(Unsent::NoRoom)?;
            &token
        };
        let metadata = UdpMetadata { endpoint: to, local_address: Some(source), meta: Default::default() };
        if self.is_crowded(port, to.addr) {
            // What waits for no neighbour goes out now, and need not be given up.
            self.transmit(now, link);
        }
        let socket = self.sender(now, port, to.addr);
        if socket.send_slice(data, metadata).is_err() {
            // Full: what is in it may go out now.
            self.transmit(now, link);
            if self.sender(now, port, to.addr).send_slice(data, metadata).is_err() {
                return Err(Unsent::NoRoom);
            }
        }
        self.touched = true;
        Ok(())
    }

    /// Whether a datagram was sent there lately.
    pub fn has_sent(&self, port: u16, to: IpAddress) -> bool {
        self.senders.iter().any(|sender| sender.port == port && sender.to == to)
    }

    /// Whether a datagram to there would take another's place.
    fn is_crowded(&self, port: u16, to: IpAddress) -> bool {
        let busy = |s: &Sender| self.sockets.get::<Socket>(s.handle).send_queue() > 0;
        let has_place = |s: &Sender| !busy(s) || s.port == port && s.to == to;
        self.senders.len() == COUNT && !self.senders.iter().any(has_place)
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
        link.sent.fragments.expire(now);
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
