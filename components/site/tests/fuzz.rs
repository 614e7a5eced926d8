//! Random heads, credits and cancellations, from a seed that a failure names. Every answer is checked against a
//! model of what may be sent.

mod support;

use std::{collections::HashMap, net::Ipv6Addr};
use support::{Client, DATE, Dice, Files};
use wit::{
    Batch, Peer,
    http::{Command, Head, Scheme},
};

const METHODS: &[&str] = &["GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "", "\u{7f}"];
const TARGETS: &[&str] = &[
    "/",
    "/index.html",
    "/a/",
    "/a",
    "/a?x=y",
    "/app.js",
    "/app.js.br",
    "/big",
    "/huge",
    "/nothing",
    "/%",
    "/%00",
    "/a%2f",
    "*",
    "",
    "/..",
    "//",
    "/app%2ejs",
    "/\u{e9}?\u{e9}\r\n",
];
const NAMES: &[&str] = &[
    "accept-encoding",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
    "Range",
    "IF-NONE-MATCH",
    "accept",
    "r",
    "",
];
const VALUES: &[&str] = &[
    "*",
    "",
    "\"",
    "\"\"",
    "W/\"a\"",
    "\"a\",\"b\"",
    ",,,",
    "br",
    "gzip",
    "br;q=0.5,gzip;q=0.7",
    "identity;q=0",
    "*;q=0",
    ";q=",
    "br;q=1.0000",
    DATE,
    "Sun, 06 Nov 1994 08:49:38 GMT",
    "Sun, 99 Foo 1994",
    "bytes=0-",
    "bytes=0-0",
    "bytes=-1",
    "bytes=5-1",
    "bytes=0-0,100-100,200-200,300-300",
    "bytes=99999999999999999999-",
    "bytes=-99999999999999999999",
    "bytes=0-1000000",
    "bytes=1000-,0-10",
    "bytes=",
    "bytes=,",
    "items=0-1",
    "\u{e9}",
];

fn files() -> Files {
    Files::new(&[
        ("404.html", "none"),
        ("a/index.html", "a"),
        ("app.js", "js"),
        ("app.js.br", "b"),
        ("index.html", "home"),
    ])
    .with_pattern("big", 5_000)
    .with_pattern("huge", 150_000)
}

#[test]
fn heads() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut client = Client::new(files());
        for _ in 0..40 {
            exchange(&mut client, &mut dice, seed);
        }
    }
}

fn exchange(client: &mut Client, dice: &mut Dice, seed: u64) {
    let (method, target) = (*dice.pick(METHODS), *dice.pick(TARGETS));
    let count = dice.below(5);
    let mut lines: Vec<(String, String)> =
        (0..count).map(|_| (dice.pick(NAMES).to_string(), dice.pick(VALUES).to_string())).collect();
    if dice.below(4) == 0 {
        let current = client.ask("HEAD", target, &[]).headers.remove("etag").unwrap_or_default();
        let name = dice.pick(&["if-match", "if-none-match", "if-range"]);
        lines.push((name.to_string(), current));
    }
    let borrowed: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = client.ask(method, target, &borrowed);
    let context = format!("seed {seed}: {method} {target:?} {lines:?} -> {} {:?}", answer.status, answer.headers);
    let has = |name: &str| lines.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let (get, file) = (method == "GET", matches!(method, "GET" | "HEAD"));
    let allowed = match answer.status {
        200 => file,
        204 => method == "OPTIONS" && answer.body.is_empty(),
        206 => get && has("range") && !answer.body.is_empty() && is_partial(&answer),
        301 => file && answer.header("location").is_some_and(|location| location.starts_with("/a/")),
        304 => file && (has("if-none-match") || has("if-modified-since")) && answer.header("etag").is_some(),
        400 => target != "/",
        404 => file,
        405 => method == "POST",
        412 => file && (has("if-match") || has("if-unmodified-since")),
        416 => get && has("range") && answer.header("content-range").is_some_and(|range| range.starts_with("bytes */")),
        501 => !file,
        _ => false,
    };
    assert!(allowed, "{context}");
}

fn is_partial(answer: &support::Answer) -> bool {
    match answer.header("content-range") {
        Some(range) => range.starts_with("bytes ") && !range.contains('*'),
        None => answer.header("content-type").is_some_and(|it| it.starts_with("multipart/byteranges; boundary=")),
    }
}

/// Commands in any order: never more than the credit, never anything after an end, and at last all of it.
#[test]
fn commands() {
    for seed in 0..80 {
        let mut dice = Dice(seed);
        let mut client = Client::new(files());
        client.credits = false;
        let mut credit: HashMap<u32, u64> = HashMap::new();
        // Numbers of cancelled requests are not used again: events for them may be on their way.
        let mut cancelled = 0;
        for _ in 0..400 {
            let request = dice.below(8) as u32 + 8 * cancelled;
            match dice.below(6) {
                0 | 1 if !credit.contains_key(&request) => {
                    let target = *dice.pick(&["/huge", "/big", "/app.js", "/nothing"]);
                    let headers = dice.pick(&["", "range: bytes=0-9,500-90000,100000-\r\n"]).as_bytes();
                    let head = Head {
                        method: "GET",
                        target,
                        authority: b"",
                        remote: Ipv6Addr::UNSPECIFIED,
                        headers,
                        scheme: Scheme::Http,
                        upgrade: "",
                    };
                    client.answers.remove(&request);
                    client.send(&[Command::Request { request, head }]);
                    credit.insert(request, 65_536);
                }
                2 | 3 => {
                    let magnitude = dice.below(18);
                    let bytes = dice.below(1 << magnitude) as u32;
                    client.send(&[Command::Credit { request, bytes }]);
                    if let Some(credit) = credit.get_mut(&request) {
                        *credit += u64::from(bytes);
                    }
                }
                4 if dice.below(4) == 0 => {
                    client.send(&[Command::Cancel { request }]);
                    if credit.remove(&request).is_some() {
                        let open: Vec<_> = credit.keys().copied().collect();
                        open.iter().for_each(|&request| client.send(&[Command::Cancel { request }]));
                        client.take();
                        credit.clear();
                        client.answers.clear();
                        cancelled += 1;
                    }
                }
                _ => drop(client.take()),
            }
            for (request, answer) in &client.answers {
                assert!(credit.get(request).is_some_and(|credit| answer.body.len() as u64 <= *credit), "seed {seed}");
            }
            let ended: Vec<_> = client.answers.iter().filter(|(_, answer)| answer.ended).map(|(id, _)| *id).collect();
            for request in ended {
                support::check("GET", &client.answers.remove(&request).unwrap());
                credit.remove(&request);
            }
        }
        for request in credit.keys().copied().collect::<Vec<_>>() {
            client.send(&[Command::Credit { request, bytes: 1 << 20 }]);
        }
        client.run();
        for request in credit.keys() {
            assert!(client.answers[request].ended, "seed {seed}: request {request} has not ended");
            support::check("GET", &client.answers[request]);
        }
    }
}

/// Bytes that are no commands at all.
#[test]
fn bytes() {
    let mut client = Client::new(files());
    for seed in 0..20_000 {
        let mut dice = Dice(seed);
        let mut batch = Batch::new();
        Peer::Is(0).encode(&mut batch);
        for _ in 0..dice.below(6) {
            let bytes: Vec<u8> = (0..dice.below(40)).map(|_| dice.roll() as u8).collect();
            batch.push(dice.below(7) as u8, dice.below(4) as u32, &bytes);
        }
        let mut packed = batch.into_bytes();
        if dice.below(3) == 0 {
            packed.truncate(dice.below(packed.len() as u64 + 1) as usize);
        }
        client.site.receive(&packed);
        client.site.transmit(|_, _, _| true);
    }
    assert_eq!(client.get("/app.js", &[]).text(), "js");
}
