//! The faces of WASI 0.2.
//!
//! A component may be built against any 0.2: what is defined here is the newest of them, and wasmtime links compatible
//! versions. The texts are in `wit/deps/wasi-0.2`.

mod cli;
mod clocks;
mod http;
mod keyvalue;
mod poll;
mod random;
mod streams;
#[cfg(test)]
mod tests;

use crate::boxes::State;
use wasmtime::{
    Result,
    component::{HasSelf, Linker},
};

#[allow(unsafe_code, missing_docs, clippy::all)]
mod bindings {
    wasmtime::component::bindgen!({
        path: [
            "../wit/deps/wasi-0.2/io.wit",
            "../wit/deps/wasi-0.2/clocks.wit",
            "../wit/deps/wasi-0.2/random.wit",
            "../wit/deps/wasi-0.2/filesystem.wit",
            "../wit/deps/wasi-0.2/sockets.wit",
            "../wit/deps/wasi-0.2/cli.wit",
            "../wit/deps/wasi-0.2/http.wit",
        ],
        inline: "
            package pearwood:faces;
            world p2 {
                import wasi:io/error@0.2.12;
                import wasi:io/poll@0.2.12;
                import wasi:io/streams@0.2.12;
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:clocks/wall-clock@0.2.12;
                import wasi:random/random@0.2.12;
                import wasi:random/insecure@0.2.12;
                import wasi:random/insecure-seed@0.2.12;
                import wasi:cli/environment@0.2.12;
                import wasi:cli/exit@0.2.12;
                import wasi:cli/stdin@0.2.12;
                import wasi:cli/stdout@0.2.12;
                import wasi:cli/stderr@0.2.12;
                import wasi:cli/terminal-input@0.2.12;
                import wasi:cli/terminal-output@0.2.12;
                import wasi:cli/terminal-stdin@0.2.12;
                import wasi:cli/terminal-stdout@0.2.12;
                import wasi:cli/terminal-stderr@0.2.12;
                import wasi:http/types@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
            }
        ",
        world: "pearwood:faces/p2",
        imports: {
            "wasi:io/poll.poll": async | trappable,
            "wasi:io/poll.[method]pollable.block": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-read": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-skip": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-zeroes-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-splice": async | trappable,
            default: trappable,
        },
        trappable_error_type: {
            "wasi:io/streams.stream-error" => crate::wasi::p2::streams::StreamError,
        },
        with: {
            "wasi:io/error.error": crate::wasi::p2::streams::IoError,
            "wasi:io/poll.pollable": crate::wasi::p2::poll::Pollable,
            "wasi:io/streams.input-stream": crate::wasi::p2::streams::InputStream,
            "wasi:io/streams.output-stream": crate::wasi::p2::streams::OutputStream,
            "wasi:cli/terminal-input.terminal-input": crate::wasi::cli::NoTerminal,
            "wasi:cli/terminal-output.terminal-output": crate::wasi::cli::NoTerminal,
            "wasi:http/types.fields": crate::wasi::http::Fields,
            "wasi:http/types.incoming-request": crate::wasi::p2::http::IncomingRequest,
            "wasi:http/types.response-outparam": crate::wasi::p2::http::ResponseOutparam,
            "wasi:http/types.outgoing-response": crate::wasi::p2::http::OutgoingResponse,
            "wasi:http/types.outgoing-request": crate::wasi::p2::http::OutgoingRequest,
            "wasi:http/types.outgoing-body": crate::wasi::p2::http::OutgoingBody,
            "wasi:http/types.request-options": crate::wasi::p2::http::RequestOptions,
            "wasi:http/types.incoming-response": crate::wasi::p2::http::IncomingResponse,
            "wasi:http/types.incoming-body": crate::wasi::p2::http::IncomingBody,
            "wasi:http/types.future-incoming-response": crate::wasi::p2::http::FutureIncomingResponse,
            "wasi:http/types.future-trailers": crate::wasi::p2::http::FutureTrailers,
        },
    });
}

pub use http::{IncomingRequest, ResponseOutparam};
pub use keyvalue::link as link_keyvalue;

/// Gives a box all of them.
pub fn link(linker: &mut Linker<State>) -> Result<()> {
    bindings::P2::add_to_linker::<_, HasSelf<State>>(linker, &bindings::LinkOptions::default(), |state| state)
}
