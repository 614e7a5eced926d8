//! Ports of TCP and UDP.

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl Ports {
    /// `80` or `8000-8010`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.trim().parse::<u32>() {
            Ok(0) => Err("port 0 is no port".to_string()),
            Ok(port) => u16::try_from(port).map_err(|_| format!("port {port} is above 65535")),
            Err(_) => Err(format!("`{text}` is no port; write 80 or \"8000-8010\"")),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("the range {first}-{last} is empty; did you mean \"{last}-{first}\"?"));
        }
        Ok(Ports { first, last })
    }

    /// What [`parse`](Self::parse) can yield.
    pub(super) const fn is_sound(&self) -> bool {
        0 < self.first && self.first <= self.last
    }

    pub const fn all() -> Self {
        Ports { first: 1, last: u16::MAX }
    }

    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub fn overlaps(&self, other: &Ports) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether each port of this range is in one of `others`.
    pub fn within(&self, others: &[Ports]) -> bool {
        let mut next = u32::from(self.first);
        // a range may be covered piece by piece
        while next <= u32::from(self.last) {
            let covering = others.iter().filter(|o| o.contains(next as u16)).map(|o| u32::from(o.last)).max();
            match covering {
                Some(last) => next = last + 1,
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (1, u16::MAX) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert!(Ports::parse("8000-8010").unwrap().contains(8010));
        for bad in ["", "0", "65536", "-1", "9-8", "80,81", "http", "1-", "99999999999"] {
            assert!(Ports::parse(bad).is_err(), "{bad}");
        }
        let all = [Ports::parse("1-10").unwrap(), Ports::parse("11-20").unwrap()];
        assert!(Ports::parse("5-15").unwrap().within(&all) && !Ports::parse("5-21").unwrap().within(&all));
        assert!(Ports::all().within(&[Ports::all()]) && !Ports::all().within(&[]));
    }
}
