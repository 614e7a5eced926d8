//! A third party's protocol: `examples/protocol` declares one, and has both sides of two versions of it.

use std::{fs, path::Path, thread, time::Duration};
use tests::{
    On, TestNode,
    client::{Answer, curl},
    load,
    managed::{Console, Managed, People, strs},
    node::workspace,
    on_each,
};

on_each!(it_is_granted_limited_and_metered, versions_talk_both_ways_and_swaps_lose_nothing);

const VISITORS: &str = "Host: visitors.localhost";

/// Notes that the board keeps, each with as long a text as it takes.
const KEPT: usize = 32;
const LONGEST: usize = 256;

fn system() -> String {
    fs::read_to_string(workspace().join("examples/protocol/system.toml")).expect("the example")
}

fn pin(node: &TestNode, topic: &str, text: &str) -> Answer {
    curl(&["--data-binary", text], &node.url(topic))
}

/// The figures of an arrow.
fn arrow(node: &TestNode, from: &str, to: &str) -> serde_json::Value {
    let status = node.status();
    let arrows = status["arrows"].as_array().expect("arrows");
    let found = arrows.iter().find(|arrow| arrow["from"] == from && arrow["to"] == to);
    found.unwrap_or_else(|| panic!("no arrow from {from} to {to} in {status}")).clone()
}

fn it_is_granted_limited_and_metered(on: On) {
    let node = TestNode::start("protocol", on);
    let visitors = |topic: &str| curl(&["--header", VISITORS], &node.url(topic));
    let said = |answer: Answer| (answer.status, answer.text());

    assert_eq!(said(pin(&node, "/kitchen", "milk")), (201, "1\n".into()));
    assert_eq!(said(pin(&node, "/garden", "mow\nthe lawn")), (201, "2\n".into()));
    assert_eq!(said(curl(&[], &node.url("/kitchen"))), (200, "1 milk\n".into()));
    assert_eq!(said(visitors("/garden")), (200, "2 mow the lawn\n".into()));

    // what the arrows do not grant
    let asked = arrow(&node, "web", "board");
    assert_eq!(
        (&asked["interface"], &asked["requests"], &asked["errors"]),
        (&"example:board/notes".into(), &3.into(), &0.into())
    );
    let refusals = [
        (curl(&[], &node.url("/cellar")), "the topic `cellar` is not granted\n"),
        (pin(&node, "/cellar", "wine"), "the topic `cellar` is not granted\n"),
        (pin(&node, "/kitchen", &"x".repeat(LONGEST + 1)), "a note has at most 256 bytes, not 257\n"),
        (visitors("/kitchen"), "the topic `kitchen` is not granted\n"),
        (visitors("/kitchen/next"), "the topic `kitchen` is not granted\n"),
        (
            curl(&["--header", VISITORS, "--data", "rain"], &node.url("/garden")),
            "the topic `garden` is granted read-only\n",
        ),
    ];
    for (answer, why) in refusals {
        assert_eq!(said(answer), (403, why.to_string()));
    }
    // Metered as the protocol declares: one that waits has not asked the board.
    for (client, requests, errors) in [("web", 6, 3), ("visitors", 3, 2)] {
        let figures = arrow(&node, client, "board");
        let count = |name: &str| figures[name].as_u64().expect("a number");
        assert_eq!((count("requests"), count("errors"), count("under_way")), (requests, errors, 0), "{figures}");
        assert_eq!(figures["latency"]["count"], requests);
        assert!(figures["sent"]["records"] == requests && figures["received"]["records"].as_u64() > Some(requests));
    }
    let status = curl(&["--request", "DELETE"], &node.url("/2")).status;
    assert_eq!(status, 405, "what only the next version knows");

    // What nobody has asked for comes to those who may know.
    thread::scope(|scope| {
        let [kitchen, garden] = [("web", "/kitchen/next"), ("visitors", "/garden/next")].map(|(who, path)| {
            let url = node.url(path);
            let waits = scope.spawn(move || match who {
                "web" => curl(&[], &url).text(),
                _ => curl(&["--header", VISITORS], &url).text(),
            });
            while arrow(&node, "http", who)["under_way"] == 0 {
                thread::yield_now();
            }
            waits
        });
        assert_eq!(pin(&node, "/garden", "rain").status, 201);
        assert_eq!(garden.join().expect("a client"), "3 rain\n");
        assert_eq!(pin(&node, "/kitchen", "bread").status, 201);
        assert_eq!(kitchen.join().expect("a client"), "4 bread\n");
    });

    // More is asked for at once than the arrow may hold: the board waits for room, and nothing is lost.
    for _ in 0..KEPT {
        assert_eq!(pin(&node, "/kitchen", &"x".repeat(LONGEST)).status, 201);
    }
    let mut full = false;
    while !full {
        let load = load::wrk(&node.url("/kitchen"), 128, Duration::from_secs(2));
        assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
        full = arrow(&node, "web", "board")["received"]["full"].as_u64() > Some(0);
    }
    assert_eq!(curl(&[], &node.url("/kitchen")).text().lines().count(), KEPT);
    for name in ["board", "web", "visitors"] {
        let one = node.box_status(name);
        assert_eq!((&one["restarts"], &one["limit"]), (&0.into(), &(8 << 20).into()), "{one}");
    }
    node.power_off();
}

/// The example, managed by `anna`, with these versions of its boxes.
fn write(people: &People, keys: &str, board: &str, web: &str) {
    let example = workspace().join("examples/protocol");
    let at = |path: &str| example.join(path).display().to_string();
    let text =
        system().replace("./v1/board", &at(&format!("{board}/board"))).replace("./v1/web", &at(&format!("{web}/web")));
    let control = "[box.control]\ncomponent = \"control\"\n\
        arrows.\"pearwood:net/tcp\" = { box = \"net\", listen = [7327] }\n\
        arrows.\"pearwood:control/node\" = { node = true }\n";
    people.write("system.toml", &format!("{text}\n{control}{keys}\n"));
}

fn versions_talk_both_ways_and_swaps_lose_nothing(on: On) {
    let people = People::new();
    let managed = fs::read_to_string(people.path().join("system.toml")).expect("the file");
    let keys = managed.lines().find(|line| line.starts_with("keys = ")).expect("the keys");
    let keys = format!("config.{keys}");
    write(&people, &keys, "v1", "v1");
    let managed = people.start(on);
    managed.accept("anna");
    let node = &managed.node;
    assert_eq!(pin(node, "/garden", "first").status, 201);

    let load = load::start(&node.url("/garden"), 16, Duration::from_secs(3600));
    let swap = |board: &str, web: &str, changed: &str| {
        write(&people, &keys, board, web);
        let said = managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
        assert!(said.out.contains(": done"), "{}", said.out);
        assert!(said.err.contains(changed), "{}", said.err);
    };
    // an old client, and a new service: it has the notes of the one before
    swap("v2", "v1", "board: another component");
    assert_eq!(pin(node, "/garden", "second").text(), "2\n");
    assert_eq!(curl(&[], &node.url("/garden")).text(), "1 first\n2 second\n");
    // both new: the further field is there, if it was known, and the further record is understood
    swap("v2", "v2", "web: another component");
    let text = curl(&[], &node.url("/garden")).text();
    assert!(text.starts_with("1 first\n2 second (at 1") && text.lines().count() == 2, "{text}");
    assert_eq!(curl(&["--request", "DELETE"], &node.url("/1")).status, 202);
    let left = curl(&[], &node.url("/garden")).text();
    assert!(left.starts_with("2 second (at 1") && left.lines().count() == 1, "{left}");
    // a new client, and an old service: it skips the further record and answers the others as ever
    swap("v1", "v2", "board: another component");
    assert_eq!(curl(&["--request", "DELETE"], &node.url("/2")).status, 202);
    assert_eq!(pin(node, "/garden", "third").text(), "3\n");
    assert_eq!(curl(&[], &node.url("/garden")).text(), "2 second\n3 third\n");
    let load = load.stop();
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}\n{}", node.node.console().end());
    assert!(load.requests > 0);
    shown(&managed);
    managed.node.power_off();
}

/// Who looks at the node from afar sees the protocol as any other.
fn shown(managed: &Managed<'_>) {
    let drawn = managed.obeyed("anna", &["graph"]).out;
    let arrow = |line: &&str| line.contains("board/notes topics = [\"garden\"]") && line.contains("> board");
    assert!(drawn.lines().any(|line| arrow(&line)), "{drawn}");
    let console = Console::start(managed, "anna");
    let metrics = curl(&[], &console.metrics).text();
    let labels = "{from=\"web\",to=\"board\",interface=\"example:board/notes\"} ";
    for name in ["pearwood_arrow_requests_total", "pearwood_arrow_errors_total"] {
        assert!(metrics.lines().any(|line| line.starts_with(&format!("{name}{labels}"))), "no {name} in {metrics}");
    }
}

#[test]
fn it_is_checked_and_drawn() {
    let example = workspace().join("examples/protocol");
    let folder = tempfile::tempdir().expect("a folder");
    let checked = |from: &str, to: &str| {
        let text = system().replace("./v1/", &format!("{}/", example.join("v1").display()));
        assert!(text.contains(from), "{text}");
        fs::write(folder.path().join("system.toml"), text.replace(from, to)).expect("written");
        pearwood::build::components(folder.path()).map(drop).map_err(|error| format!("{error:#}"))
    };
    checked("", "").expect("it is sound");
    let (topics, reads) = ("topics = [\"garden\"]", ", read-only = true");
    for (from, to, why) in [
        (reads, "", "the arrow does not say `read-only` (bool)"),
        (reads, ", read-only = \"yes\"", "is no bool"),
        (topics, "topic = [\"garden\"], topics = []", "the protocol's `attach` has no field `topic`"),
        (topics, "topics = \"garden\"", "is no list<string>"),
        ("[box.board]", "[box.boards]", "leads to box `board`, which does not exist"),
    ] {
        let said = checked(from, to).expect_err(to);
        assert!(said.contains(why) && said.contains("example:board/notes"), "{said}");
    }
    let drawing = drawn(&example).replace("&quot;", "\"");
    for text in ["board/notes", "topics = [\"garden\"]"] {
        assert!(drawing.contains(text), "no {text} in {drawing}");
    }
}

fn drawn(system: &Path) -> String {
    pearwood::build::svg(&pearwood::build::parse(system).expect("the example"), Default::default())
}
