//! The addresses, default routes and name servers of this machine: from the settings, from DHCP, from router
//! advertisements.

mod advertisement;
mod announce;
mod dhcp;
mod routers;

use crate::datagrams::Datagrams;
use crate::heritage::Heritage;
use crate::journal::{Journal, Level};
use crate::link::Link;
use crate::settings::Settings;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use dhcp::Dhcp;
use routers::Routers;
use smoltcp::wire::{IpCidr, Ipv4Cidr, Ipv6Cidr};

/// An address and what comes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Network4 {
    address: Option<Ipv4Cidr>,
    gateway: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    /// bytes of the largest packet
    mtu: Option<u16>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Network6 {
    addresses: Vec<Ipv6Cidr>,
    gateway: Option<Ipv6Addr>,
    dns: Vec<Ipv6Addr>,
    /// bytes of the largest packet
    mtu: Option<u16>,
}

pub struct Addresses {
    dhcp: Option<Dhcp>,
    routers: Option<Routers>,
    link_local: Ipv6Cidr,
    /// name servers of the settings
    dns: Vec<IpAddr>,
    /// of the settings, in bytes
    mtu: Option<u16>,
    /// bytes of the largest packet that the card takes
    card_mtu: u16,
    four: Network4,
    six: Network6,
}

impl Addresses {
    pub fn new(settings: &Settings, link: &mut Link, datagrams: &mut Datagrams, now: u64) -> Self {
        let dhcp = settings.address.is_none().then(|| Dhcp::new(settings.hostname.as_deref(), datagrams));
        let routers = settings.address6.is_none().then(|| Routers::new(link.card.address, now));
        let link_local = Ipv6Cidr::new(routers::link_local(link.card.address), 64);
        let addresses = Addresses {
            dhcp,
            routers,
            link_local,
            dns: settings.dns.clone(),
            mtu: settings.mtu,
            card_mtu: link.card.mtu,
            four: Network4 { address: settings.address, gateway: settings.gateway, ..Network4::default() },
            six: Network6 {
                addresses: settings.address6.into_iter().collect(),
                gateway: settings.gateway6,
                ..Network6::default()
            },
        };
        addresses.apply(link);
        addresses
    }

    /// A Router Advertisement's ICMPv6 message, with the frame that it came in.
    pub fn advertisement(&mut self, now: u64, frame: &[u8], message: core::ops::Range<usize>) {
        if let Some(routers) = &mut self.routers {
            routers.receive(now, frame, message);
        }
    }

    /// Sends what must be sent, and takes over what has changed. True if something has.
    pub fn step(&mut self, now: u64, link: &mut Link, datagrams: &mut Datagrams, journal: &mut Journal) -> bool {
        let four = self.dhcp.as_mut().and_then(|dhcp| dhcp.changed(now, datagrams));
        let six = self.routers.as_mut().and_then(|routers| routers.step(now, link));
        if four.is_none() && six.is_none() {
            return false;
        }
        if let Some(four) = four
            && four != self.four
        {
            match four.address {
                Some(address) => journal.write(Level::Info, format_args!("address {address} by DHCP")),
                None if self.four.address.is_some() => {
                    journal.write(Level::Warn, format_args!("the DHCP lease is lost"));
                }
                None => {}
            }
            self.four = four;
        }
        if let Some(six) = six
            && six != self.six
        {
            for address in six.addresses.iter().filter(|a| !self.six.addresses.contains(a)) {
                journal.write(Level::Info, format_args!("address {address} by router advertisement"));
            }
            for address in self.six.addresses.iter().filter(|a| !six.addresses.contains(a)) {
                journal.write(Level::Info, format_args!("address {address} has expired"));
            }
            self.six = six;
        }
        let before = link.card.mtu;
        self.apply(link);
        if link.card.mtu != before {
            journal.write(Level::Info, format_args!("packets have at most {} bytes", link.card.mtu));
        }
        datagrams.touch();
        true
    }

    /// Bytes of the largest packet on this link.
    fn mtu(&self) -> u16 {
        let said = [self.four.mtu, self.six.mtu].into_iter().flatten().min();
        self.mtu.or(said).unwrap_or(self.card_mtu).min(self.card_mtu)
    }

    fn apply(&self, link: &mut Link) {
        link.set_mtu(self.mtu());
        let four = self.four.address.into_iter().map(IpCidr::Ipv4);
        let six = self.six.addresses.iter().copied().chain([self.link_local]).map(IpCidr::Ipv6);
        let wanted: Vec<IpCidr> = four.chain(six).collect();
        // Setting addresses forgets the neighbours, so only for a reason.
        let known = link.interface.ip_addrs().to_vec();
        if known != wanted {
            link.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                for address in &wanted {
                    let _ = addresses.push(*address);
                }
            });
            for new in wanted.iter().filter(|address| !known.contains(address)) {
                if let IpCidr::Ipv4(new) = new {
                    announce::claim(new.address(), link);
                }
            }
            self.report_groups(link);
        }
        let routes = link.interface.routes_mut();
        routes.remove_default_ipv4_route();
        routes.remove_default_ipv6_route();
        // The table has room for both.
        if let Some(gateway) = self.four.gateway {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        if let Some(gateway) = self.six.gateway {
            let _ = routes.add_default_ipv6_route(gateway);
        }
    }

    /// Tells switches and routers which multicast groups this machine listens to, as it must when they ask.
    pub fn report_groups(&self, link: &mut Link) {
        let addresses = self.six.addresses.iter().chain([&self.link_local]).map(Ipv6Cidr::address);
        announce::report_groups(addresses, link);
    }

    /// Name servers, the preferred first.
    pub fn dns(&self) -> Vec<IpAddr> {
        if !self.dns.is_empty() {
            return self.dns.clone();
        }
        let four = self.four.dns.iter().copied().map(IpAddr::V4);
        four.chain(self.six.dns.iter().copied().map(IpAddr::V6)).collect()
    }

    pub fn has_ipv4(&self) -> bool {
        self.four.address.is_some()
    }

    /// An IPv6 address that is good beyond the link.
    pub fn has_ipv6(&self) -> bool {
        !self.six.addresses.is_empty()
    }

    /// Leaves to another instance what was not set. This one keeps its addresses, and neither prolongs nor gains any.
    pub fn leave(&mut self, heritage: &mut Heritage, datagrams: &mut Datagrams) {
        heritage.mtu4 = self.four.mtu;
        heritage.lease = self.dhcp.take().and_then(|dhcp| dhcp.leave(&self.four, datagrams));
        if let Some(routers) = self.routers.take() {
            routers.leave(heritage);
        }
    }

    /// Goes on with what another instance left, as far as it is not set.
    pub fn inherit(&mut self, now: u64, heritage: &Heritage, link: &mut Link) {
        if let (Some(dhcp), Some(lease)) = (&mut self.dhcp, &heritage.lease)
            && let Some(network) = dhcp.inherit(now, lease, heritage.mtu4)
        {
            self.four = network;
        }
        if let Some(routers) = &mut self.routers {
            self.six = routers.inherit(now, heritage);
        }
        self.apply(link);
    }

    pub fn deadline(&self) -> u64 {
        let dhcp = self.dhcp.as_ref().map_or(u64::MAX, Dhcp::deadline);
        self.routers.as_ref().map_or(u64::MAX, Routers::deadline).min(dhcp)
    }
}
