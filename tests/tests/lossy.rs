//! N1 to N8: load on a wire that loses, duplicates and delays 5 % of the frames in each direction: every body is right,
//! and memory is then as it was.
//!
//! It takes a minute, or as long as `PEARWOOD_SOAK` says: `90s`, `30m`, `8h`. The clients are curl, through QEMU's network;
//! the wire is between that and the node's card.

#[path = "../../components/net/tests/common/frames.rs"]
#[allow(dead_code)]
mod frames;
#[path = "../../components/net/tests/common/wire.rs"]
#[allow(dead_code)]
mod wire;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};
use tests::{
    TestNode,
    client::curl,
    load,
    node::example,
    soak::{self, Memory},
    wire::{Ends, Socket, read, write},
};
use wire::{Dice, MILLISECOND, Quality, Wire};

/// What frames.rs makes frames for, and whose they are.
const STACK_CARD: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
mod host {
    pub const CARD: [u8; 6] = [2, 0, 0, 0, 0, 77];
}

const LOSSY: Quality = Quality { delay: 2 * MILLISECOND, loss: 5, duplication: 5, reordering: 5 };

/// Connections of the first moments: more than there are at any time later, also with those that wait for the last
/// acknowledgement.
const MOST: u32 = 48;
const CLIENTS: u64 = 12;
/// Bytes of the longest body.
const LONGEST: usize = 200_000;

#[test]
fn every_body_is_right_on_a_wire_that_loses_reorders_and_duplicates() {
    let launch = example("boxes");
    let (machine, socket) = Socket::cut(launch.reachable());
    let poor = Arc::new(AtomicBool::new(false));
    let connect = || {
        let ends = socket.ends().into_iter().zip(1..);
        ends.map(|(ends, seed)| Direction::begin(ends, poor.clone(), seed)).collect::<Vec<_>>()
    };
    let (node, directions) = TestNode::start_wired(launch, machine, connect);
    let bodies = Bodies {
        pattern: curl(&[], &node.url(&format!("/echo/bytes?n={LONGEST}"))).body,
        page: curl(&[], &node.url("/")).body,
    };
    assert_eq!(bodies.pattern.len(), LONGEST);
    let busiest =
        ["/", "/echo/bytes?n=100000"].map(|path| load::start(&node.url(path), MOST / 2, Duration::from_secs(5)));
    busiest.into_iter().for_each(|load| assert_eq!(load.end().errors, 0));
    poor.store(true, Relaxed);
    let done = Counts::default();
    run(&node, &bodies, &done, Duration::from_secs(15));
    let before = Memory::of(&node);
    let (start, end) = (Instant::now(), Instant::now() + soak::time());
    while Instant::now() < end {
        run(&node, &bodies, &done, Duration::from_secs(60).min(end - Instant::now()));
        let (requests, bytes) = (done.requests.load(Relaxed), done.bytes.load(Relaxed));
        eprintln!("after {} s: {requests} requests, {bytes} bytes; {}", start.elapsed().as_secs(), Memory::of(&node));
        for (direction, what) in directions.iter().zip(["from the node", "to the node"]) {
            eprintln!("    {what}: {:?}", direction.seen.lock().expect("no panic").counts);
        }
    }
    poor.store(false, Relaxed);
    assert!(done.requests.load(Relaxed) >= 200, "{done:?}");
    for direction in &directions {
        let counts = direction.seen.lock().expect("no panic").counts;
        assert!(counts.lost > 0 && counts.again > 0, "{counts:?}");
    }
    for name in ["net", "http", "site", "echo"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    before.assert_kept(&node);
    node.power_off();
}

struct Bodies {
    pattern: Vec<u8>,
    page: Vec<u8>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    /// bytes of bodies that were compared
    bytes: AtomicU64,
}

/// Clients that ask one thing after another for that long.
fn run(node: &TestNode, bodies: &Bodies, done: &Counts, time: Duration) {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let mut dice = Dice::new(client + done.requests.load(Relaxed));
            scope.spawn(move || {
                while Instant::now() < end {
                    let (requests, bytes) = ask(node, bodies, &mut dice);
                    done.requests.fetch_add(requests, Relaxed);
                    done.bytes.fetch_add(bytes as u64, Relaxed);
                }
            });
        }
    });
}

/// Asks on a connection of its own, once or a few times. How many requests, and how many bytes of bodies were right.
fn ask(node: &TestNode, bodies: &Bodies, dice: &mut Dice) -> (u64, usize) {
    let (requests, what, answer, expected) = match dice.below(4) {
        0 => {
            let lengths: Vec<usize> = (0..4).map(|_| dice.below(20_000)).collect();
            let urls: Vec<String> = lengths.iter().map(|n| node.url(&format!("/echo/bytes?n={n}"))).collect();
            let first: Vec<&str> = urls[1..].iter().map(String::as_str).collect();
            // curl takes them in this order
            let order = lengths[1..].iter().chain(&lengths[..1]);
            let expected = order.flat_map(|n| &bodies.pattern[..*n]).copied().collect();
            (4, format!("{lengths:?}"), curl(&first, &urls[0]), expected)
        }
        1 => {
            let length = dice.below(LONGEST);
            let answer = curl(&[], &node.url(&format!("/echo/bytes?n={length}")));
            (1, format!("{length} bytes"), answer, bodies.pattern[..length].to_vec())
        }
        2 => {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            let body: Vec<u8> = (0..1 + dice.below(LONGEST / 2)).map(|_| dice.next() as u8).collect();
            std::io::Write::write_all(&mut file, &body).expect("written");
            let data = format!("@{}", file.path().display());
            let answer = curl(&["--data-binary", &data], &node.url("/echo/mirror"));
            (1, format!("{} bytes and back", body.len()), answer, body)
        }
        _ => (1, "the page".to_string(), curl(&[], &node.url("/")), bodies.page.clone()),
    };
    assert_eq!(answer.status, 200, "{what}");
    let same = answer.body == expected;
    assert!(same, "{what}: {} bytes came, {} were expected", answer.body.len(), expected.len());
    (requests, expected.len())
}

/// One direction of the cable.
struct Direction {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    counts: Frames,
    /// of each flow of TCP over IPv4, the end of its data so far
    ends: BTreeMap<(u16, u16), u32>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Frames {
    /// that came here
    frames: u64,
    lost: u64,
    twice: u64,
    /// segments with data of which all had come before
    again: u64,
}

impl Direction {
    /// Passes frames on, on threads of their own. Those that the wire is good for at first get through, in order.
    fn begin(ends: Ends, poor: Arc<AtomicBool>, seed: u64) -> Self {
        let (sender, receiver) = channel();
        let mut from = ends.from;
        // QEMU stands still while nobody reads
        thread::spawn(move || while read(&mut from).is_some_and(|frame| sender.send(frame).is_ok()) {});
        let seen = Arc::new(Mutex::new(Seen::default()));
        let counted = seen.clone();
        let mut to = ends.to;
        thread::spawn(move || pass(&receiver, &poor, seed, &counted, |frame| write(&mut to, frame)));
        Direction { seen }
    }
}

fn pass(
    frames: &Receiver<Vec<u8>>,
    poor: &AtomicBool,
    seed: u64,
    seen: &Mutex<Seen>,
    mut send: impl FnMut(&[u8]) -> bool,
) {
    let start = Instant::now();
    let now = || start.elapsed().as_nanos() as u64;
    let mut wire = Wire::new(LOSSY, seed);
    loop {
        let frame = match wire.next() {
            u64::MAX => frames.recv().map_err(|_| RecvTimeoutError::Disconnected),
            at => frames.recv_timeout(Duration::from_nanos(at.saturating_sub(now()))),
        };
        match frame {
            Ok(frame) if !poor.load(Relaxed) => {
                if !send(&frame) {
                    return;
                }
            }
            Ok(frame) => {
                let before = wire.len();
                wire.send(now(), &frame);
                seen.lock().expect("no panic").take(&frame, wire.len() - before);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if !wire.receive(now()).iter().all(|frame| send(frame)) {
            return;
        }
    }
}

impl Seen {
    fn take(&mut self, frame: &[u8], copies: usize) {
        self.counts.frames += 1;
        self.counts.lost += u64::from(copies == 0);
        self.counts.twice += u64::from(copies > 1);
        let Some(seen) = frames::read_tcp(frame) else { return };
        let end = seen.sequence.wrapping_add(seen.payload as u32);
        if seen.control == smoltcp::wire::TcpControl::Syn {
            self.ends.insert(seen.ports, end.wrapping_add(1));
        } else if seen.payload > 0 {
            let known = self.ends.entry(seen.ports).or_insert(end.wrapping_sub(1));
            match (end.wrapping_sub(*known) as i32) > 0 {
                true => *known = end,
                false => self.counts.again += 1,
            }
        }
    }
}
