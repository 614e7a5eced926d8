//! Boxes of a bare node are replaced under load, by the commands that people use: no request is lost, no answer is
//! wrong, no connection is reset, and memory is then as it was.
//!
//! How many of `site`, `http` and `net` is as `PEARWOOD_SWAPS` says: `100,20,20`.

use pearwood::{Launch, bench::counters};
use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tests::{
    TestNode,
    checker::{Checkers, Expected},
    load::{self, Load},
    node::{pearwood_command, workspace},
};

const PAGES: [&str; 2] = ["<title>A</title>\n", "<title>B</title>\n"];

/// Bytes that use may grow by after the first swaps: the history and logs are bounded, and longer than at the start.
const SLACK: u64 = 512 << 10;

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
        };
        fs::create_dir(setting.system.path().join("public")).expect("a folder");
        fs::write(setting.system.path().join("public/large.bin"), &setting.large).expect("a file");
        setting
    }

    /// The system as it is to be now.
    fn write(&self, key: &str) {
        let Setting { page, server, keep_alive, .. } = self;
        let example = fs::read_to_string(workspace().join("examples/managed/system.toml")).expect("the example");
        let text = example
            .replace("[box.http]\n", &format!("[box.http]\nconfig.server = \"number-{server}\"\n"))
            .replace("[box.net]\n", &format!("[box.net]\nconfig.keep-alive = {keep_alive}\n"))
            .replace("# keys = ", &format!("keys = [{{ key = \"{key}\", role = \"deploy\", name = \"anna\" }}] # "));
        fs::write(self.system.path().join("system.toml"), text).expect("a file");
        fs::write(self.system.path().join("public/index.html"), PAGES[page % 2]).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(pearwood_command());
        let output = command.args(arguments).env("XDG_CONFIG_HOME", self.home.path()).output();
        let output = output.expect("the pearwood command");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    fn deploy(&self) -> Result<String, String> {
        let sign = pearwood::workspace::config_directory().expect("a folder for keys").join("development.key");
        let [system, sign] = [self.system.path(), &sign].map(Path::to_string_lossy);
        let times = ["--trial", "0", "--drain", "60", "--ready", "60"];
        let arguments = ["deploy", &system, "--sign", &sign, "--node", &self.address, "--key", "anna"];
        self.run(&[&arguments[..], &times].concat())
    }
}

fn counts() -> [usize; 3] {
    let text = std::env::var("PEARWOOD_SWAPS").unwrap_or_else(|_| "6,3,3".into());
    let counts: Option<Vec<usize>> = text.split(',').map(|count| count.trim().parse().ok()).collect();
    let counts = counts.and_then(|counts| counts.try_into().ok());
    counts.unwrap_or_else(|| panic!("PEARWOOD_SWAPS is {text}, which is not like `100,20,20`"))
}

/// Bytes that are used when nothing is under way: by the node, and by each box.
fn memory(node: &TestNode) -> Vec<(String, u64)> {
    let status = node.status();
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let of_node = ["frames", "heap"].map(|what| (what.to_string(), number(&status["memory"][what])));
    let boxes = status["boxes"].as_array().expect("boxes").iter();
    let of_boxes = boxes.map(|one| (one["name"].as_str().expect("a name").to_string(), number(&one["memory"])));
    of_node.into_iter().chain(of_boxes).collect()
}

#[test]
fn swaps_under_load_lose_nothing() {
    let mut setting = Setting::new();
    let said = setting.run(&["key", "new", "anna"]).expect("a key");
    let key = said.split("key = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("the key").to_string();
    setting.write(&key);
    let counting = tempfile::tempdir().expect("a folder");
    let plugin = counters::plugin(counting.path()).expect("the counting plugin");
    let socket = counting.path().join("counters");
    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(setting.system.path()).expect("it builds")));
    let node = TestNode::start_qemu(launch, launch.reachable().arguments(counters::arguments(&plugin, &socket)));
    node.wait_for(0, "listening on port 7327");
    setting.address = format!("127.0.0.1:{}", node.node.port(7327));
    setting.run(&["ps", "--node", &setting.address, "--key", "anna", "--accept-key"]).expect("it may");

    let authority = node.authority();
    let [site, http, net] = counts();
    // One of each, with as many clients as later, is where memory is counted from.
    swaps(&mut setting, &key, &node, &authority, [1, 1, 1], &socket);
    let before = memory(&node);
    let (load, seen) = swaps(&mut setting, &key, &node, &authority, [site, http, net], &socket);
    eprintln!("{load:?} {} answers verified, {} connections reopened", seen.requests, seen.reopened);
    let after = memory(&node);
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        eprintln!("{what}: {before} bytes before, {after} after");
    }
    // Boxes have what their busiest moment needed, which differs; the rest is the node's.
    let own = |memory: &[(String, u64)]| {
        let boxes: u64 = memory[2..].iter().map(|(_, bytes)| bytes).sum();
        [memory[0].1 - boxes, memory[1].1]
    };
    for (before, after) in own(&before).into_iter().zip(own(&after)) {
        assert!(after <= before + SLACK, "{before} bytes of the node's own before, {after} after");
    }
    node.power_off();
}

/// So many of each while clients of both kinds are served.
fn swaps(
    setting: &mut Setting,
    key: &str,
    node: &TestNode,
    authority: &str,
    [site, http, net]: [usize; 3],
    counter: &Path,
) -> (Load, tests::checker::Seen) {
    let expected = [
        Expected { path: "/", bodies: PAGES.map(|page| page.as_bytes().to_vec()).to_vec() },
        Expected { path: "/large.bin", bodies: vec![setting.large.clone()] },
    ];
    // what the node executes between two answers that one client gets, whatever else it has to do
    let (counter, longest) = (counter.to_path_buf(), Arc::<AtomicU64>::default());
    let pause = longest.clone();
    let mut last = None;
    let checkers = Checkers::start(authority, 4, &expected, move || {
        let now = counters::read(&counter).expect("the counting plugin").instructions;
        pause.fetch_max(now - last.replace(now).unwrap_or(now), Relaxed);
    });
    let over = AtomicBool::new(false);
    let url = format!("http://{authority}/");
    let load = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut all = Load::default();
            while !over.load(Relaxed) {
                let load = load::wrk(&url, 8, Duration::from_secs(5));
                all.requests += load.requests;
                all.errors += load.errors;
                all.refused += load.refused;
            }
            all
        });
        let changes = [("site", site), ("http", http), ("net", net)];
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (name, count) in changes {
                for number in 1..=count {
                    match name {
                        "site" => setting.page += 1,
                        "http" => setting.server += 1,
                        _ => setting.keep_alive += 1,
                    }
                    setting.write(key);
                    let began = Instant::now();
                    let said = setting.deploy().unwrap_or_else(|said| {
                        panic!("{name} {number}: {said}\nthe console ends with:\n{}", node.node.console().end())
                    });
                    assert!(said.contains(": done") && said.contains(&format!("{name}: another")), "{said}");
                    let (time, pause) = (began.elapsed().as_secs_f32(), longest.swap(0, Relaxed));
                    eprintln!("{name} {number} of {count} took {time:.1} s; longest pause: {pause} instructions");
                }
            }
        }));
        over.store(true, Relaxed);
        let load = load.join().expect("wrk");
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        load
    });
    let seen = checkers.end();
    let console = || node.node.console().end();
    assert_eq!(seen.failures, Vec::<String>::new(), "{seen:?}\nthe console ends with:\n{}", console());
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}\nthe console ends with:\n{}", console());
    assert!(load.requests > 0 && seen.requests > 0);
    (load, seen)
}
