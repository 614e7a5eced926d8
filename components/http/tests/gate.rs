//! Rules by host and path: what is answered in place of a handler.

mod common;
use common::{
    Bench, SECOND,
    responses::{self, Response},
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// `correctbatteryhorsestapler`, of cost 4
const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
/// `anna:correctbatteryhorsestapler`, `anna:wrong` and `otto:correctbatteryhorsestapler`
const RIGHT: &str = "YW5uYTpjb3JyZWN0YmF0dGVyeWhvcnNlc3RhcGxlcg==";
const WRONG: &str = "YW5uYTp3cm9uZw==";
const OTHER: &str = "b3R0bzpjb3JyZWN0YmF0dGVyeWhvcnNlc3RhcGxlcg==";

/// What a request is answered with on a connection of its own; 200 is a handler's.
fn ask(bench: &mut Bench, host: &str, target: &str, headers: &str) -> Response {
    let client = bench.connect();
    let before = bench.outside.order.len();
    bench.send(client, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"));
    if bench.outside.order.len() > before {
        bench.respond_text(bench.last().id, "x");
    }
    let responses = responses::read(bench.take(client).as_bytes(), &[]).unwrap();
    bench.finish(client);
    responses.into_iter().next().expect("an answer")
}

fn status(bench: &mut Bench, target: &str, headers: &str) -> u16 {
    ask(bench, "h", target, headers).status
}

#[test]
fn redirects() {
    let mut bench = Bench::with(&[
        ("rules.0.host", "WWW.example.org"),
        ("rules.0.redirect", "https://example.org/*"),
        ("rules.1.path", "/old/*"),
        ("rules.1.redirect", "/new/*"),
        ("rules.1.status", "308"),
        ("rules.2.path", "/*.php"),
        ("rules.2.redirect", "/*"),
        ("rules.2.status", "302"),
        ("rules.3.path", "/search"),
        ("rules.3.redirect", "https://find.example/?from=h"),
    ]);
    for (host, target, status, location) in [
        ("www.example.org", "/a/b?c=d", 301, "https://example.org/a/b?c=d"),
        ("www.example.org:8080", "/", 301, "https://example.org/"),
        ("www.Example.org.", "/old/x", 301, "https://example.org/old/x"),
        ("h", "/old/a/b?c=d&e", 308, "/new/a/b?c=d&e"),
        ("h", "/old", 308, "/new/"),
        ("h", "/%6fld/gr%C3%B6%C3%9Fe%20x", 308, "/new/gr%C3%B6%C3%9Fe%20x"),
        ("h", "/a/index.php?x", 302, "/a/index?x"),
        ("h", "/search?x", 301, "https://find.example/?from=h"),
        // it leads nowhere else
        ("h", "//evil.example/.php", 302, "/evil.example/"),
        ("h", "/%5Cevil.example/.php", 302, "/%5Cevil.example/"),
        ("h", "/old/%0D%0Aset-cookie:a", 308, "/new/%0D%0Aset-cookie:a"),
    ] {
        let answer = ask(&mut bench, host, target, "");
        assert_eq!((answer.status, answer.header("location")), (status, Some(location)), "{host} {target}");
    }
    assert!(bench.outside.order.is_empty(), "no handler has seen one of them");
    assert_eq!(ask(&mut bench, "example.org", "/a", "").status, 200);
    assert_eq!(status(&mut bench, "/new/old/", ""), 200);
    // a request with a body, which is not read
    let client = bench.connect();
    bench.send(client, "POST /old/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let text = bench.take(client);
    assert!(text.starts_with("HTTP/1.1 308 ") && text.contains("Connection: close\r\n"), "{text}");
    // for a host that no handler is for
    let mut bench = Bench::without_handler(&[("rules.0.host", "www.x"), ("rules.0.redirect", "http://x/*")]);
    bench.attach_handler(0, "x", "");
    assert_eq!(ask(&mut bench, "www.x", "/y", "").header("location"), Some("http://x/y"));
}

#[test]
fn allowed_addresses() {
    let mut bench = Bench::with(&[
        ("rules.0.path", "/admin/public/*"),
        ("rules.0.allow.0", "0.0.0.0/0"),
        ("rules.0.allow.1", "::/0"),
        ("rules.1.path", "/admin/*"),
        ("rules.1.allow.0", "192.0.2.0/24"),
        ("rules.1.allow.1", "2001:db8::/32"),
    ]);
    let v4 = |last| Ipv4Addr::new(192, 0, last, 9).to_ipv6_mapped();
    for (address, expected) in [
        (v4(2), 200),
        (v4(3), 403),
        ("2001:db8:1::1".parse().unwrap(), 200),
        ("2001:db9::1".parse().unwrap(), 403),
        (Ipv6Addr::LOCALHOST, 403),
    ] {
        bench.address = address;
        for target in
            ["/admin", "/admin/", "/admin/x?y", "/%61dmin/x", "//admin/x", "/a/../admin/x", "/./admin", "/admin%2Fx"]
        {
            assert_eq!(status(&mut bench, target, ""), expected, "{address} {target}");
        }
        for target in ["/", "/administrator", "/?/admin/", "/admin/public/x"] {
            assert_eq!(status(&mut bench, target, ""), 200, "{address} {target}");
        }
    }
}

#[test]
fn passwords() {
    let mut bench = Bench::with(&[
        ("rules.0.path", "/private/*"),
        ("rules.0.users.anna", HASH),
        ("rules.0.realm", "The house"),
        ("access-log", "common"),
    ]);
    let with = |credentials: &str| format!("Authorization: {credentials}\r\n");
    let answer = ask(&mut bench, "h", "/private/x", "");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"The house\", charset=\"UTF-8\""));
    for (credentials, expected) in [
        (format!("Basic {RIGHT}"), 200),
        (format!("basic  {RIGHT}"), 200),
        (format!("Basic {WRONG}"), 401),
        (format!("Basic {OTHER}"), 401),
        (format!("Bearer {RIGHT}"), 401),
        ("Basic".into(), 401),
        ("Basic !".into(), 401),
        ("Basic YW5uYQ==".into(), 401),
        (format!("Basic {}", "YW5u".repeat(1_000)), 401),
    ] {
        assert_eq!(status(&mut bench, "/private/x", &with(&credentials)), expected, "{credentials}");
        bench.wait(SECOND);
    }
    assert!(bench.logged(" - anna ["), "{:?}", bench.outside.log);
    assert_eq!(status(&mut bench, "/%70rivate/x", ""), 401);
    assert_eq!(status(&mut bench, "/public", ""), 200);
}

/// Whoever guesses passwords gets to do so now and then, and holds up nobody who has given the right one before.
#[test]
fn guesses_are_few() {
    let mut bench = Bench::with(&[("rules.0.users.anna", HASH)]);
    let with = |credentials: &str| format!("Authorization: Basic {credentials}\r\n");
    assert_eq!(status(&mut bench, "/", &with(RIGHT)), 200);
    bench.wait(SECOND);
    let guess = |bench: &mut Bench, address: u128| {
        bench.address = Ipv6Addr::from(address << 64);
        let answer = ask(bench, "h", "/", &with(WRONG));
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
        }
        answer.status
    };
    // all clients together
    let statuses: Vec<u16> = (1..=6).map(|client| guess(&mut bench, client)).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    // one client
    let statuses: Vec<u16> = (0..20)
        .map(|_| {
            bench.now += SECOND / 10;
            guess(&mut bench, 99)
        })
        .collect();
    let tried = statuses.iter().filter(|status| **status == 401).count();
    assert!((10..=12).contains(&tried), "{statuses:?}");
    bench.address = Ipv6Addr::from(99 << 64);
    assert_eq!(status(&mut bench, "/", &with(RIGHT)), 200, "it is known");
    bench.wait(2 * SECOND);
    assert_eq!(guess(&mut bench, 99), 401);
}

#[test]
fn rates() {
    let mut bench = Bench::with(&[
        ("rules.0.path", "/api/*"),
        ("rules.0.rate", "2/s"),
        ("rules.0.burst", "3"),
        ("rules.1.path", "/login"),
        ("rules.1.rate", "1/min"),
    ]);
    let statuses = |bench: &mut Bench, target: &str| [(); 4].map(|()| status(bench, target, ""));
    assert_eq!(statuses(&mut bench, "/api/x"), [200, 200, 200, 429]);
    assert_eq!(statuses(&mut bench, "/free"), [200; 4]);
    assert_eq!(statuses(&mut bench, "/login"), [200, 429, 429, 429]);
    let answer = ask(&mut bench, "h", "/login", "");
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")));
    bench.wait(SECOND);
    assert_eq!(statuses(&mut bench, "/api/x"), [200, 200, 429, 429]);
    // another client, and another of the same network
    bench.address = "2001:db8::1".parse().unwrap();
    assert_eq!(statuses(&mut bench, "/api/x"), [200, 200, 200, 429]);
    bench.address = "2001:db8::2".parse().unwrap();
    assert_eq!(statuses(&mut bench, "/api/x"), [429; 4]);
    bench.address = "2001:db8:0:1::1".parse().unwrap();
    assert_eq!(statuses(&mut bench, "/api/x"), [200, 200, 200, 429]);
}

/// A request that waits for room at its handler is counted once.
#[test]
fn a_request_that_waits_is_one_request() {
    let mut bench = Bench::with(&[("rules.0.rate", "1/min"), ("rules.0.burst", "2")]);
    bench.outside.handler_full = true;
    let first = bench.connect();
    bench.send(first, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    let second = bench.connect();
    bench.send(second, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..5 {
        bench.room = true;
        bench.wait(SECOND / 10);
    }
    bench.outside.handler_full = false;
    bench.room = true;
    bench.wait(SECOND / 10);
    assert_eq!(bench.requests().len(), 2);
    assert_eq!(status(&mut bench, "/3", ""), 429);
}
