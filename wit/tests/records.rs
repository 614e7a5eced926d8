//! What is generated, beside an encoder that reads the WIT files at run time and was written for the tests only, from
//! `wit/README.md`: for random values, both say the same bytes, and every cut is found out.
//!
//! `PEARWOOD_CASES` is how many values of all protocols together are tried.

mod common;

use common::allocations;
use common::reference::{Dice, Protocol, Sample};
use pearwood_wit::{Batch, Malformed, Record, block, http, names, nic, tcp, udp};

mod later {
    pearwood_wit::protocol! { path: "tests/growth/later.wit", interface: "test:growth/shelf", runtime: ::pearwood_wit }
}

const FILES: &[&str] = &["net", "http", "hardware", "tests/growth/later.wit"];

fn cases() -> usize {
    std::env::var("PEARWOOD_CASES").map_or(20_000, |count| count.parse().expect("PEARWOOD_CASES is a number"))
}

/// Decodes the record and encodes what came out into the batch, which has room; neither may allocate.
type Check<'a> = &'a dyn Fn(&Record<'_>, &mut Batch) -> Result<(), Malformed>;

macro_rules! records {
    ($type:ty) => {
        (&|record: &Record<'_>, batch: &mut Batch| {
            let before = allocations();
            let value = <$type>::decode(record);
            assert_eq!(allocations(), before, "decoding allocates");
            value.map(|value| value.encode(batch))?;
            assert_eq!(allocations(), before, "encoding allocates");
            Ok(())
        }) as Check
    };
}

macro_rules! attach {
    ($type:ty) => {
        (&|record: &Record<'_>, batch: &mut Batch| {
            let before = allocations();
            let value = <$type>::decode(record.bytes);
            assert_eq!(allocations(), before, "decoding allocates");
            batch.push(record.kind, record.id, &value?.encode());
            Ok(())
        }) as Check
    };
}

#[test]
fn values_come_back_as_written_and_every_cut_is_found() {
    let all: &[(&str, &str, Check)] = &[
        ("pearwood:net/tcp", "command", records!(tcp::Command)),
        ("pearwood:net/tcp", "event", records!(tcp::Event)),
        ("pearwood:net/udp", "command", records!(udp::Command)),
        ("pearwood:net/udp", "event", records!(udp::Event)),
        ("pearwood:net/names", "command", records!(names::Command)),
        ("pearwood:net/names", "event", records!(names::Event)),
        ("pearwood:http/handler", "command", records!(http::Command)),
        ("pearwood:http/handler", "event", records!(http::Event)),
        ("pearwood:http/handler", "attach", attach!(http::Attach)),
        ("pearwood:hardware/nic", "command", records!(nic::Command)),
        ("pearwood:hardware/nic", "event", records!(nic::Event)),
        ("pearwood:hardware/nic", "attach", attach!(nic::Attach)),
        ("pearwood:hardware/block", "command", records!(block::Command)),
        ("pearwood:hardware/block", "event", records!(block::Event)),
        ("pearwood:hardware/block", "attach", attach!(block::Attach)),
        ("test:growth/shelf", "command", records!(later::Command)),
        ("test:growth/shelf", "event", records!(later::Event)),
        ("test:growth/shelf", "attach", attach!(later::Attach)),
    ];
    let mut dice = Dice::new(7);
    for (interface, side, check) in all {
        let protocol = Protocol::read(FILES, interface);
        for _ in 0..cases().div_ceil(all.len()) {
            let sample = protocol.sample(side, &mut dice);
            let case = format!("{interface} {side}: {sample:?}");
            tried(&sample, &case, *check);
        }
    }
}

/// So many options are none if there is nothing from the first on. Those that are in one of these are not there at all.
fn missing(options: &[(usize, usize)]) -> Vec<u8> {
    let mut outermost = usize::MAX;
    let mut missing = Vec::new();
    for (_, depth) in options {
        if *depth <= outermost {
            outermost = *depth;
            missing.push(0);
        }
    }
    missing
}

fn tried(sample: &Sample, case: &str, check: Check) {
    let Sample { kind, id, bytes, .. } = sample;
    let mut batch = Batch::with_capacity(1 << 16);
    let mut read = |id: u32, bytes: &[u8]| {
        batch.clear();
        check(&Record { kind: *kind, id, bytes }, &mut batch)?;
        let mut records = batch.records();
        let record = records.next().expect("a record").expect("a whole one");
        assert!(records.next().is_none(), "{case}");
        assert_eq!((record.kind, record.id), (*kind, id), "{case}");
        Ok::<_, Malformed>(record.bytes.to_vec())
    };

    assert_eq!(read(*id, bytes).as_ref(), Ok(bytes), "{case}");
    if sample.id_bits < 32 && sample.id_bits > 0 {
        assert_eq!(read(1 << sample.id_bits, bytes), Err(Malformed), "{case}: an id that does not fit");
    }
    if sample.bare {
        return;
    }
    for cut in 0..bytes.len() {
        // The options behind the cut are none, if it is where one begins.
        let expected = match sample.options.iter().position(|(start, _)| *start == cut) {
            Some(place) => Ok([&bytes[..cut], &missing(&sample.options[place..])].concat()),
            None => Err(Malformed),
        };
        assert_eq!(read(*id, &bytes[..cut]), expected, "{case}: cut at {cut}");
    }
    let longer = [bytes, &b"of a later version"[..]].concat();
    assert_eq!(read(*id, &longer).as_ref(), Ok(bytes), "{case}: with more behind it");
}

#[test]
fn noise_is_read_or_refused_without_allocating() {
    let mut dice = Dice::new(11);
    let checks = [
        records!(tcp::Event),
        records!(http::Command),
        records!(names::Event),
        records!(later::Command),
        records!(block::Event),
    ];
    for _ in 0..cases() {
        let bytes: Vec<u8> =
            (0..dice.below(40)).map(|_| if dice.below(3) == 0 { dice.next() as u8 } else { 0 }).collect();
        let record = Record { kind: dice.below(14) as u8, id: dice.next() as u32, bytes: &bytes };
        for check in checks {
            let _ = check(&record, &mut Batch::with_capacity(1 << 12));
        }
    }
}
