//! Disks that fail, that are too small, that do not answer, or that forget.

use super::*;
use crate::{
    deploy::tests::SECOND,
    platform::{DiskError, Geometry, Pending},
};
use alloc::{boxed::Box, vec};

#[test]
fn a_disk_that_fails_refuses_deploys_and_nothing_else() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    deployed(&mut world, b'2').unwrap();
    disk.fail_writes();
    let (_, outcome) = deploys(&mut world, &site(b'3'));
    let why = "it cannot be kept on the node's disk: the disk reports an error";
    assert_eq!(outcome, Outcome::Refused { why: why.into() });
    assert_eq!(runs(&mut world), b'2');
    let console = world.running.platform.console();
    assert!(console.contains("the disk does not take what came of it"), "{console}");

    // too small for the system
    let disk = Arc::new(FakeDisk::new(512, (4 << 20) / 512));
    let store = Arc::new(block_on(Store::format(disk.clone(), 4 << 20)).unwrap());
    let mut world = on(disk, store, b'1');
    let files = vec![7; 2 << 20];
    let large = fixture::image_with(SITE, &with_client(&site(b'2')), &[("site", "a", files)]);
    let deployment = world.running.node.deploy(large, quick()).unwrap();
    let Outcome::Refused { why } = world.over(&deployment) else { panic!("{:?}", deployment.record()) };
    assert!(why.starts_with("the image has ") && why.contains("a slot has room for 1 MiB"), "{why}");
    assert_eq!(runs(&mut world), b'1');
}

/// A disk that stops to answer.
struct Stuck(Arc<FakeDisk>);

impl Disk for Stuck {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        self.0.read(first, sectors)
    }

    fn write(&self, _: u64, _: Vec<u8>) -> Pending<()> {
        Box::pin(core::future::pending::<Result<(), DiskError>>())
    }

    fn flush(&self) -> Pending<()> {
        self.0.flush()
    }
}

#[test]
fn a_disk_that_does_not_answer_does_not_hold_up_deploys_for_ever() {
    let disk = Arc::new(Stuck(Arc::new(blank())));
    let store = Arc::new(block_on(Store::open(disk.clone())).unwrap().unwrap());
    let mut world = on(disk, store, b'1');
    let deployment = world.deploy_with(SITE, &site(b'2'), quick());
    world.until(|world| {
        world.running.platform.pass(SECOND / 10);
        deployment.outcome().is_some()
    });
    let why = "it cannot be kept on the node's disk: the disk does not answer";
    assert_eq!(deployment.outcome(), Some(Outcome::Refused { why: why.into() }));
    assert_eq!(runs(&mut world), b'1');
}

#[test]
fn what_was_damaged_in_its_slot_is_not_gone_back_to_from_there() {
    let disk = Arc::new(blank());
    let mut world = boot(&disk);
    deployed(&mut world, b'2').unwrap();
    deployed(&mut world, b'3').unwrap();
    let place = (1 << 20) + store(&world).slot_bytes() as usize + 5_000;
    disk.damage(|bytes| bytes[place] ^= 1);
    // a node that has it in memory writes it again
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    assert_eq!(runs(&mut boot(&Arc::new(disk.after_power_cut(1)))), b'2');
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    disk.damage(|bytes| bytes[place] ^= 1);
    // one that was started anew has it nowhere
    let mut world = boot(&Arc::new(disk.after_power_cut(1)));
    let Step::Over(Outcome::Refused { why }) = rolls_back(&mut world) else { panic!("it is damaged") };
    assert_eq!(why, "the image in slot B is not the one that was written");
    assert_eq!(runs(&mut world), b'3');
}
