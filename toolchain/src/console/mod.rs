//! A node's web console, on a port of this machine: what a browser asks goes over the channel to the node's control box,
//! which the page comes from as well.
//!
//! Other users of this machine, and pages of other sites in the same browser, get nothing: the address has a secret in
//! it, the `Host` must be this one, and what changes something needs a header that no other site can send, and no other
//! `Origin`. Only what is measured can be read without the secret.

mod http;
mod swap;

use crate::remote::{Remote, is_refusal, is_silence, watch};
use anyhow::{Result, anyhow, bail};
use control::hex;
use http::{Answer, Asked, Exchange, Lines};
use manage::{Request, Response, Role, Settings};
use serde_json::json;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
pub use swap::Source;

/// How often somebody who follows a log is looked for.
const HEARTBEAT: Duration = Duration::from_secs(5);

pub struct Console {
    remote: Mutex<Remote>,
    port: u16,
    /// what the address has in it
    secret: String,
    /// what boxes are swapped in; or why they are not
    source: Result<Source, String>,
}

impl Console {
    /// `source`: what it takes to swap a box, or why there is none.
    pub fn new(remote: Remote, port: u16, source: Result<Source, String>) -> Result<Self> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| anyhow!("no randomness: {error}"))?;
        Ok(Console { remote: Mutex::new(remote), port, secret: hex(&secret), source })
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
            thread::spawn(move || drop(Exchange::begin(stream).and_then(|exchange| console.attend(exchange))));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn attend(&self, exchange: Option<Exchange>) -> Result<()> {
        let Some(mut exchange) = exchange else { return Ok(()) };
        match self.answer(&exchange.asked) {
            Reply::Answer(answer) => exchange.answer(&answer),
            Reply::Follow => match self.again() {
                Ok(remote) => follow(remote, exchange.lines()?),
                Err(error) => exchange.answer(&Answer::text(502, &format!("{error:#}"))),
            },
            Reply::Swap { name } => {
                let component = match exchange.body() {
                    Ok(component) => component,
                    Err(error) => return exchange.answer(&Answer::text(400, &format!("{error:#}"))),
                };
                let mut lines = exchange.lines()?;
                match self.swap(&name, &component, &mut lines) {
                    Ok(number) => lines.write(&json!({ "number": number }).to_string()),
                    Err(error) => lines.write(&json!({ "error": format!("{error:#}") }).to_string()),
                }
            }
        }
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let hosts = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", self.port));
        if !hosts.iter().any(|host| asked.host.eq_ignore_ascii_case(host)) {
            return Answer::text(421, "this is not the host that was asked for").into();
        }
        if asked.path == "/metrics" && asked.is_get() {
            return self.forward(&Request::Metrics, "text/plain; version=0.0.4").into();
        }
        let Some(path) = asked.path.strip_prefix('/').and_then(|path| path.strip_prefix(self.secret.as_str())) else {
            return Answer::text(404, "there is nothing here; the console's address has a secret in it").into();
        };
        let is_ours = |origin: &String| hosts.iter().any(|host| *origin == format!("http://{host}"));
        if asked.origin.as_ref().is_some_and(|origin| !is_ours(origin)) {
            return Answer::text(403, "this is for no other site").into();
        }
        let name = asked.name.as_deref().unwrap_or_default();
        let (request, kind) = match (asked.method.as_str(), path) {
            ("GET", "/") => (Request::Page, "text/html; charset=utf-8"),
            ("GET", "/me") => return self.me().into(),
            ("GET", "/describe") => (Request::Describe, "application/json"),
            ("GET", "/history") => (Request::History, "application/json"),
            ("GET", "/system") => (Request::System, "text/plain; charset=utf-8"),
            ("GET", "/logs") => (Request::Logs { name: asked.name.as_deref(), follow: false }, "application/json"),
            ("GET", "/follow") => return Reply::Follow,
            ("POST", _) if !asked.is_ours => return Answer::text(403, "the header x-pearwood is not there").into(),
            ("POST", "/restart") => (Request::Restart { name }, "text/plain"),
            ("POST", "/stop") => (Request::Stop { name }, "text/plain"),
            ("POST", "/start") => (Request::Start { name }, "text/plain"),
            ("POST", "/rollback") => return self.roll_back().into(),
            ("POST", "/swap") => return Reply::Swap { name: name.into() },
            _ => return Answer::text(404, "there is nothing here").into(),
        };
        self.forward(&request, kind).into()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remote> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection, for what takes its time.
    fn again(&self) -> Result<Remote> {
        self.lock().again()
    }

    /// Who asks, and what for: `swap` is why boxes cannot be swapped here.
    fn me(&self) -> Answer {
        let remote = self.lock();
        let (name, role, node) = (&remote.name, remote.role.word(), &remote.node);
        let swap = self.source.as_ref().err();
        let body = json!({ "name": name, "role": role, "node": node, "swap": swap }).to_string();
        Answer { status: 200, kind: "application/json", body }
    }

    fn roll_back(&self) -> Answer {
        let answer = self.forward(&Request::RollBack(Settings::default()), "text/plain");
        if let (200, Ok(number)) = (answer.status, answer.body.parse()) {
            self.confirm(number);
        }
        answer
    }

    /// Comes back to a deployment that was begun here, when it runs. How it goes is looked at by the page.
    fn confirm(&self, number: u64) {
        if let Ok(mut remote) = self.again() {
            let confirm = Duration::from_nanos(Settings::default().confirm);
            thread::spawn(move || drop(watch(&mut remote, number, confirm, |_| ())));
        }
    }

    /// Yields the number of the deployment.
    fn swap(&self, name: &str, component: &[u8], lines: &mut Lines) -> Result<u64> {
        let source = match &self.source {
            Ok(source) => source,
            Err(why) => bail!("{why}"),
        };
        let mut remote = self.again()?;
        let say = |step: &str| lines.write(&json!({ "step": step }).to_string());
        let number = source.swap(&mut remote, name, component, say)?;
        self.confirm(number);
        Ok(number)
    }

    fn forward(&self, request: &Request<'_>, kind: &'static str) -> Answer {
        let mut remote = self.lock();
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

/// What becomes of a request.
enum Reply {
    Answer(Answer),
    /// the lines of all logs, as they come
    Follow,
    Swap {
        name: String,
    },
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Reply::Answer(answer)
    }
}

/// Passes on what boxes say until nobody reads it, or the node ends the channel. The page asks again then.
fn follow(mut remote: Remote, mut lines: Lines) -> Result<()> {
    let id = remote.send(&Request::Logs { name: None, follow: true })?;
    loop {
        match remote.answer(id, HEARTBEAT) {
            Ok(Response::More(text)) => lines.write(&text)?,
            Ok(_) => return Ok(()),
            Err(error) if is_silence(&error) => {
                lines.write("")?;
                remote.send(&Request::Ping)?;
            }
            Err(error) => return Err(error),
        }
    }
}
