//! `system.toml` into a [`System`].

mod arrows;
mod assets;
mod boxes;
mod table;
mod trust;
mod units;
mod volumes;

use super::diagnostic::{Diagnostic, Place};
use super::keys::{self, MAX_RESERVE, SYSTEM};
use super::known::DISK;
use super::model::{BoxSpec, Source, System, SystemDisk, Trusted, VolumeSpec};
use alloc::{format, string::String, vec::Vec};
use core::ops::Range;
use table::Table;
use toml::de::{DeTable, DeValue};
use wasm_host::plan::{MAX_BOXES, label};
pub(super) use wasm_host::slots::size;
use wasm_host::slots::{DEFAULT_RESERVE, MIN_RESERVE};

/// The longest declaration that is read, in bytes.
pub const MAX_SOURCE: usize = 1 << 20;

impl System {
    /// Reads a declaration. `file` is what messages call it.
    ///
    /// # Errors
    /// All faults found. Whether the arrows fit the components is another question, for [`check`](super::check).
    pub fn parse(file: &str, text: &str) -> Result<System, Vec<Diagnostic>> {
        let size = text.len();
        if size > MAX_SOURCE {
            let message = format!("the declaration has {size} bytes; at most {MAX_SOURCE} are read");
            let source = Source::new(file, "");
            return Err([Diagnostic::new(&source, source.place(0..0), message)].into());
        }
        let mut reader = Reader { source: Source::new(file, text), faults: Vec::new(), box_name: None };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reader.fault(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
        }
        if !reader.faults.is_empty() {
            return Err(reader.faults);
        }
        let (OfSystem { name, disk, trust, volumes }, boxes) = reader.document(document.get_ref());
        if reader.faults.is_empty() {
            Ok(System { name, disk, trust, volumes, boxes, source: reader.source })
        } else {
            reader.faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
            Err(reader.faults)
        }
    }
}

/// The table `[system]`.
#[derive(Default)]
struct OfSystem {
    name: String,
    disk: Option<SystemDisk>,
    trust: Option<Vec<Trusted>>,
    /// beside it
    volumes: Vec<VolumeSpec>,
}

/// Reads tables and keeps the faults it finds.
struct Reader {
    source: Source,
    faults: Vec<Diagnostic>,
    /// The box whose table is being read.
    box_name: Option<String>,
}

impl Reader {
    fn place(&self, span: Range<usize>) -> Place {
        self.source.place(span)
    }

    /// Notes a fault, and gives it back to be made more precise.
    fn fault(&mut self, span: Range<usize>, message: String) -> &mut Diagnostic {
        let mut fault = Diagnostic::new(&self.source, self.place(span), message);
        fault.box_name = self.box_name.clone();
        self.faults.push(fault);
        let last = self.faults.len() - 1;
        &mut self.faults[last]
    }

    fn document(&mut self, document: &DeTable<'_>) -> (OfSystem, Vec<BoxSpec>) {
        let mut table = Table::new(document);
        self.unknown_keys(&mut table, "a declaration", &["system", "volume", "box"]);
        let mut of_system = match table.take("system") {
            Some((_, value)) => self.system(value),
            None => {
                self.fault(0..0, "the declaration has no [system] table".into()).help =
                    Some("begin with [system] and, on the next line, name = \"…\"".into());
                OfSystem::default()
            }
        };
        if let Some((_, value)) = table.take("volume") {
            of_system.volumes = self.volumes(value);
        }
        let mut boxes = Vec::new();
        if let Some((_, value)) = table.take("box")
            && let Some(entries) = self.table(value, "`box`")
        {
            if entries.len() > MAX_BOXES {
                self.fault(value.span(), format!("{} boxes; a system has at most {MAX_BOXES}", entries.len()));
                return (of_system, boxes);
            }
            for (key, value) in entries.into_entries() {
                boxes.extend(self.one_box(key, value));
            }
        }
        if boxes.is_empty() && self.faults.is_empty() {
            self.fault(0..0, "the system has no box".into()).help = Some("declare one: [box.NAME]".into());
        }
        (of_system, boxes)
    }

    fn system(&mut self, value: &toml::Spanned<DeValue<'_>>) -> OfSystem {
        let Some(mut table) = self.table(value, "`system`") else { return OfSystem::default() };
        self.unknown_keys(&mut table, "[system]", &keys::below(SYSTEM, ""));
        let mut name = String::new();
        match table.take("name") {
            Some((_, value)) => {
                if let Some(text) = self.string(value, "`name`") {
                    if let Err(why) = label(text) {
                        self.fault(value.span(), format!("the system's name `{text}` {why}"));
                    }
                    name = text.into();
                }
            }
            None => {
                self.fault(value.span(), "the system has no name".into()).help = Some("add name = \"…\"".into());
            }
        }
        let disk = table.take("disk").and_then(|(_, value)| self.system_disk(value));
        let trust = table.take("trust").and_then(|(_, value)| self.trust(value));
        OfSystem { name, disk, trust, volumes: Vec::new() }
    }

    /// `"disk0"`, or `{ device = "disk0", reserve = "64 MiB" }`.
    fn system_disk(&mut self, value: &toml::Spanned<DeValue<'_>>) -> Option<SystemDisk> {
        let mut reserve = DEFAULT_RESERVE;
        let named = match value.get_ref() {
            DeValue::Table(_) => {
                let mut table = self.table(value, "`disk`")?;
                self.unknown_keys(&mut table, "the system's disk", &keys::below(SYSTEM, "disk"));
                let named = table.take("device").map(|(_, value)| value);
                if let Some((_, value)) = table.take("reserve") {
                    reserve = self.size(value, "reserve", MIN_RESERVE..=MAX_RESERVE)?;
                }
                let Some(named) = named else {
                    let message = "the system's disk has no device".into();
                    self.fault(value.span(), message).help = Some(format!("add device = \"{DISK}0\""));
                    return None;
                };
                named
            }
            _ => value,
        };
        let device = self.string(named, "the system's disk")?;
        if !is_device(DISK, device) {
            self.fault(named.span(), format!("the device `{device}` is no {DISK}; write \"{DISK}0\""));
            return None;
        }
        Some(SystemDisk { device: device.into(), reserve, at: self.place(named.span()) })
    }
}

/// Whether a device is of that class: it is named by the class and a number.
fn is_device(class: &str, name: &str) -> bool {
    let number = name.strip_prefix(class).unwrap_or_default();
    number.parse::<u16>().is_ok_and(|parsed| format!("{parsed}") == number)
}

#[cfg(test)]
mod tests;
