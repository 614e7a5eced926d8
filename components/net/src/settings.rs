//! The box's `config` table of system.toml: see [`SETTINGS`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use smoltcp::wire::{Ipv4Cidr, Ipv6Cidr};
use wit::setting::{Fault, Setting, Value};

/// The settings as [`SETTINGS`] explains them. Sizes are in bytes, times in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub address: Option<Ipv4Cidr>,
    pub gateway: Option<Ipv4Addr>,
    pub address6: Option<Ipv6Cidr>,
    pub gateway6: Option<Ipv6Addr>,
    pub dns: Vec<IpAddr>,
    pub hostname: Option<String>,
    pub mtu: Option<u16>,
    pub connections: usize,
    pub buffers: usize,
    pub receive_buffer: usize,
    pub send_buffer: usize,
    pub keep_alive: u64,
}

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new("address", Value::Text("IPv4 address and prefix length"), "The node's IPv4 address. Without it: DHCP.")
        .example("\"192.168.1.5/24\""),
    Setting::new("gateway", Value::Text("IPv4 address"), "The router, in the network of `address`.")
        .example("\"192.168.1.1\"")
        .needs("address"),
    Setting::new(
        "address6",
        Value::Text("IPv6 address and prefix length"),
        "The node's IPv6 address. Without it: stateless autoconfiguration, by router advertisements.",
    )
    .example("\"fd00::5/64\""),
    Setting::new("gateway6", Value::Text("IPv6 address"), "The router of IPv6.").example("\"fe80::1\"").needs("address6"),
    Setting::new(
        "dns",
        Value::Some("IP address"),
        "Servers that are asked for names. Without any: those that DHCP and router advertisements name.",
    )
    .example("[\"192.168.1.1\"]"),
    Setting::new(
        "hostname",
        Value::Text("1 to 63 letters, digits and hyphens"),
        "What the DHCP server is told that the node is called.",
    )
    .example("\"pearwood\""),
    Setting::new(
        "mtu",
        Value::Number(1280, 9000),
        "Bytes of the largest packet, as far as the card takes it. Without it: what DHCP and router advertisements say.",
    )
    .example("1480"),
    Setting::new("connections", Value::Number(1, 32_768), "TCP connections at a time.").default("1024"),
    Setting::new(
        "buffers",
        Value::Size(64 << 10, 1 << 30),
        "Memory of all TCP connections together, as far as the box has it.",
    )
    .default("\"12 MiB\""),
    Setting::new("receive-buffer", Value::Size(4 << 10, 1 << 20), "The most that one connection gets for what comes.")
        .default("\"32 KiB\""),
    Setting::new("send-buffer", Value::Size(4 << 10, 1 << 20), "The most that one connection gets for what is sent.")
        .default("\"64 KiB\""),
    Setting::new(
        "keep-alive",
        Value::Number(1, 86_400),
        "Seconds of silence before a probe; five unanswered ones end a connection.",
    )
    .default("60"),
];

impl Default for Settings {
    fn default() -> Self {
        Settings {
            address: None,
            gateway: None,
            address6: None,
            gateway6: None,
            dns: Vec::new(),
            hostname: None,
            mtu: None,
            connections: 1024,
            buffers: 12 << 20,
            receive_buffer: 32 << 10,
            send_buffer: 64 << 10,
            keep_alive: 60,
        }
    }
}

impl Settings {
    /// Reads pairs as `pearwood:box/config` gives them: a list `dns` is `dns.0`, `dns.1`. All that is wrong with them is reported
    /// at once.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::default();
        let mut faults = Vec::new();
        for (key, value) in pairs {
            faults.extend(settings.set(key, value).err().map(|why| Fault::new(key, value, why)));
        }
        // Settings of which one could not be read are not to be judged together.
        if faults.is_empty() {
            faults.extend(settings.agree().err());
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "address" => self.address = Some(cidr4(value)?),
            "gateway" => self.gateway = Some(parse(value, unicast4, "an IPv4 address")?),
            "address6" => self.address6 = Some(cidr6(value)?),
            "gateway6" => self.gateway6 = Some(parse(value, unicast6, "an IPv6 address")?),
            "hostname" => {
                self.hostname =
                    Some(parse(value, |name: &String| is_label(name), "1 to 63 letters, digits and hyphens")?)
            }
            "mtu" => self.mtu = Some(parse(value, |n| (1280..=9000).contains(n), "bytes from 1280 to 9000")?),
            "connections" => {
                self.connections = parse(value, |n| (1..=32_768).contains(n), "a number from 1 to 32768")?;
            }
            "buffers" => self.buffers = size(value, 64 << 10..=1 << 30, "a size from 64 KiB to 1 GiB")?,
            "receive-buffer" => self.receive_buffer = size(value, 4 << 10..=1 << 20, "a size from 4 KiB to 1 MiB")?,
            "send-buffer" => self.send_buffer = size(value, 4 << 10..=1 << 20, "a size from 4 KiB to 1 MiB")?,
            "keep-alive" => {
                self.keep_alive = parse(value, |n| (1..=86_400).contains(n), "seconds from 1 to 86400")?;
            }
            _ if key == "dns" || key.strip_prefix("dns.").is_some_and(|n| n.parse::<u8>().is_ok()) => {
                self.dns.push(parse(value, |a: &IpAddr| !a.is_unspecified() && !a.is_multicast(), "an IP address")?);
            }
            _ => return Err("the net box has no such setting".into()),
        }
        Ok(())
    }

    fn agree(&self) -> Result<(), Fault> {
        let invalid = |key: &str, value: String, what: &str| Err(Fault::new(key, &value, expected(what)));
        match (self.gateway, self.address) {
            (Some(gateway), None) => return invalid("gateway", gateway.to_string(), "`address` beside it"),
            (Some(gateway), Some(address)) if !address.contains_addr(&gateway) => {
                return invalid("gateway", gateway.to_string(), "an address in the network of `address`");
            }
            _ => {}
        }
        if let (Some(gateway), None) = (self.gateway6, self.address6) {
            return invalid("gateway6", gateway.to_string(), "`address6` beside it");
        }
        Ok(())
    }
}

fn parse<T: FromStr>(value: &str, fits: impl Fn(&T) -> bool, what: &str) -> Result<T, String> {
    value.parse().ok().filter(fits).ok_or_else(|| expected(what))
}

fn expected(what: &str) -> String {
    format!("expected {what}")
}

fn unicast4(address: &Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

fn unicast6(address: &Ipv6Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback())
}

fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn cidr4(value: &str) -> Result<Ipv4Cidr, String> {
    const EXPECTED: &str = "an IPv4 address and prefix length, like 192.168.1.5/24";
    let (address, length) = value.split_once('/').ok_or_else(|| expected(EXPECTED))?;
    let length = parse(length, |&n| (1..=32).contains(&n), EXPECTED)?;
    Ok(Ipv4Cidr::new(parse(address, unicast4, EXPECTED)?, length))
}

fn cidr6(value: &str) -> Result<Ipv6Cidr, String> {
    const EXPECTED: &str = "an IPv6 address and prefix length, like fd00::5/64";
    let (address, length) = value.split_once('/').ok_or_else(|| expected(EXPECTED))?;
    let length = parse(length, |&n| (1..=128).contains(&n), EXPECTED)?;
    Ok(Ipv6Cidr::new(parse(address, unicast6, EXPECTED)?, length))
}

/// "64 KiB", "1 MiB", or a number of bytes.
fn size(value: &str, range: core::ops::RangeInclusive<usize>, what: &str) -> Result<usize, String> {
    let (number, unit) = match value.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => value.split_at(at),
        None => (value, ""),
    };
    let shift = match unit.trim() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(expected(what)),
    };
    let Ok(number) = number.parse::<usize>() else { return Err(expected(what)) };
    number.checked_mul(1 << shift).filter(|bytes| range.contains(bytes)).ok_or_else(|| expected(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_settings() {
        let settings = Settings::read([
            ("address", "192.168.1.5/24"),
            ("gateway", "192.168.1.1"),
            ("address6", "fd00::5/64"),
            ("gateway6", "fe80::1"),
            ("dns.0", "192.168.1.1"),
            ("dns.1", "2001:db8::53"),
            ("hostname", "pear-1"),
            ("mtu", "1480"),
            ("connections", "100"),
            ("buffers", "2 MiB"),
            ("receive-buffer", "16KiB"),
            ("send-buffer", "20000"),
            ("keep-alive", "30"),
        ])
        .unwrap();
        assert_eq!(settings.address.unwrap().to_string(), "192.168.1.5/24");
        assert_eq!(settings.gateway6, Some("fe80::1".parse().unwrap()));
        assert_eq!((settings.dns.len(), settings.mtu), (2, Some(1480)));
        assert_eq!((settings.buffers, settings.receive_buffer, settings.send_buffer), (2 << 20, 16 << 10, 20_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |key, value| Settings::read([(key, value)]).unwrap_err()[0].to_string();
        assert_eq!(Settings::read([("mtu", "1"), ("adress", "x")]).unwrap_err().len(), 2);
        assert_eq!(
            wrong("address", "192.168.1.5"),
            "config.address = \"192.168.1.5\": expected an IPv4 address and prefix length, like 192.168.1.5/24"
        );
        assert_eq!(wrong("adress", "x"), "config.adress = \"x\": the net box has no such setting");
        assert!(wrong("gateway", "192.168.1.1").contains("`address` beside it"));
        for (key, value) in [
            ("address", "224.0.0.1/24"),
            ("address", "1.2.3.4/33"),
            ("address6", "::/64"),
            ("dns.0", "example.org"),
            ("hostname", "a b"),
            ("mtu", "1279"),
            ("mtu", "9001"),
            ("mtu", "1.5 KiB"),
            ("connections", "0"),
            ("buffers", "1 TiB"),
            ("send-buffer", "99999999999999999999"),
            ("keep-alive", "-1"),
        ] {
            assert!(wrong(key, value).starts_with(&format!("config.{key} = \"{value}\": expected")), "{key}");
        }
    }
}
