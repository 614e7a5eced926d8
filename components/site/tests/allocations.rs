//! The hot path allocates nothing.

mod support;

use pearwood_site::{Progress, Settings, Site};
use std::net::Ipv6Addr;
use support::Files;
use wit::{
    Batch, Peer,
    http::{Command, Head, Scheme},
};

#[test]
fn a_small_file_asked_for_again_costs_no_allocation() {
    let files = Files::new(&[("index.html", "home"), ("a.css", "a{}"), ("a.css.gz", "gz")]).with_pattern("64k", 65_536);
    let mut site = Site::new(files, Settings::default());
    let browser = b"accept: */*\r\naccept-encoding: gzip, deflate, br\r\nuser-agent: x\r\n";
    let mut batch = Batch::new();
    site.receive(&support::attach(0));
    Peer::Is(0).encode(&mut batch);
    let mut request = 0;
    for (target, headers) in
        [("/", &b""[..]), ("/?q", browser), ("/a.css", browser), ("/index.html", browser), ("/64k", b"")]
    {
        let head = Head {
            method: "GET",
            target,
            authority: b"x",
            remote: Ipv6Addr::LOCALHOST,
            headers,
            scheme: Scheme::Http,
            upgrade: "",
        };
        for _ in 0..10 {
            request += 1;
            Command::Request { request, head }.encode(&mut batch);
            Command::End { request }.encode(&mut batch);
            Command::Credit { request, bytes: 4 }.encode(&mut batch);
        }
    }
    let mut sent = 0;
    let mut round = || {
        site.receive(batch.as_bytes());
        loop {
            let progress = site.transmit(|_, batch, _| {
                sent += batch.len();
                true
            });
            if progress == Progress::Idle {
                break;
            }
        }
    };
    round();
    round();
    let counted = allocation_counter::measure(&mut round);
    assert!(sent > 3 * 10 * 65_536);
    assert_eq!(counted.count_total, 0);
}
