//! What has been measured, over `pearwood:http/handler`: for those who scrape it, who cannot prove a key by signing.
//! They come from an address that the settings list, or have a token of somebody whose key is listed.

use crate::config::Config;
use std::{collections::BTreeMap, sync::Arc};
use wit::{
    INITIAL_CREDIT, Incoming, Outbox, Peers, Record,
    http::{Command, Event, Head},
};

/// Answers under way at once.
const MOST: usize = 16;

/// Bytes of a body in one record.
const PART: usize = 16 << 10;

#[derive(Default)]
pub struct Scrapes {
    peers: Peers,
    /// by peer and request
    open: BTreeMap<(u32, u32), Scrape>,
    is_asked: bool,
}

/// One answer under way.
struct Scrape {
    is_head: bool,
    /// bytes of the body that the peer has room for
    credit: usize,
    /// None: the node has been asked. All that wait get the same.
    text: Option<Arc<str>>,
    sent: usize,
}

/// What lets a request in.
pub struct Admission<'a> {
    pub config: &'a Config,
    /// one for each key
    pub tokens: &'a [blake3::Hash],
}

impl Scrapes {
    pub fn turn(&mut self, batch: &[u8], admission: &Admission<'_>) {
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
                Incoming::Record(peer, record) => self.command(peer, &record, admission),
            }
        }
    }

    fn forget(&mut self, peer: u32) {
        self.open.retain(|key, _| key.0 != peer);
    }

    /// Nobody may ask any more.
    pub fn is_done(&self) -> bool {
        !self.peers.any_attached()
    }

    /// Whether the node is to be asked, which is then counted as done.
    pub fn take_wish(&mut self) -> bool {
        let waits = self.open.values().any(|scrape| scrape.text.is_none());
        waits && !std::mem::replace(&mut self.is_asked, true)
    }

    /// The node has answered.
    pub fn told(&mut self, text: Result<String, String>) {
        self.is_asked = false;
        let text: Result<Arc<str>, String> = text.map(Into::into);
        let peers = &mut self.peers;
        self.open.retain(|&(peer, request), scrape| {
            let Some(out) = peers.out(peer) else { return false };
            match &text {
                _ if scrape.text.is_some() => true,
                Err(why) => {
                    whole(request, 503, "", why, scrape.is_head, out);
                    false
                }
                Ok(text) => {
                    head(request, 200, "text/plain; version=0.0.4; charset=utf-8", "", text.len(), out);
                    scrape.text = Some(text.clone());
                    true
                }
            }
        });
    }

    fn command(&mut self, peer: u32, record: &Record<'_>, admission: &Admission<'_>) {
        let key = (peer, record.id);
        match Command::decode(record) {
            Ok(Command::Request { request, head }) => {
                let is_head = head.method == "HEAD";
                let Some(out) = self.peers.answer(peer) else { return };
                if let Err((status, header, why)) = admission.admit(&head) {
                    return whole(request, status, header, why, is_head, out);
                }
                if self.open.len() >= MOST {
                    return whole(request, 503, "retry-after: 1\r\n", "too many ask for the metrics", is_head, out);
                }
                let credit = INITIAL_CREDIT as usize;
                self.open.insert(key, Scrape { is_head, credit, text: None, sent: 0 });
            }
            Ok(Command::Credit { bytes, .. }) => {
                if let Some(scrape) = self.open.get_mut(&key) {
                    scrape.credit = scrape.credit.saturating_add(bytes as usize);
                }
            }
            Ok(Command::Cancel { .. }) => drop(self.open.remove(&key)),
            // a body means nothing, and there is no credit for more of it
            Ok(Command::Body { .. } | Command::End { .. } | Command::Trailers { .. } | Command::Unknown { .. }) => {}
            Err(_) => {
                if self.open.remove(&key).is_some()
                    && let Some(out) = self.peers.answer(peer)
                {
                    Event::Failed { request: record.id, why: "a malformed command" }.encode(out.batch());
                }
            }
        }
    }

    /// Sends what there is, as far as there is credit and room.
    pub fn flush(&mut self, room: bool, mut send: impl FnMut(u32, &[u8]) -> bool) {
        if room {
            self.peers.retry();
        }
        loop {
            let peers = &mut self.peers;
            self.open.retain(|&(peer, request), scrape| !scrape.advance(peer, request, peers));
            if !peers.flush(&mut send) {
                break;
            }
        }
    }
}

impl Scrape {
    /// True: it is complete.
    fn advance(&mut self, peer: u32, request: u32, peers: &mut Peers) -> bool {
        let Some(text) = &self.text else { return false };
        let length = if self.is_head { 0 } else { text.len() };
        while self.sent < length && self.credit > 0 {
            let Some(out) = peers.room(peer) else { return false };
            let part = (length - self.sent).min(self.credit).min(PART);
            Event::Body { request, data: &text.as_bytes()[self.sent..self.sent + part] }.encode(out.batch());
            (self.sent, self.credit) = (self.sent + part, self.credit - part);
        }
        let is_complete = self.sent == length;
        if is_complete && let Some(out) = peers.out(peer) {
            Event::End { request }.encode(out.batch());
        }
        is_complete
    }
}

type Refusal = (u16, &'static str, &'static str);

impl Admission<'_> {
    fn admit(&self, head: &Head<'_>) -> Result<(), Refusal> {
        let path = head.target.split('?').next().unwrap_or_default();
        if !path.ends_with("/metrics") {
            return Err((404, "", "there is nothing here but /metrics"));
        }
        if !matches!(head.method, "GET" | "HEAD") {
            return Err((405, "allow: GET, HEAD\r\n", "metrics are read by GET"));
        }
        let is_listed = self.config.metrics.iter().any(|network| network.contains(head.remote));
        let token = token(head.headers).and_then(|token| blake3::Hash::from_hex(token).ok());
        // the comparison of hashes takes as long wherever they differ
        if is_listed || token.is_some_and(|token| self.tokens.contains(&token)) {
            return Ok(());
        }
        let why = "this address is not listed in config.metrics of the control box, and there is no token of a listed \
                   key; `pearwood token` prints one";
        Err((401, "www-authenticate: Bearer\r\n", why))
    }
}

/// RFC 6750, section 2.1
fn token(headers: &[u8]) -> Option<&[u8]> {
    headers.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked("authorization:".len())?;
        let (scheme, token) = value.trim_ascii().split_at_checked("bearer ".len())?;
        let is_it = name.eq_ignore_ascii_case(b"authorization:") && scheme.eq_ignore_ascii_case(b"bearer ");
        is_it.then(|| token.trim_ascii())
    })
}

fn head(request: u32, status: u16, kind: &str, more: &str, length: usize, out: &mut Outbox) {
    let headers = format!("content-type: {kind}\r\ncontent-length: {length}\r\ncache-control: no-store\r\n{more}");
    Event::Response { request, status, headers: headers.as_bytes() }.encode(out.batch());
}

fn whole(request: u32, status: u16, header: &str, why: &str, is_head: bool, out: &mut Outbox) {
    head(request, status, "text/plain; charset=utf-8", header, why.len() + 1, out);
    if !is_head {
        Event::Body { request, data: format!("{why}\n").as_bytes() }.encode(out.batch());
    }
    Event::End { request }.encode(out.batch());
}
