//! The commands of the README, as somebody types them who has just cloned it. `cargo run --` is what has been built already.

use pearwood::workspace::Workspace;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;
use tests::{
    client::curl,
    node::{pearwood_command, workspace},
};

/// Every line with `cargo run`, in their order.
#[test]
fn what_the_readme_says_to_run_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(workspace().join("examples"), folder.path().join("examples")).expect("the examples");
    let readme = fs::read_to_string(workspace().join("README.md")).expect("the README");
    let commands = readme.lines().filter_map(|line| line.strip_prefix("    cargo run"));
    let mut served = Vec::new();
    for command in commands {
        let typed = command.split("  #").next().expect("a part").trim();
        let typed = typed.trim_start_matches("-q ").trim_start_matches("-- ");
        let (typed, output) = typed.split_once(" > ").unwrap_or((typed, ""));
        let arguments: Vec<&str> = typed.split_whitespace().collect();
        println!("pearwood {typed}");
        match arguments[..] {
            // those with large tools of their own: languages.rs
            ["new", _, "--lang", _] => {}
            ["new", name] => {
                let _ = fs::remove_dir_all(folder.path().join(name));
                runs(&folder, &arguments);
            }
            [] | ["up", ..] => {
                up(&folder, &arguments);
                served.push(typed);
            }
            _ => {
                let said = runs(&folder, &arguments);
                assert!(!said.is_empty(), "{typed}");
                if !output.is_empty() {
                    fs::write(folder.path().join(output), said).expect("written");
                }
            }
        }
    }
    assert_eq!(served, ["", "up examples/hello", "up examples/hello --on linux", "up mine"]);
    let schema = fs::read(folder.path().join("system.schema.json")).expect("the schema");
    serde_json::from_slice::<serde_json::Value>(&schema).expect("JSON");
    // D12: what is compiled for one system is there for the next
    let net = Workspace::find()
        .expect("the workspace")
        .target
        .join("components/wasm32-unknown-unknown/release/pearwood_net.wasm");
    let built = || fs::metadata(&net).and_then(|it| it.modified()).expect("the box");
    let before = built();
    for name in ["hello", "website", "hello"] {
        runs(&folder, &["check", &format!("examples/{name}")]);
    }
    assert_eq!(built(), before);
    // what another system takes for a request
    let said = runs(&folder, &["bench", "examples/hello", "--requests", "50", "--connections", "1"]);
    assert!(said.contains("instructions per request, c1"), "{said}");
    // what `new` has made, on the other platform
    up(&folder, &["up", "mine", "--on", "linux"]);
}

fn pearwood(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(pearwood_command());
    command.args(arguments).current_dir(folder.path()).env("XDG_CONFIG_HOME", folder.path().join("config"));
    command
}

/// What it prints.
fn runs(folder: &TempDir, arguments: &[&str]) -> String {
    let output = pearwood(folder, arguments).output().expect("the pearwood command");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts a system, waits for the address that is printed, asks there, and ends it by Ctrl-C.
fn up(folder: &TempDir, arguments: &[&str]) {
    let is_own = arguments.contains(&"mine");
    if is_own {
        logs_who_asks(&folder.path().join("mine/system.toml"));
    }
    let mut command = pearwood(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the pearwood command");
    let mut output = BufReader::new(child.stderr.take().expect("its output"));
    let (mut heard, mut address) = (String::new(), None);
    while address.is_none() {
        let from = heard.len();
        let is_over = output.read_line(&mut heard).expect("text") == 0;
        assert!(!is_over, "{arguments:?} has ended: {heard}");
        address = Some(heard[from..].trim()).filter(|line| line.starts_with("http://")).map(String::from);
    }
    let address = address.expect("it was printed");
    assert_eq!(curl(&[], &address).status, 200, "{arguments:?}");
    if is_own {
        assert_eq!(curl(&[], &format!("{address}Ada")).text(), "Hello, Ada!\n");
        // D15: nobody else has asked for anything
        let log = runs(folder, &["logs", "--system", "mine", "http"]);
        let asked: Vec<&str> = log.lines().filter(|line| line.contains("HTTP/1.1\"")).collect();
        assert!(asked.len() == 2 && asked[0].contains("\"GET / "), "{log}");
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(interrupt.success());
    output.read_to_string(&mut heard).expect("text");
    assert!(child.wait().expect("its end").success(), "{arguments:?}: {heard}");
}

/// Has the box `http` log all requests.
fn logs_who_asks(file: &Path) {
    let text = fs::read_to_string(file).expect("the system");
    if !text.contains("access-log") {
        fs::write(file, text + "\n[box.http.config]\naccess-log = \"common\"\n").expect("written");
    }
}
