//! A node that is managed from elsewhere, with the commands that people use.

use crate::{
    On, TestNode,
    client::curl,
    node::{pearwood_command, workspace},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// People, each with a key, and the system of `examples/managed` that knows two of them.
pub struct People {
    /// where their keys are
    pub home: TempDir,
    system: TempDir,
}

pub struct Said {
    pub success: bool,
    pub out: String,
    pub err: String,
}

impl Default for People {
    fn default() -> Self {
        Self::new()
    }
}

impl People {
    pub fn new() -> Self {
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
    pub fn key(&self, name: &str) -> String {
        let said = self.run(&["key", "new", name], &[]);
        assert!(said.success, "{}", said.err);
        let (_, rest) = said.out.split_once("key = \"").expect("the key");
        rest.split('"').next().expect("the key").to_string()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub fn path(&self) -> &Path {
        self.system.path()
    }

    /// Edits the system's file, and yields what it was.
    pub fn edit(&self, edit: impl FnOnce(&str) -> String) -> String {
        let text = fs::read_to_string(self.path().join("system.toml")).expect("the file");
        self.write("system.toml", &edit(&text));
        text
    }

    pub fn run(&self, arguments: &[&str], more: &[&str]) -> Said {
        let mut command = Command::new(pearwood_command());
        let output = command.args(arguments).args(more).env("XDG_CONFIG_HOME", self.home.path()).output();
        let output = output.expect("the pearwood command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Starts the node; its key is known to all from the log on.
    pub fn start(&self, on: On) -> Managed<'_> {
        let node = TestNode::start_system(self.path(), on);
        let line = node.wait_for(0, "the node's key is ");
        let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key");
        let key = key.to_string();
        node.wait_for(0, "listening on port 7327");
        let address = format!("127.0.0.1:{}", node.node.port(7327));
        Managed { people: self, node, address, key }
    }
}

pub struct Managed<'a> {
    pub people: &'a People,
    pub node: TestNode,
    pub address: String,
    pub key: String,
}

impl Managed<'_> {
    pub fn ask(&self, who: &str, arguments: &[&str]) -> Said {
        self.people.run(arguments, &["--node", &self.address, "--key", who])
    }

    /// What must go well.
    pub fn obeyed(&self, who: &str, arguments: &[&str]) -> Said {
        let said = self.ask(who, arguments);
        assert!(said.success, "{arguments:?}: {}\nthe console ends with {}", said.err, self.node.node.console().end());
        said
    }

    /// What must not, and why.
    pub fn refused(&self, who: &str, arguments: &[&str], why: &str) {
        let said = self.ask(who, arguments);
        assert!(!said.success, "{arguments:?} was obeyed: {}", said.out);
        assert!(said.err.contains(why) || said.out.contains(why), "{arguments:?}: {}{}", said.err, said.out);
    }

    pub fn accept(&self, who: &str) {
        self.obeyed(who, &["ps", &format!("--accept-key={}", self.key)]);
    }

    /// `pearwood deploy` or the like, with the key that the node trusts.
    pub fn deploys<'s>(&self, arguments: &[&'s str]) -> Vec<String> {
        let sign = signing_key();
        let system = self.people.path().to_string_lossy().into_owned();
        let mut all: Vec<String> = arguments.iter().map(|&argument: &&'s str| argument.to_string()).collect();
        all.extend([system, "--sign".into(), sign.to_string_lossy().into_owned()]);
        all.extend(["--trial", "1", "--drain", "20", "--ready", "60"].map(String::from));
        all
    }

    pub fn title(&self) -> String {
        curl(&[], &self.node.url("/")).text()
    }
}

/// What the node's image was signed with.
pub fn signing_key() -> PathBuf {
    pearwood::workspace::config_directory().expect("a folder for keys").join("development.key")
}

pub fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// `pearwood console`, ended when it is dropped.
pub struct Console {
    child: Child,
    pub url: String,
    pub metrics: String,
}

impl Console {
    pub fn start(managed: &Managed<'_>, who: &str) -> Self {
        let mut command = Command::new(pearwood_command());
        command.arg("console").arg(managed.people.path()).arg("--sign").arg(signing_key());
        command.args(["--port", "0", "--node", &managed.address, "--key", who]);
        command.env("XDG_CONFIG_HOME", managed.people.home.path()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the pearwood command");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut urls =
            output.lines().map_while(Result::ok).filter_map(|line| Some(line[line.find("http://")?..].to_string()));
        let (url, metrics) = (urls.next().expect("the console's address"), urls.next().expect("that of the metrics"));
        Console { child, url, metrics }
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
