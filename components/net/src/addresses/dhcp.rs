//! DHCP for IPv4 (RFC 2131), as smoltcp speaks it.

use super::Network4;
use crate::datagrams::Datagrams;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::time::Duration;
use smoltcp::wire::{DhcpOption, Ipv4Address, Ipv4Cidr};

/// RFC 2132 section 3.14.
const HOST_NAME: u8 = 12;

pub struct Dhcp {
    handle: SocketHandle,
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
        Dhcp { handle: datagrams.sockets.add(socket) }
    }

    /// The network after a change.
    pub fn changed(&mut self, datagrams: &mut Datagrams) -> Option<Network4> {
        let event = datagrams.sockets.get_mut::<Socket>(self.handle).poll()?;
        Some(match event {
            Event::Deconfigured => Network4::default(),
            Event::Configured(config) if is_host(&config.address) => Network4 {
                gateway: config.router.filter(|router| is_gateway(router, &config.address)),
                dns: config.dns_servers.iter().copied().collect(),
                address: Some(config.address),
            },
            Event::Configured(_) => Network4::default(),
        })
    }
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
