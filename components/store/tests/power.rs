//! Disks that lose power, fill up, fail, and rot.

mod common;

use common::{Random, Store, TestDisk, Told, attach, count, hear, send};
use pearwood_store::{Engine, Shares};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use wit::List;
use wit::keyvalue::{Command, Error, Pair};

type Model = BTreeMap<String, Vec<u8>>;

fn content(store: &mut Store) -> Model {
    let mut all = Model::new();
    let mut after = String::new();
    loop {
        let told = store.ask(0, |ticket| Command::ListKeys { ticket, prefix: "", after: &after, most: 1_000 });
        let Told::Keys(keys, more) = told else { panic!("{told:?}") };
        for key in keys {
            let value = store.get(&key).expect("it can be read").expect("it is there");
            after.clone_from(&key);
            all.insert(key, value);
        }
        if !more {
            return all;
        }
    }
}

fn value(random: &mut Random) -> Vec<u8> {
    let length = match random.below(8) {
        0 => random.below(60_000),
        1 => random.below(6_000),
        _ => random.below(100),
    };
    random.bytes(length)
}

/// Writes until the power is gone. What was acknowledged, and what was not and may be there all the same: all of a request or nothing.
fn write(store: &mut Store, acknowledged: &mut Model, random: &mut Random) -> Vec<Model> {
    loop {
        let mut possible = vec![acknowledged.clone()];
        let mut tickets = Vec::new();
        for _ in 0..1 + random.below(4) {
            let mut next = possible.last().unwrap().clone();
            if random.below(4) == 0 {
                let key = format!("{}", random.below(40));
                tickets.push(store.send(0, |ticket| Command::Delete { ticket, key: &key }));
                next.remove(&key);
            } else {
                let pairs: Vec<_> =
                    (0..1 + random.below(4)).map(|_| (format!("{}", random.below(40)), value(random))).collect();
                let packed: Vec<_> = pairs.iter().map(|(key, value)| Pair { key, value }).collect();
                tickets.push(store.send(0, |ticket| Command::SetMany { ticket, pairs: List::from(&packed[..]) }));
                next.extend(pairs);
            }
            possible.push(next);
        }
        let answers = store.run();
        let done = |ticket: &u32| answers.iter().any(|(_, of, told)| of == ticket && matches!(told, Told::Done(_)));
        if !tickets.iter().all(done) {
            assert!(!tickets.iter().any(done), "they share a commit");
            return possible;
        }
        *acknowledged = possible.pop().unwrap();
    }
}

/// `PEARWOOD_CUTS=1000` for more of them.
#[test]
fn nothing_that_was_acknowledged_is_lost_by_a_power_cut() {
    let mut random = Random(2);
    let mut disk = TestDisk::new(8 << 20);
    let mut possible = vec![Model::new()];
    for cut in 0..count("PEARWOOD_CUTS", 30) {
        let mut store = Store::of_one(&disk).unwrap_or_else(|why| panic!("cut {cut}: {why}"));
        let found = content(&mut store);
        assert!(
            possible.contains(&found),
            "cut {cut}: {:?} is none of {:?}",
            found.keys().collect::<Vec<_>>(),
            possible.iter().map(|model| model.keys().collect::<Vec<_>>()).collect::<Vec<_>>()
        );
        let mut acknowledged = found;
        disk.disc.lock().unwrap().power = Some(random.below(120) as u64);
        possible = write(&mut store, &mut acknowledged, &mut random);
        // what the box would do with the disk after that does not reach it
        let after = disk.cut(&mut random);
        drop(store);
        disk = after;
    }
}

#[test]
fn a_store_that_was_not_made_to_the_end_is_made_anew() {
    let mut random = Random(3);
    for power in 0..60 {
        let disk = TestDisk::new(8 << 20);
        disk.disc.lock().unwrap().power = Some(power);
        let made = Store::of_one(&disk).is_ok();
        let disk = disk.cut(&mut random);
        let mut store = Store::of_one(&disk).unwrap_or_else(|why| panic!("after {power} writes: {why}"));
        assert!(matches!(store.set("a", b"b"), Told::Done(_)));
        assert_eq!(content(&mut store).len(), 1);
        if made {
            return;
        }
    }
    panic!("it is never made");
}

#[test]
fn what_is_no_store_is_left_as_it_is() {
    let disk = TestDisk::new(8 << 20);
    disk.disc.lock().unwrap().sectors = 100;
    assert!(Store::open(&disk).err().unwrap().contains("a store needs"));
    let disk = TestDisk::new(8 << 20);
    pearwood_store::Disk::write(&*disk, 3, vec![1; 512]).unwrap();
    pearwood_store::Disk::flush(&*disk).unwrap();
    let why = Store::open(&disk).err().unwrap();
    assert!(why.contains("something that is no store"), "{why}");
    assert_eq!(disk.disc.lock().unwrap().flushes, 1);
}

/// A flipped bit is an error, or of no consequence; no other value is shown, and nothing panics.
#[test]
fn what_the_disk_has_damaged_is_an_error_and_never_another_value() {
    let mut random = Random(4);
    let disk = TestDisk::new(16 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    let mut model = Model::new();
    for n in 0..120 {
        let (key, value) = (format!("{n}"), value(&mut random));
        assert!(matches!(store.set(&key, &value), Told::Done(_)));
        model.insert(key, value);
    }
    drop(store);
    let (mut closed, mut damaged) = (0, 0);
    for _ in 0..count("PEARWOOD_FLIPS", 25) {
        let disk = disk.copy();
        let sector = disk.flip(&mut random);
        let opened = catch_unwind(AssertUnwindSafe(|| Store::of_one(&disk)));
        let Ok(mut store) = opened.unwrap_or_else(|_| panic!("sector {sector}: opening")) else {
            closed += 1;
            continue;
        };
        for (key, value) in &model {
            let got = catch_unwind(AssertUnwindSafe(|| store.get(key)));
            match got.unwrap_or_else(|_| panic!("sector {sector}: reading {key}")) {
                Ok(got) => assert!(got.as_ref() == Some(value), "sector {sector}: {key}"),
                Err(error) => {
                    assert!(matches!(error, Error::Damaged | Error::Io), "sector {sector}: {error:?}");
                    damaged += 1;
                }
            }
        }
        // the rest goes on
        let set = catch_unwind(AssertUnwindSafe(|| store.set("new", b"value")));
        match set.unwrap_or_else(|_| panic!("sector {sector}: writing")) {
            Told::Done(_) => assert_eq!(store.get("new"), Ok(Some(b"value".to_vec()))),
            told => assert!(matches!(told.error(), Error::Damaged | Error::Io), "sector {sector}: {told:?}"),
        }
    }
    assert!(damaged > 0 && closed < 15, "{damaged} reads, {closed} stores");
}

/// Some values are damaged, and a client goes on reading them while others write.
#[test]
fn damage_is_the_matter_of_who_reads_it() {
    let disk = TestDisk::new(32 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    for n in 1..30 {
        assert!(matches!(store.set(&format!("{n}"), &vec![n; 40_000]), Told::Done(_)));
    }
    drop(store);
    (1..20).for_each(|n| assert!(disk.damage(n) > 50, "{n}"));
    let mut store = Store::of_one(&disk).unwrap();
    store.attach(1, attach("b"));
    let watch = store.send(0, |ticket| Command::WatchKeys { ticket, prefix: "new" });
    store.run();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (front, told) = (store.front.clone(), heard.clone());
    let mut turn = 0;
    *disk.meanwhile.lock().unwrap() = Some(Box::new(move || {
        turn += 1;
        send(&front, 1, Command::Get { ticket: turn, key: &format!("{}", turn % 19 + 1) });
        hear(&front, &mut told.lock().unwrap());
    }));
    let mut versions = Vec::new();
    for round in 0..40 {
        let key = format!("new/{round}");
        let set = store.send(0, |ticket| Command::Set { ticket, key: &key, value: b"v" });
        let mut answers = store.run();
        let mut heard = std::mem::take(&mut *heard.lock().unwrap());
        heard.append(&mut answers);
        let of = |ticket| heard.iter().filter(move |(to, of, _)| (*to, *of) == (0, ticket));
        let Some((.., Told::Done(version))) = of(set).next() else { panic!("round {round}: {heard:?}") };
        let changed = Told::Changed(key, *version);
        assert!(of(watch).any(|(.., told)| *told == changed), "round {round}: {heard:?}");
        versions.push(*version);
        for (.., told) in heard.iter().filter(|(to, ..)| *to == 1) {
            assert_eq!(told.error(), Error::Damaged);
        }
    }
    assert!(versions.is_sorted_by(|before, after| before < after), "{versions:?}");
    *disk.meanwhile.lock().unwrap() = None;
    assert!((1..=40).contains(&store.log.len()), "{:#?}", store.log);
    // what is remembered is not read again
    let lines = store.log.len();
    let flushes = disk.disc.lock().unwrap().flushes;
    for n in 1..20 {
        assert_eq!(store.get(&format!("{n}")), Err(Error::Damaged));
    }
    assert_eq!((store.log.len(), disk.disc.lock().unwrap().flushes), (lines, flushes));
    for n in 20..30 {
        assert_eq!(store.get(&format!("{n}")), Ok(Some(vec![n; 40_000])));
    }
    // a write that finds damage does not fail those that it shares a commit with
    let damaged = store.send(0, |ticket| Command::Set { ticket, key: "3", value: b"new" });
    let others = [(); 5].map(|()| store.send(0, |ticket| Command::Set { ticket, key: "other", value: b"v" }));
    for (_, of, told) in store.run() {
        match told {
            Told::Done(_) => assert!(others.contains(&of)),
            told => assert_eq!((of, told.error()), (damaged, Error::Damaged)),
        }
    }
}

#[test]
fn a_box_with_little_memory_says_which_it_needs() {
    let disk = TestDisk::new(32 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    assert!(matches!(store.set("k", &[1; 100_000]), Told::Done(_)));
    drop(store);
    let few = |pages| Shares { pages, ..Shares::of(16 << 20).unwrap() };
    let why = Engine::open(&disk, few(8)).unwrap_err();
    assert!(why.contains("`memory`"), "{why}");
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let mut random = Random(5);
    let disk = TestDisk::new(3 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    let mut model = Model::new();
    for round in 0..6 {
        let mut refused = 0;
        let mut next = 0;
        while refused < 3 {
            let (key, value) = (format!("{round}/{next}"), value(&mut random));
            next += 1;
            match store.set(&key, &value) {
                Told::Done(_) => drop(model.insert(key, value)),
                told => {
                    assert_eq!(told.error(), Error::Full, "{told:?}");
                    refused += 1;
                }
            }
            assert!(next < 100_000, "it never fills");
        }
        let bytes: usize = model.values().map(Vec::len).sum();
        assert!(bytes > 400 << 10, "round {round}: full at {bytes} bytes");
        assert_eq!(content(&mut store), model, "round {round}");
        if round % 3 == 2 {
            drop(store);
            store = Store::of_one(&disk).unwrap();
        }
        // in a group with what has no room, deleting goes on
        let big = random.bytes(100_000);
        let set = store.send(0, |ticket| Command::Set { ticket, key: "big", value: &big });
        let keys: Vec<String> = model.keys().filter(|_| random.below(3) > 0).cloned().collect();
        let delete: Vec<u32> = keys.iter().map(|key| store.send(0, |ticket| Command::Delete { ticket, key })).collect();
        let answers = store.run();
        for (_, ticket, told) in answers {
            if ticket == set {
                if matches!(told, Told::Done(_)) {
                    model.insert("big".into(), big.clone());
                }
            } else {
                assert!(delete.contains(&ticket));
                assert_eq!(told, Told::Done(0), "round {round}");
            }
        }
        keys.iter().for_each(|key| drop(model.remove(key)));
        assert_eq!(content(&mut store), model, "round {round}");
        assert!(matches!(store.set("small", b"fits"), Told::Done(_)), "round {round}");
        model.insert("small".into(), b"fits".to_vec());
    }
}

#[test]
fn after_a_disk_has_failed_all_that_was_acknowledged_is_there() {
    let disk = TestDisk::new(8 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    store.set("a", b"before");
    let fails = |disk: &Arc<TestDisk>, reads: bool, writes: bool| {
        let mut disc = disk.disc.lock().unwrap();
        (disc.fail_reads, disc.fail_writes) = (reads, writes);
    };
    for _ in 0..3 {
        fails(&disk, false, true);
        assert_eq!(store.set("b", b"lost").error(), Error::Io);
        assert_eq!(store.set("b", b"lost").error(), Error::Io);
        assert!(store.log.iter().any(|line| line.contains("the disk has failed to do it")), "{:?}", store.log);
        fails(&disk, false, false);
        assert_eq!(store.get("a"), Ok(Some(b"before".to_vec())));
        fails(&disk, true, false);
        assert!(store.set("c", &[1; 50_000]).error() == Error::Io || store.get("a").is_ok());
        fails(&disk, false, false);
        assert!(matches!(store.set("d", b"after"), Told::Done(_)));
        assert_eq!(store.get("d"), Ok(Some(b"after".to_vec())));
    }
}
