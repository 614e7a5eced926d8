//! Clients: curl, and a bare connection for what no honest client sends.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Output},
    time::Duration,
};

use crate::node::PATIENCE;

/// What curl saw.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs curl with these arguments for one URL.
pub fn curl(arguments: &[&str], url: &str) -> Answer {
    let headers = tempfile::NamedTempFile::new().expect("a file for the headers");
    let output = run(Command::new("curl")
        .args(["--silent", "--show-error", "--http1.1", "--max-time", &PATIENCE.as_secs().to_string()])
        .args(["--dump-header", &headers.path().to_string_lossy()])
        .args(arguments)
        .arg(url));
    let text = std::fs::read_to_string(headers.path()).expect("the headers");
    let (status, headers) = last_head(&text);
    Answer { status, headers, body: output.stdout }
}

/// The last head of those that curl wrote down: an interim one may come before.
fn last_head(text: &str) -> (u16, Vec<(String, String)>) {
    let head = text.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_string(), v.to_string())).collect();
    (status.unwrap_or_else(|| panic!("no status line in {text:?}")), headers)
}

/// Runs a program to its end, which must be a good one.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {complaints}", output.status);
    output
}

/// A connection on which anything can be said.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(authority: &str) -> Self {
        let stream = TcpStream::connect(authority).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Raw(stream)
    }

    /// Sends, whether or not the other side still listens.
    pub fn say(&mut self, bytes: &[u8]) -> &mut Self {
        // it may have answered and closed before all was sent
        let _ = self.0.write_all(bytes);
        self
    }

    /// All that comes until the other side closes.
    pub fn hear_all(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        match self.0.read_to_end(&mut heard) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                panic!("{error} after {:?}", String::from_utf8_lossy(&heard))
            }
            _ => heard,
        }
    }

    /// Waits until something comes, if only the end.
    pub fn hear_some(&mut self) -> usize {
        match self.0.read(&mut [0; 4096]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
            heard => heard.unwrap_or(0),
        }
    }

    /// What comes until `end` is at its end.
    pub fn hear_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        let mut byte = [0];
        while !heard.ends_with(end) {
            let length = self.0.read(&mut byte).unwrap_or_else(|error| panic!("{error} after {heard:?}"));
            assert!(length == 1, "closed after {:?}", String::from_utf8_lossy(&heard));
            heard.push(byte[0]);
        }
        heard
    }

    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.0.set_read_timeout(Some(patience)).expect("a timeout");
        self
    }
}

/// The status that a request is answered with on a connection of its own; 0 if there is no answer.
pub fn status_of(authority: &str, request: &[u8]) -> u16 {
    let heard = Raw::connect(authority).say(request).hear_all();
    let text = String::from_utf8_lossy(&heard);
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok()).unwrap_or(0)
}
