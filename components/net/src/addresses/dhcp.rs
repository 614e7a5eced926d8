//! DHCP for IPv4 (RFC 2131), as smoltcp speaks it.

use super::Network4;
use crate::datagrams::Datagrams;
use crate::heritage::Lease;
use crate::paths::LEAST6;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::time::Duration;
use smoltcp::wire::{DhcpOption, DhcpPacket, Ipv4Address, Ipv4Cidr};

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

pub struct Dhcp {
    handle: SocketHandle,
    /// A lease that another instance left, until it expires or there is one of one's own.
    inherited: Option<Lease>,
    /// until when the network is granted
    expires: u64,
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
        Dhcp { handle: datagrams.sockets.add(socket), inherited: None, expires: 0 }
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
        datagrams.sockets.remove(self.handle);
        let Network4 { address, gateway, dns, mtu: _ } = network.clone();
        Some(Lease { address: address?, gateway, dns, expires: self.expires })
    }

    /// The network after a change.
    pub fn changed(&mut self, now: u64, datagrams: &mut Datagrams) -> Option<Network4> {
        let event = datagrams.sockets.get_mut::<Socket>(self.handle).poll();
        match event {
            Some(Event::Configured(config)) if is_host(&config.address) => {
                self.inherited = None;
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

    /// When an inherited lease expires.
    pub fn deadline(&self) -> u64 {
        if self.inherited.is_some() { self.expires } else { u64::MAX }
    }
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
