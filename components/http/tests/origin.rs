//! Where requests come from, as proxies say; and whether a connection is for them.

mod common;
use common::{
    Bench, SECOND,
    two::{self, Two},
};
use std::net::{Ipv4Addr, Ipv6Addr};
use wit::{
    List,
    tcp::{Endpoint, Event, Secured},
};

const PROXY: Ipv6Addr = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
const OTHER: Ipv6Addr = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();

/// What a handler gets to know: the client, whether it has come securely, and the header lines.
fn seen(bench: &mut Bench, lines: &str) -> (String, bool, String) {
    let client = bench.connect();
    bench.send(client, format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
    let request = bench.last();
    (request.remote, request.is_https, request.headers)
}

#[test]
fn nobody_says_for_himself_where_he_is() {
    let forged = "X-Forwarded-For: 9.9.9.9\r\na: b\r\nForwarded: for=9.9.9.9;proto=https\r\nx-forwarded-proto: https\r\n\
        X_Forwarded_Host: evil\r\nX-Real-IP: 9.9.9.9\r\nc: d\r\n";
    let mut bench = Bench::with(&[("trusted-proxies.0", "10.0.0.0/8")]);
    bench.address = OTHER;
    let own = ("192.0.2.1".to_owned(), false, "a: b\r\nc: d\r\n".to_owned());
    assert_eq!(seen(&mut bench, forged), own);
    assert_eq!(seen(&mut bench, &format!("Connection: c\r\n{forged}")).2, "a: b\r\n");
    assert_eq!(seen(&mut Bench::new(), forged).2, own.2, "without any proxy that is trusted");
    bench.address = PROXY;
    assert_eq!(seen(&mut bench, forged), ("9.9.9.9".to_owned(), true, own.2.clone()));
    // the same head of a client that is not trusted, which is known already
    bench.address = OTHER;
    assert_eq!(seen(&mut bench, forged), own);
    let mut bench = Bench::with(&[("trusted-proxies", "10.0.0.1"), ("proxy-header", "forwarded")]);
    bench.address = PROXY;
    let lines = "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=\"[2001:db8::7]:80\"\r\nx-forwarded-proto: https\r\n";
    assert_eq!(seen(&mut bench, lines), ("2001:db8::7".to_owned(), false, String::new()));
    // over HTTP/2 as well
    let mut two = Two::connect(&mut bench);
    let mut get = two::get("/");
    get.headers_mut().insert("forwarded", "for=192.0.2.9;proto=http".parse().unwrap());
    get.headers_mut().insert("x-forwarded-for", "9.9.9.9".parse().unwrap());
    two.ask(&mut bench, get, true);
    let request = bench.last();
    assert_eq!((request.remote.as_str(), request.is_https), ("192.0.2.9", false));
    assert_eq!(request.headers, "");
}

/// Rules, rates and the log go by the client, one after the other on the same connection.
#[test]
fn what_a_trusted_proxy_says_counts() {
    let mut bench = Bench::with(&[
        ("trusted-proxies", "10.0.0.1"),
        ("access-log", "common"),
        ("rules.0.path", "/private/*"),
        ("rules.0.allow", "192.0.2.7"),
        ("rules.1.path", "/rated"),
        ("rules.1.rate", "1/min"),
        ("rules.2.scheme", "http"),
        ("rules.2.path", "/secure"),
        ("rules.2.redirect", "https://h/secure"),
    ]);
    bench.address = PROXY;
    let client = bench.connect();
    for (target, from, expected) in [
        ("/private/", "192.0.2.7", 200),
        ("/private/", "192.0.2.8", 403),
        ("/private/", "192.0.2.7, 192.0.2.8", 403),
        ("/rated", "192.0.2.7", 200),
        ("/rated", "192.0.2.8", 200),
        ("/rated", "192.0.2.7", 429),
        ("/secure", "192.0.2.7\r\nX-Forwarded-Proto: http", 301),
        ("/secure", "192.0.2.7\r\nX-Forwarded-Proto: https", 200),
    ] {
        let before = bench.outside.order.len();
        bench.send(client, format!("GET {target} HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {from}\r\n\r\n"));
        if bench.outside.order.len() > before {
            bench.respond_text(bench.last().id, "x");
        }
        let text = bench.take(client);
        assert!(text.starts_with(&format!("HTTP/1.1 {expected} ")), "{target} {from}: {text}");
    }
    assert!(bench.logged("192.0.2.8 - - ") && !bench.logged("10.0.0.1"));
}

/// All clients of a proxy come by its connections.
#[test]
fn a_proxy_may_have_many_connections() {
    for (key, header) in [("trusted-proxies", ""), ("proxy-protocol-from", "PROXY UNKNOWN\r\n")] {
        let mut bench = Bench::with(&[(key, "10.0.0.1"), ("client-connections", "3")]);
        for (address, expected) in [(PROXY, 10), (OTHER, 3)] {
            bench.address = address;
            let clients: Vec<_> = (0..10).map(|_| bench.connect()).collect();
            for &client in clients.iter().filter(|_| address == PROXY) {
                bench.send(client, header);
            }
            let open = clients.iter().filter(|&&client| !bench.client(client).closed).count();
            assert_eq!(open, expected, "{key} {address}");
        }
    }
}

#[test]
fn the_proxy_protocol() {
    let mut bench = Bench::with(&[("proxy-protocol-from", "10.0.0.1"), ("client-connections", "2")]);
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let second = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 8, 10, 0, 0, 1, 1, 2, 0, 80]].concat();
    bench.address = PROXY;
    for (header, expected) in [
        (&b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n"[..], "192.0.2.7"),
        (&second, "192.0.2.8"),
        (b"PROXY UNKNOWN\r\n", "10.0.0.1"),
    ] {
        let stream = [header, get.as_bytes()].concat();
        for step in [1, 20, stream.len()] {
            let client = bench.connect();
            stream.chunks(step).for_each(|part| bench.send(client, part));
            let request = bench.last();
            assert_eq!(request.remote, expected, "{header:?}");
            bench.respond_text(request.id, "x");
            assert!(bench.take(client).contains(" 200 OK"));
            bench.finish(client);
        }
    }
    // HTTP/2 in the clear, too
    let client = bench.connect();
    bench.send(client, "PROXY TCP4 192.0.2.9 10.0.0.1 5000 80\r\n");
    bench.send(client, [two::PREFACE, &two::frame(4, 0, 0, b""), &two::request(1)].concat());
    assert_eq!(bench.last().remote, "192.0.2.9");
    // it counts as the client's: a third one of the same makes room itself
    let connections: Vec<_> = (0..3)
        .map(|_| {
            let client = bench.connect();
            bench.send(client, "PROXY TCP4 192.0.2.10 10.0.0.1 5000 80\r\n");
            client
        })
        .collect();
    assert_eq!(connections.iter().filter(|&&client| !bench.client(client).closed).count(), 2);
    // what is none ends the connection, and is no request
    let before = bench.outside.order.len();
    for bad in [get, "PROXY TCP4 a b c d\r\n", "\r\n\r\n\0\r\nQUIT\n\u{1}\u{1}\u{1}\u{1}"] {
        let client = bench.connect();
        bench.send(client, bad);
        assert!(bench.client(client).aborted, "{bad}");
    }
    assert!(bench.logged("10.0.0.1: the connection does not begin with a header of the PROXY protocol"));
    // nor is a slow one waited for
    for part in ["", "PROXY TCP4 192.0."] {
        let client = bench.connect();
        bench.send(client, part);
        bench.wait(9 * SECOND);
        assert!(!bench.client(client).closed);
        bench.wait(SECOND);
        assert!(bench.client(client).aborted, "{part}");
    }
    // and of others there is none
    bench.address = OTHER;
    let client = bench.connect();
    bench.send(client, "PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(bench.take(client).starts_with("HTTP/1.1 400 "));
    assert_eq!(bench.outside.order.len(), before);
}

/// Whether a request for each of some hosts is taken on a connection on which the client has asked for `name`.
fn taken(bench: &mut Bench, name: &str, covers: Option<&[&str]>, hosts: &[&str]) -> Vec<bool> {
    let connection = 1_000 + bench.outside.clients.len() as u32;
    bench.accept(connection);
    let secured = Secured { name, protocol: "http/1.1", client: b"", covers: covers.map(List::from) };
    let remote = Endpoint { address: bench.address, port: 1 };
    bench.tcp_event(Event::Accepted { connection, remote, port: 443, secured: Some(secured) });
    let mut ask = |host: &&str| {
        let before = bench.outside.order.len();
        bench.send(connection, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let is_taken = bench.outside.order.len() > before;
        if is_taken {
            bench.respond_text(bench.last().id, "x");
        }
        let text = bench.take(connection);
        assert!(text.starts_with(if is_taken { "HTTP/1.1 200 " } else { "HTTP/1.1 421 " }), "{text}");
        is_taken
    };
    hosts.iter().map(&mut ask).collect()
}

#[test]
fn a_connection_is_for_the_hosts_of_its_certificate() {
    let mut bench = Bench::with(&[("trusted-proxies", "10.0.0.1")]);
    let covers: Option<&[&str]> = Some(&["a.example", "*.b.example"]);
    let hosts = ["a.example", "A.Example.:443", "x.b.example", "b.example", "x.y.b.example", "c.example", "a.example"];
    assert_eq!(taken(&mut bench, "a.example", covers, &hosts), [true, true, true, false, false, false, true]);
    // that the certificate is not for it is between the client and its user
    assert_eq!(taken(&mut bench, "c.example", covers, &hosts), [true, true, true, false, false, true, true]);
    // who has not said what he wants, as when it is an address, may have anything; so too if the names are not known
    assert_eq!(taken(&mut bench, "", covers, &["192.0.2.5", "c.example"]), [true, true]);
    assert_eq!(taken(&mut bench, "a.example", None, &["c.example"]), [true]);
    let many: Vec<String> = (0..1_000).map(|number| format!("{number}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(taken(&mut bench, "1.example", Some(&many), &["c.example"]), [true], "there are too many to keep");
    // a proxy's connections are for all its clients
    bench.address = PROXY;
    assert_eq!(taken(&mut bench, "a.example", covers, &["c.example"]), [true]);
}

/// Browsers take one connection of HTTP/2 for all hosts that its certificate is for.
#[test]
fn streams_for_several_hosts() {
    let mut bench = Bench::new();
    bench.covers = Some(&["h", "other.example"]);
    let mut two = Two::connect(&mut bench);
    for (host, expected) in [("h", true), ("other.example", true), ("third.example", false), ("h", true)] {
        let before = bench.outside.order.len();
        let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
        let asked = two.ask(&mut bench, request, true);
        assert_eq!(bench.outside.order.len() > before, expected, "{host}");
        if !expected {
            assert_eq!((asked.status(), asked.is_whole()), (421, true));
        }
    }
}
