//! Volumes that come, grow and stay while systems change.

use super::*;
use crate::{
    node::Answer,
    platform::{Platform, fake::FakeDisk},
    volumes::{Kind, Listed, MIB},
};
use alloc::{format, vec};
use manage::{Request, Response};

fn source(volume: &str, arrow: &str) -> String {
    let arrow =
        if arrow.is_empty() { String::new() } else { format!("arrows.\"pearwood:hardware/block\" = {arrow}\n") };
    SITE.replace("[box.client]", &format!("{volume}[box.client]")) + &arrow
}

fn volume(name: &str, mib: u64) -> String {
    format!("[volume.{name}]\ndisk = \"disk0\"\nsize = \"{mib} MiB\"\n")
}

fn listed(world: &World) -> Vec<(Kind, String, u64)> {
    let all = world.running.platform.volumes().list();
    all.into_iter().map(|Listed { kind, name, bytes, .. }| (kind, name, bytes / MIB)).collect()
}

fn kept(name: &str, mib: u64) -> (Kind, String, u64) {
    (Kind::Volume, name.into(), mib)
}

fn delete(world: &mut World, name: &str) -> Result<(), String> {
    let request = Request::DeleteVolume { name, disk: None };
    let answer = world.running.node.answer("anna", "", &mut None, &request, usize::MAX);
    let response = match answer {
        Answer::Now(response) => response,
        Answer::Follow(mut follow) => {
            let (node, mut found) = (world.running.node.clone(), None);
            world.until(|_| {
                found = found.take().or(follow.next(&node));
                found.is_some()
            });
            found.unwrap()
        }
    };
    match response {
        Response::Done => Ok(()),
        Response::Refused(why) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn volumes_outlast_the_systems_that_name_them() {
    let platform = FakePlatform::leak();
    platform.add_disk(Arc::new(FakeDisk::new(512, 10 << 11)));
    let keeping = |version| [("site", guests::keeping(version))];
    let guestbook = "{ volume = \"guestbook\" }";
    let first = source(&volume("guestbook", 2), guestbook);
    let mut world = World::on(platform, &first, &keeping(b'1'));
    assert!(platform.console().contains("node: disk0: volume `guestbook`: made, 2 MiB"), "{}", platform.console());
    assert_eq!(listed(&world), [kept("guestbook", 2)]);
    assert_eq!(world.ask().1, b"1");

    // too much is refused, and says what is free; nothing was made of it
    let too_large = source(&(volume("guestbook", 2) + &volume("one", 1) + &volume("other", 6)), guestbook);
    let deployment = world.deploy(&too_large, &keeping(b'1'));
    assert_eq!(why(world.over(&deployment)), "disk0: volume `other` needs 6 MiB; 5 MiB are free");
    assert_eq!(listed(&world), [kept("guestbook", 2)]);

    // it grows, which the box sees as another instance
    let grown = source(&volume("guestbook", 3), guestbook);
    let deployment = world.deploy(&grown, &keeping(b'1'));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(deployment.record().changes.len(), 1);
    assert_eq!(listed(&world), [kept("guestbook", 3)]);
    assert_eq!(world.ask().1, b"1");

    // it is made smaller by nobody, and is found by whoever goes back
    let deployment = world.deploy(&first, &keeping(b'2'));
    let expected = "volume `guestbook` has 3 MiB on `disk0`, and none is made smaller: write size = \"3 MiB\"";
    assert_eq!(why(world.over(&deployment)), expected);
    let number = world.running.node.roll_back(options()).unwrap();
    let back = world.running.node.deployments.find(number).unwrap();
    assert_eq!(world.over(&back), Outcome::Done);
    assert_eq!(listed(&world), [kept("guestbook", 3)]);

    // what a deploy made that fails is there still, and used by nobody
    let failing = source(&(volume("guestbook", 3) + &volume("new", 1)), guestbook);
    let deployment = world
        .deploy(&failing, &[("site", guests::keeping_as(guests::Handler { begin: "unreachable", ..guests::HANDLER }))]);
    assert!(matches!(world.over(&deployment), Outcome::RolledBack { .. }));
    assert_eq!(listed(&world), [kept("guestbook", 3), kept("new", 1)]);
    assert_eq!(world.ask().1, b"1");

    // deleted is only what the system does not name
    let refused = delete(&mut world, "guestbook").unwrap_err();
    assert!(refused.contains("names volume `guestbook`, and site uses it"), "{refused}");
    assert_eq!(delete(&mut world, "nwe"), Err("there is no volume `nwe`; there are guestbook, new".into()));
    assert_eq!(delete(&mut world, "new"), Ok(()));
    world.until(|world| listed(world) == [kept("guestbook", 3)]);
    let deployment = world.deploy(&source("", ""), &[("site", guests::HANDLER.component())]);
    assert!(delete(&mut world, "guestbook").unwrap_err().contains("is under way"));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(listed(&world), [kept("guestbook", 3)]);
    assert_eq!(delete(&mut world, "guestbook"), Ok(()));
    world.until(|world| listed(world) == vec![]);
}

/// A box that runs may have written where a table would be made.
#[test]
fn a_disk_of_which_boxes_have_sectors_gets_no_table() {
    let platform = FakePlatform::leak();
    let disk = Arc::new(FakeDisk::new(512, 10 << 11));
    platform.add_disk(disk.clone());
    let keeping = |version| [("site", guests::keeping(version))];
    let raw = source("", "{ device = \"disk0\" }");
    let mut world = World::on(platform, &raw, &keeping(b'1'));
    let with_volume = source(&volume("guestbook", 2), "{ volume = \"guestbook\" }");
    let deployment = world.deploy(&with_volume, &keeping(b'2'));
    let refused = why(world.over(&deployment));
    assert!(
        refused.contains("boxes get its sectors by their numbers; deploy a system without such arrows first"),
        "{refused}"
    );
    assert_eq!((disk.operations(), world.ask().1), (0, b"1".to_vec()));
    let deployment = world.deploy(&source("", ""), &[("site", guests::HANDLER.component())]);
    assert_eq!(world.over(&deployment), Outcome::Done);
    let deployment = world.deploy(&with_volume, &keeping(b'2'));
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(listed(&world), [kept("guestbook", 2)]);
    // nor does a box get them any more
    let deployment = world.deploy(&raw, &keeping(b'3'));
    let refused = why(world.over(&deployment));
    assert!(refused.contains("`: `disk0` has a partition table"), "{refused}");
}

#[test]
fn what_a_deploy_that_failed_let_grow_may_be_said_to_be_as_before() {
    let platform = FakePlatform::leak();
    platform.add_disk(Arc::new(FakeDisk::new(512, 10 << 11)));
    let guestbook = "{ volume = \"guestbook\" }";
    let first = source(&volume("guestbook", 2), guestbook);
    let mut world = World::on(platform, &first, &[("site", guests::keeping(b'1'))]);
    let failing = guests::keeping_as(guests::Handler { begin: "unreachable", ..guests::HANDLER });
    let deployment = world.deploy(&source(&volume("guestbook", 3), guestbook), &[("site", failing)]);
    assert!(matches!(world.over(&deployment), Outcome::RolledBack { .. }));
    assert_eq!(listed(&world), [kept("guestbook", 3)]);
    let deployment = world.deploy(&first, &[("site", guests::keeping(b'2'))]);
    assert_eq!(world.over(&deployment), Outcome::Done);
    assert_eq!(world.ask().1, b"2");
}
