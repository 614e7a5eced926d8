//! A box that does what the path says, most of it wrong. The tests talk to it.

use bindings::{
    exports::{
        example::numbers::arithmetic,
        wasi::{cli::run, http::incoming_handler::Guest},
    },
    wasi::{
        cli::{environment, exit::exit, stderr::get_stderr, stdout::get_stdout},
        clocks::monotonic_clock,
        config::store,
        http::{
            outgoing_handler,
            types::{
                ErrorCode, Fields, FutureIncomingResponse, IncomingRequest, OutgoingBody, OutgoingRequest,
                OutgoingResponse, RequestOptions, ResponseOutparam, Scheme, http_error_code,
            },
        },
        io::{
            poll::poll,
            streams::{InputStream, OutputStream, StreamError},
        },
        logging::logging,
        random::random::{get_random_bytes, get_random_u64},
    },
};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: [
            "../../../wit/deps/wasi-0.2/io.wit",
            "../../../wit/deps/wasi-0.2/clocks.wit",
            "../../../wit/deps/wasi-0.2/random.wit",
            "../../../wit/deps/wasi-0.2/filesystem.wit",
            "../../../wit/deps/wasi-0.2/sockets.wit",
            "../../../wit/deps/wasi-0.2/cli.wit",
            "../../../wit/deps/wasi-0.2/http.wit",
            "../../../wit/deps/wasi-0.2/config.wit",
            "../../../wit/deps/wasi-0.2/logging.wit",
            "../numbers.wit",
        ],
        inline: "
            package example:trials;
            world trials {
                import wasi:cli/environment@0.2.12;
                import wasi:cli/exit@0.2.12;
                import wasi:cli/stdout@0.2.12;
                import wasi:cli/stderr@0.2.12;
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:random/random@0.2.12;
                import wasi:io/poll@0.2.12;
                import wasi:filesystem/preopens@0.2.12;
                import wasi:sockets/ip-name-lookup@0.2.12;
                import wasi:sockets/tcp-create-socket@0.2.12;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
                import wasi:http/types@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
                export wasi:cli/run@0.2.12;
                export example:numbers/arithmetic;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "example:trials/trials",
        generate_all,
    });
    use super::Trials;
    export!(Trials);
}

/// That this instance has counted.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

struct Trials;

/// Every program with a `main` exports it.
impl run::Guest for Trials {
    fn run() -> Result<(), ()> {
        panic!("nobody asked for it");
    }
}

impl arithmetic::Guest for Trials {
    fn double(number: u32) -> u32 {
        number.checked_mul(2).expect("of a number that is not too large")
    }
}

impl Guest for Trials {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let number = query.parse().unwrap_or(1);
        match path.rsplit('/').next().unwrap_or_default() {
            "well" => answer(response, "well"),
            "panic" => panic!("for the test"),
            "trap" => core::arch::wasm32::unreachable(),
            "late" => {
                let (_body, stream) = begin(response, None);
                stream.blocking_write_and_flush(b"some").expect("the client is there");
                core::arch::wasm32::unreachable();
            }
            "silent" => {}
            "error" => ResponseOutparam::set(response, Err(ErrorCode::LoopDetected)),
            "short" => with_length(response, 10, 3),
            "long" => with_length(response, 3, 10),
            "unfinished" => drop(begin(response, None)),
            "exit" => exit(Err(())),
            "done" => {
                answer(response, "done");
                exit(Ok(()));
            }
            "early" => early(response),
            "status" => {
                let refused = OutgoingResponse::new(Fields::new());
                assert!(refused.set_status_code(600).is_err() && refused.set_status_code(99).is_err());
                answer(response, "refused");
            }
            "spin" => loop {
                core::hint::spin_loop();
            },
            "eat" => eat(),
            "many" => loop {
                core::mem::forget(Fields::new());
            },
            "fields" => {
                let fields = Fields::new();
                while fields.append("a", &[b'x'; 1_000]).is_ok() {}
            }
            "nothing" => drop(poll(&[])),
            "sleep" => {
                monotonic_clock::subscribe_duration(number * 1_000_000).block();
                answer(response, "slept");
            }
            "bytes" => bytes(response, number as usize),
            "print" => {
                get_stdout().blocking_write_and_flush(b"to stdout\nand on").expect("the log takes it");
                get_stdout().blocking_write_and_flush(b"\n").expect("the log takes it");
                get_stderr().blocking_write_and_flush(b"to stderr").expect("the log takes it");
                answer(response, "printed");
            }
            "drain" => answer(response, &drain(&request).to_string()),
            "stall" => {
                let (body, stream) = begin(response, None);
                stream.blocking_write_and_flush(b"some").expect("the client is there");
                monotonic_clock::subscribe_duration(number * 1_000_000).block();
                drop((stream, body));
            }
            "upload" => answer(response, &upload(number as usize)),
            "first" => answer(response, &late("/again/sleep?20000", RequestOptions::set_first_byte_timeout, number)),
            "between" => {
                answer(response, &late("/again/stall?20000", RequestOptions::set_between_bytes_timeout, number))
            }
            "config" => {
                answer(response, &format!("{:?} {:?} {:?}", store::get("a.b"), store::get("c"), store::get_all()))
            }
            "log" => {
                use logging::Level;
                logging::log(Level::Trace, "", "to trace");
                logging::log(Level::Info, "some place", "to info\nand on");
                logging::log(Level::Warn, "", "to warn");
                logging::log(Level::Critical, "", "to critical");
                answer(response, "logged");
            }
            "count" => answer(response, &(REQUESTS.fetch_add(1, Relaxed) + 1).to_string()),
            "given" => answer(response, &given()),
            "client" => answer(response, &client(&request)),
            _ => {
                let refusal = OutgoingResponse::new(Fields::new());
                refusal.set_status_code(404).expect("a status");
                ResponseOutparam::set(response, Ok(refusal));
            }
        }
    }
}

fn begin(response: ResponseOutparam, length: Option<usize>) -> (OutgoingBody, OutputStream) {
    let headers: Vec<_> = length.iter().map(|n| ("content-length".to_string(), n.to_string().into_bytes())).collect();
    let outgoing = OutgoingResponse::new(Fields::from_list(&headers).expect("they are valid"));
    let body = outgoing.body().expect("it is the first");
    ResponseOutparam::set(response, Ok(outgoing));
    let stream = body.write().expect("it is the first");
    (body, stream)
}

fn answer(response: ResponseOutparam, text: &str) {
    let (body, stream) = begin(response, Some(text.len()));
    stream.blocking_write_and_flush(text.as_bytes()).expect("the client is there");
    drop(stream);
    OutgoingBody::finish(body, None).expect("all is written");
}

/// What the request says of who asks.
fn client(request: &IncomingRequest) -> String {
    let names = ["forwarded", "x-forwarded-for", "x-real-ip"];
    let values = names.map(|name| {
        request.headers().get(name).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
    });
    format!("{values:?}")
}

/// A body that is not as long as it says.
fn with_length(response: ResponseOutparam, said: usize, written: usize) {
    let (body, stream) = begin(response, Some(said));
    let _ = stream.blocking_write_and_flush(&vec![b'x'; written]);
    drop(stream);
    let finished = OutgoingBody::finish(body, None);
    assert!(finished.is_err(), "{written} bytes are not {said}");
}

fn bytes(response: ResponseOutparam, count: usize) {
    let (body, stream) = begin(response, Some(count));
    let mut left = count;
    while left > 0 {
        stream.subscribe().block();
        let permit = stream.check_write().expect("the client is there");
        let part = left.min(permit as usize).min(10_000);
        stream.write(&vec![b'x'; part]).expect("it is permitted");
        left -= part;
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("all is written");
}

/// Reads a request's body, and drops nothing before all is read: the runtimes of some languages do not either.
fn drain(request: &IncomingRequest) -> usize {
    let incoming = request.consume().expect("nobody else has");
    let stream = incoming.stream().expect("nobody else has");
    let (mut read, mut pollables) = (0, Vec::new());
    loop {
        let pollable = stream.subscribe();
        pollable.block();
        pollables.push(pollable);
        match stream.read(8_192) {
            Ok(bytes) => read += bytes.len(),
            Err(StreamError::Closed) => return read,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Asks the box that such a path leads to.
fn ask(path: &str, options: Option<RequestOptions>) -> (OutgoingBody, FutureIncomingResponse) {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some("any")).expect("a host");
    request.set_path_with_query(Some(path)).expect("a path");
    request.set_method(&bindings::wasi::http::types::Method::Post).expect("a method");
    let body = request.body().expect("the first time");
    (body, outgoing_handler::handle(request, options).expect("there is an arrow for it"))
}

/// Sends all of a body before it looks at the answer, which is the same again.
fn upload(length: usize) -> String {
    let (body, answer) = ask("/echo", None);
    let stream = body.write().expect("the first time");
    for start in (0..length).step_by(4_096) {
        stream.blocking_write_and_flush(&[b'x'; 4_096][..4_096.min(length - start)]).expect("the other box reads");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("of any length");
    answer.subscribe().block();
    let response = answer.get().expect("it is there").expect("once").expect("it is one");
    let body = response.consume().expect("once");
    let (read, error) = read_all(&body.stream().expect("once"));
    format!("{read} {error:?}")
}

/// Sets one of the times that an answer is waited for.
type SetTimeout = fn(&RequestOptions, Option<u64>) -> Result<(), ()>;

/// Waits for an answer, or the rest of it, for so many milliseconds.
fn late(path: &str, set: SetTimeout, milliseconds: u64) -> String {
    let options = RequestOptions::new();
    set(&options, Some(milliseconds * 1_000_000)).expect("it is supported");
    let (body, answer) = ask(path, Some(options));
    OutgoingBody::finish(body, None).expect("of any length");
    answer.subscribe().block();
    match answer.get().expect("it is there").expect("once") {
        Err(error) => format!("{error:?}"),
        Ok(response) => {
            let body = response.consume().expect("once");
            let (read, error) = read_all(&body.stream().expect("once"));
            format!("{read} {error:?}")
        }
    }
}

/// How many bytes there are, and why there are no more.
fn read_all(stream: &InputStream) -> (usize, Option<ErrorCode>) {
    let mut read = 0;
    loop {
        match stream.blocking_read(65_536) {
            Ok(bytes) => read += bytes.len(),
            Err(StreamError::Closed) => return (read, None),
            Err(StreamError::LastOperationFailed(error)) => return (read, http_error_code(&error)),
        }
    }
}

/// Writes a body for which there is no head, and waits until somebody takes it.
fn early(_response: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first time");
    let stream = body.write().expect("the first time");
    for _ in 0..5 {
        stream.blocking_write_and_flush(&[b'x'; 4_096]).expect("it waits");
    }
}

fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(core::hint::black_box(vec![1_u8; 1 << 16]));
    }
}

/// What a system without files and sockets says of them, and that what there is works.
fn given() -> String {
    use bindings::wasi::{
        filesystem::preopens::get_directories,
        sockets::{network::IpAddressFamily, tcp_create_socket::create_tcp_socket},
    };
    assert!(get_directories().is_empty());
    let socket = create_tcp_socket(IpAddressFamily::Ipv4);
    assert_eq!(get_random_bytes(32).len(), 32);
    assert_ne!(get_random_u64(), get_random_u64());
    let before = monotonic_clock::now();
    monotonic_clock::subscribe_duration(1_000_000).block();
    assert!(monotonic_clock::now() >= before + 1_000_000);
    format!("{:?} {:?}", environment::get_arguments(), socket.map(drop).map_err(|code| code.name()))
}
