//! Splits one long TCP segment into frames, as cards with segmentation offload do.
//!
//! smoltcp's work is per segment. It hands over as much of a connection's data at once as may be sent, and here is only
//! the header repeated.

use crate::checksum;
use crate::packet::Segment;
use wit::Batch;

const ETHERNET_HEADER: usize = 14;
/// The longest Ethernet, IPv4 and TCP headers together.
const LONGEST: usize = ETHERNET_HEADER + 60 + 60;

const FIN: u8 = 0x01;
const PUSH: u8 = 0x08;

/// Bytes of frame up to which smoltcp hands segments over. A multiple of the usual segment, and the length that the IP
/// header says is still right.
pub const LONG: usize = ETHERNET_HEADER + 40 + 44 * 1460;

/// Writes the frames of a segment over IPv4 with at most `size` bytes of data each, and tells how many.
pub fn split(frame: &[u8], segment: &Segment, size: usize, outgoing: &mut Batch) -> u64 {
    let mut header = [0; LONGEST];
    let Some(header) = header.get_mut(..segment.data) else { return 0 };
    header.copy_from_slice(&frame[..segment.data]);
    let (ip, tcp) = (ETHERNET_HEADER, segment.start);
    let flags = header[tcp + 13];
    let mut rest = &frame[segment.data..segment.end];
    let mut sequence = segment.sequence;
    let mut count = 0;
    while !rest.is_empty() {
        let (data, after) = rest.split_at(rest.len().min(size.max(1)));
        rest = after;
        let length = segment.data - ip + data.len();
        header[ip + 2..ip + 4].copy_from_slice(&(length as u16).to_be_bytes());
        header[ip + 10..ip + 12].fill(0);
        let sum = checksum::field(checksum::sum(&header[ip..tcp]));
        header[ip + 10..ip + 12].copy_from_slice(&sum);
        header[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        header[tcp + 13] = if rest.is_empty() { flags } else { flags & !(FIN | PUSH) };
        header[tcp + 16..tcp + 18].fill(0);
        let pseudo = checksum::pseudo_header(&header[segment.addresses.clone()], segment.data - tcp + data.len());
        let sum = checksum::field(pseudo + checksum::sum(&header[tcp..]) + checksum::sum(data));
        header[tcp + 16..tcp + 18].copy_from_slice(&sum);
        outgoing.push_parts(wit::nic::FRAME, 0, &[header, data]);
        sequence = sequence.wrapping_add(data.len() as u32);
        count += 1;
    }
    count
}
