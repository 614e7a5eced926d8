//! A disk in memory whose power can fail, at any write, with any of the things that disks then do.

use crate::platform::{Disk, DiskError, Geometry, Pending, disk::refused};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};
use spin::Mutex;

pub struct FakeDisk {
    geometry: Geometry,
    state: Mutex<State>,
}

struct State {
    durable: Vec<u8>,
    /// what was written to each sector since the last flush, in order
    unflushed: BTreeMap<u64, Vec<Vec<u8>>>,
    /// writes and flushes until power fails
    budget: Option<usize>,
    done: usize,
    fails: Option<DiskError>,
    reads_only: bool,
    /// Sectors that cannot be read until somebody writes them.
    bad: BTreeSet<u64>,
    /// It can write zeroes without moving them.
    zeroes: bool,
}

impl FakeDisk {
    pub fn new(sector_size: u32, sectors: u64) -> Self {
        Self::of(vec![0; sector_size as usize * sectors as usize], sector_size)
    }

    /// A disk that holds these bytes.
    pub fn of(durable: Vec<u8>, sector_size: u32) -> Self {
        let sectors = durable.len() as u64 / u64::from(sector_size);
        let geometry = Geometry { sector_size, sectors, read_only: false };
        let state = State {
            durable,
            unflushed: BTreeMap::new(),
            budget: None,
            done: 0,
            fails: None,
            reads_only: false,
            bad: BTreeSet::new(),
            zeroes: false,
        };
        FakeDisk { geometry, state: Mutex::new(state) }
    }

    /// After so many more writes and flushes power fails, in the middle of the next.
    pub fn power_fails_after(&self, operations: usize) {
        self.state.lock().budget = Some(operations);
    }

    /// Writes and flushes so far.
    pub fn operations(&self) -> usize {
        self.state.lock().done
    }

    /// From now on, all fails like this.
    pub fn fail(&self, error: DiskError) {
        self.state.lock().fails = Some(error);
    }

    /// What has failed does so no more.
    pub fn recovers(&self) {
        let state = &mut *self.state.lock();
        (state.fails, state.budget, state.reads_only) = (None, None, false);
    }

    /// These sectors cannot be read until somebody writes them.
    pub fn loses(&self, sectors: core::ops::Range<u64>) {
        self.state.lock().bad.extend(sectors);
    }

    /// From now on, writes and flushes fail.
    pub fn fail_writes(&self) {
        self.state.lock().reads_only = true;
    }

    /// From now on it can write zeroes without moving them.
    pub fn can_zero(&self) {
        self.state.lock().zeroes = true;
    }

    /// What is found when power comes back: of what was written to each sector since the last flush, any or nothing.
    pub fn after_power_cut(&self, seed: u64) -> FakeDisk {
        let state = self.state.lock();
        let mut durable = state.durable.clone();
        let mut random = Random(seed);
        for (sector, written) in &state.unflushed {
            let survivor = match seed {
                // the two simplest worlds
                0 => written.len(),
                1 => 0,
                _ => random.below(written.len() + 1),
            };
            if let Some(index) = survivor.checked_sub(1) {
                let start = *sector as usize * self.geometry.sector_size as usize;
                durable[start..][..written[index].len()].copy_from_slice(&written[index]);
            }
        }
        let found = FakeDisk::of(durable, self.geometry.sector_size);
        found.state.lock().zeroes = state.zeroes;
        found
    }

    /// Changes what is stored.
    pub fn damage(&self, change: impl FnOnce(&mut [u8])) {
        change(&mut self.state.lock().durable);
    }

    fn operate<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, DiskError> {
        let mut state = self.state.lock();
        if let Some(error) = state.fails.or(state.reads_only.then_some(DiskError::Io)) {
            return Err(error);
        }
        if state.budget == Some(0) {
            state.fails = Some(DiskError::Gone);
        }
        state.budget = state.budget.and_then(|budget| budget.checked_sub(1));
        state.done += 1;
        let done = act(&mut state);
        match state.fails {
            None => Ok(done),
            Some(error) => Err(error),
        }
    }
}

impl Disk for FakeDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        if let Err(error) = self.geometry.check(first, sectors.into()) {
            return refused(error);
        }
        let state = self.state.lock();
        if let Some(error) = state.fails {
            return refused(error);
        }
        if state.bad.range(first..first + u64::from(sectors)).next().is_some() {
            return refused(DiskError::Io);
        }
        let size = self.geometry.sector_size as usize;
        let start = first as usize * size;
        let mut read = state.durable[start..start + sectors as usize * size].to_vec();
        for (sector, written) in state.unflushed.range(first..first + u64::from(sectors)) {
            if let Some(last) = written.last() {
                read[(sector - first) as usize * size..][..size].copy_from_slice(last);
            }
        }
        Box::pin(core::future::ready(Ok(read)))
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        if let Err(error) = self.geometry.check_write(first, data.len()) {
            return refused(error);
        }
        let written = self.operate(|state| {
            for (sector, bytes) in (first..).zip(data.chunks(self.geometry.sector_size as usize)) {
                state.bad.remove(&sector);
                state.unflushed.entry(sector).or_default().push(bytes.to_vec());
            }
        });
        Box::pin(core::future::ready(written))
    }

    fn zero(&self, first: u64, sectors: u64) -> Pending<()> {
        if let Err(error) = self.geometry.check_zero(first, sectors) {
            return refused(error);
        }
        if !self.state.lock().zeroes {
            return refused(DiskError::Unsupported);
        }
        self.write(first, vec![0; (sectors * u64::from(self.geometry.sector_size)) as usize])
    }

    fn flush(&self) -> Pending<()> {
        let size = self.geometry.sector_size as usize;
        let flushed = self.operate(|state| {
            // a flush in whose middle power fails may have done anything to what was not flushed
            if state.fails.is_none() {
                for (sector, written) in core::mem::take(&mut state.unflushed) {
                    if let Some(last) = written.last() {
                        state.durable[sector as usize * size..][..size].copy_from_slice(last);
                    }
                }
            }
        });
        Box::pin(core::future::ready(flushed))
    }
}

/// Numbers that look random, the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // the upper bits are the better ones
        (self.0 >> 33) as usize % limit
    }
}

/// Waits for what never has to wait.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    match future.as_mut().poll(&mut core::task::Context::from_waker(core::task::Waker::noop())) {
        core::task::Poll::Ready(output) => output,
        core::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn what_was_flushed_survives_and_the_rest_may() {
    let disk = FakeDisk::new(512, 4);
    block_on(disk.write(0, [1; 1_024].to_vec())).unwrap();
    block_on(disk.flush()).unwrap();
    block_on(disk.write(1, [2; 1_024].to_vec())).unwrap();
    block_on(disk.write(1, [3; 512].to_vec())).unwrap();
    let read = |disk: &FakeDisk| -> [u8; 4] {
        let bytes = block_on(disk.read(0, 4)).unwrap();
        core::array::from_fn(|sector| bytes[512 * sector])
    };
    assert_eq!(read(&disk), [1, 3, 2, 0]);
    let found: alloc::collections::BTreeSet<_> = (0..200).map(|seed| read(&disk.after_power_cut(seed))).collect();
    let possible = [1, 2, 3].into_iter().flat_map(|second| [0, 2].map(|third| [1, second, third, 0]));
    assert_eq!(found, possible.collect());
}
