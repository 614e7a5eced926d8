//! Boxes of a bare node are replaced under load, by the commands that people use: no request is lost, no answer is
//! wrong, no connection is reset, and memory is then as it was.
//!
//! How many of `site`, `http` and `net` is as `PEARWOOD_SWAPS` says: `100,20,20`. And then, with clients over TLS, how many of `tls`,
//! `http` and `net` is as `PEARWOOD_TLS_SWAPS` says: `100,100,20`.

mod secured;

use pearwood::{Launch, node::DiskFile};
use secured::{Clients, Opens};
use std::{
    fs,
    ops::Range,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tests::{
    TestNode,
    checker::{Checkers, Expected, Seen},
    load::{self, Load},
    node::{pearwood_command, workspace},
    waits::{Capture, Wait},
};

const PAGES: [&str; 2] = ["<title>A</title>\n", "<title>B</title>\n"];

/// How long one run of wrk takes.
const ROUND: Duration = Duration::from_secs(5);

/// Bytes that may have come to the node's own by the end: its history and logs, which are bounded.
const SLACK: u64 = 64 << 10;
/// A box's memory grows by pages. One that is not replaced has what its busiest moment took.
const PAGE: u64 = 64 << 10;

/// Beside those of the example: what speaks TLS, and what changes to another protocol.
const BOXES: &str = r#"
[box.tls]
component = "tls"
arrows."pearwood:net/tcp" = { box = "net", listen = [443] }
arrows."pearwood:keys/tls" = { box = "keys" }
arrows."pearwood:hardware/crypto" = { node = true }

[box.keys]
component = "keys"
arrows."pearwood:hardware/block" = { device = "disk0" }
arrows."pearwood:hardware/crypto" = { node = true }

[box.echo]
component = "echo"
"#;

/// Clients of either kind over TLS.
const SECURED: usize = 20;

/// A system like `examples/managed` that a key may change, and where that key is.
struct Setting {
    home: TempDir,
    system: TempDir,
    large: Vec<u8>,
    address: String,
    /// what differs from swap to swap
    page: usize,
    server: usize,
    keep_alive: usize,
    handshake: usize,
}

impl Setting {
    fn new() -> Self {
        let folder = || TempDir::new().expect("a folder");
        let large = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let setting = Setting {
            home: folder(),
            system: folder(),
            large,
            address: String::new(),
            page: 0,
            server: 0,
            keep_alive: 60,
            handshake: 10,
        };
        fs::create_dir(setting.system.path().join("public")).expect("a folder");
        fs::write(setting.system.path().join("public/large.bin"), &setting.large).expect("a file");
        setting
    }

    /// The system as it is to be now.
    fn write(&self, key: &str) {
        let Setting { page, server, keep_alive, handshake, .. } = self;
        let example = fs::read_to_string(workspace().join("examples/managed/system.toml")).expect("the example");
        let text = example
            .replace(
                "[box.http]\n",
                &format!("[box.http]\nconfig.ports = [80, 443]\nconfig.server = \"number-{server}\"\n"),
            )
            .replace(
                "{ box = \"net\", listen = [80] }",
                "[{ box = \"net\", listen = [80] }, { box = \"tls\", listen = [443] }]",
            )
            .replace("= { box = \"site\" }", "= [{ box = \"site\" }, { box = \"echo\", path = \"/echo/\" }]")
            .replace("[box.net]\n", &format!("[box.net]\nconfig.keep-alive = {keep_alive}\n"))
            .replace("# keys = ", &format!("keys = [{{ key = \"{key}\", role = \"deploy\", name = \"anna\" }}] # "));
        let tls = format!("component = \"tls\"\nconfig.handshake-timeout = {handshake}");
        let boxes = BOXES.replace("component = \"tls\"", &tls);
        fs::write(self.system.path().join("system.toml"), text + &boxes).expect("a file");
        let (index, text) = (self.system.path().join("public/index.html"), PAGES[page % 2]);
        // one that is written anew is another to `site`
        if !fs::read_to_string(&index).is_ok_and(|found| found == text) {
            fs::write(index, text).expect("a file");
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(pearwood_command());
        let output = command.args(arguments).env("XDG_CONFIG_HOME", self.home.path()).output();
        let output = output.expect("the pearwood command");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Another version of a box takes its place.
    fn replace(&mut self, name: &str, key: &str) -> Result<(), String> {
        match name {
            "site" => self.page += 1,
            "http" => self.server += 1,
            "tls" => self.handshake = 10 + self.handshake % 20,
            _ => self.keep_alive += 1,
        }
        self.write(key);
        let said = self.deploy()?;
        let is_done = said.contains(": done") && said.contains(&format!("{name}: another"));
        if is_done { Ok(()) } else { Err(said) }
    }

    fn deploy(&self) -> Result<String, String> {
        let sign = pearwood::workspace::config_directory().expect("a folder for keys").join("development.key");
        let [system, sign] = [self.system.path(), &sign].map(Path::to_string_lossy);
        let times = ["--trial", "0", "--drain", "60", "--ready", "60"];
        let arguments = ["deploy", &system, "--sign", &sign, "--node", &self.address, "--key", "anna"];
        self.run(&[&arguments[..], &times].concat())
    }
}

/// How often each of three boxes is replaced, as a variable says, or else these.
fn counts(variable: &str, names: [&'static str; 3], usual: [usize; 3]) -> [(&'static str, usize); 3] {
    let Ok(text) = std::env::var(variable) else { return std::array::from_fn(|place| (names[place], usual[place])) };
    let counts: Option<Vec<usize>> = text.split(',').map(|count| count.trim().parse().ok()).collect();
    let counts: Option<[usize; 3]> = counts.and_then(|counts| counts.try_into().ok());
    let counts = counts.unwrap_or_else(|| panic!("{variable} is {text}, which is not like `100,20,20`"));
    std::array::from_fn(|place| (names[place], counts[place]))
}

/// Bytes that are used when nothing is under way: frames and heap of the node, and what counts as each box's, some of which is
/// only promised.
fn memory(node: &TestNode) -> Vec<(String, u64)> {
    let status = node.status();
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let boxes = status["boxes"].as_array().expect("boxes").iter();
    let boxes = boxes.map(|one| (one["name"].as_str().expect("a name").to_string(), number(&one["memory"])));
    let [frames, heap] = ["frames", "heap"].map(|what| number(&status["memory"][what]));
    [("the node's frames".into(), frames), ("the node's heap".into(), heap)].into_iter().chain(boxes).collect()
}

#[test]
fn swaps_under_load_lose_nothing() {
    let mut setting = Setting::new();
    let said = setting.run(&["key", "new", "anna"]).expect("a key");
    let key = said.split("key = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("the key").to_string();
    setting.write(&key);
    let folder = tempfile::tempdir().expect("a folder");
    let capture = Capture::new(folder.path());
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(setting.system.path()).expect("it builds")));
    let disk = DiskFile::new(folder.path().join("disk.img"), 4 << 20);
    let node = TestNode::start_qemu(launch, launch.reachable().disk(disk).arguments(capture.arguments()));
    node.wait_for(0, "listening on port 7327");
    setting.address = format!("127.0.0.1:{}", node.node.port(7327));
    setting.run(&["ps", "--node", &setting.address, "--key", "anna", "--accept-key"]).expect("it may");

    let counts = self::counts("PEARWOOD_SWAPS", ["site", "http", "net"], [6, 3, 3]);
    // memory is counted of new instances that nobody has used yet, by a node that has had this load before
    let warm = counts.map(|(name, _)| (name, 1));
    under_load(&mut setting, &key, &node, warm, &capture);
    let before = fresh(&mut setting, &key, &node);
    let begin = capture.position();
    let (load, seen, spans) = under_load(&mut setting, &key, &node, counts, &capture);
    let packets = capture.seen(80);
    let after = fresh(&mut setting, &key, &node);

    eprintln!("{load:?} {} answers verified, {} connections reopened", seen.requests, seen.reopened);
    // before, it resets those that come earlier than the boxes that listen
    assert!(packets.resets.iter().all(|at| *at < begin), "the node has reset connections: {:?}", packets.resets);
    for what in ["nothing", "site", "http", "net"] {
        let counts = |at| match spans.get(spans.partition_point(|(_, span)| span.end <= at)) {
            Some((name, span)) if span.contains(&at) => *name == what,
            _ => what == "nothing" && at >= begin,
        };
        report(&format!("{what} replaced: a client waits"), &packets.waits, counts);
        report(&format!("{what} replaced: all that wait do so"), &packets.pauses, counts);
    }
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        eprintln!("{what}: {before} bytes before, {after} after");
    }
    let all = SLACK + PAGE * before.len() as u64;
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        let slack = match what.as_str() {
            // those of the boxes, too
            "the node's frames" => all,
            "the node's heap" => SLACK,
            _ => PAGE,
        };
        assert!(*after <= before + slack, "{what}: {before} bytes before, {after} after");
    }
    // only where it is asked for: `http` does not yet change the protocol of a connection that it has from an instance which is
    // being replaced, so whoever asks for that just then gets an ordinary answer
    if std::env::var_os("PEARWOOD_TLS_SWAPS").is_some() {
        over_tls(&mut setting, &key, &node);
    }
    node.power_off();
}

/// Boxes are replaced while connections over TLS have changed to another protocol, and while others bring a file: all come to their
/// end, and sessions go on.
fn over_tls(setting: &mut Setting, key: &str, node: &TestNode) {
    let opens = Opens::new(node.node.port(443), &node.authority_certificate());
    assert_eq!(opens.resumes(), Ok(false), "the first");
    let known = Opens::new(node.node.port(443), &node.authority_certificate());
    assert_eq!(known.resumes(), Ok(false), "the first of others");
    let clients = Clients::start(&opens, SECURED, "/large.bin", &setting.large);
    let mut fault = None;
    for (name, count) in counts("PEARWOOD_TLS_SWAPS", ["tls", "http", "net"], [2, 1, 1]) {
        for number in 1..=count {
            let began = Instant::now();
            fault = fault.or_else(|| setting.replace(name, key).err());
            eprintln!("over TLS: {name} {number} of {count} took {:.1} s", began.elapsed().as_secs_f32());
        }
    }
    let seen = clients.end();
    eprintln!("over TLS: {seen:?}");
    let console = || node.node.console().end();
    assert_eq!((fault, &*seen.failures), (None, &[][..]), "the console ends with:\n{}", console());
    assert!(seen.sockets > 0 && seen.downloads > 0 && seen.resumed > 0, "{seen:?}");
    // what a client knew before all of it
    assert_eq!(known.resumes(), Ok(true), "a session of before");
}

/// Says how long clients waited at the times that count: for all that the node had to do before.
fn report(what: &str, waits: &[Wait], counts: impl Fn(u64) -> bool) {
    let mut micros: Vec<u64> = waits.iter().filter(|wait| counts(wait.position)).map(|wait| wait.micros).collect();
    micros.sort_unstable();
    let of = |part: usize| micros.get(micros.len() * part / 1_000).or(micros.last()).copied().unwrap_or_default();
    let (count, median, most) = (micros.len(), of(500), of(1_000));
    eprintln!("{what}, {count} times: half up to {median} us, 99.9 % up to {} us, the longest {most} us", of(999));
}

/// What memory is used by instances that have done nothing yet, and by the node besides.
fn fresh(setting: &mut Setting, key: &str, node: &TestNode) -> Vec<(String, u64)> {
    for name in ["site", "http", "net"] {
        setting.replace(name, key).unwrap_or_else(|said| panic!("{name}: {said}"));
    }
    memory(node)
}

/// Boxes are replaced while clients of both kinds are served. Also yields what went over the card during each swap.
fn under_load(
    setting: &mut Setting,
    key: &str,
    node: &TestNode,
    counts: [(&'static str, usize); 3],
    capture: &Capture,
) -> (Load, Seen, Vec<(&'static str, Range<u64>)>) {
    let authority = node.authority();
    let expected = [
        Expected { path: "/", bodies: PAGES.map(|page| page.as_bytes().to_vec()).to_vec() },
        Expected { path: "/large.bin", bodies: vec![setting.large.clone()] },
    ];
    let checkers = Checkers::start(&authority, 4, &expected);
    let over = AtomicBool::new(false);
    let url = format!("http://{authority}/");
    // what all goes like while nothing is replaced
    let first = load::wrk(&url, 8, ROUND);
    let (load, spans) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut all = first;
            while !over.load(Relaxed) {
                let load = load::wrk(&url, 8, ROUND);
                all.requests += load.requests;
                all.errors += load.errors;
                all.refused += load.refused;
            }
            all
        });
        let spans = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut spans = Vec::new();
            for (name, count) in counts {
                for number in 1..=count {
                    let (began, position) = (Instant::now(), capture.position());
                    setting.replace(name, key).unwrap_or_else(|said| {
                        panic!("{name} {number}: {said}\nthe console ends with:\n{}", node.node.console().end())
                    });
                    spans.push((name, position..capture.position()));
                    eprintln!("{name} {number} of {count} took {:.1} s", began.elapsed().as_secs_f32());
                }
            }
            spans
        }));
        over.store(true, Relaxed);
        let load = load.join().expect("wrk");
        (load, spans.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let seen = checkers.end();
    let console = || node.node.console().end();
    assert_eq!(seen.failures, Vec::<String>::new(), "{seen:?}\nthe console ends with:\n{}", console());
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}\nthe console ends with:\n{}", console());
    assert!(load.requests > 0 && seen.requests > 0);
    (load, seen, spans)
}
