//! After any number of swaps the node holds what it held before.

use super::{
    SITE, World,
    guests::{HANDLER, Handler},
    options,
};
use crate::{
    allocations::held,
    boxes::BoxHandle,
    deploy::{Options, Outcome},
};
use alloc::{sync::Weak, vec::Vec};

/// Bytes. One image is some 100 KiB here.
const LITTLE: isize = 4 << 10;

/// Two versions in turns, with traffic.
fn swap(world: &mut World, round: u8) {
    let site = Handler { version: b'a' + round % 2, ..HANDLER }.component();
    let deployment = world.deploy_with(SITE, &[("site", site)], Options { trial: 0, ..options() });
    let request = world.client.begin();
    world.client.end(request);
    assert_eq!(world.over(&deployment), Outcome::Done);
    world.until(|world| world.client.open() == 0);
    world.client.answers.clear();
    world.running.platform.forget_console();
    assert!(world.client.failures.is_empty());
}

#[test]
fn fifty_swaps_leave_nothing_behind() {
    let mut world = World::new(SITE, &[("site", HANDLER.component())]);
    // the history has as many entries as it ever has, and all that is kept has grown
    (0..40).for_each(|round| swap(&mut world, round));
    // What the runtime shares between threads grows and shrinks with what other tests do meanwhile; what is left behind stays each time.
    let grown: Vec<_> = (0..3).map(|_| fifty_more(&mut world)).take_while(|grown| *grown >= LITTLE).collect();
    assert!(grown.len() < 3, "{grown:?} bytes more");
}

/// Bytes that fifty swaps leave.
fn fifty_more(world: &mut World) -> isize {
    let before = held();
    let mut old: Vec<Weak<BoxHandle>> = Vec::new();
    for round in 0..50 {
        old.push(alloc::sync::Arc::downgrade(&world.running.node.find("site").unwrap()));
        swap(world, round);
    }
    let there = old.iter().filter(|handle| handle.strong_count() > 0).count();
    drop(old);
    assert_eq!(there, 0, "boxes that are still held");
    held() - before
}
