//! Router Advertisements (RFC 4861 section 4.2), read from hostile bytes.

use core::net::Ipv6Addr;

const HEADER: usize = 16;

const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
const RECURSIVE_DNS: u8 = 25;

/// More of either are not looked at.
const MAX_PREFIXES: usize = 4;
const MAX_SERVERS: usize = 3;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// seconds that the sender is a default router; 0: it is none
    pub router_lifetime: u16,
    /// bytes of the largest packet on this link
    pub mtu: Option<u32>,
    pub prefixes: Vec<Prefix>,
    pub dns: Vec<Server>,
}

/// RFC 4861 section 4.6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub prefix: Ipv6Addr,
    pub on_link: bool,
    /// seconds; the largest value means for ever
    pub valid: u32,
}

/// RFC 8106 section 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    pub address: Ipv6Addr,
    /// seconds; the largest value means for ever
    pub lifetime: u32,
}

impl Advertisement {
    /// Reads an ICMPv6 message of type 134 whose checksum is right. `None` if RFC 4861 section 6.1.2 says to discard it.
    pub fn read(message: &[u8]) -> Option<Advertisement> {
        let mut advertisement = Advertisement::default();
        let header = message.get(..HEADER)?;
        if header[1] != 0 {
            return None;
        }
        advertisement.router_lifetime = u16::from_be_bytes([header[6], header[7]]);
        let mut options = &message[HEADER..];
        while !options.is_empty() {
            let length = usize::from(*options.get(1)?) * 8;
            if length == 0 {
                return None;
            }
            let (option, rest) = options.split_at_checked(length)?;
            match option[0] {
                PREFIX_INFORMATION => advertisement.prefixes.extend(prefix(option)),
                // RFC 4861 section 4.6.4.
                MTU => advertisement.mtu = Some(u32_at(option, 4)),
                RECURSIVE_DNS => servers(option, &mut advertisement.dns),
                _ => {}
            }
            options = rest;
        }
        advertisement.prefixes.truncate(MAX_PREFIXES);
        advertisement.dns.truncate(MAX_SERVERS);
        Some(advertisement)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
}

/// A prefix to form an address from, which RFC 4862 section 5.5.3 lets be only one of 64 bits on Ethernet.
fn prefix(option: &[u8]) -> Option<Prefix> {
    const ON_LINK: u8 = 0x80;
    const AUTONOMOUS: u8 = 0x40;
    if option.len() != 32 || option[2] != 64 || option[3] & AUTONOMOUS == 0 {
        return None;
    }
    let (valid, preferred) = (u32_at(option, 4), u32_at(option, 8));
    let prefix = address(&option[16..32])?;
    if prefix.is_multicast() || prefix.is_unicast_link_local() || prefix.is_unspecified() || preferred > valid {
        return None;
    }
    let prefix = Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64);
    Some(Prefix { prefix, on_link: option[3] & ON_LINK != 0, valid })
}

fn servers(option: &[u8], servers: &mut Vec<Server>) {
    let lifetime = u32_at(option, 4);
    let addresses = option.get(8..).unwrap_or_default().as_chunks::<16>().0;
    for octets in addresses.iter().take(MAX_SERVERS) {
        let address = Ipv6Addr::from(*octets);
        if !address.is_multicast() && !address.is_unspecified() && !address.is_loopback() {
            servers.push(Server { address, lifetime });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
        options.iter().for_each(|option| message.extend_from_slice(option));
        message
    }

    fn prefix_option(length: u8, flags: u8, prefix: &str) -> Vec<u8> {
        let mut option = vec![3, 4, length, flags, 0, 0, 1, 0, 0, 0, 0, 128, 0, 0, 0, 0];
        option.extend_from_slice(&prefix.parse::<Ipv6Addr>().unwrap().octets());
        option
    }

    #[test]
    fn prefixes_and_servers() {
        let mut dns = vec![25, 3, 0, 0, 0, 0, 0, 60];
        dns.extend_from_slice(&"2001:db8::53".parse::<Ipv6Addr>().unwrap().octets());
        let advertisement =
            Advertisement::read(&message(&[&prefix_option(64, 0xc0, "2001:db8::"), &dns, &[5, 1, 0, 0, 0, 0, 5, 200]]));
        assert_eq!(
            advertisement,
            Some(Advertisement {
                router_lifetime: 1800,
                mtu: Some(1480),
                prefixes: vec![Prefix { prefix: "2001:db8::".parse().unwrap(), on_link: true, valid: 256 }],
                dns: vec![Server { address: "2001:db8::53".parse().unwrap(), lifetime: 60 }],
            })
        );
    }

    #[test]
    fn unusable_prefixes_are_ignored() {
        for (length, flags, prefix) in
            [(48, 0xc0, "2001:db8::"), (64, 0x80, "2001:db8::"), (64, 0xc0, "fe80::"), (64, 0xc0, "ff02::")]
        {
            let read = Advertisement::read(&message(&[&prefix_option(length, flags, prefix)])).unwrap();
            assert_eq!(read.prefixes, [], "{prefix}/{length} flags {flags}");
        }
    }

    #[test]
    fn an_option_of_no_length_or_beyond_the_end_discards_the_message() {
        assert_eq!(Advertisement::read(&message(&[&[3, 0, 0, 0, 0, 0, 0, 0]])), None);
        assert_eq!(Advertisement::read(&message(&[&[3, 9, 0, 0, 0, 0, 0, 0]])), None);
        assert_eq!(Advertisement::read(&message(&[&[3]])), None);
    }
}
