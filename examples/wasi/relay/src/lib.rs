//! A box that is a WASI HTTP component of version 0.3: one instance works on many requests at once.
//!
//! What comes to `/relay/echo` comes back, `/relay/sleep?200` takes 200 ms, and all else is passed on to `hello`.

use bindings::{
    exports::wasi::http::handler::Guest,
    wasi::{
        clocks::monotonic_clock::wait_for,
        http::{
            client,
            types::{ErrorCode, Fields, Request, Response, Scheme},
        },
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
        ],
        inline: "
            package example:relay;
            world relay {
                import wasi:clocks/monotonic-clock@0.3.2;
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
        "/relay/error" => Err(ErrorCode::LoopDetected),
        "/relay/trap" => core::arch::wasm32::unreachable(),
        "/relay/spin" => loop {
            core::hint::spin_loop();
        },
        "/relay/short" => {
            let response = say("short");
            let fields = response.get_headers();
            let fields = Fields::from_list(&fields.copy_all()).expect("they were fields");
            fields.set("content-length", &[b"10".to_vec()]).expect("it is valid");
            let (body, trailers) = Response::consume_body(response, wit_future::new(|| Ok(())).1);
            Ok(Response::new(fields, Some(body), trailers).0)
        }
        _ => pass_on(request, &target).await,
    }
}

/// The stream that comes is the one that goes.
fn echo(request: Request) -> Response {
    let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    Response::new(Fields::new(), Some(body), trailers).0
}

fn say(text: &str) -> Response {
    let (mut writer, body) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
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
    onward.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    onward.set_authority(Some("hello")).expect("a host");
    client::send(onward).await
}
