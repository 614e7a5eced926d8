//! Traps of wasm end a call. Faults of the kernel end the kernel, with a report.

use wasmtime::Trap;

use super::{Fixture, fixture::BYTES};

pub fn are_errors(fixture: &Fixture) {
    let cases = [
        ("unreachable", 0, 0, Trap::UnreachableCodeReached),
        ("load", 0x1_0000, 0, Trap::MemoryOutOfBounds),
        ("load", 0xffff_fff0, 0, Trap::MemoryOutOfBounds),
        ("store", 0x7fff_0000, 1, Trap::MemoryOutOfBounds),
        ("divide", 7, 0, Trap::IntegerDivisionByZero),
        ("divide", 0x8000_0000, u32::MAX, Trap::IntegerOverflow),
        ("recurse", 0, 0, Trap::StackOverflow),
    ];
    // twice: a trap leaves the kernel as it was
    for (name, a, b, expected) in cases.into_iter().chain(cases) {
        let mut instance = fixture.instantiate();
        let error = instance.call(name, a, b).expect_err("the call traps");
        assert_eq!(error.downcast_ref::<Trap>(), Some(&expected), "{name}({a:#x}, {b:#x}): {error:?}");
    }
}

/// A guest that goes down to any depth of its stack before it calls the host, which calls it back, has all of its share
/// again, and no more: however deep it is when that ends, it is the box's trap.
pub fn stacks_end(fixture: &Fixture) {
    let mut instance = fixture.instantiate();
    assert_eq!(instance.call("reenter", 0, 0).unwrap() as usize, BYTES.len());
    let mut depth = 0;
    let mut refused = 0;
    // the last of them do not even get as far as the host
    while refused < 3 {
        let mut instance = fixture.instantiate();
        let error = instance.call("reenter", depth, u32::MAX).expect_err("the call traps");
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{depth} deep: {error:?}");
        refused += u32::from(fixture.instantiate().call("reenter", depth, 0).is_err());
        depth += 61;
    }
    assert!(depth > 1000, "only {depth} calls deep");
}
