//! Boxes and disks: what an arrow grants can be reached, and nothing else, whatever a box asks for.

use super::*;
use crate::node::fixture;
use crate::{
    executor::yield_now,
    platform::{
        Disk, DiskError, Geometry, Pending,
        fake::{FakeDisk, block_on},
    },
    slots::{About, SlotName, State, Store},
};
use alloc::{boxed::Box, string::String};

fn start_on(platform: &'static FakePlatform, source: &str, components: &[(&str, Vec<u8>)]) -> Result<Running, String> {
    fixture::start_on(platform, source, components, &[])
}

/// A component with an arrow to a disk, whose `run` is this core code. `$write` and `$read` take what they are to
/// answer: -1 is `ok`, else the number of the error. Data come from the second page and go to the third.
fn component(run: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "pearwood:hardware/block@0.1.0" (instance $block
                (type $info' (record (field "sector-size" u32) (field "sectors" u64) (field "read-only" bool)))
                (export "info" (type $info (eq $info')))
                (type $error' (enum "out-of-range" "unaligned" "too-large" "read-only" "io" "unsupported" "gone"))
                (export "error" (type $error (eq $error')))
                (export "describe" (func (result $info)))
                (export "read" (func (param "first" u64) (param "count" u32) (result (result (list u8) (error $error)))))
                (export "write" (func (param "first" u64) (param "data" (list u8)) (result (result (error $error)))))
                (export "flush" (func (result (result (error $error)))))))
            (core module $memory
                (memory (export "memory") 40)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x20000)))
            (core instance $memory (instantiate $memory))
            (alias core export $memory "memory" (core memory $mem))
            (alias core export $memory "realloc" (core func $realloc))
            (core func $describe (canon lower (func $block "describe") (memory (core memory $mem))))
            (core func $read (canon lower (func $block "read") (memory (core memory $mem)) (realloc (core func $realloc))))
            (core func $write (canon lower (func $block "write") (memory (core memory $mem))))
            (core func $flush (canon lower (func $block "flush") (memory (core memory $mem))))
            (core module $code
                (import "memory" "memory" (memory 40))
                (import "block" "describe" (func $describe' (param i32)))
                (import "block" "read" (func $read' (param i64 i32 i32)))
                (import "block" "write" (func $write' (param i64 i32 i32 i32)))
                (import "block" "flush" (func $flush' (param i32)))
                (func $same (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
                (func $answer (param $payload i32) (param $expected i32)
                    (if (i32.eq (local.get $expected) (i32.const -1))
                        (then (call $same (i32.load8_u (i32.const 0)) (i32.const 0)))
                        (else
                            (call $same (i32.load8_u (i32.const 0)) (i32.const 1))
                            (call $same (i32.load8_u (local.get $payload)) (local.get $expected)))))
                (func $describe (param $size i32) (param $sectors i64) (param $read_only i32)
                    (call $describe' (i32.const 0))
                    (call $same (i32.load (i32.const 0)) (local.get $size))
                    (if (i64.ne (i64.load (i32.const 8)) (local.get $sectors)) (then unreachable))
                    (call $same (i32.load8_u (i32.const 16)) (local.get $read_only)))
                (func $write (param $first i64) (param $bytes i32) (param $expected i32)
                    (call $write' (local.get $first) (i32.const 0x10000) (local.get $bytes) (i32.const 0))
                    (call $answer (i32.const 1) (local.get $expected)))
                (func $read (param $first i64) (param $count i32) (param $expected i32)
                    (call $read' (local.get $first) (local.get $count) (i32.const 0))
                    (call $answer (i32.const 4) (local.get $expected)))
                (func $flush (param $expected i32)
                    (call $flush' (i32.const 0))
                    (call $answer (i32.const 1) (local.get $expected)))
                (func (export "run") {run}))
            (core instance $imports (export "describe" (func $describe)) (export "read" (func $read))
                (export "write" (func $write)) (export "flush" (func $flush)))
            (core instance $code (instantiate $code
                (with "block" (instance $imports)) (with "memory" (instance $memory))))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.1.0" (instance $service)))"#
    );
    wat::parse_str(text).unwrap()
}

/// A disk that takes a turn of the executor for everything.
struct Slow(FakeDisk);

fn later<T: Send + 'static>(pending: Pending<T>) -> Pending<T> {
    Box::pin(async {
        yield_now().await;
        pending.await
    })
}

impl Disk for Slow {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        later(self.0.read(first, sectors))
    }
    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        later(self.0.write(first, data))
    }
    fn flush(&self) -> Pending<()> {
        later(self.0.flush())
    }
}

/// A disk that never answers.
struct Stuck;

impl Disk for Stuck {
    fn geometry(&self) -> Geometry {
        Geometry { sector_size: 512, sectors: 100, read_only: false }
    }
    fn read(&self, _: u64, _: u32) -> Pending<Vec<u8>> {
        Box::pin(core::future::pending())
    }
    fn write(&self, _: u64, _: Vec<u8>) -> Pending<()> {
        Box::pin(core::future::pending())
    }
    fn flush(&self) -> Pending<()> {
        Box::pin(core::future::pending())
    }
}

fn source(grant: &str, memory: &str) -> String {
    format!(
        "[system]\nname = \"test\"\n[box.keeper]\ncomponent = \"keeper\"\nmemory = \"{memory}\"\n\
         arrows.\"pearwood:hardware/block\" = {{ device = \"disk0\"{grant} }}\n"
    )
}

/// Runs the code with a grant of this disk, to its end.
fn run(disk: Arc<dyn Disk>, grant: &str, code: &str) -> Result<(), String> {
    let platform = FakePlatform::leak();
    platform.add_disk(disk);
    let running = start_on(platform, &source(grant, "4 MiB"), &[("keeper", component(code))])?;
    let life = running.until("keeper", |life| life.phase == Phase::Ended || life.restarts > 0);
    if life.restarts == 0 { Ok(()) } else { Err(life.reason.unwrap()) }
}

fn slow(sector_size: u32, sectors: u64) -> Arc<Slow> {
    Arc::new(Slow(FakeDisk::new(sector_size, sectors)))
}

const PEAR: &str = r#"(memory.fill (i32.const 0x10000) (i32.const 0x70) (i32.const 0x10000))"#;

#[test]
fn what_is_written_is_read_again_and_is_durable() {
    let disk = slow(512, 100);
    let code = format!(
        "{PEAR} (call $describe (i32.const 512) (i64.const 20) (i32.const 0))
         (call $write (i64.const 3) (i32.const 1024) (i32.const -1))
         (call $flush (i32.const -1))
         (call $read (i64.const 2) (i32.const 4) (i32.const -1))
         (call $same (i32.load (i32.const 4)) (i32.const 0x20000))
         (call $same (i32.load (i32.const 8)) (i32.const 2048))
         (call $same (i32.load (i32.const 0x201fc)) (i32.const 0))
         (call $same (i32.load (i32.const 0x20200)) (i32.const 0x70707070))
         (call $same (i32.load (i32.const 0x205fc)) (i32.const 0x70707070))
         (call $same (i32.load (i32.const 0x20600)) (i32.const 0))
         (call $write (i64.const 19) (i32.const 512) (i32.const -1))"
    );
    run(disk.clone(), ", sectors = \"10-29\"", &code).unwrap();
    // sector 29 was not flushed
    let found = block_on(disk.0.after_power_cut(1).read(0, 100)).unwrap();
    let expected: Vec<u8> =
        (0..100).flat_map(|sector| [if [13, 14].contains(&sector) { 0x70 } else { 0 }; 512]).collect();
    assert!(found == expected);
}

#[test]
fn nothing_outside_the_grant_can_be_reached() {
    let disk = slow(512, 4_000);
    let code = format!(
        "{PEAR}
         (call $write (i64.const 20) (i32.const 512) (i32.const 0))
         (call $write (i64.const 19) (i32.const 1024) (i32.const 0))
         (call $write (i64.const -1) (i32.const 512) (i32.const 0))
         (call $write (i64.const -10) (i32.const 10240) (i32.const 0))
         (call $write (i64.const 0x7fffffffffffff) (i32.const 512) (i32.const 0))
         (call $write (i64.const 0) (i32.const 511) (i32.const 1))
         (call $write (i64.const 0) (i32.const 1) (i32.const 1))
         (call $write (i64.const 99) (i32.const 513) (i32.const 1))
         (call $write (i64.const 0) (i32.const 0) (i32.const -1))
         (call $read (i64.const 20) (i32.const 1) (i32.const 0))
         (call $read (i64.const 0) (i32.const 21) (i32.const 0))
         (call $read (i64.const 0) (i32.const -1) (i32.const 0))
         (call $read (i64.const -1) (i32.const -1) (i32.const 0))
         (call $read (i64.const -1) (i32.const 1) (i32.const 0))
         (call $read (i64.const -10) (i32.const 20) (i32.const 0))
         (call $read (i64.const 21) (i32.const 0) (i32.const 0))
         (call $read (i64.const 20) (i32.const 0) (i32.const -1))
         (call $flush (i32.const -1))"
    );
    run(disk.clone(), ", sectors = \"10-29\"", &code).unwrap();
    assert_eq!(disk.0.operations(), 1, "only the flush");
}

#[test]
fn a_call_transfers_so_much_and_no_more() {
    // 1 MiB is 2,048 sectors
    let code = "(call $read (i64.const 0) (i32.const 2048) (i32.const -1))
         (call $read (i64.const 0) (i32.const 2049) (i32.const 2))
         (call $read (i64.const 0) (i32.const 4000) (i32.const 2))
         (call $write (i64.const 0) (i32.const 0x100000) (i32.const -1))
         (call $write (i64.const 0) (i32.const 0x100200) (i32.const 2))";
    run(slow(512, 4_000), "", code).unwrap();
    // a list that does not lie in its memory
    let reason = run(slow(512, 4_000), "", "(call $write (i64.const 0) (i32.const -512) (i32.const -1))").unwrap_err();
    assert!(reason.contains("out of bounds"), "{reason}");
}

#[test]
fn what_the_node_holds_for_a_transfer_counts_as_the_boxes_memory() {
    let platform = FakePlatform::leak();
    platform.add_disk(slow(512, 4_000));
    let code = "(call $read (i64.const 0) (i32.const 1024) (i32.const -1))
        (call $read (i64.const 0) (i32.const 1024) (i32.const -1))
        (call $write (i64.const 0) (i32.const 0x100000) (i32.const -1))";
    // 2.5 MiB are its own, and some 400 KiB are what the node holds for its instance
    let running = start_on(platform, &source("", "3584 KiB"), &[("keeper", component(code))]).unwrap();
    let reason = running.until("keeper", |life| life.restarts > 0).reason.unwrap();
    assert!(
        reason.contains(
            "asked for a transfer of 1048576 bytes (it had asked for more memory than its limit of 3584 KiB)"
        ),
        "{reason}"
    );
}

#[test]
fn a_disk_that_is_only_to_be_read() {
    let code = "(call $describe (i32.const 4096) (i64.const 10) (i32.const 1))
        (call $read (i64.const 9) (i32.const 1) (i32.const -1))
        (call $write (i64.const 0) (i32.const 4096) (i32.const 3))";
    let disk = slow(4_096, 10);
    run(disk.clone(), ", read-only = true", code).unwrap();
    assert_eq!(disk.0.operations(), 0);
}

#[test]
fn errors_of_the_disk_are_the_boxes_to_see() {
    for (error, number) in [(DiskError::Io, 4), (DiskError::Unsupported, 5), (DiskError::Gone, 6)] {
        let disk = slow(512, 10);
        disk.0.fail(error);
        let code = format!(
            "(call $read (i64.const 0) (i32.const 1) (i32.const {number}))
             (call $write (i64.const 0) (i32.const 512) (i32.const {number}))
             (call $flush (i32.const {number}))"
        );
        run(disk, "", &code).unwrap();
    }
}

#[test]
fn a_box_that_waits_for_a_disk_can_be_restarted() {
    let platform = FakePlatform::leak();
    platform.add_disk(Arc::new(Stuck));
    let components = [
        ("keeper", component("(call $flush (i32.const -1))")),
        ("good", super::component("(loop $again (call $wait (i64.const 0) (i32.const 0)) (br $again))")),
    ];
    let source = source("", "4 MiB") + "[box.good]\ncomponent = \"good\"\n";
    let running = start_on(platform, &source, &components).unwrap();
    running.until("keeper", |life| life.phase == Phase::Running);
    // it sleeps: far more than the watchdog's time passes, and the other one runs
    let then = platform.now() + 10_000_000_000;
    running.node.executor().run_until(platform, || platform.now() >= then);
    running.until("good", |life| life.phase == Phase::Running);
    let keeper = running.node.find("keeper").unwrap();
    assert_eq!((keeper.life().restarts, keeper.life().phase), (0, Phase::Running));
    keeper.restart("by the operator");
    let life = running.until("keeper", |life| life.restarts == 1 && life.phase == Phase::Running);
    assert_eq!(life.reason.as_deref(), Some("restarted: by the operator"));
}

#[test]
fn what_a_machine_does_not_have_is_refused_before_anything_runs() {
    let nothing = run_without(&[], "");
    assert_eq!(nothing, "box `keeper`: this machine has no device `disk0`");
    let small = run_without(&[slow(512, 100)], ", sectors = \"90-100\"");
    assert_eq!(small, "box `keeper`: it is granted sectors 90-100 of `disk0`, which has 100 sectors");
    let far = run_without(&[slow(512, 100)], ", sectors = \"101-*\"");
    assert_eq!(far, "box `keeper`: it is granted sectors 101-* of `disk0`, which has 100 sectors");
}

fn run_without(disks: &[Arc<Slow>], grant: &str) -> String {
    let platform = FakePlatform::leak();
    disks.iter().for_each(|disk| platform.add_disk(disk.clone()));
    start_on(platform, &source(grant, "4 MiB"), &[("keeper", component(""))]).err().unwrap()
}

/// Whatever a declaration says: where the running system came from is out of reach.
#[test]
fn the_nodes_own_sectors_are_not_granted() {
    let disk: Arc<dyn Disk> = Arc::new(FakeDisk::new(4_096, 2_048));
    let store = Arc::new(block_on(Store::format(disk.clone(), 4 << 20)).unwrap());
    let start = |grant: &str| {
        let platform = FakePlatform::leak();
        platform.add_disk(disk.clone());
        platform.set_slots(store.clone());
        start_on(platform, &source(grant, "4 MiB"), &[("keeper", component(""))]).map(drop)
    };
    for grant in ["", ", sectors = \"1023-1023\", read-only = true"] {
        let error = start(grant).unwrap_err();
        assert!(error.contains("reach into the node's own, which end before 1024"), "{error}");
    }
    start(", sectors = \"1024-*\"").unwrap();
}

fn on_trial() -> (&'static FakePlatform, Arc<Store>) {
    let platform = FakePlatform::leak();
    let store = Arc::new(block_on(Store::format(Arc::new(FakeDisk::new(512, 8_192)), 4 << 20)).unwrap());
    block_on(store.write(b"the system", &About::default())).unwrap();
    block_on(store.choose(|_| Ok(()), |_| ())).unwrap();
    platform.set_slots(store.clone());
    (platform, store)
}

const GOOD: &str = "[system]\nname = \"test\"\n[box.good]\ncomponent = \"good\"\n";

#[test]
fn a_system_whose_boxes_run_for_a_while_stands_its_trial() {
    let (platform, store) = on_trial();
    let running = start_on(platform, GOOD, &[("good", super::component("(call $forever)"))]).unwrap();
    running.node.executor().run_until(platform, || !store.on_trial());
    assert!(platform.now() >= 10_000_000_000);
    assert_eq!(store.held(SlotName::A).unwrap().state, State::Good);
    running.node.executor().run_until(platform, || platform.console().contains("node: the system has stood its trial"));
}

#[test]
fn a_system_with_a_box_that_keeps_failing_does_not() {
    let (platform, store) = on_trial();
    let source = format!("{GOOD}[box.bad]\ncomponent = \"bad\"\n");
    let components = [("good", super::component("(call $forever)")), ("bad", super::component("unreachable"))];
    let running = start_on(platform, &source, &components).unwrap();
    running.node.executor().run_until(platform, || platform.now() > 40_000_000_000);
    assert!(store.on_trial());
}
