//! Boxes as people begin them: what `pearwood new` makes is built, and answers.
//!
//! The languages whose tools are large are for `PEARWOOD_LANGUAGES="python js go c"`, those that are named.

use std::process::Command;
use tests::{
    On, TestNode,
    client::{Answer, curl},
    node::pearwood_command,
    on_each,
};

on_each!(new_boxes_answer, a_box_calls_another);

fn said(answer: Answer) -> (u16, String) {
    (answer.status, answer.text())
}

fn new_boxes_answer(on: On) {
    let others = std::env::var("PEARWOOD_LANGUAGES").unwrap_or_default();
    // what it makes unless told otherwise: readme.rs
    let mut kinds = vec![vec!["--template", "packed"]];
    kinds.extend(others.split_whitespace().map(|lang| vec!["--lang", lang]));
    let folder = tempfile::tempdir().expect("a folder");
    for (number, kind) in kinds.iter().enumerate() {
        let system = folder.path().join(format!("mine{number}"));
        let made = Command::new(pearwood_command()).arg("new").arg(&system).args(kind).output().expect("the command");
        assert!(made.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&made.stderr));
        let node = TestNode::start_system(&system, on);
        assert_eq!(said(curl(&[], &node.url("/Ada?x"))), (200, "Hello, Ada!\n".into()), "{kind:?}");
        assert_eq!(said(curl(&[], &node.url("/"))), (200, "Hello!\n".into()), "{kind:?}");
        node.power_off();
    }
}

fn a_box_calls_another(on: On) {
    let node = TestNode::start("calls", on);
    let get = |target: &str| said(curl(&[], &node.url(target)));
    assert_eq!(get("/"), (200, "pear: 0.40 €\nquince: 0.75 €\n".into()));
    assert_eq!(get("/buy?pear=2&quince=1"), (200, "1.55 €\n".into()));
    assert_eq!(get("/buy?plum=2"), (400, "there is no plum\n".into()));
    assert_eq!(get("/buy?pear=4294967295"), (400, "that is more than anybody can pay\n".into()));
    // a basket lives no longer than it is used, and is counted as all that goes over arrows
    assert_eq!(get("/buy?pear=1"), (200, "0.40 €\n".into()));
    let status = node.status();
    let arrows = status["arrows"].as_array().expect("arrows");
    let calls = arrows.iter().find(|arrow| arrow["to"] == "prices").expect("the arrow to `prices`");
    assert!(calls["requests"].as_u64() >= Some(10), "{calls}");
    node.power_off();
}
