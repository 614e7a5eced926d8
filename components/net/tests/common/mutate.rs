//! Frames that nobody should send: random ones, and valid ones spoiled, their checksums put right or not.

use super::wire::Dice;
use smoltcp::wire::*;

pub fn random(dice: &mut Dice, card: [u8; 6]) -> Vec<u8> {
    let length = dice.below(200);
    let mut frame: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
    if frame.len() >= 14 && dice.percent(90) {
        frame[..6].copy_from_slice(&card);
        let kinds = [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06]];
        frame[12..14].copy_from_slice(&kinds[dice.below(3)]);
        if frame.len() >= 55 && dice.percent(70) {
            frame[14] = if frame[12] == 0x08 { 0x45 } else { 0x60 };
            let length = (frame.len() - 14) as u16;
            if frame[12] == 0x08 {
                frame[16..18].copy_from_slice(&length.to_be_bytes());
                frame[23] = [1, 6, 17, 2][dice.below(4)];
            } else {
                frame[18..20].copy_from_slice(&(length - 40).to_be_bytes());
                frame[20] = [0, 6, 17, 58, 43, 44, 60][dice.below(7)];
            }
            correct(&mut frame);
        }
    }
    frame
}

pub fn spoil(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = corpus[dice.below(corpus.len())].clone();
    for _ in 0..1 + dice.below(4) {
        if frame.is_empty() {
            break;
        }
        // Headers are more interesting than payload.
        let reach = if dice.percent(80) { frame.len().min(100) } else { frame.len() };
        let at = dice.below(reach);
        match dice.below(9) {
            0 => frame[at] ^= 1 << dice.below(8),
            1 => frame[at] = dice.next() as u8,
            2 => frame[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            3 => frame.truncate(at),
            4 => frame.extend((0..dice.below(100)).map(|_| 0xa5)),
            5 => _ = frame.remove(at),
            6 => frame.insert(at, dice.next() as u8),
            7 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = at.min(other.len());
                frame.truncate(at);
                frame.extend_from_slice(&other[from..]);
            }
            // Fragments, for IPv4: the flags and the offset.
            _ if frame.len() > 22 => {
                frame[20] = [0x20, 0x00, 0x1f, 0x3f][dice.below(4)];
                frame[21] = [0, 1, 185, 255][dice.below(4)];
            }
            _ => {}
        }
    }
    if dice.percent(80) {
        correct(&mut frame);
    }
    frame
}

/// A SYN, or another segment, with options that make no sense.
pub fn options(dice: &mut Dice, template: &[u8]) -> Vec<u8> {
    let mut frame = template[..54].to_vec();
    let words = dice.below(11);
    frame[46] = ((5 + words) << 4) as u8;
    frame[47] = if dice.percent(60) { 2 } else { dice.next() as u8 };
    for _ in 0..words * 4 {
        let byte =
            if dice.percent(70) { [0, 1, 2, 3, 4, 5, 8, 10, 14, 255][dice.below(10)] } else { dice.next() as u8 };
        frame.push(byte);
    }
    let length = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[34..36].copy_from_slice(&(dice.next() as u16 | 1).to_be_bytes());
    correct(&mut frame);
    frame
}

/// Puts the checksums right, so that what is wrong is found further in.
fn correct(frame: &mut [u8]) {
    if frame.len() < 34 {
        return;
    }
    match frame[12..14] {
        [0x08, 0x00] => {
            let Ok(mut packet) = Ipv4Packet::new_checked(&mut frame[14..]) else { return };
            packet.fill_checksum();
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            let protocol = packet.next_header();
            transport(protocol, packet.payload_mut(), source, destination);
        }
        [0x86, 0xdd] => {
            let Ok(mut packet) = Ipv6Packet::new_checked(&mut frame[14..]) else { return };
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            let protocol = packet.next_header();
            transport(protocol, packet.payload_mut(), source, destination);
        }
        _ => {}
    }
}

fn transport(protocol: IpProtocol, payload: &mut [u8], source: IpAddress, destination: IpAddress) {
    match (protocol, source, destination) {
        (IpProtocol::Tcp, ..) if payload.len() >= 20 => {
            TcpPacket::new_unchecked(payload).fill_checksum(&source, &destination);
        }
        (IpProtocol::Udp, ..) => {
            if let Ok(mut packet) = UdpPacket::new_checked(payload) {
                packet.fill_checksum(&source, &destination);
            }
        }
        (IpProtocol::Icmp, ..) if payload.len() >= 8 => Icmpv4Packet::new_unchecked(payload).fill_checksum(),
        (IpProtocol::Icmpv6, IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) if payload.len() >= 8 => {
            Icmpv6Packet::new_unchecked(payload).fill_checksum(&source, &destination);
        }
        _ => {}
    }
}
