//! A node that is managed from elsewhere, with the commands that people use.

use pearwood::node::End;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};
use tests::{
    On,
    client::curl,
    load,
    managed::{Console, Managed, People, strs},
    node::{PATIENCE, pearwood_command, write_trapping_box},
    on_each,
};

on_each!(
    who_has_no_right_is_told_so,
    a_system_is_deployed_while_it_serves,
    what_is_refused_changes_nothing,
    the_console_shows_and_does_what_the_key_may,
    metrics_are_scraped
);

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
    managed.refused("vera", &["reboot"], "vera may not reboot the node: this needs the role `operate`");
    managed.refused("vera", &strs(&managed.deploys(&["deploy"])), "vera may not deploy");
    managed.refused("anna", &["stop", "control"], "is what the node is managed by");
    managed.refused("anna", &["stop", "sit"], "there is no box `sit`");

    let position = managed.node.node.console().position();
    managed.obeyed("anna", &["restart", "site"]);
    managed.node.wait_for(position, "site: restarted: by anna");
    managed.node.node.console();
    managed.obeyed("anna", &["stop", "site"]);
    managed.refused("anna", &["restart", "site"], "is stopped");
    managed.obeyed("anna", &["start", "site"]);
    managed.node.wait_for(position, "site: started by anna");
    // the same on the node's own console
    for (typed, said) in [
        ("stop site", "site: stopped: by the operator"),
        ("start site", "site: started by the operator"),
        ("rollback", "no other system ran here since the node's boot"),
    ] {
        managed.node.node.type_line(typed).expect("typed");
        managed.node.wait_for(position, said);
    }
    managed.obeyed("anna", &["reboot"]);
    assert_eq!(managed.node.node.wait(PATIENCE).expect("it ends"), End::Reboot);
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
    // the file, the table that lists it, and the plan, which has another version
    assert!(said.err.contains("sent 3 blobs"), "only what has changed: {}", said.err);
    assert_eq!(managed.title(), "<title>two</title>");
    let load = load.end();
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
    assert!(load.requests > 0);
    // the box that manages is itself another
    people.edit(|text| text.replace("# secret = \"…\"", &format!("secret = \"{}\"", "s".repeat(32))));
    // with the secret it has another key, which follows from what was deployed, so that it is known to be right
    let said = managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    assert!(said.out.contains("deployment 2: done"), "{}", said.out);
    managed.node.wait_for(0, "derived from config.secret");
    managed.obeyed("anna", &["ps"]);
    let said = managed.obeyed("anna", &["history"]);
    for what in ["anna", "site: another assets", "control: another config"] {
        assert!(said.out.contains(what), "no {what} in {}", said.out);
    }
    managed.node.power_off();
}

/// D1: a wrong address for `net` ends the trial, and not the node.
#[test]
fn who_deploys_a_wrong_address_is_not_locked_out() {
    let people = People::new();
    let managed = people.start(On::Qemu);
    managed.accept("anna");
    people.write("public/index.html", "<title>two</title>");
    let sound = people
        .edit(|text| text.replace("[box.http]\n", "[box.net.config]\naddress = \"192.0.2.7/24\"\n\n[box.http]\n"));
    let mut deploys = managed.deploys(&["deploy"]);
    deploys.extend(["--confirm", "10"].map(String::from));
    let said = managed.ask("anna", &strs(&deploys));
    assert!(!said.success, "{}", said.out);
    let why = "rolled back: nobody came back over the network to confirm it within 10 s";
    assert!(said.out.contains(why), "{}{}", said.err, said.out);
    // the node is where it was, with what it had
    assert_eq!(managed.title(), "<title>one</title>");
    assert!(managed.obeyed("anna", &["history"]).out.contains(why));
    // and with a right address all of it stays
    people.write("system.toml", &sound);
    let said = managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    assert!(said.out.contains("deployment 2: done"), "{}", said.out);
    assert_eq!(managed.title(), "<title>two</title>");
    // the serial console needs no network, neither to go back nor to look
    let position = managed.node.node.console().position();
    managed.node.node.type_line("rollback").expect("typed");
    managed.node.wait_for(position, "deployment 3: done");
    assert_eq!(managed.title(), "<title>one</title>");
    for (typed, said) in
        [("ps", "control          running"), ("history", "deployment 1 by anna"), ("logs http", "listening on port 80")]
    {
        let position = managed.node.node.console().position();
        managed.node.node.type_line(typed).expect("typed");
        managed.node.wait_for(position, said);
    }
    managed.node.power_off();
}

/// D4: a swap swaps what it says. D10: what is no component is said before anybody is asked. D11: why a box does not start is
/// in the refusal.
#[test]
fn a_swap_is_of_one_box() {
    let people = People::new();
    let managed = people.start(On::Linux);
    managed.accept("anna");
    let built = pearwood::build::components(people.path()).expect("components");
    let module = people.home.path().join("site.wasm");
    fs::write(&module, &built.components["site"].binary).expect("a file");
    let swap = |file: &std::path::Path| managed.deploys(&["swap", "site", &file.to_string_lossy()]);
    managed.refused("anna", &strs(&swap("/etc/passwd".as_ref())), "/etc/passwd: this is no WebAssembly");
    // what runs already is no deployment
    for _ in 0..2 {
        let said = managed.obeyed("anna", &strs(&swap(&module)));
        assert!(said.out.contains("nothing changed: the node runs this system already"), "{}", said.out);
    }
    assert!(managed.obeyed("anna", &["history"]).out.contains("nothing was deployed"));
    let other = people.home.path().join("other.wasm");
    let mut binary = built.components["site"].binary.clone();
    let text = b"there is no such setting";
    let place = binary.windows(text.len()).position(|part| part == text).expect("its text");
    binary[place] = b'T';
    fs::write(&other, binary).expect("a file");
    let said = managed.obeyed("anna", &strs(&swap(&other)));
    assert!(said.out.contains("deployment 1: done"), "{}", said.out);
    let sound = people.edit(|text| text.replace("[box.http]\n", "[box.http]\nconfig.server = \"other\"\n"));
    let why = "box `site` alone was to be another, and there is more that differs from what runs: http: another config";
    managed.refused("anna", &strs(&swap(&module)), why);
    people.write("system.toml", &sound);
    managed.obeyed("anna", &strs(&swap(&module)));
    // a component of one's own, whose settings only itself knows
    fs::copy(&module, people.path().join("own.wasm")).expect("a file");
    let own = "component = \"./own.wasm\"\nconfig.nonsense = 1\n";
    people.edit(|text| text.replace("component = \"site\"\n", own));
    let why = "box `site` does not start: returned; it says: config.nonsense = \"1\": there is no such setting";
    managed.refused("anna", &strs(&managed.deploys(&["deploy"])), why);
    managed.node.power_off();
}

/// Runs the command in a folder, without a node.
fn in_folder(people: &People, folder: &std::path::Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(pearwood_command());
    command.args(arguments).current_dir(folder).env("XDG_CONFIG_HOME", people.home.path()).env_remove("PEARWOOD_NODE");
    let output = command.output().expect("the pearwood command");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// D2, D3, D8: what needs no node asks for none, the example stands in for nothing, and keys can be pasted.
#[test]
fn what_needs_no_node() {
    let people = People::new();
    let folder = tempfile::tempdir().expect("a folder");
    let hello = tests::node::workspace().join("examples/hello");
    let hello = hello.to_string_lossy();
    // D2
    let (success, said) = in_folder(&people, folder.path(), &["graph", &hello]);
    assert!(success && said.contains("<svg"), "{said}");
    let (_, said) = in_folder(&people, folder.path(), &["logs"]);
    assert!(!said.contains("--node"), "{said}");
    // D3
    let deploy = &["deploy", "--node", "localhost:1"][..];
    let swap = &["swap", "site", "site.wasm", "--node", "localhost:1"];
    for arguments in [&["check"][..], &["graph"], deploy, swap, &["build"]] {
        let (success, said) = in_folder(&people, folder.path(), arguments);
        assert!(!success && said.contains("has no system.toml"), "{arguments:?}: {said}");
        assert!(!said.contains("website"), "{arguments:?}: {said}");
    }
    for arguments in [&[][..], &["up"]] {
        let mut up = Command::new(pearwood_command());
        let mut up = up.args(arguments).current_dir(folder.path()).stderr(Stdio::piped()).spawn().expect("up");
        let mut said = String::new();
        BufReader::new(up.stderr.take().expect("its output")).read_line(&mut said).expect("text");
        up.kill().expect("killed");
        up.wait().expect("its end");
        assert!(said.contains("has no system.toml; the example ") && said.contains("website"), "{arguments:?}: {said}");
    }
    // D8
    let shown = people.run(&["key", "show"], &[]).out;
    assert!(shown.matches("key = ").count() >= 3, "{shown}");
    people.edit(|text| text.split_inclusive('\n').filter(|line| !line.starts_with("keys = ")).collect());
    people.edit(|text| text.replace("[box.control.config]\n", &format!("[box.control.config]\n{shown}")));
    let system = pearwood::build::parse(people.path()).unwrap_or_else(|error| panic!("{error:#}"));
    let config = &system.find("control").expect("the box").config;
    assert!(config.iter().any(|(key, _)| key == "keys.2.role"), "{config:?}");
}

/// D7: output that nobody reads any more is no fault.
#[test]
fn output_that_nobody_reads_ends_the_command_quietly() {
    let example = tests::node::workspace().join("examples/website");
    for arguments in [&["graph"][..], &["help", "graph"]] {
        let mut command = Command::new(pearwood_command());
        command.args(arguments).args((arguments.len() == 1).then_some(&example)).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the pearwood command");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

/// A password is hashed as rules of the box `http` have it.
#[test]
fn a_password_is_hashed_for_a_rule() {
    let hash = |input: &str| {
        let mut command = Command::new(pearwood_command());
        command.arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the pearwood command");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("its end");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (is_done, made, _) = hash("correct battery horse stapler\n");
    let line = format!("config.rules = [{{ path = \"/private/*\", users.anna = \"{}\" }}]", made.trim_end());
    let system = format!("[system]\nname = \"s\"\n[box.http]\ncomponent = \"http\"\n{line}\n");
    let system = pearwood::system::System::parse("system.toml", &system).expect("a sound system");
    let faults = pearwood::build::setting_faults(&system);
    assert!(is_done && !faults.iter().any(|fault| fault.message.contains("users")), "{made}: {faults:?}");
    assert_ne!(hash("correct battery horse stapler").1, made, "each has its own salt");
    for (bad, why) in
        [("", "one character at least"), ("a\nb\n", "one line"), (&"x".repeat(73), "longer than 72 bytes")]
    {
        let (is_done, _, said) = hash(bad);
        assert!(!is_done && said.contains(why), "{said}");
    }
}

/// Output that cannot be written is an error that says so, whatever command has it.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let example = tests::node::workspace().join("examples/website");
    for arguments in [&["graph"][..], &["help", "graph"], &["help", "system"], &["key", "show"]] {
        let mut command = Command::new(pearwood_command());
        command.args(arguments).args((arguments == ["graph"]).then_some(&example));
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = command.stdout(full).stderr(Stdio::piped()).output().expect("the pearwood command");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("error: standard output cannot be written: No space left"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}

/// Where nothing can be kept, it is said what to do.
#[test]
fn a_home_that_cannot_be_written_is_named() {
    for set in [&[][..], &["XDG_CONFIG_HOME"], &["XDG_CACHE_HOME"]] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(pearwood_command());
        command
            .args(["key", "show"])
            .env("HOME", "/dev/null")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME");
        let output = command.envs(set.iter().map(|name| (name, folder.path()))).output().expect("the pearwood command");
        let said = String::from_utf8_lossy(&output.stderr);
        let missing = ["XDG_CONFIG_HOME", "XDG_CACHE_HOME"].into_iter().find(|name| !set.contains(name)).expect("one");
        assert!(said.contains(&format!("{missing} may name another folder")), "{set:?}: {said}");
        assert!(!output.status.success() && said.contains("/dev/null/"), "{set:?}: {said}");
    }
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
    people.edit(|text| text.to_string() + write_trapping_box(people.path()));
    let why = "refused: box `bad` does not start: wasm trap: wasm `unreachable`";
    managed.refused("anna", &strs(&managed.deploys(&["deploy"])), why);
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
    managed.obeyed("anna", &["power-off"]);
    assert_eq!(managed.node.node.wait(PATIENCE).expect("it ends"), End::Off);
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
    let links = describes["links"].as_array().expect("arrows");
    assert!(
        links.iter().any(|link| link["from"] == "http" && link["to"] == "net" && link["listen"][0] == "80"),
        "{links:?}"
    );
    assert!(curl(&[], &console.at("logs?name=http")).text().contains("listening on port 80"));
    let metrics = curl(&[], &console.metrics).text();
    for start in [
        "pearwood_box_memory_bytes{box=\"site\"} ",
        "pearwood_arrow_connections_total{from=\"http\",to=\"net\",interface=",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(start)), "no {start} in {metrics}");
    }
    // not for others
    assert_eq!(curl(&["--header", "Host: evil.example"], &console.url).status, 421);
    assert_eq!(curl(&[], &console.metrics.replace("/metrics", "/describe")).status, 404);
    assert_eq!(curl(&["--request", "POST"], &console.at("restart?name=site")).status, 403);
    let position = managed.node.node.console().position();
    let ours = ["--request", "POST", "--header", "x-pearwood: 1"];
    assert_eq!(curl(&ours, &console.at("restart?name=site")).status, 200);
    managed.node.wait_for(position, "site: restarted: by anna");
    drop(console);
    managed.accept("vera");
    let console = Console::start(&managed, "vera");
    let refused = curl(&ours, &console.at("restart?name=site"));
    assert!(refused.status == 403 && refused.text().contains("vera may not restart boxes"), "{refused:?}");
    drop(console);
    managed.node.power_off();
}

/// The samples of Prometheus' text format, each with its labels as they stand there. Anything else is no such text.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let mut all = BTreeMap::new();
    let mut family = "";
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().expect("a name");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let kind =
                rest.strip_prefix(family).and_then(|rest| rest.strip_prefix(' ')).expect("the type of the family");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            assert!(name.starts_with(family) && (!name.contains('{') || name.ends_with('}')), "{line}");
            assert!(all.insert(name, value.parse().expect("a number")).is_none(), "{line} comes twice");
        }
    }
    all
}

fn metrics_are_scraped(on: On) {
    let people = People::new();
    let handlers = "[{ box = \"site\" }, { box = \"control\", path = \"/metrics\" }]";
    people.edit(|text| text.replace("handler\" = { box = \"site\" }", &format!("handler\" = {handlers}")));
    let managed = people.start(on);
    managed.accept("anna");
    managed.accept("vera");
    let url = managed.node.url("/metrics");
    let refused = curl(&[], &url);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let token = managed.obeyed("vera", &["token"]).out;
    let bearer = format!("Authorization: Bearer {}", token.trim());
    assert_eq!(managed.title(), "<title>one</title>");
    let scraped = curl(&["--header", &bearer], &url);
    assert_eq!(
        (scraped.status, scraped.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let text = scraped.text();
    let samples = samples(&text);
    let arrow = "{from=\"http\",to=\"site\",interface=\"pearwood:http/handler\"}";
    for (name, least) in [
        (String::from("pearwood_node_uptime_seconds"), 0.001),
        ("pearwood_box_up{box=\"control\"}".into(), 1.0),
        ("pearwood_box_memory_bytes{box=\"site\"}".into(), 65_536.0),
        (format!("pearwood_arrow_requests_total{arrow}"), 1.0),
        (format!("pearwood_arrow_request_duration_seconds_count{arrow}"), 1.0),
    ] {
        let value = samples.get(name.as_str()).unwrap_or_else(|| panic!("no {name} in {text}"));
        assert!(*value >= least, "{name} {value}");
    }
    // from addresses that the settings list nothing else is needed; on a virtual network they are others
    people.edit(|text| {
        text.replace("[box.control.config]\n", "[box.control.config]\nmetrics = [\"127.0.0.1\", \"10.0.2.2\"]\n")
    });
    managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    assert_eq!(curl(&[], &url).status, 200);
    // what anybody may read is compressed, and whoever shows a token gets it as it is
    for (arguments, coding) in [(&[][..], Some("gzip")), (&["--header", &bearer], None)] {
        let scraped = curl(&[&["--compressed"], arguments].concat(), &url);
        assert_eq!((scraped.status, scraped.header("content-encoding")), (200, coding));
        assert!(scraped.text().contains("\npearwood_box_up{box=\"control\"} 1\n"));
    }
    // a fault is known before anything is built
    people.edit(|text| text.replace("\"10.0.2.2\"", "\"10.0.2.2/40\""));
    let said = people.run(&["check"], &[&people.path().to_string_lossy()]);
    assert!(
        !said.success
            && said.err.contains("box `control`: config.metrics.1 = \"10.0.2.2/40\": an address or a network"),
        "{}",
        said.err
    );
    managed.node.power_off();
}
