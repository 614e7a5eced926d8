//! DHCP for IPv4 (RFC 2131), as smoltcp speaks it.

use super::Network4;
use crate::datagrams::{DHCP_CLIENT, Datagrams};
use crate::heritage::Lease;
use crate::link::Link;
use crate::paths::LEAST6;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::Socket as AnySocket;
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::time::Duration;
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol,
    Ipv4Address, Ipv4Cidr, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

const ETHERNET_HEADER: usize = 14;

/// RFC 2132 section 3.14.
const HOST_NAME: u8 = 12;

/// Bytes of the longest message whose options are read here: what smoltcp lets a server send (RFC 2131 section 2).
const LONGEST: usize = 1_472;
/// RFC 2132 section 5.1.
const MTU: u8 = 26;
/// Subnet mask, routers, name servers, and the above.
const REQUESTED: [u8; 4] = [1, 3, 6, MTU];
/// RFC 2132 section 9.2.
const LEASE_TIME: u8 = 51;
/// Seconds, if the server does not say; smoltcp takes the same.
const DEFAULT_TIME: u32 = 120;
const SECOND: u64 = 1_000_000_000;

/// RFC 2131 section 3.1 (5): after an address was declined. If all are in use, or a neighbour says so of each, the server is
/// not to run out of them (RFC 5227 section 2.1.1): the time is doubled each time, up to the most.
const REST: u64 = 10 * SECOND;
const LONGEST_REST: u64 = 600 * SECOND;

pub struct Dhcp {
    client: Client,
    /// the server of the lease, if it was granted to this instance
    server: Option<Ipv4Address>,
    /// A lease that another instance left, until it expires or there is one of one's own.
    inherited: Option<Lease>,
    /// until when the network is granted
    expires: u64,
    /// for how long and until when nothing was asked for after the last address that was declined
    rest: u64,
    rested: u64,
}

enum Client {
    Running(SocketHandle),
    /// An address was declined, and until then no other is asked for.
    Resting(Box<AnySocket<'static>>, u64),
    /// between the two, and for no longer
    Moving,
}

impl Dhcp {
    pub fn new(hostname: Option<&str>, datagrams: &mut Datagrams) -> Self {
        let mut socket = Socket::new();
        let mut retry = socket.get_retry_config();
        retry.discover_timeout = Duration::from_secs(4);
        retry.initial_request_timeout = Duration::from_secs(2);
        socket.set_retry_config(retry);
        if let Some(hostname) = hostname {
            // Lives as long as the box: there is one of it.
            let data: &'static [u8] = hostname.as_bytes().to_vec().leak();
            socket.set_outgoing_options(vec![DhcpOption { kind: HOST_NAME, data }].leak());
        }
        socket.set_parameter_request_list(&REQUESTED);
        socket.set_receive_packet_buffer(vec![0; LONGEST].leak());
        let client = Client::Running(datagrams.sockets.add(socket));
        Dhcp { client, server: None, inherited: None, expires: 0, rest: 0, rested: 0 }
    }

    /// Goes on with a lease that another instance left, while it asks for it again.
    pub fn inherit(&mut self, now: u64, lease: &Lease, mtu: Option<u16>) -> Option<Network4> {
        let Lease { address, gateway, dns, expires } = lease.clone();
        if !is_host(&address) || expires <= now {
            return None;
        }
        self.expires = expires;
        self.inherited = Some(lease.clone());
        Some(Network4 { address: Some(address), gateway: gateway.filter(|it| is_gateway(it, &address)), dns, mtu })
    }

    /// Another instance goes on with it.
    pub fn leave(self, network: &Network4, datagrams: &mut Datagrams) -> Option<Lease> {
        if let Client::Running(handle) = self.client {
            datagrams.sockets.remove(handle);
        }
        let Network4 { address, gateway, dns, mtu: _ } = network.clone();
        Some(Lease { address: address?, gateway, dns, expires: self.expires })
    }

    /// The network after a change.
    pub fn changed(&mut self, now: u64, datagrams: &mut Datagrams) -> Option<Network4> {
        if let Client::Resting(_, until) = self.client
            && now >= until
            && let Client::Resting(socket, _) = core::mem::replace(&mut self.client, Client::Moving)
        {
            self.client = Client::Running(datagrams.add(*socket));
        }
        let Client::Running(handle) = self.client else { return None };
        let event = datagrams.sockets.get_mut::<Socket>(handle).poll();
        match event {
            Some(Event::Configured(config)) if is_host(&config.address) => {
                self.inherited = None;
                self.server = Some(config.server.identifier);
                let packet = config.packet.as_ref();
                let time = packet.and_then(|packet| option(packet, LEASE_TIME)).map(u32::from_be_bytes);
                let mtu = packet.and_then(|packet| option(packet, MTU)).map(u16::from_be_bytes);
                let seconds = time.unwrap_or(DEFAULT_TIME);
                self.expires = now.saturating_add(u64::from(seconds) * SECOND);
                Some(Network4 {
                    gateway: config.router.filter(|router| is_gateway(router, &config.address)),
                    dns: config.dns_servers.iter().copied().collect(),
                    address: Some(config.address),
                    // What says less was set for the networks of the eighties, and IPv6 needs as much.
                    mtu: mtu.map(|mtu| mtu.max(LEAST6)),
                })
            }
            // It has none of its own yet, and asks.
            _ if self.inherited.is_some() && now < self.expires => None,
            Some(_) => Some(Network4::default()),
            None => self.inherited.take().map(|_| Network4::default()),
        }
    }

    /// The granted address is another machine's: tells the server (RFC 2131 section 4.4.4), and asks for another one later.
    pub fn decline(&mut self, now: u64, address: Ipv4Address, datagrams: &mut Datagrams, link: &mut Link, random: u32) {
        self.inherited = None;
        if let Some(server) = self.server.take() {
            decline(address, server, random, link);
        }
        if let Client::Running(handle) = self.client {
            datagrams.sockets.get_mut::<Socket>(handle).reset();
            let socket = datagrams.sockets.remove(handle);
            let again = now.saturating_sub(self.rested) < LONGEST_REST;
            self.rest = if again { (self.rest * 2).clamp(REST, LONGEST_REST) } else { REST };
            self.rested = now.saturating_add(self.rest);
            self.client = Client::Resting(Box::new(socket), self.rested);
        }
    }

    /// When an inherited lease expires, or an address is asked for again.
    pub fn deadline(&self) -> u64 {
        match self.client {
            Client::Resting(_, until) => until,
            _ if self.inherited.is_some() => self.expires,
            _ => u64::MAX,
        }
    }
}

fn decline(address: Ipv4Address, server: Ipv4Address, transaction_id: u32, link: &mut Link) {
    const SERVER: u16 = 67;
    let card = EthernetAddress(link.card.address);
    let none = Ipv4Address::UNSPECIFIED;
    let message = DhcpRepr {
        message_type: DhcpMessageType::Decline,
        transaction_id,
        secs: 0,
        client_hardware_address: card,
        client_ip: none,
        your_ip: none,
        server_ip: none,
        router: None,
        subnet_mask: None,
        relay_agent_ip: none,
        broadcast: false,
        requested_ip: Some(address),
        client_identifier: Some(card),
        server_identifier: Some(server),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let udp = UdpRepr { src_port: DHCP_CLIENT, dst_port: SERVER };
    let ip = Ipv4Repr {
        src_addr: none,
        dst_addr: Ipv4Address::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + message.buffer_len(),
        hop_limit: 64,
    };
    link.emit(ETHERNET_HEADER + ip.buffer_len() + ip.payload_len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(card);
        ethernet.set_dst_addr(EthernetAddress::BROADCAST);
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        let checksums = ChecksumCapabilities::default();
        ip.emit(&mut packet, &checksums);
        let write = |payload: &mut [u8]| {
            // There is as much room as it has bytes.
            let _ = message.emit(&mut DhcpPacket::new_unchecked(payload));
        };
        let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
        udp.emit(&mut datagram, &none.into(), &Ipv4Address::BROADCAST.into(), message.buffer_len(), write, &checksums);
    });
}

/// The value of an option of that many bytes.
fn option<const N: usize>(packet: &DhcpPacket<&[u8]>, kind: u8) -> Option<[u8; N]> {
    packet.options().find(|option| option.kind == kind)?.data.try_into().ok()
}

/// Whether a host can have this address. smoltcp panics when it is given one that is not unicast.
fn is_host(cidr: &Ipv4Cidr) -> bool {
    let address = cidr.address();
    let special = address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback();
    !special && Some(address) != cidr.broadcast()
}

/// smoltcp panics when it is to send through a router whose address is not unicast.
fn is_gateway(router: &Ipv4Address, own: &Ipv4Cidr) -> bool {
    let special = router.is_unspecified() || router.is_multicast() || router.is_broadcast() || router.is_loopback();
    !special && *router != own.address() && Some(*router) != own.broadcast() && own.contains_addr(router)
}
