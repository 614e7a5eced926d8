//! Clients ask for what their arrows do not grant, and for more than there is.

mod common;

use common::{Store, TestDisk, Told, attach};
use pearwood_store::Shares;
use wit::keyvalue::{Access, Attach, Command, Error, MAX_VALUE, Pair};
use wit::{Batch, List, Peer};

fn store() -> Store {
    Store::open(&TestDisk::new(32 << 20)).unwrap()
}

fn set(store: &mut Store, peer: u32, key: &str, value: &[u8]) -> Told {
    store.ask(peer, |ticket| Command::Set { ticket, key, value })
}

fn get(store: &mut Store, peer: u32, key: &str) -> Option<Vec<u8>> {
    match store.ask(peer, |ticket| Command::Get { ticket, key }) {
        Told::Value(value, _) => value,
        told => panic!("{told:?}"),
    }
}

fn keys(store: &mut Store, peer: u32, prefix: &str, after: &str) -> Vec<String> {
    match store.ask(peer, |ticket| Command::ListKeys { ticket, prefix, after, most: 100 }) {
        Told::Keys(keys, false) => keys,
        told => panic!("{told:?}"),
    }
}

/// All requests with which something can be found out, and all with which something is changed.
fn refused(store: &mut Store, peer: u32, key: &str, reads: bool, writes: bool) {
    let mut denied = |what: &str, command: &dyn Fn(u32) -> Command<'static>| {
        let told = store.ask(peer, command);
        assert!(matches!(told, Told::Failed(Error::Denied, _)), "{what}: {told:?}");
    };
    let key: &'static str = String::from(key).leak();
    let one: &'static [&str] = vec![key].leak();
    let pairs: &'static [Pair<'_>] = vec![Pair { key, value: b"v" }].leak();
    if reads {
        denied("get", &|ticket| Command::Get { ticket, key });
        denied("exists", &|ticket| Command::Exists { ticket, key });
        denied("get-many", &|ticket| Command::GetMany { ticket, keys: List::from(one) });
        denied("list-keys", &|ticket| Command::ListKeys { ticket, prefix: key, after: "", most: 9 });
        denied("watch-keys", &|ticket| Command::WatchKeys { ticket, prefix: key });
    }
    if writes {
        denied("set", &|ticket| Command::Set { ticket, key, value: b"v" });
        denied("delete", &|ticket| Command::Delete { ticket, key });
        denied("set-many", &|ticket| Command::SetMany { ticket, pairs: List::from(pairs) });
        denied("delete-many", &|ticket| Command::DeleteMany { ticket, keys: List::from(one) });
    }
    denied("increment", &|ticket| Command::Increment { ticket, key, delta: 1 });
    denied("swap", &|ticket| Command::Swap { ticket, key, version: 0, value: Some(b"v") });
}

#[test]
fn a_bucket_is_another() {
    let mut store = store();
    store.attach(0, attach("a"));
    store.attach(1, attach("a1"));
    store.attach(2, attach("b"));
    set(&mut store, 0, "key", b"of a");
    set(&mut store, 2, "other", b"of b");
    assert_eq!(get(&mut store, 1, "key"), None);
    for peer in [1, 2] {
        // what would be a key of the other on the disk
        for key in ["1\0key", "\0key", "a\0key", "../a\0key"] {
            assert_eq!(get(&mut store, peer, key), None);
            assert!(!keys(&mut store, peer, "", key).contains(&"key".into()));
        }
    }
    assert_eq!(keys(&mut store, 0, "", ""), ["key"]);
    assert_eq!(keys(&mut store, 1, "", ""), [""; 0]);
    assert_eq!(keys(&mut store, 2, "", ""), ["other"]);
    store.ask(2, |ticket| Command::Delete { ticket, key: "key" });
    assert_eq!(get(&mut store, 0, "key"), Some(b"of a".to_vec()));
}

#[test]
fn a_prefix_is_all_that_there_is() {
    let mut store = store();
    store.attach(0, attach("a"));
    store.attach(1, Attach { prefix: "mine/", ..attach("a") });
    for key in ["a", "mine", "mine/1", "mine/2", "mine0", "z"] {
        set(&mut store, 0, key, b"v");
    }
    for key in ["a", "mine", "mine0", "MINE/1", "z", "/mine/1"] {
        refused(&mut store, 1, if key == "mine" { "mind" } else { key }, true, true);
    }
    assert_eq!(store.ask(1, |ticket| Command::Get { ticket, key: "mine" }).error(), Error::Denied);
    assert_eq!(get(&mut store, 1, "mine/1"), Some(b"v".to_vec()));
    let own = ["mine/1", "mine/2"];
    for (prefix, after) in [("", ""), ("mine", ""), ("mine/", ""), ("", "a"), ("m", "mine")] {
        assert_eq!(keys(&mut store, 1, prefix, after), own, "{prefix} after {after}");
    }
    assert_eq!(keys(&mut store, 1, "", "mine/1"), ["mine/2"]);
    assert_eq!(keys(&mut store, 1, "", "z"), [""; 0]);
    // who watches all hears of its own alone
    store.ask(1, |ticket| Command::WatchKeys { ticket, prefix: "" });
    store.send(0, |ticket| Command::Set { ticket, key: "z", value: b"w" });
    assert_eq!(store.run().len(), 1);
    store.send(0, |ticket| Command::Set { ticket, key: "mine/3", value: b"w" });
    assert_eq!(store.run().len(), 2);
}

#[test]
fn who_may_read_does_not_write_and_who_may_write_does_not_read() {
    let mut store = store();
    store.attach(0, attach("a"));
    store.attach(1, Attach { access: Access::Read, ..attach("a") });
    store.attach(2, Attach { access: Access::Write, ..attach("a") });
    set(&mut store, 0, "key", b"v");
    refused(&mut store, 1, "key", false, true);
    refused(&mut store, 2, "key", true, false);
    assert_eq!(get(&mut store, 1, "key"), Some(b"v".to_vec()));
    assert!(matches!(set(&mut store, 2, "key", b"w"), Told::Done(_)));
    assert_eq!(get(&mut store, 0, "key"), Some(b"w".to_vec()));
}

#[test]
fn who_has_no_grant_gets_nothing() {
    let mut store = store();
    let mut batch = Batch::new();
    Peer::Attach(3, b"\xff\xff").encode(&mut batch);
    Peer::Attach(4, &attach("").encode()).encode(&mut batch);
    Peer::Attach(5, &attach("a\0b").encode()).encode(&mut batch);
    store.front.lock().unwrap().receive(batch.as_bytes());
    (3..6).for_each(|peer| refused(&mut store, peer, "key", true, true));
}

#[test]
fn a_quota_holds_under_sixteen_writers() {
    // what an entry counts: 64, the bucket, the key, and the value, in whole pages if it is long
    const ENTRY: u64 = 64 + 1 + 5 + 930;
    const QUOTA: u64 = 100_500;
    let mut store = store();
    (0..16).for_each(|peer| store.attach(peer, Attach { quota: Some(QUOTA), ..attach("a") }));
    store.attach(16, attach("other"));
    let (mut bytes, mut refused) = (0, 0);
    for round in 0..10 {
        for peer in 0..16 {
            let key = format!("{peer:02}/{round:02}");
            store.send(peer, |ticket| Command::Set { ticket, key: &key, value: &[1; 930] });
        }
        for (_, _, told) in store.run() {
            match told {
                Told::Done(_) => bytes += ENTRY,
                told => {
                    assert_eq!(told.error(), Error::Quota, "{told:?}");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((bytes, refused), (100 * ENTRY, 60));
    // another bucket is no matter of it; what makes room does
    assert!(matches!(set(&mut store, 16, "k", &[1; 100_000]), Told::Done(_)));
    assert_eq!(set(&mut store, 0, "more", &[1; 450]).error(), Error::Quota);
    assert_eq!(set(&mut store, 0, "empty", &[]), Told::Done(102), "there is room for its key");
    assert_eq!(set(&mut store, 0, "tiny", &[1; 400]).error(), Error::Quota);
    assert_eq!(set(&mut store, 0, "00/00", &[1; 1_500]).error(), Error::Quota, "a page of its own");
    assert!(matches!(set(&mut store, 0, "00/00", &[1; 100]), Told::Done(_)), "less than it was");
    assert!(matches!(set(&mut store, 0, "more", &[1; 900]), Told::Done(_)));
    // a batch that does not fit changes nothing
    let pairs = [Pair { key: "p", value: &[1; 10] }, Pair { key: "q", value: &[1; 2_000] }];
    let told = store.ask(0, |ticket| Command::SetMany { ticket, pairs: List::from(&pairs) });
    assert_eq!(told.error(), Error::Quota);
    assert_eq!(get(&mut store, 0, "p"), None);
}

/// One of the longest values waits for its client: what it asks for meanwhile is done and answered.
#[test]
fn who_has_not_taken_an_answer_yet_gets_the_next_as_well() {
    let mut store = store();
    store.attach(0, attach("a"));
    set(&mut store, 0, "long", &[1; MAX_VALUE]);
    let mut tickets = vec![store.send(0, |ticket| Command::Get { ticket, key: "long" })];
    tickets.push(store.send(0, |ticket| Command::Set { ticket, key: "before", value: b"v" }));
    while store.front.lock().unwrap().serve() {}
    tickets.push(store.send(0, |ticket| Command::Set { ticket, key: "after", value: b"v" }));
    tickets.push(store.send(0, |ticket| Command::Get { ticket, key: "before" }));
    tickets.push(store.send(0, |ticket| Command::Get { ticket, key: "" }));
    let group = store.front.lock().unwrap().take();
    let outcome = store.engine.commit(&group);
    store.front.lock().unwrap().durable(&group, &outcome);
    let mut answered: Vec<u32> = store.run().into_iter().map(|(_, ticket, _)| ticket).collect();
    answered.sort_unstable();
    assert_eq!(answered, tickets);
}

/// More than there is room for is refused, each with an answer; what the answers take is given back when they are sent.
#[test]
fn all_that_is_asked_is_answered() {
    let mut store = store();
    store.attach(0, attach("a"));
    for _ in 0..3 {
        for n in 0..4_000 {
            store.send(0, |ticket| match n % 2 {
                0 => Command::Set { ticket, key: "k", value: &[1; 300] },
                _ => Command::Exists { ticket, key: "k" },
            });
        }
        let answers = store.run();
        assert_eq!(answers.len(), 4_000);
        let busy = answers.iter().filter(|(.., told)| matches!(told, Told::Failed(Error::Busy, _))).count();
        assert!((500..3_000).contains(&busy), "{busy}");
    }
    // one that takes nothing is passed over in the end
    for _ in 0..100_000 {
        store.send(0, |ticket| Command::Set { ticket, key: "k", value: &[1; 300] });
    }
    let mut waiting = 0;
    store.front.lock().unwrap().flush(|_, batch| {
        waiting += batch.len();
        false
    });
    assert!(waiting < 800_000, "{waiting}");
    assert!(store.front.lock().unwrap().take_told().iter().any(|line| line.contains("passed over")));
}

/// Many short keys take more memory than they have bytes.
#[test]
fn requests_of_many_keys_are_charged_what_they_take() {
    let mut store = store();
    store.attach(0, attach("a"));
    let keys = vec!["k"; 1_000];
    for _ in 0..100 {
        store.send(0, |ticket| Command::DeleteMany { ticket, keys: List::from(&keys[..]) });
    }
    let group = store.front.lock().unwrap().take();
    assert!((4..=10).contains(&group.len()), "{} writes together", group.len());
    let answers = store.run();
    let busy = answers.iter().filter(|(.., told)| matches!(told, Told::Failed(Error::Busy, _))).count();
    assert!(busy > 60, "{busy} of 100 refused");
}

/// There is memory for some clients, whoever asks first. At a swap of clients the new ones come before the old ones leave.
#[test]
fn more_clients_than_there_is_memory_for_wait_until_others_leave() {
    let memory = 8 << 20;
    let room = Shares::of(memory).unwrap().clients() as u32;
    let mut store = Store::with(&TestDisk::new(32 << 20), memory).unwrap();
    (0..=room).for_each(|peer| store.attach(peer, attach("a")));
    let get = |ticket| Command::Get { ticket, key: "k" };
    (0..room).for_each(|peer| assert_eq!(store.ask(peer, get), Told::Value(None, 0)));
    let told = store.ask(room, get);
    assert!(matches!(&told, Told::Failed(Error::Busy, why) if why.contains("memory")), "{told:?}");
    // all are swapped
    for peer in 0..room {
        store.attach(room + 1 + peer, attach("a"));
        let mut batch = Batch::new();
        Peer::Retire(peer).encode(&mut batch);
        store.front.lock().unwrap().receive(batch.as_bytes());
        assert_eq!(store.ask(room + 1 + peer, get), Told::Value(None, 0));
    }
    let mut batch = Batch::new();
    Peer::Detach(room + 1, b"").encode(&mut batch);
    store.front.lock().unwrap().receive(batch.as_bytes());
    assert_eq!(store.ask(room, get), Told::Value(None, 0), "it was not refused for ever");
}

#[test]
fn one_client_cannot_take_the_memory_of_the_others() {
    let mut store = store();
    (0..3).for_each(|peer| store.attach(peer, attach("a")));
    let value = vec![1; 100_000];
    for n in 0..200 {
        let key = format!("{n}");
        store.send(0, |ticket| Command::Set { ticket, key: &key, value: &value });
    }
    let last = store.send(1, |ticket| Command::Set { ticket, key: "own", value: &value });
    let answers = store.run();
    let busy = answers.iter().filter(|(.., told)| matches!(told, Told::Failed(Error::Busy, _))).count();
    assert!((1..200).contains(&busy), "{busy}");
    assert!(answers.iter().any(|(peer, ticket, told)| (*peer, *ticket) == (1, last) && matches!(told, Told::Done(_))));
    // values that nobody takes are not read
    for _ in 0..1_000 {
        store.send(0, |ticket| Command::Get { ticket, key: "own" });
    }
    let mut front = store.front.lock().unwrap();
    while front.serve() {}
    let mut waiting = 0;
    front.flush(|_, batch| {
        waiting += batch.len();
        false
    });
    assert!(waiting < 300_000, "{waiting}");
}

#[test]
fn an_answer_is_for_who_has_asked() {
    let mut store = store();
    store.attach(0, attach("a"));
    store.send(0, |ticket| Command::Set { ticket, key: "k", value: b"v" });
    let group = store.front.lock().unwrap().take();
    let outcome = store.engine.commit(&group);
    // another has its number now
    store.attach(0, attach("b"));
    store.front.lock().unwrap().durable(&group, &outcome);
    assert_eq!(store.run(), []);
}

/// A client that goes, as at a swap, is let go when all that it has asked for is answered.
#[test]
fn nobody_is_let_go_before_the_last_answer() {
    let mut store = store();
    store.attach(0, attach("a"));
    store.send(0, |ticket| Command::Set { ticket, key: "k", value: b"v" });
    let mut batch = Batch::new();
    Peer::Retire(0).encode(&mut batch);
    store.front.lock().unwrap().receive(batch.as_bytes());
    let mut sent = Vec::new();
    let mut flush = |store: &Store| {
        store.front.lock().unwrap().flush(|_, batch| {
            sent.push(batch.to_vec());
            true
        });
        sent.len()
    };
    assert_eq!(flush(&store), 0);
    let group = store.front.lock().unwrap().take();
    assert_eq!(flush(&store), 0, "it becomes durable");
    let outcome = store.engine.commit(&group);
    store.front.lock().unwrap().durable(&group, &outcome);
    flush(&store);
    flush(&store);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1], Peer::release(0).into_bytes(), "alone, and last");
}
