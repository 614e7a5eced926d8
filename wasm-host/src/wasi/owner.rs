//! What the node holds for a box is the box's: rogue boxes get errors, and never the node's memory.

use super::{
    http::{Client, Denied, Exchange, Fields, Read, Server},
    link,
};
use crate::{
    arrows::channel::{Arrow, End, Port, Setup, Signal},
    boxes::{BoxHandle, Budget, Charge, Footprint, Parts, State},
    engine,
    executor::Executor,
    plan::BoxPlan,
    platform::fake::FakePlatform,
    system::known,
};
use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};
use wit::{
    Batch,
    http::{Attach, Command, Event, Head, Scheme},
};

const MEMORY: u64 = 4 << 20;

/// The port that the node holds, and the one of the other box, which takes 64 KiB before it is full.
fn ports(node: End) -> (Arc<Port>, Arc<Port>) {
    let port = |end| {
        Port::new(Setup {
            protocol: known::handler(),
            end,
            number: 0,
            owner: &"box".into(),
            signal: &Arc::<Signal>::default(),
            limit: 64 << 10,
            services: Vec::new(),
        })
    };
    let (client, service) = (port(End::Client), port(End::Service));
    Arrow::join(&client, &service, Attach { host: "", path: "/" }.encode(), None, None);
    let (held, other) = if node == End::Service { (service, client) } else { (client, service) };
    held.attach();
    other.attach();
    (held, other)
}

fn say(port: &Port, count: u32, command: impl Fn(u32) -> Command<'static>) {
    let mut batch = Batch::new();
    (0..count).for_each(|request| command(request).encode(&mut batch));
    assert!(port.send(0, batch.as_bytes()).unwrap());
}

const HEAD: Head<'static> = Head {
    method: "GET",
    target: "/",
    authority: b"x",
    remote: core::net::Ipv6Addr::LOCALHOST,
    headers: b"a: b\r\n",
    scheme: Scheme::Http,
    upgrade: "",
};

/// A client asks with 120 KB of headers and drops what it would read, while nobody takes the requests.
#[test]
fn requests_that_nobody_takes_are_the_clients() {
    let (held, _service) = ports(End::Client);
    let budget = Budget::new(MEMORY);
    let client = Client::new(&held, &budget);
    client.receive();
    let mut fields = Fields::new(&budget);
    fields.append("a", &vec![b'x'; 120_000]).unwrap();
    let asks = super::http::Asks { method: "GET", target: "/", authority: "x", scheme: Scheme::Http };
    let sent = (0..1_000).take_while(|_| {
        let sent = client.send(asks, &fields);
        client.flush().unwrap();
        match sent {
            Ok(sent) => drop(sent),
            Err(denied) => {
                assert_eq!(denied, Denied::NoMemory);
                return false;
            }
        }
        true
    });
    let sent = sent.count();
    assert!(sent > 2 && sent < 40, "{sent} requests");
    assert!(budget.used() > MEMORY / 2, "what waits is charged: {}", budget.used());
    drop((client, fields));
    assert_eq!(budget.used(), 0);
}

/// A client asks for ever and takes no answer.
#[test]
fn a_client_that_never_receives_is_cut_off() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(MEMORY);
    let server = Server::new(&held, &budget);
    let ask = || {
        say(&client, 200, |request| Command::Request { request, head: HEAD });
        server.receive();
        server.flush().unwrap();
    };
    (0..2).for_each(|_| ask());
    let waiting = budget.used();
    (0..500).for_each(|_| ask());
    assert!(budget.used() < waiting + (512 << 10), "{} more than {waiting}", budget.used());
    assert!(server.next().is_none(), "nobody waits for its requests");
    // it starts again
    client.detach("for the test");
    client.attach();
    ask();
    assert!(server.next().is_some());
    drop(server);
    assert_eq!(budget.used(), 0);
}

/// The other side gives 4 GB of credit.
#[test]
fn a_body_is_written_within_a_window_whatever_the_credit() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(MEMORY);
    let server = Server::new(&held, &budget);
    say(&client, 1, |request| Command::Request { request, head: HEAD });
    for _ in 0..3 {
        say(&client, 1, |request| Command::Credit { request, bytes: u32::MAX });
    }
    server.receive();
    let exchange = server.next().unwrap().exchange;
    assert!(exchange.respond(200, b""));
    assert!(exchange.permit().unwrap() <= 64 << 10 && exchange.credit().unwrap() <= 64 << 10);
    // more than a record can carry
    let huge = vec![0; 17 << 20];
    (0..100).for_each(|_| exchange.write(&huge));
    assert!(exchange.is_over() && exchange.failure().unwrap().contains("no memory"), "{exchange:?}");
    assert!(budget.used() <= MEMORY);
    drop((exchange, server));
    assert_eq!(budget.used(), 0);
}

/// Heads, bodies and reasons are the same way bounded by what the box has.
#[test]
fn responses_that_nobody_takes_are_the_services() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(MEMORY);
    let server = Server::new(&held, &budget);
    let headers = format!("a: {}\r\n", "x".repeat(100_000));
    let mut failed = 0;
    for _ in 0..100 {
        say(&client, 1, |request| Command::Request { request, head: HEAD });
        server.receive();
        server.flush().unwrap();
        let Some(asked) = server.next() else { break };
        failed += u32::from(!asked.exchange.respond(200, headers.as_bytes()));
        asked.exchange.fail(&"because ".repeat(100_000));
        assert!(asked.exchange.failure().unwrap().len() <= 256);
    }
    assert!(failed > 0, "all of 10 MB was taken");
    assert!(budget.used() <= MEMORY);
}

#[test]
fn credit_is_given_when_there_is_room_and_is_never_piled_up() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(MEMORY);
    let server = Server::new(&held, &budget);
    say(&client, 1, |request| Command::Request { request, head: Head { method: "POST", ..HEAD } });
    server.receive();
    let exchange = server.next().unwrap().exchange;
    let mut credited = 0;
    for _ in 0..200 {
        say(&client, 1, |request| Command::Body { request, data: &[0; 16_384] });
        server.receive();
        while let Read::Some(_) = exchange.read(usize::MAX) {}
        server.flush().unwrap();
        let mut heard = client.receive();
        credited += wit::Records::new(heard.buffer())
            .flatten()
            .filter_map(|record| Event::decode(&record).ok())
            .map(|event| if let Event::Credit { bytes, .. } = event { bytes } else { 0 })
            .sum::<u32>();
    }
    assert_eq!(credited, 200 * 16_384);
    assert!(!exchange.is_over());
}

/// A guest that passes lists and strings of `length` bytes to functions of WASI.
fn guest(length: u32) -> String {
    format!(
        r#"(component
        (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $io-error))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (alias outer 1 $io-error (type $e))
            (export "output-stream" (type $out (sub resource)))
            (type $v (variant (case "last-operation-failed" (own $e)) (case "closed")))
            (export "stream-error" (type $se (eq $v)))
            (export "[method]output-stream.write"
                (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $se)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $stream (type $s))
            (export "output-stream" (type $os (eq $s)))
            (export "get-stdout" (func (result (own $os))))))
        (import "wasi:http/types@0.2.0" (instance $types
            (export "fields" (type $fields (sub resource)))
            (type $he (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
            (export "header-error" (type $header-error (eq $he)))
            (export "[static]fields.from-list" (func (param "entries" (list (tuple string (list u8))))
                (result (result (own $fields) (error $header-error)))))))
        (import "pearwood:box/log@0.2.0" (instance $log
            (type $l (enum "error" "warn" "info" "debug"))
            (export "level" (type $level (eq $l)))
            (export "write" (func (param "level" $level) (param "line" string)))))
        (core module $m
            (memory (export "memory") 800)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                global.get $next
                (global.set $next (i32.add (global.get $next) (local.get 3)))))
        (core instance $a (instantiate $m))
        (alias core export $a "memory" (core memory $memory))
        (alias core export $a "realloc" (core func $realloc))
        (core func $get (canon lower (func $stdout "get-stdout")))
        (core func $write (canon lower (func $streams "[method]output-stream.write") (memory $memory)))
        (core func $list (canon lower (func $types "[static]fields.from-list") (memory $memory)
            (realloc (core func $realloc))))
        (core func $line (canon lower (func $log "write") (memory $memory) string-encoding=utf16))
        (core module $n
            (import "a" "memory" (memory 1))
            (import "a" "get" (func $get (result i32)))
            (import "a" "write" (func $write (param i32 i32 i32 i32)))
            (import "a" "list" (func $list (param i32 i32 i32)))
            (import "a" "line" (func $line (param i32 i32 i32)))
            (func (export "write") (call $write (call $get) (i32.const 0) (i32.const {length}) (i32.const 64)))
            ;; all entries have one value
            (func (export "list") (local $at i32)
                (local.set $at (i32.const 4096))
                (loop $more
                    (i32.store (local.get $at) (i32.const 128))
                    (i32.store offset=4 (local.get $at) (i32.const 1))
                    (i32.store offset=8 (local.get $at) (i32.const 65536))
                    (i32.store offset=12 (local.get $at) (i32.const {length}))
                    (local.set $at (i32.add (local.get $at) (i32.const 16)))
                    (br_if $more (i32.lt_u (local.get $at) (i32.const 5696))))
                (i32.store8 (i32.const 128) (i32.const 97))
                (call $list (i32.const 4096) (i32.const 100) (i32.const 64)))
            (func (export "line") (call $line (i32.const 2) (i32.const 65536) (i32.const {half}))))
        (core instance $b (instantiate $n (with "a" (instance
            (export "memory" (memory $memory)) (export "get" (func $get)) (export "write" (func $write))
            (export "list" (func $list)) (export "line" (func $line))))))
        (func (export "write") (canon lift (core func $b "write")))
        (func (export "list") (canon lift (core func $b "list")))
        (func (export "line") (canon lift (core func $b "line"))))"#,
        half = length / 2,
    )
}

/// Lets the guest call one of the functions, and says what came of it and how much the node has allocated meanwhile.
fn call(name: &str, length: u32) -> (Result<(), String>, usize, Arc<BoxHandle>) {
    let spec = BoxPlan { memory: 64 << 20, ..BoxPlan::new("guest", "guest") };
    let platform = FakePlatform::leak();
    let handle = BoxHandle::new(spec, Parts::default(), platform);
    let engine = Engine::new(&engine::settings()).unwrap();
    let component = Component::new(&engine, wat::parse_str(guest(length)).unwrap()).unwrap();
    let mut linker = Linker::new(&engine);
    crate::grants::own(&mut linker).unwrap();
    let has_wasi = link(&mut linker, &component.component_type()).unwrap();
    handle.will_take(Footprint { instance: 0, has_wasi });
    let budget = Budget::new(handle.spec.memory);
    let state = State::within(Charge::none(&budget), &handle, platform, &Executor::new().timers().timer());
    let mut store = state.into_store(&engine);
    let run = async {
        let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
        let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        let before = crate::allocations::begin_peak();
        let called = function.call_async(&mut store, ()).await;
        (called, crate::allocations::peak(before))
    };
    let mut run = core::pin::pin!(run);
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    let (called, peak) = loop {
        if let core::task::Poll::Ready(done) = run.as_mut().poll(&mut cx) {
            break done;
        }
    };
    (called.map_err(|error| crate::boxes::reason(&handle, &error)), peak, handle)
}

#[test]
fn what_a_call_passes_is_measured_before_it_is_copied() {
    for name in ["write", "list"] {
        let (called, peak, _) = call(name, 40 << 20);
        let error = called.unwrap_err();
        assert!(error.starts_with("passed too much in one call"), "{name}: {error}");
        assert!(peak < 1 << 20, "{name}: {peak} bytes");
        let (called, _, _) = call(name, 1_000);
        assert!(called.is_ok(), "{name}: {called:?}");
    }
    // a hundred entries whose value is the same: each counts
    let (called, peak, _) = call("list", 100_000);
    assert!(called.is_err() && peak < 1 << 20, "{peak}");
}

#[test]
fn a_line_is_cut_before_it_is_copied() {
    // half of it would be more than a transfer
    let (called, peak, handle) = call("line", 40 << 20);
    assert!(peak < 1 << 20, "{peak} bytes: {called:?}");
    assert!(called.is_err() || handle.log().len() == 1);
    let (called, _, handle) = call("line", 3_000);
    assert_eq!((called, handle.log().len()), (Ok(()), 1));
    assert!(handle.log()[0].text.len() <= 1_024);
}

#[test]
fn what_an_exchange_holds_is_charged_from_the_first() {
    let (held, client) = ports(End::Service);
    let budget = Budget::new(MEMORY);
    let server = Server::new(&held, &budget);
    let target = String::from("/") + &"t".repeat(60_000);
    let head = Head { target: &target, ..HEAD };
    let mut batch = Batch::new();
    Command::Request { request: 0, head }.encode(&mut batch);
    assert!(client.send(0, batch.as_bytes()).unwrap());
    server.receive();
    assert!(budget.used() as usize > target.len() + Exchange::SIZE);
    let asked: Vec<_> = core::iter::from_fn(|| server.next()).collect();
    assert!(asked[0].head.in_words().len() < 300);
}
