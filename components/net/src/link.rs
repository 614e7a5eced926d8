//! smoltcp's interface on a card: frames come one by one from the batch that the node gave, and go straight into the
//! batch that it will get.

use crate::checksum;
use crate::fragments::Fragments;
use crate::outgoing::Outgoing;
use crate::segments::{self, Written};
use crate::timers::NEVER;
use core::net::Ipv6Addr;
use core::num::{NonZeroU16, NonZeroUsize};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

const ETHERNET_HEADER: usize = 14;

/// The network card that a stack works on.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    pub address: [u8; 6],
    /// largest payload of a frame, in bytes
    pub mtu: u16,
}

pub struct Link {
    pub interface: Interface,
    pub card: Card,
    pub outgoing: Outgoing,
    /// where smoltcp writes segments that are to be split
    long: Vec<u8>,
    pub sent: Sent,
    /// of the next interface's generator
    seed: u64,
}

/// What has been transmitted, and how.
#[derive(Debug)]
pub struct Sent {
    pub frames: u64,
    /// the last TCP segment since this was last taken
    pub segment: Option<SentSegment>,
    /// The least sequence number of an empty segment.
    ///
    /// After a timeout smoltcp goes back to the first unacknowledged byte, and sends acknowledgements from there too.
    /// They are outside the remote side's window, and it must ignore them (RFC 9293 section 3.10.7.4): with data lost
    /// in both directions neither side hears the other again. BSD sends them from the highest number ever sent.
    pub highest: Option<u32>,
    /// bytes of the longest frame that a segment may be in; longer ones are split
    pub limit: usize,
    /// Addresses that may be another machine's too. smoltcp would say this card to whom it asks for a neighbour from one of
    /// them, so such a question is not sent (RFC 4429 section 3.1). What waits for the answer waits a second longer.
    pub tentative: Vec<Ipv6Addr>,
    pub fragments: Fragments,
}

#[derive(Debug, Clone, Copy)]
pub struct SentSegment {
    pub sequence: u32,
    /// the sequence number after this segment
    pub next: u32,
    pub acknowledged: u32,
    /// bytes of data in its first frame
    pub size: usize,
}

impl Link {
    /// Frames are dropped by the card when its queue is full; with no more than this at a time it rarely is.
    pub const BATCH: usize = 128 << 10;

    pub fn new(card: Card, seed: u64, now: u64) -> Self {
        let mut config = Config::new(EthernetAddress(card.address).into());
        config.random_seed = seed;
        let mut outgoing = Outgoing::default();
        let mut sent = Sent {
            frames: 0,
            segment: None,
            highest: None,
            limit: usize::MAX,
            tentative: Vec::new(),
            fragments: Fragments::new(seed),
        };
        let mut long = Vec::new();
        let mut device = Device {
            frame: None,
            outgoing: &mut outgoing,
            long: &mut long,
            sent: &mut sent,
            mtu: card.mtu,
            blank: true,
        };
        let interface = Interface::new(config, &mut device, instant(now));
        Link { interface, card, outgoing, long, sent, seed: seed.rotate_left(1) }
    }

    /// Processes a received frame with the sockets of `set`. TCP segments must have been verified.
    #[inline]
    pub fn ingress(&mut self, now: u64, frame: &[u8], set: &mut SocketSet<'static>) {
        let Link { interface, card, outgoing, long, sent, .. } = self;
        let mut device = Device { frame: Some(frame), outgoing, long, sent, mtu: card.mtu, blank: true };
        interface.poll_ingress_single(instant(now), &mut device, set);
    }

    /// An interface whose context begins a connection with this initial sequence number.
    ///
    /// smoltcp takes that from the interface's generator, from whose numbers the next can be computed. So this one is
    /// made for one connection, and its generator is where this number comes next.
    pub fn opener(&mut self, now: u64, number: u32) -> Interface {
        self.another(now, seed_before(number))
    }

    /// Processes a SYN, to which the answer will have this initial sequence number.
    pub fn synchronize(&mut self, now: u64, number: u32, frame: &[u8], set: &mut SocketSet<'static>) {
        let mut opener = self.opener(now, number);
        core::mem::swap(&mut self.interface, &mut opener);
        self.ingress(now, frame, set);
        self.interface = opener;
    }

    /// Transmits at most one segment of each TCP socket. True if something was sent.
    #[inline]
    pub fn egress(&mut self, now: u64, set: &mut SocketSet<'static>) -> bool {
        // smoltcp writes every byte of a segment, and of the question for a neighbour that it may send instead.
        self.egress_some(now, set, false)
    }

    #[inline]
    fn egress_some(&mut self, now: u64, set: &mut SocketSet<'static>, blank: bool) -> bool {
        let Link { interface, card, outgoing, long, sent, .. } = self;
        let mut device = Device { frame: None, outgoing, long, sent, mtu: card.mtu, blank };
        interface.poll_egress(instant(now), &mut device, set) == PollResult::SocketStateChanged
    }

    /// Transmits until the sockets of `set` have nothing more to send now, or there is no room. When to do so again.
    pub fn drain(&mut self, now: u64, retry: u64, set: &mut SocketSet<'static>) -> u64 {
        // smoltcp may have nothing to send at a time that it named itself.
        let mut idle = 0;
        loop {
            let at = self.poll_at(now, set);
            if at > now || !self.has_room() {
                return at;
            }
            if idle == 2 {
                return now + retry;
            }
            if !self.egress_some(now, set, true) {
                idle += 1;
            }
        }
    }

    /// When the sockets of `set` need `egress` next; [`NEVER`] if only a frame can change them.
    #[inline]
    pub fn poll_at(&mut self, now: u64, set: &SocketSet<'static>) -> u64 {
        match self.interface.poll_at(instant(now), set) {
            Some(at) => nanoseconds(at),
            None => NEVER,
        }
    }

    /// Sets the largest packet that is sent.
    pub fn set_mtu(&mut self, mtu: u16) {
        if mtu == self.card.mtu {
            return;
        }
        self.card.mtu = mtu;
        // smoltcp asks its device only once.
        let seed = self.seed;
        self.seed = seed.rotate_left(1);
        self.interface = self.another(0, seed);
    }

    /// Another interface at the same addresses.
    fn another(&mut self, now: u64, seed: u64) -> Interface {
        let Link { interface, card, outgoing, long, sent, .. } = self;
        let mut config = Config::new(EthernetAddress(card.address).into());
        config.random_seed = seed;
        let mut device = Device { frame: None, outgoing, long, sent, mtu: card.mtu, blank: true };
        let mut another = Interface::new(config, &mut device, instant(now));
        let addresses = interface.ip_addrs().iter().copied();
        another.update_ip_addrs(|list| list.extend(addresses));
        another
    }

    /// Transmits a frame that no socket sends.
    pub fn emit(&mut self, length: usize, write: impl FnOnce(&mut [u8])) {
        let Link { outgoing, long, sent, .. } = self;
        phy::TxToken::consume(Transmit { outgoing, long, sent, split: None, blank: true }, length, write);
    }

    /// Whether a packet for this address is for this machine.
    pub fn owns(&self, address: Ipv6Addr) -> bool {
        self.interface.has_ip_addr(from_mapped(address))
    }

    /// Whether no packet can come from this address (RFC 1122 section 3.2.1.3, RFC 4291 section 2.7).
    pub fn is_impossible(&self, source: Ipv6Addr) -> bool {
        let is_broadcast = |cidr: &IpCidr| match cidr {
            IpCidr::Ipv4(cidr) => cidr.broadcast().is_some_and(|address| address.to_ipv6_mapped() == source),
            IpCidr::Ipv6(_) => false,
        };
        let special = match source.to_ipv4_mapped() {
            Some(four) => four.is_multicast() || four.is_broadcast() || four.is_loopback(),
            None => source.is_multicast() || source.is_loopback(),
        };
        special || self.interface.ip_addrs().iter().any(is_broadcast)
    }

    /// The address to reach `to` from, if there is a way to it.
    pub fn source_for(&self, to: &IpAddress) -> Option<IpAddress> {
        let addresses = self.interface.ip_addrs();
        let default = match to {
            IpAddress::Ipv4(_) => self.interface.routes().get_default_ipv4_route(),
            IpAddress::Ipv6(_) => self.interface.routes().get_default_ipv6_route(),
        };
        let on_link = to.is_multicast() || to.is_broadcast() || addresses.iter().any(|cidr| cidr.contains_addr(to));
        if to.is_unspecified() || !(on_link || default.is_some()) {
            return None;
        }
        self.interface.get_source_address(to).filter(|source| self.interface.has_ip_addr(*source))
    }

    pub fn has_room(&self) -> bool {
        self.outgoing.len() < Self::BATCH
    }
}

/// The seed with which smoltcp's generator (sPCG32) gives `number` second; the first is spent on IPv4's identifiers, and
/// must not be zero there.
fn seed_before(number: u32) -> u64 {
    const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
    const INCREMENT: u64 = 0x7590_ef39;
    /// Newton's iteration doubles the bits that are right, three at first.
    const INVERSE: u64 = {
        let mut inverse = MULTIPLIER;
        let mut bits = 3;
        while bits < 64 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)));
            bits *= 2;
        }
        inverse
    };
    let before = |state: u64| state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE);
    let output = |state: u64| (state >> (29 - (state >> 61))) as u32;
    // Of a state whose upper three bits are zero, the lower 29 do not matter to what it gives.
    let states = (0..1 << 29).map(|low| before(u64::from(number) << 29 | low));
    let fits = |state: &u64| (output(*state) ^ output(*state) >> 16) as u16 != 0;
    states.filter(fits).map(before).next().unwrap_or_default()
}

fn instant(now: u64) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}

fn nanoseconds(at: Instant) -> u64 {
    // Not `saturating_mul`, which wasm does with a multiplication of 128 bits.
    let micros = at.total_micros() as u64;
    if micros > NEVER / 1000 { NEVER } else { micros * 1000 }
}

/// IPv4 addresses are in their IPv6-mapped form outside smoltcp (RFC 4291 section 2.5.5.2).
pub fn from_mapped(address: Ipv6Addr) -> IpAddress {
    match address.to_ipv4_mapped() {
        Some(address) => IpAddress::Ipv4(address),
        None => IpAddress::Ipv6(address),
    }
}

pub fn to_mapped(address: IpAddress) -> Ipv6Addr {
    match address {
        IpAddress::Ipv4(address) => address.to_ipv6_mapped(),
        IpAddress::Ipv6(address) => address,
    }
}

struct Device<'a> {
    frame: Option<&'a [u8]>,
    outgoing: &'a mut Outgoing,
    long: &'a mut Vec<u8>,
    sent: &'a mut Sent,
    mtu: u16,
    /// frames are to be zero before they are written
    blank: bool,
}

struct Received<'a>(&'a [u8]);

struct Transmit<'a> {
    outgoing: &'a mut Outgoing,
    long: &'a mut Vec<u8>,
    sent: &'a mut Sent,
    /// bytes of data per frame, if there is more in the segment
    split: Option<NonZeroU16>,
    blank: bool,
}

impl Device<'_> {
    fn transmitter(&mut self) -> Transmit<'_> {
        Transmit { outgoing: self.outgoing, long: self.long, sent: self.sent, split: None, blank: self.blank }
    }
}

impl phy::Device for Device<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        let frame = self.frame.take()?;
        Some((Received(frame), self.transmitter()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(self.transmitter())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_HEADER + usize::from(self.mtu);
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.ipv4 = Checksum::None;
        // Over IPv6 smoltcp sends no more than a frame at a time.
        capabilities.segmentation.tcpv4 = NonZeroUsize::new(segments::LONG);
        capabilities
    }
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        if self.split.is_some() || length > self.sent.limit {
            return self.consume_long(length, write);
        }
        let frame = self.outgoing.frame(length);
        if self.blank {
            frame.fill(0);
        }
        let result = write(frame);
        if frame.get(12..ETHERNET_HEADER) == Some(&[0x08, 0x00]) {
            // smoltcp never writes options.
            if let Some(header) = frame.get_mut(ETHERNET_HEADER..ETHERNET_HEADER + 20) {
                checksum::fill_header(header);
            }
        }
        if let Some(mut segment) = Written::read(frame) {
            let before = |highest: &u32| segment.is_empty() && (segment.sequence.wrapping_sub(*highest) as i32) < 0;
            let sequence = self.sent.highest.filter(before);
            segment.complete(frame, sequence);
            self.sent.segment = Some(segment.sent(usize::MAX));
            self.sent.frames += 1;
        } else if is_question_from(frame, &self.sent.tentative) {
            self.outgoing.drop_last(length);
        } else {
            self.sent.frames += self.sent.fragments.complete(length, self.outgoing);
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.split = meta.segmentation_offload_size;
    }
}

/// Whether a frame is a Neighbor Solicitation from one of these addresses.
#[cold]
#[inline(never)]
fn is_question_from(frame: &[u8], addresses: &[Ipv6Addr]) -> bool {
    let source = frame.get(22..38).and_then(|octets| <[u8; 16]>::try_from(octets).ok()).map(Ipv6Addr::from);
    frame.get(12..ETHERNET_HEADER) == Some(&[0x86, 0xdd])
        && frame.get(20) == Some(&58)
        && frame.get(54) == Some(&135)
        && source.is_some_and(|source| addresses.contains(&source))
}

impl Transmit<'_> {
    #[inline(never)]
    fn consume_long<R>(self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let size = self.split.map_or(usize::MAX, |size| size.get().into());
        if self.long.len() < length {
            self.long.resize(length, 0);
        }
        let frame = &mut self.long[..length];
        let result = write(frame);
        if let Some(segment) = Written::read(frame) {
            let size = segment.fitting(size, self.sent.limit);
            self.sent.frames += segment.split(frame, size, self.outgoing);
            self.sent.segment = Some(segment.sent(size));
        }
        result
    }
}
