//! A system with a disk, and nodes that run it.

use super::random::Random;
use pearwood::{
    Launch,
    linux::{FileDisk, block_on, fill_random},
    node::{DiskFile, Node, Qemu, first_answer},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;
use tests::{
    client::curl,
    node::{PATIENCE, pearwood_command, workspace},
};
use wasm_host::{slots::Store, volumes::slots_of};

/// A disk with 32 MiB for slots, and a little more.
pub const DISK: u64 = 40 << 20;

/// Files of each version, besides a large one.
pub const FILES: usize = 10;
pub const LARGE: usize = 300_000;

/// A system with a disk, the machine that starts it, and who may change it.
pub struct Site {
    pub home: TempDir,
    pub folder: TempDir,
    pub disk: PathBuf,
    pub machine: Qemu,
    pub sign: PathBuf,
}

/// What a command came to.
pub struct Said {
    pub success: bool,
    pub out: String,
    pub err: String,
}

impl Site {
    /// Version 1 is what the boot loader brings.
    pub fn new() -> Self {
        let (home, folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
        let made = command(&home, &["key", "new", "anna"]).output().expect("the pearwood command");
        let out = String::from_utf8_lossy(&made.stdout).into_owned();
        let key = out.split("key = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a key").to_string();
        fs::write(folder.path().join("key"), key).expect("a file");
        write_version(folder.path(), 1);
        let launch = Launch::prepare(folder.path()).unwrap_or_else(|error| panic!("{error:#}"));
        let disk = folder.path().join("disk");
        let machine = launch.reachable().disk(DiskFile::new(&disk, DISK));
        let sign = pearwood::workspace::config_directory().expect("a folder for keys").join("development.key");
        Site { home, folder, disk, machine, sign }
    }

    /// Starts the node and waits until it serves.
    pub fn boot(&self) -> Booted<'_> {
        let node = self.machine.start().expect("QEMU");
        assert!(first_answer(node.port(80), || node.ended().is_some()), "{}", node.console().end());
        Booted { site: self, node }
    }

    /// The deployment of a version, from the sources.
    pub fn deploy(&self, version: u64) -> Vec<String> {
        write_version(self.folder.path(), version);
        let mut arguments = vec!["deploy".into(), self.folder.path().to_string_lossy().into_owned()];
        arguments.extend(["--sign".into(), self.sign.to_string_lossy().into_owned()]);
        arguments.extend(quick());
        arguments
    }

    /// Does something to the slots of a disk that no node uses.
    pub fn with_slots<T>(&self, act: impl FnOnce(&Store) -> T) -> T {
        let disk = Arc::new(FileDisk::open(&self.disk, || ()).expect("the disk"));
        act(&block_on(slots_of(disk, None, &fill_random)).expect("readable slots").expect("slots"))
    }
}

pub fn quick() -> [String; 6] {
    ["--trial", "0", "--drain", "5", "--ready", "120"].map(String::from)
}

pub fn rollback() -> Vec<String> {
    ["rollback".into()].into_iter().chain(quick()).collect()
}

pub fn command(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(pearwood_command());
    command.args(arguments).env("XDG_CONFIG_HOME", home.path());
    command
}

/// Two boxes and all files are of that version.
pub fn write_version(folder: &Path, version: u64) {
    let key = fs::read_to_string(folder.join("key")).expect("the key");
    let example = fs::read_to_string(workspace().join("examples/managed/system.toml")).expect("the example");
    let (before, after) = example.split_once("# keys = ").expect("the line for keys");
    let (_, after) = after.split_once('\n').expect("the end of the line");
    let text = format!(
        "{before}keys = [{{ key = \"{key}\", role = \"deploy\", name = \"anna\" }}]\nsecret = \"{}\"\n{after}",
        "not known to anybody else".repeat(2)
    );
    let text = text
        .replace("name = \"managed\"", "name = \"power-test\"\ndisk = { device = \"disk0\", reserve = \"32 MiB\" }");
    let text = text.replace("[box.http]\n", &format!("[box.http]\nconfig.server = \"v{version}\"\n"));
    fs::write(folder.join("system.toml"), text).expect("written");
    let public = folder.join("public");
    fs::create_dir_all(&public).expect("a folder");
    for number in 0..FILES {
        fs::write(public.join(format!("{number}.txt")), format!("{version}\n")).expect("written");
    }
    fs::write(public.join("large"), large(version)).expect("written");
}

pub fn large(version: u64) -> Vec<u8> {
    let mut random = Random(version);
    (0..LARGE / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

pub struct Booted<'a> {
    pub site: &'a Site,
    pub node: Node,
}

impl Booted<'_> {
    /// What is served: all of one version.
    pub fn version(&self) -> u64 {
        let url = |path: &str| format!("http://127.0.0.1:{}/{path}", self.node.port(80));
        let others: Vec<String> = (1..FILES).map(|number| url(&format!("{number}.txt"))).collect();
        let answer = curl(&others.iter().map(String::as_str).collect::<Vec<_>>(), &url("0.txt"));
        let text = answer.text();
        let found: BTreeSet<&str> = text.lines().collect();
        let server = answer.header("server").and_then(|server| server.strip_prefix('v')).unwrap_or_default();
        assert!(found.len() == 1 && text.lines().count() == FILES && found.contains(server), "{answer:?}");
        let version = server.parse().expect("a version");
        assert!(curl(&[], &url("large")).body == large(version), "the large file is of version {version}");
        version
    }

    /// A command to this node.
    pub fn command(&self, arguments: &[String]) -> Command {
        let console = self.node.console();
        let says = "derived from config.secret";
        let line = console.wait_for(says, PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
        let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key");
        console.wait_for("listening on port 7327", PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = command(&self.site.home, &arguments);
        command.args(["--node", &format!("127.0.0.1:{}", self.node.port(7327)), "--key", "anna"]);
        command.arg(format!("--accept-key={key}"));
        command
    }

    pub fn ask(&self, arguments: &[String]) -> Said {
        let output = self.command(arguments).output().expect("the pearwood command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What must go well, and be kept.
    pub fn obeyed(&self, arguments: &[String]) -> Said {
        let said = self.ask(arguments);
        assert!(said.success, "{arguments:?}: {}{}\n{}", said.out, said.err, self.node.console().end());
        said
    }

    /// The plug is pulled, and put in again.
    pub fn reboot(self) -> Self {
        self.node.kill();
        self.site.boot()
    }

    /// Waits until what has never been started before has proved itself, if that is what was started.
    pub fn stands_its_trial(&self) {
        if self.node.console().lines_from(0).iter().any(|line| line.contains(", attempt ")) {
            self.says("the system has stood its trial");
        }
    }

    /// Waits until a deployment has begun.
    pub fn deploys(&self, position: usize) {
        let began = |line: &str| line.contains("by anna: ");
        let found = self.node.console().wait_from(position, "the deployment", began, PATIENCE);
        found.unwrap_or_else(|error| panic!("{error:#}"));
    }

    pub fn says(&self, text: &str) {
        self.node.console().wait_for(text, PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
    }
}
