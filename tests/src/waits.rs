//! How long clients waited, by what went over the node's network card, in the guest's time. While the guest works, that is
//! its instructions; while it has nothing to do, it is this machine's time: one that is busy otherwise makes some waits
//! longer.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError, traits::PcapReaderIterator};
use std::{
    collections::HashMap,
    env,
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Enough for the headers of every packet.
const HEADERS: usize = 128;

/// Who waits, and since when.
#[derive(Default)]
struct Asking {
    since: HashMap<(IpAddr, u16), u64>,
    /// when the node last said anything, or when it was first asked after that
    paused: u64,
}

/// Packets of one network card, as QEMU writes them to a file.
pub struct Capture(PathBuf);

/// One client's wait for an answer: from the first packet that asks to the first that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// where the answer is among the packets, see [`Capture::position`]
    pub position: u64,
    /// of the guest's clock, which QEMU sets forward by up to some milliseconds at a time: a wait seems longer or
    /// shorter by that
    pub micros: u64,
}

/// What went over the card.
#[derive(Debug, Default)]
pub struct Seen {
    /// in the order of their ends
    pub waits: Vec<Wait>,
    /// how long somebody waited and nobody was told anything, each time that something was said
    pub pauses: Vec<Wait>,
    /// where among the packets the node has reset connections
    pub resets: Vec<u64>,
}

impl Capture {
    /// In a folder, unless `PEARWOOD_PACKETS` names a file that is to be kept.
    pub fn new(directory: &Path) -> Self {
        Capture(env::var_os("PEARWOOD_PACKETS").map_or_else(|| directory.join("packets.pcap"), PathBuf::from))
    }

    /// QEMU's arguments: packets are written, and an instruction takes a nanosecond.
    pub fn arguments(&self) -> [String; 4] {
        let dump = format!("filter-dump,id=packets,netdev=net0,maxlen={HEADERS},file={}", self.0.display());
        ["-object".into(), dump, "-icount".into(), "shift=0".into()]
    }

    /// How much has gone over the card: what is asked now comes later in [`Capture::seen`].
    pub fn position(&self) -> u64 {
        fs::metadata(&self.0).expect("QEMU writes packets").len()
    }

    /// What clients of a TCP port saw.
    pub fn seen(&self, port: u16) -> Seen {
        let mut reader =
            LegacyPcapReader::new(1 << 16, File::open(&self.0).expect("packets")).expect("a file of packets");
        let (mut seen, mut asking, mut position) = (Seen::default(), Asking::default(), 0);
        loop {
            match reader.next() {
                Ok((length, block)) => {
                    if let PcapBlockOwned::Legacy(packet) = block {
                        let micros = u64::from(packet.ts_sec) * 1_000_000 + u64::from(packet.ts_usec);
                        seen.packet(packet.data, port, (position, micros), &mut asking);
                    }
                    position += length as u64;
                    reader.consume(length);
                }
                // the last packet is just being written
                Err(PcapError::Eof | PcapError::UnexpectedEof) => return seen,
                Err(PcapError::Incomplete(_)) => reader.refill().expect("packets"),
                Err(error) => panic!("packets: {error}"),
            }
        }
    }
}

impl Seen {
    fn packet(&mut self, bytes: &[u8], port: u16, (position, micros): (u64, u64), asking: &mut Asking) {
        let Ok(packet) = LaxSlicedPacket::from_ethernet(bytes) else { return };
        let (source, destination) = match &packet.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                (ip.header().source_addr().into(), IpAddr::from(ip.header().destination_addr()))
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                (ip.header().source_addr().into(), IpAddr::from(ip.header().destination_addr()))
            }
            _ => return,
        };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return };
        let says = tcp.syn() || !tcp.payload().is_empty();
        if tcp.destination_port() == port {
            let client = (source, tcp.source_port());
            if tcp.rst() {
                asking.since.remove(&client);
            } else if says {
                if asking.since.is_empty() {
                    asking.paused = micros;
                }
                // what is sent again was asked before
                asking.since.entry(client).or_insert(micros);
            }
        } else if tcp.source_port() == port {
            let client = (destination, tcp.destination_port());
            if tcp.rst() {
                self.resets.push(position);
            }
            if says {
                if !asking.since.is_empty() {
                    self.pauses.push(Wait { position, micros: micros.saturating_sub(asking.paused) });
                }
                asking.paused = micros;
                if let Some(asked) = asking.since.remove(&client) {
                    self.waits.push(Wait { position, micros: micros.saturating_sub(asked) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    #[test]
    fn a_wait_is_from_what_asks_first_to_what_answers_first() {
        let (client, node) = ([10, 0, 2, 2], [10, 0, 2, 15]);
        let to_node = || PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(client, node, 64).tcp(4_000, 80, 7, 1_000);
        let to_client = || PacketBuilder::ethernet2([2; 6], [1; 6]).ipv4(node, client, 64).tcp(80, 4_000, 9, 1_000);
        let other = || PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(client, node, 64).tcp(4_001, 80, 7, 1_000);
        let long = [b'x'; 1_000];
        let packets = [
            (10, to_node().syn(), &b""[..]),
            (25, to_client().syn().ack(8), b""),
            (30, to_node().ack(10), b""),
            (40, to_node().ack(10), b"GET /"),
            (45, to_client().ack(13), b""),
            (50, to_node().ack(10), b"GET /"),
            (70, to_client().ack(13), &long),
            (90, to_client().ack(13), &long),
            (92, other(), b"GET /"),
            (95, to_client().rst(), b""),
            (98, to_client().ack(13), &long),
        ];
        let directory = tempfile::tempdir().expect("a folder");
        let capture = Capture(directory.path().join("packets.pcap"));
        let mut file = Vec::new();
        file.extend_from_slice(&0xa1b2_c3d4u32.to_le_bytes());
        file.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, HEADERS as u8, 0, 0, 0, 1, 0, 0, 0]);
        let mut starts = Vec::new();
        for (micros, builder, payload) in packets {
            starts.push(file.len() as u64);
            let mut packet = Vec::new();
            builder.write_to_vec(&mut packet, payload).expect("a packet");
            let length = packet.len() as u32;
            packet.truncate(HEADERS);
            for number in [1, micros, packet.len() as u32, length] {
                file.extend_from_slice(&number.to_le_bytes());
            }
            file.extend(packet);
        }
        // QEMU has not written all of the next one
        file.extend_from_slice(&[1, 0, 0, 0, 99]);
        fs::write(&capture.0, file).expect("written");
        let seen = capture.seen(80);
        let waits = [Wait { position: starts[1], micros: 15 }, Wait { position: starts[6], micros: 30 }];
        assert_eq!((seen.waits, seen.resets), (waits.to_vec(), vec![starts[9]]));
        let last = Wait { position: starts[10], micros: 6 };
        assert_eq!(seen.pauses, [waits[0], waits[1], last]);
        assert_eq!(capture.seen(81).waits, []);
    }
}
