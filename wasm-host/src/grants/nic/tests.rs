//! Who gets what arrives at a card.

use super::Tap;
use crate::{
    arrows::channel::{Ready, Signal},
    platform::Nic,
};
use alloc::{
    sync::Arc,
    vec::{self, Vec},
};
use core::task::Waker;
use spin::Mutex;
use wit::{Batch, Records};

#[derive(Default)]
struct Card {
    arrived: Mutex<Vec<u8>>,
    waker: Mutex<Option<Waker>>,
}

impl Nic for Card {
    fn address(&self) -> [u8; 6] {
        [2, 0, 0, 0, 0, 1]
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn ready(&self) -> bool {
        !self.arrived.lock().is_empty()
    }

    fn set_waker(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    fn receive(&self, batch: &mut Batch, _limit: usize) {
        for frame in self.arrived.lock().drain(..) {
            batch.push(wit::nic::FRAME, 0, &[frame]);
        }
    }

    fn transmit(&self, _frames: Records<'_>) {}
}

impl Card {
    fn arrives(&self, frame: u8) {
        self.arrived.lock().push(frame);
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}

struct Holder {
    tap: Arc<Tap>,
    signal: Arc<Signal>,
}

/// What a box gets: frames, and `Err` of what it is told.
type Got = Vec<Result<u8, bool>>;

impl Holder {
    fn new(card: &Arc<Card>, others: &[&Holder]) -> Self {
        let signal = Arc::<Signal>::default();
        let tap = Tap::new(card.clone(), &signal, others.iter().map(|other| &other.tap));
        Holder { tap, signal }
    }

    /// What it receives if it has been woken.
    fn wakes(&self) -> Got {
        if self.signal.take() & Ready::Nic as u32 == 0 { Vec::new() } else { self.receives() }
    }

    fn receives(&self) -> Got {
        let mut batch = Batch::new();
        self.tap.receive(&mut batch, 1 << 17);
        let got = batch.records().flatten().map(|record| match record.kind {
            wit::nic::FRAME => Ok(record.bytes[0]),
            _ => Err(record.id == 1),
        });
        got.collect()
    }
}

const NOTHING: Got = vec::Vec::new();

#[test]
fn one_has_it_until_another_takes_it() {
    let card = Arc::<Card>::default();
    let old = Holder::new(&card, &[]);
    assert_eq!(old.receives(), NOTHING, "not before it is open");
    old.tap.open();
    card.arrives(1);
    assert_eq!(old.wakes(), [Ok(1)]);
    let new = Holder::new(&card, &[&old]);
    card.arrives(2);
    assert_eq!((new.wakes(), new.receives()), (NOTHING, NOTHING));
    new.tap.open();
    new.tap.open();
    card.arrives(3);
    assert_eq!(old.receives(), NOTHING, "it does not know how to share");
    assert_eq!(new.wakes(), [Ok(2), Ok(3)]);
    old.tap.leave();
    card.arrives(4);
    assert_eq!(new.wakes(), [Ok(4)]);
}

#[test]
fn while_it_is_shared_all_get_everything_in_order() {
    let card = Arc::<Card>::default();
    let old = Holder::new(&card, &[]);
    old.tap.open();
    let new = Holder::new(&card, &[&old]);
    card.arrives(1);
    old.tap.share();
    new.tap.open();
    card.arrives(2);
    assert_eq!(new.wakes(), [Err(true), Ok(1), Ok(2)]);
    card.arrives(3);
    assert_eq!(old.wakes(), [Err(true), Ok(1), Ok(2), Ok(3)]);
    assert_eq!(old.wakes(), NOTHING);
    assert_eq!(new.wakes(), [Ok(3)]);
    // one more, as when the deployment is taken back
    let third = Holder::new(&card, &[&new]);
    new.tap.share();
    third.tap.open();
    card.arrives(4);
    drop(new);
    card.arrives(5);
    assert_eq!(old.wakes(), [Ok(4), Ok(5)]);
    assert_eq!(third.wakes(), [Err(true), Ok(4), Ok(5)]);
    card.arrives(6);
    old.tap.leave();
    assert_eq!(third.wakes(), [Err(false), Ok(6)]);
    card.arrives(7);
    assert_eq!((third.wakes(), old.receives()), (vec::Vec::from([Ok(7)]), NOTHING));
}

/// A crash of the new instance while the old one still has connections.
#[test]
fn an_instance_that_begins_anew_is_told_again() {
    let card = Arc::<Card>::default();
    let old = Holder::new(&card, &[]);
    old.tap.open();
    old.tap.share();
    let new = Holder::new(&card, &[&old]);
    new.tap.open();
    card.arrives(1);
    assert_eq!(old.wakes(), [Err(true), Ok(1)]);
    new.tap.renew();
    assert_eq!(new.wakes(), [Err(true)], "and what its predecessor had not taken is gone");
    old.tap.leave();
    new.tap.renew();
    card.arrives(2);
    assert_eq!(new.wakes(), [Ok(2)]);
}

#[test]
fn what_waits_for_a_box_that_does_not_look_is_bounded() {
    let card = Arc::<Card>::default();
    let old = Holder::new(&card, &[]);
    old.tap.open();
    old.tap.share();
    let new = Holder::new(&card, &[&old]);
    new.tap.open();
    for round in 0..100_000u32 {
        card.arrives(round as u8);
        new.receives();
    }
    let got = old.receives();
    assert!((20_000..40_000).contains(&got.len()), "{}", got.len());
    card.arrives(7);
    assert_eq!(old.receives(), [Ok(7)]);
}
