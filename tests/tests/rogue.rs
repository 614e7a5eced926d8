//! Boxes and clients that want more of a bare node than they have, one after another: the node, its other boxes and its
//! management go on, no request of theirs is lost, its memory is then what it was, and the log says why.
//!
//! What boxes do by crashing, looping, calling themselves without end and talking nonsense is in `faults.rs`, and frames that
//! no honest machine sends are in `frames.rs`.

#[path = "rogue/large.rs"]
mod large;
#[path = "rogue/network.rs"]
mod network;

use crate::guests::{HANDLER, Handler};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use tests::{
    On, TestNode,
    client::{Raw, curl},
    load::{self, Running},
    node::{PATIENCE, workspace},
    session::Session,
};
use wasm_host::image::SecretKey;

/// More than any load takes here.
const LONG: Duration = Duration::from_secs(900);

/// Bytes by which what the node uses may differ that are no leak: pages of the page tables and the heap, and what is on its
/// way when somebody looks.
const SLACK: u64 = 1 << 20;

/// Boxes that nothing may happen to.
const HONEST: [&str; 4] = ["net", "http", "site", "control"];

/// A node under load, with somebody who manages it.
struct Rogues {
    node: TestNode,
    session: Session,
    key: SecretKey,
    load: Option<Running>,
    /// what the node uses when nothing happens
    before: [u64; 2],
}

/// Bytes that the node uses: in all, and of its own heap.
fn used(status: &Value) -> [u64; 2] {
    ["frames", "heap"].map(|what| status["memory"][what].as_u64().expect("a number"))
}

/// Looks until all is well, or for as long as anything may take.
fn eventually(look: impl Fn() -> Result<(), String>) {
    let end = Instant::now() + PATIENCE;
    while let Err(why) = look() {
        assert!(Instant::now() < end, "{why}");
        thread::yield_now();
    }
}

/// The lines of every system here. `handlers` are arrows of `http` beside the one to `site`.
/// Through QEMU's network all clients come from one address, honest ones as well: that tells nobody from anybody.
fn honest(handlers: &str) -> String {
    format!(
        "[system]\nname = \"rogue-test\"\n\
         [box.net]\ncomponent = \"net\"\narrows.\"pearwood:hardware/nic\" = {{ device = \"nic0\" }}\n\
         [box.http]\ncomponent = \"http\"\narrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [80] }}\n\
         config.client-connections = 2048\n\
         arrows.\"pearwood:http/handler\" = [{{ box = \"site\" }}, {handlers}]\n\
         [box.site]\ncomponent = \"site\"\nassets = \"./public\"\n\
         [box.control]\ncomponent = \"control\"\n\
         arrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [7327] }}\n\
         arrows.\"pearwood:control/node\" = {{ node = true }}\n\
         config.keys = [{{ key = \"{}\", role = \"deploy\", name = \"anna\" }}]\n",
        key().public()
    )
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn write(folder: &Path, text: &str) {
    fs::create_dir_all(folder.join("public")).expect("a folder");
    fs::write(folder.join("public/index.html"), "<title>well</title>").expect("written");
    fs::write(folder.join("public/large"), vec![b'x'; 1 << 20]).expect("written");
    fs::write(folder.join("system.toml"), text).expect("written");
}

impl Rogues {
    fn new(node: TestNode, warm: impl Fn(&mut Rogues)) -> Self {
        node.wait_for(0, "listening on port 7327");
        let address = format!("127.0.0.1:{}", node.node.port(7327));
        let session = Session::enter(&address, &key(), [1; 32]).expect("anna may come in");
        let load = load::start(&node.url("/"), 4, LONG);
        let mut rogues = Rogues { node, session, key: key(), load: Some(load), before: [0; 2] };
        // what is made when it is first needed
        warm(&mut rogues);
        rogues.before = used(&rogues.node.status());
        rogues
    }

    /// The node, its honest boxes and its management are as before, or will be.
    fn all_is_well(&mut self, after: &str) {
        let answer = curl(&[], &self.node.url("/"));
        assert_eq!((answer.status, &*answer.text()), (200, "<title>well</title>"), "after {after}");
        let status = self.session.describe();
        for one in status["boxes"].as_array().expect("boxes") {
            let name = one["name"].as_str().expect("a name");
            assert!(!HONEST.contains(&name) || one["restarts"] == 0, "{name} after {after}: {one}");
        }
    }

    /// The node uses no more than before.
    fn nothing_is_left(&mut self, of: &str) {
        eventually(|| {
            let status = self.node.status();
            let used = used(&status);
            if (0..2).all(|at| used[at] <= self.before[at] + SLACK) {
                return Ok(());
            }
            Err(format!("{used:?} bytes are in use after {of}, {:?} before: {status}", self.before))
        });
    }

    /// A command of the operator's.
    fn typed(&self, line: &str) {
        self.node.node.type_line(line).expect("typed");
    }

    /// Starts boxes anew, so that what they use themselves counts no more.
    fn anew(&self, boxes: &[&str]) {
        for name in boxes {
            let position = self.node.node.console().position();
            self.typed(&format!("restart {name}"));
            self.node.wait_for(position, &format!("restarting {name}"));
            let well = self.node.url(&format!("/{name}/well"));
            eventually(
                || if curl(&[], &well).status == 200 { Ok(()) } else { Err(format!("{name} is not well again")) },
            );
        }
    }

    /// Waits for a line of a box's log.
    fn logged(&self, position: usize, of: &str, text: &str) {
        let (of, what) = (format!("] {of}: "), text.to_string());
        let found = self.node.node.console().wait_from(
            position,
            &what,
            |line| line.contains(&of) && line.contains(text),
            PATIENCE,
        );
        found.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// All of the load was answered.
    fn end(mut self) {
        let load = self.load.take().expect("it runs").stop();
        assert!(load.requests > 0, "{load:?}");
        assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
        // somebody new may manage it as well
        let address = format!("127.0.0.1:{}", self.node.node.port(7327));
        let status = Session::enter(&address, &self.key, [2; 32]).expect("anna may come in").describe();
        assert!(status["boxes"].as_array().is_some_and(|boxes| boxes.len() > HONEST.len()), "{status}");
        self.node.power_off();
    }
}

/// What a box is asked for, what it says (if it answers), and whose log says what.
struct Misdeed {
    path: &'static str,
    answer: Option<&'static str>,
    log: Option<(&'static str, &'static str)>,
}

const fn answered(path: &'static str, answer: &'static str) -> Misdeed {
    Misdeed { path, answer: Some(answer), log: None }
}

const fn ended(path: &'static str, of: &'static str, why: &'static str) -> Misdeed {
    Misdeed { path, answer: None, log: Some((of, why)) }
}

const TOO_LONG: &str = "bytes; the longest is 262144";

const DEAF: &str = "a client that takes none of its answers is not heard";

const MISDEEDS: &[Misdeed] = &[
    answered("/greedy/listen?20000", " of 20000"),
    answered("/greedy/lookups?256", "256 of 256"),
    ended("/greedy/lookup?15000000", "greedy", TOO_LONG),
    ended("/greedy/net?15000000", "greedy", TOO_LONG),
    ended("/greedy/http?15000000", "greedy", TOO_LONG),
    ended("/greedy/records?600000", "greedy", TOO_LONG),
    answered("/greedy/flood?600000", " of 18"),
    // 4 GB of credit: the node lets a box write no more of a body at once for it
    Misdeed {
        path: "/greedy/credit?0,/greedy-wasi2/write?17000000",
        answer: Some("0 bytes"),
        log: Some(("greedy-wasi2", "passed too much in one call")),
    },
    Misdeed {
        path: "/greedy/credit?0,/greedy-wasi2/zeroes?17000000",
        answer: Some("0 bytes"),
        log: Some(("greedy-wasi2", "zeroes to a stream that permits")),
    },
    answered("/greedy/credit?17000000,/greedy-wasi2/splice?17000000", "17000000 bytes"),
    answered("/greedy/credit?0,/greedy-wasi2/bytes?17000000", "17000000 bytes"),
    // a client that takes no answer, of a service that gives many and of those that let requests wait
    Misdeed {
        path: "/greedy/deaf?20000,/greedy-wasi2/bytes?1000",
        answer: Some(" of 20000"),
        log: Some(("greedy-wasi2", DEAF)),
    },
    Misdeed {
        path: "/greedy/deaf?20000,/greedy-wasi2/wait",
        answer: Some(" of 20000"),
        log: Some(("greedy-wasi2", DEAF)),
    },
    Misdeed {
        path: "/greedy/deaf?20000,/greedy-wasi3/wait",
        answer: Some(" of 20000"),
        log: Some(("greedy-wasi3", DEAF)),
    },
    answered("/greedy-wasi2/ask?300,slow", " of 300"),
    answered("/greedy-wasi2/ask?300,stopped", "0 of 300"),
    answered("/greedy-wasi2/ask?300,absent", "0 of 300"),
    answered("/greedy-wasi3/ask?300,slow", " of 300"),
    answered("/greedy-wasi3/ask?300,stopped", "0 of 300"),
    answered("/greedy-wasi3/ask?300,absent", "0 of 300"),
];

const GREEDY: [&str; 3] = ["greedy", "greedy-wasi2", "greedy-wasi3"];

fn greedy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let handlers = GREEDY.map(|name| format!("{{ box = \"{name}\", path = \"/{name}/\" }}")).join(", ");
    let guests = workspace().join("tests/guests");
    let others = "[{ box = \"slow\", host = \"slow\" }, { box = \"stopped\", host = \"stopped\" }]";
    let boxes = format!(
        "[box.slow]\ncomponent = \"./slow.wasm\"\n[box.stopped]\ncomponent = \"./slow.wasm\"\n\
         [box.greedy]\ncomponent = \"{guests}/greedy\"\nmemory = \"40 MiB\"\nrestart = {{ min = \"10 ms\", max = \"1 s\" }}\n\
         arrows.\"pearwood:net/tcp\" = {{ box = \"net\" }}\narrows.\"pearwood:net/names\" = {{ box = \"net\" }}\n\
         arrows.\"pearwood:http/handler\" = [{{ box = \"greedy-wasi2\", path = \"/greedy-wasi2/\" }}, \
         {{ box = \"greedy-wasi3\", path = \"/greedy-wasi3/\" }}]\n\
         [box.greedy-wasi2]\ncomponent = \"{guests}/greedy-wasi2\"\nmemory = \"32 MiB\"\n\
         arrows.\"wasi:http/outgoing-handler\" = {others}\n\
         [box.greedy-wasi3]\ncomponent = \"{guests}/greedy-wasi3\"\nmemory = \"16 MiB\"\narrows.\"wasi:http/client\" = {others}\n",
        guests = guests.display(),
    );
    write(folder.path(), &(honest(&handlers) + &boxes));
    // it is well, and takes nothing
    let slow = Handler { begin: "(loop $l (call $wait (i64.const -1) (i32.const 0)) (br $l))", ..HANDLER };
    fs::write(folder.path().join("slow.wasm"), slow.component()).expect("written");
    folder
}

#[test]
fn no_box_takes_more_than_it_has() {
    let folder = greedy();
    let mut rogues = Rogues::new(TestNode::start_system(folder.path(), On::Qemu), |rogues| {
        rogues.typed("stop stopped");
        rogues.logged(0, "stopped", "stopped");
        // `net` and `http` keep the memory that as much as may wait for them has taken
        curl(&[], &rogues.node.url("/greedy/flood?600000"));
        rogues.anew(&GREEDY);
    });
    for Misdeed { path, answer, log } in MISDEEDS {
        let begun = Instant::now();
        let position = rogues.node.node.console().position();
        let heard = curl(&["--globoff"], &rogues.node.url(path));
        match answer {
            Some(answer) => {
                assert!(heard.status == 200 && heard.text().contains(answer), "{path}: {heard:?}");
                // some of it was taken, unless none should be
                assert!(answer.starts_with('0') || !heard.text().starts_with("0 "), "{path}: {heard:?}");
            }
            None => assert_eq!(heard.status, 502, "{path}: {heard:?}"),
        }
        if let Some((of, why)) = log {
            rogues.logged(position, of, why);
        }
        rogues.all_is_well(path);
        rogues.anew(&GREEDY);
        rogues.nothing_is_left(path);
        eprintln!("{path}: {} {}, {} ms", heard.status, heard.text().trim(), begun.elapsed().as_millis());
    }
    // they never end by themselves
    for path in ["/greedy-wasi2/zero", "/greedy-wasi3/zero"] {
        let mut endless = Raw::connect(&rogues.node.authority());
        endless.say(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        (0..20).for_each(|_| rogues.all_is_well(path));
        rogues.anew(&GREEDY);
        endless.hear_some();
        rogues.nothing_is_left(path);
    }
    rogues.end();
}
