//! A box that is a WASI HTTP component of version 0.3: one instance works on many requests at once.
//!
//! What comes to `/relay/echo` comes back, `/relay/sleep?200` takes 200 ms, and all else is passed on to `hello`.

use bindings::{
    example::numbers::arithmetic,
    exports::wasi::http::handler::Guest,
    wasi::{
        clocks::monotonic_clock::wait_for,
        config::store,
        http::{
            client,
            types::{ErrorCode, Fields, Request, RequestOptions, Response, Scheme},
        },
        logging::logging,
    },
    wit_future, wit_stream,
};
use std::cell::Cell;

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: [
            "../../../wit/deps/wasi-0.3/clocks.wit",
            "../../../wit/deps/wasi-0.3/random.wit",
            "../../../wit/deps/wasi-0.3/filesystem.wit",
            "../../../wit/deps/wasi-0.3/sockets.wit",
            "../../../wit/deps/wasi-0.3/cli.wit",
            "../../../wit/deps/wasi-0.3/http.wit",
            "../../../wit/deps/wasi-0.2/config.wit",
            "../../../wit/deps/wasi-0.2/logging.wit",
            "../numbers.wit",
        ],
        inline: "
            package example:relay;
            world relay {
                import wasi:clocks/monotonic-clock@0.3.2;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
                import example:numbers/arithmetic;
                import wasi:http/types@0.3.2;
                import wasi:http/client@0.3.2;
                export wasi:http/handler@0.3.2;
            }
        ",
        world: "example:relay/relay",
        generate_all,
    });
    use super::Relay;
    export!(Relay);
}

struct Relay;

thread_local! {
    /// requests that are worked on, and the most that ever were
    static AT_ONCE: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

impl Guest for Relay {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        AT_ONCE.with(|count| count.set((count.get().0 + 1, count.get().1.max(count.get().0 + 1))));
        let answer = answer(request).await;
        AT_ONCE.with(|count| count.set((count.get().0 - 1, count.get().1)));
        answer
    }
}

async fn answer(request: Request) -> Result<Response, ErrorCode> {
    let target = request.get_path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    match path {
        "/relay/echo" => Ok(echo(request)),
        "/relay/sleep" => {
            wait_for(query.parse().unwrap_or(1) * 1_000_000).await;
            Ok(say("slept"))
        }
        "/relay/most" => Ok(say(&format!("{}", AT_ONCE.get().1))),
        "/relay/leak" => {
            core::mem::forget(wit_stream::new::<u8>());
            Ok(say("leaked"))
        }
        "/relay/client" => {
            let names = ["forwarded", "x-forwarded-for", "x-real-ip"];
            let headers = request.get_headers();
            let values = names.map(|name| {
                headers.get(name).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
            });
            Ok(say(&format!("{values:?}")))
        }
        "/relay/status" => {
            let response = say("refused");
            assert!(response.set_status_code(600).is_err() && response.set_status_code(99).is_err());
            Ok(response)
        }
        "/relay/error" => Err(ErrorCode::LoopDetected),
        "/relay/trap" => core::arch::wasm32::unreachable(),
        "/relay/spin" => loop {
            core::hint::spin_loop();
        },
        "/relay/short" => Ok(with_length("short", 10)),
        "/relay/long" => Ok(with_length("longer", 4)),
        "/relay/config" => {
            logging::log(logging::Level::Error, "relay", "asked for its config");
            Ok(say(&format!("{:?} {:?}", store::get("greeting"), store::get_all())))
        }
        "/relay/double" | "/apart/double" => Ok(say(&arithmetic::double(query.parse().unwrap_or(1)).to_string())),
        "/relay/late" => Ok(say(&late(query.parse().unwrap_or(1)).await)),
        _ if path.ends_with("/refused") => {
            let (request, sent) = Request::new(Fields::new(), Some(wit_stream::new().1), trailers(), None);
            request.set_authority(Some("nobody")).expect("a host");
            let answer = client::send(request).await.map(drop);
            Ok(say(&format!("{answer:?}, {:?}", sent.await)))
        }
        _ => pass_on(request, &target).await,
    }
}

/// The stream that comes is the one that goes.
fn echo(request: Request) -> Response {
    let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    Response::new(Fields::new(), Some(body), trailers).0
}

type Trailers = wit_bindgen::FutureReader<Result<Option<Fields>, ErrorCode>>;

/// None, with which a body is complete.
fn trailers() -> Trailers {
    wit_future::new(|| Ok(None)).1
}

/// A body that is not as long as it says.
fn with_length(text: &str, length: usize) -> Response {
    let response = say(text);
    let fields = Fields::from_list(&response.get_headers().copy_all()).expect("they were fields");
    fields.set("content-length", &[length.to_string().into_bytes()]).expect("it is valid");
    let (body, trailers) = Response::consume_body(response, wit_future::new(|| Ok(())).1);
    Response::new(fields, Some(body), trailers).0
}

/// Waits for the rest of an answer for so many milliseconds.
async fn late(milliseconds: u64) -> String {
    let options = RequestOptions::new();
    options.set_between_bytes_timeout(Some(milliseconds * 1_000_000)).expect("it is supported");
    let (request, _) = Request::new(Fields::new(), None, trailers(), Some(options));
    request.set_authority(Some("again")).expect("a host");
    request.set_path_with_query(Some("/again/stall?20000")).expect("a path");
    let response = client::send(request).await.expect("it begins");
    let (body, trailers) = Response::consume_body(response, wit_future::new(|| Ok(())).1);
    let read = body.collect().await.len();
    format!("{read} {:?}", trailers.await.map(drop))
}

fn say(text: &str) -> Response {
    let (mut writer, body) = wit_stream::new();
    let trailers = trailers();
    let fields = Fields::new();
    fields.append("content-length", text.len().to_string().as_bytes()).expect("it is valid");
    let text = text.as_bytes().to_vec();
    wit_bindgen::spawn_local(async move {
        writer.write_all(text).await;
    });
    Response::new(fields, Some(body), trailers).0
}

async fn pass_on(request: Request, target: &str) -> Result<Response, ErrorCode> {
    let method = request.get_method();
    let fields = Fields::from_list(&request.get_headers().copy_all()).expect("they came as fields");
    let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    let (onward, _) = Request::new(fields, Some(body), trailers, None);
    let path = target.strip_prefix("/relay").unwrap_or(target);
    onward.set_method(&method).expect("it came as a method");
    onward.set_path_with_query(Some(path)).expect("it came as a path");
    let origin = store::get("origin").ok().flatten().unwrap_or_else(|| "http://hello".into());
    let (scheme, authority) = match origin.strip_prefix("https://") {
        Some(authority) => (Scheme::Https, authority),
        None => (Scheme::Http, origin.trim_start_matches("http://")),
    };
    onward.set_scheme(Some(&scheme)).expect("a scheme");
    onward.set_authority(Some(authority)).expect("a host");
    client::send(onward).await
}
