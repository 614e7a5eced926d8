//! A box that wants more of the node than it has, in the ways that WASI 0.3 allows.
//!
//! | path | what it does |
//! |---|---|
//! | `ask?N,HOST` | makes N requests to that host, with headers of 120 KB, and drops each future |
//! | `zero` | waits for no time, for ever |
//! | `wait` | waits for a day |
//! | any other | it answers |

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
use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

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
            package example:greedy-wasi3;
            world greedy-wasi3 {
                import wasi:clocks/monotonic-clock@0.3.2;
                import wasi:http/types@0.3.2;
                import wasi:http/client@0.3.2;
                export wasi:http/handler@0.3.2;
            }
        ",
        world: "example:greedy-wasi3/greedy-wasi3",
        generate_all,
    });
    use super::Greedy;
    export!(Greedy);
}

struct Greedy;

impl Guest for Greedy {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (number, host) = query.split_once(',').unwrap_or((query, ""));
        match path.rsplit('/').next().unwrap_or_default() {
            "ask" => {
                let number = number.parse().unwrap_or(1);
                let mut begun = 0;
                for _ in 0..number {
                    begun += u32::from(ask(host).await);
                }
                Ok(say(&format!("{begun} of {number}")))
            }
            "zero" => loop {
                wait_for(0).await;
            },
            "wait" => {
                wait_for(86_400_000_000_000).await;
                Ok(say("it is tomorrow"))
            }
            _ => Ok(say("fine")),
        }
    }
}

/// Whether the request was begun, and had no answer when it was given up.
async fn ask(host: &str) -> bool {
    let fields = Fields::new();
    for _ in 0..12 {
        fields.append("a", &[b'x'; 10_000]).expect("there is room for them");
    }
    let (request, _) = Request::new(fields, None, wit_future::new(|| Ok(None)).1, None);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(host)).expect("a host");
    request.set_path_with_query(Some("/")).expect("a path");
    let mut asked = pin!(client::send(request));
    poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_pending())).await
}

fn say(text: &str) -> Response {
    let (mut writer, body) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let text = text.as_bytes().to_vec();
    wit_bindgen::spawn_local(async move {
        writer.write_all(text).await;
    });
    Response::new(Fields::new(), Some(body), trailers).0
}
