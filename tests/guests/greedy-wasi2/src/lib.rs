//! A box that wants more of the node than it has, in the ways that WASI 0.2 allows.
//!
//! | path | what it does |
//! |---|---|
//! | `ask?N,HOST` | makes N requests to that host, with headers of 120 KB, and drops each future |
//! | `zero` | waits until now, for ever |
//! | `wait` | waits for a day |
//! | `write?N`, `zeroes?N`, `splice?N` | writes N bytes of a body at once, however few are permitted |
//! | `bytes?N` | answers with N bytes, as they are permitted |
//! | any other | it answers |

use bindings::{
    exports::wasi::http::incoming_handler::Guest,
    wasi::{
        clocks::monotonic_clock::subscribe_duration,
        http::{
            outgoing_handler::handle,
            types::{
                Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
            },
        },
    },
};

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
        ],
        inline: "
            package example:greedy-wasi2;
            world greedy-wasi2 {
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:http/types@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "example:greedy-wasi2/greedy-wasi2",
        generate_all,
    });
    use super::Greedy;
    export!(Greedy);
}

struct Greedy;

impl Guest for Greedy {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (number, rest) = query.split_once(',').unwrap_or((query, ""));
        let number: usize = number.parse().unwrap_or(1);
        let text = match path.rsplit('/').next().unwrap_or_default() {
            "ask" => format!("{} of {number}", (0..number).filter(|_| ask(rest)).count()),
            "zero" => loop {
                subscribe_duration(0).block();
            },
            "wait" => {
                subscribe_duration(86_400_000_000_000).block();
                "it is tomorrow".into()
            }
            "write" | "zeroes" | "splice" | "bytes" => return at_once(path, number, &request, response),
            _ => "fine".into(),
        };
        let body = begin(response);
        let stream = body.write().expect("it is the first");
        stream.blocking_write_and_flush(text.as_bytes()).expect("the client is there");
        drop(stream);
        OutgoingBody::finish(body, None).expect("all is written");
    }
}

fn begin(response: ResponseOutparam) -> OutgoingBody {
    let outgoing = OutgoingResponse::new(Fields::new());
    let body = outgoing.body().expect("it is the first");
    ResponseOutparam::set(response, Ok(outgoing));
    body
}

/// Whether the request was begun.
fn ask(host: &str) -> bool {
    let fields = Fields::new();
    for _ in 0..12 {
        fields.append("a", &[b'x'; 10_000]).expect("there is room for them");
    }
    let request = OutgoingRequest::new(fields);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(host)).expect("a host");
    request.set_path_with_query(Some("/")).expect("a path");
    handle(request, None).map(drop).is_ok()
}

fn at_once(path: &str, count: usize, request: &IncomingRequest, response: ResponseOutparam) {
    let incoming = request.consume().expect("nobody else has");
    let body = begin(response);
    let stream = body.write().expect("it is the first");
    let permit = stream.check_write().expect("the client is there");
    assert!(permit <= 64 << 10, "{permit} bytes are permitted");
    match path.rsplit('/').next().unwrap_or_default() {
        "write" => drop(stream.write(&vec![b'x'; count])),
        "zeroes" => drop(stream.write_zeroes(count as u64)),
        "splice" => {
            let from = incoming.stream().expect("it is the first");
            while stream.splice(&from, count as u64).is_ok() {
                from.subscribe().block();
                stream.subscribe().block();
            }
        }
        _ => {
            let mut left = count;
            while left > 0 {
                stream.subscribe().block();
                let part = left.min(stream.check_write().expect("the client is there") as usize);
                stream.write(&vec![b'x'; part]).expect("it is permitted");
                left -= part;
            }
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("all is written");
}
