//! Segments that are sent without a socket.

use crate::link::Link;
use crate::packet::Segment;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

const ETHERNET_HEADER: usize = 14;
const HOP_LIMIT: u8 = 64;

/// Answers a segment of a connection in TIME-WAIT with the last acknowledgement.
pub fn acknowledge(frame: &[u8], segment: &Segment, sequence: u32, acknowledged: u32, link: &mut Link) {
    let Ok(received) = EthernetFrame::new_checked(frame) else { return };
    let flow = &segment.flow;
    let tcp = TcpRepr {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(sequence as i32),
        ack_number: Some(TcpSeqNumber(acknowledged as i32)),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let local = crate::link::from_mapped(flow.local);
    let remote = crate::link::from_mapped(flow.remote);
    let ip = IpRepr::new(local, remote, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    let protocol = if flow.remote.to_ipv4_mapped().is_some() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
    let (source, destination) = (EthernetAddress(link.card.address), received.src_addr());
    link.emit(ETHERNET_HEADER + ip.header_len() + tcp.buffer_len(), |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(source);
        ethernet.set_dst_addr(destination);
        ethernet.set_ethertype(protocol);
        let payload = ethernet.payload_mut();
        ip.emit(&mut *payload, &ChecksumCapabilities::default());
        let mut packet = TcpPacket::new_unchecked(&mut payload[ip.header_len()..]);
        tcp.emit(&mut packet, &local, &remote, &ChecksumCapabilities::default());
    });
}
