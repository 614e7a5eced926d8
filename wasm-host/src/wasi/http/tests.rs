//! Both ends of a channel that the node holds, against a box that speaks it itself.

use super::*;
use crate::{
    arrows::channel::{Arrow, End, Port, Setup, Signal},
    boxes::Budget,
    system::known,
};
use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use wit::{
    Batch, INITIAL_CREDIT, Peer, Records,
    http::{Attach, Command, Event, Head, Scheme},
    tcp::Cause,
};

/// The port that the node holds, and the one of the other box.
fn ports(node: End) -> (Arc<Port>, Arc<Port>) {
    let port = |end| {
        Port::new(Setup {
            protocol: known::handler(),
            end,
            number: 0,
            owner: &"box".into(),
            signal: &Arc::<Signal>::default(),
            limit: 256 << 10,
            services: Vec::new(),
        })
    };
    let (client, service) = (port(End::Client), port(End::Service));
    let attach = Attach { host: "", path: "/api" }.encode();
    Arrow::join(&client, &service, attach, None, None);
    let (held, other) = if node == End::Service { (service, client) } else { (client, service) };
    held.attach();
    other.attach();
    (held, other)
}

fn say(port: &Port, commands: &[Command<'_>]) {
    let mut batch = Batch::new();
    commands.iter().for_each(|command| command.encode(&mut batch));
    assert!(port.send(0, batch.as_bytes()).unwrap());
}

fn tell(port: &Port, events: &[Event<'_>]) {
    let mut batch = Batch::new();
    events.iter().for_each(|event| event.encode(&mut batch));
    assert!(port.send(0, batch.as_bytes()).unwrap());
}

/// What the other box hears, in words.
fn heard(port: &Port) -> Vec<String> {
    let mut bytes = port.receive();
    let records = Records::new(bytes.buffer()).map(Result::unwrap).filter(|record| record.kind < Peer::FIRST_KIND);
    let words = records.map(|record| match (port.end(), record.kind) {
        (End::Client, _) => format!("{:?}", Event::decode(&record).unwrap()),
        (End::Service, _) => format!("{:?}", Command::decode(&record).unwrap()),
    });
    words.collect()
}

const HEAD: Head<'static> = Head {
    method: "POST",
    target: "/",
    authority: b"x",
    remote: core::net::Ipv6Addr::LOCALHOST,
    headers: b"a: b\r\n",
    scheme: Scheme::Http,
    upgrade: "",
};

fn get<'a>(target: &'a str, authority: &'a str) -> Asks<'a> {
    Asks { method: "GET", target, authority, scheme: Scheme::Http }
}

fn request(request: u32) -> Command<'static> {
    Command::Request { request, head: HEAD }
}

/// A server with one request, and its client.
fn asked() -> (Server, Arc<Port>, Asked, Arc<Budget>) {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(1 << 20);
    let server = Server::new(&held, &budget);
    say(&client, &[request(7)]);
    server.receive();
    let request = server.next().unwrap();
    (server, client, request, budget)
}

#[test]
fn a_body_is_read_as_it_comes_and_credited_in_steps() {
    let (server, client, Asked { exchange, head }, budget) = asked();
    assert_eq!((&*head.method, head.fields.get("A").next()), ("POST", Some(&b"b"[..])));
    assert_eq!(exchange.read(10), Read::Wait);
    let mut sent = 0;
    let mut got = 0;
    for _ in 0..10 {
        say(&client, &[Command::Body { request: 7, data: &[1; 16_384] }]);
        sent += 16_384;
        server.receive();
        while let Read::Some(bytes) = exchange.read(10_000) {
            got += bytes.len();
        }
        server.flush().unwrap();
        assert_eq!(heard(&client), ["Credit { request: 7, bytes: 16384 }"]);
    }
    assert_eq!(got, sent);
    say(&client, &[Command::Body { request: 7, data: b"end" }, Command::End { request: 7 }]);
    server.receive();
    assert_eq!((exchange.read(9), exchange.read(9)), (Read::Some(b"end".to_vec()), Read::End));
    drop((exchange, head, server));
    assert_eq!(budget.used(), 0);
}

#[test]
fn nothing_is_written_beyond_the_credit() {
    let (server, client, Asked { exchange, .. }, _budget) = asked();
    assert!(exchange.respond(200, b""));
    assert!(!exchange.respond(200, b""), "only one response");
    let all = exchange.credit().unwrap();
    assert_eq!(all, INITIAL_CREDIT as usize);
    exchange.write(&vec![0; all + 1]);
    assert_eq!((exchange.credit(), exchange.permit(), exchange.writable(None)), (Some(0), Some(0), false));
    server.flush().unwrap();
    say(&client, &[Command::Credit { request: 7, bytes: 5 }]);
    server.receive();
    assert_eq!(exchange.permit(), Some(5));
    exchange.finish(None);
    exchange.finish(None);
    server.flush().unwrap();
    assert_eq!(heard(&client).last().unwrap(), "End { request: 7 }");
    assert!(exchange.is_over() && exchange.permit().is_none());
    assert!(!exchange.fail("too late"));
}

#[test]
fn a_full_peer_holds_bodies_back() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(1 << 20);
    let server = Server::new(&held, &budget);
    let requests: Vec<_> = (0..8).map(request).collect();
    say(&client, &requests);
    server.receive();
    let exchanges: Vec<_> = core::iter::from_fn(|| server.next()).map(|request| request.exchange).collect();
    let mut written = 0;
    for exchange in &exchanges {
        exchange.respond(200, b"");
        while let Some(permit @ 1..) = exchange.permit() {
            exchange.write(&vec![0; permit]);
            written += permit;
            server.flush().unwrap();
        }
    }
    assert!(written <= (256 + 2 * 64) << 10, "{written} bytes for a client that reads nothing");
    heard(&client);
    server.flush().unwrap();
    assert!(exchanges[7].permit().unwrap() > 0, "there is room again");
}

#[test]
fn clients_that_break_the_rules_are_cut_off() {
    for rule in 0..3 {
        let (server, client, Asked { exchange, .. }, _budget) = asked();
        let body = |length| vec![0; length];
        let (one, other) = (body(60_000), body(6_000));
        match rule {
            0 => say(&client, &[Command::Body { request: 7, data: &one }, Command::Body { request: 7, data: &other }]),
            1 => say(&client, &[Command::End { request: 7 }, Command::Body { request: 7, data: &other }]),
            _ => say(&client, &[request(7)]),
        }
        server.receive();
        assert!(exchange.is_over(), "rule {rule}");
        assert_eq!(server.next().is_some(), rule == 2, "the second request under one number is a new one");
    }
    let (held, client) = ports(End::Service);
    let server = Server::new(&held, &Budget::new(1 << 20));
    let head = Head { headers: b"no colon\r\n", ..HEAD };
    say(&client, &[Command::Request { request: 1, head }, Command::Body { request: 9, data: b"of nothing" }]);
    server.receive();
    server.flush().unwrap();
    assert!(heard(&client)[0].starts_with("Failed { request: 1, "));
    assert!(server.next().is_none());
}

#[test]
fn a_request_that_is_cancelled_is_over() {
    let (server, client, Asked { exchange, .. }, _budget) = asked();
    say(&client, &[Command::Cancel { request: 7 }, request(8), Command::Cancel { request: 8 }]);
    server.receive();
    assert!(exchange.is_over() && exchange.failure().is_none());
    assert_eq!(exchange.read(1), Read::Failed(Fault::Cancelled));
    assert!(!exchange.respond(200, b"") && exchange.permit().is_none());
    assert!(server.next().is_none(), "the other one waits no longer");
    let (server, client, Asked { exchange, .. }, _budget) = asked();
    client.detach("crashed");
    server.receive();
    assert_eq!(exchange.read(1), Read::Failed(Fault::Gone("crashed".into())));
}

#[test]
fn too_many_requests_are_told_so() {
    let (held, client) = ports(End::Service);
    let server = Server::new(&held, &Budget::new(16 << 20));
    let requests: Vec<_> = (0..300).map(request).collect();
    say(&client, &requests);
    server.receive();
    server.flush().unwrap();
    let refused = heard(&client).into_iter().filter(|event| event.contains("status: 503")).count();
    assert_eq!(refused + core::iter::from_fn(|| server.next()).count(), 300);
    assert_eq!(refused, 44);
}

#[test]
fn what_requests_carry_is_charged() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(60_000);
    let server = Server::new(&held, &budget);
    let headers = format!("a: {}\r\n", "x".repeat(61_000));
    let head = Head { headers: headers.as_bytes(), ..HEAD };
    let data = [0; 26_000];
    let body = |request| Command::Body { request, data: &data };
    say(&client, &[Command::Request { request: 0, head }, request(1), body(1), request(2), body(2)]);
    server.receive();
    server.flush().unwrap();
    let heard = heard(&client);
    assert!(heard.iter().any(|event| event.contains("request: 0, status: 431")), "{heard:?}");
    assert!(heard.iter().any(|event| event.starts_with("Failed { request: 2")), "{heard:?}");
    let request = server.next().unwrap();
    assert_eq!((request.exchange.id, server.next().is_none()), (1, true));
    drop((request, server));
    assert_eq!(budget.used(), 0);
}

#[test]
fn trailers_of_a_request_and_of_its_answer() {
    let (server, client, Asked { exchange, .. }, budget) = asked();
    say(&client, &[Command::Body { request: 7, data: b"x" }]);
    say(&client, &[Command::Trailers { request: 7, lines: b"a: b\r\nHost: evil\r\n" }, Command::End { request: 7 }]);
    server.receive();
    assert_eq!((exchange.read(9), exchange.ended()), (Read::Some(b"x".to_vec()), Some(Ok(()))));
    assert_eq!(exchange.take_trailers().unwrap().lines(), b"a: b\r\n");
    let mut trailers = Fields::new(&budget);
    trailers.append("c", b"d").unwrap();
    exchange.respond(200, b"");
    exchange.finish(Some(&trailers));
    server.flush().unwrap();
    let said = format!("Trailers {{ request: 7, lines: {:?} }}", b"c: d\r\n");
    assert_eq!(heard(&client)[1..], [said, "End { request: 7 }".into()]);
    drop((exchange, trailers, server));
    assert_eq!(budget.used(), 0);
}

#[test]
fn trailers_where_there_can_be_none() {
    let once = Command::Trailers { request: 7, lines: b"a: b\r\n" };
    let part = Command::Body { request: 7, data: b"x" };
    for wrong in [
        &[once, once][..],
        &[Command::End { request: 7 }, once],
        &[once, part],
        &[Command::Trailers { request: 7, lines: b"a" }],
    ] {
        let (server, client, Asked { exchange, .. }, _) = asked();
        say(&client, wrong);
        server.receive();
        server.flush().unwrap();
        assert!(heard(&client).iter().any(|event| event.starts_with("Failed")), "{wrong:?}");
        assert!(exchange.is_over());
    }
    let (server, client, Asked { exchange, .. }, _) = asked();
    let much = b"a: b\r\n".repeat(10_000);
    say(&client, &[Command::Trailers { request: 7, lines: &much }]);
    server.receive();
    assert!(exchange.is_over(), "within the limit of fields");
}

/// Who wants to know how a body ends, and not what is in it.
#[test]
fn a_body_that_is_skipped_comes_to_its_end() {
    let (server, client, Asked { exchange, .. }, _) = asked();
    say(&client, &[Command::Body { request: 7, data: &[1; 20_000] }]);
    server.receive();
    exchange.skip();
    for _ in 0..5 {
        say(&client, &[Command::Body { request: 7, data: &[1; 16_384] }]);
        server.receive();
    }
    server.flush().unwrap();
    assert_eq!(heard(&client).len(), 6, "credit goes back");
    assert!(!exchange.has_ended(None));
    say(&client, &[Command::End { request: 7 }]);
    server.receive();
    assert!(exchange.has_ended(None) && exchange.read(9) == Read::End);
}

#[test]
fn a_box_asks_and_reads_the_answer() {
    let (held, service) = ports(End::Client);
    let budget = Budget::new(1 << 20);
    let client = Client::new(&held, &budget);
    let fields = Fields::new(&budget);
    let ask = |target: &str| client.send(Asks { scheme: Scheme::Https, ..get(target, "any.host:80") }, &fields);
    assert_eq!(ask("/api/x").unwrap_err(), Denied::Down, "nobody is there yet");
    client.receive();
    assert_eq!(ask("/apix").unwrap_err(), Denied::NoArrow);
    assert_eq!(ask(&"/api".repeat(20_000)).unwrap_err(), Denied::TooLong);
    let (exchange, reader) = ask("/api/x").unwrap();
    exchange.finish(None);
    client.flush().unwrap();
    let asked = heard(&service);
    let authority = format!("target: \"/api/x\", authority: {:?}", b"any.host:80");
    assert!(asked[0].contains(&authority), "{asked:?}");
    assert_eq!(asked[1], "End { request: 0 }");
    assert!(!reader.has_response(None) && reader.take_response().is_none());
    let headers = b"content-length: 2\r\n";
    assert!(asked[0].contains("scheme: Https"), "{asked:?}");
    tell(&service, &[Event::Response { request: 0, status: 103, headers: b"link: x\r\n" }]);
    tell(&service, &[Event::Response { request: 0, status: 200, headers }, Event::Body { request: 0, data: b"ok" }]);
    tell(&service, &[Event::Trailers { request: 0, lines: b"t: u\r\n" }, Event::End { request: 0 }]);
    client.receive();
    let (status, fields) = reader.take_response().unwrap().unwrap();
    assert_eq!((status, fields.content_length()), (200, Ok(Some(2))));
    assert_eq!((reader.read(9), reader.read(9)), (Read::Some(b"ok".to_vec()), Read::End));
    assert_eq!(reader.take_trailers().unwrap().lines(), b"t: u\r\n");
    drop((exchange, reader, fields));
    client.flush().unwrap();
    assert!(heard(&service).is_empty(), "it was over, so there is nothing to cancel");
    drop(client);
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_has_failed_on_the_way_to_another_host_is_told() {
    let (held, service) = ports(End::Client);
    let client = Client::new(&held, &Budget::new(1 << 20));
    client.receive();
    let (_exchange, reader) = client.send(get("/api", "x"), &Fields::new(&Budget::new(1 << 20))).unwrap();
    let why = "the other side refused";
    tell(&service, &[Event::Fault { request: 0, cause: Cause::Alert, alert: 40 }, Event::Failed { request: 0, why }]);
    client.receive();
    assert_eq!(reader.take_response().unwrap().unwrap_err(), Fault::Way(Cause::Alert, 40, why.into()));
}

#[test]
fn an_answer_that_nobody_reads_is_cancelled() {
    let (held, service) = ports(End::Client);
    let budget = Budget::new(1 << 20);
    let client = Client::new(&held, &budget);
    client.receive();
    let (exchange, reader) = client.send(get("/api", "x"), &Fields::new(&budget)).unwrap();
    drop(reader);
    client.flush().unwrap();
    assert_eq!(heard(&service).last().unwrap(), "Cancel { request: 0 }");
    assert!(exchange.is_over() && exchange.permit().is_none());
}

#[test]
fn services_that_break_the_rules_are_not_believed() {
    let response = Event::Response { request: 0, status: 200, headers: b"" };
    let body = Event::Body { request: 0, data: b"x" };
    let end = Event::End { request: 0 };
    let malformed = Event::Response { request: 0, status: 200, headers: b"\r\n" };
    for events in [&[body][..], &[end], &[response, response], &[malformed], &[response, end, body]] {
        let (held, service) = ports(End::Client);
        let budget = Budget::new(1 << 20);
        let client = Client::new(&held, &budget);
        client.receive();
        let (exchange, reader) = client.send(get("/api", "x"), &Fields::new(&budget)).unwrap();
        tell(&service, events);
        client.receive();
        assert!(exchange.is_over(), "{events:?}");
        let fine = events.len() == 3;
        assert_eq!(matches!(reader.ended(), Some(Ok(()))), fine, "{events:?}");
    }
}

#[test]
fn a_service_that_goes_takes_its_answers_with_it() {
    let (held, service) = ports(End::Client);
    let budget = Budget::new(1 << 20);
    let client = Client::new(&held, &budget);
    client.receive();
    let (_exchange, reader) = client.send(get("/api", "x"), &Fields::new(&budget)).unwrap();
    service.detach("trapped");
    client.receive();
    assert_eq!(reader.take_response().unwrap().unwrap_err(), Fault::Gone("trapped".into()));
    let again = client.send(get("/api", "x"), &Fields::new(&budget));
    assert_eq!(again.unwrap_err(), Denied::Down);
}

#[test]
fn a_body_goes_where_it_is_sent_and_is_as_long_as_it_says() {
    let (server, client, Asked { exchange, .. }, budget) = asked();
    // written before it is known where it goes
    let body = OutBody::new(&budget, Side::Service, Some(5)).unwrap();
    assert!(body.write(b"he").is_ok() && exchange.respond(200, b""));
    body.attach(&exchange, false);
    assert!(body.write(b"llo").is_ok());
    assert_eq!(body.finish(None), Ok(()));
    assert_eq!((body.finish(None), body.permit()), (Ok(()), None));
    body.give_up();
    server.flush().unwrap();
    let heard = heard(&client);
    assert_eq!((heard.len(), &*heard[3]), (4, "End { request: 7 }"));

    type Fail = fn(&OutBody);
    let failing: [(&str, Fail); 3] = [
        ("shorter", |body| assert_eq!(body.finish(None), Err(WrongLength { side: Side::Service, written: 2 }))),
        ("given up", |body| body.give_up()),
        ("given up", |body| {
            body.give_up();
            assert!(body.finish(None).is_err());
        }),
    ];
    for (why, fail) in failing {
        let (_server, _client, Asked { exchange, .. }, budget) = asked();
        let body = OutBody::new(&budget, Side::Service, Some(5)).unwrap();
        body.write(b"he").unwrap();
        body.attach(&exchange, false);
        fail(&body);
        assert!(exchange.failure().unwrap().contains(why), "{why}");
    }
    let held = OutBody::new(&budget, Side::Service, None).unwrap();
    let permit = held.permit().unwrap();
    assert!(held.write(&vec![0; permit]).is_ok() && !held.writable(None));
    assert_eq!(held.permit(), Some(0));
}

/// G7: the message is as long as it says, whether it was written before or after its head, and the box is told.
#[test]
fn what_is_beyond_a_content_length_is_not_sent() {
    for early in [false, true] {
        let (server, client, Asked { exchange, .. }, budget) = asked();
        let body = OutBody::new(&budget, Side::Service, Some(3)).unwrap();
        let wrong = WrongLength { side: Side::Service, written: 10 };
        let write = || assert_eq!(body.write(b"0123456789"), Err(wrong));
        if early {
            write();
        }
        assert!(exchange.respond(200, b""));
        body.attach(&exchange, false);
        if !early {
            write();
        }
        assert_eq!((body.finish(None), body.permit()), (Err(wrong), None));
        server.flush().unwrap();
        let body = format!("Body {{ request: 7, data: {:?} }}", b"012");
        assert_eq!(heard(&client)[1..], [body, "End { request: 7 }".into()], "{early}");
        assert!(exchange.failure().unwrap().contains("longer") && !exchange.is_broken());
    }
}

/// G8: a box sends all of its request's body before it reads anything of the response, which grows meanwhile.
#[test]
fn a_response_is_held_while_the_request_is_written() {
    let (held, service) = ports(End::Client);
    let budget = Budget::new(4 << 20);
    let client = Client::new(&held, &budget);
    client.receive();
    let (exchange, reader) = client.send(get("/api", "x"), &Fields::new(&budget)).unwrap();
    let mut allowance = INITIAL_CREDIT as usize;
    let mut sent = 0;
    let data = [1; 16_384];
    tell(&service, &[Event::Response { request: 0, status: 200, headers: b"" }]);
    while allowance >= data.len() && sent < 8 << 20 {
        tell(&service, &[Event::Body { request: 0, data: &data }]);
        (sent, allowance) = (sent + data.len(), allowance - data.len());
        client.receive();
        client.flush().unwrap();
        for said in heard(&service) {
            if let Some(credit) = said.strip_prefix("Credit { request: 0, bytes: ") {
                allowance += credit.trim_end_matches(" }").parse::<usize>().unwrap();
            }
        }
    }
    assert!(sent > 2 << 20 && budget.used() <= 3 << 20, "{sent} bytes in {}", budget.used());
    exchange.finish(None);
    let mut read = 0;
    while let Read::Some(bytes) = reader.read(usize::MAX) {
        read += bytes.len();
    }
    assert_eq!(read, sent);
    assert!(budget.used() < 200 << 10, "what has been read is given back: {}", budget.used());
    tell(&service, &[Event::Body { request: 0, data: &data }, Event::End { request: 0 }]);
    client.receive();
    assert!(matches!(reader.read(usize::MAX), Read::Some(_)));
    drop((exchange, reader, client));
    assert_eq!(budget.used(), 0);
}

/// The client has taken nothing for a while, so that there was no room to give it credit: when there is, one flush gives it.
#[test]
fn a_credit_that_waits_is_sent_as_soon_as_there_is_room() {
    let (server, client, Asked { exchange, .. }, budget) = asked();
    say(&client, &[request(8)]);
    server.receive();
    let other = server.next().unwrap().exchange;
    other.respond(200, b"");
    // the client's inbox, and then what may wait for it
    say(&client, &[Command::Credit { request: 8, bytes: 1 << 20 }]);
    server.receive();
    while let Some(permit @ 1..) = other.permit() {
        other.write(&vec![0; permit]);
        server.flush().unwrap();
    }
    say(&client, &[Command::Body { request: 7, data: &[1; 40_000] }]);
    server.receive();
    while let Read::Some(_) = exchange.read(usize::MAX) {}
    server.flush().unwrap();
    let credit = |said: Vec<String>| said.iter().any(|said| said.starts_with("Credit { request: 7"));
    assert!(!credit(heard(&client)), "there is no room");
    server.flush().unwrap();
    assert!(credit(heard(&client)));
    drop((exchange, other, server));
    assert_eq!(budget.used(), 0);
}

/// The box at the other end is being replaced: it is let go when nothing is open with it.
#[test]
fn a_service_that_retires_is_let_go() {
    let (held, service) = ports(End::Client);
    let client = Client::new(&held, &Budget::new(1 << 20));
    client.receive();
    let fields = Fields::from_lines(&Budget::new(1 << 20), b"").unwrap();
    let (_exchange, _reader) = client.send(get("/api", "h"), &fields).unwrap();
    client.flush().unwrap();
    heard(&service);
    let arrow = held.arrows().remove(0);
    arrow.retire(End::Client);
    client.receive();
    client.flush().unwrap();
    assert!(arrow.is_joined(), "a request is open");
    assert!(client.send(get("/api", "h"), &fields).is_err(), "nothing new is begun");
    tell(&service, &[Event::Failed { request: 0, why: "for the test" }]);
    client.receive();
    client.flush().unwrap();
    assert!(!arrow.is_joined());
}

#[test]
fn a_server_knows_whether_clients_are_there() {
    let (server, client, _request, _budget) = asked();
    assert!(server.has_peers());
    client.arrows()[0].unlink("moved");
    server.receive();
    assert!(!server.has_peers());
}
