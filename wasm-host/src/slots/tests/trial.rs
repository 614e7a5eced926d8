//! Systems on trial, and going back.

use super::*;

#[test]
fn a_system_on_trial_is_given_up_after_some_boots() {
    let disk = with(None, Some(1), 512);
    write(&open(&disk), 2).unwrap();
    for attempt in 1..=MAX_ATTEMPTS {
        let chosen = block_on(open(&disk).choose(0, |_| Ok(()), |_| ())).unwrap();
        assert_eq!((chosen.image.bytes[0], chosen.attempt), (2, Some(attempt)));
    }
    let mut told = Vec::new();
    let store = open(&disk);
    let chosen = block_on(store.choose(0, |_| Ok(()), |line| told.push(line))).unwrap();
    assert_eq!((chosen.image.bytes[0], chosen.slot, chosen.attempt), (1, SlotName::A, None));
    assert_eq!(told, ["slot B, deploy 2: was started 3 times and not reported good"]);
    assert!(!block_on(store.mark_good()).unwrap(), "the old one is good already");
    let what: Vec<_> = store.history().iter().map(|record| (record.deploy, record.what)).collect();
    let expected = [(1, What::Good), (2, What::Failed)];
    assert_eq!(what, expected);
    // it is not tried again
    assert_eq!(boot(&disk), Some(1));
    assert_eq!(open(&disk).held(SlotName::B).unwrap().state, State::Failed);
}

#[test]
fn the_first_system_of_all_can_fail_too() {
    let disk = formatted(512);
    assert_eq!(boot(&disk), None);
    write(&open(&disk), 1).unwrap();
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(boot(&disk), Some(1));
    }
    assert_eq!(boot(&disk), None);
    assert_eq!(boot(&disk), None);
    write(&open(&disk), 2).unwrap();
    assert_eq!(boot(&disk), Some(2));
}

#[test]
fn a_system_that_cannot_even_start_is_given_up_at_once() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    write(&store, 2).unwrap();
    assert_eq!(choose(&store), Some(2));
    assert!(block_on(store.mark_failed("it does not start")).unwrap());
    assert_eq!(choose(&store), Some(1));
    assert!(!block_on(store.mark_failed("it does not start")).unwrap(), "what was good once may be tried again");
    assert_eq!(boot(&disk), Some(1));
}

#[test]
fn what_is_not_accepted_is_not_started() {
    let disk = with(Some(1), Some(2), 512);
    let store = open(&disk);
    let refuse = |image: &Kept| if image.bytes[0] == 2 { Err("signed by a stranger".into()) } else { Ok(()) };
    let mut told = Vec::new();
    let chosen = block_on(store.choose(0, refuse, |line| told.push(line))).unwrap();
    assert_eq!(chosen.image.bytes[0], 1);
    assert_eq!(told, ["slot B, deploy 2: signed by a stranger"]);
    assert_eq!(block_on(store.choose(0, |_| Err("no".into()), |_| ())), None);
}

#[test]
fn going_back_and_forth() {
    let disk = with(Some(1), Some(2), 512);
    let store = open(&disk);
    assert_eq!(back(&store, &about()).unwrap(), 1);
    assert_eq!(boot(&disk), Some(1));
    let store = open(&disk);
    assert_eq!(choose(&store), Some(1));
    assert_eq!(back(&store, &about()).unwrap(), 2);
    assert_eq!(boot(&disk), Some(2));
    let last = open(&disk).history().pop().unwrap();
    assert_eq!((last.what, last.who.as_str(), last.time), (What::Good, "ada@laptop", Some(1_700_000_000)));

    // from a system on trial, which has then failed
    let store = open(&disk);
    choose(&store);
    let slot = write(&store, 3).unwrap();
    assert_eq!(slot, SlotName::C, "neither the one that runs nor the one before");
    back(&store, &about()).unwrap();
    assert_eq!(boot(&disk), Some(2));
    assert_eq!(open(&disk).held(SlotName::C).unwrap().state, State::Failed);
    assert_eq!(back(&open(&disk), &about()).unwrap(), 1);

    // to one that has been damaged
    let disk = with(Some(1), Some(2), 512);
    disk.damage(|bytes| bytes[SLOTS as usize + 5_000] ^= 1);
    assert_eq!(back(&open(&disk), &about()).err(), Some(SlotError::Corrupt(SlotName::A)));
    assert_eq!(boot(&disk), Some(2));
}

#[test]
fn a_system_that_is_gone_over_to_is_reported_good_itself() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    choose(&store);
    let slot = write(&store, 2).unwrap();
    assert!(!store.on_trial(), "the old one still runs");
    assert!(!block_on(store.mark_good()).unwrap());
    store.runs(slot);
    assert!(store.on_trial());
    good(&store);
    assert_eq!(open(&disk).held(slot).unwrap().state, State::Good);
}

/// Writes a system beside the one that runs.
fn beside(store: &Store, system: u8) -> SlotName {
    let bytes = image(system);
    let mut writer = block_on(store.begin(bytes.len() as u64)).unwrap();
    block_on(writer.append(&bytes)).unwrap();
    block_on(writer.commit(Rank::Beside, &about())).unwrap()
}

/// The node ended before anybody had confirmed a deployment: its system is started by no node, even if it is all there is
/// (the others may be compiled for another platform), and what is recorded of it stays.
#[test]
fn what_nobody_confirmed_is_not_started() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    choose(&store);
    let slot = beside(&store, 2);
    let before = (store.history(), store.held(slot).unwrap());
    let only_it = |image: &Kept| if image.bytes[0] == 2 { Ok(()) } else { Err("compiled for another platform".into()) };
    for _ in 0..=MAX_ATTEMPTS {
        let (store, mut told) = (open(&disk), Vec::new());
        assert_eq!(block_on(store.choose(0, only_it, |line| told.push(line))), None);
        let expected = [
            "slot A, deploy 1: compiled for another platform",
            "slot B, deploy 2: the node ended before it had stood its trial",
        ];
        assert_eq!(told, expected);
        assert_eq!((store.history(), store.held(slot).unwrap()), before);
    }
    assert_eq!(boot(&disk), Some(1));
    // nor is it when what was current fails
    let store = open(&disk);
    choose(&store);
    block_on(store.give_up(SlotName::A, What::Failed, "it is damaged")).unwrap();
    assert_eq!((boot(&disk), open(&disk).current()), (None, Some(SlotName::A)));
}

/// Writes a system beside the one that runs, which then is it.
pub fn gone_over_to(store: &Store, system: u8) -> SlotName {
    let slot = beside(store, system);
    block_on(store.promote(slot)).unwrap();
    store.runs(slot);
    slot
}

#[test]
fn what_ran_well_and_cannot_be_booted_is_given_up_too() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    choose(&store);
    let slot = gone_over_to(&store, 2);
    assert!(!store.on_trial() && !store.awaits_boot(), "the node was started with another");
    for attempt in 1..=MAX_ATTEMPTS {
        let store = open(&disk);
        let chosen = block_on(store.choose(0, |_| Ok(()), |_| ())).unwrap();
        assert_eq!((chosen.image.bytes[0], chosen.attempt), (2, Some(attempt)));
        assert!(store.on_trial() && store.awaits_boot());
        assert!(!block_on(store.mark_failed("it does not start")).unwrap(), "it may at the next boot");
    }
    assert_eq!(boot(&disk), Some(1));
    let store = open(&disk);
    assert_eq!(store.held(slot).unwrap().state, State::Failed);
    assert_eq!(store.history().last().unwrap().what, What::Failed);
}

#[test]
fn what_was_booted_once_is_not_given_up() {
    let disk = with(None, Some(1), 512);
    let store = open(&disk);
    choose(&store);
    gone_over_to(&store, 2);
    let store = open(&disk);
    assert_eq!(choose(&store), Some(2));
    block_on(store.mark_booted()).unwrap();
    assert!(!store.on_trial());
    block_on(store.mark_booted()).unwrap();
    for _ in 0..=MAX_ATTEMPTS {
        assert_eq!(boot(&disk), Some(2));
    }
    // and what is gone back to begins anew
    let store = open(&disk);
    choose(&store);
    gone_over_to(&store, 3);
    assert_eq!((boot(&disk), boot(&disk)), (Some(3), Some(3)));
    let store = open(&disk);
    choose(&store);
    back(&store, &about()).unwrap();
    back(&store, &about()).unwrap();
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(boot(&disk), Some(3));
    }
    assert_eq!(boot(&disk), Some(2));
}
