//! A node's web console, on a port of this machine: what a browser asks goes over the channel to the node's control box,
//! which the page comes from as well.
//!
//! Other users of this machine, and pages of other sites in the same browser, get nothing: the address has a secret in
//! it, the `Host` must be this one, and what changes something needs a header that no other site can send. Only what is
//! measured can be read without the secret.

mod http;

use crate::remote::{Remote, is_refusal};
use anyhow::{Result, anyhow};
use control::message::{Request, Response};
use control::{Role, Settings, hex};
use http::{Answer, Asked};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub struct Console {
    remote: Mutex<Remote>,
    port: u16,
    /// what the address has in it
    secret: String,
}

impl Console {
    pub fn new(remote: Remote, port: u16) -> Result<Self> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| anyhow!("no randomness: {error}"))?;
        Ok(Console { remote: Mutex::new(remote), port, secret: hex(&secret) })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.secret)
    }

    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.port)
    }

    /// Serves for as long as this process lives.
    pub fn serve(self, listener: &TcpListener) -> Result<ExitCode> {
        let console = Arc::new(self);
        for stream in listener.incoming() {
            let (console, stream) = (console.clone(), stream?);
            // one that goes wrong is the browser's loss
            thread::spawn(move || drop(http::serve(stream, |asked| console.answer(asked))));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let hosts = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", self.port));
        if !hosts.iter().any(|host| asked.host.eq_ignore_ascii_case(host)) {
            return Answer::text(421, "this is not the host that was asked for");
        }
        if asked.path == "/metrics" && asked.is_get() {
            return self.forward(&Request::Metrics, "text/plain; version=0.0.4");
        }
        let Some(path) = asked.path.strip_prefix('/').and_then(|path| path.strip_prefix(self.secret.as_str())) else {
            return Answer::text(404, "there is nothing here; the console's address has a secret in it");
        };
        let name = || asked.name.clone().unwrap_or_default();
        let (request, kind) = match (asked.method.as_str(), path) {
            ("GET", "/") => (Request::Page, "text/html; charset=utf-8"),
            ("GET", "/describe") => (Request::Describe, "application/json"),
            ("GET", "/history") => (Request::History, "application/json"),
            ("GET", "/graph") => (Request::Graph, "image/svg+xml"),
            ("GET", "/system") => (Request::System, "text/plain; charset=utf-8"),
            ("GET", "/logs") => (Request::Logs { name: asked.name.clone(), follow: false }, "application/json"),
            ("POST", _) if !asked.is_ours => return Answer::text(403, "the header x-pearwood is not there"),
            ("POST", "/restart") => (Request::Restart { name: name() }, "text/plain"),
            ("POST", "/stop") => (Request::Stop { name: name() }, "text/plain"),
            ("POST", "/start") => (Request::Start { name: name() }, "text/plain"),
            ("POST", "/rollback") => (Request::RollBack(Settings::default()), "text/plain"),
            _ => return Answer::text(404, "there is nothing here"),
        };
        self.forward(&request, kind)
    }

    fn forward(&self, request: &Request, kind: &'static str) -> Answer {
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        let mut response = remote.ask(request);
        if response.as_ref().is_err_and(|error| !is_refusal(error)) {
            // the control box may have been replaced; what changes something is not asked twice
            match remote.again() {
                Ok(again) => *remote = again,
                Err(error) => return Answer::text(502, &format!("{error:#}")),
            }
            if request.needs() == Role::View {
                response = remote.ask(request);
            }
        }
        match response {
            Ok(Response::Text(text)) => Answer { status: 200, kind, body: text },
            Ok(Response::Number(number)) => Answer { status: 200, kind, body: number.to_string() },
            Ok(_) => Answer { status: 200, kind, body: String::new() },
            Err(error) => Answer::text(if is_refusal(&error) { 403 } else { 502 }, &format!("{error:#}")),
        }
    }
}
