//! Rules by host and path: what is answered in place of a handler.

mod common;
use common::{
    Bench, SECOND,
    responses::{self, Response},
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// `correctbatteryhorsestapler`, of cost 4
const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
/// of cost 8, and nobody knows of what
const OF_COST_8: &str = "$2b$08$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
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
        ("rules.4.path", "*.html"),
        ("rules.4.redirect", "/*"),
        ("rules.5.path", "*/.htm"),
        ("rules.5.redirect", "/*/c"),
        ("rules.6.path", "*.htm"),
        ("rules.6.redirect", "/*/c"),
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
        ("h", "/old//evil.example//x", 308, "/new/evil.example/x"),
        ("h", "/evil.example/x.html", 301, "/evil.example/x"),
        ("h", "//evil.example//x.html?a=//b", 301, "/evil.example/x?a=//b"),
        ("h", "/a/b.htm", 301, "/a/b/c"),
        ("h", "/evil.example/.htm", 301, "/evil.example/c"),
        // what is redirected stays as it was sent
        ("h", "/old/%6f%7e/a%3fb%25/%ff.x", 308, "/new/%6f%7e/a%3fb%25/%ff.x"),
        ("h", "/%6f%6cd/a%20b", 308, "/new/a%20b"),
        ("h", "/a%20b/gr%C3%B6%C3%9Fe.ph%70", 302, "/a%20b/gr%C3%B6%C3%9Fe"),
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
        for target in ["/admin", "/admin/", "/admin/x?y", "/%61dmin/x", "//admin/x", "/%61dmin//x"] {
            assert_eq!(status(&mut bench, target, ""), expected, "{address} {target}");
        }
        for target in ["/", "/administrator", "/?/admin/", "/admin/public/x"] {
            assert_eq!(status(&mut bench, target, ""), 200, "{address} {target}");
        }
    }
}

/// A path is judged as what it is routed as; where services may differ about what it is, it is refused.
#[test]
fn spellings_of_paths() {
    let rules = [
        ("rules.0.path", "/admin/*"),
        ("rules.0.allow.0", "192.0.2.0/24"),
        ("rules.1.path", "/echo/*"),
        ("rules.1.allow.0", "0.0.0.0/0"),
        ("rules.1.allow.1", "::/0"),
    ];
    let mut bench = Bench::without_handler(&rules);
    bench.attach_handler(0, "", "");
    bench.attach_handler(1, "", "/admin");
    bench.attach_handler(2, "", "/echo");
    bench.attach_handler(3, "admin.example", "");
    let asked = |bench: &mut Bench, host: &str, target: &str| {
        let answer = ask(bench, host, target, "").status;
        (answer, (answer == 200).then(|| bench.last().peer))
    };
    for target in [
        "/admin/../x",
        "/admin/..",
        "/admin/..%2Fx",
        "/admin/%2e%2E/x",
        "/admin/.%2e/x?y",
        "/admin/x%2F..%2F..%2Fp",
        "/./admin",
        "/admin/.",
        "/admin%2fx",
        "/x%5c..%5cadmin",
        "/echo/%00",
    ] {
        assert_eq!(asked(&mut bench, "h", target), (400, None), "{target}");
    }
    for (host, target, expected) in [
        ("h", "/admin/x", (403, None)),
        ("h", "//admin/x", (403, None)),
        ("h", "/%61dmin", (403, None)),
        ("h", "/x/...?/../%2F", (200, Some(0))),
        ("h", "/.well-known/x", (200, Some(0))),
        ("h", "/echo/x", (200, Some(2))),
        ("h", "//echo/x", (200, Some(2))),
        ("h", "/%65cho//x?y", (200, Some(2))),
        ("h", "/echo%3Fx", (200, Some(0))),
        ("ADMIN.example.:80", "/", (200, Some(3))),
        // reg-names of RFC 3986 may be escaped; no rule would know them then
        ("admin%2Eexample", "/", (400, None)),
    ] {
        assert_eq!(asked(&mut bench, host, target), expected, "{host} {target}");
    }
    // without rules a path is the handler's affair
    let mut bench = Bench::with(&[]);
    for target in ["/admin/../x", "/a%2Fb", "/%2e"] {
        assert_eq!(status(&mut bench, target, ""), 200, "{target}");
    }
}

/// A path without a star is that path alone: a service may lead from it to its folder, and the rule for that is another.
#[test]
fn paths_with_and_without_their_folder() {
    let mut bench = Bench::with(&[
        ("rules.0.path", "/q"),
        ("rules.0.redirect", "/q/"),
        ("rules.1.path", "/r/*"),
        ("rules.1.allow.0", "192.0.2.1"),
        ("rules.2.path", "/s"),
        ("rules.2.allow.0", "192.0.2.1"),
    ]);
    for (path, expected) in [
        ("/q", 301),
        ("/q/", 200),
        ("/q/x", 200),
        ("/r", 403),
        ("/r/", 403),
        ("/r/x", 403),
        ("/s", 403),
        ("/s/", 200),
        ("/s/x", 200),
    ] {
        assert_eq!(status(&mut bench, path, ""), expected, "{path}");
    }
}

#[test]
fn schemes() {
    let mut bench = Bench::with(&[
        ("rules.0.host", "example.org"),
        ("rules.0.scheme", "http"),
        ("rules.0.redirect", "https://example.org/*"),
        ("rules.1.scheme", "https"),
        ("rules.1.path", "/old/*"),
        ("rules.1.redirect", "/*"),
    ]);
    for (is_secured, target, expected) in [
        (false, "/old/x", (301, Some("https://example.org/old/x"))),
        (true, "/old/x", (301, Some("/x"))),
        (true, "/x", (200, None)),
    ] {
        bench.is_secured = is_secured;
        let answer = ask(&mut bench, "example.org", target, "");
        assert_eq!((answer.status, answer.header("location")), expected, "{is_secured} {target}");
    }
}

/// A handler that has no room holds up nothing that is not for it.
#[test]
fn rules_come_before_room() {
    let mut bench = Bench::with(&[
        ("rules.0.path", "/old/*"),
        ("rules.0.redirect", "/new/*"),
        ("rules.1.path", "/private/*"),
        ("rules.1.users.anna", HASH),
        ("rules.2.path", "/admin/*"),
        ("rules.2.allow.0", "192.0.2.0/24"),
    ]);
    bench.outside.handler_full = true;
    let first = bench.connect();
    bench.send(first, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(bench.take(first), "");
    for (target, expected) in [("/old/x", 301), ("/private/x", 401), ("/admin/x", 403)] {
        assert_eq!(status(&mut bench, target, ""), expected, "{target}");
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

/// A guess with a wrong password of a user.
fn guess(bench: &mut Bench, address: u128, credentials: &str) -> u16 {
    bench.address = Ipv6Addr::from(address << 64);
    let answer = ask(bench, "h", "/", &format!("Authorization: Basic {credentials}\r\n"));
    assert_eq!(answer.header("retry-after").is_some(), answer.status == 429);
    answer.status
}

/// Whoever guesses passwords gets to do so now and then, and holds up nobody else.
#[test]
fn guesses_are_few() {
    let mut bench = Bench::with(&[("rules.0.users.anna", HASH)]);
    assert_eq!(guess(&mut bench, 99, RIGHT), 200);
    bench.now += SECOND;
    let statuses: Vec<u16> = (0..20)
        .map(|_| {
            bench.now += SECOND;
            guess(&mut bench, 99, WRONG)
        })
        .collect();
    let tried = statuses.iter().filter(|status| **status == 401).count();
    assert!((4..=7).contains(&tried), "{statuses:?}");
    assert_eq!(guess(&mut bench, 99, RIGHT), 200, "it is known");
    bench.now += 10 * SECOND;
    assert_eq!(guess(&mut bench, 99, WRONG), 401);
}

/// All clients together get to guess for a part of the time, whatever else the table of clients has to hold; and whoever
/// was refused for that has lost none of its own guesses.
#[test]
fn guesses_of_all_are_bounded() {
    let mut bench = Bench::with(&[("rules.0.users.anna", OF_COST_8), ("rules.0.rate", "100/s")]);
    bench.now += SECOND;
    let mut tried = 0;
    for client in 1..=100 {
        match guess(&mut bench, client, WRONG) {
            401 => tried += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert!((20..=40).contains(&tried), "{tried}");
    for client in 1_000..40_000_u128 {
        bench.address = Ipv6Addr::from(client << 64);
        // where there is no room for so many, they share what their network may
        assert!(matches!(status(&mut bench, "/", ""), 401 | 429));
    }
    for _ in 0..10 {
        assert_eq!(guess(&mut bench, 500, WRONG), 429);
    }
    bench.now += 2 * SECOND;
    assert_eq!([(); 4].map(|()| guess(&mut bench, 500, WRONG)), [401; 4]);
}

/// One client that guesses as fast as it may leaves room for others to log in.
#[test]
fn a_guesser_holds_up_nobody() {
    let mut bench = Bench::with(&[("rules.0.users.anna", OF_COST_8), ("rules.0.users.zoe", HASH)]);
    for _ in 0..100 {
        bench.now += SECOND / 4;
        guess(&mut bench, 99, WRONG);
    }
    for client in 1..=8 {
        assert_eq!(guess(&mut bench, client, WRONG), 401);
    }
}

/// Every name takes as long, and is charged, as the password that takes longest.
#[test]
fn names_cost_the_same() {
    for credentials in [WRONG, OTHER] {
        let mut bench = Bench::with(&[("rules.0.users.anna", HASH), ("rules.0.users.zoe", OF_COST_8)]);
        let tried = (1..=100).filter(|&client| guess(&mut bench, client, credentials) == 401).count();
        assert!((20..=40).contains(&tried), "{credentials}: {tried}");
    }
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

/// Of each name the first rule's, in place of a handler's, on every answer; also where there is no handler.
#[test]
fn headers_are_on_all_answers() {
    let mut bench = Bench::with(&[
        ("rules.0.scheme", "https"),
        ("rules.0.headers.Strict-Transport-Security", "max-age=5"),
        ("rules.1.path", "/a/*"),
        ("rules.1.headers.x-a", "1"),
        ("rules.1.headers.x-b", "1"),
        ("rules.2.headers.x-b", "2"),
        ("rules.3.path", "/old"),
        ("rules.3.redirect", "/a/new"),
    ]);
    let ask = |bench: &mut Bench, is_secured: bool, path: &str| {
        bench.is_secured = is_secured;
        let client = bench.connect();
        let before = bench.outside.order.len();
        bench.send(client, format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        if bench.outside.order.len() > before {
            bench.respond(bench.last().id, 200, "content-length: 1\r\nX-A: own\r\nx-c: own\r\n", "x");
        }
        bench.take(client)
    };
    let answer = ask(&mut bench, true, "/a/b");
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx-c: own\r\nstrict-transport-security: max-age=5\r\nx-a: 1\r\nx-b: 1\r\n\r\nx";
    assert_eq!(answer, expected);
    assert_eq!(ask(&mut bench, true, "/a/b"), expected, "what is kept of heads is without them");
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nX-A: own\r\nx-c: own\r\nx-b: 2\r\n\r\nx";
    assert_eq!(ask(&mut bench, false, "/b"), plain);
    let redirect = ask(&mut bench, true, "/old");
    assert!(redirect.contains("\r\nstrict-transport-security: max-age=5\r\nx-b: 2\r\n\r\n"), "{redirect}");
    bench.detach_handler(0);
    assert!(ask(&mut bench, true, "/b").contains("\r\nstrict-transport-security: max-age=5\r\n"));
}

/// What is reported is of hosts that somebody else has named than the client, and not more often than once a second.
#[test]
fn hosts_have_figures_of_their_own() {
    use wit::figures::Figure;
    let mut bench = Bench::with(&[("rules.0.host", "A.example"), ("rules.0.rate", "1/min"), ("rules.0.burst", "2")]);
    bench.attach_handler(1, "b.example", "");
    bench.http.reports();
    bench.turn();
    assert_eq!(bench.outside.reported.len(), 1, "what there is at the start");
    let hosts = ["a.example", "a.example:80", "A.EXAMPLE", "b.example", "c.example", "d.example"];
    let statuses = hosts.map(|host| ask(&mut bench, host, "/", "").status);
    assert_eq!(statuses, [200, 200, 429, 200, 200, 200]);
    assert_eq!((bench.outside.reported.len(), bench.http.deadline()), (1, 2 * SECOND));
    bench.wait(SECOND);
    assert_eq!(bench.outside.reported.len(), 2);
    let mut all = bench.outside.reported.pop().unwrap();
    let requests = |host: &str, status: &str, count| {
        Figure::counter("requests", count).of("http", "1").of("status", status).of("host", host)
    };
    let text = "429 Too Many Requests: too many requests\n".len() as u64;
    let mut expected = vec![
        Figure::gauge("connections", 0).of("http", "1"),
        Figure::gauge("connections", 0).of("http", "2"),
        requests("a.example", "2xx", 2),
        requests("a.example", "4xx", 1),
        Figure::counter("body-bytes", 2 + text).of("host", "a.example"),
        Figure::counter("limited-requests", 1).of("host", "a.example"),
        requests("b.example", "2xx", 1),
        Figure::counter("body-bytes", 1).of("host", "b.example"),
        requests("other", "2xx", 2),
        Figure::counter("body-bytes", 2).of("host", "other"),
    ];
    let key = |figure: &Figure| format!("{figure:?}");
    all.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(all, expected);
    bench.wait(SECOND);
    assert!(bench.outside.reported.len() == 1 && bench.http.deadline() > bench.now + SECOND, "nothing has changed");
}
