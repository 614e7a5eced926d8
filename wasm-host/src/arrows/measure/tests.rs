use super::*;
use crate::{platform::fake::FakePlatform, system::known};
use std::net::Ipv6Addr;
use wit::{
    Batch,
    http::{Command, Event, Head, Scheme},
    tcp,
};

struct Measured {
    meter: Meter,
    platform: &'static FakePlatform,
}

/// As `wit/net/net.wit` declares it.
fn tcp_protocol() -> Protocol {
    let opens = Kinds::bit(tcp::Event::ACCEPTED) | Kinds::bit(tcp::Event::CONNECTED);
    Protocol::new("pearwood:net/tcp@0.2", Kinds { opens, fails: Kinds::bit(tcp::Event::REFUSED), ..Kinds::default() })
}

impl Measured {
    fn new(protocol: &Protocol) -> Self {
        let platform = FakePlatform::leak();
        Measured { meter: Meter::of_protocol(protocol, platform), platform }
    }

    fn send(&self, from: End, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        fill(&mut batch);
        // twice, as if it had found no room
        for taken in [false, true] {
            let (mut records, mut seen) = (0, Seen::default());
            for record in batch.records().flatten() {
                records += 1;
                self.meter.see(from, &record, &mut seen);
            }
            if taken {
                self.meter.sent(from, batch.len(), records, &seen);
            }
        }
    }

    fn ask(&self, request: u32) {
        let head = Head {
            method: "GET",
            target: "/",
            authority: b"",
            remote: Ipv6Addr::LOCALHOST,
            headers: b"",
            scheme: Scheme::Http,
            upgrade: "",
        };
        self.send(End::Client, |batch| {
            Command::Request { request, head }.encode(batch);
            Command::End { request }.encode(batch);
        });
    }

    fn answer(&self, request: u32, status: u16) {
        self.send(End::Service, |batch| {
            Event::Response { request, status, headers: b"" }.encode(batch);
            Event::Body { request, data: b"text" }.encode(batch);
            Event::End { request }.encode(batch);
        });
    }

    fn counts(&self) -> (u64, u64, u64) {
        let answered = self.meter.latency().unwrap().buckets().iter().map(|(_, count)| count).sum();
        (self.meter.requests().unwrap(), answered, self.meter.errors())
    }
}

#[test]
fn requests_are_counted_and_timed() {
    let http = Measured::new(&known::handler());
    http.ask(1);
    http.ask(2);
    assert_eq!(http.meter.under_way(), Some(2));
    http.platform.pass(1_000_000);
    http.answer(1, 200);
    http.platform.pass(9_000_000);
    http.answer(2, 503);
    assert_eq!(http.counts(), (2, 2, 1));
    assert_eq!((http.meter.under_way(), http.meter.connections()), (Some(0), None));
    let buckets = http.meter.latency().unwrap().buckets();
    let (fast, slow) = (quantile(&buckets, 500).unwrap(), quantile(&buckets, 1_000).unwrap());
    assert!(fast.abs_diff(1_000_000) < 250_000 && slow.abs_diff(10_000_000) < 2_500_000, "{fast} {slow}");
    assert!(http.meter.latency().unwrap().sum().abs_diff(11_000_000) < 200, "in units of 64 ns");
    let traffic = http.meter.traffic(End::Service);
    assert_eq!((traffic.batches.load(Relaxed), traffic.records.load(Relaxed)), (2, 6));
}

#[test]
fn what_has_no_answer_is_an_error_unless_nobody_waits() {
    let http = Measured::new(&known::handler());
    (1..=4).for_each(|request| http.ask(request));
    http.send(End::Client, |batch| Command::Cancel { request: 1 }.encode(batch));
    http.send(End::Service, |batch| Event::Failed { request: 2, why: "no" }.encode(batch));
    assert_eq!(http.counts(), (4, 1, 1));
    http.meter.ended(End::Service);
    assert_eq!((http.counts(), http.meter.under_way()), ((4, 1, 3), Some(0)));
    http.ask(5);
    http.meter.ended(End::Client);
    assert_eq!(http.counts(), (5, 1, 3), "nobody waits for it");
    let mut seen = Seen::default();
    http.meter.see(End::Client, &Record { kind: 1, id: 6, bytes: b"" }, &mut seen);
    http.meter.lost(&seen);
    assert_eq!((http.counts(), http.meter.under_way()), ((6, 1, 4), Some(0)));
}

#[test]
fn answers_to_nothing_and_numbers_used_twice_do_no_harm() {
    let http = Measured::new(&known::handler());
    http.answer(7, 200);
    http.ask(1);
    http.ask(1 + 256);
    http.answer(1, 200);
    http.answer(1 + 256, 200);
    http.answer(1 + 256, 200);
    http.ask(u32::MAX);
    http.answer(u32::MAX, 200);
    http.ask(0);
    http.answer(0, 200);
    assert_eq!(http.counts(), (4, 3, 0), "of two in one place, the later is timed");
}

#[test]
fn networks_have_connections() {
    let tcp = Measured::new(&tcp_protocol());
    let remote = tcp::Endpoint { address: Ipv6Addr::LOCALHOST, port: 9 };
    tcp.send(End::Service, |batch| {
        tcp::Event::Accepted { connection: 1, remote, port: 80, secured: None }.encode(batch);
        tcp::Event::Refused { id: 1, why: "taken" }.encode(batch);
        tcp::Event::Data { connection: 1, data: b"x" }.encode(batch);
    });
    tcp.meter.refused(2);
    assert_eq!((tcp.meter.connections(), tcp.meter.errors(), tcp.meter.requests()), (Some(1), 3, None));
}

#[test]
fn calls_are_counted_and_timed() {
    let platform = FakePlatform::leak();
    let meter = Meter::of_calls(platform);
    let began = meter.now();
    platform.pass(5_000);
    meter.called(began, 10, Some(20));
    meter.called(began, 1, None);
    assert_eq!((meter.requests(), meter.errors()), (Some(2), 1));
    assert_eq!(meter.traffic(End::Client).bytes.load(Relaxed), 11);
    assert_eq!(meter.traffic(End::Service).bytes.load(Relaxed), 20);
    assert_eq!(meter.latency().unwrap().sum(), 10_000);
}
