//! Nodes for tests.

use pearwood::{
    Launch,
    node::{DiskFile, End, Forward, Node, Protocol, Qemu},
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// How long anything may take that is only waited for. Machines are shared, and emulated CPUs slow.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What a node runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Qemu,
    Linux,
}

/// A node that serves.
pub struct TestNode {
    pub node: Node,
    pub launch: &'static Launch,
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_path_buf()
}

/// A system of `examples/`, built once in each test program.
pub fn example(name: &'static str) -> &'static Launch {
    static BUILT: OnceLock<Mutex<Vec<(&'static str, &'static Launch)>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, launch)) = built.iter().find(|(known, _)| *known == name) {
        return launch;
    }
    let launch = Launch::prepare(&workspace().join("examples").join(name)).expect(name);
    let launch: &'static Launch = Box::leak(Box::new(launch));
    built.push((name, launch));
    launch
}

impl TestNode {
    /// Starts an example on a node and waits until it answers on its HTTP port.
    pub fn start(example_name: &'static str, on: On) -> Self {
        let launch = example(example_name);
        match on {
            On::Qemu => Self::start_qemu(launch, launch.reachable()),
            On::Linux => Self::start_linux(launch, &workspace().join("examples").join(example_name), &[]),
        }
    }

    /// The same for a system that the test has made in a folder.
    pub fn start_system(system: &Path, on: On) -> Self {
        Self::start_with_disks(system, on, &[])
    }

    /// The same, with disks.
    pub fn start_with_disks(system: &Path, on: On, disks: &[DiskFile]) -> Self {
        let built = match on {
            On::Qemu => Launch::prepare(system),
            // the node builds what it needs
            On::Linux => pearwood::build::parse(system).map(|system| Launch {
                system,
                kernel: PathBuf::new(),
                image: PathBuf::new(),
                trust: String::new(),
                secret: String::new(),
            }),
        };
        let launch = built.unwrap_or_else(|error| panic!("{}: {error:#}", system.display()));
        let launch: &'static Launch = Box::leak(Box::new(launch));
        match on {
            On::Qemu => Self::start_qemu(launch, disks.iter().cloned().fold(launch.reachable(), Qemu::disk)),
            On::Linux => Self::start_linux(launch, system, disks),
        }
    }

    /// Starts a machine of one's own making.
    pub fn start_qemu(launch: &'static Launch, machine: Qemu) -> Self {
        let node = machine.start().expect("QEMU");
        Self { node, launch }.answering()
    }

    /// The same, with what has to be connected to the machine before it can answer.
    pub fn start_wired<W>(launch: &'static Launch, machine: Qemu, connect: impl FnOnce() -> W) -> (Self, W) {
        let node = machine.start().expect("QEMU");
        let wired = connect();
        (Self { node, launch }.answering(), wired)
    }

    fn start_linux(launch: &'static Launch, system: &Path, disks: &[DiskFile]) -> Self {
        let forwards = launch.ports().into_iter().map(|(protocol, port)| Forward::any(protocol, port));
        let node = pearwood::node::linux(&pearwood_command(), system, forwards, disks).expect("a node on Linux");
        Self { node, launch }.answering()
    }

    fn answering(self) -> Self {
        for port in self.launch.http_ports() {
            let answered = pearwood::node::first_answer(self.node.port(port), || self.node.ended().is_some());
            assert!(answered, "the node ended; its console ends with:\n{}", self.node.console().end());
        }
        self
    }

    /// `127.0.0.1:PORT` of the first HTTP port.
    pub fn authority(&self) -> String {
        let port = self.launch.http_ports()[0];
        format!("127.0.0.1:{}", self.node.port(port))
    }

    /// The certificate of the node's own authority (PEM), as somebody gets it who wants to trust the node.
    pub fn own_authority(&self) -> String {
        let lines: Vec<String> = self.node.console().lines_from(0);
        let said = lines.iter().filter_map(|line| line.split_once("] keys: ")).map(|(_, text)| text.trim_end());
        let said: String = said.map(|text| format!("{text}\n")).collect();
        let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {said}"));
        let end = said.find("-----END CERTIFICATE-----").expect("its end") + "-----END CERTIFICATE-----\n".len();
        said[begin..end].into()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    pub fn status(&self) -> serde_json::Value {
        self.node.status(PATIENCE).expect("the node's status")
    }

    /// What the status says of a box.
    pub fn box_status(&self, name: &str) -> serde_json::Value {
        let status = self.status();
        let boxes = status["boxes"].as_array().expect("boxes");
        boxes.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no box {name} in {status}")).clone()
    }

    /// How often each box has started again.
    pub fn restarts(&self) -> BTreeMap<String, u64> {
        let status = self.status();
        let boxes = status["boxes"].as_array().expect("boxes").iter();
        let restarts = |one: &serde_json::Value| one["restarts"].as_u64().expect("a number");
        boxes.map(|one| (one["name"].as_str().expect("a name").to_owned(), restarts(one))).collect()
    }

    /// Waits for a console line that contains `text`, from `position` on.
    pub fn wait_for(&self, position: usize, text: &str) -> String {
        let found = self.node.console().wait_from(position, text, |line| line.contains(text), PATIENCE);
        found.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Ends the node as an operator would.
    pub fn power_off(self) {
        assert_eq!(self.node.power_off(PATIENCE).expect("it ends"), End::Off);
    }
}

/// Shows what the node said, if the test failed.
impl Drop for TestNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the node's console ends with:\n{}", self.node.console().end());
        }
    }
}

/// A function that uses a node, and its name.
pub type Case = (&'static str, fn(&TestNode));

/// Runs cases on one node of an example, one after the other, since to boot one takes longer than most of them. Each leaves
/// the node serving, and no box of it may have started again. After one that fails, the next get another node.
pub fn share(example_name: &'static str, on: On, cases: &[Case]) {
    let mut shared = None;
    let mut failed = Vec::new();
    for (name, case) in cases {
        let node = shared.take().unwrap_or_else(|| TestNode::start(example_name, on));
        println!("{name}");
        // a node that is dropped by a panic shows its console
        let outcome = catch_unwind(AssertUnwindSafe(move || {
            let before = node.restarts();
            case(&node);
            assert_eq!(node.restarts(), before, "boxes that started again");
            node
        }));
        shared = outcome.map_err(|_| failed.push(name)).ok();
    }
    if let Some(node) = shared {
        node.power_off();
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Writes the component of a box that traps at its start, which only a node finds out, beside a system's file. Yields the
/// box's table.
pub fn write_trapping_box(folder: &Path) -> &'static str {
    let component = wat::parse_str(
        "(component
            (core module $code (func (export \"run\") unreachable))
            (core instance $code (instantiate $code))
            (func $run (canon lift (core func $code \"run\")))
            (instance $service (export \"run\" (func $run)))
            (export \"pearwood:box/service@0.2.0\" (instance $service)))",
    );
    std::fs::write(folder.join("bad.wasm"), component.expect("a component")).expect("written");
    "\n[box.bad]\ncomponent = \"./bad.wasm\"\n"
}

/// Which protocol and port a forward is of, for tests that make machines themselves.
pub fn tcp(port: u16) -> Forward {
    Forward::any(Protocol::Tcp, port)
}

/// The `pearwood` command, built once.
pub fn pearwood_command() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| pearwood::build::own_command().expect("the pearwood command")).clone()
}
