//! Boxes that are ordinary WASI HTTP components: the system `examples/wasi`.

use std::{io::Read, thread};
use tests::{
    On, TestNode,
    client::{Raw, curl},
    node::PATIENCE,
    on_each, on_one_node,
};

on_one_node!(
    "wasi",
    requests_are_answered,
    bodies_are_streamed_both_ways,
    trailers_pass_both_ways,
    a_slow_reader_holds_nobody_up,
    clients_that_leave_are_no_failures,
    who_has_no_arrow_asks_nobody,
    requests_are_worked_on_at_once,
    an_instance_answers_as_many_requests_as_its_box_says,
    more_requests_than_instances_fit_wait_for_one,
    one_instance_of_0_3_works_on_many_requests,
    an_instance_that_holds_too_much_is_replaced,
    a_handler_that_says_it_is_done_has_not_failed,
    a_status_that_is_none_is_refused,
    a_client_has_the_address_that_it_comes_from,
    a_body_of_any_size_is_read_by_who_drops_nothing,
    who_may_ask_nobody_is_told_so,
    a_body_ends_where_its_length_says,
    answers_are_waited_for_as_long_as_a_box_says,
    what_the_node_gives,
    settings_and_log_have_faces_of_their_own,
    // the instance that it leaves stuck has its memory for a while
    a_body_before_its_head_is_named,
);

on_each!(
    a_trap_in_0_3_ends_the_instance,
    a_body_over_the_limit_of_http_is_refused,
    components_are_fused_into_one,
    a_handler_is_called_by_its_other_exports_too,
    failures_stay_with_their_request,
    a_backtrace_has_the_names_of_the_source,
    a_whole_body_is_sent_before_the_answer_is_read,
);

fn requests_are_answered(node: &TestNode) {
    for prefix in ["", "/front", "/relay"] {
        let answer = curl(&[], &node.url(&format!("{prefix}/Ada?x=y")));
        assert_eq!((answer.status, &*answer.text()), (200, "Hello, Ada!\n"), "{prefix}");
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        let head = curl(&["--head"], &node.url(&format!("{prefix}/Ada")));
        assert_eq!((head.status, head.header("content-length")), (200, Some("12")), "{prefix}");
        assert_eq!(curl(&["--request", "DELETE"], &node.url(&format!("{prefix}/Ada"))).status, 405, "{prefix}");
    }
}

fn bodies_are_streamed_both_ways(node: &TestNode) {
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(|n| [n as u8, (n >> 11) as u8]).take(4 << 20).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &body).expect("written");
    let upload = format!("@{}", file.path().display());
    for path in ["/echo", "/front/echo", "/relay/echo"] {
        for header in ["Content-Type: text/x-test", "Transfer-Encoding: chunked"] {
            let answer = curl(&["--header", header, "--data-binary", &upload], &node.url(path));
            assert_eq!((answer.status, answer.body.len()), (200, body.len()), "{path}, {header}");
            assert!(answer.body == body, "{path}, {header}: other bytes");
        }
    }
    let memory = node.box_status("front")["memory"].as_u64().expect("a number");
    assert!(memory <= 16 << 20, "{memory}");
}

/// From the client to the handler and back, through WASI 0.2, twice 0.2, and 0.3.
fn trailers_pass_both_ways(node: &TestNode) {
    for path in ["/echo", "/front/echo", "/relay/echo"] {
        for takes in ["", "TE: trailers\r\n"] {
            let mut raw = Raw::connect(&node.authority());
            raw.say(format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{takes}").as_bytes());
            raw.say(b"Trailer: Digest\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            raw.say(b"0\r\nDigest: abc\r\nContent-Length: 9\r\n\r\n");
            let heard = String::from_utf8_lossy(&raw.hear_all()).into_owned();
            assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("hello"), "{path}: {heard}");
            let trailers = if takes.is_empty() { "" } else { "Digest: abc\r\n" };
            assert!(heard.ends_with(&format!("\r\n0\r\n{trailers}\r\n")), "{path}: {heard}");
        }
    }
}

fn a_slow_reader_holds_nobody_up(node: &TestNode) {
    let mut slow: Vec<Raw> = (0..2)
        .map(|_| {
            let mut raw = Raw::connect(&node.authority());
            raw.say(b"GET /trials/bytes?3000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            raw.hear_until(b"\r\n\r\n");
            raw
        })
        .collect();
    assert_eq!(curl(&[], &node.url("/trials/well")).text(), "well");
    assert_eq!(curl(&[], &node.url("/front/Ada")).text(), "Hello, Ada!\n");
    // one goes away, the other reads after all
    drop(slow.pop());
    let mut rest = Vec::new();
    slow[0].0.read_to_end(&mut rest).expect("the body");
    assert_eq!(rest.len(), 3_000_000);
    assert_eq!(curl(&[], &node.url("/trials/well")).text(), "well");
}

/// What the box `trials` does, and what its log then says. All of it ends its instance, or only the request.
const FAILURES: &[(&str, &str)] = &[
    ("trap", "GET /trials/trap: wasm trap: wasm `unreachable` instruction executed"),
    ("silent", "GET /trials/silent: returned without a response"),
    ("error", "gave an error in place of a response: ErrorCode::LoopDetected"),
    ("unfinished", "the body was given up before it was complete"),
    ("short", "the body is shorter than its content-length"),
    ("exit", "called exit with code 1"),
    ("spin", "ran for 5 s without waiting (watchdog)"),
    ("eat", "more memory than its limit of 6144 KiB"),
    ("many", "has 4096 resources and wants more"),
    ("fields", "made HTTP fields of more than 131072 bytes"),
    ("nothing", "polled an empty list"),
];

fn failures_stay_with_their_request(on: On) {
    let node = TestNode::start("wasi", on);
    for (failure, reason) in FAILURES {
        let position = node.node.console().position();
        let mut raw = Raw::connect(&node.authority());
        raw.say(format!("GET /trials/{failure} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        let heard = String::from_utf8_lossy(&raw.hear_all()).into_owned();
        // where the head was sent before, the body is cut short
        let begun = ["unfinished", "short"].contains(failure);
        assert!(heard.starts_with("HTTP/1.1 502 ") || begun, "{failure}: {heard}");
        let said = |line: &str| line.contains("] trials: ") && line.contains(reason);
        let waited = node.node.console().wait_from(position, reason, said, PATIENCE);
        waited.unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(curl(&[], &node.url("/trials/well")).text(), "well", "after {failure}");
    }
    let mut raw = Raw::connect(&node.authority());
    raw.say(b"GET /trials/late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let heard = String::from_utf8_lossy(&raw.hear_all()).into_owned();
    assert!(!heard.ends_with("0\r\n\r\n"), "{heard}");
    assert_eq!(curl(&[], &node.url("/trials/well")).text(), "well");
    node.power_off();
}

/// The box traps when it finds that nobody reads any more.
fn clients_that_leave_are_no_failures(node: &TestNode) {
    let position = node.node.console().position();
    let mut raw = Raw::connect(&node.authority());
    raw.say(b"GET /trials/bytes?30000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.hear_until(b"\r\n\r\n");
    drop(raw);
    let what = "after the client had gone";
    let said = |line: &str| line.contains("] trials: ") && line.contains(what);
    let waited = node.node.console().wait_from(position, what, said, PATIENCE);
    waited.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(curl(&[], &node.url("/trials/well")).text(), "well");
}

/// Not all have an instance at once, as their memory is limited, but all get one.
fn requests_are_worked_on_at_once(node: &TestNode) {
    let before = node.status()["uptime"].as_u64().expect("a number");
    let url = node.url("/trials/sleep?2000");
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(curl(&[], &url).text(), "slept"));
        }
    });
    let after = node.status()["uptime"].as_u64().expect("a number");
    assert!(after - before >= 2_000_000_000, "{before} to {after}");
    let memory = node.box_status("trials")["memory"].as_u64().expect("a number");
    assert!(memory <= 6 << 20, "{memory}");
}

fn who_has_no_arrow_asks_nobody(node: &TestNode) {
    let position = node.node.console().position();
    assert_eq!(curl(&[], &node.url("/alone/Ada")).status, 502);
    node.wait_for(
        position,
        "alone: error: GET /alone/Ada: gave an error in place of a response: ErrorCode::HttpRequestDenied",
    );
}

fn an_instance_answers_as_many_requests_as_its_box_says(node: &TestNode) {
    for count in 1..=3 {
        assert_eq!(curl(&[], &node.url("/trials/count")).text(), "1", "one");
        assert_eq!(curl(&[], &node.url("/again/count")).text(), count.to_string(), "and the next");
    }
}

/// Two instances or three fit into the memory of the box, and are used again.
fn more_requests_than_instances_fit_wait_for_one(node: &TestNode) {
    let mut clients: Vec<Raw> = (0..16).map(|_| Raw::connect(&node.authority())).collect();
    for round in 0..20 {
        for client in &mut clients {
            client.say(b"GET /again/well HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        for client in &mut clients {
            let heard = String::from_utf8_lossy(&client.hear_until(b"well")).into_owned();
            assert!(heard.starts_with("HTTP/1.1 200 "), "round {round}: {heard}");
        }
    }
}

fn one_instance_of_0_3_works_on_many_requests(node: &TestNode) {
    let url = node.url("/relay/sleep?2000");
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(curl(&[], &url).text(), "slept"));
        }
    });
    let most: u32 = curl(&[], &node.url("/relay/most")).text().parse().expect("a number");
    assert!(most > 1, "{most} at once");
    // a fault of one request is its own
    for (fault, reason) in [("error", "ErrorCode::LoopDetected"), ("short", "shorter than its content-length")] {
        let position = node.node.console().position();
        let mut raw = Raw::connect(&node.authority());
        raw.say(format!("GET /relay/{fault} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        let heard = String::from_utf8_lossy(&raw.hear_all()).into_owned();
        assert!(heard.starts_with("HTTP/1.1 502 ") || fault == "short", "{fault}: {heard}");
        node.wait_for(position, reason);
    }
}

fn a_trap_in_0_3_ends_the_instance(on: On) {
    let node = TestNode::start("wasi", on);
    for (fault, reason) in [("trap", "wasm `unreachable` instruction executed"), ("spin", "(watchdog)")] {
        let position = node.node.console().position();
        assert_eq!(curl(&[], &node.url(&format!("/relay/{fault}"))).status, 502, "{fault}");
        let said = |line: &str| line.contains("] relay: ") && line.contains(reason);
        let waited = node.node.console().wait_from(position, reason, said, PATIENCE);
        waited.unwrap_or_else(|error| panic!("{error:#}"));
        let again = curl(&["--retry", "20", "--retry-delay", "1"], &node.url("/relay/Ada"));
        // curl keeps what came before it tried again
        assert!(again.text().ends_with("Hello, Ada!\n"), "after {fault}: {again:?}");
    }
    let status = node.box_status("relay");
    assert_eq!(status["restarts"], 2, "{status}\n{}", node.node.console().end());
    assert_eq!(node.box_status("hello")["restarts"], 0);
    node.power_off();
}

/// Each request leaves a stream behind. None fails for that, and none that is under way when an instance is replaced.
fn an_instance_that_holds_too_much_is_replaced(node: &TestNode) {
    let mut slow = Raw::connect(&node.authority());
    slow.say(b"POST /relay/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    let heard = String::from_utf8_lossy(&slow.hear_until(b"first")).into_owned();
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    let mut raw = Raw::connect(&node.authority());
    for count in 0..800 {
        raw.say(b"GET /relay/leak HTTP/1.1\r\nHost: x\r\n\r\n");
        let heard = String::from_utf8_lossy(&raw.hear_until(b"leaked")).into_owned();
        assert!(heard.starts_with("HTTP/1.1 200 "), "{count}: {heard}");
    }
    slow.say(b"4\r\nlast\r\n0\r\n\r\n");
    slow.hear_until(b"last\r\n0\r\n\r\n");
}

/// W1. The box `trials` exports `wasi:cli/run` as well, which nobody calls (G4).
fn a_handler_that_says_it_is_done_has_not_failed(node: &TestNode) {
    let position = node.node.console().position();
    for _ in 0..3 {
        assert_eq!(curl(&[], &node.url("/trials/done")).text(), "done");
        assert_eq!(curl(&[], &node.url("/again/done")).text(), "done");
    }
    let lines = node.node.console().lines_from(position);
    assert!(!lines.iter().any(|line| line.contains("called exit")), "{lines:?}");
}

/// W4
fn a_status_that_is_none_is_refused(node: &TestNode) {
    for path in ["/trials/status", "/relay/status"] {
        assert_eq!(curl(&[], &node.url(path)).text(), "refused", "{path}");
    }
}

/// W3: what a client says of itself reaches nobody.
fn a_client_has_the_address_that_it_comes_from(node: &TestNode) {
    // on Linux, and through QEMU's network
    let own = ["127.0.0.1", "10.0.2.2"].map(|it| format!("[[\"for={it};proto=http\"], [\"{it}\"], []]"));
    let lies = ["-H", "forwarded: for=192.0.2.1", "-H", "x-forwarded-for: 192.0.2.1", "-H", "x-real-ip: 192.0.2.1"];
    for path in ["/trials/client", "/relay/client"] {
        for told in [&[][..], &lies] {
            let said = curl(told, &node.url(path)).text();
            assert!(own.contains(&said), "{path} {told:?}: {said}");
        }
    }
}

/// W6
fn a_backtrace_has_the_names_of_the_source(on: On) {
    let node = TestNode::start("wasi", on);
    let position = node.node.console().position();
    assert_eq!(curl(&[], &node.url("/trials/panic")).status, 502);
    node.wait_for(position, "] trials: error:     at core::panicking::panic_fmt");
    node.power_off();
}

/// G2: of 16 MB, 8 KB at a time.
fn a_body_of_any_size_is_read_by_who_drops_nothing(node: &TestNode) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), vec![b'x'; 16 << 20]).expect("written");
    let upload = format!("@{}", file.path().display());
    let answer = curl(&["--data-binary", &upload], &node.url("/trials/drain"));
    assert_eq!((answer.status, &*answer.text()), (200, "16777216"));
}

/// G6
fn who_may_ask_nobody_is_told_so(node: &TestNode) {
    let refused = "Err(ErrorCode::HttpRequestDenied)";
    assert_eq!(curl(&[], &node.url("/apart/refused")).text(), format!("{refused}, {refused}"));
}

/// G7, in 0.2 and 0.3: what is beyond is not sent, and the box's log says so.
fn a_body_ends_where_its_length_says(node: &TestNode) {
    for (path, length, body) in [("/trials/long", "3", "xxx"), ("/relay/long", "4", "long")] {
        let position = node.node.console().position();
        let answer = curl(&[], &node.url(path));
        let seen = (answer.status, answer.header("content-length"), answer.text());
        assert_eq!(seen, (200, Some(length), body.into()), "{path}");
        node.wait_for(position, "the body is longer than its content-length: what is beyond was not sent");
    }
}

/// G7: `first-byte-timeout` and `between-bytes-timeout`, in the words of wasmtime.
fn answers_are_waited_for_as_long_as_a_box_says(node: &TestNode) {
    let late = "ErrorCode::ConnectionReadTimeout";
    assert_eq!(curl(&[], &node.url("/trials/first?100")).text(), late);
    assert_eq!(curl(&[], &node.url("/trials/between?100")).text(), format!("4 Some({late})"));
    assert_eq!(curl(&[], &node.url("/relay/late?100")).text(), format!("4 Err({late})"));
}

/// G7: `body-bytes` of the http box, which is 64 MiB unless told.
fn a_body_over_the_limit_of_http_is_refused(on: On) {
    let folder = tempfile::tempdir().expect("a folder");
    let example = tests::node::workspace().join("examples/wasi");
    let system = std::fs::read_to_string(example.join("system.toml")).expect("the example");
    let system = system.replace("\"./", &format!("\"{}/", example.display()));
    let system = system.replace("component = \"http\"\n", "component = \"http\"\nconfig.body-bytes = \"1 KiB\"\n");
    std::fs::write(folder.path().join("system.toml"), system).expect("written");
    let node = TestNode::start_system(folder.path(), on);
    for (length, status) in [(1_024, 200), (1_025, 413)] {
        let answer = curl(&["--data-binary", &"x".repeat(length)], &node.url("/trials/drain"));
        assert_eq!(answer.status, status, "{length}");
    }
    node.power_off();
}

/// G8: the answer grows meanwhile, as the other box sends back what it has read.
fn a_whole_body_is_sent_before_the_answer_is_read(on: On) {
    let node = TestNode::start("wasi", on);
    for length in [128 << 10, 1 << 20] {
        let answer = curl(&[], &node.url(&format!("/trials/upload?{length}")));
        assert_eq!(answer.text(), format!("{length} None"));
    }
    let memory = node.box_status("trials")["memory"].as_u64().expect("a number");
    assert!(memory <= 6 << 20, "{memory}");
    // more than fits
    let position = node.node.console().position();
    let mut raw = Raw::connect(&node.authority());
    raw.say(b"GET /trials/upload?30000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    node.wait_for(position, "trials: error: writes the body of a request and reads nothing of the answer, of which ");
    drop(raw);
    node.power_off();
}

/// `wasi:config` and `wasi:logging`, for 0.2 and 0.3.
fn settings_and_log_have_faces_of_their_own(node: &TestNode) {
    let own = "Ok(Some(\"some\")) Ok(None) Ok([(\"a.b\", \"some\")])";
    assert_eq!(curl(&[], &node.url("/trials/config")).text(), own);
    let position = node.node.console().position();
    assert_eq!(curl(&[], &node.url("/relay/config")).text(), "Ok(Some(\"Hi\")) Ok([(\"greeting\", \"Hi\")])");
    node.wait_for(position, "] relay: error: relay: asked for its config");
    assert_eq!(curl(&[], &node.url("/trials/log")).text(), "logged");
    for line in
        ["debug: to trace", "some place: to info", "some place: and on", "warning: to warn", "error: to critical"]
    {
        node.wait_for(position, &format!("] trials: {line}"));
    }
}

/// G9
fn components_are_fused_into_one(on: On) {
    let node = TestNode::start("wasi", on);
    assert_eq!(curl(&[], &node.url("/apart/double?21")).text(), "42");
    // each has its own memory, and they end together
    assert_eq!(curl(&[], &node.url("/apart/double?4000000000")).status, 502);
    let again = curl(&["--fail", "--retry", "30", "--retry-delay", "1"], &node.url("/apart/double?4"));
    assert_eq!(again.text(), "8");
    assert_eq!(node.box_status("apart")["restarts"], 1);
    node.power_off();
}

/// The box `again` answers requests, and calls of another box. A call that fails ends its instances, and it starts again.
fn a_handler_is_called_by_its_other_exports_too(on: On) {
    let node = TestNode::start("wasi", on);
    for _ in 0..3 {
        assert_eq!(curl(&[], &node.url("/relay/double?21")).text(), "42");
        assert_eq!(curl(&[], &node.url("/again/well")).text(), "well");
    }
    assert_eq!(node.box_status("again")["restarts"], 0);
    assert_eq!(curl(&[], &node.url("/relay/double?4000000000")).status, 502);
    for path in ["/relay/double?21", "/again/well"] {
        let again = curl(&["--fail", "--retry", "30", "--retry-delay", "1", "--retry-all-errors"], &node.url(path));
        assert_eq!(again.status, 200, "{path}");
    }
    assert_eq!(node.box_status("again")["restarts"], 1);
    node.power_off();
}

/// W5
fn a_body_before_its_head_is_named(node: &TestNode) {
    let position = node.node.console().position();
    let mut raw = Raw::connect(&node.authority());
    raw.say(b"GET /trials/early HTTP/1.1\r\nHost: x\r\n\r\n");
    node.wait_for(position, "trials: error: writes more than 16384 bytes of a body before its head is sent");
    drop(raw);
    assert_eq!(curl(&[], &node.url("/trials/well")).text(), "well");
}

fn what_the_node_gives(node: &TestNode) {
    let position = node.node.console().position();
    assert_eq!(curl(&[], &node.url("/trials/print")).text(), "printed");
    for line in ["] trials: to stdout", "] trials: and on", "] trials: warning: to stderr"] {
        node.wait_for(position, line);
    }
    assert_eq!(curl(&[], &node.url("/trials/given")).text(), "[\"trials\"] Err(\"access-denied\")");
}
