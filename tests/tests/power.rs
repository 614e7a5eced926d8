//! What is deployed survives: power fails at any moment, bits flip, and the node serves the old system or the new, whole.
//!
//! `PEARWOOD_POWER_CUTS` says how often power fails, and `PEARWOOD_SEED` when: it is printed.

#[path = "power/asking.rs"]
mod asking;
#[path = "power/random.rs"]
mod random;
#[path = "power/site.rs"]
mod site;

use asking::Asking;
use pearwood::{
    linux::block_on,
    node::{DiskFile, first_answer},
};
use random::{Random, seed};
use site::{Booted, DISK, Site, rollback, write_version};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    time::Instant,
};
use tests::node::{PATIENCE, pearwood_command, tcp, write_trapping_box};
use wasm_host::slots::{SlotName, State, Store};

/// How often power fails if nothing is said.
const CUTS: u64 = 6;

#[test]
fn what_is_deployed_or_gone_back_to_is_there_after_a_power_cut() {
    let site = &Site::new();
    let node = site.boot();
    assert_eq!(node.version(), 1);
    let said = node.obeyed(&site.deploy(2));
    assert!(said.out.contains("deployment 1: done\nit is kept in slot B of the node's disk"), "{}", said.out);
    let node = node.reboot();
    node.says("disk0: starts deploy 1 from slot B");
    assert_eq!(node.version(), 2);

    // what is refused leaves all as it is
    let mut refused = site.deploy(9);
    let file = site.folder.path().join("system.toml");
    let text = fs::read_to_string(&file).expect("the file") + write_trapping_box(site.folder.path());
    fs::write(file, text).expect("written");
    let said = node.ask(&refused);
    assert!(!said.success && said.out.contains("deployment 2: refused: box `bad` does not start"), "{}", said.out);
    let node = node.reboot();
    assert_eq!(node.version(), 2);

    // to what the node was started with at first, and that too is there to stay
    let said = node.obeyed(&rollback());
    assert!(said.out.contains("deployment 3: done\nit is kept in slot A"), "{}", said.out);
    let node = node.reboot();
    assert_eq!(node.version(), 1);
    // twice is there and back
    node.obeyed(&rollback());
    assert_eq!(node.version(), 2);
    let node = node.reboot();
    assert_eq!(node.version(), 2);

    let said = node.obeyed(&["history".into()]);
    let lines: Vec<&str> = said.out.lines().skip(1).collect();
    let ends = ["done", "refused: box `bad` does not start", "done", "done"];
    assert_eq!(lines.len(), ends.len(), "{}", said.out);
    assert!(lines.iter().zip(ends).all(|(line, end)| line.contains("anna") && line.contains(end)), "{}", said.out);
    assert!(lines[2].contains("back to what the node was started with") && lines[0].contains(" ago"), "{}", said.out);
    assert!(lines[3].contains("back to deployment 1"), "{}", said.out);

    // bits flip in what would be started
    let mut random = Random(seed());
    let (mut node, mut version) = (node, 2);
    for _ in 0..3 {
        node.node.kill();
        let slot = site.with_slots(|store| store.current().expect("a system"));
        flip(site, slot, &mut random);
        node = site.boot();
        node.says(&format!("the image in slot {slot} is not the one that was written"));
        assert_eq!(node.version(), version - 1);
        version += 1;
        refused = site.deploy(version);
        let said = node.obeyed(&refused);
        assert!(said.out.contains(&format!("it is kept in slot {slot}")), "into the one that is damaged: {}", said.out);
        node = node.reboot();
        assert_eq!(node.version(), version);
        // what is damaged the next time has this one beside it
        node.obeyed(&site.deploy(version + 1));
        version += 1;
        node = node.reboot();
        assert_eq!(node.version(), version);
    }
    volumes_come_and_go(site, &node, version);
}

/// A system names a volume, and then none: it stays until it is deleted.
fn volumes_come_and_go(site: &Site, node: &Booted<'_>, version: u64) {
    let file = site.folder.path().join("system.toml");
    let listed = || node.obeyed(&["volumes".into()]).out;
    let delete = |name: &str| node.ask(&["volume".into(), "delete".into(), name.into()]);
    let deploy = |volume: &str| {
        let arguments = site.deploy(version);
        let text = fs::read_to_string(&file).expect("the file");
        fs::write(&file, text + volume).expect("written");
        node.ask(&arguments)
    };
    let line = |listed: &str, name: &str| {
        let found = listed.lines().find(|line| line.starts_with(&format!("{name} ")));
        found.map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", "))
    };
    let kept = |size: u32| format!("\n[volume.kept]\ndisk = \"disk0\"\nsize = \"{size} MiB\"\n");
    let said = deploy(&kept(100));
    assert!(
        !said.success && said.out.contains("volume `kept` needs 100 MiB; 6 MiB are free"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(line(&listed(), "kept"), None);
    let said = deploy(&kept(2));
    assert!(said.success, "{}{}", said.out, said.err);
    node.says("disk0: volume `kept`: made, 2 MiB");
    assert_eq!(line(&listed(), "kept").as_deref(), Some("kept, disk0, 2.0 MiB, named, used by no box, good"));
    assert_eq!(line(&listed(), "slots").as_deref(), Some("slots, disk0, 32 MiB, the node's systems, good"));
    let said = delete("kept");
    assert!(!said.success && said.err.contains("the system that runs names volume `kept`"), "{}", said.err);
    // it grows, and does not become smaller but by going back
    assert!(deploy(&kept(3)).success);
    let said = deploy(&kept(2));
    let why = "volume `kept` has 3 MiB on `disk0`, and none is made smaller: write size = \"3 MiB\"";
    assert!(!said.success && said.out.contains(why), "{}", said.out);
    node.obeyed(&rollback());
    assert_eq!(line(&listed(), "kept").as_deref(), Some("kept, disk0, 3.0 MiB, named, used by no box, good"));
    assert!(deploy("").success);
    assert_eq!(line(&listed(), "kept").as_deref(), Some("kept, disk0, 3.0 MiB, unused, kept, good"));
    let said = delete("kep");
    assert!(!said.success && said.err.contains("there is no volume `kep`; there are kept"), "{}", said.err);
    let said = delete("kept");
    assert!(said.success, "{}", said.err);
    while line(&listed(), "kept").is_some() {}
    assert!(listed().contains("6.0 MiB"), "{}", listed());
}

#[test]
fn a_node_on_linux_keeps_what_is_deployed_as_well() {
    let site = &Site::new();
    let start = || {
        let disks = [DiskFile::new(&site.disk, DISK)];
        let node = pearwood::node::linux(&pearwood_command(), site.folder.path(), [tcp(80), tcp(7327)], &disks);
        let node = node.expect("a node on Linux");
        assert!(first_answer(node.port(80), || node.ended().is_some()), "{}", node.console().end());
        Booted { site, node }
    };
    let node = start();
    write_version(site.folder.path(), 2);
    node.node.type_line("deploy trial=0 drain=5").expect("typed");
    node.says("deployment 1: it is kept in slot B of the node's disk");
    assert_eq!(node.version(), 2);
    node.node.kill();
    site.with_slots(|store| {
        let current = store.current();
        assert_eq!(
            (current, store.held(SlotName::B).map(|held| held.state)),
            (Some(SlotName::B), Some(State::Unbooted))
        );
        block_on(store.verify(SlotName::B)).expect("it stands");
        block_on(store.verify(SlotName::A)).expect("and what ran before does");
    });
    // it starts from its sources, and remembers
    let node = start();
    node.node.type_line("history").expect("typed");
    node.says("deployment 1 by the operator: ");
    let said = node.obeyed(&["history".into()]);
    assert!(said.out.contains("the operator") && said.out.trim_end().ends_with("done"), "{}", said.out);
}

/// Turns some bits over, anywhere in a slot's image.
fn flip(site: &Site, slot: SlotName, random: &mut Random) {
    let (place, length) = site.with_slots(|store| {
        // of the disk's first partition
        let place = (2 << 20) + slot as u64 * store.slot_bytes();
        (place, store.held(slot).expect("something").length)
    });
    let file = File::options().read(true).write(true).open(&site.disk).expect("the disk");
    for _ in 0..1 + random.below(3) {
        let (at, mut byte) = (place + random.below(length), [0]);
        file.read_exact_at(&mut byte, at).expect("read");
        file.write_all_at(&[byte[0] ^ 1 << random.below(8)], at).expect("written");
    }
}

#[test]
fn power_that_fails_at_any_moment_leaves_the_old_system_or_the_new() {
    let cuts = std::env::var("PEARWOOD_POWER_CUTS").ok();
    let cuts = cuts.map_or(CUTS, |cuts| cuts.parse().expect("PEARWOOD_POWER_CUTS is a number"));
    let seed = seed();
    let mut random = Random(seed);
    let site = &Site::new();
    let mut node = site.boot();
    // how long a deploy takes from when its image has come is learned from one that is let be, and then from others
    let mut asking = Asking::start(&node, &site.deploy(2));
    node.deploys(0);
    let began = Instant::now();
    assert!(asking.until(began + PATIENCE), "a deploy takes longer than {PATIENCE:?}");
    let mut span = began.elapsed();
    assert_eq!(asking.end(), Some(true), "{}", node.node.console().end());
    node = node.reboot();
    assert_eq!(node.version(), 2);
    let (mut version, mut other, mut newest) = (2, Some(1), 2);
    let mut left = BTreeMap::<&str, u64>::new();
    for cut in 1..=cuts {
        let back = other.filter(|_| random.below(3) == 0);
        let new = back.unwrap_or(newest + 1);
        newest = newest.max(new);
        let position = node.node.console().position();
        let arguments = if back.is_some() { rollback() } else { site.deploy(new) };
        let mut asking = Asking::start(&node, &arguments);
        // one in eight falls while the system is on its way, the others from when it has come
        let early = back.is_none() && random.below(8) == 0;
        if !early {
            node.deploys(position);
        }
        let began = Instant::now();
        let wait = span.mul_f64(random.below(1_300) as f64 / 1_000.0);
        let done = asking.until(began + wait);
        match done {
            true => span = (span + began.elapsed()) / 2,
            false if wait > span => span = wait,
            false => {}
        }
        node.node.kill();
        // what was said when the power was cut, and a moment later it may have been
        let told = asking.end();
        let stage = site.with_slots(|store| stage(store, told.is_some()));
        node = site.boot();
        let found = node.version();
        node.stands_its_trial();
        println!(
            "cut {cut} of {cuts}, {stage}, {wait:?} of {span:?}: {version} to {new}, told {told:?}, found {found}"
        );
        match told {
            Some(true) => assert_eq!(found, new, "seed {seed}: it was said to be kept"),
            Some(false) => panic!("seed {seed}: it was refused: {}", node.node.console().end()),
            None => assert!(found == new || found == version, "seed {seed}: {found} was not to be started"),
        }
        *left.entry(stage).or_default() += 1;
        other = match (found == new, back) {
            (true, _) => Some(version),
            (false, Some(new)) => Some(new),
            // what was not promoted has cost nothing: there is a third slot for it
            (false, None) => other,
        };
        version = found;
    }
    println!("seed {seed}: {left:?}");
    // and after all of that it works
    node.obeyed(&site.deploy(newest + 1));
    assert_eq!(node.reboot().version(), newest + 1);
}

/// How far a deployment had come.
fn stage(store: &Store, is_over: bool) -> &'static str {
    let is_tried = |slot: SlotName| store.held(slot).is_some_and(|held| held.state == State::Trial);
    match store.names().any(is_tried) {
        _ if is_over => "over",
        true => "on trial",
        false => "being written, or just promoted",
    }
}
