//! A box that answers HTTP requests: `GET /Ada` with `Hello, Ada!`.
//!
//! It is an ordinary WASI HTTP component, written with the crate `wstd`.

use wasip2::cli::{environment::get_environment, stderr::get_stderr};
use wstd::http::{Body, Request, Response, Result};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    std::panic::set_hook(Box::new(|panic| log(&panic.to_string())));
    // what `config` of system.toml says
    let config = get_environment().into_iter().find(|(key, _)| key == "greeting");
    let greeting = config.map_or("Hello".into(), |(_, value)| value);
    let text = match request.uri().path().trim_matches('/') {
        "" => format!("{greeting}!\n"),
        name => format!("{greeting}, {name}!\n"),
    };
    Ok(Response::builder().header("content-type", "text/plain; charset=utf-8").body(text.into())?)
}

/// A line in the box's log. `println!` says nothing there: Rust's own output needs a target with files.
fn log(line: &str) {
    let _ = get_stderr().blocking_write_and_flush(format!("{line}\n").as_bytes());
}

// The body of a request: `request.into_body().contents().await?` has all its bytes; it can be long, and the box has the `memory`
// that system.toml says.
//
// An answer that streams: `Body::from_stream` takes a stream of chunks. What comes in goes out again, piece by piece, with
// `Response::new(request.into_body())`.
//
// State: each request has an instance of its own, so nothing in memory outlasts it. `reuse = true` in system.toml has an instance
// go on to the next request, with its statics; there may be several instances. What must last belongs into another box: see
// Pearwood's `examples/counter`, which keeps it on a disk.
//
// To ask others: `wstd::http::Client::new().send(request).await?`, with an arrow in system.toml to who is asked:
// `arrows."wasi:http/outgoing-handler" = { box = "…" }`.
