//! Network cards (Virtual I/O Device specification 1.2, 5.1): two queues, no offloads.
//!
//! Frames come and go in batches, with one notification for each. The receive queue is polled while there is work; its
//! interrupt is on only between [`Card::arm`] and [`Card::disarm`], while the CPU sleeps. What was sent is taken back
//! when the room is needed. Frames that find none wait, and are tried again between tasks; until they are out, the CPU
//! does not sleep.

use super::Interrupt;
use super::backlog::Backlog;
use super::buffers::{BUFFER, BufferQueue, SendError};
use super::mmio::{self, MmioTransport};
use super::pci::PciTransport;
use super::ring::Faulty;
use crate::cpu::lock::Lock;
use crate::drivers::{Card, Found, ProbeError, pci};
use alloc::{format, string::String, sync::Arc};
use bitflags::bitflags;
use core::task::Waker;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use wasm_host::platform::Nic;

pub const PCI: pci::Driver = pci::Driver {
    name: "virtio-net",
    ids: &super::ids(0x1000, 1),
    probe: |function| {
        let transport = PciTransport::new(function, Interrupt::Queue(RECEIVE))?;
        Ok(Found::Card(Arc::new(VirtioNet::new(transport, format!("{function}"))?)))
    },
};

pub const MMIO: mmio::Driver = mmio::Driver {
    name: "virtio-net",
    device_type: DeviceType::Network,
    interrupt: Interrupt::Queue(RECEIVE),
    probe: |transport: MmioTransport, name| Ok(Found::Card(Arc::new(VirtioNet::new(transport, name)?))),
};

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// Buffers that wait for frames: 256 KiB.
const RECEIVE_BUFFERS: u16 = 128;
/// Frames on their way out. Buffers for them are made as they are needed, 512 KiB at most.
const TRANSMIT_BUFFERS: u16 = 256;

bitflags! {
    /// What the driver can use of what a card offers (5.1.3): no offloads.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const MTU = 1 << 3;
        const MAC = 1 << 5;
        const ANY_LAYOUT = 1 << 27;
        const VERSION_1 = super::VERSION_1;
    }
}

/// Offsets in the device's configuration (5.1.4).
const CONFIG_MAC: usize = 0;
const CONFIG_MTU: usize = 10;

/// What goes before a frame in its buffer (5.1.6). Without offloads all of it is zero, and nothing of what is received
/// in it matters: `num_buffers` is always 1.
const HEADER: usize = 12;
/// The header has no `num_buffers` with a legacy device (5.1.6.1).
const HEADER_LEGACY: usize = 10;

const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
/// The largest payload that fits a buffer with all that goes before it.
const MAX_MTU: u16 = (BUFFER - HEADER - ETHERNET_HEADER - VLAN_TAG) as u16;
const DEFAULT_MTU: u16 = 1500;

/// A virtio network card.
pub struct VirtioNet<T: Transport> {
    name: String,
    address: [u8; 6],
    mtu: u16,
    queues: Lock<Queues<T>>,
    waker: Lock<Option<Waker>>,
}

struct Queues<T: Transport> {
    // The first to be dropped: that resets the device, which then no longer uses the buffers.
    transport: T,
    receive: BufferQueue,
    transmit: BufferQueue,
    /// frames for which `transmit` had no room
    backlog: Backlog,
    header: usize,
    /// the device has broken its rules and is not used any more
    faulty: bool,
    lost: Lost,
}

/// Frames that did not get through, by why.
#[derive(Debug, Default)]
struct Lost {
    /// received with a length that cannot be
    refused: u64,
    /// not sent since the card's queue was full, and as much waited already as may
    dropped: u64,
    /// not sent since it was no frame that the card could carry
    unsendable: u64,
}

/// Counts one more, and logs it if the count is a power of two: all that goes wrong is seen, and no flood of it floods
/// the log.
#[cold]
fn count(lost: &mut u64, name: &str, why: &str) {
    *lost += 1;
    if lost.is_power_of_two() {
        log::warn!("{name}: {why}: {lost} so far");
    }
}

impl<T: Transport> VirtioNet<T> {
    fn new(mut transport: T, name: String) -> Result<Self, ProbeError> {
        let (features, mtu) = negotiate(&mut transport)?;
        let address = if features.contains(Features::MAC) {
            transport.read_consistent(|| transport.read_config_space::<[u8; 6]>(CONFIG_MAC))?
        } else {
            random_address()
        };
        let header = if features.contains(Features::VERSION_1) { HEADER } else { HEADER_LEGACY };
        let mut receive = BufferQueue::to_receive(&mut transport, RECEIVE, RECEIVE_BUFFERS, BUFFER)?;
        let transmit = BufferQueue::to_send(&mut transport, TRANSMIT, TRANSMIT_BUFFERS, header)?;
        transport.finish_init();
        receive.publish(&mut transport);
        let (backlog, lost) = (Backlog::default(), Lost::default());
        let queues = Lock::new(Queues { transport, receive, transmit, backlog, header, faulty: false, lost });
        Ok(VirtioNet { name, address, mtu, queues, waker: Lock::new(None) })
    }
}

/// Agrees on features, and says what the card's MTU is.
fn negotiate(transport: &mut impl Transport) -> Result<(Features, u16), ProbeError> {
    let mut features = transport.begin_init(Features::all());
    let mut mtu = DEFAULT_MTU;
    if features.contains(Features::MTU) {
        mtu = transport.read_config_space(CONFIG_MTU)?;
        if mtu > MAX_MTU {
            // Accepting the feature is a promise to take frames that large (5.1.4.2).
            features = transport.begin_init(Features::all() - Features::MTU);
            mtu = DEFAULT_MTU;
        }
    }
    if features.contains(Features::VERSION_1) && !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(ProbeError::Device("does not work without offloads"));
    }
    Ok((features, mtu))
}

/// A locally administered unicast address, for a card that has none of its own.
fn random_address() -> [u8; 6] {
    let mut address = [0; 6];
    crate::entropy::fill(&mut address);
    address[0] = address[0] & 0xfc | 0x02;
    address
}

impl<T: Transport> Queues<T> {
    /// Gives the card up for good.
    fn give_up(&mut self, name: &str) {
        self.faulty = true;
        self.backlog.clear();
        self.transport.set_status(DeviceStatus::FAILED);
        log::error!("{name}: the card broke the rules of its queues and is not used any more");
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError> {
        let sent = self.transmit.send(frame);
        if sent != Err(SendError::Full) {
            return sent;
        }
        // The card may not know yet what is waiting for it.
        self.transmit.publish(&mut self.transport);
        self.transmit.send(frame)
    }

    /// Sends what waits, as far as there is room now.
    #[cold]
    fn send_backlog(&mut self, name: &str) {
        let transmit = &mut self.transmit;
        match self.backlog.drain(|frame| transmit.send(frame)) {
            Ok(()) | Err(SendError::Full) => self.transmit.publish(&mut self.transport),
            Err(SendError::Faulty) => self.give_up(name),
        }
    }
}

impl<T: Transport + Send + Sync> Nic for VirtioNet<T> {
    fn address(&self) -> [u8; 6] {
        self.address
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn ready(&self) -> bool {
        let queues = self.queues.lock();
        queues.receive.ready() && !queues.faulty
    }

    fn set_waker(&self, waker: &Waker) {
        let mut current = self.waker.lock();
        if current.as_ref().is_some_and(|current| current.will_wake(waker)) {
            return;
        }
        let before = current.replace(waker.clone());
        // A waker's end can be a task's: not under the lock.
        drop(current);
        drop(before);
    }

    fn receive(&self, batch: &mut wit::Batch, limit: usize) {
        let mut guard = self.queues.lock();
        let queues = &mut *guard;
        if queues.faulty {
            return;
        }
        let header = queues.header;
        while batch.len() < limit {
            let received = queues.receive.receive(|bytes| match bytes.get(header..) {
                Some(frame) if frame.len() >= ETHERNET_HEADER => batch.push(wit::nic::Event::FRAME, 0, frame),
                _ => count(&mut queues.lost.refused, &self.name, "received a frame of impossible length"),
            });
            match received {
                Ok(true) => {}
                Ok(false) => break,
                Err(Faulty) => return queues.give_up(&self.name),
            }
        }
        queues.receive.offer_all();
        queues.receive.publish(&mut queues.transport);
    }

    fn transmit(&self, frames: wit::Records<'_>) {
        let mut guard = self.queues.lock();
        let queues = &mut *guard;
        if !queues.backlog.is_empty() {
            queues.send_backlog(&self.name);
        }
        let longest = ETHERNET_HEADER + VLAN_TAG + usize::from(self.mtu);
        for record in frames {
            let frame = match record {
                Ok(wit::Record { kind, .. }) if kind != wit::nic::Command::FRAME => continue,
                Ok(wit::Record { bytes, .. })
                    if (ETHERNET_HEADER..=longest).contains(&bytes.len()) && !queues.faulty =>
                {
                    bytes
                }
                _ => {
                    count(&mut queues.lost.unsendable, &self.name, "was given what is no frame that it can send");
                    continue;
                }
            };
            // None overtakes another.
            let sent = if queues.backlog.is_empty() { queues.send(frame) } else { Err(SendError::Full) };
            match sent {
                Ok(()) => {}
                Err(SendError::Full) if queues.backlog.push(frame) => {}
                Err(SendError::Full) => {
                    count(&mut queues.lost.dropped, &self.name, "dropped a frame, its queue is full")
                }
                Err(SendError::Faulty) => queues.give_up(&self.name),
            }
        }
        queues.transmit.publish(&mut queues.transport);
    }
}

impl<T: Transport + Send + Sync> Card for VirtioNet<T> {
    fn poll(&self) {
        let ready = {
            let mut queues = self.queues.lock();
            if !queues.backlog.is_empty() {
                queues.send_backlog(&self.name);
            }
            queues.receive.ready() && !queues.faulty
        };
        if ready && let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    fn arm(&self) -> bool {
        let mut queues = self.queues.lock();
        queues.receive.set_interrupts(true);
        (!queues.receive.ready() && queues.backlog.is_empty()) || queues.faulty
    }

    fn disarm(&self) {
        self.queues.lock().receive.set_interrupts(false);
    }
}
