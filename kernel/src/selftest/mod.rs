//! The kernel proves on the machine it booted on that boxes can trap, grow, run for ever and come and go.
//!
//! Built with the feature `selftest`; the image is then `component.wat`, compiled ahead of time. Each check prints a
//! line; the last line is `selftest: passed`, and the machine switches off. A failed check is a panic.

mod crypto;
mod disk;
mod failures;
mod fixture;
mod memory;
mod tasks;
mod traps;

use crate::{platform::Machine, power};
use fixture::Fixture;

pub fn run(machine: &'static Machine, image: &'static [u8], command_line: &str) -> ! {
    if let Some(how) = command_line.split_ascii_whitespace().find_map(|word| word.strip_prefix("fail=")) {
        failures::fail(how);
    }
    let fixture = Fixture::new(machine, image);
    type Check = fn(&Fixture);
    let checks: &[(&str, Check)] = &[
        ("calls return", calls),
        ("floats are computed by the processor", floats),
        ("wasm traps are errors", traps::are_errors),
        ("a stack that ends is the trap of its box", traps::stacks_end),
        ("the time goes on", tasks::time),
        ("an idle node sleeps until something is due", tasks::idle),
        ("memory is committed at its first touch", memory::lazy),
        ("memories of one module start alike", memory::images),
        ("memory runs out as an error", memory::exhaustion),
        ("a box in an endless loop does not hold up another", tasks::preemption),
        ("a thousand instances leave nothing behind", memory::recycling),
        ("the heap gives back what it grew by", memory::heap_shrinks),
        ("what is executable is nowhere writable", memory::write_xor_execute),
        ("code runs from the image", memory::in_place),
        ("the cryptography agrees with published vectors", crypto::agrees),
        ("... also if it is interrupted", crypto::agrees_interrupted),
        ("the disk keeps what is written", disk::keeps),
    ];
    for (name, check) in checks {
        check(&fixture);
        log::info!("selftest: {name}");
    }
    log::info!("selftest: passed");
    power::off()
}

fn calls(fixture: &Fixture) {
    let mut instance = fixture.instantiate();
    assert_eq!(instance.call("add", 2, 40).unwrap(), 42);
}

fn floats(fixture: &Fixture) {
    let mut instance = fixture.instantiate();
    assert_eq!(instance.call("floats", 8, 25).unwrap(), 30);
}
