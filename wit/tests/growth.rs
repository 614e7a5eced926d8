//! A protocol and a later version of it, which has grown, talk to each other.

use pearwood_wit::{Batch, List, Malformed, Record};

mod earlier {
    pearwood_wit::protocol! { path: "tests/growth/earlier.wit", interface: "test:growth/shelf", runtime: ::pearwood_wit }
}
mod later {
    pearwood_wit::protocol! { path: "tests/growth/later.wit", interface: "test:growth/shelf", runtime: ::pearwood_wit }
}

#[test]
fn the_later_reads_what_the_earlier_says() {
    let mut batch = Batch::new();
    let part = earlier::Part { name: "lamp", weight: 900 };
    earlier::Command::Put { number: 70_000, part }.encode(&mut batch);
    earlier::Command::Note { number: 7, text: "hello" }.encode(&mut batch);
    earlier::Command::Clear.encode(&mut batch);
    let read: Vec<_> = batch.records().map(|record| later::Command::decode(&record.unwrap()).unwrap()).collect();
    let part = later::Part { name: "lamp", weight: 900, marks: None, colour: None };
    let expected = [
        later::Command::Put { number: 70_000, part },
        later::Command::Note { number: 7, text: "hello", from: None },
        later::Command::Clear,
    ];
    assert_eq!(read, expected);

    batch.clear();
    earlier::Event::Done { number: 3 }.encode(&mut batch);
    let record = batch.records().next().unwrap().unwrap();
    assert_eq!(later::Event::decode(&record), Ok(later::Event::Done { number: 3, how: None, marks: None }));
    let attach = earlier::Attach { name: "a" }.encode();
    assert_eq!(later::Attach::decode(&attach), Ok(later::Attach { name: "a", depth: None, places: None }));
}

#[test]
fn the_earlier_reads_what_it_knows_of_what_the_later_says() {
    let mut batch = Batch::new();
    let marks = Some(later::Marks::HEAVY | later::Marks::TYPE);
    let part = later::Part { name: "lamp", weight: 900, marks, colour: Some(later::Colour::DarkGreen) };
    later::Command::Put { number: 70_000, part }.encode(&mut batch);
    later::Command::Note { number: 7, text: "hello", from: Some("me") }.encode(&mut batch);
    later::Command::Move {
        number: 1,
        place: later::Place::In("box"),
        r#as: ('x', Some(Some(-1))),
        many: later::Many::A16,
    }
    .encode(&mut batch);
    later::Command::Say { line: "hi" }.encode(&mut batch);
    later::Command::Clear.encode(&mut batch);
    let read: Vec<_> = batch.records().map(|record| earlier::Command::decode(&record.unwrap()).unwrap()).collect();
    let part = earlier::Part { name: "lamp", weight: 900 };
    let expected = [
        earlier::Command::Put { number: 70_000, part },
        earlier::Command::Note { number: 7, text: "hello" },
        earlier::Command::Unknown { kind: later::Command::MOVE },
        earlier::Command::Unknown { kind: later::Command::SAY },
        earlier::Command::Clear,
    ];
    assert_eq!(read, expected);

    let places = [later::Place::Nowhere, later::Place::All(List::default())];
    let attach = later::Attach { name: "a", depth: Some(4), places: Some(List::from(&places)) }.encode();
    assert_eq!(earlier::Attach::decode(&attach), Ok(earlier::Attach { name: "a" }));
}

#[test]
fn an_unknown_record_is_not_written() {
    let mut batch = Batch::new();
    later::Command::Unknown { kind: 200 }.encode(&mut batch);
    assert!(batch.is_empty());
}

#[test]
fn a_list_is_what_it_was_made_of() {
    let points = [later::Point { x: -1, y: 0.5, z: 2.0 }, later::Point { x: 7, y: -0.5, z: 1e9 }];
    let mut buffer = vec![1, 2, 3];
    let packed = List::pack(points, &mut buffer);
    assert_eq!(packed, List::from(&points));
    assert_eq!(packed.len(), 2);
    assert!(packed.iter().eq(points));
    let lists = [packed, List::default(), List::from(&points[..1])];
    let sorted = later::Command::Sorted {
        ratio: 1.5,
        names: List::from(&["a", "ß"]),
        lists: List::default(),
        next: List::from(&lists),
    };
    let mut batch = Batch::new();
    sorted.encode(&mut batch);
    let record = batch.records().next().unwrap().unwrap();
    let read = later::Command::decode(&record).unwrap();
    assert_eq!(read, sorted);
    let later::Command::Sorted { next, .. } = read else { panic!("{read:?}") };
    assert_eq!(next.iter().map(|list| list.len()).collect::<Vec<_>>(), [2, 0, 1]);
}

#[test]
fn more_elements_than_bytes_are_malformed() {
    let mut bytes = 1.5f32.to_le_bytes().to_vec();
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend([0; 64]);
    let record = Record { kind: later::Command::SORTED, id: 0, bytes: &bytes };
    assert_eq!(later::Command::decode(&record), Err(Malformed));
}

#[test]
fn what_is_no_char_and_no_case_is_malformed() {
    for (letter, is_good) in [('x' as u32, true), (0xd800, false), (0x11_0000, false)] {
        let record = Record { kind: later::Command::LETTER, id: 0, bytes: &letter.to_le_bytes() };
        assert_eq!(later::Command::decode(&record).is_ok(), is_good, "{letter:x}");
    }
    // An option of a variant, without and with its payload.
    for (bytes, is_good) in [(&[1, 0][..], true), (&[1, 4, 1], true), (&[1, 4, 2], false), (&[1, 5, 0], false)] {
        let record = Record { kind: later::Event::DONE, id: 0, bytes };
        assert_eq!(later::Event::decode(&record).is_ok(), is_good, "{bytes:?}");
    }
}

#[test]
fn flags_that_stand_for_nothing_are_dropped() {
    let record = Record { kind: later::Event::DONE, id: 1, bytes: &[0, 1, 0xff] };
    let all = later::Marks::HEAVY | later::Marks::FRAGILE | later::Marks::TYPE;
    assert_eq!(later::Event::decode(&record), Ok(later::Event::Done { number: 1, how: None, marks: Some(all) }));
}

#[test]
fn what_is_written_in_pieces_is_the_same_as_in_one() {
    let mut batch = Batch::new();
    let piece = later::Command::open_piece(&mut batch, 5, 1 << 40, "name");
    batch.extend(piece, [b"ab", b""]);
    batch.extend(piece, [b"cd"]);
    let raw = later::Command::open_raw(&mut batch);
    batch.extend(raw, [b"ef"]);
    batch.extend(raw, [b"", b"gh"]);
    later::Command::open_raw(&mut batch);

    let mut whole = Batch::new();
    later::Command::Piece { number: 5, first: 1 << 40, name: "name", data: b"abcd" }.encode(&mut whole);
    later::Command::Raw { raw: b"efgh" }.encode(&mut whole);
    later::Command::Raw { raw: b"" }.encode(&mut whole);
    assert_eq!(batch, whole);
}
