//! What the box says, beside what a map says.

mod common;

use common::{Random, Store, TestDisk, Told, attach, count, hear, send};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wit::List;
use wit::keyvalue::{Command, Error, MAX_KEY, MAX_VALUE, Pair};

/// Values by keys, with versions that the box has told.
type Model = BTreeMap<String, Vec<u8>>;

fn key(random: &mut Random) -> String {
    let key = ["a", "ab", "b/1", "b/2", "b/22", "zz", "é", "long"][random.below(8)];
    if key == "long" { "x".repeat(MAX_KEY - random.below(3)) } else { key.into() }
}

fn value(random: &mut Random) -> Vec<u8> {
    let length = match random.below(10) {
        0 => 0,
        1 => 1_020 + random.below(10),
        2 => 4_000 + random.below(200),
        3 => random.below(20_000),
        _ => random.below(40),
    };
    if random.below(3) == 0 { random.below(100).to_string().into_bytes() } else { random.bytes(length) }
}

/// Sends a random change, and says what is to come of it.
fn change(store: &mut Store, model: &mut Model, random: &mut Random) -> (u32, Option<Told>) {
    let of = key(random);
    match random.below(6) {
        0 | 1 => {
            let value = value(random);
            let ticket = store.send(0, |ticket| Command::Set { ticket, key: &of, value: &value });
            model.insert(of.clone(), value);
            (ticket, None)
        }
        2 => {
            let ticket = store.send(0, |ticket| Command::Delete { ticket, key: &of });
            model.remove(&of);
            (ticket, Some(Told::Done(0)))
        }
        3 => {
            let delta = random.below(1_000) as i64 - 500;
            let before = match model.get(&of) {
                None => Some(0),
                Some(value) => str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok()),
            };
            let ticket = store.send(0, |ticket| Command::Increment { ticket, key: &of, delta });
            match before {
                Some(before) => {
                    model.insert(of.clone(), (before + delta).to_string().into_bytes());
                    (ticket, Some(Told::Number(before + delta)))
                }
                None => {
                    let why = "the value is no decimal number of 64 bits, or would be none";
                    (ticket, Some(Told::Failed(Error::NotANumber, why.into())))
                }
            }
        }
        4 => {
            let pairs: Vec<(String, Vec<u8>)> = (0..random.below(5)).map(|_| (key(random), value(random))).collect();
            let packed: Vec<_> = pairs.iter().map(|(key, value)| Pair { key, value }).collect();
            let ticket = store.send(0, |ticket| Command::SetMany { ticket, pairs: List::from(&packed[..]) });
            model.extend(pairs);
            (ticket, None)
        }
        _ => {
            let keys: Vec<String> = (0..random.below(5)).map(|_| key(random)).collect();
            let packed: Vec<&str> = keys.iter().map(String::as_str).collect();
            let ticket = store.send(0, |ticket| Command::DeleteMany { ticket, keys: List::from(&packed[..]) });
            keys.iter().for_each(|key| drop(model.remove(key)));
            (ticket, Some(Told::Done(0)))
        }
    }
}

/// Reads some of it, in some way.
fn look(store: &mut Store, model: &Model, random: &mut Random) {
    let of = key(random);
    match random.below(4) {
        0 => assert_eq!(store.get(&of), Ok(model.get(&of).cloned())),
        1 => {
            let told = store.ask(0, |ticket| Command::Exists { ticket, key: &of });
            assert!(matches!(told, Told::Found(version) if (version > 0) == model.contains_key(&of)), "{told:?}");
        }
        2 => {
            let keys: Vec<String> = (0..random.below(5)).map(|_| key(random)).collect();
            let packed: Vec<&str> = keys.iter().map(String::as_str).collect();
            let told = store.ask(0, |ticket| Command::GetMany { ticket, keys: List::from(&packed[..]) });
            assert_eq!(told, Told::Values(keys.iter().map(|key| model.get(key).cloned()).collect()));
        }
        _ => {
            let prefix = ["", "a", "b/", "b/2", "zzz", "x"][random.below(6)];
            let (mut after, mut all) = (String::new(), Vec::new());
            let most = 1 + random.below(4) as u32;
            loop {
                let told = store.ask(0, |ticket| Command::ListKeys { ticket, prefix, after: &after, most });
                let Told::Keys(keys, more) = told else { panic!("{told:?}") };
                assert!(keys.len() <= most as usize && (!more || !keys.is_empty()));
                all.extend(keys);
                if !more {
                    break;
                }
                after.clone_from(all.last().unwrap());
            }
            let expected: Vec<String> = model.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
            assert_eq!(all, expected, "{prefix}");
        }
    }
}

/// Swaps by versions that are right, and others.
fn swap(store: &mut Store, model: &mut Model, random: &mut Random) {
    let of = key(random);
    let told = store.ask(0, |ticket| Command::Get { ticket, key: &of });
    let Told::Value(before, version) = told else { panic!("{told:?}") };
    assert_eq!((before.as_ref(), version > 0), (model.get(&of), model.contains_key(&of)));
    let offered = if random.below(2) == 0 { version } else { version + 1 + random.next() % 3 };
    let value = Some(value(random)).filter(|_| random.below(4) > 0);
    let told = store.ask(0, |ticket| Command::Swap { ticket, key: &of, version: offered, value: value.as_deref() });
    if offered != version {
        return assert_eq!(told, Told::Conflict(version));
    }
    match (value, told) {
        (Some(value), Told::Done(new)) => {
            assert!(new > version);
            model.insert(of, value);
        }
        (None, Told::Done(0)) => drop(model.remove(&of)),
        (_, told) => panic!("{told:?}"),
    }
}

/// `PEARWOOD_SEQUENCES=100000` for more of them.
#[test]
fn random_sequences_are_as_those_of_a_map() {
    let disk = TestDisk::new(32 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    let mut random = Random(1);
    let mut model = Model::new();
    for sequence in 0..count("PEARWOOD_SEQUENCES", 400) {
        let expected: Vec<_> = (0..random.below(6)).map(|_| change(&mut store, &mut model, &mut random)).collect();
        let answers = store.run();
        assert_eq!(answers.len(), expected.len());
        for (ticket, expected) in expected {
            let (_, _, told) = answers.iter().find(|(_, of, _)| *of == ticket).expect("an answer");
            match expected {
                Some(expected) => assert_eq!(*told, expected, "sequence {sequence}"),
                None => assert!(matches!(told, Told::Done(_)), "{told:?}"),
            }
        }
        if random.below(3) == 0 {
            swap(&mut store, &mut model, &mut random);
        }
        (0..random.below(4)).for_each(|_| look(&mut store, &model, &mut random));
        if random.below(50) == 0 {
            drop(store);
            store = Store::of_one(&disk).unwrap();
        }
    }
    assert_eq!(store.log, Vec::<String>::new());
}

#[test]
fn the_longest_keys_and_values_are_kept_and_longer_ones_refused() {
    let mut store = Store::of_one(&TestDisk::new(32 << 20)).unwrap();
    let (key, value) = ("k".repeat(MAX_KEY), vec![7; MAX_VALUE]);
    assert!(matches!(store.set(&key, &value), Told::Done(_)));
    assert_eq!(store.get(&key), Ok(Some(value.clone())));
    assert_eq!(store.set("k", &[7; MAX_VALUE + 1]).error(), Error::TooLarge);
    assert_eq!(store.set(&"k".repeat(MAX_KEY + 1), b"").error(), Error::TooLarge);
    assert_eq!(store.set("", b"").error(), Error::TooLarge);
    // they are more than half a batch
    let two = [&key[..]; 2];
    let told = store.ask(0, |ticket| Command::GetMany { ticket, keys: List::from(&two) });
    assert_eq!(told.error(), Error::TooLarge);
    let many = vec!["k"; 1_001];
    let told = store.ask(0, |ticket| Command::DeleteMany { ticket, keys: List::from(&many[..]) });
    assert_eq!(told.error(), Error::TooLarge);
}

#[test]
fn writes_that_come_together_share_a_commit() {
    let disk = TestDisk::new(32 << 20);
    let mut store = Store::of_one(&disk).unwrap();
    (1..8).for_each(|peer| store.attach(peer, attach("b")));
    store.set("first", b"");
    let flushes = |disk: &TestDisk| disk.disc.lock().unwrap().flushes;
    let before = flushes(&disk);
    store.set("alone", b"");
    let alone = flushes(&disk) - before;
    for write in 0..160 {
        let key = format!("{write}");
        store.send(write % 8, |ticket| Command::Set { ticket, key: &key, value: b"v" });
    }
    let before = flushes(&disk);
    assert_eq!(store.run().len(), 160);
    let together = flushes(&disk) - before;
    assert!(together <= alone, "{together} flushes for 160 writes, and {alone} for one");
}

/// The disk takes its time: meanwhile clients read what was durable before, and only then what becomes durable.
#[test]
fn reads_do_not_wait_for_a_commit() {
    let disk = TestDisk::new(32 << 20);
    // little memory, so that reads need the disk
    let mut store = Store::with(&disk, 8 << 20).unwrap();
    (0..2).for_each(|peer| store.attach(peer, attach("b")));
    for n in 0..40 {
        store.set(&format!("{n}"), &vec![n; 100_000]);
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (front, told) = (store.front.clone(), heard.clone());
    let mut turn = 0;
    *disk.meanwhile.lock().unwrap() = Some(Box::new(move || {
        turn += 1;
        for n in [0, turn % 40, 39] {
            send(&front, 1, Command::Get { ticket: 1_000 + n, key: &format!("{n}") });
        }
        hear(&front, &mut told.lock().unwrap());
    }));
    let last = store.ask(0, |ticket| Command::Set { ticket, key: "39", value: b"new" });
    assert!(matches!(last, Told::Done(_)));
    *disk.meanwhile.lock().unwrap() = None;
    let heard = heard.lock().unwrap();
    assert!(heard.len() >= 6, "{} answers while the disk was at two flushes", heard.len());
    for (peer, ticket, told) in &*heard {
        let n = (ticket - 1_000) as u8;
        assert!(*peer == 1 && matches!(told, Told::Value(Some(value), _) if *value == vec![n; 100_000]), "key {n}");
    }
    assert_eq!(store.get("39"), Ok(Some(b"new".to_vec())));
}

#[test]
fn those_who_watch_hear_of_changes() {
    let mut store = Store::of_one(&TestDisk::new(32 << 20)).unwrap();
    store.attach(1, attach("b"));
    store.attach(2, attach("other"));
    let watch = store.send(1, |ticket| Command::WatchKeys { ticket, prefix: "a/" });
    store.send(2, |ticket| Command::WatchKeys { ticket, prefix: "" });
    assert_eq!(store.run().len(), 2);
    let heard = |store: &mut Store, key: &str| {
        store.send(0, |ticket| Command::Set { ticket, key, value: b"v" });
        let answers = store.run();
        let changes = answers.into_iter().filter(|(.., told)| matches!(told, Told::Changed(..) | Told::Missed));
        changes.collect::<Vec<_>>()
    };
    let changes = heard(&mut store, "a/1");
    assert!(matches!(&changes[..], [(1, of, Told::Changed(key, 1..))] if *of == watch && key == "a/1"), "{changes:?}");
    assert_eq!(heard(&mut store, "b"), []);
    store.send(0, |ticket| Command::Delete { ticket, key: "a/1" });
    assert!(store.run().contains(&(1, watch, Told::Changed("a/1".into(), 0))));
    assert_eq!(store.ask(1, |ticket| Command::Unwatch { ticket, watch }), Told::Done(0));
    assert_eq!(heard(&mut store, "a/2"), []);
}

#[test]
fn who_takes_nothing_is_told_that_changes_were_missed() {
    let mut store = Store::of_one(&TestDisk::new(32 << 20)).unwrap();
    store.attach(1, attach("b"));
    let watch = store.send(1, |ticket| Command::WatchKeys { ticket, prefix: "" });
    store.run();
    // told, but not taken
    let key = "k".repeat(1_000);
    for _ in 0..200 {
        send(&store.front, 0, Command::Set { ticket: 9, key: &key, value: b"v" });
    }
    let group = store.front.lock().unwrap().take();
    let outcome = store.engine.commit(&group);
    store.front.lock().unwrap().durable(&group, &outcome);
    let view = store.engine.view().unwrap();
    store.front.lock().unwrap().see(view);
    let answers = store.run();
    let told = |what: fn(&Told) -> bool| {
        answers.iter().filter(|(to, of, told)| (*to, *of) == (1, watch) && what(told)).count()
    };
    let changes = told(|told| matches!(told, Told::Changed(..)));
    assert!((1..200).contains(&changes), "{changes}");
    assert_eq!(told(|told| matches!(told, Told::Missed)), 1);
}
