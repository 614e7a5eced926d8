//! Frames made by hand.

use super::STACK_CARD;
use super::host::CARD;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::*;

pub fn ethernet(
    protocol: EthernetProtocol,
    destination: [u8; 6],
    length: usize,
    write: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = vec![0; 14 + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(EthernetAddress(CARD));
    frame.set_dst_addr(EthernetAddress(destination));
    frame.set_ethertype(protocol);
    write(frame.payload_mut());
    bytes
}

fn address(text: &str) -> IpAddress {
    text.parse().unwrap()
}

/// An IP packet to the stack.
pub fn ip(from: &str, to: &str, protocol: IpProtocol, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let repr = IpRepr::new(address(from), address(to), protocol, payload.len(), hop_limit);
    let (kind, group) = match address(to) {
        IpAddress::Ipv4(to) => (EthernetProtocol::Ipv4, to.is_multicast() || to.is_broadcast()),
        IpAddress::Ipv6(to) => (EthernetProtocol::Ipv6, to.is_multicast()),
    };
    let destination = match address(to) {
        IpAddress::Ipv6(to) if group => {
            let [.., a, b, c, d] = to.octets();
            [0x33, 0x33, a, b, c, d]
        }
        _ if group => [0xff; 6],
        _ => STACK_CARD,
    };
    ethernet(kind, destination, repr.header_len() + payload.len(), |buffer| {
        repr.emit(&mut *buffer, &ChecksumCapabilities::default());
        buffer[repr.header_len()..].copy_from_slice(payload);
    })
}

/// An ICMPv6 message to the stack, with its checksum.
pub fn icmp6(from: &str, to: &str, message: &[u8]) -> Vec<u8> {
    let (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) = (address(from), address(to)) else { panic!() };
    let mut message = message.to_vec();
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &destination);
    ip(from, to, IpProtocol::Icmpv6, 255, &message)
}

/// An ICMP message to the stack, with its checksum.
pub fn icmp4(from: &str, to: &str, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum();
    ip(from, to, IpProtocol::Icmp, 64, &message)
}

pub fn udp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from.1, dst_port: to.1 };
    let mut datagram = vec![0; repr.header_len() + payload.len()];
    let mut packet = UdpPacket::new_unchecked(&mut datagram[..]);
    let (source, destination) = (address(from.0), address(to.0));
    let write = |buffer: &mut [u8]| buffer.copy_from_slice(payload);
    repr.emit(&mut packet, &source, &destination, payload.len(), write, &ChecksumCapabilities::default());
    ip(from.0, to.0, IpProtocol::Udp, 64, &datagram)
}

pub struct Tcp<'a> {
    pub from: (&'a str, u16),
    pub to: (&'a str, u16),
    pub control: TcpControl,
    pub sequence: u32,
    pub acknowledge: Option<u32>,
    pub payload: &'a [u8],
}

pub fn tcp(tcp: &Tcp<'_>) -> Vec<u8> {
    tcp_with(tcp, 64_000)
}

/// With a window of that many bytes.
pub fn tcp_with(tcp: &Tcp<'_>, window: u16) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: tcp.from.1,
        dst_port: tcp.to.1,
        control: tcp.control,
        seq_number: TcpSeqNumber(tcp.sequence as i32),
        ack_number: tcp.acknowledge.map(|n| TcpSeqNumber(n as i32)),
        window_len: window,
        window_scale: None,
        max_seg_size: (tcp.control == TcpControl::Syn).then_some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: tcp.payload,
    };
    let mut segment = vec![0; repr.buffer_len()];
    let (source, destination) = (address(tcp.from.0), address(tcp.to.0));
    let mut packet = TcpPacket::new_unchecked(&mut segment[..]);
    repr.emit(&mut packet, &source, &destination, &ChecksumCapabilities::default());
    ip(tcp.from.0, tcp.to.0, IpProtocol::Tcp, 64, &segment)
}

/// An ARP request of `from` for the stack's address, which lets the stack know `from`.
pub fn arp(from: &str, card: [u8; 6], to: &str) -> Vec<u8> {
    let (IpAddress::Ipv4(source), IpAddress::Ipv4(target)) = (address(from), address(to)) else { panic!() };
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(card),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    ethernet(EthernetProtocol::Arp, [0xff; 6], repr.buffer_len(), |buffer| {
        repr.emit(&mut ArpPacket::new_unchecked(buffer));
    })
}

/// A TCP segment that the stack sent: ports, control bits, sequence, acknowledgement, payload length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub ports: (u16, u16),
    pub control: TcpControl,
    pub sequence: u32,
    pub acknowledge: Option<u32>,
    pub payload: usize,
    pub window: u16,
    pub scale: Option<u8>,
    /// the maximum segment size that it says
    pub size: Option<u16>,
}

/// Reads a frame of the stack's as TCP; its checksums must be right.
pub fn read_tcp(frame: &[u8]) -> Option<Seen> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (protocol, source, destination, payload): (_, IpAddress, IpAddress, _) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            let repr = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()).unwrap();
            (repr.next_header, repr.src_addr.into(), repr.dst_addr.into(), packet.payload())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
            (packet.next_header(), packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
        }
        _ => return None,
    };
    if protocol != IpProtocol::Tcp {
        return None;
    }
    let packet = TcpPacket::new_checked(payload).unwrap();
    let tcp = TcpRepr::parse(&packet, &source, &destination, &ChecksumCapabilities::default()).unwrap();
    Some(Seen {
        ports: (tcp.src_port, tcp.dst_port),
        control: tcp.control,
        sequence: tcp.seq_number.0 as u32,
        acknowledge: tcp.ack_number.map(|n| n.0 as u32),
        payload: tcp.payload.len(),
        window: tcp.window_len,
        scale: tcp.window_scale,
        size: tcp.max_seg_size,
    })
}
