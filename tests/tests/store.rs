//! Data that stays: the guestbook, whose store is replaced under load, and whose node loses its power.

use pearwood::node::DiskFile;
use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};
use tests::{
    On, TestNode,
    client::{Answer, curl},
    node::workspace,
};

const MIB: u64 = 1 << 20;

fn write(node: &TestNode, name: &str, text: &str) -> Answer {
    let (name, text) = (format!("name={name}"), format!("text={text}"));
    curl(&["--data-urlencode", &name, "--data-urlencode", &text], &node.url("/"))
}

/// The entries of the page and of those with older ones, as they are in it.
fn entries(node: &TestNode, path: &str, arguments: &[&str]) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), path.to_string());
    loop {
        let answer = curl(arguments, &node.url(&next));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        all.extend(text.lines().filter_map(|line| line.strip_prefix("<li>")).map(String::from));
        let older = text.lines().find_map(|line| line.strip_prefix("<p><a href=\"")?.strip_suffix("\">Older</a>"));
        let Some(older) = older else { return all };
        next = format!("{path}{older}");
    }
}

#[test]
fn a_guestbook_keeps_what_it_has_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = [DiskFile::new(folder.path().join("disk"), 64 * MIB)];
    let example = workspace().join("examples/guestbook");
    let text = fs::read_to_string(example.join("system.toml")).expect("the example");
    let text = text.replace("\"./book\"", &format!("{:?}", example.join("book")));
    let system = folder.path().join("system.toml");
    fs::write(&system, &text).expect("a file");
    let start = || TestNode::start_with_disks(folder.path(), On::Linux, &disk);
    let node = start();

    assert_eq!(entries(&node, "/", &[]), [""; 0]);
    assert_eq!(write(&node, "Ada", "Hello <you> & \"all\"").status, 303);
    assert_eq!(write(&node, "Ben", "Grüße").status, 303);
    let shown = ["<b>Ben</b>: Grüße</li>", "<b>Ada</b>: Hello &lt;you&gt; &amp; &quot;all&quot;</li>"];
    assert_eq!(entries(&node, "/", &[]), shown);
    assert_eq!(write(&node, "", "x").status, 400);
    assert_eq!(curl(&["--data", "name=a&text=b", "-H", "sec-fetch-site: cross-site"], &node.url("/")).status, 403);
    assert_eq!(write(&node, "Long", &"x".repeat(20_000)).status, 413);
    assert_eq!(write(&node, "Long", &"x".repeat(2_001)).status, 400);
    assert_eq!(write(&node, &"x".repeat(101), "Long").status, 400);
    // the admin's page, and nobody else's
    let admin = ["--user", "admin:guestbook"];
    assert_eq!(curl(&[], &node.url("/admin/")).status, 401);
    assert_eq!(curl(&["--data", "key=entry/9999999997"], &node.url("/admin/")).status, 401);
    assert!(entries(&node, "/admin/", &admin)[0].contains("value=\"entry/9999999997\""));
    let delete = curl(&[&admin[..], &["--data", "key=entry/9999999997"]].concat(), &node.url("/admin/"));
    assert_eq!((delete.status, entries(&node, "/", &[]).len()), (303, 1));

    // other instances take the store's place while guests write and read
    let (done, written) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for guest in 0..4 {
            let (node, done, written) = (&node, &done, &written);
            scope.spawn(move || {
                for number in 0.. {
                    if done.load(Relaxed) {
                        return;
                    }
                    let name = format!("guest{guest}-{number}");
                    let answer = write(node, &name, "was here");
                    assert_eq!(answer.status, 303, "{name}: {}", answer.text());
                    written.lock().expect("no panic").insert(name);
                    entries(node, "/", &[]);
                }
            });
        }
        // also when the test fails
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let _end = End(&done);
        for (number, memory) in (1..).zip(["18 MiB", "20 MiB", "16 MiB"]) {
            let line = format!("component = \"store\"\nmemory = \"{memory}\"");
            fs::write(&system, text.replace("component = \"store\"", &line)).expect("a file");
            let before = written.lock().expect("no panic").len();
            node.node.type_line("deploy trial=0 drain=20").expect("it takes a line");
            node.wait_for(0, &format!("deployment {number}: done"));
            // and a while longer, on the new one
            while written.lock().expect("no panic").len() < before + 10 && !done.load(Relaxed) {
                thread::yield_now();
            }
        }
    });
    let written = written.into_inner().expect("no panic");
    let are_there = |node: &TestNode| {
        let shown = entries(node, "/", &[]);
        let missing: Vec<_> = written
            .iter()
            .filter(|name| !shown.iter().any(|entry| entry.contains(&format!("<b>{name}</b>"))))
            .collect();
        assert!(missing.is_empty(), "{missing:?} of {}", written.len());
        shown.len()
    };
    assert_eq!(are_there(&node), written.len() + 1);
    assert_eq!(node.restarts()["store"], 0);

    // the power fails in the middle of it
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (node, done) = (&node, &done);
        let last = scope.spawn(move || {
            let mut number = 0;
            while !done.load(Relaxed) {
                let url = node.url("/");
                let form = format!("name=last&text={number}");
                let output = std::process::Command::new("curl").args(["-s", "--data", &form, &url]).output();
                number += i32::from(output.expect("curl").status.success());
            }
        });
        while !entries(node, "/", &[]).iter().any(|entry| entry.contains("<b>last</b>: 5<")) {}
        node.node.kill();
        done.store(true, Relaxed);
        last.join().expect("it ends");
    });
    drop(node);
    let node = start();
    let count = are_there(&node);
    let shown = entries(&node, "/", &[]);
    assert!((0..=5).all(|number| shown.contains(&format!("<b>last</b>: {number}</li>"))), "{count}: {shown:?}");
    node.power_off();
}
