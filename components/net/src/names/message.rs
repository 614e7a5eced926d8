//! DNS messages (RFC 1035 section 4), written and read with smoltcp's wire formats.

use core::net::Ipv6Addr;
use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData, DnsRepr,
};

/// Without EDNS, an answer over UDP has at most this many bytes (RFC 1035 section 2.3.4).
pub const MAX_MESSAGE: usize = 512;
const MAX_LABEL: usize = 63;
/// RFC 1035 section 2.3.4, with the zero byte at the end.
const MAX_NAME: usize = 255;
/// More addresses of a name are not used.
const MAX_ADDRESSES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Four,
    Six,
}

/// A name in lower case, as labels with their lengths before them and a zero after the last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Vec<u8>);

impl Name {
    /// `None` if it is no host name: an empty or long label, too long in all, or an address, which nobody need look up.
    /// The last label of a name is no number (RFC 3696 section 2).
    pub fn new(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let last = text.rsplit('.').next().unwrap_or_default();
        let number = last.strip_prefix("0x").unwrap_or(last).bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > MAX_NAME - 2 || number || text.contains([':', '[', ']', '%']) {
            return None;
        }
        let labels = text.split('.');
        Name::from_labels(labels.map(|label| Some(label.as_bytes())))
    }

    fn from_labels<'a>(labels: impl Iterator<Item = Option<&'a [u8]>>) -> Option<Name> {
        let mut name = Vec::new();
        for label in labels {
            let label = label.filter(|l| !l.is_empty() && l.len() <= MAX_LABEL)?;
            name.push(label.len() as u8);
            name.extend(label.iter().map(u8::to_ascii_lowercase));
            if name.len() >= MAX_NAME {
                return None;
            }
        }
        name.push(0);
        (name.len() > 1).then_some(Name(name))
    }

    fn read(packet: &DnsPacket<&[u8]>, at: &[u8]) -> Option<Name> {
        Name::from_labels(packet.parse_name(at).map(Result::ok))
    }
}

/// A query for the addresses of one family.
pub fn query(id: u16, name: &Name, family: Family) -> Vec<u8> {
    let repr = DnsRepr {
        transaction_id: id,
        opcode: DnsOpcode::Query,
        flags: DnsFlags::RECURSION_DESIRED,
        question: DnsQuestion { name: &name.0, type_: query_type(family) },
    };
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut message[..]));
    message
}

fn query_type(family: Family) -> DnsQueryType {
    match family {
        Family::Four => DnsQueryType::A,
        Family::Six => DnsQueryType::Aaaa,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The addresses of the name, perhaps none; good for that many seconds.
    Addresses(Vec<Ipv6Addr>, u32),
    NoSuchName,
    /// The same as far as the answer goes: there was no room for all of it.
    Truncated(Vec<Ipv6Addr>, u32),
    /// This server cannot say; another may.
    Unable,
}

/// Reads an answer to `query(id, name, family)`. `None` if it is none.
pub fn answer(message: &[u8], id: u16, name: &Name, family: Family) -> Option<Answer> {
    let packet = DnsPacket::new_checked(message).ok()?;
    let is_answer = packet.opcode() == DnsOpcode::Query && packet.flags().contains(DnsFlags::RESPONSE);
    if !is_answer || packet.transaction_id() != id || packet.question_count() != 1 {
        return None;
    }
    let (mut rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
    if question.type_ != query_type(family) || Name::read(&packet, question.name)? != *name {
        return None;
    }
    match packet.rcode() {
        DnsRcode::NoError => {}
        DnsRcode::NXDomain => return Some(Answer::NoSuchName),
        _ => return Some(Answer::Unable),
    }
    let mut wanted = name.clone();
    let mut addresses = Vec::new();
    let mut seconds = u32::MAX;
    for _ in 0..packet.answer_record_count() {
        let Ok((after, record)) = DnsRecord::parse(rest) else { break };
        rest = after;
        if Name::read(&packet, record.name).as_ref() != Some(&wanted) {
            continue;
        }
        let address = match record.data {
            DnsRecordData::A(address) if family == Family::Four => address.to_ipv6_mapped(),
            DnsRecordData::Aaaa(address) if family == Family::Six => address,
            DnsRecordData::Cname(target) => {
                wanted = Name::read(&packet, target)?;
                seconds = seconds.min(record.ttl);
                continue;
            }
            _ => continue,
        };
        seconds = seconds.min(record.ttl);
        if addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    let truncated = packet.flags().contains(DnsFlags::TRUNCATED);
    Some(if truncated { Answer::Truncated(addresses, seconds) } else { Answer::Addresses(addresses, seconds) })
}
