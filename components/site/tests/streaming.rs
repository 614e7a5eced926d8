//! Bodies, credit, many at once, and peers that are slow, gone or hostile.

mod support;

use pearwood_site::{Progress, Settings, Site};
use std::net::Ipv6Addr;
use support::{CREDIT, Client, Files, pattern};
use wit::{
    Batch, Peer, Records,
    http::{Command, Event, Head, Scheme},
};

fn big(size: u64) -> Files {
    Files::default().with_pattern("big", size)
}

fn matches_pattern(body: &[u8]) -> bool {
    body.iter().enumerate().all(|(at, byte)| *byte == pattern(at as u64))
}

#[test]
fn sizes_around_every_limit() {
    let kept = 128 << 10;
    for size in [0, 1, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, kept - 1, kept, kept + 1, 1 << 20] {
        let mut client = Client::new(big(size));
        for turn in ["cold", "warm"] {
            let answer = client.get("/big", &[]);
            assert!(answer.body.len() as u64 == size && matches_pattern(&answer.body), "{size} bytes, {turn}");
        }
    }
}

#[test]
fn nothing_beyond_the_credit() {
    let size = 300_000;
    let mut client = Client::new(big(size));
    client.credits = false;
    let request = client.start("GET", "/big", &[]);
    client.run();
    assert_eq!(client.answers[&request].body.len(), CREDIT);
    let mut expected = CREDIT;
    for bytes in [1, 1, 3, 0, 1_000, 70_000, 1, 100_000] {
        client.send(&[Command::Credit { request, bytes }]);
        client.run();
        expected += bytes as usize;
        assert_eq!(client.answers[&request].body.len(), expected);
        assert!(!client.answers[&request].ended);
    }
    client.send(&[Command::Credit { request, bytes: u32::MAX }, Command::Credit { request, bytes: u32::MAX }]);
    client.run();
    let answer = &client.answers[&request];
    assert!(answer.ended && answer.body.len() as u64 == size && matches_pattern(&answer.body));
}

#[test]
fn a_large_file_byte_by_byte() {
    let size = CREDIT as u64 + 3_000;
    let mut client = Client::new(big(size));
    client.credits = false;
    let request = client.start("GET", "/big", &[]);
    client.run();
    for _ in 0..3_000 {
        assert!(!client.answers[&request].ended);
        client.send(&[Command::Credit { request, bytes: 1 }]);
        client.run();
    }
    let answer = &client.answers[&request];
    assert!(answer.ended && matches_pattern(&answer.body) && answer.body.len() as u64 == size);
}

#[test]
fn multipart_byte_by_byte() {
    let lines = [("range", "bytes=0-199999,400000-400009")];
    let whole = Client::new(big(1 << 20)).get("/big", &lines).body;
    let mut client = Client::new(big(1 << 20));
    client.credits = false;
    let request = client.start("GET", "/big", &lines);
    client.run();
    client.send(&[Command::Credit { request, bytes: 134_300 }]);
    client.run();
    while !client.answers[&request].ended {
        client.send(&[Command::Credit { request, bytes: 1 }]);
        client.run();
    }
    assert_eq!(client.answers[&request].body, whole);
}

#[test]
fn a_file_larger_than_any_memory() {
    let files = big(u64::MAX);
    let largest = files.largest_read.clone();
    let mut client = Client::new(files);
    client.credits = false;
    let request = client.start("GET", "/big", &[]);
    let tail = client.start("GET", "/big", &[("range", "bytes=-10")]);
    client.run();
    assert_eq!(client.answers[&request].header("content-length"), Some("18446744073709551615"));
    assert_eq!(client.answers[&request].body.len(), CREDIT);
    assert_eq!(
        client.answers[&tail].header("content-range").unwrap(),
        "bytes 18446744073709551605-18446744073709551614/18446744073709551615"
    );
    assert_eq!(client.answers[&tail].body.len(), 10);
    assert!(largest.get() <= 32 << 10);
}

#[test]
fn many_at_once_take_turns() {
    let mut client = Client::new(big(200_000).with("small", b"small"));
    client.credits = false;
    let requests: Vec<_> = (0..200).map(|_| client.start("GET", "/big", &[])).collect();
    let small = client.start("GET", "/small", &[]);
    client.run();
    assert!(client.answers[&small].ended);
    for request in &requests {
        assert_eq!(client.answers[request].body.len(), CREDIT);
    }
    client.credits = true;
    let credits: Vec<_> = requests.iter().map(|&request| Command::Credit { request, bytes: 1 << 20 }).collect();
    client.send(&credits);
    client.run();
    for request in &requests {
        let answer = &client.answers[request];
        assert!(answer.ended && answer.body.len() == 200_000 && matches_pattern(&answer.body));
    }
}

#[test]
fn a_small_file_does_not_wait_for_large_ones() {
    let mut client = Client::new(big(1 << 30).with("small", b"small"));
    for _ in 0..8 {
        client.start("GET", "/big", &[]);
    }
    for _ in 0..20 {
        client.take();
    }
    // At most one turn of each of the others comes first.
    let small = client.start("GET", "/small", &[]);
    for _ in 0..3 {
        client.take();
    }
    assert!(client.answers[&small].ended);
}

#[test]
fn cancelled() {
    let mut client = Client::new(big(1 << 20));
    client.credits = false;
    let request = client.start("GET", "/big", &[]);
    client.take();
    let before = client.answers[&request].body.len();
    client.send(&[Command::Cancel { request }, Command::Credit { request, bytes: 1 << 20 }]);
    client.run();
    let answer = &client.answers[&request];
    assert!(answer.body.len() == before && !answer.ended && answer.failed.is_none());
    // Its number is free, and nothing of it is left.
    client.answers.clear();
    let head = Head {
        method: "GET",
        target: "/big",
        authority: b"",
        remote: Ipv6Addr::LOCALHOST,
        headers: b"",
        scheme: Scheme::Http,
        upgrade: "",
    };
    client.send(&[Command::Request { request, head }]);
    client.run();
    assert_eq!(client.answers[&request].body.len(), CREDIT);
    client.send(&[Command::Cancel { request: 77 }]);
}

#[test]
fn too_many_fail_and_the_others_go_on() {
    let mut client = Client::new(big(100_000));
    client.credits = false;
    let requests: Vec<_> = (0..5_000).map(|_| client.start("GET", "/big", &[])).collect();
    client.run();
    let failed = requests.iter().filter(|request| client.answers[request].failed.is_some()).count();
    assert_eq!(failed, 5_000 - 4_096);
    client.send(&requests.iter().map(|&request| Command::Credit { request, bytes: 100_000 }).collect::<Vec<_>>());
    client.run();
    assert_eq!(requests.iter().filter(|request| client.answers[request].ended).count(), 4_096);
}

#[test]
fn a_file_that_lacks_its_end() {
    let files = big(1_000).with("whole", b"whole");
    files.cut.borrow_mut().push("big".into());
    let mut client = Client::new(files);
    let request = client.start("GET", "/big", &[]);
    client.run();
    let answer = &client.answers[&request];
    assert_eq!((answer.status, answer.failed.as_deref()), (0, Some("asset big: shorter than the image says")));
    assert_eq!(client.get("/whole", &[]).text(), "whole");
    // What is too big to be kept fails in the middle.
    let files = big(1 << 20);
    files.cut.borrow_mut().push("big".into());
    let mut client = Client::new(files);
    let request = client.start("GET", "/big", &[]);
    client.run();
    let answer = &client.answers[&request];
    assert!(answer.status == 200 && answer.failed.is_some() && !answer.ended);
}

#[test]
fn the_cache_may_be_small_or_nothing() {
    let files = || (0..100).fold(Files::default(), |files, at| files.with_pattern(&format!("f{at}"), 1_000 + at));
    for total in [0, 400, 3_000, 20_000] {
        let mut client = Client::with(files(), Settings { cache_total: total, ..Settings::default() });
        for round in 0..3 {
            for at in 0..100 {
                let answer = client.get(&format!("/f{at}"), &[]);
                assert!(answer.body.len() == 1_000 + at && matches_pattern(&answer.body), "{total}, round {round}");
            }
        }
    }
}

/// A site with two peers, whose batches are kept by peer; a peer that is full takes none.
struct Two {
    site: Site<Files>,
    full: [bool; 2],
    events: [Vec<u8>; 2],
}

impl Two {
    fn new(files: Files) -> Self {
        let mut two = Two { site: Site::new(files, Settings::default()), full: [false; 2], events: Default::default() };
        two.receive(|batch| [0, 1].iter().for_each(|peer| Peer::Attach(*peer, b"").encode(batch)));
        two
    }

    fn receive(&mut self, write: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        write(&mut batch);
        self.site.receive(batch.as_bytes());
    }

    fn request(&mut self, peer: u32, request: u32, target: &str) {
        let head = Head {
            method: "GET",
            target,
            authority: b"",
            remote: Ipv6Addr::LOCALHOST,
            headers: b"",
            scheme: Scheme::Http,
            upgrade: "",
        };
        self.receive(|batch| {
            Peer::Is(peer).encode(batch);
            Command::Request { request, head }.encode(batch);
        });
    }

    fn run(&mut self) -> Progress {
        loop {
            let (full, events) = (self.full, &mut self.events);
            let progress = self.site.transmit(|peer, batch, _| {
                if full[peer as usize] {
                    return false;
                }
                events[peer as usize].extend_from_slice(batch);
                true
            });
            if progress != Progress::More {
                return progress;
            }
        }
    }

    fn ended(&self, peer: usize) -> Vec<u32> {
        let ended = |record: wit::Record<'_>| match Event::decode(&record).unwrap() {
            Event::End { request } => Some(request),
            _ => None,
        };
        Records::new(&self.events[peer]).filter_map(|record| ended(record.unwrap())).collect()
    }
}

#[test]
fn a_full_peer_keeps_nobody_else_waiting() {
    let mut two = Two::new(Files::new(&[("a", "file")]));
    two.full[0] = true;
    for request in 0..4_000 {
        two.request(0, request, "/a");
        two.request(1, request, "/a");
    }
    assert_eq!(two.run(), Progress::Blocked);
    assert_eq!((two.ended(0).len(), two.ended(1).len()), (0, 4_000));
    two.full[0] = false;
    assert_eq!(two.run(), Progress::Idle);
    let mut ended = two.ended(0);
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..4_000));
}

#[test]
fn a_peer_that_only_asks_costs_bounded_memory() {
    let mut two = Two::new(Files::new(&[("a", "file")]));
    two.full[0] = true;
    let target = format!("/nothing?{}", "x".repeat(4_000));
    for request in 0..100_000 {
        two.request(0, request, if request % 2 == 0 { "/a" } else { &target });
        two.run();
    }
    two.full[0] = false;
    two.run();
    // Two batches, and the heads and bodies of as many as may be under way.
    assert!(two.events[0].len() < 2 * (128 << 10) + 4_096 * 1_024, "{}", two.events[0].len());
    // It has not harmed itself beyond that.
    two.events[0].clear();
    two.request(0, 0, "/a");
    two.run();
    assert_eq!(two.ended(0), [0]);
}

#[test]
fn a_peer_that_comes_again_finds_nothing_of_its_past() {
    let mut two = Two::new(big(1 << 20));
    for peer in [0, 1] {
        two.request(peer, 1, "/big");
    }
    two.run();
    two.full[0] = true;
    two.request(0, 2, "/big");
    two.run();
    two.receive(|batch| Peer::Detach(0, b"trap").encode(batch));
    two.receive(|batch| Peer::Attach(0, b"").encode(batch));
    two.full[0] = false;
    two.events = Default::default();
    two.receive(|batch| {
        for peer in [0, 1] {
            Peer::Is(peer).encode(batch);
            Command::Credit { request: 1, bytes: 1 << 20 }.encode(batch);
            Command::Credit { request: 2, bytes: 1 << 20 }.encode(batch);
        }
    });
    assert_eq!(two.run(), Progress::Idle);
    assert!(two.events[0].is_empty());
    assert_eq!(two.ended(1), [1]);
}

#[test]
fn what_makes_no_sense_is_passed_over() {
    let mut two = Two::new(Files::new(&[("a", "file")]));
    two.receive(|batch| {
        Peer::Is(u32::MAX).encode(batch);
        Command::End { request: 1 }.encode(batch);
        Peer::Attach(u32::MAX, b"").encode(batch);
        Peer::Detach(9, b"").encode(batch);
        Peer::Is(1).encode(batch);
        Command::Body { request: 5, data: b"x" }.encode(batch);
        Command::Credit { request: 5, bytes: 9 }.encode(batch);
        batch.push(99, 5, b"");
        batch.push(250, 5, b"");
        batch.push(1, 6, b"\x03GE");
        batch.push(1, 7, b"\x03\xff\xff\xff\0\0\0\0");
    });
    two.site.receive(b"\x01\x02\x03");
    two.request(1, 8, "/a");
    two.run();
    assert_eq!(two.ended(1), [8]);
}

/// Files that have to be read from the node's disk: whoever asks for one waits for it, and for nothing else.
#[test]
fn who_asks_for_what_is_on_the_disk_waits_for_it_alone() {
    let files = Files::new(&[("index.html", "home")]).with_pattern("big", 300_000).with_pattern("page", 40_000);
    let disk = files.disk.clone();
    for name in ["big", "page"] {
        disk.borrow_mut().insert(name.into(), Default::default());
    }
    let mut client = Client::new(files);
    let asked = ["/big", "/page", "/big"].map(|path| client.start("GET", path, &[]));
    let range = client.start("GET", "/big", &[("range", "bytes=200000-200009")]);
    client.run();
    assert_eq!(client.answers[&range].status, 206, "its head needs nothing of the file");
    assert!(asked.iter().all(|request| client.answers.get(request).is_none_or(|answer| answer.body.is_empty())));
    assert_eq!(client.get("/", &[]).text(), "home");
    let mut rounds = 0;
    while asked.iter().chain([&range]).any(|request| client.answers.get(request).is_none_or(|answer| !answer.ended)) {
        // the disk reads one block, the one that was asked for first
        let mut disk = disk.borrow_mut();
        let one = disk.values_mut().find_map(|file| Some((file.asked.pop_first()?, file)));
        let (block, file) = one.expect("somebody waits for the disk");
        file.there.insert(block);
        drop(disk);
        client.site.fetch_again();
        client.run();
        rounds += 1;
        assert!(rounds < 20);
    }
    for request in asked {
        let answer = &client.answers[&request];
        assert!(answer.status == 200 && matches_pattern(&answer.body), "{} bytes", answer.body.len());
    }
    let part: Vec<u8> = (200_000..200_010).map(pattern).collect();
    assert_eq!(client.answers[&range].body, part);
}

/// What cannot be read breaks its own response off, and no other.
#[test]
fn what_the_disk_does_not_give_ends_that_response() {
    let files = Files::new(&[("index.html", "home")]).with_pattern("big", 300_000);
    let disk = files.disk.clone();
    let mut there = support::Disk::default();
    there.there.extend([0, 1, 2, 4]);
    there.lost.insert(3);
    disk.borrow_mut().insert("big".into(), there);
    let mut client = Client::new(files);
    let request = client.start("GET", "/big", &[]);
    let beyond = client.start("GET", "/big", &[("range", "bytes=-20")]);
    client.run();
    let answer = &client.answers[&request];
    assert_eq!((answer.status, answer.body.len()), (200, 3 << 16));
    assert!(matches_pattern(&answer.body));
    assert_eq!(answer.failed.as_deref(), Some("asset big: it cannot be read"));
    assert!(client.answers[&beyond].ended);
    assert_eq!(client.get("/", &[]).text(), "home");
}

/// A client that goes away while its file is being read leaves nothing behind.
#[test]
fn who_no_longer_waits_is_not_answered() {
    let files = Files::default().with_pattern("big", 300_000);
    let disk = files.disk.clone();
    disk.borrow_mut().insert("big".into(), Default::default());
    let mut client = Client::new(files);
    let request = client.start("GET", "/big", &[]);
    client.run();
    client.send(&[Command::Cancel { request }]);
    disk.borrow_mut().get_mut("big").expect("it").there.extend(0..5);
    client.site.fetch_again();
    client.run();
    let answer = client.answers.remove(&request).expect("its head");
    assert!(answer.body.is_empty() && !answer.ended && answer.failed.is_none());
    assert_eq!(client.get("/big", &[]).body.len(), 300_000);
}
