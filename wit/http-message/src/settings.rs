//! Settings of the boxes that serve HTTP: keys and values, as `pearwood:box/config` gives them.

use alloc::{borrow::ToOwned, format, string::String};
use core::net::{IpAddr, Ipv6Addr};

/// `1024`, `64 KiB`, `4 MiB`, `1 GiB`: bytes, within bounds.
pub fn size(value: &str, least: u64, most: u64) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] = &[("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let size = quantity(value, UNITS).ok_or("a size is a number of bytes, or one with the unit KiB, MiB or GiB")?;
    if (least..=most).contains(&size) { Ok(size) } else { Err(format!("a size from {least} to {most} bytes is meant")) }
}

/// `30` (seconds), `500 ms`, `30 s`, `5 min`, `1 h`: nanoseconds, more than none and no more than a day.
pub fn duration(value: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] =
        &[("", SECOND), ("ms", SECOND / 1000), ("s", SECOND), ("min", 60 * SECOND), ("h", 3600 * SECOND)];
    let time = quantity(value, UNITS).filter(|time| (1..=24 * 3600 * SECOND).contains(time));
    time.ok_or_else(|| "a time up to a day is meant: a number of seconds, or one with the unit ms, s, min or h".into())
}

const SECOND: u64 = 1_000_000_000;

fn quantity(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// A number within bounds.
pub fn number(value: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a number from {least} to {most} is meant"))
}

/// `true` or `false`.
pub fn boolean(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "true or false is meant".to_owned())
}

/// A header's value: printable ASCII without space around it.
pub fn field_value(value: &str) -> Result<String, String> {
    let valid = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value;
    if valid { Ok(value.into()) } else { Err("not a header's value: printable ASCII, no space around it".into()) }
}

/// Addresses whose first bits are the same. IPv4 is in its IPv6-mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: Ipv6Addr,
    mask: u128,
}

impl Network {
    /// `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`
    pub fn read(text: &str) -> Result<Self, String> {
        let why = || "an address or a network is meant, such as 10.0.0.0/8, without bits beyond its prefix".to_owned();
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let (address, bits) = match address.parse().map_err(|_| why())? {
            IpAddr::V4(address) => (address.to_ipv6_mapped(), 32),
            IpAddr::V6(address) => (address, 128),
        };
        let prefix: u32 = prefix.map_or(Ok(bits), str::parse).map_err(|_| why())?;
        let rest = bits.checked_sub(prefix).ok_or_else(why)?;
        let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
        if address.to_bits() & !mask == 0 { Ok(Network { address, mask }) } else { Err(why()) }
    }

    pub fn contains(&self, address: Ipv6Addr) -> bool {
        (address.to_bits() ^ self.address.to_bits()) & self.mask == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(size("64 KiB", 0, u64::MAX), Ok(64 << 10));
        assert_eq!(size("1MiB", 0, u64::MAX), Ok(1 << 20));
        assert_eq!(size("12", 12, 12), Ok(12));
        for bad in ["", "KiB", "1 KB", "-1", "1.5 KiB", "99999999999999999999", "18446744073709551615 GiB"] {
            assert!(size(bad, 0, u64::MAX).is_err(), "{bad}");
        }
        assert!(size("13", 0, 12).is_err());
        assert_eq!(duration("5"), Ok(5 * SECOND));
        assert_eq!(duration("500 ms"), Ok(SECOND / 2));
        assert_eq!(duration("1h"), Ok(3600 * SECOND));
        for bad in ["", "soon", "0", "25 h", "5 days"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks() {
        let contains = |network: &str, address: &str| {
            let address = match address.parse().unwrap() {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            Network::read(network).unwrap().contains(address)
        };
        for (network, address, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            assert_eq!(contains(network, address), expected, "{network} {address}");
        }
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8", "2001:db8::/129", "::1/0", "a/8", "10.0.0.0/", "/8"] {
            assert!(Network::read(bad).is_err(), "{bad}");
        }
    }
}
