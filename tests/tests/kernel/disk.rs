//! The disk driver against a device that need not be honest.

use super::Device;
use super::requests::{REQUESTS, RequestQueue};
use super::transfers::Transfers;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use wasm_host::platform::{Disk, DiskError, Geometry, Pending};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The driver's end of a device that the test holds the other end of.
struct Line(Arc<Mutex<Device>>);

impl Line {
    fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap()
    }
}

impl Transport for Line {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }
    fn read_device_features(&mut self) -> u64 {
        0
    }
    fn write_driver_features(&mut self, _: u64) {}
    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.device().max_queue_size(queue)
    }
    fn notify(&mut self, queue: u16) {
        self.device().notify(queue);
    }
    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }
    fn set_status(&mut self, status: DeviceStatus) {
        self.device().resets += usize::from(status.is_empty());
    }
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        false
    }
    fn queue_set(&mut self, queue: u16, size: u32, a: PhysAddr, b: PhysAddr, c: PhysAddr) {
        self.device().queue_set(queue, size, a, b, c);
    }
    fn queue_unset(&mut self, _: u16) {}
    fn queue_used(&mut self, queue: u16) -> bool {
        self.device().queue_used(queue)
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

const SECTORS: u64 = 4_096;
const KIB_64: usize = 64 << 10;

/// A request as the device sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    head: u16,
    kind: u32,
    sector: u64,
    data: u64,
    length: usize,
    status: u64,
}

struct Machine {
    device: Arc<Mutex<Device>>,
    disk: Transfers<Line>,
    stored: Vec<u8>,
    seen: VecDeque<Seen>,
}

impl Machine {
    fn new(descriptors: u32, limit: usize, flushes: bool) -> Self {
        let device = Arc::new(Mutex::new(Device::new(descriptors)));
        let mut line = Line(device.clone());
        let queue = RequestQueue::new(&mut line, 0, limit).unwrap();
        let geometry = Geometry { sector_size: 512, sectors: SECTORS, read_only: false };
        let disk = Transfers::new("disk".into(), line, queue, geometry, flushes, 1_000);
        Machine { device, disk, stored: vec![0; 512 * SECTORS as usize], seen: VecDeque::new() }
    }

    fn good() -> Self {
        Machine::new(256, KIB_64, true)
    }

    /// Takes what the driver has offered, and holds it against the rules.
    fn look(&mut self) {
        let mut device = self.device.lock().unwrap();
        while let Some((head, address, length, flags)) = device.next() {
            let link = |at: u16| device.read::<u16>(device.descriptors + 16 * u64::from(at) + 14);
            let part = |at: u16| {
                let at = device.descriptors + 16 * u64::from(at);
                (device.read::<u64>(at), device.read::<u32>(at + 8) as usize, device.read::<u16>(at + 12))
            };
            assert_eq!((length, flags), (16, 1), "a header that the device reads");
            let (kind, sector) = (device.read::<u32>(address), device.read::<u64>(address + 8));
            let mut next = link(head);
            let (mut data, mut bytes) = (0, 0);
            if kind != 4 {
                let (address, length, flags) = part(next);
                assert_eq!(flags, if kind == 0 { 3 } else { 1 });
                (data, bytes, next) = (address, length, link(next));
            }
            let (status, length, flags) = part(next);
            assert_eq!((length, flags), (1, 2), "a status that the device writes");
            self.seen.push_back(Seen { head, kind, sector, data, length: bytes, status });
        }
    }

    /// Does what a request asks for, and reports it.
    fn serve(&mut self, seen: Seen, status: u8, written: u32) {
        let mut device = self.device.lock().unwrap();
        let place = seen.sector as usize * 512..seen.sector as usize * 512 + seen.length;
        match seen.kind {
            0 => device.fill(seen.data, &self.stored[place]),
            1 => {
                for (index, byte) in self.stored[place].iter_mut().enumerate() {
                    *byte = device.read(seen.data + index as u64);
                }
            }
            13 => {
                assert_eq!((seen.sector, seen.length), (0, 16));
                let (first, count) =
                    (device.read::<u64>(seen.data) as usize, device.read::<u32>(seen.data + 8) as usize);
                assert_eq!(device.read::<u32>(seen.data + 12), 1, "they need no place");
                assert!(count <= 1_000, "no more than the device takes");
                self.stored[first * 512..][..count * 512].fill(0);
            }
            _ => {}
        }
        device.write(seen.status, status);
        device.give_back(seen.head.into(), written);
    }

    fn serve_well(&mut self, seen: Seen) {
        let read = if seen.kind == 0 { seen.length as u32 } else { 0 };
        self.serve(seen, 0, read + 1);
    }

    /// Serves the last request first, until the transfer ends.
    fn finish<T>(&mut self, mut transfer: Pending<T>) -> Result<T, DiskError> {
        loop {
            if let Poll::Ready(output) = poll(&mut transfer) {
                return output;
            }
            self.look();
            let seen = self.seen.pop_back().expect("the driver waits for something");
            self.serve_well(seen);
            self.disk.reap();
        }
    }
}

fn poll<T>(transfer: &mut Pending<T>) -> Poll<Result<T, DiskError>> {
    transfer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index / 512 * 7 + index) as u8).collect()
}

#[test]
fn transfers_are_cut_up_and_put_together_again() {
    for (descriptors, limit) in [(256, KIB_64), (256, 1_536), (4, KIB_64), (8, 4_096)] {
        let mut machine = Machine::new(descriptors, limit, true);
        let data = pattern(300 << 10);
        let write = machine.disk.write(5, data.clone());
        machine.finish(write).unwrap();
        assert!(machine.stored[5 * 512..][..data.len()] == data && machine.stored[..5 * 512].iter().all(|b| *b == 0));
        let read = machine.disk.read(6, 590);
        assert!(machine.finish(read).unwrap() == data[512..][..590 * 512]);
        let flush = machine.disk.flush();
        machine.finish(flush).unwrap();
    }
    assert!(RequestQueue::new(&mut Line(Arc::new(Mutex::new(Device::new(2)))), 0, KIB_64).is_err());
}

#[test]
fn zeroes_are_not_moved() {
    let mut machine = Machine::good();
    machine.stored.fill(7);
    let zero = machine.disk.zero(5, 2_500);
    machine.finish(zero).unwrap();
    let is_zero = |sector: usize| machine.stored[sector * 512..][..512].iter().all(|byte| *byte == 0);
    assert!((5..2_505).all(is_zero) && !is_zero(4) && !is_zero(2_505));
    let mut beyond = machine.disk.zero(SECTORS - 1, 2);
    assert_eq!(poll(&mut beyond), Poll::Ready(Err(DiskError::OutOfRange)));
}

#[test]
fn several_requests_are_out_at_a_time_with_one_notification() {
    let mut machine = Machine::good();
    let mut write = machine.disk.write(0, pattern(10 * KIB_64));
    assert!(poll(&mut write).is_pending());
    machine.look();
    assert_eq!((machine.seen.len(), machine.device.lock().unwrap().notifications), (4, 1));
    let sectors: Vec<u64> = machine.seen.iter().map(|seen| seen.sector).collect();
    assert_eq!(sectors, [0, 128, 256, 384]);
    let mut others: Vec<_> = (0..6).map(|at| machine.disk.read(1_000 + at, 1)).collect();
    assert!(others.iter_mut().all(|other| poll(other).is_pending()));
    machine.look();
    assert_eq!(machine.seen.len(), usize::from(REQUESTS), "and no more than there is room for");
}

#[test]
fn a_large_transfer_does_not_keep_others_waiting() {
    let mut machine = Machine::good();
    let mut large: Vec<_> = (0..2).map(|_| machine.disk.write(0, pattern(30 * KIB_64))).collect();
    assert!(large.iter_mut().all(|large| poll(large).is_pending()));
    let mut small = machine.disk.read(4_000, 1);
    assert!(poll(&mut small).is_pending());
    machine.look();
    assert!(machine.seen.iter().all(|seen| seen.kind == 1), "there is no room");
    let first = machine.seen.pop_front().unwrap();
    machine.serve_well(first);
    machine.disk.reap();
    // the large one, whose request it was, is asked first, and has to let the small one go before it
    assert!(poll(&mut large[0]).is_pending());
    assert!(poll(&mut small).is_pending());
    machine.look();
    assert_eq!(machine.seen.back().map(|seen| (seen.kind, seen.sector)), Some((0, 4_000)));
}

#[test]
fn who_waits_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = || Arc::new(Count(AtomicUsize::new(0)));
    let woken = |count: &Arc<Count>| count.0.load(Ordering::Relaxed);
    let mut machine = Machine::new(4, KIB_64, true);
    let (first, second, third) = (count(), count(), count());
    let start = |transfer: &mut Pending<Vec<u8>>, count: &Arc<Count>| {
        transfer.as_mut().poll(&mut Context::from_waker(&Waker::from(count.clone()))).is_pending()
    };
    let (mut a, mut b, mut c) = (machine.disk.read(0, 1), machine.disk.read(1, 1), machine.disk.read(2, 1));
    assert!(start(&mut a, &first) && start(&mut b, &second) && start(&mut c, &third));
    machine.look();
    let seen = machine.seen.pop_front().unwrap();
    machine.serve_well(seen);
    machine.disk.reap();
    assert_eq!((woken(&first), woken(&second)), (1, 0));
    assert!(!start(&mut a, &first));
    assert_eq!((woken(&second), woken(&third)), (1, 0), "its turn has come");
    // and if it does not want its turn any more, the next one's
    drop(b);
    assert_eq!(woken(&third), 1);
    assert!(start(&mut c, &third));
    machine.look();
    assert_eq!(machine.seen.pop_front().unwrap().sector, 2);
}

#[test]
fn statuses_are_errors() {
    for (status, error) in [
        (1, DiskError::Io),
        (2, DiskError::Unsupported),
        (3, DiskError::Io),
        (0x77, DiskError::Io),
        // what was there before
        (0xff, DiskError::Io),
    ] {
        let mut machine = Machine::good();
        let mut transfers = [machine.disk.write(0, pattern(3 * KIB_64)), machine.disk.flush()];
        assert!(transfers.iter_mut().all(|transfer| poll(transfer).is_pending()));
        machine.look();
        for index in 0..4 {
            let seen = machine.seen.pop_front().unwrap();
            machine.serve(seen, if index == 1 || index == 3 { status } else { 0 }, 1);
        }
        machine.disk.reap();
        for transfer in &mut transfers {
            assert_eq!(poll(transfer), Poll::Ready(Err(error)), "{status}");
        }
        let read = machine.disk.read(0, 1);
        assert!(machine.finish(read).is_ok(), "the disk is still used");
    }
}

#[test]
fn what_was_not_written_is_not_seen() {
    let mut machine = Machine::good();
    // a secret of another box, which is in the buffer from before
    let write = machine.disk.write(0, vec![0x5e; 1_024]);
    machine.finish(write).unwrap();
    for written in [0, 1, 2, 1_023, 1_024] {
        let mut read = machine.disk.read(100, 2);
        assert!(poll(&mut read).is_pending());
        machine.look();
        let seen = machine.seen.pop_front().unwrap();
        let mut device = machine.device.lock().unwrap();
        device.write(seen.status, 0u8);
        device.give_back(seen.head.into(), written);
        drop(device);
        machine.disk.reap();
        assert_eq!(poll(&mut read), Poll::Ready(Err(DiskError::Io)), "{written}");
    }
}

/// Makes a device of `misbehave` that is not used any more.
fn is_given_up(misbehave: impl Fn(&mut Device, Seen)) {
    let mut machine = Machine::good();
    let mut transfers: Vec<_> = (0..12).map(|at| machine.disk.read(at, 1)).collect();
    assert!(transfers.iter_mut().all(|transfer| poll(transfer).is_pending()));
    machine.look();
    let seen = machine.seen[3];
    misbehave(&mut machine.device.lock().unwrap(), seen);
    machine.disk.reap();
    let before = machine.device.lock().unwrap().resets;
    assert_eq!(before, 1, "it is reset");
    let dropped = transfers.pop();
    drop(dropped);
    // all of them, but those that were done properly before
    let ends: Vec<_> = transfers.iter_mut().map(poll).collect();
    let gone = ends.iter().filter(|end| **end == Poll::Ready(Err(DiskError::Gone))).count();
    assert!(gone >= 10, "{gone}");
    assert_eq!(poll(&mut machine.disk.write(0, vec![0; 512])), Poll::Ready(Err(DiskError::Gone)));
    machine.look();
    assert_eq!(machine.seen.len(), usize::from(REQUESTS), "nothing more is asked of it");
    assert!(machine.disk.arm());
    machine.disk.reap();
}

#[test]
fn a_device_that_returns_what_it_does_not_have_is_given_up() {
    is_given_up(|device, _| device.give_back(1, 513));
    is_given_up(|device, _| device.give_back(64, 513));
    is_given_up(|device, _| device.give_back(u32::MAX, 513));
    is_given_up(|device, seen| {
        device.give_back(seen.head.into(), 513);
        device.give_back(seen.head.into(), 513);
    });
    is_given_up(|device, _| device.write(device.used + 2, 50_000u16));
}

#[test]
fn what_is_dropped_does_not_overtake_what_comes_after() {
    let mut machine = Machine::good();
    let mut old = machine.disk.write(7, vec![1; 1_024]);
    assert!(poll(&mut old).is_pending());
    drop(old);
    let mut new = machine.disk.write(7, vec![2; 1_024]);
    assert!(poll(&mut new).is_pending());
    machine.look();
    assert_eq!(machine.seen.len(), 1, "the new one is held back");
    let seen = machine.seen.pop_front().unwrap();
    machine.serve_well(seen);
    machine.disk.reap();
    machine.finish(new).unwrap();
    assert!(machine.stored[7 * 512..][..1_024].iter().all(|byte| *byte == 2));
    // one that was dropped when it was done already holds nothing back
    let mut read = machine.disk.read(0, 1);
    assert!(poll(&mut read).is_pending());
    machine.look();
    let seen = machine.seen.pop_front().unwrap();
    machine.serve_well(seen);
    machine.disk.reap();
    drop(read);
    for _ in 0..2 * REQUESTS {
        let flush = machine.disk.flush();
        machine.finish(flush).unwrap();
    }
}

#[test]
fn a_disk_without_a_cache_is_not_asked_to_flush() {
    let mut machine = Machine::new(256, KIB_64, false);
    assert_eq!(poll(&mut machine.disk.flush()), Poll::Ready(Ok(())));
    machine.look();
    assert!(machine.seen.is_empty());
}

#[test]
fn nothing_is_begun_that_is_out_of_range() {
    let mut machine = Machine::good();
    for (first, sectors) in [(SECTORS, 1), (SECTORS - 1, 2), (u64::MAX, 1), (u64::MAX, u32::MAX), (0, u32::MAX)] {
        assert_eq!(poll(&mut machine.disk.read(first, sectors)), Poll::Ready(Err(DiskError::OutOfRange)));
    }
    assert_eq!(poll(&mut machine.disk.write(SECTORS, vec![0; 512])), Poll::Ready(Err(DiskError::OutOfRange)));
    assert_eq!(poll(&mut machine.disk.write(0, vec![0; 513])), Poll::Ready(Err(DiskError::Unaligned)));
    assert_eq!(poll(&mut machine.disk.read(0, 0)), Poll::Ready(Ok(vec![])));
    machine.look();
    assert!(machine.seen.is_empty());
}

#[test]
fn interrupts_are_wanted_only_for_what_is_under_way() {
    let mut machine = Machine::good();
    let wants = |machine: &Machine| machine.device.lock().unwrap().wants_interrupts();
    assert!(machine.disk.arm() && !wants(&machine));
    let mut read = machine.disk.read(0, 1);
    assert!(poll(&mut read).is_pending());
    assert!(machine.disk.arm() && wants(&machine));
    machine.disk.disarm();
    assert!(!wants(&machine));
    machine.look();
    let seen = machine.seen.pop_front().unwrap();
    machine.serve_well(seen);
    assert!(!machine.disk.arm(), "do not sleep");
    machine.disk.reap();
    assert!(machine.disk.arm());
}
