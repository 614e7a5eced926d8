//! Entropy devices (Virtual I/O Device specification 1.2, 5.4): a queue of buffers that come back random.

use super::Interrupt;
use super::buffers::BufferQueue;
use super::mmio;
use super::pci::PciTransport;
use super::ring::Faulty;
use crate::drivers::{Found, ProbeError, pci};
use crate::entropy::Source;
use alloc::{boxed::Box, format, string::String};
use bitflags::bitflags;
use virtio_drivers::transport::{DeviceType, Transport};

pub const PCI: pci::Driver = pci::Driver {
    name: "virtio-rng",
    ids: &super::ids(0x1005, 4),
    probe: |function| {
        let transport = PciTransport::new(function, Interrupt::Never)?;
        Ok(Found::Entropy(Box::new(VirtioRng::new(transport, format!("{function}"))?)))
    },
};

pub const MMIO: mmio::Driver = mmio::Driver {
    name: "virtio-rng",
    device_type: DeviceType::EntropySource,
    interrupt: Interrupt::Never,
    probe: |transport, name| Ok(Found::Entropy(Box::new(VirtioRng::new(transport, name)?))),
};

const QUEUE: u16 = 0;
/// One request is out at a time.
const REQUESTS: u16 = 1;
/// A seed. Hosts ration what they give.
const REQUEST: usize = 64;

bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const VERSION_1 = super::VERSION_1;
    }
}

pub struct VirtioRng<T: Transport> {
    name: String,
    transport: T,
    queue: BufferQueue,
    faulty: bool,
}

impl<T: Transport> VirtioRng<T> {
    fn new(mut transport: T, name: String) -> Result<Self, ProbeError> {
        transport.begin_init(Features::all());
        let mut queue = BufferQueue::to_receive(&mut transport, QUEUE, REQUESTS, REQUEST)?;
        transport.finish_init();
        queue.publish(&mut transport);
        Ok(VirtioRng { name, transport, queue, faulty: false })
    }
}

impl<T: Transport + Send> Source for VirtioRng<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn take(&mut self, absorb: &mut dyn FnMut(&[u8])) {
        if self.faulty {
            return;
        }
        match self.queue.receive(absorb) {
            Ok(_) => {
                // Asked again at once: the answer is there the next time.
                self.queue.offer_all();
                self.queue.publish(&mut self.transport);
            }
            Err(Faulty) => {
                self.faulty = true;
                log::error!("{}: the entropy device broke the rules of its queue and is not used any more", self.name);
            }
        }
    }
}
