//! Who gets what arrives at a card.

use super::Tap;
use crate::{
    arrows::channel::{Ready, Refused, Service, Signal},
    platform::Nic,
};
use alloc::{
    sync::Arc,
    vec::{self, Vec},
};
use core::task::Waker;
use spin::Mutex;
use wit::{
    Batch, Records,
    nic::{Attach, Command, Event, MAX_FRAME},
};

#[derive(Default)]
struct Card {
    arrived: Mutex<Vec<u8>>,
    waker: Mutex<Option<Waker>>,
    sent: Mutex<Vec<Vec<u8>>>,
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
            Event::Frame { frame: &[frame] }.encode(batch);
        }
    }

    fn transmit(&self, frames: Records<'_>) {
        let frames = frames.flatten().filter(|record| record.kind == Command::FRAME);
        self.sent.lock().extend(frames.map(|frame| frame.bytes.to_vec()));
    }
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

/// The flag of the port of all holders: not that of port 0, which everything has that was forgotten.
const READY: Ready = Ready::port(5);

/// What a box gets: frames, and `Err` of what it is told.
type Got = Vec<Result<u8, bool>>;

impl Holder {
    fn new(card: &Arc<Card>, others: &[&Holder]) -> Self {
        let signal = Arc::<Signal>::default();
        let tap = Tap::new(card.clone(), &signal, READY, others.iter().map(|other| &other.tap));
        Holder { tap, signal }
    }

    /// What it receives if it has been woken.
    fn wakes(&self) -> Got {
        if self.signal.take().contains(READY) { self.receives() } else { Vec::new() }
    }

    fn receives(&self) -> Got {
        let mut batch = Batch::new();
        self.tap.receive(&mut batch, 1 << 17);
        let got = batch.records().flatten().map(|record| match Event::decode(&record) {
            Ok(Event::Frame { frame }) => Ok(frame[0]),
            Ok(Event::Shared { others }) => Err(others == 1),
            other => panic!("{other:?}"),
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

#[test]
fn a_card_is_a_service_at_the_other_end_of_an_arrow() {
    let card = Arc::<Card>::default();
    let holder = Holder::new(&card, &[]);
    let attach = holder.tap.attach();
    assert_eq!(Attach::decode(&attach), Ok(Attach { address: 0x0200_0000_0001, mtu: 1500 }));
    let mut frames = Batch::new();
    [&[1; MAX_FRAME][..], &[2; 60]].iter().for_each(|frame| Command::Frame { frame }.encode(&mut frames));
    assert_eq!(holder.tap.send(frames.as_bytes()), Ok(true));
    assert_eq!(*card.sent.lock(), [Vec::from([1; MAX_FRAME]), Vec::from([2; 60])]);
    // nothing of a batch is sent of which one record is wrong
    let with = |kind, bytes: &[u8]| {
        let mut batch = frames.clone();
        batch.push(kind, 0, bytes);
        batch
    };
    assert!(holder.tap.send(with(Command::FRAME, &[3; MAX_FRAME + 1]).as_bytes()).is_err());
    assert_eq!(holder.tap.send(with(240, b"").as_bytes()), Err(Refused::Reserved { kind: 240 }));
    assert_eq!(holder.tap.send(&frames.as_bytes()[1..]), Err(Refused::Malformed));
    assert_eq!(card.sent.lock().len(), 2);
    // a kind to come is passed over
    assert_eq!(holder.tap.send(with(99, b"").as_bytes()), Ok(true));
    assert_eq!(card.sent.lock().len(), 4);
}
