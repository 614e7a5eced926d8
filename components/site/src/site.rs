//! The box as a state machine: commands in, events out.

use crate::{
    Assets, Settings,
    body::{Body, Multipart, Source},
    cache::{Cache, Prepared},
    catalogue::Catalogue,
    decide::{Decision, decide},
    head::Heads,
    range::Span,
    streams::{PendingHead, Streams},
};
use wit::{
    Batch, Peer, Records,
    http::{Command, Event, Head},
};

/// Bytes that are packed for a peer before they are handed to the node.
const BATCH: usize = 128 << 10;
/// Bytes of one response that are sent before others get their turn.
const TURN: u32 = 32 << 10;
/// Bytes of a head that has to wait for room; whose head is longer, fails.
const LONGEST_WAITING_HEAD: usize = 2 << 10;
/// Peers have numbers below this: the node counts arrows from 0.
const MOST_PEERS: u32 = 4_096;

/// What [`Site::transmit`] left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing, until there are commands.
    Idle,
    /// More at once, after commands that may have come meanwhile.
    More,
    /// Nothing, until there are commands or a peer that was full has room.
    Blocked,
}

/// Answers requests for the files of the image. See the crate's documentation.
#[derive(Debug)]
pub struct Site<A> {
    assets: A,
    settings: Settings,
    catalogue: Catalogue,
    cache: Cache,
    peers: Vec<Client>,
    /// another takes its place
    retiring: bool,
    scratch: Vec<u8>,
}

/// One peer.
#[derive(Debug, Default)]
struct Client {
    attached: bool,
    out: Batch,
    streams: Streams,
}

impl Client {
    fn has_room(&self) -> bool {
        self.out.len() < BATCH
    }

    fn fail(&mut self, request: u32, why: &str) {
        // Beyond this the peer sends requests without taking answers: then even the failures are dropped.
        if self.out.len() < BATCH + BATCH / 2 {
            Event::Failed { request, why }.encode(&mut self.out);
        }
    }
}

impl<A: Assets> Site<A> {
    pub fn new(mut assets: A, settings: Settings) -> Self {
        let catalogue = Catalogue::new(assets.entries(), &settings);
        let cache = Cache::new(catalogue.representations(), settings.cache_total);
        Site { assets, settings, catalogue, cache, peers: Vec::new(), retiring: false, scratch: Vec::new() }
    }

    /// Files of the image that no URL can name.
    pub fn unreachable_files(&self) -> &[String] {
        &self.catalogue.unreachable
    }

    /// Takes a batch of commands. What is malformed is passed over: the node has checked the framing, and the rest
    /// harms only the peer that sent it.
    #[inline(never)]
    pub fn receive(&mut self, batch: &[u8]) {
        let mut peer = 0;
        for record in Records::new(batch).map_while(Result::ok) {
            match Peer::decode(&record) {
                Some(Peer::Is(number)) => peer = number,
                Some(Peer::Attach(number, _)) if number < MOST_PEERS => {
                    *self.peer(number as usize) = Client { attached: true, ..Client::default() };
                }
                Some(Peer::Detach(number, _)) => {
                    if let Some(client) = self.peers.get_mut(number as usize) {
                        *client = Client::default();
                    }
                }
                Some(_) => {}
                None => {
                    if peer < MOST_PEERS {
                        let command = Command::decode(&record);
                        self.command(peer as usize, record.id, command.ok());
                    }
                }
            }
        }
    }

    /// Another takes the place of this box: it is done when its peers have let go of it.
    pub fn retire(&mut self) {
        self.retiring = true;
    }

    pub fn is_done(&self) -> bool {
        self.retiring && !self.peers.iter().any(|peer| peer.attached)
    }

    fn peer(&mut self, peer: usize) -> &mut Client {
        if peer >= self.peers.len() {
            self.peers.resize_with(peer + 1, Client::default);
        }
        &mut self.peers[peer]
    }

    #[inline]
    fn command(&mut self, peer: usize, request: u32, command: Option<Command<'_>>) {
        self.peer(peer);
        match command {
            Some(Command::Request { request, head }) => self.request(peer, request, &head),
            Some(Command::Credit { request, bytes }) => self.peers[peer].streams.add_credit(request, bytes),
            Some(Command::Cancel { request }) => self.peers[peer].streams.cancel(request),
            // Bodies mean nothing here; without credit for them the peer soon stops.
            Some(Command::Body { .. } | Command::End { .. } | Command::Trailers { .. } | Command::Unknown { .. }) => {}
            None => self.peers[peer].fail(request, "malformed request"),
        }
    }

    #[inline]
    fn request(&mut self, peer: usize, request: u32, head: &Head<'_>) {
        let with_body = head.method != "HEAD";
        match decide(head, &self.catalogue) {
            Decision::Whole(representation) => self.whole(peer, request, representation, with_body),
            decision => self.other(peer, request, decision, with_body),
        }
    }

    /// Most answers: 200 with all of a file. That of a small file is at hand.
    #[inline]
    fn whole(&mut self, peer: usize, request: u32, representation: u32, with_body: bool) {
        let client = &mut self.peers[peer];
        if with_body
            && client.has_room()
            && let Some(answer) = self.cache.get(representation).and_then(|prepared| prepared.answer(request))
        {
            client.out.append(answer);
            return;
        }
        let size = self.catalogue.representation(representation).size;
        let body = if with_body { Body::File(Span { first: 0, end: size }) } else { Body::EMPTY };
        self.start(peer, request, PendingHead::Whole, representation, body);
    }

    fn other(&mut self, peer: usize, request: u32, decision: Decision<'_>, with_body: bool) {
        let heads = Heads { catalogue: &self.catalogue, settings: &self.settings };
        let mut lines = Vec::new();
        let into = &mut lines;
        let mut of = 0;
        let (status, body) = match decision {
            Decision::Whole(representation) => return self.whole(peer, request, representation, with_body),
            Decision::Parts(representation, spans) => {
                of = representation;
                (206, parts(&heads, representation, spans, into))
            }
            Decision::NotModified(representation) => {
                heads.not_modified(representation, into);
                (304, Body::EMPTY)
            }
            Decision::NotFound => match self.catalogue.not_found() {
                Some(page) => {
                    of = self.catalogue.resource(page).identity();
                    heads.not_found(of, into);
                    (404, Body::File(Span { first: 0, end: self.catalogue.representation(of).size }))
                }
                None => text(404, "Not found.\n", |text| heads.text(text, into)),
            },
            Decision::Folder { path, query } => {
                text(301, "It is a folder.\n", |text| heads.folder(&path, query, text, into))
            }
            Decision::Unsatisfiable(representation) => {
                text(416, "The file has no such range.\n", |text| heads.unsatisfiable(representation, text, into))
            }
            Decision::Options => {
                heads.options(into);
                (204, Body::EMPTY)
            }
            Decision::PreconditionFailed => text(412, "The file is another version.\n", |text| heads.text(text, into)),
            Decision::BadTarget => text(400, "The path is malformed.\n", |text| heads.text(text, into)),
            Decision::NotAllowed => text(405, "Files can only be read.\n", |text| heads.not_allowed(text, into)),
            Decision::NotImplemented => text(501, "The method is unknown.\n", |text| heads.text(text, into)),
        };
        let body = if with_body { body } else { Body::EMPTY };
        if !self.peers[peer].has_room() && lines.len() > LONGEST_WAITING_HEAD {
            return self.peers[peer].fail(request, "the site has too much to send");
        }
        self.start(peer, request, PendingHead::Lines(status, lines.into()), of, body);
    }

    fn start(&mut self, peer: usize, request: u32, head: PendingHead, representation: u32, body: Body) {
        let client = &mut self.peers[peer];
        if !client.streams.start(request, head, representation, body) {
            client.fail(request, "the site has too many requests");
        }
    }

    /// Packs what can be sent and hands each peer one batch with `send(peer, batch, last)`, which is false if the peer
    /// is full and nothing was taken. `last`: nothing is to be done after it until there are commands or room.
    #[inline(never)]
    pub fn transmit(&mut self, mut send: impl FnMut(u32, &[u8], bool) -> bool) -> Progress {
        for peer in 0..self.peers.len() {
            if self.peers[peer].streams.can_go_on() {
                self.pack(peer);
            }
        }
        let mut waiting = self.peers.iter().filter(|peer| !peer.out.is_empty()).count();
        let more = self.peers.iter().any(|peer| peer.streams.can_go_on());
        let mut progress = Progress::Idle;
        for (client, number) in self.peers.iter_mut().zip(0..) {
            if !client.out.is_empty() {
                waiting -= 1;
                let last = waiting == 0 && !more;
                if !send(number, client.out.as_bytes(), last) {
                    progress = if progress == Progress::More { progress } else { Progress::Blocked };
                    continue;
                }
                client.out.clear();
            }
            if client.streams.can_go_on() {
                progress = Progress::More;
            }
        }
        progress
    }

    fn pack(&mut self, peer: usize) {
        while self.peers[peer].has_room() {
            let Some((request, stream)) = self.peers[peer].streams.next_turn() else { return };
            let representation = stream.representation;
            let head = std::mem::replace(&mut stream.head, PendingHead::Sent);
            let sent = self.send_head(peer, request, representation, head).and_then(|()| self.send_body(peer, request));
            match sent {
                Ok(true) => {
                    let client = &mut self.peers[peer];
                    Event::End { request }.encode(&mut client.out);
                    client.streams.done(request);
                }
                Ok(false) => self.peers[peer].streams.again(request),
                Err(why) => {
                    self.peers[peer].streams.done(request);
                    self.peers[peer].fail(request, &why);
                }
            }
        }
    }

    fn send_head(&mut self, peer: usize, request: u32, of: u32, head: PendingHead) -> Result<(), String> {
        let out = &mut self.peers[peer].out;
        match head {
            PendingHead::Sent => {}
            PendingHead::Lines(status, headers) => Event::Response { request, status, headers: &headers }.encode(out),
            PendingHead::Whole => match self.cache.get(of) {
                Some(prepared) => Event::Response { request, status: 200, headers: prepared.head() }.encode(out),
                None => {
                    let prepared = self.prepare(of)?;
                    Event::Response { request, status: 200, headers: prepared.head() }
                        .encode(&mut self.peers[peer].out);
                    self.cache.insert(of, prepared);
                }
            },
        }
        Ok(())
    }

    fn prepare(&mut self, representation: u32) -> Result<Prepared, String> {
        let mut head = Vec::new();
        Heads { catalogue: &self.catalogue, settings: &self.settings }.whole(representation, &mut head);
        let size = self.catalogue.representation(representation).size;
        let fits = size <= self.settings.cache_file && size + head.len() as u64 <= self.cache.limit() as u64;
        let body = if fits { Some(self.read_whole(representation)?) } else { None };
        Ok(Prepared::new(&head, body))
    }

    fn read_whole(&mut self, representation: u32) -> Result<Vec<u8>, String> {
        let size = self.catalogue.representation(representation).size;
        let mut content = Vec::with_capacity(size as usize);
        while (content.len() as u64) < size {
            let first = content.len() as u64;
            let part = self.read(representation, Span { first, end: size.min(first + u64::from(TURN)) })?;
            content.extend_from_slice(&part);
        }
        Ok(content)
    }

    /// Exactly that part of a file.
    fn read(&mut self, representation: u32, span: Span) -> Result<Vec<u8>, String> {
        let it = self.catalogue.representation(representation);
        let bytes = self.assets.read(it.asset, span.first, span.len() as u32);
        if bytes.len() as u64 == span.len() {
            return Ok(bytes);
        }
        let path = &self.catalogue.resource(it.resource).path;
        Err(format!("asset {path}{}: shorter than the image says", it.encoding.suffix()))
    }

    /// Sends of a body what its credit and its turn allow. True: that was all of it.
    fn send_body(&mut self, peer: usize, request: u32) -> Result<bool, String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let done = self.send_body_with(peer, request, &mut scratch);
        self.scratch = scratch;
        done
    }

    fn send_body_with(&mut self, peer: usize, request: u32, scratch: &mut Vec<u8>) -> Result<bool, String> {
        let mut turn = TURN;
        loop {
            let Some(stream) = self.peers[peer].streams.get_mut(request) else { return Ok(true) };
            let Some(source) = stream.body.next(scratch) else { return Ok(true) };
            let room = u64::from(stream.credit.min(turn));
            if room == 0 {
                return Ok(false);
            }
            let count;
            match source {
                Source::Text(text) => {
                    count = room.min(text.len() as u64);
                    let data = &text[..count as usize];
                    Event::Body { request, data }.encode(&mut self.peers[peer].out);
                }
                Source::File(span) => {
                    count = room.min(span.len());
                    let span = Span { first: span.first, end: span.first + count };
                    let representation = stream.representation;
                    self.send_span(peer, request, representation, span)?;
                }
            }
            if let Some(stream) = self.peers[peer].streams.get_mut(request) {
                stream.body.advance(count);
                stream.credit -= count as u32;
            }
            turn -= count as u32;
        }
    }

    fn send_span(&mut self, peer: usize, request: u32, representation: u32, span: Span) -> Result<(), String> {
        let kept = self.cache.get(representation).and_then(|prepared| prepared.body());
        let kept = kept.and_then(|body| body.get(span.first as usize..span.end as usize));
        if let Some(data) = kept {
            Event::Body { request, data }.encode(&mut self.peers[peer].out);
            return Ok(());
        }
        let data = self.read(representation, span)?;
        Event::Body { request, data: &data }.encode(&mut self.peers[peer].out);
        Ok(())
    }
}

/// Head and body of a 206.
fn parts(heads: &Heads<'_>, representation: u32, spans: Vec<Span>, into: &mut Vec<u8>) -> Body {
    if let [span] = spans[..] {
        heads.part(representation, span, into);
        return Body::File(span);
    }
    let it = heads.catalogue.representation(representation);
    let media_type = heads.catalogue.media_type(it.resource, heads.settings).to_owned();
    let parts = Multipart { boundary: it.boundary, media_type, size: it.size, spans };
    heads.parts(representation, &parts, into);
    Body::Multipart { parts: Box::new(parts), part: 0, sent: 0 }
}

/// An answer in words.
fn text(status: u16, text: &'static str, write_head: impl FnOnce(&str)) -> (u16, Body) {
    write_head(text);
    (status, Body::Text(text))
}
