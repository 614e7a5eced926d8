//! What the node holds for a box that asks a store is the box's, and is given back.

use super::*;
use crate::{
    arrows::channel::{Arrow, End, Setup, Signal},
    system::known,
};
use alloc::vec;
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use wit::{Batch, Peer, Records, keyvalue::Access};

const MEMORY: u64 = 1 << 20;

type Services = Vec<(Arc<Port>, Arc<Arrow>)>;

/// The port that the node holds, joined with so many others, each for a bucket.
fn ports(buckets: &[&str]) -> (Arc<Port>, Services) {
    let port = |end| {
        Port::new(Setup {
            protocol: known::spoken(known::KEYVALUE),
            end,
            number: 0,
            owner: &"box".into(),
            signal: &Arc::<Signal>::default(),
            limit: 256 << 10,
            services: Vec::new(),
        })
    };
    let client = port(End::Client);
    let services = buckets.iter().map(|bucket| {
        let service = port(End::Service);
        let attach = Attach { bucket, access: Access::ReadWrite, prefix: "", quota: None }.encode();
        let arrow = Arrow::join(&client, &service, attach, None, None);
        service.attach();
        (service, arrow)
    });
    let services = services.collect();
    client.attach();
    (client, services)
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

/// The name that a box says means no bucket but its own, and none means the only one, there or not.
#[test]
fn a_name_means_the_bucket_of_an_arrow() {
    let (client, _services) = ports(&["b"]);
    let found = |known: &[&str], name: &str| {
        let buckets = Buckets::new(&client, &names(known), &Budget::new(MEMORY));
        buckets.receive();
        buckets.find(name).map(|name| name.to_string())
    };
    assert_eq!(["a", "", "default"].map(|name| found(&["a"], name)), ["a", "a", "a"].map(|it| Ok(it.into())));
    // one that is away is not the other
    assert_eq!(found(&["a", "b"], ""), Err(Fault::NoBucket));
    assert_eq!(found(&["a", "default"], "default"), Ok("default".into()));
    assert_eq!(found(&["a"], "b"), Err(Fault::NoBucket));
}

/// The tickets of the requests that have come.
fn heard(service: &Port) -> Vec<u32> {
    let mut received = service.receive();
    let records: Vec<_> = Records::new(received.buffer()).flatten().collect();
    records.iter().filter(|record| record.kind < Peer::FIRST_KIND).map(|record| record.id).collect()
}

fn say(service: &Port, event: Event<'_>) {
    let mut batch = Batch::new();
    event.encode(&mut batch);
    assert!(service.send(0, batch.as_bytes()).unwrap());
}

fn get(ticket: u32) -> Command<'static> {
    Command::Get { ticket, key: "key" }
}

#[test]
fn answers_come_to_who_has_asked_and_all_is_given_back() {
    let (client, services) = ports(&["a", "b"]);
    let budget = Budget::new(MEMORY);
    let buckets = Buckets::new(&client, &names(&["a", "b"]), &budget);
    {
        let early = pin!(buckets.ask("a", 3, get));
        let Poll::Ready(Reply::Failed(Fault::Other(why))) = early.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nobody is there yet")
        };
        assert!(why.contains("does not run"), "{why}");
    }
    buckets.receive();
    assert_eq!(["a", "b"].map(|name| buckets.find(name).unwrap().to_string()), ["a", "b"]);
    // which of the two is not said
    ["c", "", "default"].iter().for_each(|name| assert_eq!(buckets.find(name), Err(Fault::NoBucket)));
    {
        let (mut first, mut second) = (pin!(buckets.ask("b", 3, get)), pin!(buckets.ask("b", 3, get)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        buckets.flush().unwrap();
        assert!(heard(&services[0].0).is_empty());
        let tickets = heard(&services[1].0);
        let service = &services[1].0;
        say(service, Event::Value { ticket: tickets[1], version: 7, value: Some(b"second") });
        // to nobody, and then to somebody again
        say(service, Event::Done { ticket: 99, version: 0 });
        say(service, Event::Done { ticket: tickets[1], version: 0 });
        say(service, Event::Failed { ticket: tickets[0], error: Error::Denied, why: "no" });
        buckets.receive();
        let Poll::Ready(Reply::Value(7, Some((value, _)))) = second.as_mut().poll(&mut cx) else { panic!("no value") };
        assert_eq!(value, b"second");
        assert!(matches!(first.as_mut().poll(&mut cx), Poll::Ready(Reply::Failed(Fault::Denied))));
    }
    drop(buckets);
    assert_eq!(budget.used(), 0);
}

#[test]
fn requests_and_values_beyond_its_memory_are_refused() {
    let (client, services) = ports(&["a"]);
    let budget = Budget::new(MEMORY);
    let buckets = Buckets::new(&client, &names(&["a"]), &budget);
    buckets.receive();
    let mut cx = Context::from_waker(Waker::noop());
    let value = vec![1; 100_000];
    let mut asked: Vec<_> = (0..20)
        .map(|_| {
            let set = |ticket| Command::Set { ticket, key: "key", value: &value };
            alloc::boxed::Box::pin(buckets.ask("a", 100_003, set))
        })
        .collect();
    let polled: Vec<_> = asked.iter_mut().map(|ask| ask.as_mut().poll(&mut cx)).collect();
    let refused = polled.iter().filter(|poll| matches!(poll, Poll::Ready(Reply::Failed(Fault::Other(_))))).count();
    assert_eq!(refused, 15, "twice as much for each that waits");
    drop((polled, asked));
    // what nobody waits for any more is still owed an answer, and paid for until then
    assert!(budget.used() > 5 * 200_000);
    while !buckets.state.lock().asked.is_empty() {
        buckets.flush().unwrap();
        for ticket in heard(&services[0].0) {
            say(&services[0].0, Event::Done { ticket, version: 1 });
        }
        buckets.receive();
    }
    assert_eq!(budget.used(), 0);
    let _rest = Charge::new(&budget, MEMORY as usize - 2_000).unwrap();
    let mut ask = pin!(buckets.ask("a", 3, get));
    assert!(ask.as_mut().poll(&mut cx).is_pending());
    buckets.flush().unwrap();
    let ticket = heard(&services[0].0)[0];
    say(&services[0].0, Event::Value { ticket, version: 1, value: Some(&value) });
    buckets.receive();
    assert!(matches!(ask.as_mut().poll(&mut cx), Poll::Ready(Reply::Failed(Fault::Other(_)))));
}

/// At a swap of the store: what was asked is answered by the one that leaves, and the next one is asked from then on.
#[test]
fn a_service_that_retires_owes_its_answers() {
    let (client, services) = ports(&["a"]);
    let budget = Budget::new(MEMORY);
    let buckets = Buckets::new(&client, &names(&["a"]), &budget);
    buckets.receive();
    let mut cx = Context::from_waker(Waker::noop());
    let mut before = pin!(buckets.ask("a", 3, get));
    assert!(before.as_mut().poll(&mut cx).is_pending());
    buckets.flush().unwrap();
    let (service, arrow) = &services[0];
    arrow.retire(End::Client);
    buckets.receive();
    let mut after = pin!(buckets.ask("a", 3, get));
    assert!(matches!(after.as_mut().poll(&mut cx), Poll::Ready(Reply::Failed(Fault::Other(_)))), "no other is there");
    buckets.flush().unwrap();
    let ticket = heard(service)[0];
    say(service, Event::Value { ticket, version: 0, value: None });
    buckets.receive();
    assert!(matches!(before.as_mut().poll(&mut cx), Poll::Ready(Reply::Value(0, None))));
    buckets.flush().unwrap();
    assert!(!arrow.is_joined(), "it is let go");
    // one that ends without an answer
    let (client, services) = ports(&["a"]);
    let buckets = Buckets::new(&client, &names(&["a"]), &budget);
    buckets.receive();
    let mut lost = pin!(buckets.ask("a", 3, get));
    assert!(lost.as_mut().poll(&mut cx).is_pending());
    services[0].1.unlink("for the test");
    buckets.receive();
    assert!(
        matches!(lost.as_mut().poll(&mut cx), Poll::Ready(Reply::Failed(Fault::Other(why))) if why.contains("for the test"))
    );
}
