//! A node that is managed from elsewhere, with the commands that people use.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tests::{
    On, TestNode,
    client::curl,
    load,
    node::{pearwood_command, workspace},
    on_each,
};

on_each!(
    who_has_no_right_is_told_so,
    a_system_is_deployed_while_it_serves,
    what_is_refused_changes_nothing,
    the_console_shows_and_does_what_the_key_may
);

/// People, each with a key, and the system of `examples/managed` that knows two of them.
struct People {
    /// where their keys are
    home: TempDir,
    system: TempDir,
}

struct Said {
    success: bool,
    out: String,
    err: String,
}

impl People {
    fn new() -> Self {
        let people = People { home: TempDir::new().expect("a folder"), system: TempDir::new().expect("a folder") };
        let keys = [("anna", "deploy"), ("vera", "view")].map(|(name, role)| {
            let key = people.key(name);
            format!("{{ key = \"{key}\", role = \"{role}\", name = \"{name}\" }}")
        });
        people.key("stranger");
        let example = workspace().join("examples/managed");
        let text = fs::read_to_string(example.join("system.toml")).expect("the example");
        let (before, after) = text.split_once("# keys = ").expect("the line for keys");
        let (_, after) = after.split_once('\n').expect("the end of the line");
        people.write("system.toml", &format!("{before}keys = [{}]\n{after}", keys.join(", ")));
        people.write("public/index.html", "<title>one</title>");
        people
    }

    /// Makes a key, and yields its public half.
    fn key(&self, name: &str) -> String {
        let said = self.run(&["key", "new", name], &[]);
        assert!(said.success, "{}", said.err);
        let (_, rest) = said.out.split_once("key = \"").expect("the key");
        rest.split('"').next().expect("the key").to_string()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn path(&self) -> &Path {
        self.system.path()
    }

    /// Edits the system's file, and yields what it was.
    fn edit(&self, edit: impl FnOnce(&str) -> String) -> String {
        let text = fs::read_to_string(self.path().join("system.toml")).expect("the file");
        self.write("system.toml", &edit(&text));
        text
    }

    fn run(&self, arguments: &[&str], more: &[&str]) -> Said {
        let mut command = Command::new(pearwood_command());
        let output = command.args(arguments).args(more).env("XDG_CONFIG_HOME", self.home.path()).output();
        let output = output.expect("the pearwood command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Starts the node; its key is known to all from the log on.
    fn start(&self, on: On) -> Managed<'_> {
        let node = TestNode::start_system(self.path(), on);
        let line = node.wait_for(0, "the node's key is ");
        let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key");
        let key = key.to_string();
        node.wait_for(0, "listening on port 7327");
        let address = format!("127.0.0.1:{}", node.node.port(7327));
        Managed { people: self, node, address, key }
    }
}

struct Managed<'a> {
    people: &'a People,
    node: TestNode,
    address: String,
    key: String,
}

impl Managed<'_> {
    fn ask(&self, who: &str, arguments: &[&str]) -> Said {
        self.people.run(arguments, &["--node", &self.address, "--key", who])
    }

    /// What must go well.
    fn obeyed(&self, who: &str, arguments: &[&str]) -> Said {
        let said = self.ask(who, arguments);
        assert!(said.success, "{arguments:?}: {}\nthe console ends with {}", said.err, self.node.node.console().end());
        said
    }

    /// What must not, and why.
    fn refused(&self, who: &str, arguments: &[&str], why: &str) {
        let said = self.ask(who, arguments);
        assert!(!said.success, "{arguments:?} was obeyed: {}", said.out);
        assert!(said.err.contains(why) || said.out.contains(why), "{arguments:?}: {}{}", said.err, said.out);
    }

    fn accept(&self, who: &str) {
        self.obeyed(who, &["ps", &format!("--accept-key={}", self.key)]);
    }

    /// `pearwood deploy` or the like, with the key that the node trusts.
    fn deploys<'s>(&self, arguments: &[&'s str]) -> Vec<String> {
        let sign = signing_key();
        let system = self.people.path().to_string_lossy().into_owned();
        let mut all: Vec<String> = arguments.iter().map(|&argument: &&'s str| argument.to_string()).collect();
        all.extend([system, "--sign".into(), sign.to_string_lossy().into_owned()]);
        all.extend(["--trial", "1", "--drain", "20", "--ready", "60"].map(String::from));
        all
    }

    fn title(&self) -> String {
        curl(&[], &self.node.url("/")).text()
    }
}

/// What the node's image was signed with.
fn signing_key() -> PathBuf {
    pearwood::workspace::config_directory().expect("a folder for keys").join("development.key")
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn who_has_no_right_is_told_so(on: On) {
    let people = People::new();
    let managed = people.start(on);
    let key = &managed.key;
    managed.refused("anna", &["ps"], key);
    managed.refused("anna", &["ps"], "is not known yet");
    let other = "ab".repeat(32);
    managed.refused("anna", &["ps", &format!("--accept-key={other}")], "has another key than the one to accept");
    managed.accept("anna");
    let said = managed.obeyed("anna", &["ps"]);
    for name in ["net", "http", "site", "control"] {
        assert!(said.out.lines().any(|line| line.starts_with(name)), "no {name} in {}", said.out);
    }
    // another node in the place of this one
    let known = people.home.path().join("pearwood/known-nodes");
    let right = fs::read_to_string(&known).expect("the known nodes");
    fs::write(&known, right.replace(key.as_str(), &other)).expect("the known nodes");
    managed.refused("anna", &["ps", "--accept-key"], "has changed");
    managed.refused("anna", &["ps"], &other);
    managed.refused("anna", &["ps"], key);
    fs::write(&known, right).expect("the known nodes");

    managed.refused("stranger", &["ps"], "does not list the key");
    managed.refused("nobody", &["ps"], "there is no key `nobody`");
    managed.obeyed("vera", &["ps"]);
    assert!(managed.obeyed("vera", &["logs", "http"]).out.contains("http: listening on port 80"));
    managed.refused("vera", &["restart", "site"], "vera may not restart boxes: this needs the role `operate`");
    managed.refused("vera", &["rollback"], "vera may not roll back");
    managed.refused("vera", &strs(&managed.deploys(&["deploy"])), "vera may not deploy");
    managed.refused("anna", &["stop", "control"], "is what the node is managed by");
    managed.refused("anna", &["stop", "sit"], "there is no box `sit`");

    let position = managed.node.node.console().position();
    managed.obeyed("anna", &["restart", "site"]);
    managed.node.wait_for(position, "site: error: restarted: by anna");
    managed.node.node.console();
    managed.obeyed("anna", &["stop", "site"]);
    managed.refused("anna", &["restart", "site"], "is stopped");
    managed.obeyed("anna", &["start", "site"]);
    managed.node.wait_for(position, "site: started by anna");
    managed.node.power_off();
}

fn a_system_is_deployed_while_it_serves(on: On) {
    let people = People::new();
    let managed = people.start(on);
    managed.accept("anna");
    assert_eq!(managed.title(), "<title>one</title>");
    let load = load::start(&managed.node.url("/"), 8, Duration::from_secs(20));
    people.write("public/index.html", "<title>two</title>");
    let said = managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    assert!(said.out.contains("deployment 1: done"), "{}", said.out);
    assert!(said.err.contains("site: another assets"), "{}", said.err);
    assert!(said.err.contains("sent 2 blobs"), "only what has changed: {}", said.err);
    assert_eq!(managed.title(), "<title>two</title>");
    let load = load.end();
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
    assert!(load.requests > 0);
    // the box that manages is itself another
    people.edit(|text| text.replace("# secret = \"…\"", &format!("secret = \"{}\"", "s".repeat(32))));
    let said = managed.ask("anna", &strs(&managed.deploys(&["deploy"])));
    assert!(said.err.contains("deployment 2 goes on, and cannot be watched"), "{}", said.err);
    // with the secret it has another key, which nobody has accepted yet
    managed.refused("anna", &["ps"], "has changed");
    let line = managed.node.wait_for(0, "derived from config.secret");
    let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key");
    managed.obeyed("anna", &["ps", &format!("--accept-key={key}")]);
    managed.node.wait_for(0, "deployment 2: done");
    let said = managed.obeyed("anna", &["history"]);
    for what in ["anna", "site: another assets", "control: another config"] {
        assert!(said.out.contains(what), "no {what} in {}", said.out);
    }
    managed.node.power_off();
}

fn what_is_refused_changes_nothing(on: On) {
    let people = People::new();
    let managed = people.start(on);
    managed.accept("anna");
    managed.refused("anna", &["rollback"], "no other system ran here");
    people.write("public/index.html", "<title>two</title>");

    let path = people.path().to_string_lossy().into_owned();
    managed.refused("anna", &["deploy", &path, "--sign", "stranger"], "which the node does not trust");
    let sound = people.edit(|text| text.replace("arrows.\"pearwood:control/node\" = { node = true }", ""));
    managed.refused("anna", &strs(&managed.deploys(&["deploy"])), "has no arrow for it");
    people.write("system.toml", &sound);
    // what only the node finds out
    people.edit(|text| text.replace("assets = [", "config.nonsense = \"1\"\nassets = ["));
    managed.refused("anna", &strs(&managed.deploys(&["deploy"])), "refused: box `site` does not start");
    people.write("system.toml", &sound);
    assert_eq!(managed.title(), "<title>one</title>");

    managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    assert_eq!(managed.title(), "<title>two</title>");
    let said = managed.obeyed("anna", &["rollback", "--trial", "1"]);
    assert!(said.out.contains("deployment 3: done"), "{}", said.out);
    assert_eq!(managed.title(), "<title>one</title>");
    let said = managed.obeyed("anna", &["history"]);
    let outcomes: Vec<&str> = said.out.lines().skip(1).map(|line| line.rsplit("  ").next().unwrap_or(line)).collect();
    assert_eq!(outcomes.len(), 3, "{}", said.out);
    assert!(outcomes[0].starts_with("refused") && outcomes[1..] == ["done", "done"], "{}", said.out);
    keys_change(&managed);
    managed.node.power_off();
}

/// Other keys hold at once: who is out is out, whatever was open, and nobody is locked out unawares.
fn keys_change(managed: &Managed<'_>) {
    let people = managed.people;
    managed.accept("vera");
    let public = |name: &str| {
        let said = people.run(&["key", "show", name], &[]);
        said.out.split('"').nth(1).expect("the key").to_string()
    };
    let [anna, vera, stranger] = ["anna", "vera", "stranger"].map(public);
    let sound = people.edit(|text| text.replace(&anna, &stranger));
    managed.refused("anna", &strs(&managed.deploys(&["deploy"])), "does not list the key that asks; --allow-lockout");
    people.write("system.toml", &sound);

    let follows = Command::new(pearwood_command())
        .args(["logs", "--follow", "--node", &managed.address, "--key", "vera"])
        .env("XDG_CONFIG_HOME", people.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut follows = follows.expect("the pearwood command");
    let mut lines = BufReader::new(follows.stdout.take().expect("its output")).lines();
    lines.next().expect("a line").expect("it follows");
    people.edit(|text| text.replace(&vera, &stranger).replace("\"vera\"", "\"sten\""));
    managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    // it ends, for want of a key
    lines.for_each(drop);
    let output = follows.wait_with_output().expect("its end");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaint.contains("does not list the key"), "{complaint}");
    managed.refused("vera", &["ps"], "does not list the key");
    managed.accept("stranger");
    managed.refused("stranger", &["restart", "site"], "sten may not restart boxes");
    managed.obeyed("anna", &["rollback", "--trial", "1"]);
    managed.obeyed("vera", &["ps"]);
}

/// `pearwood console`, ended when it is dropped.
struct Console {
    child: Child,
    url: String,
    metrics: String,
}

impl Console {
    fn start(managed: &Managed<'_>, who: &str) -> Self {
        let mut command = Command::new(pearwood_command());
        command.args(["console", "--port", "0", "--node", &managed.address, "--key", who]);
        command.env("XDG_CONFIG_HOME", managed.people.home.path()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the pearwood command");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut urls =
            output.lines().map_while(Result::ok).filter_map(|line| Some(line[line.find("http://")?..].to_string()));
        let (url, metrics) = (urls.next().expect("the console's address"), urls.next().expect("that of the metrics"));
        Console { child, url, metrics }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn the_console_shows_and_does_what_the_key_may(on: On) {
    let people = People::new();
    let managed = people.start(on);
    managed.accept("anna");
    let console = Console::start(&managed, "anna");
    let page = curl(&[], &console.url);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("<title>Pearwood</title>"));
    let describes: serde_json::Value = serde_json::from_slice(&curl(&[], &console.at("describe")).body).expect("JSON");
    assert_eq!(describes["system"], "managed");
    assert!(curl(&[], &console.at("graph")).text().starts_with("<svg"));
    assert!(curl(&[], &console.at("logs?name=http")).text().contains("listening on port 80"));
    let metrics = curl(&[], &console.metrics).text();
    for start in
        ["pearwood_box_memory_bytes{box=\"site\"} ", "pearwood_arrow_records_total{from=\"http\",to=\"net\",interface="]
    {
        assert!(metrics.lines().any(|line| line.starts_with(start)), "no {start} in {metrics}");
    }
    // not for others
    assert_eq!(curl(&["--header", "Host: evil.example"], &console.url).status, 421);
    assert_eq!(curl(&[], &console.metrics.replace("/metrics", "/describe")).status, 404);
    assert_eq!(curl(&["--request", "POST"], &console.at("restart?name=site")).status, 403);
    let position = managed.node.node.console().position();
    let ours = ["--request", "POST", "--header", "x-pearwood: 1"];
    assert_eq!(curl(&ours, &console.at("restart?name=site")).status, 200);
    managed.node.wait_for(position, "site: error: restarted: by anna");
    drop(console);
    managed.accept("vera");
    let console = Console::start(&managed, "vera");
    let refused = curl(&ours, &console.at("restart?name=site"));
    assert!(refused.status == 403 && refused.text().contains("vera may not restart boxes"), "{refused:?}");
    drop(console);
    managed.node.power_off();
}
