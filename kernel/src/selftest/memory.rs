//! What boxes have of memory, and that they give it back.

use wasmtime::component::Component;

use super::{Fixture, fixture};
use crate::memory::{
    dma::Dma,
    frames::{self, Owner},
    heap,
    layout::PAGE,
    paging::{self, Entry},
    setup,
};
use alloc::vec::Vec;

const WASM_PAGE: u32 = 64 << 10;
/// What `memory.grow` returns when it fails.
const FAILED: u32 = u32::MAX;

fn committed() -> usize {
    frames::usage().of(Owner::Boxes)
}

pub fn lazy(fixture: &Fixture) {
    let mut instance = fixture.instantiate();
    let before = committed();
    let start = instance.call("grow", 16, 0).unwrap() * WASM_PAGE;
    assert_eq!(committed(), before, "memory that was not touched takes no frames");
    assert_eq!(instance.call("load", start + 4096, 0).unwrap(), 0);
    assert_eq!(instance.call("store", start + 3 * WASM_PAGE, 7).unwrap(), 7);
    assert_eq!(committed(), before + 2, "two pages were touched");
    assert_eq!(instance.call("load", start + 3 * WASM_PAGE, 0).unwrap(), 7);
}

pub fn images(fixture: &Fixture) {
    let pear = u32::from_le_bytes(*b"pear");
    let (mut one, mut other) = (fixture.instantiate(), fixture.instantiate());
    assert_eq!(one.call("load", 0, 0).unwrap(), pear);
    let before = committed();
    assert_eq!(one.call("store", 0, 1).unwrap(), 1);
    assert_eq!(committed(), before + 1, "the page was copied");
    assert_eq!(one.call("load", 4, 0).unwrap(), u32::from_le_bytes(*b"wood"), "with all that it holds");
    assert_eq!(other.call("load", 0, 0).unwrap(), pear, "and the other instance sees no change");
}

pub fn exhaustion(fixture: &Fixture) {
    let mut instance = fixture.instantiate();
    let before = frames::usage();
    // more and more of less and less, until there is nothing left to promise
    let mut step = 1024;
    while step > 0 {
        if instance.call("grow", step, 0).unwrap() == FAILED {
            step /= 2;
        }
    }
    let full = frames::usage();
    assert!(full.promised > before.promised, "some growth succeeded");
    assert!(full.free >= full.promised);
    // what was promised is there
    let size = instance.call("grow", 0, 0).unwrap();
    for page in 0..size {
        assert_eq!(instance.call("store", page * WASM_PAGE, page).unwrap(), page);
    }
    drop(instance);
    let after = frames::usage();
    assert_eq!(
        after.of(Owner::Boxes) + after.promised,
        before.of(Owner::Boxes) + before.promised - promised_by_one(fixture)
    );
}

/// How much one instance that nobody touched stands for.
fn promised_by_one(fixture: &Fixture) -> usize {
    let before = frames::usage();
    let instance = fixture.instantiate();
    let usage = frames::usage();
    drop(instance);
    usage.promised + usage.of(Owner::Boxes) - before.promised - before.of(Owner::Boxes)
}

pub fn recycling(fixture: &Fixture) {
    let cycle = || {
        let mut instance = fixture.instantiate();
        assert_eq!(instance.call("store", 8192, 1).unwrap(), 1);
    };
    let state = || {
        let usage = frames::usage();
        (usage.free, usage.promised, heap::usage().used)
    };
    cycle();
    let before = state();
    for _ in 0..1000 {
        cycle();
    }
    assert_eq!(state(), before, "free frames, promised frames, bytes of heap");
}

/// The heap gives back what it grew by, and says no to more than there is.
pub fn heap_shrinks(_: &Fixture) {
    const BLOCK: usize = 1 << 20;
    let frames = || frames::usage().of(Owner::Heap) * PAGE;
    let before = frames();
    for _ in 0..3 {
        let blocks: Vec<Vec<u8>> = (0..32).map(|_| Vec::with_capacity(BLOCK)).collect();
        assert!(frames() >= before + 31 * BLOCK, "it grew");
        // what was freed below others that live on is used again
        let (mut odd, even): (Vec<_>, Vec<_>) = blocks.into_iter().enumerate().partition(|(index, _)| index % 2 == 1);
        let full = frames();
        drop(even);
        odd.extend((0..16).map(|index| (index, Vec::with_capacity(BLOCK / 2))));
        assert!(frames() <= full, "it did not grow again");
        drop(odd);
        assert!(frames() <= before + BLOCK / 2, "{} bytes before, {} after", before, frames());
    }
    let free = frames::usage().free;
    for bytes in [free * PAGE, 1 << 40, isize::MAX as usize] {
        assert!(Vec::<u8>::new().try_reserve_exact(bytes).is_err(), "{bytes}");
        assert_eq!(frames::usage().free, free, "nothing was taken for what there is not");
    }
}

/// Whatever is executable at some address is writable at none.
pub fn write_xor_execute(fixture: &Fixture) {
    let check = || {
        let mut executable = Vec::new();
        paging::for_each_mapping(&mut |physical, entry| {
            if !entry.has(Entry::NO_EXECUTE) {
                executable.push(physical);
            }
        });
        let text = setup::text();
        assert!(executable.iter().any(|range| range.contains(&text.start)), "the kernel's own code is found");
        assert!(executable.iter().any(|range| !text.contains(&range.start)), "and that of boxes");
        paging::for_each_mapping(&mut |physical, entry| {
            if entry.has(Entry::WRITE) {
                let alias = executable.iter().find(|range| range.start < physical.end && physical.start < range.end);
                assert_eq!(alias, None, "executable, and writable as part of {physical:x?}");
            }
        });
    };
    check();
    // frames that were code are nobody's special any more
    let before = frames::usage().free;
    for _ in 0..10 {
        // SAFETY: as in `Fixture::new`.
        #[allow(unsafe_code)]
        let component = unsafe { Component::deserialize(&fixture.engine, fixture.image) }.expect("it is one");
        assert!(frames::usage().of(Owner::Code) > 0);
        drop(component);
    }
    assert!(before.abs_diff(frames::usage().free) < 16, "what is left is tables of the direct map, once");
    let all: Vec<_> = core::iter::from_fn(|| Dma::new(1 << 20).ok()).collect();
    assert!(!all.is_empty(), "and can be written");
    drop(all);
    check();
}

#[allow(unsafe_code)]
pub fn in_place(fixture: &Fixture) {
    let before = frames::usage().of(Owner::Code);
    // SAFETY: as in `Fixture::new`; the image lives for ever and nothing writes to it.
    let component = unsafe { Component::deserialize_raw(&fixture.engine, fixture.image.into()) }
        .expect("the image is a compiled component, page aligned");
    let pre = fixture::prepare(&fixture.engine, &component);
    let mut instance = fixture::instantiate(&fixture.engine, &pre).expect("there is memory");
    assert_eq!(instance.call("add", 20, 22).unwrap(), 42);
    assert_eq!(frames::usage().of(Owner::Code), before, "nothing was copied");
}
