//! A box that asks another: what comes to `/front/…` is passed on, and so is the answer. The setting `origin` says to whom, such as
//! `https://example.org:8443`; without it, to `http://hello`.

use bindings::{
    exports::wasi::http::incoming_handler::Guest,
    wasi::{
        cli::environment::get_environment,
        http::{
            outgoing_handler,
            types::{
                ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
                OutgoingResponse, ResponseOutparam, Scheme,
            },
        },
        io::{
            poll::poll,
            streams::{InputStream, OutputStream, StreamError},
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
            package example:front;
            world front {
                import wasi:cli/environment@0.2.12;
                import wasi:http/types@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "example:front/front",
        generate_all,
    });
    use super::Front;
    export!(Front);
}

struct Front;

impl Guest for Front {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        if let Err(Failed { response: Some(response), error }) = pass_on(&request, response) {
            ResponseOutparam::set(response, Err(error));
        }
    }
}

/// Why a request could not be passed on, and, if it has not begun, the response to say it with.
struct Failed {
    response: Option<ResponseOutparam>,
    error: ErrorCode,
}

fn pass_on(request: &IncomingRequest, response: ResponseOutparam) -> Result<(), Failed> {
    let target = request.path_with_query().unwrap_or_default();
    let outgoing = OutgoingRequest::new(request.headers().clone());
    let path = target.strip_prefix("/front").unwrap_or(&target);
    outgoing.set_method(&request.method()).expect("it came as a method");
    outgoing.set_path_with_query(Some(path)).expect("it came as a path");
    let origin = get_environment().into_iter().find(|(key, _)| key == "origin");
    let origin = origin.map_or_else(|| "http://hello".into(), |(_, origin)| origin);
    let (scheme, authority) = match origin.strip_prefix("https://") {
        Some(authority) => (Scheme::Https, authority),
        None => (Scheme::Http, origin.trim_start_matches("http://")),
    };
    outgoing.set_scheme(Some(&scheme)).expect("a scheme");
    outgoing.set_authority(Some(authority)).expect("a host");
    let to_hello = outgoing.body().expect("it is the first");
    let asked = match outgoing_handler::handle(outgoing, None) {
        Ok(asked) => asked,
        Err(error) => return Err(Failed { response: Some(response), error }),
    };

    let from_client = request.consume().expect("nobody else has");
    let mut upload = Some(Copy::new(from_client, to_hello));
    let has_answer = asked.subscribe();
    // the body goes on while the answer is waited for
    while let Some(copy) = &mut upload
        && !has_answer.ready()
    {
        if copy.step() {
            upload = None;
        } else {
            poll(&[&has_answer, &copy.next()]);
        }
    }
    has_answer.block();
    let answer = match asked.get().expect("it is there").expect("it is taken once") {
        Ok(answer) => answer,
        Err(error) => return Err(Failed { response: Some(response), error }),
    };
    let mut download = Some(Copy::new(answer.consume().expect("nobody else has"), begin(response, &answer)));
    // and both at once from here on
    while upload.is_some() || download.is_some() {
        upload = step(upload);
        download = step(download);
        let waits: Vec<_> = upload.iter().chain(&download).map(Copy::next).collect();
        if !waits.is_empty() {
            poll(&waits.iter().collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Sends the head of a response like that one.
fn begin(response: ResponseOutparam, like: &IncomingResponse) -> OutgoingBody {
    let fields = Fields::from_list(&like.headers().entries()).expect("they came as fields");
    let outgoing = OutgoingResponse::new(fields);
    outgoing.set_status_code(like.status()).expect("it came as a status");
    let body = outgoing.body().expect("it is the first");
    ResponseOutparam::set(response, Ok(outgoing));
    body
}

/// A body on its way from one stream to another.
struct Copy {
    // streams are dropped before what they are of
    streams: Option<(InputStream, OutputStream)>,
    bodies: Option<(IncomingBody, OutgoingBody)>,
    waits_for_room: bool,
}

impl Copy {
    fn new(incoming: IncomingBody, body: OutgoingBody) -> Self {
        let streams = (incoming.stream().expect("it is the first"), body.write().expect("it is the first"));
        Copy { streams: Some(streams), bodies: Some((incoming, body)), waits_for_room: false }
    }

    /// Copies what can be copied now. True: that was all.
    fn step(&mut self) -> bool {
        let Some((from, to)) = &self.streams else { return true };
        loop {
            self.waits_for_room = matches!(to.check_write(), Ok(0));
            match to.splice(from, 65_536) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => {
                    self.streams = None;
                    // not finished, it fails
                    if let (StreamError::Closed, Some((incoming, body))) = (error, self.bodies.take()) {
                        let trailers = IncomingBody::finish(incoming);
                        trailers.subscribe().block();
                        if let Some(Ok(Ok(trailers))) = trailers.get() {
                            let _ = OutgoingBody::finish(body, trailers);
                        }
                    }
                    return true;
                }
            }
        }
    }

    /// What is to happen before more can be copied.
    fn next(&self) -> bindings::wasi::io::poll::Pollable {
        let (from, to) = self.streams.as_ref().expect("there is more to copy");
        if self.waits_for_room { to.subscribe() } else { from.subscribe() }
    }
}

/// Copies what can be copied now. None: that was all.
fn step(copy: Option<Copy>) -> Option<Copy> {
    let mut copy = copy?;
    (!copy.step()).then_some(copy)
}
