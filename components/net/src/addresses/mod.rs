//! The addresses, default routes and name servers of this machine: from the settings, from DHCP, from router
//! advertisements; and whether another machine has them too.

mod advertisement;
mod announce;
mod claims;
mod dhcp;
mod routers;

use crate::datagrams::Datagrams;
use crate::heritage::Heritage;
use crate::journal::{Journal, Level};
use crate::link::Link;
use crate::random::Random;
use crate::settings::Settings;
use claims::{CardAddress, Claims, Heard};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use dhcp::Dhcp;
use routers::Routers;
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

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
    claims: Claims,
    /// An address has been lost to another machine, and `step` has not dealt with it yet.
    lost: Option<IpAddress>,
    /// another instance goes on with them
    left: bool,
}

impl Addresses {
    pub fn new(settings: &Settings, link: &mut Link, datagrams: &mut Datagrams, now: u64) -> Self {
        let dhcp = settings.address.is_none().then(|| Dhcp::new(settings.hostname.as_deref(), datagrams));
        let routers = settings.address6.is_none().then(|| Routers::new(link.card.address, now));
        let link_local = Ipv6Cidr::new(routers::link_local(link.card.address), 64);
        let mut addresses = Addresses {
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
            claims: Claims::default(),
            lost: None,
            left: false,
        };
        addresses.apply(now, link);
        addresses
    }

    /// A Router Advertisement's ICMPv6 message, with the frame that it came in.
    pub fn advertisement(&mut self, now: u64, frame: &[u8], message: core::ops::Range<usize>) {
        if let Some(routers) = &mut self.routers {
            routers.receive(now, frame, message);
        }
    }

    /// Looks at a frame of ARP or neighbour discovery for what it says of this machine's addresses. True if it is not to be
    /// looked at for anything else.
    pub fn hear(&mut self, now: u64, frame: &[u8], link: &mut Link, journal: &mut Journal) -> bool {
        if self.left {
            return false;
        }
        match self.claims.hear(now, frame, link) {
            Heard::Nothing => return false,
            Heard::Answered => {}
            Heard::Contested(address, card) => journal.write(
                Level::Warn,
                format_args!("another machine, with the card {card}, uses the address {address} of this one as well"),
            ),
            Heard::Lost(address, card) => {
                self.report_lost(address, card, journal);
                self.lost = Some(address);
            }
        }
        true
    }

    fn report_lost(&self, address: IpAddress, card: CardAddress, journal: &mut Journal) {
        let by_dhcp = self.dhcp.is_some() && matches!(address, IpAddress::Ipv4(_));
        let then = if by_dhcp { "the DHCP server is asked for another" } else { "it is tried again in a minute" };
        journal.write(
            Level::Error,
            format_args!(
                "the address {address} is in use by another machine, with the card {card}: not used here; {then}"
            ),
        );
    }

    /// Sends what must be sent, and takes over what has changed. True if something has.
    pub fn step(
        &mut self,
        now: u64,
        link: &mut Link,
        datagrams: &mut Datagrams,
        random: &mut Random,
        journal: &mut Journal,
    ) -> bool {
        let lost = self.lost.take();
        let mut four = self.dhcp.as_mut().and_then(|dhcp| dhcp.changed(now, datagrams));
        if let (Some(IpAddress::Ipv4(address)), Some(dhcp)) = (lost, &mut self.dhcp) {
            dhcp.decline(now, address, datagrams, link, random.u64() as u32);
            self.four = Network4::default();
            four = None;
        }
        let six = self.routers.as_mut().and_then(|routers| routers.step(now, link));
        if lost.is_none() && four.is_none() && six.is_none() {
            // Addresses may be used now that were not.
            let changed = self.claims.step(now, link, random);
            link.sent.tentative = self.claims.tentative().collect();
            if changed {
                self.apply(now, link);
                datagrams.touch();
            }
            return changed;
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
        self.apply(now, link);
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

    fn apply(&mut self, now: u64, link: &mut Link) {
        link.set_mtu(self.mtu());
        let four = self.four.address.into_iter().map(IpCidr::Ipv4);
        let six = self.six.addresses.iter().copied().chain([self.link_local]).map(IpCidr::Ipv6);
        let mut wanted: Vec<IpCidr> = four.chain(six).collect();
        self.claims.want(now, wanted.iter().map(IpCidr::address));
        wanted.retain(|cidr| self.claims.is_used(cidr.address()));
        link.sent.tentative = self.claims.tentative().collect();
        // Setting addresses forgets the neighbours, so only for a reason.
        let known = link.interface.ip_addrs().to_vec();
        if known != wanted {
            link.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                for address in &wanted {
                    let _ = addresses.push(*address);
                }
            });
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
        self.four.address.is_some_and(|cidr| self.claims.is_used(cidr.address().into()))
    }

    /// An IPv6 address that is good beyond the link.
    pub fn has_ipv6(&self) -> bool {
        self.six.addresses.iter().any(|cidr| self.claims.is_used(cidr.address().into()))
    }

    /// Leaves to another instance what was not set. This one keeps its addresses, and neither prolongs nor gains any.
    pub fn leave(&mut self, heritage: &mut Heritage, datagrams: &mut Datagrams) {
        self.left = true;
        heritage.held = self.claims.leave();
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
        self.apply(now, link);
        // nothing has been asked yet
        self.claims.inherit(&heritage.held);
        link.sent.tentative = self.claims.tentative().collect();
    }

    pub fn deadline(&self) -> u64 {
        if self.lost.is_some() {
            return 0;
        }
        let dhcp = self.dhcp.as_ref().map_or(u64::MAX, Dhcp::deadline).min(self.claims.deadline());
        self.routers.as_ref().map_or(u64::MAX, Routers::deadline).min(dhcp)
    }
}
