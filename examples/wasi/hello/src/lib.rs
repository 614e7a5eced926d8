//! A box that is an ordinary WASI HTTP component: `GET /Ada` is answered with `Hello, Ada!`, and what is sent to
//! `/echo` comes back, trailers and all.

use bindings::{
    exports::wasi::http::incoming_handler::Guest,
    wasi::{
        cli::environment::get_environment,
        http::types::{
            Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
        },
        io::streams::{InputStream, OutputStream, StreamError},
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
            package example:hello;
            world hello {
                import wasi:cli/environment@0.2.12;
                import wasi:http/types@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "example:hello/hello",
        generate_all,
    });
    use super::Hello;
    export!(Hello);
}

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        match request.method() {
            Method::Get | Method::Head if path != "/echo" => greet(path, response),
            Method::Post | Method::Put if path == "/echo" => echo(&request, response),
            _ => {
                let refusal = OutgoingResponse::new(Fields::new());
                refusal.set_status_code(405).expect("a status");
                ResponseOutparam::set(response, Ok(refusal));
            }
        }
    }
}

fn greet(path: &str, response: ResponseOutparam) {
    let config = get_environment();
    let greeting = config.iter().find(|(key, _)| key == "greeting").map_or("Hello", |(_, value)| value);
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("world");
    let text = format!("{greeting}, {name}!\n");
    let (body, stream) =
        begin(response, &[("content-type", "text/plain"), ("content-length", &text.len().to_string())]);
    stream.blocking_write_and_flush(text.as_bytes()).expect("the client is there");
    drop(stream);
    OutgoingBody::finish(body, None).expect("all is written");
}

fn echo(request: &IncomingRequest, response: ResponseOutparam) {
    let incoming = request.consume().expect("nobody else has");
    let input = incoming.stream().expect("nobody else has");
    let announced = request.headers().get("trailer").concat();
    let mut headers = vec![("content-type", "application/octet-stream")];
    headers.extend(str::from_utf8(&announced).ok().filter(|names| !names.is_empty()).map(|names| ("trailer", names)));
    let (body, output) = begin(response, &headers);
    if copy(&input, &output).is_ok() {
        drop((input, output));
        let trailers = IncomingBody::finish(incoming);
        trailers.subscribe().block();
        if let Some(Ok(Ok(trailers))) = trailers.get() {
            OutgoingBody::finish(body, trailers).expect("of any length");
        }
    }
}

/// Sends a response's head.
fn begin(response: ResponseOutparam, headers: &[(&str, &str)]) -> (OutgoingBody, OutputStream) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let outgoing = OutgoingResponse::new(Fields::from_list(&headers).expect("they are valid"));
    let body = outgoing.body().expect("it is the first");
    ResponseOutparam::set(response, Ok(outgoing));
    let stream = body.write().expect("it is the first");
    (body, stream)
}

/// Everything that comes goes out again, piece by piece, and no faster than the client reads.
fn copy(input: &InputStream, output: &OutputStream) -> Result<(), StreamError> {
    loop {
        match output.blocking_splice(input, 65_536) {
            Ok(_) => {}
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
