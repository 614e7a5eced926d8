//! Sectors of a disk.

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a box may do with a disk. It sees its sectors numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlockGrant {
    pub sectors: Sectors,
    pub read_only: bool,
}

/// A range of sectors of a disk, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sectors {
    pub first: u64,
    /// None: to the end of the disk, wherever that is.
    pub last: Option<u64>,
}

/// The least bytes that a sector can have.
const SMALLEST: u64 = 512;

/// So that the bytes of all sectors can be counted.
const MOST: u64 = u64::MAX / 4_096;

impl Sectors {
    /// `2048-10239`, or `2048-*` for all from there on.
    pub fn parse(text: &str) -> Result<Self, String> {
        let sector = |text: &str| {
            let text = text.trim();
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u64>().ok().filter(|_| digits);
            number.filter(|sector| *sector < MOST).ok_or_else(|| format!("`{text}` is no sector"))
        };
        let (first, last) =
            text.split_once('-').ok_or_else(|| format!("`{text}` is no range of sectors; write \"2048-10239\""))?;
        let first = sector(first)?;
        let last = if last.trim() == "*" { None } else { Some(sector(last)?) };
        match last {
            Some(last) if last < first => {
                Err(format!("the range {first}-{last} is empty; did you mean \"{last}-{first}\"?"))
            }
            _ => Ok(Sectors { first, last }),
        }
    }

    /// What [`parse`](Self::parse) can yield.
    pub(super) fn is_sound(&self) -> bool {
        self.first < MOST && self.last.is_none_or(|last| self.first <= last && last < MOST)
    }

    /// How many there are, if that does not depend on the disk.
    pub fn count(&self) -> Option<u64> {
        self.last.map(|last| last - self.first + 1)
    }

    pub fn overlaps(&self, other: &Sectors) -> bool {
        self.first <= other.last.unwrap_or(u64::MAX) && other.first <= self.last.unwrap_or(u64::MAX)
    }

    /// Whether some are, or could be, among the first `bytes` of the disk. How large its sectors are is not known yet.
    pub fn may_begin_before(&self, bytes: u64) -> bool {
        self.first < Self::first_after(bytes)
    }

    /// The first sector that is certainly not among the first `bytes` of the disk.
    pub fn first_after(bytes: u64) -> u64 {
        bytes.div_ceil(SMALLEST)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(f, "{}-{last}", self.first),
            None => write!(f, "{}-*", self.first),
        }
    }
}

impl fmt::Display for BlockGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.sectors.first == 0 && self.sectors.last.is_none();
        let sectors = if all { String::new() } else { self.sectors.to_string() };
        let read_only = if self.read_only { " read-only" } else { "" };
        f.write_str(format!("{sectors}{read_only}").trim_start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sectors(text: &str) -> Sectors {
        Sectors::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn sectors_are_read_as_written() {
        for text in ["0-0", "2048-10239", "2048-*", "0-*"] {
            assert_eq!(sectors(text).to_string(), text);
        }
        assert_eq!((sectors("8-15").count(), sectors("8-*").count()), (Some(8), None));
        for bad in ["", "8", "-", "8-", "-8", "*-8", "9-8", "8-9-10", "+1-2", "0x1-2", "1-18446744073709551615", "a-b"]
        {
            assert!(Sectors::parse(bad).is_err(), "{bad}");
        }
        let grant = |text: &str, read_only| BlockGrant { sectors: sectors(text), read_only }.to_string();
        assert_eq!(grant("0-*", false), "");
        assert_eq!(grant("0-*", true), "read-only");
        assert_eq!(grant("0-7", true), "0-7 read-only");
    }

    #[test]
    fn overlaps() {
        let overlap = |a: &str, b: &str| sectors(a).overlaps(&sectors(b)) && sectors(b).overlaps(&sectors(a));
        assert!(overlap("0-9", "9-20") && overlap("0-*", "500-*") && overlap("5-6", "0-*"));
        assert!(!overlap("0-9", "10-20") && !overlap("0-9", "10-*"));
        assert!(sectors("2047-*").may_begin_before(1 << 20) && !sectors("2048-*").may_begin_before(1 << 20));
    }
}
