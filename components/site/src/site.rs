//! The box as a state machine: commands in, events out.

use crate::{
    Assets, Fetched, Settings,
    body::{Body, Multipart, Source},
    cache::{Cache, Prepared},
    catalogue::{Catalogue, Content},
    decide::{Decision, decide},
    head::Heads,
    range::Span,
    streams::{PendingHead, Streams},
};
use wit::{
    Incoming, Peers,
    http::{Command, Event, Head},
};

/// Bytes that are packed for a peer before they are handed to the node.
const BATCH: usize = 128 << 10;
/// Bytes of one response that are sent before others get their turn.
const TURN: u32 = 32 << 10;
/// Bytes of a head that has to wait for room; whose head is longer, fails.
const LONGEST_WAITING_HEAD: usize = 2 << 10;
/// ... and for all of them together.
const BATCHES: usize = 16 * BATCH;

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
    peers: Peers<Streams>,
    /// another takes its place
    retiring: bool,
    scratch: Vec<u8>,
}

impl<A: Assets> Site<A> {
    pub fn new(mut assets: A, settings: Settings) -> Self {
        let catalogue = Catalogue::new(assets.entries(), &settings);
        let cache = Cache::new(catalogue.representations(), settings.cache_total);
        Site {
            assets,
            settings,
            catalogue,
            cache,
            peers: Peers::new(BATCH, BATCHES),
            retiring: false,
            scratch: Vec::new(),
        }
    }

    /// What is wrong with the files, in words.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let unreachable = self.catalogue.unreachable.iter().map(|path| format!("asset {path}: no URL can name it"));
        let missing = self.settings.fallbacks().filter(|path| self.catalogue.find(path).is_none());
        unreachable.chain(missing.map(|path| format!("config.rules: there is no asset {path} to fall back to")))
    }

    /// Takes a batch of commands. What is malformed is passed over: the node has checked the framing, and the rest
    /// harms only the peer that sent it.
    #[inline(never)]
    pub fn receive(&mut self, batch: &[u8]) {
        for incoming in wit::incoming(batch).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => drop(self.peers.attach(peer, Streams::default())),
                Incoming::Detach(peer, _) => drop(self.peers.detach(peer)),
                Incoming::Retire(_) => {}
                Incoming::Record(peer, record) => self.command(peer, record.id, Command::decode(&record).ok()),
            }
        }
    }

    /// Another takes the place of this box: it is done when its peers have let go of it.
    pub fn retire(&mut self) {
        self.retiring = true;
    }

    pub fn is_done(&self) -> bool {
        self.retiring && !self.peers.any_attached()
    }

    /// Files that were being read may be there.
    pub fn fetch_again(&mut self) {
        for peer in self.peers.numbers() {
            if let Some(streams) = self.peers.get_mut(peer) {
                streams.fetch_again();
            }
        }
    }

    #[inline]
    fn command(&mut self, peer: u32, request: u32, command: Option<Command<'_>>) {
        let Some(streams) = self.peers.get_mut(peer) else { return };
        match command {
            Some(Command::Request { request, head }) => self.request(peer, request, &head),
            Some(Command::Credit { request, bytes }) => streams.add_credit(request, bytes),
            Some(Command::Cancel { request }) => streams.cancel(request),
            // Bodies mean nothing here; without credit for them the peer soon stops.
            Some(Command::Body { .. } | Command::End { .. } | Command::Trailers { .. } | Command::Unknown { .. }) => {}
            None => self.fail(peer, request, "malformed request"),
        }
    }

    /// A peer that sends requests without taking answers is not told even of the failures.
    #[cold]
    #[inline(never)]
    fn fail(&mut self, peer: u32, request: u32, why: &str) {
        if let Some(out) = self.peers.answer(peer) {
            Event::Failed { request, why }.encode(out.batch());
        }
    }

    #[inline]
    fn request(&mut self, peer: u32, request: u32, head: &Head<'_>) {
        let with_body = head.method != "HEAD";
        match decide(head, &self.catalogue, &self.settings) {
            Decision::Whole(representation) => self.whole(peer, request, representation, with_body),
            decision => self.other(peer, request, decision, with_body),
        }
    }

    /// Most answers: 200 with all of a file. That of a small file is at hand.
    #[inline]
    fn whole(&mut self, peer: u32, request: u32, representation: u32, with_body: bool) {
        if with_body
            && let Some(out) = self.peers.room(peer)
            && let Some(answer) = self.cache.get(representation).and_then(|prepared| prepared.answer(request))
        {
            out.batch().append(answer);
            return;
        }
        let size = self.catalogue.representation(representation).size;
        let body = if with_body { Body::File(Span { first: 0, end: size }) } else { Body::EMPTY };
        self.start(peer, request, PendingHead::Whole, representation, body);
    }

    #[inline(never)]
    fn other(&mut self, peer: u32, request: u32, decision: Decision<'_>, with_body: bool) {
        let heads = Heads { catalogue: &self.catalogue, settings: &self.settings };
        let mut lines = Vec::new();
        let into = &mut lines;
        let mut of = 0;
        let (status, body) = match decision {
            Decision::Whole(representation) => return self.whole(peer, request, representation, with_body),
            Decision::Unmeasured(representation) => {
                heads.unmeasured(representation, into);
                (200, Body::EMPTY)
            }
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
                text(301, "It has another URL.\n", |text| heads.folder(&path, query, text, into))
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
        if lines.len() > LONGEST_WAITING_HEAD && self.peers.room(peer).is_none() {
            return self.fail(peer, request, "the site has too much to send");
        }
        self.start(peer, request, PendingHead::Lines(status, lines.into()), of, body);
    }

    #[inline(never)]
    fn start(&mut self, peer: u32, request: u32, head: PendingHead, representation: u32, body: Body) {
        if let Some(streams) = self.peers.get_mut(peer)
            && !streams.start(request, head, representation, body)
        {
            self.fail(peer, request, "the site has too many requests");
        }
    }

    /// Packs what can be sent and hands each peer one batch with `send(peer, batch, last)`, which is false if the peer
    /// is full and nothing was taken. `last`: nothing is to be done after it until there are commands or room.
    #[inline(never)]
    pub fn transmit(&mut self, mut send: impl FnMut(u32, &[u8], bool) -> bool) -> Progress {
        for peer in self.peers.numbers() {
            if self.peers.get(peer).is_some_and(Streams::can_go_on) {
                self.pack(peer);
            }
        }
        let mut waiting = self.peers.waiting();
        let more = self.peers.iter().any(|(_, streams, _)| streams.can_go_on());
        self.peers.flush(|peer, batch| {
            waiting -= 1;
            send(peer, batch, waiting == 0 && !more)
        });
        let more = self.peers.iter().any(|(_, streams, out)| streams.can_go_on() && !out.is_full());
        // Those that have taken nothing are asked again the next time.
        match (self.peers.retry(), more) {
            (_, true) => Progress::More,
            (true, false) => Progress::Blocked,
            (false, false) => Progress::Idle,
        }
    }

    #[inline(never)]
    fn pack(&mut self, peer: u32) {
        while self.peers.room(peer).is_some() {
            let Some((request, stream)) = self.peers.get_mut(peer).and_then(Streams::next_turn) else { return };
            let representation = stream.representation;
            let head = std::mem::replace(&mut stream.head, PendingHead::Sent);
            let sent = match self.send_head(peer, request, representation, head) {
                Ok(Sent::All) => self.send_body(peer, request),
                sent => sent,
            };
            let Some((streams, out)) = self.peers.both(peer) else { return };
            match sent {
                Ok(Sent::All) => {
                    Event::End { request }.encode(out.batch());
                    streams.done(request);
                }
                Ok(Sent::Some) => streams.again(request),
                Ok(Sent::Awaits) => streams.awaits_file(request),
                Err(why) => {
                    streams.done(request);
                    self.fail(peer, request, &why);
                }
            }
        }
    }

    fn send_head(&mut self, peer: u32, request: u32, of: u32, head: PendingHead) -> Result<Sent, String> {
        fn response(request: u32, status: u16, headers: &[u8]) -> Event<'_> {
            Event::Response { request, status, headers }
        }
        match head {
            PendingHead::Sent => {}
            PendingHead::Lines(status, headers) => say(&mut self.peers, peer, response(request, status, &headers)),
            PendingHead::Whole => match self.cache.get(of) {
                Some(prepared) => say(&mut self.peers, peer, response(request, 200, prepared.head())),
                None => {
                    let Some(prepared) = self.prepare(of)? else {
                        if let Some(stream) = self.peers.get_mut(peer).and_then(|streams| streams.get_mut(request)) {
                            stream.head = PendingHead::Whole;
                        }
                        return Ok(Sent::Awaits);
                    };
                    say(&mut self.peers, peer, response(request, 200, prepared.head()));
                    self.cache.insert(of, prepared);
                }
            },
        }
        Ok(Sent::All)
    }

    /// None: its file is being read.
    fn prepare(&mut self, representation: u32) -> Result<Option<Prepared>, String> {
        let mut head = Vec::new();
        Heads { catalogue: &self.catalogue, settings: &self.settings }.whole(representation, &mut head);
        let size = self.catalogue.representation(representation).size;
        let fits = size <= self.settings.cache_file && size + head.len() as u64 <= self.cache.limit() as u64;
        let mut body = fits.then(|| Vec::with_capacity(size as usize));
        while let Some(read) = body.as_mut().filter(|read| (read.len() as u64) < size) {
            let first = read.len() as u64;
            let span = Span { first, end: size.min(first + u64::from(TURN)) };
            match self.read(representation, span)? {
                Some(bytes) => read.extend_from_slice(&bytes),
                None if read.is_empty() => return Ok(None),
                // Of a file in several parts, the first may be gone when the last is there: it is sent as it comes.
                None => body = None,
            }
        }
        Ok(Some(Prepared::new(&head, body)))
    }

    /// As much of a span as is there, and at least a byte. None: it is being read.
    fn read(&mut self, representation: u32, span: Span) -> Result<Option<Vec<u8>>, String> {
        let it = self.catalogue.representation(representation);
        let (bytes, what) = match &it.content {
            Content::Made(page) => return Ok(Some(page[span.first as usize..span.end as usize].to_vec())),
            Content::Asset(asset) => match self.assets.fetch(*asset, span.first, span.len() as u32) {
                Fetched::Bytes(bytes) => (bytes, "shorter than the image says"),
                Fetched::Awaited => return Ok(None),
                Fetched::Lost => (Vec::new(), "it cannot be read"),
            },
        };
        if !bytes.is_empty() && bytes.len() as u64 <= span.len() {
            return Ok(Some(bytes));
        }
        let resource = self.catalogue.resource(it.resource);
        let suffix = if representation == resource.identity() { "" } else { it.encoding.suffix() };
        Err(format!("asset {}{suffix}: {what}", resource.path))
    }

    /// Sends of a body what its credit and its turn allow.
    fn send_body(&mut self, peer: u32, request: u32) -> Result<Sent, String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let done = self.send_body_with(peer, request, &mut scratch);
        self.scratch = scratch;
        done
    }

    fn send_body_with(&mut self, peer: u32, request: u32, scratch: &mut Vec<u8>) -> Result<Sent, String> {
        let mut turn = TURN;
        loop {
            let stream = self.peers.get_mut(peer).and_then(|streams| streams.get_mut(request));
            let Some(stream) = stream else { return Ok(Sent::All) };
            let Some(source) = stream.body.next(scratch) else { return Ok(Sent::All) };
            let room = u64::from(stream.credit.min(turn));
            if room == 0 {
                return Ok(Sent::Some);
            }
            let count;
            match source {
                Source::Text(text) => {
                    count = room.min(text.len() as u64);
                    let data = &text[..count as usize];
                    say(&mut self.peers, peer, Event::Body { request, data });
                }
                Source::File(span) => {
                    let span = Span { first: span.first, end: span.first + room.min(span.len()) };
                    let representation = stream.representation;
                    count = match self.send_span(peer, request, representation, span)? {
                        Some(count) => count,
                        None => return Ok(Sent::Awaits),
                    };
                }
            }
            if let Some(stream) = self.peers.get_mut(peer).and_then(|streams| streams.get_mut(request)) {
                stream.body.advance(count);
                stream.credit -= count as u32;
            }
            turn -= count as u32;
        }
    }

    /// Sends as much of a span as is there, and says how much. None: it is being read.
    fn send_span(&mut self, peer: u32, request: u32, of: u32, span: Span) -> Result<Option<u64>, String> {
        let kept = self.cache.get(of).and_then(|prepared| prepared.body());
        let kept = kept.and_then(|body| body.get(span.first as usize..span.end as usize));
        if let Some(data) = kept {
            say(&mut self.peers, peer, Event::Body { request, data });
            return Ok(Some(span.len()));
        }
        let Some(data) = self.read(of, span)? else { return Ok(None) };
        say(&mut self.peers, peer, Event::Body { request, data: &data });
        Ok(Some(data.len() as u64))
    }
}

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    /// What its credit and its turn allow.
    Some,
    /// The rest is being read from the node's disk.
    Awaits,
}

fn say(peers: &mut Peers<Streams>, peer: u32, event: Event<'_>) {
    if let Some(out) = peers.out(peer) {
        event.encode(out.batch());
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
