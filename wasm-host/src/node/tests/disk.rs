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

/// A component with an arrow to a disk, whose `run` is this core code. `$write`, `$read` and `$flush` wait for the answer.
/// They take what that is to be: -1 is no error, else the number of the error. What is written lies from 0x10014 on;
/// `$word` finds what was read last, at an offset.
fn component(run: &str) -> Vec<u8> {
    let block = fixture::protocol(
        "pearwood:hardware/block@0.2.0",
        &["read", "write", "flush"],
        &["data", "done", "failed"],
        "client",
    );
    let text = format!(
        r#"(component
            (import "pearwood:box/ports@0.2.0" (instance $ports
                (type $notices' (flags "deadline" "room" "retire"))
                (export "notices" (type $notices (eq $notices')))
                (type $wake' (record (field "now" u64) (field "ready" u64) (field "notices" $notices)))
                (export "wake" (type $wake (eq $wake')))
                (export "wait" (func (param "deadline" u64) (result $wake)))
                (export "send" (func (param "port" u32) (param "peer" u32) (param "batch" (list u8)) (result bool)))
                (export "receive" (func (param "port" u32) (result (list u8))))))
            {block}
            (core module $memory
                (memory (export "memory") 12)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x40000)))
            (core instance $memory (instantiate $memory))
            (alias core export $memory "memory" (core memory $mem))
            (core func $client (canon lower (func $protocol "client") (memory (core memory $memory "memory"))))
            (core func $wait (canon lower (func $ports "wait") (memory $mem)))
            (core func $send (canon lower (func $ports "send") (memory $mem)))
            (core func $receive (canon lower (func $ports "receive")
                (memory $mem) (realloc (core func $memory "realloc"))))
            (core module $code
                (import "memory" "memory" (memory 12))
                (import "imports" "client" (func $client (param i32 i32) (result i32)))
                (import "imports" "wait" (func $wait (param i64 i32)))
                (import "imports" "send" (func $send (param i32 i32 i32 i32) (result i32)))
                (import "imports" "receive" (func $receive (param i32 i32)))
                (global $answer (mut i32) (i32.const 0))
                (global $ticket (mut i32) (i32.const 100))
                (func $same (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
                ;; sends the record whose kind and length these are, and waits for its answer
                (func $ask (param $kind i32) (param $length i32) (param $expected i32)
                    (local $at i32) (local $end i32) (local $port i32)
                    (local.set $port (call $client (i32.const 0) (i32.const 0)))
                    (global.set $ticket (i32.add (global.get $ticket) (i32.const 1)))
                    (i32.store (i32.const 0x10000)
                        (i32.or (i32.shl (local.get $kind) (i32.const 24)) (local.get $length)))
                    (i32.store (i32.const 0x10004) (global.get $ticket))
                    (call $same (i32.const 1) (call $send (local.get $port) (i32.const 0)
                        (i32.const 0x10000) (i32.add (local.get $length) (i32.const 8))))
                    (block $answered (loop $again
                        (call $wait (i64.const -1) (i32.const 64))
                        (call $receive (local.get $port) (i32.const 16))
                        (local.set $at (i32.load (i32.const 16)))
                        (local.set $end (i32.add (local.get $at) (i32.load (i32.const 20))))
                        (loop $next
                            (br_if $again (i32.ge_u (local.get $at) (local.get $end)))
                            (br_if $answered (i32.lt_u (i32.load8_u offset=3 (local.get $at)) (i32.const 240)))
                            (local.set $at (i32.add (i32.add (local.get $at) (i32.const 8))
                                (i32.and (i32.load (local.get $at)) (i32.const 0xffffff))))
                            (br $next))))
                    (global.set $answer (local.get $at))
                    (call $same (i32.load offset=4 (local.get $at)) (global.get $ticket))
                    (if (i32.ne (local.get $expected) (i32.const -1))
                        (then
                            (call $same (i32.load8_u offset=3 (local.get $at)) (i32.const 3))
                            (call $same (i32.load8_u offset=8 (local.get $at)) (local.get $expected)))
                        (else
                            (call $same (i32.load8_u offset=3 (local.get $at))
                                (select (i32.const 1) (i32.const 2) (i32.eq (local.get $kind) (i32.const 1)))))))
                (func $write (param $first i64) (param $bytes i32) (param $expected i32)
                    (i64.store (i32.const 0x10008) (local.get $first))
                    (i32.store (i32.const 0x10010) (local.get $bytes))
                    (call $ask (i32.const 2) (i32.add (local.get $bytes) (i32.const 12)) (local.get $expected)))
                (func $read (param $first i64) (param $count i32) (param $expected i32)
                    (i64.store (i32.const 0x10008) (local.get $first))
                    (i32.store (i32.const 0x10010) (local.get $count))
                    (call $ask (i32.const 1) (i32.const 12) (local.get $expected)))
                (func $flush (param $expected i32) (call $ask (i32.const 3) (i32.const 0) (local.get $expected)))
                (func $word (param $offset i32) (result i32)
                    (i32.load offset=12 (i32.add (global.get $answer) (local.get $offset))))
                (func (export "run") {run}))
            (core instance $imports (export "client" (func $client)) (export "wait" (func $wait))
                (export "send" (func $send)) (export "receive" (func $receive)))
            (core instance $code (instantiate $code
                (with "imports" (instance $imports)) (with "memory" (instance $memory))))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.2.0" (instance $service)))"#
    );
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
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

#[test]
fn what_is_written_is_read_again_and_is_durable() {
    let disk = slow(512, 100);
    let code = "(memory.fill (i32.const 0x10014) (i32.const 0x70) (i32.const 0x10000))
         (call $write (i64.const 3) (i32.const 1024) (i32.const -1))
         (call $flush (i32.const -1))
         (call $read (i64.const 2) (i32.const 4) (i32.const -1))
         (call $same (call $word (i32.const -4)) (i32.const 2048))
         (call $same (call $word (i32.const 0x1fc)) (i32.const 0))
         (call $same (call $word (i32.const 0x200)) (i32.const 0x70707070))
         (call $same (call $word (i32.const 0x5fc)) (i32.const 0x70707070))
         (call $same (call $word (i32.const 0x600)) (i32.const 0))
         (call $write (i64.const 20) (i32.const 512) (i32.const 0))
         (call $write (i64.const 19) (i32.const 512) (i32.const -1))";
    run(disk.clone(), ", sectors = \"10-29\"", code).unwrap();
    // sector 29 was not flushed
    let found = block_on(disk.0.after_power_cut(1).read(0, 100)).unwrap();
    let expected: Vec<u8> =
        (0..100).flat_map(|sector| [if [13, 14].contains(&sector) { 0x70 } else { 0 }; 512]).collect();
    assert!(found == expected);
    // a batch that does not lie in its memory
    let far = "(drop (call $send (i32.const 0) (i32.const 0) (i32.const 0x10000) (i32.const -1)))";
    let reason = run(slow(512, 100), "", far).unwrap_err();
    assert!(reason.contains("out of bounds"), "{reason}");
}

#[test]
fn what_the_node_holds_for_transfers_counts_as_the_boxes_memory() {
    let platform = FakePlatform::leak();
    platform.add_disk(slow(512, 100));
    // 768 KiB are its own; the node may hold 16 transfers of 64 KiB, and what waits at its port
    let running = start_on(platform, &source("", "2 MiB"), &[("keeper", component(""))]).unwrap();
    let keeper = running.node.find("keeper").unwrap();
    assert!(keeper.own_memory() < 768 << 10, "{}", keeper.own_memory());
    let reason = running.until("keeper", |life| life.restarts > 0).reason.unwrap();
    assert!(reason.contains("more memory than its limit of 2048 KiB"), "{reason}");
    let same = "[system]\nname = \"test\"\n[box.plain]\ncomponent = \"plain\"\nmemory = \"2 MiB\"\n";
    let plain = super::component("(drop (memory.grow (i32.const 16)))");
    let running = start_on(platform, same, &[("plain", plain)]).unwrap();
    running.until("plain", |life| life.phase == Phase::Ended);
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

const VOLUME: &str = "[volume.keeper]\ndisk = \"disk0\"\nsize = \"1 MiB\"\n";

/// The same with a volume of 2,048 sectors in the place of the disk.
fn with_volume(grant: &str) -> String {
    let source = source(grant, "4 MiB").replace("device = \"disk0\"", "volume = \"keeper\"");
    source.replace("[box.keeper]", &format!("{VOLUME}[box.keeper]"))
}

#[test]
fn a_volume_is_all_that_a_box_reaches() {
    let platform = FakePlatform::leak();
    let disk = Arc::new(FakeDisk::new(512, 8_192));
    platform.add_disk(disk.clone());
    let code = "(memory.fill (i32.const 0x10014) (i32.const 0x70) (i32.const 0x10000))
         (call $write (i64.const 2047) (i32.const 512) (i32.const -1))
         (call $flush (i32.const -1))
         (call $write (i64.const 2048) (i32.const 512) (i32.const 0))
         (call $read (i64.const 2047) (i32.const 2) (i32.const 0))
         (call $read (i64.const 0) (i32.const 1) (i32.const -1))
         (call $same (call $word (i32.const 0)) (i32.const 0))";
    let running = start_on(platform, &with_volume(""), &[("keeper", component(code))]).unwrap();
    running.until("keeper", |life| life.phase == Phase::Ended);
    let found = block_on(disk.read(4_095, 2)).unwrap();
    assert!(found[..512].iter().all(|byte| *byte == 0x70) && found[512..].iter().all(|byte| *byte == 0));
    // its sectors are no box's by their numbers
    drop(running);
    let platform = FakePlatform::leak();
    platform.add_disk(disk.clone());
    let before = disk.operations();
    let good = source("", "4 MiB") + "[box.good]\ncomponent = \"good\"\n";
    let components = [("keeper", component("")), ("good", super::component("(call $forever)"))];
    let running = start_on(platform, &good, &components).unwrap();
    let life = running.until("keeper", |life| life.phase == Phase::Ended);
    let why = life.reason.unwrap();
    assert!(why.starts_with("`disk0` has a partition table, and no box gets its sectors"), "{why}");
    running.until("good", |life| life.phase == Phase::Running);
    assert_eq!(disk.operations(), before);
    drop(running);
    // and whoever may only read it does
    let platform = FakePlatform::leak();
    platform.add_disk(disk);
    let code = "(call $write (i64.const 0) (i32.const 512) (i32.const 3))";
    let running = start_on(platform, &with_volume(", read-only = true"), &[("keeper", component(code))]).unwrap();
    running.until("keeper", |life| life.phase == Phase::Ended);
}

/// What the disk fails to do is the box's to see, and is counted for whoever looks after the node.
#[test]
fn errors_of_a_volume_are_counted() {
    let platform = FakePlatform::leak();
    let disk = Arc::new(FakeDisk::new(512, 8_192));
    platform.add_disk(disk.clone());
    let code = "(call $write (i64.const 0) (i32.const 512) (i32.const 4))
         (call $flush (i32.const 4))
         (call $read (i64.const 0) (i32.const 1) (i32.const -1))
         (call $write (i64.const 9999) (i32.const 512) (i32.const 0))";
    let running = start_on(platform, &with_volume(""), &[("keeper", component(code))]).unwrap();
    disk.fail_writes();
    running.until("keeper", |life| life.phase == Phase::Ended);
    let status: serde_json::Value =
        serde_json::from_str(&crate::node::status::json(&running.node, usize::MAX)).unwrap();
    let volume = &status["volumes"][0];
    assert_eq!((&volume["read_errors"], &volume["write_errors"]), (&0.into(), &2.into()), "{status}");
    assert_eq!(
        (&volume["name"], &volume["used_by"][0], &volume["kind"]),
        (&"keeper".into(), &"keeper".into(), &"volume".into())
    );
    assert_eq!(
        (&status["disks"][0]["free"], &status["disks"][0]["holds"]),
        (&(1 << 20).into(), &serde_json::Value::Null)
    );
}

#[test]
fn volumes_are_known_by_their_names_wherever_they_are() {
    let disk = |sectors| Arc::new(FakeDisk::new(512, sectors));
    let (one, other) = (disk(8_192), disk(8_192));
    let start = |disks: &[&Arc<FakeDisk>]| {
        let platform = FakePlatform::leak();
        disks.iter().for_each(|disk| platform.add_disk((*disk).clone()));
        let running = start_on(platform, &with_volume(""), &[("keeper", component(""))]);
        (running.map(drop), platform.console())
    };
    assert_eq!(start(&[&one, &other]).0, Ok(()));
    // another disk has come before it
    let (started, said) = start(&[&other, &one]);
    assert_eq!(started, Ok(()));
    assert!(
        said.contains("volume `keeper` is on `disk1`, and not on `disk0` as the system says; it is used there"),
        "{said}"
    );
    // which has one of that name itself, where the system says
    assert_eq!(start(&[&other]).0, Ok(()));
    let (started, said) = start(&[&other, &one]);
    assert!(started == Ok(()) && !said.contains("as the system says"), "{said}");
    // of two others nobody knows which is meant
    let why = start(&[&disk(100), &one, &other]).0.unwrap_err();
    assert_eq!(why, "there is a volume `keeper` on each of disk1, disk2; which is meant? (its `disk`, or --disk)");
    let why = start(&[&disk(8_000)]).0;
    assert_eq!(why, Ok(()));
    let small = start(&[&disk(7_000)]).0;
    assert_eq!(small, Ok(()));
    let why = start(&[&disk(100)]).0.unwrap_err();
    assert!(
        why.starts_with("volume `keeper` cannot be made on `disk0`: it holds something else (50 KiB, and"),
        "{why}"
    );
    assert_eq!(start(&[]).0, Err("volume `keeper`: this machine has no disk `disk0`".into()));
}

/// A disk of which a box has sectors is the box's, whatever it writes there: no table is made good, and no volume is looked for.
#[test]
fn what_a_box_writes_to_its_sectors_is_no_table() {
    let (own, other) = (Arc::new(FakeDisk::new(512, 8_192)), Arc::new(FakeDisk::new(512, 8_192)));
    let platform = FakePlatform::leak();
    platform.add_disk(other.clone());
    drop(start_on(platform, &with_volume(""), &[("keeper", component(""))]).unwrap());
    // only the second copy of it is whole
    own.damage(|bytes| {
        bytes.copy_from_slice(&block_on(other.read(0, 8_192)).unwrap());
        bytes[600] ^= 1;
    });
    let start = || {
        let platform = FakePlatform::leak();
        platform.add_disk(own.clone());
        platform.add_disk(Arc::new(FakeDisk::new(512, 8_192)));
        let source = with_volume("").replace("disk = \"disk0\"", "disk = \"disk1\"")
            + "[box.raw]\ncomponent = \"keeper\"\narrows.\"pearwood:hardware/block\" = { device = \"disk0\" }\n";
        start_on(platform, &source, &[("keeper", component(""))]).unwrap()
    };
    let running = start();
    running.until("keeper", |life| life.phase == Phase::Ended && life.reason.as_deref() == Some("returned"));
    let why = running.until("raw", |life| life.phase == Phase::Ended).reason.unwrap();
    assert!(why.contains("`disk0` has a partition table"), "{why}");
    let listed = running.platform.volumes().list();
    assert!(listed.iter().all(|it| it.disk == "disk1"), "{listed:?}");
    assert_eq!(own.operations(), 0);
}

/// A volume that cannot be found may be on the disk that cannot be read.
#[test]
fn no_volume_is_made_while_a_disk_cannot_be_read() {
    let (one, other) = (Arc::new(FakeDisk::new(512, 8_192)), Arc::new(FakeDisk::new(512, 8_192)));
    let start = |disks: [&Arc<FakeDisk>; 2]| {
        let platform = FakePlatform::leak();
        disks.into_iter().for_each(|disk| platform.add_disk(disk.clone()));
        start_on(platform, &with_volume(""), &[("keeper", component(""))]).map(drop)
    };
    start([&one, &other]).unwrap();
    one.fail(DiskError::Io);
    let why = start([&other, &one]).unwrap_err();
    assert!(why.starts_with("volume `keeper` is on no disk that can be read, and may be on `disk1`: "), "{why}");
    assert!(start([&one, &other]).is_err());
    assert_eq!(other.operations(), 0);
    one.recovers();
    start([&other, &one]).unwrap();
}

fn on_trial() -> (&'static FakePlatform, Arc<Store>) {
    let platform = FakePlatform::leak();
    let store = Arc::new(block_on(Store::format(Arc::new(FakeDisk::new(512, 8_192)), 4 << 20)).unwrap());
    block_on(store.write(b"the system", &About::default())).unwrap();
    block_on(store.choose(0, |_| Ok(()), |_| ())).unwrap();
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
