//! The requests of all peers, and one turn of answering them.

use crate::answer::{self, Answer};
use crate::asked::{Asked, Misdeed};
use std::collections::BTreeMap;
use wit::http::{Command, Event, Head};
use wit::{Incoming, Outbox, Peers, Record};

/// Answers that may be under way at once, for all peers.
const MOST: usize = 4096;

const MILLISECOND: u64 = 1_000_000;

#[derive(Debug, Default)]
pub struct Echo {
    now: u64,
    peers: Peers,
    /// by peer and request
    answers: BTreeMap<(u32, u32), Answer>,
    /// another takes its place
    retiring: bool,
}

/// What has come up since the last turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wake<'a> {
    /// monotonic, in nanoseconds
    pub now: u64,
    /// commands of `pearwood:http/handler-service`
    pub handler: &'a [u8],
    /// A peer that had no room may have room again.
    pub room: bool,
}

/// The box's other arrows.
pub trait Outside {
    /// False: the peer has no room and has taken nothing.
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool;
    /// Does what a request has asked for; may not return.
    fn misdeed(&mut self, misdeed: Misdeed);
}

impl Echo {
    pub fn new() -> Self {
        Self::default()
    }

    /// Until when there is nothing to do unless something comes.
    pub fn deadline(&self) -> u64 {
        self.answers.values().map(Answer::due).min().unwrap_or(u64::MAX)
    }

    /// Another takes the place of this box: it is done when its peers have let go of it.
    pub fn retire(&mut self) {
        self.retiring = true;
    }

    pub fn is_done(&self) -> bool {
        self.retiring && !self.peers.any_attached()
    }

    /// Takes in what has come, and sends what follows from it.
    pub fn turn(&mut self, wake: Wake<'_>, outside: &mut impl Outside) {
        self.now = wake.now;
        if wake.room && self.peers.retry() {
            self.flush(outside);
        }
        self.commands(wake.handler, outside);
        // Answers whose time has come, and those that wait for a batch to be sent.
        loop {
            let (now, peers) = (self.now, &mut self.peers);
            self.answers.retain(|(peer, _), answer| peers.out(*peer).is_some_and(|out| !answer.advance(now, out)));
            let wrote = self.peers.waiting() > 0;
            self.flush(outside);
            if !wrote {
                break;
            }
        }
    }

    fn flush(&mut self, outside: &mut impl Outside) {
        self.peers.flush(|peer, batch| outside.send(peer, batch));
    }

    fn commands(&mut self, batch: &[u8], outside: &mut impl Outside) {
        for incoming in wit::incoming(batch).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => {
                    self.forget(peer);
                    self.peers.attach(peer, ());
                }
                Incoming::Detach(peer, _) => {
                    self.forget(peer);
                    self.peers.detach(peer);
                }
                Incoming::Retire(_) => {}
                Incoming::Record(peer, record) => self.command(peer, &record, outside),
            }
        }
    }

    fn forget(&mut self, peer: u32) {
        self.answers.retain(|key, _| key.0 != peer);
    }

    fn command(&mut self, peer: u32, record: &Record<'_>, outside: &mut impl Outside) {
        let Some(out) = self.peers.out(peer) else { return };
        let key = (peer, record.id);
        match Command::decode(record) {
            Ok(Command::Request { request, head }) => self.request(peer, request, &head, outside),
            Ok(Command::Cancel { .. }) => {
                self.answers.remove(&key);
            }
            Ok(command) => {
                let Some(answer) = self.answers.get_mut(&key) else { return };
                match command {
                    Command::Body { data, .. } if !answer.request_body(data) => {
                        self.answers.remove(&key);
                        let why = "more of a body than there was credit for";
                        return Event::Failed { request: record.id, why }.encode(out.batch());
                    }
                    Command::Body { .. } => {}
                    Command::End { .. } => answer.request_end(),
                    Command::Credit { bytes, .. } => answer.add_credit(bytes),
                    Command::Request { .. }
                    | Command::Cancel { .. }
                    | Command::Trailers { .. }
                    | Command::Unknown { .. } => {}
                }
                if answer.advance(self.now, out) {
                    self.answers.remove(&key);
                }
            }
            Err(_) => {
                if self.answers.remove(&key).is_some() {
                    Event::Failed { request: record.id, why: "a malformed command" }.encode(out.batch());
                }
            }
        }
    }

    fn request(&mut self, peer: u32, request: u32, head: &Head<'_>, outside: &mut impl Outside) {
        let Some(out) = self.peers.out(peer) else { return };
        if self.answers.len() >= MOST {
            return answer::whole(request, 503, b"too many requests are under way\n", head.method == "HEAD", out);
        }
        let is_head = head.method == "HEAD";
        let mut whole = |status, text: &[u8]| answer::whole(request, status, text, is_head, out);
        let answer = match Asked::of(head.target, peer) {
            Asked::Headers => return whole(200, &describe(head)),
            Asked::Status(status) => return whole(status, format!("{status}\n").as_bytes()),
            Asked::Mistake(why) => return whole(400, format!("{why}\n").as_bytes()),
            Asked::Garbage => return garbage(request, out),
            Asked::Misdeed(misdeed) => return outside.misdeed(misdeed),
            Asked::Slow(milliseconds) => {
                let due = self.now.saturating_add(milliseconds.saturating_mul(MILLISECOND));
                Answer::later(request, due, milliseconds)
            }
            Asked::Bytes(length) => Answer::bytes(request, length, is_head, out),
            Asked::Echo if head.upgrade == "echo" => Answer::stream(request, out),
            Asked::Echo => Answer::echo(request, head, out),
        };
        self.answers.insert((peer, request), answer);
    }
}

/// The head as text.
fn describe(head: &Head<'_>) -> Vec<u8> {
    let Head { method, target, remote, headers, .. } = head;
    let authority = String::from_utf8_lossy(head.authority);
    let mut text = format!("{method} {target}\nauthority: {authority}\nremote: {}\n", remote.to_canonical());
    // Header values need not be UTF-8.
    text.extend(String::from_utf8_lossy(headers).chars().filter(|&c| c != '\r'));
    text.into_bytes()
}

/// Well-framed records that mean nothing: no status, credit of three bytes, a list beyond its record, a reason that is no
/// UTF-8; and such as are well formed but out of place, or of a kind that there is not.
fn garbage(request: u32, out: &mut Outbox) {
    let batch = out.batch();
    batch.push(1, request, b"\xc8");
    batch.push(4, request, b"123");
    batch.push(2, request, b"\xff\0\0\0cut");
    batch.push_list(5, request, b"\xff\xfe");
    batch.push(99, request, b"what");
    batch.push(3, request, b"surplus");
    batch.push_list(2, request ^ 0xffff, b"for no request");
}
