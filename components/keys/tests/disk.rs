//! What the disk keeps: whenever power fails, whatever is damaged, and for whoever has it.

mod common;

use common::{FakeDisk, SECRET, SECTOR, open, random};
use p256::pkcs8::EncodePublicKey;
use pearwood_keys::{Config, Keys};

/// The second copy.
const SECOND: usize = 1 << 20;

fn public(keys: &Keys<FakeDisk>) -> Vec<u8> {
    keys.public_key("default").unwrap()
}

/// The disk after a change in it has been done as far as `done`.
fn damaged(disk: &FakeDisk, place: usize) -> FakeDisk {
    let mut bytes = disk.bytes();
    bytes[place] ^= 1;
    FakeDisk::with(bytes)
}

#[test]
fn keys_outlive_the_box() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    let account = keys.account(&mut random(2)).unwrap();
    keys.make("another", &mut random(3)).unwrap();
    assert!(keys.remembered().is_empty());
    let version = keys.version(None);
    keys.remember(b"an order".to_vec(), &mut random(7)).unwrap();
    assert!(keys.remember(vec![0; (64 << 10) + 1], &mut random(7)).is_err());
    assert_eq!(keys.version(None), version);
    let writes = disk.0.borrow().writes;
    let mut again = open(&[], &disk, 4).unwrap();
    assert_eq!((public(&again), again.public_key("another")), (public(&keys), keys.public_key("another")));
    assert_eq!(again.account(&mut random(5)).unwrap(), account);
    assert_eq!(again.remembered(), b"an order");
    assert_eq!(again.authority_certificate(), keys.authority_certificate());
    assert!(again.take_told().is_empty());
    // what is as it was is not written
    assert_eq!(disk.0.borrow().writes, writes);
    // a name of the settings that is gone is kept, and one more is made
    let third = open(&[("keys.third", "new")], &disk, 6).unwrap();
    assert_eq!(public(&third), public(&keys));
    assert!(third.public_key("third").is_ok());
}

/// At each step of each change, with each sector written or not: what is there afterwards is the state of before or that of after, and what
/// was acknowledged is there.
#[test]
fn power_may_fail_at_any_moment() {
    // a change of some sectors, so that it may be torn
    let settings: Vec<(String, &str)> = (0..40).map(|n| (format!("keys.{n}"), "new")).collect();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&key[..], *value)).collect();
    let (mut cuts, mut lost, mut kept) = (0, 0, 0);
    for steps in 0.. {
        let disk = FakeDisk::new();
        disk.0.borrow_mut().power = Some(steps);
        let opened = open(&settings, &disk, 1);
        let acknowledged = opened.as_ref().ok().map(|keys| keys.public_key("7").unwrap());
        let made = opened.and_then(|mut keys| keys.make("more", &mut random(2)).map(|()| keys.public_key("more")));
        for which in [0, u64::MAX, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa, 0xf0f0_f0f0_f0f0_f0f0, 1, 2, !1, !2] {
            let mut after = open(&settings, &disk.after_cut(which), 3).unwrap_or_else(|why| panic!("{steps}: {why}"));
            if let Some(acknowledged) = &acknowledged {
                assert_eq!(after.public_key("7").unwrap(), *acknowledged, "{steps}");
                kept += 1;
            }
            if let Ok(made) = &made {
                assert_eq!(after.public_key("more"), *made, "{steps}");
            } else {
                lost += usize::from(after.public_key("more").is_err());
            }
            // ... and the next change is kept too
            after.make("next", &mut random(4)).unwrap();
            cuts += 1;
        }
        if made.is_ok() {
            break;
        }
    }
    assert!(cuts > 150 && lost > 0 && kept > 0, "{cuts} {lost} {kept}");
}

#[test]
fn either_copy_does() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    keys.make("more", &mut random(2)).unwrap();
    let all = disk.bytes();
    let length = 80 + u32::from_le_bytes(all[12..16].try_into().unwrap()) as usize;
    assert_eq!(all[..length], all[SECOND..SECOND + length]);
    for copy in [0, SECOND] {
        for place in (0..length).step_by(7) {
            let disk = damaged(&disk, copy + place);
            let mut found = open(&[], &disk, 3).unwrap_or_else(|why| panic!("{place}: {why}"));
            assert_eq!(found.public_key("more"), keys.public_key("more"));
            assert!(found.take_told()[0].contains("it is put right"));
            assert_eq!(disk.bytes(), all, "{place}");
        }
        // sectors that cannot be read any more, and cannot be written
        let disk = FakeDisk::with(all.clone());
        disk.0.borrow_mut().broken.push(copy / SECTOR);
        let mut found = open(&[], &disk, 3).unwrap();
        assert!(found.take_told()[0].contains("copy cannot be read (the disk has failed to do it)"));
        assert_eq!(public(&found), public(&keys));
        let changed = found.make("next", &mut random(4));
        assert!(changed.is_err() && found.public_key("next").is_err());
    }
}

/// A client that says the same again and again does not wear the disk out.
#[test]
fn what_is_kept_already_is_not_written() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    keys.make("a", &mut random(2)).unwrap();
    let chain = common::signed_elsewhere(&keys, "a", "a.example");
    let mut keep = || {
        keys.store("a", chain.clone(), &mut random(3)).unwrap();
        keys.remember(b"an order".to_vec(), &mut random(4)).unwrap();
        (disk.0.borrow().writes, keys.version(None))
    };
    let once = keep();
    assert_eq!(keep(), once);
    let again = open(&[], &disk, 5).unwrap();
    assert_eq!((again.stored("a").unwrap(), again.remembered()), (chain, &b"an order"[..]));
}

/// The disk fails in one place while the box runs.
#[test]
fn what_cannot_be_kept_is_not_there() {
    for copy in [0, SECOND] {
        let disk = FakeDisk::new();
        let mut keys = open(&[], &disk, 1).unwrap();
        disk.0.borrow_mut().broken.push(copy / SECTOR);
        let made = keys.make("more", &mut random(2));
        let told = keys.take_told();
        assert_eq!(made.is_ok(), keys.public_key("more").is_ok());
        assert_eq!(made.is_ok(), copy == SECOND);
        assert_eq!(told.iter().any(|line| line.contains("only one of two copies")), made.is_ok(), "{told:?}");
        assert_eq!(open(&[], &disk, 3).unwrap().public_key("more").is_ok(), made.is_ok());
        disk.0.borrow_mut().broken.clear();
        keys.make("again", &mut random(4)).unwrap();
        for place in [0, SECOND] {
            assert!(open(&[], &damaged(&disk, place + 100), 3).unwrap().public_key("again").is_ok());
        }
    }
}

/// One copy after the other cannot be written for a while: the last change is the one that counts.
#[test]
fn the_copy_that_was_written_last_counts() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    for (broken, name) in [(SECOND, "more"), (0, "again")] {
        disk.0.borrow_mut().broken = vec![broken / SECTOR];
        keys.make(name, &mut random(2)).unwrap();
    }
    disk.0.borrow_mut().broken.clear();
    assert_eq!(open(&[], &disk, 3).unwrap().public_key("again"), keys.public_key("again"));
}

/// Whatever somebody has written there: the keys, or an error; and nothing is lost that one of the copies has.
#[test]
fn any_bytes_will_do() {
    let disk = FakeDisk::new();
    let keys = open(&[("keys.other", "new")], &disk, 1).unwrap();
    let (good, mut random) = (disk.bytes(), random(7));
    let mut next = || {
        let mut bytes = [0; 4];
        random(&mut bytes).unwrap();
        u32::from_le_bytes(bytes) as usize
    };
    let mut opened = 0;
    for round in 0..2_000 {
        let mut bytes = good.clone();
        let copies = if round % 2 == 0 { &[0, SECOND][..] } else { &[[0, SECOND][round / 2 % 2]] };
        for copy in copies {
            for _ in 0..1 + next() % 4 {
                bytes[copy + next() % 120] = next() as u8;
            }
        }
        match open(&[("keys.other", "new")], &FakeDisk::with(bytes), 2) {
            Ok(found) => {
                assert_eq!(found.public_key("other"), keys.public_key("other"));
                opened += 1;
            }
            Err(why) => assert!(copies.len() == 2 || why.contains("version"), "{why}"),
        }
    }
    assert!(opened >= 1_000, "{opened}");
}

#[test]
fn what_cannot_be_read_is_left_as_it_is_until_the_operator_gives_it_up() {
    let disk = FakeDisk::new();
    let keys = open(&[], &disk, 1).unwrap();
    let broken = damaged(&damaged(&disk, 100), SECOND + 100);
    let before = broken.bytes();
    let why = open(&[], &broken, 2).unwrap_err();
    assert!(
        why.contains("both") || why.contains("the first copy is damaged") && why.contains("the second copy is damaged"),
        "{why}"
    );
    assert_eq!(broken.bytes(), before);
    let (_, id) = why.split_once("config.discard = \"").unwrap_or_else(|| panic!("{why}"));
    let id = &id[..id.find('"').unwrap()];
    assert!(open(&[("discard", "0123456789abcdef")], &broken, 2).is_err());
    let mut anew = open(&[("discard", id)], &broken, 2).unwrap();
    assert_ne!(public(&anew), public(&keys));
    assert!(anew.take_told()[0].contains("given up"));
    // it holds for what was there, and not for what is kept from then on
    let again = open(&[("discard", id)], &broken, 3).unwrap();
    assert_eq!(public(&again), public(&anew));
    let broken = damaged(&damaged(&broken, 100), SECOND + 100);
    assert!(open(&[("discard", id)], &broken, 4).is_err());
}

/// A disk that fails says nothing of what is on it: the operator's word for something else does not hold for that.
#[test]
fn what_the_disk_fails_to_read_is_not_given_up() {
    let disk = FakeDisk::new();
    // of more than one sector
    let mut keys = open(&[], &disk, 1).unwrap();
    (0..20).for_each(|number| keys.make(&format!("key {number}"), &mut random(number)).unwrap());
    let before = disk.bytes();
    // also in the middle of the copies, whose heads are those of good ones
    for sectors in [[0, SECOND / SECTOR], [1, SECOND / SECTOR + 1], [0, SECOND / SECTOR + 1]] {
        disk.0.borrow_mut().unreadable = sectors.into();
        let why = open(&[], &disk, 2).unwrap_err();
        assert!(why.contains("the disk has failed to do it") && !why.contains("discard"), "{why}");
        let head =
            |copy: usize| &before[copy..][..if sectors[usize::from(copy > 0)] == copy / SECTOR { 0 } else { SECTOR }];
        let heads = <sha2::Sha256 as sha2::Digest>::digest([head(0), head(SECOND)].concat());
        let id: String = heads[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(open(&[("discard", &id)], &disk, 2).is_err(), "{sectors:?}");
    }
    disk.0.borrow_mut().unreadable.clear();
    assert_eq!(disk.bytes(), before);
    assert_eq!(public(&open(&[], &disk, 3).unwrap()), public(&keys));
}

/// What is given up with one secret is not with another, nor when it cannot be read for another reason.
#[test]
fn the_word_to_give_up_is_for_one_secret_and_one_reason() {
    let disk = FakeDisk::new();
    open(&[], &disk, 1).unwrap();
    let with = |disk: &FakeDisk, secret: u8, discard: Option<&str>| {
        let config = Config::read(discard.map(|id| ("discard", id))).unwrap();
        Keys::open(config, disk.clone(), &[secret; 32], &mut random(2))
    };
    let id = |why: &str| why.split_once("discard = \"").unwrap().1.split_once('"').unwrap().0.to_string();
    let one = id(&with(&disk, 4, None).unwrap_err());
    assert_ne!(id(&with(&disk, 5, None).unwrap_err()), one);
    assert!(with(&disk, 5, Some(&one)).is_err());
    // behind the heads
    let mut bytes = disk.bytes();
    assert!(u32::from_le_bytes(bytes[12..16].try_into().unwrap()) < 4_096);
    bytes[70] ^= 1;
    bytes[SECOND + 70] ^= 1;
    assert!(with(&FakeDisk::with(bytes), 4, Some(&one)).is_err());
    assert!(with(&disk, 4, Some(&one)).is_ok());
}

/// Anybody can write a head with a checksum that fits: the number of changes is that of what opens.
#[test]
fn a_generation_that_is_made_up_counts_for_nothing() {
    for generation in [u64::MAX, 1_000] {
        let disk = FakeDisk::new();
        let keys = open(&[], &disk, 1).unwrap();
        let mut bytes = disk.bytes();
        let good = bytes[16..24].to_vec();
        bytes[16..24].copy_from_slice(&generation.to_le_bytes());
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let sum = <sha2::Sha256 as sha2::Digest>::new_with_prefix(&bytes[..48]);
        let sum = sha2::Digest::chain_update(sum, &bytes[80..80 + length]);
        bytes[48..80].copy_from_slice(&sha2::Digest::finalize(sum));
        let forged = FakeDisk::with(bytes);
        let mut found = open(&[], &forged, 2).unwrap();
        assert_eq!(public(&found), public(&keys));
        assert_eq!(forged.bytes()[16..24], good);
        found.make("more", &mut random(3)).unwrap();
        let next = u64::from_le_bytes(good.try_into().unwrap()) + 1;
        for copy in [0, SECOND] {
            assert_eq!(forged.bytes()[copy + 16..copy + 24], next.to_le_bytes());
        }
    }
}

/// A copy that the disk fails to read may be the good one.
#[test]
fn a_copy_that_cannot_be_read_for_a_while_is_left_as_it_is() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    // the second copy is older then
    disk.0.borrow_mut().broken.push(SECOND / SECTOR);
    keys.make("more", &mut random(2)).unwrap();
    disk.0.borrow_mut().broken.clear();
    let before = disk.bytes();
    disk.0.borrow_mut().unreadable.push(0);
    let mut found = open(&[], &disk, 3).unwrap();
    assert!(found.public_key("more").is_err() && found.take_told()[0].contains("is left as it is"));
    assert_eq!(disk.bytes(), before);
    disk.0.borrow_mut().unreadable.clear();
    assert_eq!(open(&[], &disk, 4).unwrap().public_key("more"), keys.public_key("more"));
}

#[test]
fn keys_open_with_their_secret_alone() {
    let disk = FakeDisk::new();
    let mut keys = open(&[], &disk, 1).unwrap();
    keys.account(&mut random(2)).unwrap();
    let other = |discard: Option<&str>| {
        let config = Config::read(discard.map(|id| ("discard", id))).unwrap();
        Keys::open(config, disk.clone(), &[4; 32], &mut random(3))
    };
    let why = other(None).unwrap_err();
    assert!(why.contains("sealed under another secret") && why.contains("`secret=`"), "{why}");
    // the right secret still opens it, even where the operator was about to give it up
    let id = why.split_once("discard = \"").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(public(&open(&[("discard", id)], &disk, 4).unwrap()), public(&keys));
    assert_ne!(public(&other(Some(id)).unwrap()), public(&keys));
}

#[test]
fn the_disk_has_no_key_in_the_clear_and_no_change_looks_like_another() {
    let disk = FakeDisk::new();
    // all that keys were made of
    let (mut made, mut bytes) = (Vec::new(), random(1));
    let mut keys = Keys::open(Config::read([]).unwrap(), disk.clone(), &SECRET, &mut |buffer: &mut [u8]| {
        bytes(buffer)?;
        made.extend((buffer.len() == 32).then(|| buffer.to_vec()));
        Ok(())
    })
    .unwrap();
    let publics: Vec<Vec<u8>> = made
        .iter()
        .map(|secret| p256::SecretKey::from_slice(secret).unwrap().public_key().to_public_key_der().unwrap().into_vec())
        .collect();
    assert!(publics.len() == 2 && publics.contains(&public(&keys)));
    let first = disk.bytes();
    for hidden in made.iter().chain(&publics) {
        assert!(!first.windows(hidden.len()).any(|part| part == hidden));
    }
    assert!(!first.windows(7).any(|part| part == b"default"));
    keys.make("more", &mut random(9)).unwrap();
    let (body, second) = (80..180, disk.bytes());
    assert!(body.clone().filter(|at| first[*at] == second[*at]).count() < 20);
}

#[test]
fn what_is_not_of_keys_is_not_written_over() {
    // a file system's head is behind two sectors of zeros
    for place in [1_080, 0, SECOND, (2 << 20) - 1] {
        let mut bytes = vec![0; 3 << 20];
        bytes[place] = 7;
        let disk = FakeDisk::with(bytes.clone());
        assert!(open(&[], &disk, 1).unwrap_err().contains("cannot be read, and is left as it is"));
        assert_eq!(disk.bytes(), bytes);
    }
    // beyond it is not its business
    let mut bytes = vec![0; 3 << 20];
    bytes[2 << 20..].fill(7);
    let disk = FakeDisk::with(bytes);
    open(&[], &disk, 1).unwrap();
    assert!(disk.bytes()[2 << 20..].iter().all(|byte| *byte == 7));
    let small = FakeDisk::with(vec![0; (2 << 20) - SECTOR]);
    let why = open(&[], &small, 1).unwrap_err();
    assert!(why.contains("2047 KiB") && why.contains("2048 KiB"), "{why}");
}

#[test]
fn what_a_newer_version_has_written_is_left_to_it() {
    let disk = FakeDisk::new();
    open(&[], &disk, 1).unwrap();
    let mut bytes = disk.bytes();
    for copy in [0, SECOND] {
        bytes[copy + 8] = 2;
        let length = u32::from_le_bytes(bytes[copy + 12..copy + 16].try_into().unwrap()) as usize;
        let sum = <sha2::Sha256 as sha2::Digest>::new_with_prefix(&bytes[copy..copy + 48]);
        let sum = sha2::Digest::chain_update(sum, &bytes[copy + 80..copy + 80 + length]);
        bytes[copy + 48..copy + 80].copy_from_slice(&sha2::Digest::finalize(sum));
    }
    let disk = FakeDisk::with(bytes.clone());
    assert!(open(&[], &disk, 1).unwrap_err().contains("version 2"));
    assert_eq!(disk.bytes(), bytes);
}
