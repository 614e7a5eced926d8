//! A box that greets: `GET /Ada` is answered with `Hello, Ada!`.

use pearwood::{
    config,
    http::{self, Request, Response},
};

pearwood::service!(run);

fn run() {
    let greeting = config::get("greeting").unwrap_or_else(|| "Hello".into());
    http::serve(|request| greet(&greeting, request));
}

fn greet(greeting: &str, request: &Request) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::status(405, "I only greet.\n").with("allow", "GET, HEAD");
    }
    match request.path().trim_matches('/') {
        "" => Response::text(format!("{greeting}!\n")),
        name => Response::text(format!("{greeting}, {name}!\n")),
    }
}
