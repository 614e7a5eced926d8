//! A system takes the place of the one that runs, under load: no request is lost.

use pearwood::node::{Node, first_answer};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};
use tests::{
    client::curl,
    load,
    node::{PATIENCE, pearwood_command, tcp, write_trapping_box},
};

const SWAPS: u64 = 20;

/// `server` is what the box `http` calls itself, `extra` the end of the file, in the table of the box `site`.
fn write_system(folder: &Path, server: &str, extra: &str) {
    let text = format!(
        "[system]\nname = \"deploy-test\"\n\
         [box.net]\ncomponent = \"net\"\narrows.\"pearwood:hardware/nic\" = {{ device = \"nic0\" }}\n\
         [box.http]\ncomponent = \"http\"\nconfig.server = \"{server}\"\n\
         arrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [80] }}\n\
         arrows.\"pearwood:http/handler\" = {{ box = \"site\" }}\n\
         [box.site]\ncomponent = \"site\"\nassets = [\"./public\"]\n{extra}\n"
    );
    fs::write(folder.join("system.toml"), text).expect("written");
}

fn wait_for(node: &Node, position: usize, text: &str) -> String {
    let found = node.console().wait_from(position, text, |line| line.contains(text), PATIENCE);
    found.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Types `deploy` and waits for its end.
fn deploy(node: &Node, number: u64, how: &str) -> String {
    let position = node.console().position();
    node.type_line(&format!("deploy {how}")).expect("typed");
    wait_for(node, position, &format!("deployment {number} by the operator"));
    let end = ["done", "refused", "rolled back"].map(|end| format!("deployment {number}: {end}"));
    let found = node.console().wait_from(position, "the end", |line| end.iter().any(|e| line.contains(e)), PATIENCE);
    found.unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn nothing_is_lost_by_swaps_under_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let public = folder.path().join("public");
    let large: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::create_dir(&public).expect("made");
    fs::write(public.join("large.bin"), &large).expect("written");
    fs::write(public.join("index.html"), "version 0\n").expect("written");
    write_system(folder.path(), "zero", "");
    let node = pearwood::node::linux(&pearwood_command(), folder.path(), [tcp(80)], &[]).expect("a node on Linux");
    assert!(first_answer(node.port(80), || node.ended().is_some()), "{}", node.console().end());
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", node.port(80));

    let load = load::start(&url("/"), 8, Duration::from_secs(60));
    let (over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                let answer = curl(&[], &url("/large.bin"));
                assert!(answer.status == 200 && answer.body == large, "{} bytes", answer.body.len());
                read.fetch_add(1, Relaxed);
            }
        });
        for number in 1..=SWAPS {
            fs::write(public.join("index.html"), format!("version {number}\n")).expect("written");
            // every other time `http` changes too, or alone
            let server = format!("number-{}", number / 2);
            write_system(folder.path(), &server, "");
            let end = deploy(&node, number, "trial=0 drain=20");
            assert!(end.contains("done"), "{end}");
            let answer = curl(&[], &url("/"));
            assert_eq!((answer.status, answer.text()), (200, format!("version {number}\n")));
            assert_eq!(answer.header("server"), Some(&*server));
        }
        over.store(true, Relaxed);
    });
    let load = load.end();
    assert!(load.requests > 1_000 && read.load(Relaxed) > SWAPS, "{load:?}, {read:?}");
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");

    // What cannot run is not run.
    write_system(folder.path(), "bad", write_trapping_box(folder.path()));
    let end = deploy(&node, SWAPS + 1, "");
    assert!(end.contains("refused: box `bad` does not start: wasm trap"), "{end}");
    let answer = curl(&[], &url("/"));
    assert_eq!((answer.status, answer.text()), (200, format!("version {SWAPS}\n")));
    assert_eq!(answer.header("server"), Some(&*format!("number-{}", SWAPS / 2)));
    assert_eq!(node.power_off(PATIENCE).expect("it ends"), pearwood::node::End::Off);
}
