//! `[volume.NAME]`: parts of disks.

use super::table::{Key, Value};
use super::{Reader, is_device};
use crate::system::keys::{self, VOLUME};
use crate::system::known::DISK;
use crate::system::model::VolumeSpec;
use alloc::{format, vec::Vec};
use wasm_host::volumes::{MAX_NAME, MAX_PARTS, MAX_SIZE, MIB};
use wasm_host::{plan::label, slots::size};

impl Reader {
    pub fn volumes(&mut self, value: &Value<'_>) -> Vec<VolumeSpec> {
        let Some(entries) = self.table(value, "`volume`") else { return Vec::new() };
        if entries.len() > MAX_PARTS {
            self.fault(value.span(), format!("{} volumes; a system has at most {MAX_PARTS}", entries.len()));
            return Vec::new();
        }
        entries.into_entries().into_iter().filter_map(|(key, value)| self.volume(&key, value)).collect()
    }

    fn volume(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<VolumeSpec> {
        let name = key.text;
        let why = match label(name) {
            Err(why) => Some(why.into()),
            Ok(()) if name.len() > MAX_NAME => Some(format!("is longer than {MAX_NAME} characters")),
            Ok(()) => None,
        };
        if let Some(why) = why {
            self.fault(key.span.clone(), format!("the volume's name `{name}` {why}"));
            return None;
        }
        let what = format!("volume `{name}`");
        let mut table = self.table(value, &what)?;
        self.unknown_keys(&mut table, &what, &keys::below(VOLUME, ""));
        let (disk, bytes) = (table.take("disk"), table.take("size"));
        for (lacks, example) in [(disk.is_none(), "disk = \"disk0\""), (bytes.is_none(), "size = \"2 GiB\"")] {
            if lacks {
                let key = example.split(' ').next().unwrap_or_default();
                self.fault(value.span(), format!("{what} has no {key}")).help = Some(format!("add {example}"));
            }
        }
        let ((_, named), (_, sized)) = (disk?, bytes?);
        let device = self.string(named, &format!("{what}: disk"))?;
        if !is_device(DISK, device) {
            self.fault(named.span(), format!("{what}: the device `{device}` is no {DISK}; write \"{DISK}0\""));
            return None;
        }
        let bytes = self.size(sized, &format!("{what}: size"), MIB..=MAX_SIZE)?;
        if !bytes.is_multiple_of(MIB) {
            let next = size(bytes.next_multiple_of(MIB));
            let message = format!("{what}: size is a whole number of MiB");
            self.fault(sized.span(), message).help = Some(format!("write \"{next}\""));
            return None;
        }
        Some(VolumeSpec {
            name: name.into(),
            disk: device.into(),
            size: bytes,
            at: self.place(key.span.clone()),
            size_at: self.place(sized.span()),
        })
    }
}
