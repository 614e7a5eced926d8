//! What tests of the box share: a disk that power fails, randomness that is the same each time, an authority.
#![allow(dead_code)]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use pearwood_keys::{Config, Disk, Keys};
use std::cell::RefCell;
use std::rc::Rc;

pub const SECRET: [u8; 32] = [3; 32];
pub const SECTOR: usize = 512;

/// Bytes that are the same each time, and differ from each other.
pub fn random(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), String> {
    let mut next = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move |buffer| {
        buffer.fill_with(|| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (next >> 56) as u8
        });
        Ok(())
    }
}

/// A disk, and all who have it. What was written and not flushed may be lost, sector by sector.
#[derive(Clone, Default)]
pub struct FakeDisk(pub Rc<RefCell<Inner>>);

#[derive(Clone, Default)]
pub struct Inner {
    /// what is durable
    pub durable: Vec<u8>,
    /// sectors that were written since
    pub pending: Vec<(usize, Vec<u8>)>,
    /// Steps until power fails: a sector that is written, or a flush.
    pub power: Option<usize>,
    /// sectors that can neither be read nor written
    pub broken: Vec<usize>,
    /// sectors that cannot be read, and can be written
    pub unreadable: Vec<usize>,
    /// how often it was written to
    pub writes: usize,
}

impl FakeDisk {
    pub fn new() -> Self {
        Self::with(vec![0; 2 << 20])
    }

    pub fn with(durable: Vec<u8>) -> Self {
        FakeDisk(Rc::new(RefCell::new(Inner { durable, ..Inner::default() })))
    }

    /// What a node finds that is started after a power cut: which sectors were written of those that were not flushed, `which` says.
    pub fn after_cut(&self, which: u64) -> Self {
        let mut inner = self.0.borrow().clone();
        for (place, (sector, data)) in inner.pending.drain(..).enumerate() {
            if which >> (place % 64) & 1 == 1 {
                inner.durable[sector * SECTOR..][..SECTOR].copy_from_slice(&data);
            }
        }
        Self::with(inner.durable)
    }

    /// All bytes of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.after_cut(u64::MAX).0.borrow().durable.clone()
    }

    fn step(&self) -> Result<(), String> {
        let mut inner = self.0.borrow_mut();
        match &mut inner.power {
            Some(0) => Err("power has failed".into()),
            Some(steps) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn check(&self, first: u64, count: usize) -> Result<usize, String> {
        let inner = self.0.borrow();
        let first = first as usize;
        let is_broken = inner.broken.iter().any(|broken| (first..first + count).contains(broken));
        assert!((first + count) * SECTOR <= inner.durable.len(), "beyond the disk");
        if is_broken { Err("the disk has failed to do it".into()) } else { Ok(first) }
    }
}

impl Disk for FakeDisk {
    fn sector_size(&self) -> usize {
        SECTOR
    }

    fn sectors(&self) -> u64 {
        (self.0.borrow().durable.len() / SECTOR) as u64
    }

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        let first = self.check(first, count as usize)?;
        let inner = self.0.borrow();
        if inner.unreadable.iter().any(|sector| (first..first + count as usize).contains(sector)) {
            return Err("the disk has failed to do it".into());
        }
        let mut data = inner.durable[first * SECTOR..][..count as usize * SECTOR].to_vec();
        for (sector, written) in &inner.pending {
            if let Some(place) = sector.checked_sub(first).filter(|place| *place < count as usize) {
                data[place * SECTOR..][..SECTOR].copy_from_slice(written);
            }
        }
        Ok(data)
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), String> {
        assert!(data.len().is_multiple_of(SECTOR));
        let first = self.check(first, data.len() / SECTOR)?;
        for (sector, data) in (first..).zip(data.chunks(SECTOR)) {
            self.step()?;
            let mut inner = self.0.borrow_mut();
            inner.writes += 1;
            inner.pending.push((sector, data.into()));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        self.step()?;
        let mut inner = self.0.borrow_mut();
        for (sector, data) in core::mem::take(&mut inner.pending) {
            inner.durable[sector * SECTOR..][..SECTOR].copy_from_slice(&data);
        }
        Ok(())
    }
}

pub fn open(settings: &[(&str, &str)], disk: &FakeDisk, seed: u64) -> Result<Keys<FakeDisk>, String> {
    let config = Config::read(settings.iter().copied()).unwrap();
    Keys::open(config, disk.clone(), &SECRET, &mut random(seed))
}

pub fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| format!("{}\n", str::from_utf8(line).unwrap()));
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

/// What a certificate authority would give for a key of these, as far as the box looks at it.
pub fn signed_elsewhere(keys: &Keys<FakeDisk>, key: &str, name: &str) -> Vec<Vec<u8>> {
    keys.certificate(key, &[name.into()], None).unwrap()
}
