//! Devices: which there are, and the drivers that know them.
//!
//! A driver is a value in one of the tables below: what it drives, and a function that makes a device of it. A new
//! driver is a new file and a line here.

mod dsdt;
mod machine;
pub mod pci;
pub mod virtio;

use crate::cpu::lock::Lock;
use crate::entropy::Source;
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use virtio::mmio;
use wasm_host::platform::{Disk, Nic};

const PCI: &[pci::Driver] = &[virtio::net::PCI, virtio::blk::PCI, virtio::rng::PCI];
const MMIO: &[mmio::Driver] = &[virtio::net::MMIO, virtio::blk::MMIO, virtio::rng::MMIO];

/// What a driver makes of a device.
pub enum Found {
    Card(Arc<dyn Card>),
    Drive(Arc<dyn Drive>),
    Entropy(Box<dyn Source>),
}

/// A network card, as the platform looks after it. The methods are for the CPU that runs the node.
pub trait Card: Nic {
    /// Wakes whoever waits for frames, if there are any.
    fn poll(&self);

    /// Turns on the interrupt for received frames. False if frames are there already: they raise none, so do not sleep.
    fn arm(&self) -> bool;

    /// Turns the interrupt off again.
    fn disarm(&self);
}

/// A disk, as the platform looks after it. The methods are for the CPU that runs the node.
pub trait Drive: Disk {
    /// Wakes whoever waits for what the disk has done.
    fn poll(&self);

    /// Turns on the interrupt for what the disk does. False if it has done something already: that raises none, so do
    /// not sleep.
    fn arm(&self) -> bool;

    /// Turns the interrupt off again.
    fn disarm(&self);

    /// Whether what was written is durable without a flush.
    fn is_write_through(&self) -> bool;
}

/// The devices that are driven.
#[derive(Default)]
pub struct Devices {
    /// `nic0`, `nic1` and so on, in the order of their places in the machine
    pub cards: Vec<Arc<dyn Card>>,
    /// `disk0`, `disk1` and so on, in the order of their places in the machine
    pub drives: Vec<Arc<dyn Drive>>,
    /// taken out once, by whoever starts the generator; in a lock only to make this `Sync`
    pub entropy: Lock<Vec<Box<dyn Source>>>,
}

/// What firmware says about where devices are.
pub struct Firmware<'a> {
    pub command_line: &'a str,
    /// the ACPI MCFG table, if there is one
    pub mcfg: Option<&'a [u8]>,
    /// the ACPI DSDT, if there is one
    pub dsdt: Option<&'a [u8]>,
}

impl Devices {
    /// Looks for devices and starts those that a driver knows.
    pub fn probe(firmware: &Firmware<'_>) -> Devices {
        let mut devices = Devices::default();
        devices.probe_pci(firmware);
        devices.probe_mmio(firmware);
        devices
    }

    fn probe_pci(&mut self, firmware: &Firmware<'_>) {
        let dsdt = firmware.dsdt.unwrap_or_default();
        let windows = match firmware.mcfg {
            Some(mcfg) => pci::mcfg::windows(mcfg).collect(),
            None => dsdt::configuration_base(dsdt).into_iter().filter_map(pci::mcfg::Window::new).collect(),
        };
        let Some(mut config) = pci::ConfigSpace::new(windows) else { return };
        let window = dsdt::memory_window(dsdt);
        pci::enumerate(&mut config, window, |function| {
            match PCI.iter().find(|driver| driver.ids.contains(&function.id())) {
                Some(driver) => self.add(driver.name, function, (driver.probe)(function)),
                None => log::debug!("{function}: no driver"),
            }
        });
    }

    fn probe_mmio(&mut self, firmware: &Firmware<'_>) {
        let (named, nonsense): (Vec<_>, Vec<_>) =
            mmio::from_command_line(firmware.command_line).partition(Result::is_ok);
        for word in nonsense.into_iter().filter_map(Result::err) {
            log::warn!("kernel command line: {word:?} says no place of a device");
        }
        let mut places: Vec<_> = named.into_iter().flatten().collect();
        if places.is_empty() {
            places.extend(mmio::from_dsdt(firmware.dsdt.unwrap_or_default()));
        }
        for place in places {
            if let Some((driver, found)) = mmio::probe(place, MMIO) {
                self.add(driver, &place, found);
            }
        }
    }

    fn add(&mut self, driver: &str, place: &dyn fmt::Display, found: Result<Found, ProbeError>) {
        match found {
            Ok(Found::Card(card)) => {
                let [a, b, c, d, e, f] = card.address();
                let number = self.cards.len();
                log::info!("nic{number}: {driver} at {place}, {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
                self.cards.push(card);
            }
            Ok(Found::Drive(drive)) => {
                let (number, geometry) = (self.drives.len(), drive.geometry());
                let read_only = if geometry.read_only { ", read-only" } else { "" };
                let write_through = if drive.is_write_through() { ", write-through" } else { "" };
                log::info!(
                    "disk{number}: {driver} at {place}, {} sectors of {} bytes{read_only}{write_through}",
                    geometry.sectors,
                    geometry.sector_size
                );
                self.drives.push(drive);
            }
            Ok(Found::Entropy(source)) => {
                log::info!("entropy: {driver} at {place}");
                self.entropy.get_mut().push(source);
            }
            Err(error) => log::error!("{place}: {driver} cannot drive it: {error}"),
        }
    }

    /// The card of that name: `nic0` is the first.
    pub fn nic(&self, name: &str) -> Option<Arc<dyn Nic>> {
        let number: usize = name.strip_prefix("nic")?.parse().ok()?;
        Some(self.cards.get(number)?.clone())
    }

    /// The disk of that name: `disk0` is the first.
    pub fn disk(&self, name: &str) -> Option<Arc<dyn Disk>> {
        let number: usize = name.strip_prefix("disk")?.parse().ok()?;
        Some(self.drives.get(number)?.clone())
    }

    /// Wakes whoever waits for a device that is ready.
    #[inline]
    pub fn poll(&self) {
        for drive in &self.drives {
            drive.poll();
        }
        for card in &self.cards {
            card.poll();
        }
    }

    /// Before the CPU sleeps, with its interrupts off: turns the devices' interrupts on. False if a device needs
    /// attention already, so there must be no sleep.
    pub fn arm(&self) -> bool {
        let mut quiet = true;
        for card in &self.cards {
            quiet &= card.arm();
        }
        for drive in &self.drives {
            quiet &= drive.arm();
        }
        quiet
    }

    /// After the sleep: turns them off again.
    pub fn disarm(&self) {
        for card in &self.cards {
            card.disarm();
        }
        for drive in &self.drives {
            drive.disarm();
        }
    }
}

/// Why a device is not driven: reads after "cannot drive it:".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeError {
    Pci(pci::Error),
    Virtio(virtio_drivers::Error),
    /// "the device" and this
    Device(&'static str),
    NoInterrupt,
    NoMemory,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeError::Pci(error) => error.fmt(f),
            ProbeError::Virtio(error) => error.fmt(f),
            ProbeError::Device(what) => write!(f, "the device {what}"),
            ProbeError::NoInterrupt => f.write_str("no interrupt left for it"),
            ProbeError::NoMemory => f.write_str("no memory left for it"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl From<pci::Error> for ProbeError {
    fn from(error: pci::Error) -> Self {
        ProbeError::Pci(error)
    }
}

impl From<virtio_drivers::Error> for ProbeError {
    fn from(error: virtio_drivers::Error) -> Self {
        ProbeError::Virtio(error)
    }
}
