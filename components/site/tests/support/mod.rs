//! A site with files in memory, and a client that reads its answers.
#![allow(dead_code)]

use pearwood_site::{Assets, Entry, Fetched, Progress, Settings, Site};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv6Addr,
    rc::Rc,
};
use wit::{
    Batch, INITIAL_CREDIT, Peer, Records,
    http::{Command, Event, Head, Scheme},
};

pub const MODIFIED: u64 = 784_111_777;
pub const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Files in memory, some of them without content in memory: byte `n` of those is [`pattern`]`(n)`.
#[derive(Clone, Default)]
pub struct Files {
    files: Vec<(String, Content)>,
    /// the most bytes that were read at a time, and how many reads there were
    pub largest_read: Rc<Cell<u32>>,
    pub reads: Rc<Cell<u32>>,
    /// files whose end is missing
    pub cut: Rc<RefCell<Vec<String>>>,
    /// files on a disk: by path, the blocks of 64 KiB that have been read, and whether those that are asked for are lost
    pub disk: Rc<RefCell<BTreeMap<String, Disk>>>,
}

#[derive(Clone, Default)]
pub struct Disk {
    pub there: BTreeSet<u64>,
    pub asked: BTreeSet<u64>,
    pub lost: BTreeSet<u64>,
}

#[derive(Clone)]
enum Content {
    Bytes(Vec<u8>),
    Pattern(u64),
}

pub fn pattern(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

impl Files {
    pub fn new(files: &[(&str, &str)]) -> Self {
        files.iter().fold(Files::default(), |files, (path, content)| files.with(path, content.as_bytes()))
    }

    pub fn with(mut self, path: &str, content: &[u8]) -> Self {
        self.files.push((path.to_owned(), Content::Bytes(content.to_vec())));
        self
    }

    pub fn with_pattern(mut self, path: &str, size: u64) -> Self {
        self.files.push((path.to_owned(), Content::Pattern(size)));
        self
    }
}

impl Assets for Files {
    fn entries(&mut self) -> Vec<Entry> {
        let entry = |(path, content): &(String, Content)| {
            let size = match content {
                Content::Bytes(bytes) => bytes.len() as u64,
                Content::Pattern(size) => *size,
            };
            // Not BLAKE3, but as good here: other contents, other hashes.
            let mut hash = [0u8; 32];
            let bytes = if let Content::Bytes(bytes) = content { &bytes[..] } else { path.as_bytes() };
            for (at, byte) in bytes.iter().enumerate() {
                hash[at % 32] = hash[at % 32].wrapping_mul(31).wrapping_add(*byte).rotate_left(3);
            }
            Entry { path: path.clone(), size, hash, modified: MODIFIED }
        };
        self.files.iter().map(entry).collect()
    }

    fn fetch(&mut self, index: u32, offset: u64, mut len: u32) -> Fetched {
        if let Some(disk) = self.disk.borrow_mut().get_mut(&self.files[index as usize].0) {
            let block = offset >> 16;
            if disk.lost.contains(&block) {
                return Fetched::Lost;
            }
            if !disk.there.contains(&block) {
                disk.asked.insert(block);
                return Fetched::Awaited;
            }
            len = len.min((((block + 1) << 16) - offset) as u32);
        }
        self.largest_read.set(self.largest_read.get().max(len));
        self.reads.set(self.reads.get() + 1);
        let (path, content) = &self.files[index as usize];
        let end = offset.saturating_add(len.into());
        let mut bytes = match content {
            Content::Bytes(bytes) => {
                let end = end.min(bytes.len() as u64);
                bytes.get(offset as usize..end as usize).unwrap_or_default().to_vec()
            }
            Content::Pattern(size) => (offset..end.min(*size)).map(pattern).collect(),
        };
        if self.cut.borrow().contains(path) {
            bytes.pop();
        }
        Fetched::Bytes(bytes)
    }
}

/// An answer as a client sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub ended: bool,
    pub failed: Option<String>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    #[track_caller]
    pub fn etag(&self) -> &str {
        self.header("etag").expect("an etag")
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a text")
    }
}

/// What the node tells a box of a new peer.
pub fn attach(peer: u32) -> Vec<u8> {
    let mut batch = Batch::new();
    Peer::Attach(peer, b"").encode(&mut batch);
    batch.into_bytes()
}

/// The client of one peer number.
pub struct Client {
    pub site: Site<Files>,
    pub peer: u32,
    pub answers: HashMap<u32, Answer>,
    /// Gives back credit for all that arrives.
    pub credits: bool,
    next: u32,
}

impl Client {
    pub fn new(files: Files) -> Self {
        Self::with(files, Settings::default())
    }

    pub fn with(files: Files, settings: Settings) -> Self {
        let mut site = Site::new(files, settings);
        site.receive(&attach(0));
        Client { site, peer: 0, answers: HashMap::new(), credits: true, next: 0 }
    }

    pub fn send(&mut self, commands: &[Command<'_>]) {
        let mut batch = Batch::new();
        Peer::Is(self.peer).encode(&mut batch);
        commands.iter().for_each(|command| command.encode(&mut batch));
        self.site.receive(batch.as_bytes());
    }

    /// Takes one batch of events. False: the site had none.
    pub fn take(&mut self) -> (Progress, bool) {
        let mut batches = Vec::new();
        let progress = self.site.transmit(|peer, batch, _| {
            batches.push((peer, batch.to_vec()));
            true
        });
        let taken = !batches.is_empty();
        let mut credits = Vec::new();
        for (peer, batch) in batches {
            assert_eq!(peer, self.peer);
            for record in Records::new(&batch) {
                let event = Event::decode(&record.expect("well framed")).expect("well formed");
                self.event(event, &mut credits);
            }
        }
        if self.credits {
            let credits: Vec<_> = credits.iter().map(|&(request, bytes)| Command::Credit { request, bytes }).collect();
            self.send(&credits);
        }
        (progress, taken)
    }

    fn event(&mut self, event: Event<'_>, credits: &mut Vec<(u32, u32)>) {
        match event {
            Event::Response { request, status, headers } => {
                let answer = self.answers.entry(request).or_default();
                assert_eq!(answer.status, 0, "one head");
                answer.status = status;
                answer.headers = read_headers(headers);
            }
            Event::Body { request, data } => {
                let answer = self.answers.get_mut(&request).expect("a head first");
                assert!(answer.status != 0 && !answer.ended && answer.failed.is_none() && !data.is_empty());
                answer.body.extend_from_slice(data);
                credits.push((request, data.len() as u32));
            }
            Event::End { request } => {
                let answer = self.answers.get_mut(&request).expect("a head first");
                assert!(answer.status != 0 && !answer.ended);
                answer.ended = true;
            }
            Event::Failed { request, why } => {
                let answer = self.answers.entry(request).or_default();
                assert!(!answer.ended);
                answer.failed = Some(why.to_owned());
            }
            Event::Credit { .. } => panic!("files need no request bodies"),
            Event::Trailers { .. } | Event::Fault { .. } | Event::Unknown { .. } => panic!("{event:?}"),
        }
    }

    /// Until the site has nothing more to say.
    pub fn run(&mut self) {
        while self.take().1 {}
    }

    pub fn start(&mut self, method: &str, target: &str, lines: &[(&str, &str)]) -> u32 {
        self.next += 1;
        let headers: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let remote = Ipv6Addr::LOCALHOST;
        let head = Head {
            method,
            target,
            authority: b"example.org",
            remote,
            headers: headers.as_bytes(),
            scheme: Scheme::Http,
            upgrade: "",
        };
        let request = self.next;
        self.send(&[Command::Request { request, head }, Command::End { request }]);
        request
    }

    /// One exchange, checked for what is true of all answers.
    #[track_caller]
    pub fn ask(&mut self, method: &str, target: &str, lines: &[(&str, &str)]) -> Answer {
        let request = self.start(method, target, lines);
        self.run();
        let answer = self.answers.remove(&request).expect("an answer");
        assert!(answer.ended, "{method} {target}: {:?}", answer.failed);
        check(method, &answer);
        answer
    }

    #[track_caller]
    pub fn get(&mut self, target: &str, lines: &[(&str, &str)]) -> Answer {
        self.ask("GET", target, lines)
    }
}

#[track_caller]
pub fn check(method: &str, answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let bodiless = method == "HEAD" || matches!(answer.status, 204 | 304);
    if bodiless {
        assert!(answer.body.is_empty(), "{method} {}", answer.status);
    }
    match answer.header("content-length") {
        Some(length) if !bodiless => assert_eq!(length, answer.body.len().to_string()),
        Some(_) => assert!(!matches!(answer.status, 204 | 304)),
        None => assert!(bodiless, "{method} {} without a length", answer.status),
    }
}

pub fn read_headers(lines: &[u8]) -> BTreeMap<String, String> {
    let lines = str::from_utf8(lines).expect("ASCII");
    assert!(lines.is_ascii() && (lines.is_empty() || lines.ends_with("\r\n")), "{lines:?}");
    let mut headers = BTreeMap::new();
    for line in lines.split_terminator("\r\n") {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        let (name, value) = line.split_once(": ").expect("name: value");
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(headers.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice");
    }
    headers
}

/// A generator of numbers that a seed determines (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

pub const CREDIT: usize = INITIAL_CREDIT as usize;
