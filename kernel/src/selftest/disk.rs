//! The first disk keeps what is written to it. One that holds what this wrote at an earlier boot must hold all of it.

use alloc::{sync::Arc, vec::Vec};
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasm_host::platform::{Disk, DiskError, Pending, Platform};

use super::Fixture;
use crate::platform::Machine;

const MARK: &[u8; 8] = b"selftest";

/// More than the driver has out at a time.
const LARGE: usize = 1 << 20;

pub fn keeps(fixture: &Fixture) {
    let Some(disk) = fixture.machine.disk("disk0") else {
        log::info!("selftest: there is no disk");
        return;
    };
    let geometry = disk.geometry();
    let (sector, machine) = (geometry.sector_size as usize, fixture.machine);
    assert!(geometry.bytes() >= 4 * LARGE as u64, "the disk is large enough for this test");
    let first = wait(machine, disk.read(0, 1)).expect("the disk can be read");
    let said = if first.starts_with(MARK) {
        verify(machine, &disk, sector);
        "holds what was written before"
    } else if geometry.read_only {
        assert_eq!(wait(machine, disk.write(0, first)), Err(DiskError::ReadOnly));
        "can only be read"
    } else {
        fill(machine, &disk, sector);
        verify(machine, &disk, sector);
        "was written and flushed"
    };
    let outside = wait(machine, disk.read(geometry.sectors - 1, 2));
    assert_eq!(outside, Err(DiskError::OutOfRange));
    log::info!("selftest: the disk {said}");
}

/// What is at `part` of the disk, which is this long. No two of its sectors are alike.
fn pattern(part: usize, sector: usize) -> Vec<u8> {
    (0..LARGE).map(|at| (part * 31 + at / sector * 7 + at % sector) as u8).collect()
}

/// Three large transfers at once, and the mark when they are safe.
fn fill(machine: &Machine, disk: &Arc<dyn Disk>, sector: usize) {
    let place = |part: usize| (part * LARGE / sector) as u64;
    let writes = [1, 2, 3].map(|part| disk.write(place(part), pattern(part, sector)));
    for written in wait(machine, all(writes)) {
        written.expect("the disk can be written");
    }
    // one that nobody waits for is not in the way of what follows
    let mut dropped = disk.write(place(1), pattern(9, sector));
    let _ = dropped.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(dropped);
    wait(machine, disk.write(place(1), pattern(1, sector))).expect("the disk can be written");
    wait(machine, disk.flush()).expect("the disk can be flushed");
    let mut mark = MARK.to_vec();
    mark.resize(sector, 0);
    wait(machine, disk.write(0, mark)).expect("the disk can be written");
    wait(machine, disk.flush()).expect("the disk can be flushed");
}

fn verify(machine: &Machine, disk: &Arc<dyn Disk>, sector: usize) {
    let reads = [1, 2, 3].map(|part| disk.read((part * LARGE / sector) as u64, (LARGE / sector) as u32));
    for (read, part) in wait(machine, all(reads)).into_iter().zip(1..) {
        let read = read.expect("the disk can be read");
        assert!(read == pattern(part, sector), "part {part} of the disk is what was written");
    }
}

/// Waits for all of them at once.
async fn all<T, const N: usize>(mut pending: [Pending<T>; N]) -> Vec<Result<T, DiskError>> {
    let mut ended: Vec<Option<Result<T, DiskError>>> = pending.iter().map(|_| None).collect();
    core::future::poll_fn(|cx| {
        for (ended, pending) in ended.iter_mut().zip(&mut pending) {
            if ended.is_none()
                && let Poll::Ready(output) = pending.as_mut().poll(cx)
            {
                *ended = Some(output);
            }
        }
        if ended.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ended.into_iter().flatten().collect()
}

fn wait<F: Future>(machine: &Machine, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        machine.poll();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        machine.idle(None);
    }
}
