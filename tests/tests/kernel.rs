//! Parts of the kernel that need no machine, run natively with their unit tests, and its virtqueues against a device
//! that need not be honest.

#![allow(dead_code)]

extern crate alloc;

#[path = "../../kernel/src/drivers/virtio/backlog.rs"]
mod backlog;
#[path = "../../kernel/src/drivers/pci/bar.rs"]
mod bar;
#[path = "../../kernel/src/drivers/virtio/buffers.rs"]
mod buffers;
#[path = "kernel/disk.rs"]
mod disk;
#[path = "../../kernel/src/drivers/dsdt.rs"]
mod dsdt;
#[path = "../../kernel/src/entropy/generator.rs"]
mod generator;
#[path = "../../kernel/src/drivers/pci/mcfg.rs"]
mod mcfg;
#[path = "../../kernel/src/drivers/virtio/places.rs"]
mod places;
#[path = "../../kernel/src/drivers/virtio/requests.rs"]
mod requests;
#[path = "../../kernel/src/drivers/virtio/ring.rs"]
mod ring;
#[path = "../../kernel/src/drivers/virtio/transfers.rs"]
mod transfers;
#[path = "../../kernel/src/drivers/virtio/turns.rs"]
mod turns;
#[path = "../../kernel/src/clock/wall.rs"]
mod wall;

/// What these parts use of the rest of the kernel.
mod cpu {
    pub mod lock {
        use std::sync::{Mutex, MutexGuard};

        pub struct Lock<T>(Mutex<T>);

        impl<T> Lock<T> {
            pub fn new(inner: T) -> Self {
                Lock(Mutex::new(inner))
            }

            /// As in the kernel, taking it twice is a mistake.
            pub fn lock(&self) -> MutexGuard<'_, T> {
                self.0.try_lock().expect("a lock was taken twice")
            }
        }
    }
}

mod drivers {
    pub(crate) use super::dsdt;

    pub mod machine {
        use std::alloc::{Layout, alloc_zeroed, dealloc};
        use std::ptr::NonNull;

        /// Zeroed pages; as in the kernel, their address is also the device's.
        pub struct Dma(NonNull<u8>, Layout);

        // SAFETY: it owns its memory.
        unsafe impl Send for Dma {}
        // SAFETY: as in the kernel, whoever follows the pointer answers for it.
        unsafe impl Sync for Dma {}

        impl Dma {
            pub fn new(bytes: usize) -> Result<Dma, ()> {
                let layout = Layout::from_size_align(bytes.next_multiple_of(4096), 4096).unwrap();
                // SAFETY: the layout is not empty.
                Ok(Dma(NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap(), layout))
            }

            pub fn physical(&self) -> u64 {
                self.0.as_ptr().expose_provenance() as u64
            }

            pub fn pointer(&self) -> NonNull<u8> {
                self.0
            }
        }

        impl Drop for Dma {
            fn drop(&mut self) {
                // SAFETY: allocated above with this layout.
                unsafe { dealloc(self.0.as_ptr(), self.1) }
            }
        }
    }
}

use backlog::Backlog;
use buffers::{BUFFER, BufferQueue, SendError};
use ring::Faulty;
use std::ptr::with_exposed_provenance_mut;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A device with one queue, as it looks from the other side of the rings.
struct Device {
    most: u32,
    size: u16,
    descriptors: u64,
    available: u64,
    used: u64,
    seen: u16,
    returned: u16,
    notifications: usize,
    resets: usize,
}

impl Device {
    fn new(most: u32) -> Self {
        let (size, seen, returned, notifications, resets) = (0, 0, 0, 0, 0);
        Device { most, size, descriptors: 0, available: 0, used: 0, seen, returned, notifications, resets }
    }

    fn read<T>(&self, address: u64) -> T {
        // SAFETY: the driver said that the rings and buffers are there, and they outlive the device in each test.
        unsafe { with_exposed_provenance_mut::<T>(address as usize).read_volatile() }
    }

    fn write<T>(&self, address: u64, value: T) {
        // SAFETY: as in `read`.
        unsafe { with_exposed_provenance_mut::<T>(address as usize).write_volatile(value) }
    }

    /// The next descriptor that the driver offers: its index, address, length and flags.
    fn next(&mut self) -> Option<(u16, u64, u32, u16)> {
        if self.seen == self.read::<u16>(self.available + 2) {
            return None;
        }
        let index: u16 = self.read(self.available + 4 + 2 * u64::from(self.seen % self.size));
        self.seen = self.seen.wrapping_add(1);
        let at = self.descriptors + 16 * u64::from(index);
        Some((index, self.read(at), self.read(at + 8), self.read(at + 12)))
    }

    /// Returns a descriptor, whether or not it has it.
    fn give_back(&mut self, descriptor: u32, written: u32) {
        let at = self.used + 4 + 8 * u64::from(self.returned % self.size);
        self.write(at, descriptor);
        self.write(at + 4, written);
        self.returned = self.returned.wrapping_add(1);
        self.write(self.used + 2, self.returned);
    }

    fn wants_interrupts(&self) -> bool {
        self.read::<u16>(self.available) == 0
    }

    fn fill(&self, address: u64, bytes: &[u8]) {
        bytes.iter().enumerate().for_each(|(index, byte)| self.write(address + index as u64, *byte));
    }
}

impl Transport for Device {
    fn device_type(&self) -> DeviceType {
        DeviceType::Network
    }
    fn read_device_features(&mut self) -> u64 {
        0
    }
    fn write_driver_features(&mut self, _: u64) {}
    fn max_queue_size(&mut self, _: u16) -> u32 {
        self.most
    }
    fn notify(&mut self, _: u16) {
        self.notifications += 1;
    }
    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }
    fn set_status(&mut self, _: DeviceStatus) {}
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        false
    }
    fn queue_set(&mut self, _: u16, size: u32, descriptors: PhysAddr, available: PhysAddr, used: PhysAddr) {
        (self.size, self.descriptors, self.available, self.used) = (size as u16, descriptors, available, used);
    }
    fn queue_unset(&mut self, _: u16) {}
    fn queue_used(&mut self, _: u16) -> bool {
        self.size != 0
    }
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }
    fn read_config_generation(&self) -> u32 {
        0
    }
    fn read_config_space<T: FromBytes + IntoBytes>(&self, _: usize) -> Result<T, Error> {
        Err(Error::ConfigSpaceMissing)
    }
    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<(), Error> {
        Err(Error::ConfigSpaceMissing)
    }
}

fn receiver(device: &mut Device) -> BufferQueue {
    let mut queue = BufferQueue::to_receive(device, 0, 128, BUFFER).unwrap();
    queue.publish(device);
    queue
}

/// All that was received, and whether the queue is still good.
fn drain(queue: &mut BufferQueue) -> (Vec<Vec<u8>>, Result<(), Faulty>) {
    let mut received = Vec::new();
    loop {
        match queue.receive(|bytes| received.push(bytes.to_vec())) {
            Ok(true) => {}
            Ok(false) => return (received, Ok(())),
            Err(faulty) => return (received, Err(faulty)),
        }
    }
}

#[test]
fn received_frames_arrive_in_order_round_after_round() {
    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    assert_eq!((device.size, device.notifications), (128, 1));
    let mut sequence = 0u32;
    // Past the wrap of the 16-bit indices, in batches that divide neither them nor the ring.
    for round in 0..1_000 {
        for _ in 0..97 {
            let (index, address, length, flags) = device.next().expect("buffers come back");
            assert_eq!((length, flags), (BUFFER as u32, 2));
            device.fill(address, &sequence.to_le_bytes());
            device.give_back(index.into(), 4);
            sequence += 1;
        }
        assert!(queue.ready());
        let (received, good) = drain(&mut queue);
        assert_eq!(good, Ok(()));
        let first = sequence - 97;
        assert!(received.iter().map(|bytes| u32::from_le_bytes(bytes[..].try_into().unwrap())).eq(first..sequence));
        assert!(!queue.ready());
        queue.offer_all();
        queue.publish(&mut device);
        assert_eq!(device.notifications, 2 + round, "one notification for a batch");
    }
}

#[test]
fn a_queue_fits_a_device_that_has_fewer_places() {
    let mut device = Device::new(50);
    let _queue = receiver(&mut device);
    assert_eq!(device.size, 32);
    assert_eq!(std::iter::from_fn(|| device.next()).count(), 32);
    assert!(BufferQueue::to_send(&mut Device::new(0), 0, 64, 12).is_err());
}

#[test]
fn no_notification_that_the_device_does_not_want_or_that_says_nothing() {
    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    queue.publish(&mut device);
    assert_eq!(device.notifications, 1, "nothing new");
    device.write(device.used, 1u16);
    let (index, ..) = device.next().unwrap();
    device.give_back(index.into(), 0);
    assert_eq!(drain(&mut queue).1, Ok(()));
    queue.offer_all();
    queue.publish(&mut device);
    assert_eq!(device.notifications, 1, "unwanted");
}

#[test]
fn interrupts_are_off_until_asked_for() {
    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    assert!(!device.wants_interrupts());
    queue.set_interrupts(true);
    assert!(device.wants_interrupts());
    queue.set_interrupts(false);
    assert!(!device.wants_interrupts());
}

#[test]
fn lengths_beyond_the_buffer_are_not_believed() {
    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    for written in [BUFFER as u32, BUFFER as u32 + 1, u32::MAX] {
        let (index, ..) = device.next().unwrap();
        device.give_back(index.into(), written);
    }
    let (received, good) = drain(&mut queue);
    assert_eq!(received.iter().map(Vec::len).collect::<Vec<_>>(), [BUFFER, 0, 0]);
    assert_eq!(good, Ok(()));
}

#[test]
fn descriptors_that_the_device_does_not_have_are_refused() {
    // A descriptor that there is not, twice the same, and an index that says that all came back when nothing did.
    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    device.give_back(128, 60);
    assert_eq!(drain(&mut queue), (vec![], Err(Faulty)));

    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    device.give_back(5, 60);
    device.give_back(5, 60);
    let (received, good) = drain(&mut queue);
    assert_eq!((received.len(), good), (1, Err(Faulty)));

    let mut device = Device::new(256);
    let mut queue = receiver(&mut device);
    device.write(device.used + 2, 40_000u16);
    let (received, good) = drain(&mut queue);
    assert_eq!((received.len(), good), (1, Err(Faulty)), "descriptor 0 was out, but once");
}

#[test]
fn frames_are_sent_behind_a_header_of_zeroes_and_a_full_queue_takes_no_more() {
    let mut device = Device::new(8);
    let mut queue = BufferQueue::to_send(&mut device, 0, 256, 12).unwrap();
    for frame in 0..8u8 {
        assert_eq!(queue.send(&[frame; 60]), Ok(()));
    }
    assert_eq!(queue.send(&[9; 60]), Err(SendError::Full));
    assert_eq!(device.next(), None, "nothing is visible before it is published");
    queue.publish(&mut device);
    assert_eq!(device.notifications, 1);
    for frame in 0..8u8 {
        let (index, address, length, flags) = device.next().unwrap();
        assert_eq!((length, flags), (72, 0));
        let bytes: [u8; 72] = device.read(address);
        assert_eq!((&bytes[..12], &bytes[12..]), (&[0; 12][..], &[frame; 60][..]));
        device.give_back(index.into(), 0);
    }
    // Taken back when the room is needed.
    for frame in 0..8u8 {
        assert_eq!(queue.send(&[frame; 1514]), Ok(()));
    }
    assert_eq!(queue.send(&[9; 60]), Err(SendError::Full));
}

#[test]
fn frames_beyond_the_queue_wait_in_order_and_within_bounds() {
    let mut device = Device::new(8);
    let mut queue = BufferQueue::to_send(&mut device, 0, 256, 0).unwrap();
    let mut backlog = Backlog::default();
    for frame in 0..20u8 {
        assert!(queue.send(&[frame; 60]).is_ok() == (frame < 8));
        assert!(frame < 8 || backlog.push(&[frame; 60]));
    }
    let mut sent = Vec::new();
    while sent.len() < 20 {
        queue.publish(&mut device);
        while let Some((index, address, ..)) = device.next() {
            sent.push(device.read::<[u8; 60]>(address)[0]);
            device.give_back(index.into(), 0);
        }
        let drained = backlog.drain(|frame| queue.send(frame));
        assert_eq!(drained.is_ok(), backlog.is_empty());
    }
    assert!(sent.into_iter().eq(0..20));
    let frames = (0..).take_while(|_| backlog.push(&[0; 1514])).count();
    assert!((300..350).contains(&frames), "{frames}");
    assert!(!backlog.is_empty());
    backlog.clear();
    assert!(backlog.is_empty() && backlog.push(&[0; 1514]));
}

#[test]
fn a_card_that_returns_what_was_never_sent_is_faulty() {
    let mut device = Device::new(2);
    let mut queue = BufferQueue::to_send(&mut device, 0, 256, 12).unwrap();
    assert_eq!(queue.send(&[1; 60]), Ok(()));
    assert_eq!(queue.send(&[1; 60]), Ok(()));
    queue.publish(&mut device);
    device.give_back(7, 0);
    assert_eq!(queue.send(&[1; 60]), Err(SendError::Faulty));
}
