//! Segments that are sent, or made up, without a socket.

use crate::link::{Link, from_mapped};
use crate::packet::{Flow, Packet, Segment};
use crate::segments::Written;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

const ETHERNET_HEADER: usize = 14;
const HOP_LIMIT: u8 = 64;
/// Of who does not say what segments it takes (RFC 9293 section 3.7.1).
const UNSAID: u16 = 536;

/// A segment from this machine, without data.
fn segment(flow: &Flow, control: TcpControl, sequence: u32, acknowledged: Option<u32>) -> TcpRepr<'static> {
    TcpRepr {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        control,
        seq_number: TcpSeqNumber(sequence as i32),
        ack_number: acknowledged.map(|number| TcpSeqNumber(number as i32)),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// Answers a segment of a connection in TIME-WAIT with the last acknowledgement.
pub fn acknowledge(frame: &[u8], flow: &Flow, sequence: u32, acknowledged: u32, link: &mut Link) {
    answer(frame, flow, segment(flow, TcpControl::None, sequence, Some(acknowledged)), link);
}

/// Answers a segment that belongs to no connection (RFC 9293 section 3.10.7.1).
pub fn reset(frame: &[u8], to: &Segment, link: &mut Link) {
    let (sequence, acknowledged) = if to.acknowledges() { (to.acknowledged, None) } else { (0, Some(to.next())) };
    answer(frame, &to.flow, segment(&to.flow, TcpControl::Rst, sequence, acknowledged), link);
}

/// Answers a SYN with one of this sequence number, of which nothing is remembered.
pub fn synchronize(frame: &[u8], syn: &Segment, sequence: u32, window: u16, link: &mut Link) {
    let headers = if syn.flow.remote.to_ipv4_mapped().is_some() { 40 } else { 60 };
    let tcp = TcpRepr {
        window_len: window,
        max_seg_size: Some(link.card.mtu - headers),
        ..segment(&syn.flow, TcpControl::Syn, sequence, Some(syn.next()))
    };
    answer(frame, &syn.flow, tcp, link);
}

fn answer(frame: &[u8], flow: &Flow, tcp: TcpRepr<'_>, link: &mut Link) {
    let Ok(received) = EthernetFrame::new_checked(frame) else { return };
    let ends = (from_mapped(flow.local), from_mapped(flow.remote));
    let cards = (EthernetAddress(link.card.address), received.src_addr());
    let ip = IpRepr::new(ends.0, ends.1, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    link.emit(ETHERNET_HEADER + ip.buffer_len(), |buffer| write(buffer, cards, ends, &ip, &tcp));
}

/// The frame by which a remote machine might have opened a connection.
pub fn opening(frame: &[u8], flow: &Flow, sequence: u32, size: u16) -> Option<Vec<u8>> {
    from_remote(frame, flow, TcpRepr { max_seg_size: Some(size), ..segment(flow, TcpControl::Syn, sequence, None) })
}

/// An empty segment that a remote machine might have sent.
pub fn probe(frame: &[u8], flow: &Flow, sequence: u32, acknowledged: u32) -> Option<Vec<u8>> {
    from_remote(frame, flow, segment(flow, TcpControl::None, sequence, Some(acknowledged)))
}

fn from_remote(frame: &[u8], flow: &Flow, tcp: TcpRepr<'_>) -> Option<Vec<u8>> {
    let received = EthernetFrame::new_checked(frame).ok()?;
    let ends = (from_mapped(flow.remote), from_mapped(flow.local));
    let tcp = TcpRepr { src_port: flow.remote_port, dst_port: flow.local_port, ..tcp };
    let ip = IpRepr::new(ends.0, ends.1, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    let mut buffer = vec![0; ETHERNET_HEADER + ip.buffer_len()];
    write(&mut buffer, (received.src_addr(), received.dst_addr()), ends, &ip, &tcp);
    Some(buffer)
}

/// A SYN as it would be if the remote side took no longer segments than this.
pub fn limited(frame: &[u8], flow: &Flow, size: u16) -> Option<Vec<u8>> {
    let Packet::Tcp(segment) = Packet::classify(frame) else { return None };
    let packet = TcpPacket::new_checked(frame.get(segment.start..segment.end)?).ok()?;
    let ends = (from_mapped(flow.remote), from_mapped(flow.local));
    let tcp = TcpRepr::parse(&packet, &ends.0, &ends.1, &ChecksumCapabilities::ignored()).ok()?;
    let said = tcp.max_seg_size.unwrap_or(UNSAID);
    from_remote(frame, flow, TcpRepr { max_seg_size: Some(said.min(size)), ..tcp })
}

/// Lets a SYN of this machine's say no longer segments than this, which the path carries (RFC 9293 section 3.7.1).
#[cold]
#[inline(never)]
pub fn limit(frame: &mut [u8], size: u16) {
    const SIZE: [u8; 2] = [2, 4];
    let Some(written) = Written::read(frame).filter(Written::synchronizes) else { return };
    // smoltcp writes this option first.
    let at = written.options();
    if frame.get(at..at + 2) == Some(&SIZE)
        && let Some(said) = frame.get_mut(at + 2..at + 4)
    {
        let now = u16::from_be_bytes([said[0], said[1]]).min(size);
        said.copy_from_slice(&now.to_be_bytes());
        let mut written = written;
        written.complete(frame, None);
    }
}

/// The maximum segment size that a segment says (RFC 9293 section 3.7.1).
pub fn size(frame: &[u8], segment: &Segment) -> Option<u16> {
    let packet = TcpPacket::new_checked(frame.get(segment.start..segment.end)?).ok()?;
    let ends = (from_mapped(segment.flow.remote), from_mapped(segment.flow.local));
    TcpRepr::parse(&packet, &ends.0, &ends.1, &ChecksumCapabilities::ignored()).ok()?.max_seg_size
}

fn write(
    buffer: &mut [u8],
    cards: (EthernetAddress, EthernetAddress),
    ends: (IpAddress, IpAddress),
    ip: &IpRepr,
    tcp: &TcpRepr<'_>,
) {
    let mut ethernet = EthernetFrame::new_unchecked(buffer);
    ethernet.set_src_addr(cards.0);
    ethernet.set_dst_addr(cards.1);
    ethernet.set_ethertype(match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    });
    let payload = ethernet.payload_mut();
    ip.emit(&mut *payload, &ChecksumCapabilities::default());
    let mut packet = TcpPacket::new_unchecked(&mut payload[ip.header_len()..]);
    tcp.emit(&mut packet, &ends.0, &ends.1, &ChecksumCapabilities::default());
}
