//! What the boot loader handed over.

mod start_info;

use core::ops::Range;

pub use start_info::read;

#[allow(unsafe_code)]
mod entry {
    core::arch::global_asm!(include_str!("entry.s"));
}

const REGIONS: usize = 64;
const COMMAND_LINE: usize = 1024;

/// The machine as the boot loader describes it, copied out of its memory.
pub struct Boot {
    regions: [Region; REGIONS],
    region_count: usize,
    /// Where the image is, if there is one.
    pub image: Option<Range<usize>>,
    /// Where the ACPI tables start, if the boot loader knows.
    pub rsdp: Option<u64>,
    command_line: [u8; COMMAND_LINE],
    command_line_length: usize,
    /// The time stamp counter at the first instruction.
    pub tsc: u64,
}

/// A stretch of physical addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub start: u64,
    pub end: u64,
    pub kind: Kind,
}

/// By the numbers of the BIOS's E820 (ACPI specification 6.5, 15.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ram,
    Reserved,
    AcpiTables,
    Other(u32),
}

impl Boot {
    /// The memory map, as far as it had room here.
    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }

    /// What the operator gave the boot loader to say. Not UTF-8: none.
    pub fn command_line(&self) -> &str {
        core::str::from_utf8(&self.command_line[..self.command_line_length]).unwrap_or("")
    }

    /// The values of `name=value` words of the command line.
    pub fn arguments<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let words = self.command_line().split_ascii_whitespace();
        words.filter_map(move |word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The last of them, which is the one that counts where there can be one only.
    pub fn argument<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.arguments(name).last()
    }
}
