//! Whether this machine's addresses are another's too: duplicate address detection for IPv6 (RFC 4862 section 5.4) and
//! address conflict detection for IPv4 (RFC 5227).
//!
//! An address is used from the start, while others are asked for it: optimistically, as RFC 4429 has it for IPv6. A node
//! that boots serves at once, and the rare address that is in use elsewhere is given up as soon as somebody says so. What
//! would make others believe this machine waits: until the probes are through nothing is announced, and no neighbour is
//! asked for its card from an IPv6 address (see `Sent::tentative`). From an IPv4 address neighbours are asked, for which
//! RFC 5227 section 1.1 would have connections of this machine's own wait for six seconds.
//!
//! An address that was given up is probed again after a minute, and then used only once nobody has claimed it.

use super::announce;
use crate::link::{Link, from_mapped, to_mapped};
use crate::random::Random;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr,
    IpAddress, Ipv6Packet, NdiscNeighborFlags, NdiscRepr,
};

const SECOND: u64 = 1_000_000_000;
/// Probes of an address (RFC 5227 section 1.1: PROBE_NUM; RFC 4862 section 5.1: DupAddrDetectTransmits).
const PROBES4: u8 = 3;
const PROBES6: u8 = 1;
/// Between two of them there are PROBE_MIN to PROBE_MAX, after the last ANNOUNCE_WAIT (RFC 5227) or RetransTimer (RFC 4861).
const BETWEEN: u64 = SECOND;
const AFTER4: u64 = 2 * SECOND;
const AFTER6: u64 = SECOND;
/// RFC 5227 section 1.1.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: u64 = 2 * SECOND;
const DEFEND_INTERVAL: u64 = 10 * SECOND;
const RATE_LIMIT_INTERVAL: u64 = 60 * SECOND;

/// The Ethernet address of a card, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardAddress(pub [u8; 6]);

impl fmt::Display for CardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EthernetAddress(self.0).fmt(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// That many probes have been sent. The address is not used yet if it was another's before.
    Probing { sent: u8, used: bool },
    /// Nobody else has it, and that many announcements have been sent. None are of an IPv6 address.
    Held { announced: u8 },
    /// Another machine has it.
    Lost,
}

#[derive(Debug)]
struct Claim {
    /// IPv4 addresses are in their IPv6-mapped form.
    address: Ipv6Addr,
    stage: Stage,
    /// when there is something to do for it next
    at: u64,
    /// when another machine claimed it last, and it was defended
    defended: Option<u64>,
}

/// What a frame of ARP or neighbour discovery was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// None of this machine's addresses is in question.
    Nothing,
    /// It has been dealt with, and says nothing about anybody's card.
    Answered,
    /// Another machine uses the address too: of this card. Both go on.
    Contested(IpAddress, CardAddress),
    /// Another machine, of this card, has the address, which is no longer used here.
    Lost(IpAddress, CardAddress),
}

#[derive(Debug, Default)]
pub struct Claims {
    claims: Vec<Claim>,
}

impl Claims {
    /// These addresses are to be this machine's, and no others.
    pub fn want(&mut self, now: u64, addresses: impl Iterator<Item = IpAddress>) {
        let mut wanted: Vec<Ipv6Addr> = addresses.map(to_mapped).collect();
        self.claims.retain(|claim| wanted.contains(&claim.address));
        wanted.retain(|address| self.claims.iter().all(|claim| claim.address != *address));
        let stage = Stage::Probing { sent: 0, used: true };
        self.claims.extend(wanted.into_iter().map(|address| Claim { address, stage, at: now, defended: None }));
    }

    /// Whether this machine uses the address.
    pub fn is_used(&self, address: IpAddress) -> bool {
        let address = to_mapped(address);
        self.claims.iter().find(|claim| claim.address == address).is_none_or(|claim| claim.stage.is_used())
    }

    /// Addresses of IPv6 that others are still asked for.
    pub fn tentative(&self) -> impl Iterator<Item = Ipv6Addr> {
        let probing = self.claims.iter().filter(|claim| matches!(claim.stage, Stage::Probing { .. }));
        probing.map(|claim| claim.address).filter(|address| address.to_ipv4_mapped().is_none())
    }

    /// Sends what is to be sent by now. True if other addresses are used than before.
    pub fn step(&mut self, now: u64, link: &mut Link, random: &mut Random) -> bool {
        let mut changed = false;
        for claim in self.claims.iter_mut().filter(|claim| claim.at <= now) {
            let before = claim.stage.is_used();
            claim.step(now, link, random);
            changed |= before != claim.stage.is_used();
        }
        changed
    }

    pub fn deadline(&self) -> u64 {
        self.claims.iter().map(|claim| claim.at).min().unwrap_or(u64::MAX)
    }

    /// Looks at a frame of ARP or neighbour discovery, whatever its bytes.
    pub fn hear(&mut self, now: u64, frame: &[u8], link: &mut Link) -> Heard {
        let own = link.card.address;
        let Some(said) = Said::read(frame).filter(|said| said.card() != own) else { return Heard::Nothing };
        let address = said.address();
        let Some(claim) = self.claims.iter_mut().find(|claim| claim.address == address) else { return Heard::Nothing };
        claim.hear(now, &said, link)
    }

    /// Addresses that this machine has for certain, for the next instance, which goes on with them.
    pub fn leave(&mut self) -> Vec<Ipv6Addr> {
        let held = self.claims.iter().filter(|claim| matches!(claim.stage, Stage::Held { .. }));
        let held = held.map(|claim| claim.address).collect();
        self.claims.iter_mut().for_each(|claim| claim.at = u64::MAX);
        held
    }

    /// Another instance has made sure of these.
    pub fn inherit(&mut self, held: &[Ipv6Addr]) {
        for claim in self.claims.iter_mut().filter(|claim| held.contains(&claim.address)) {
            (claim.stage, claim.at) = (Stage::held(), u64::MAX);
        }
    }
}

impl Stage {
    /// Everybody has been told.
    fn held() -> Self {
        Stage::Held { announced: ANNOUNCEMENTS }
    }

    fn is_used(self) -> bool {
        matches!(self, Stage::Probing { used: true, .. } | Stage::Held { .. })
    }
}

impl Claim {
    fn step(&mut self, now: u64, link: &mut Link, random: &mut Random) {
        let mut up_to_a_second = || u64::from(random.u16()) * (SECOND >> 16);
        let address = from_mapped(self.address);
        let (probes, after) = match address {
            IpAddress::Ipv4(_) => (PROBES4, AFTER4),
            IpAddress::Ipv6(_) => (PROBES6, AFTER6),
        };
        match &mut self.stage {
            Stage::Lost => {
                self.stage = Stage::Probing { sent: 0, used: false };
                self.at = now + up_to_a_second();
            }
            Stage::Probing { sent, .. } if *sent < probes => {
                match address {
                    IpAddress::Ipv4(address) => announce::probe4(address, link),
                    IpAddress::Ipv6(address) => announce::probe6(address, link),
                }
                *sent += 1;
                self.at = now + if *sent < probes { BETWEEN + up_to_a_second() } else { after };
            }
            Stage::Probing { .. } => {
                let (announced, at) = match address {
                    IpAddress::Ipv4(_) => (0, now),
                    IpAddress::Ipv6(_) => (ANNOUNCEMENTS, u64::MAX),
                };
                (self.stage, self.at) = (Stage::Held { announced }, at);
                if at == now {
                    self.step(now, link, random);
                }
            }
            Stage::Held { announced } => {
                if let (IpAddress::Ipv4(address), true) = (address, *announced < ANNOUNCEMENTS) {
                    announce::claim(address, link);
                    *announced += 1;
                }
                self.at = if *announced < ANNOUNCEMENTS { now + ANNOUNCE_INTERVAL } else { u64::MAX };
            }
        }
    }

    fn hear(&mut self, now: u64, said: &Said, link: &mut Link) -> Heard {
        let address = from_mapped(self.address);
        let probing = matches!(self.stage, Stage::Probing { .. });
        match *said {
            // It is a neighbour's like any other.
            _ if self.stage == Stage::Lost => Heard::Nothing,
            // Who asks whether anybody has it is told, by who has it or was the first to ask.
            Said::Probe4 { card, address } if self.stage.is_used() => {
                announce::answer(address, card, link);
                Heard::Answered
            }
            Said::Probe6 { address, .. } if !probing && self.stage.is_used() => {
                announce::advertise(address, link);
                Heard::Answered
            }
            Said::Probe4 { card, .. } | Said::Probe6 { card, .. } => self.lose(now, address, card),
            Said::Has4 { card, .. } | Said::Has6 { card, .. } if probing => self.lose(now, address, card),
            // RFC 5227 section 2.4 (b).
            Said::Has4 { card, address: four } => {
                if self.defended.is_some_and(|at| now < at.saturating_add(DEFEND_INTERVAL)) {
                    return self.lose(now, address, card);
                }
                self.defended = Some(now);
                announce::claim(four, link);
                Heard::Contested(address, CardAddress(card))
            }
            // RFC 4862 does not give up an address that it has. As often as for IPv4 it is said who wants it.
            Said::Has6 { card, .. } => {
                if self.defended.is_some_and(|at| now < at.saturating_add(RATE_LIMIT_INTERVAL)) {
                    return Heard::Answered;
                }
                self.defended = Some(now);
                Heard::Contested(address, CardAddress(card))
            }
        }
    }

    fn lose(&mut self, now: u64, address: IpAddress, card: [u8; 6]) -> Heard {
        (self.stage, self.at, self.defended) = (Stage::Lost, now.saturating_add(RATE_LIMIT_INTERVAL), None);
        Heard::Lost(address, CardAddress(card))
    }
}

/// What another machine says about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// that it wants it
    Probe4 {
        card: [u8; 6],
        address: Ipv4Addr,
    },
    Probe6 {
        card: [u8; 6],
        address: Ipv6Addr,
    },
    /// that it has it
    Has4 {
        card: [u8; 6],
        address: Ipv4Addr,
    },
    Has6 {
        card: [u8; 6],
        address: Ipv6Addr,
    },
}

impl Said {
    fn card(&self) -> [u8; 6] {
        match *self {
            Said::Probe4 { card, .. } | Said::Probe6 { card, .. } => card,
            Said::Has4 { card, .. } | Said::Has6 { card, .. } => card,
        }
    }

    /// The address that it is about, in its IPv6-mapped form if it is one of IPv4.
    fn address(&self) -> Ipv6Addr {
        match *self {
            Said::Probe4 { address, .. } | Said::Has4 { address, .. } => address.to_ipv6_mapped(),
            Said::Probe6 { address, .. } | Said::Has6 { address, .. } => address,
        }
    }

    fn read(frame: &[u8]) -> Option<Said> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        match frame.ethertype() {
            EthernetProtocol::Arp => Said::read4(frame.payload()),
            EthernetProtocol::Ipv6 => Said::read6(frame.payload(), frame.src_addr().0),
            _ => None,
        }
    }

    fn read4(packet: &[u8]) -> Option<Said> {
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(card),
            source_protocol_addr: source,
            target_protocol_addr: target,
            ..
        } = ArpRepr::parse(&ArpPacket::new_checked(packet).ok()?).ok()?
        else {
            return None;
        };
        match operation {
            ArpOperation::Request if source.is_unspecified() => Some(Said::Probe4 { card, address: target }),
            ArpOperation::Request | ArpOperation::Reply => Some(Said::Has4 { card, address: source }),
            ArpOperation::Unknown(_) => None,
        }
    }

    /// RFC 4861 sections 7.1.1 and 7.1.2.
    fn read6(packet: &[u8], sender: [u8; 6]) -> Option<Said> {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
        if ip.hop_limit() != 255 || icmp.msg_code() != 0 {
            return None;
        }
        match Icmpv6Repr::parse(&source, &destination, &icmp, &ChecksumCapabilities::default()).ok()? {
            Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: address, lladdr: None })
                if source.is_unspecified() && destination == announce::solicited_node(address) =>
            {
                Some(Said::Probe6 { card: sender, address })
            }
            Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { flags, target_addr: address, lladdr })
                if !(destination.is_multicast() && flags.contains(NdiscNeighborFlags::SOLICITED)) =>
            {
                let card = lladdr.and_then(|lladdr| lladdr.as_bytes().try_into().ok()).unwrap_or(sender);
                Some(Said::Has6 { card, address })
            }
            _ => None,
        }
    }
}
