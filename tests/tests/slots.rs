//! Systems that a node keeps on its disk: the newest that works is the one that runs.

use pearwood::{
    build,
    linux::{FileDisk, block_on, fill_random},
    node::{DiskFile, End, Node, Qemu},
};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use tests::{
    client::curl,
    node::{PATIENCE, example, pearwood_command, tcp},
};
use wasm_host::{
    image::{Builder, SecretKey},
    slots::{About, SlotName, State, Store, What},
    volumes::slots_of,
};

/// What `examples/counter` reserves.
const RESERVE: u64 = 32 << 20;

/// A disk, and a machine with it whose boot loader brings `examples/counter`.
struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
    machine: Qemu,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("disk");
    let disk = DiskFile::new(&path, 2 * RESERVE);
    disk.prepare().expect("a disk");
    let machine = example("counter").reachable().disk(disk);
    Fixture { _directory: directory, path, machine }
}

/// Does something to the slots of a disk that no node uses.
fn with_slots<T>(path: &Path, act: impl FnOnce(&Store) -> T) -> T {
    let disk = Arc::new(FileDisk::open(path, || ()).expect("the disk"));
    let store = block_on(slots_of(disk, Some(RESERVE), &fill_random)).expect("room for slots");
    act(&store.expect("slots"))
}

fn deploy(path: &Path, image: &[u8]) -> SlotName {
    let about = About { time: Some(1_700_000_000), who: "ada".into(), ..About::default() };
    with_slots(path, |store| block_on(store.write(image, &about))).expect("written")
}

fn image_of(name: &'static str) -> Vec<u8> {
    std::fs::read(&example(name).image).expect("the image")
}

fn boots(machine: &Qemu, says: &[&str]) -> Node {
    let node = machine.start().expect("QEMU");
    for text in says {
        node.console().wait_for(text, PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
    }
    node
}

fn answer(node: &Node) -> String {
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", node.port(80));
    // what `visits` does not count can be asked for until it is answered
    curl(&["--retry", "30", "--retry-delay", "1", "--retry-all-errors"], &url("/elsewhere"));
    curl(&[], &url("/")).text()
}

fn off(node: &Node) {
    assert_eq!(node.power_off(PATIENCE).expect("it ends"), End::Off);
}

#[test]
fn a_system_on_the_disk_runs_and_what_fails_its_trial_does_not_stay() {
    let Fixture { path, machine, .. } = &fixture();
    assert_eq!(deploy(path, &image_of("hello")), SlotName::A);
    let node = boots(machine, &["disk0: starts deploy 1 from slot A", "attempt 1 of 3"]);
    assert_eq!(answer(&node), "Hello!\n");
    node.console().wait_for("node: the system has stood its trial", PATIENCE).expect("it runs well");
    off(&node);
    with_slots(path, |store| {
        assert_eq!(store.held(SlotName::A).expect("deploy 1").state, State::Good);
        let what: Vec<_> = store.history().iter().map(|record| (record.what, record.who.clone())).collect();
        assert_eq!(what, [(What::Good, "ada".into())]);
    });

    // one that dies young, each time
    assert_eq!(deploy(path, &image_of("counter")), SlotName::B);
    for attempt in 1..=3 {
        let attempt = format!("attempt {attempt} of 3");
        boots(machine, &["disk0: starts deploy 2 from slot B", &attempt, "visits: counts on from 0"]).kill();
    }
    let node = boots(machine, &["slot B, deploy 2: was started 3 times and not reported good", "deploy 1 from slot A"]);
    assert_eq!(answer(&node), "Hello!\n");
    off(&node);

    // one that cannot even start
    let builder = Builder::new("system.toml", "[system]\nname = \"none\"\n[box.none]\ncomponent = \"none\"\n");
    let none = builder.finish(&build::development_key().expect("a key")).expect("an image");
    assert_eq!(deploy(path, &none), SlotName::B);
    let node = boots(machine, &["starts deploy 3 from slot B", "the system does not start", "deploy 1 from slot A"]);
    assert_eq!(answer(&node), "Hello!\n");
    off(&node);
    with_slots(path, |store| assert_eq!(store.held(SlotName::B).expect("deploy 3").state, State::Failed));
}

/// Turns a bit over in the middle of a slot's image.
fn flip(path: &Path, slot: SlotName) {
    let (place, length) = with_slots(path, |store| {
        // of the disk's first partition
        let place = (2 << 20) + slot as u64 * store.slot_bytes();
        (place, store.held(slot).expect("something").length)
    });
    let file = File::options().read(true).write(true).open(path).expect("the disk");
    let mut byte = [0];
    file.read_exact_at(&mut byte, place + length / 2).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], place + length / 2).expect("written");
}

#[test]
fn what_was_damaged_does_not_run() {
    let Fixture { path, machine, .. } = &fixture();
    for (slot, name) in [(SlotName::A, "hello"), (SlotName::B, "counter")] {
        assert_eq!(deploy(path, &image_of(name)), slot);
        with_slots(path, |store| {
            store.runs(slot);
            assert!(block_on(store.mark_good()).expect("written"));
        });
    }
    let node = boots(machine, &["starts deploy 2 from slot B", "visits: counts on from 0"]);
    assert_eq!(answer(&node), "1\n");
    off(&node);

    flip(path, SlotName::B);
    let damaged = "slot B, deploy 2: the image in slot B is not the one that was written";
    let node = boots(machine, &[damaged, "starts deploy 1 from slot A"]);
    assert_eq!(answer(&node), "Hello!\n");
    off(&node);

    // nothing is needed from the boot loader
    let bare = Qemu::new(&example("counter").kernel).kernel_argument(format!("trust={}", example("counter").trust));
    let bare = bare.forward(tcp(80)).disk(DiskFile { path: path.clone(), size: None });
    let node = boots(&bare, &[damaged, "starts deploy 1 from slot A"]);
    assert_eq!(answer(&node), "Hello!\n");
    off(&node);

    // signed by nobody that this node trusts
    let stranger = SecretKey::from_seed(&[9; 32]).public();
    let stranger = Qemu::new(&example("counter").kernel).kernel_argument(format!("trust={stranger}"));
    let node = boots(&stranger.disk(DiskFile { path: path.clone(), size: None }), &["which the node does not trust"]);
    assert_eq!(node.wait(PATIENCE).expect("it ends"), End::Failed);

    let module = machine.clone().kernel_argument("slot=module");
    let node = boots(&module, &["its slots are not looked at", "visits: counts on from 1"]);
    assert_eq!(answer(&node), "2\n");
    off(&node);

    flip(path, SlotName::A);
    let node = boots(machine, &[damaged, "no slot holds a system that could be started", "visits: counts on from 2"]);
    assert_eq!(answer(&node), "3\n");
    off(&node);
}

/// D5, D6, D10: what `up` says before anything starts.
#[test]
fn what_starts_is_said_before_it_does() {
    let Fixture { path, .. } = &fixture();
    deploy(path, &image_of("counter"));
    let disk = path.to_string_lossy();
    let example = tests::node::workspace().join("examples/counter");
    let says = |more: &[&str], what: &str| {
        let mut command = Command::new(pearwood_command());
        command.arg("up").arg(&example).args(["--disk", &disk]).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("up");
        let mut heard = String::new();
        for line in BufReader::new(child.stderr.take().expect("its output")).lines().map_while(Result::ok) {
            heard += &(line.clone() + "\n");
            if line.contains(what) {
                break;
            }
        }
        child.kill().expect("killed");
        child.wait().expect("its end");
        assert!(heard.contains(what), "{more:?}: {heard}");
    };
    says(&[], "holds deployment 1 by ada, which is what this node starts, and not what is built from");
    says(&["--start", "built"], "holds deployment 1 by ada, which does not start this time");
    says(&["--port", "8080:81"], "--port: no box of `counter` may listen at TCP port 81, so nobody will answer");
    says(&["--memory", "2M"], "so that the machine needs");
    says(&["--memory", "much"], "--memory: `much` is no size; write 128M or 1G");
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        says(&["--kvm"], "without --kvm the CPU is emulated");
    }
}

#[test]
fn a_disk_that_is_used_otherwise_is_left_alone() {
    let Fixture { path, machine, .. } = &fixture();
    let file = File::options().write(true).open(path).expect("the disk");
    file.write_all_at(b"\x55\xaa", 510).expect("written");
    drop(file);
    let before = std::fs::read(path).expect("the disk");
    let why = "it holds something else (a master boot record), which is left alone";
    let slots = format!("disk0: the system's slots: {why}");
    let volume = format!("volume `visits` cannot be made on `disk0`: {why}");
    let node = boots(machine, &[&slots, &volume]);
    assert_eq!(node.wait(PATIENCE).expect("it ends"), End::Failed);
    assert!(std::fs::read(path).expect("the disk") == before);
}
