//! The faces of WASI 0.3, where functions may be asynchronous and bodies are streams of the component model.
//!
//! Only components on the engine with concurrency support import them. The texts are in `wit/deps/wasi-0.3`.

mod cli;
mod clocks;
mod http;
mod random;
mod serve;
mod streams;

use crate::boxes::State;
use wasmtime::{
    Result,
    component::{HasSelf, Linker},
};

pub use serve::serve;

#[allow(unsafe_code, missing_docs, clippy::all)]
mod bindings {
    wasmtime::component::bindgen!({
        path: [
            "../wit/deps/wasi-0.3/clocks.wit",
            "../wit/deps/wasi-0.3/random.wit",
            "../wit/deps/wasi-0.3/filesystem.wit",
            "../wit/deps/wasi-0.3/sockets.wit",
            "../wit/deps/wasi-0.3/cli.wit",
            "../wit/deps/wasi-0.3/http.wit",
        ],
        inline: "
            package pearwood:faces;
            world p3 {
                import wasi:clocks/types@0.3.2;
                import wasi:clocks/monotonic-clock@0.3.2;
                import wasi:clocks/system-clock@0.3.2;
                import wasi:random/random@0.3.2;
                import wasi:random/insecure@0.3.2;
                import wasi:random/insecure-seed@0.3.2;
                import wasi:cli/types@0.3.2;
                import wasi:cli/environment@0.3.2;
                import wasi:cli/exit@0.3.2;
                import wasi:cli/stdin@0.3.2;
                import wasi:cli/stdout@0.3.2;
                import wasi:cli/stderr@0.3.2;
                import wasi:cli/terminal-input@0.3.2;
                import wasi:cli/terminal-output@0.3.2;
                import wasi:cli/terminal-stdin@0.3.2;
                import wasi:cli/terminal-stdout@0.3.2;
                import wasi:cli/terminal-stderr@0.3.2;
                import wasi:http/types@0.3.2;
                import wasi:http/client@0.3.2;
                import wasi:http/handler@0.3.2;
            }
        ",
        world: "pearwood:faces/p3",
        imports: {
            "wasi:cli/stdin.read-via-stream": store | trappable,
            "wasi:cli/stdout.write-via-stream": store | trappable,
            "wasi:cli/stderr.write-via-stream": store | trappable,
            "wasi:http/client.send": store | trappable,
            "wasi:http/handler.handle": store | trappable,
            "wasi:http/types.[drop]request": store | trappable,
            "wasi:http/types.[drop]response": store | trappable,
            "wasi:http/types.[static]request.consume-body": store | trappable,
            "wasi:http/types.[static]request.new": store | trappable,
            "wasi:http/types.[static]response.consume-body": store | trappable,
            "wasi:http/types.[static]response.new": store | trappable,
            default: trappable,
        },
        with: {
            "wasi:cli/terminal-input.terminal-input": crate::wasi::cli::NoTerminal,
            "wasi:cli/terminal-output.terminal-output": crate::wasi::cli::NoTerminal,
            "wasi:http/types.fields": crate::wasi::http::Fields,
            "wasi:http/types.request": crate::wasi::p3::http::Request,
            "wasi:http/types.request-options": crate::wasi::p3::http::RequestOptions,
            "wasi:http/types.response": crate::wasi::p3::http::Response,
        },
    });
}

/// Gives a box all of them.
pub fn link(linker: &mut Linker<State>) -> Result<()> {
    bindings::P3::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}
