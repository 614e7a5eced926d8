//! The sockets over UDP: DHCP's, the ones for name lookups, and those of the clients of `pearwood:net/udp`.

use crate::link::Link;
use crate::random::Random;
use crate::senders::Senders;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use std::collections::BTreeSet;

/// DHCP's client port (RFC 2131 section 4.1).
pub const DHCP_CLIENT: u16 = 68;
const RETRY: u64 = 10_000_000;

/// Size of a socket's receive buffer.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub datagrams: usize,
    pub bytes: usize,
}

pub struct Datagrams {
    pub sockets: SocketSet<'static>,
    pub senders: Senders,
    ports: BTreeSet<u16>,
    touched: bool,
    deadline: u64,
}

impl Datagrams {
    pub fn new() -> Self {
        let ports = BTreeSet::from([DHCP_CLIENT]);
        Datagrams { sockets: SocketSet::new(Vec::new()), senders: Senders::new(), ports, touched: true, deadline: 0 }
    }

    /// A socket on `port`; `None` if it is taken or zero.
    pub fn bind(&mut self, port: u16, size: Size) -> Option<SocketHandle> {
        if port == 0 || !self.ports.insert(port) {
            return None;
        }
        let buffer = PacketBuffer::new(vec![PacketMetadata::EMPTY; size.datagrams], vec![0; size.bytes]);
        let mut socket = Socket::new(buffer, PacketBuffer::new(Vec::new(), Vec::new()));
        match socket.bind(port) {
            Ok(()) => Some(self.sockets.add(socket)),
            Err(_) => None,
        }
    }

    /// A socket on some port that nobody can guess.
    pub fn bind_ephemeral(&mut self, random: &mut Random, size: Size) -> Option<SocketHandle> {
        (0..64).find_map(|_| self.bind(random.ephemeral_port(), size))
    }

    /// A socket whose port is bound already.
    pub fn add(&mut self, socket: smoltcp::socket::Socket<'static>) -> SocketHandle {
        self.touched = true;
        match socket {
            smoltcp::socket::Socket::Udp(socket) => self.sockets.add(socket),
            smoltcp::socket::Socket::Tcp(socket) => self.sockets.add(socket),
            smoltcp::socket::Socket::Dhcpv4(socket) => self.sockets.add(socket),
        }
    }

    pub fn unbind(&mut self, handle: SocketHandle) {
        let port = self.socket(handle).endpoint().port;
        self.ports.remove(&port);
        self.sockets.remove(handle);
    }

    pub fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Nothing more is received for this port.
    pub fn close(&mut self, port: u16) {
        self.ports.remove(&port);
    }

    /// Ports that sockets have.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().copied()
    }

    pub fn is_bound(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    pub fn receive(&mut self, now: u64, frame: &[u8], link: &mut Link) {
        link.ingress(now, frame, &mut self.sockets);
        self.touched = true;
    }

    pub fn touch(&mut self) {
        self.touched = true;
    }

    /// A neighbour's address may have become known.
    pub fn neighbour_found(&mut self) {
        self.touched = true;
        self.senders.neighbour_found();
    }

    pub fn transmit(&mut self, now: u64, link: &mut Link) {
        self.senders.transmit(now, link);
        if self.touched || now >= self.deadline {
            self.touched = false;
            self.deadline = link.drain(now, RETRY, &mut self.sockets);
        }
    }

    pub fn deadline(&self) -> u64 {
        let own = if self.touched { 0 } else { self.deadline };
        own.min(self.senders.deadline())
    }
}
