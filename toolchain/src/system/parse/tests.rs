use super::*;
use crate::system::grant::{Grant, HttpGrant};
use crate::system::model::{AssetSource, Target};
use crate::system::{MAX_SOURCE, Report};
use alloc::string::ToString;
use core::time::Duration;
use wasm_host::plan::{BoxPlan, grant::Host};

fn parse(text: &str) -> System {
    System::parse("system.toml", text).unwrap_or_else(|faults| panic!("{}", Report(&faults)))
}

/// The one fault of a box whose table has these lines.
fn fault(lines: &str) -> Diagnostic {
    let text = format!("[system]\nname = \"s\"\n[box.b]\ncomponent = \"c\"\n{lines}\n");
    let mut faults = System::parse("system.toml", &text).expect_err(lines);
    assert_eq!(faults.len(), 1, "{}", Report(&faults));
    faults.remove(0)
}

#[test]
fn a_whole_declaration() {
    let system = parse(
        r#"
[system]
name = "website"

[box.http]
component = ["tls", "http"]
memory = "32 MiB"
cpu = 200
queue = 262144
concurrency = 1_000
reuse = true
restart = { min = "1 s", max = "5 min" }
config.dns = ["1.1.1.1", "9.9.9.9"]
config.log = { level = "info", colour = false }
config.retries = 0x10
config.ratio = 1.5
arrows."pearwood:net/tcp" = { box = "net", listen = [80, "8000-8010"], connect = ["host:443", "10.0.0.0/8:*"] }
arrows."pearwood:http/handler" = [{ box = "site" }, { box = "echo", path = "/echo/", host = "Example.org" }]

[box.net]
component = "net"
arrows."pearwood:hardware/nic" = { device = "nic0" }

[box.site]
component = "./site"
assets = ["./public", { rustdoc = "wasm-host", at = "/doc/" }, { graph = true }, { file = "a/robots.txt" }]
arrows."wasi:clocks/wall-clock@0.2.0" = { node = true }
"#,
    );
    assert_eq!(system.name, "website");
    let names: Vec<&str> = system.boxes.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["http", "net", "site"], "in the order of the file");
    let http = &system.boxes[0];
    assert_eq!(http.component_name(), "tls + http");
    assert_eq!(
        (http.memory, http.cpu, http.queue, http.concurrency, http.reuse),
        (32 << 20, 200, 256 << 10, 1000, true)
    );
    assert_eq!((http.restart.min, http.restart.max), (Duration::from_secs(1), Duration::from_secs(300)));
    let config: Vec<(&str, &str)> = http.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("dns.0", "1.1.1.1"),
        ("dns.1", "9.9.9.9"),
        ("log.level", "info"),
        ("log.colour", "false"),
        ("retries", "16"),
        ("ratio", "1.5"),
    ];
    assert_eq!(config, expected);
    let [tcp, site, echo] = &http.arrows[..] else { panic!("{:?}", http.arrows) };
    assert_eq!((tcp.at.line, tcp.at.column), (17, 8));
    let Grant::Net(net) = &tcp.grant else { panic!("{tcp:?}") };
    let may_listen = |port| net.listen.iter().any(|ports| ports.contains(port));
    assert!(may_listen(80) && may_listen(8005) && !may_listen(81));
    assert_eq!(net.connect[0].host, Host::Name("host".into()));
    assert_eq!(site.grant, Grant::Http(HttpGrant::default()));
    assert_eq!(echo.grant, Grant::Http(HttpGrant { host: "example.org".into(), path: "/echo/".into() }));
    assert_eq!((echo.target.clone(), echo.target_at.line), (Target::Box("echo".into()), 18));
    assert_eq!(system.boxes[1].arrows[0].target, Target::Device("nic0".into()));
    assert_eq!(system.boxes[1].memory, BoxPlan::DEFAULT_MEMORY);
    let site = &system.boxes[2];
    assert_eq!(site.arrows[0].target, Target::Node);
    let assets: Vec<_> = site.assets.iter().map(|part| (part.source.clone(), part.to.as_str())).collect();
    let expected = [
        (AssetSource::Folder("./public".into()), ""),
        (AssetSource::Rustdoc("wasm-host".into()), "doc"),
        (AssetSource::Graph, "graph.svg"),
        (AssetSource::File("a/robots.txt".into()), "robots.txt"),
    ];
    assert_eq!(assets, expected);
}

#[test]
fn the_layout_makes_no_difference() {
    let a = parse("[system]\nname = \"s\"\n[box.b]\ncomponent = \"c\"\ncpu = 5");
    let b = parse("# a comment\nsystem.name = \"s\"\n\n[box]\nb = { cpu = 0x5, component = [\"c\"] }");
    let c = parse("[system]\nname = \"s\"\n[box.b]\ncomponent = \"c\"\ncpu = 6");
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn tables_with_headers_are_arrows_too() {
    let system = parse(
        "[system]\nname = \"s\"\n[box.b]\ncomponent = \"c\"\n\
         [[box.b.arrows.\"pearwood:http/handler\"]]\nbox = \"x\"\n\
         [[box.b.arrows.\"pearwood:http/handler\"]]\nbox = \"y\"\npath = \"/y\"\n",
    );
    assert_eq!(system.boxes[0].arrows.len(), 2);
}

#[test]
fn faults_say_what_is_meant() {
    let tcp = "arrows.\"pearwood:net/tcp\" = ";
    let handler = "arrows.\"pearwood:http/handler\" = ";
    let cases = [
        ("memroy = \"1 MiB\"", "box `b` has no key `memroy`", "did you mean `memory`?"),
        ("memory = \"16 MB\"", "memory = \"16 MB\" has no unit", ""),
        ("memory = \"1 KiB\"", "memory is from 64 KiB to 4 GiB, not 1 KiB", ""),
        ("memory = true", "memory is a size such as \"16 MiB\", not a boolean", ""),
        ("cpu = 0", "cpu is from 1 to 10000, not 0", ""),
        ("cpu = 99999999999999999999", "cpu is from 1 to 10000", ""),
        ("cpu = \"1\"", "cpu is a number from 1 to 10000, not a string", ""),
        ("queue = \"1 KiB\"", "queue is from 128 KiB to 64 MiB", ""),
        ("restart = { min = \"1 s\", max = \"5 ms\" }", "min is longer than max", ""),
        ("restart = { min = \"0 s\" }", "without end", ""),
        ("restart = { limit = 3 }", "restart has no key `limit`", "`min`, `max`"),
        ("config.\"a.b\" = 1\nconfig.a.b = 2", "config.a.b is there twice", ""),
        ("assets = []", "assets is an empty array", ""),
        ("arrows.\"pearwood:http/handler\" = []", "is an empty array", ""),
        ("arrows.\"wasi:http/types\" = []", "is an empty array", ""),
        ("assets = { at = \"x\" }", "a part is one of folder, file, rustdoc, graph, reference", ""),
        ("assets = { folder = \"a\", at = \"../b\" }", "is no name for an asset", ""),
        ("assets = { foldr = \"a\", folder = \"a\" }", "has no key `foldr`", "did you mean `folder`?"),
        ("arrows.net = { box = \"a\" }", "names no interface", "namespace:package/interface"),
        ("arrows.\"pearwood/tcp\" = { box = \"a\" }", "names no interface", "did you mean `pearwood:net/tcp`?"),
        ("arrows.\"pearwood:box/log\" = { box = \"a\" }", "every box has this interface", "delete"),
        ("arrows.\"pearwood:hardware/nic\" = { box = \"net\" }", "it goes to a device", ""),
        ("arrows.\"pearwood:hardware/nic\" = { device = \"eth0\" }", "the device `eth0` is no nic", ""),
        (
            "arrows.\"pearwood:control/node\" = [{ node = true }, { node = true }]",
            "has 2 targets; this interface can have one",
            "",
        ),
        (
            "arrows.\"pearwood:net/names\" = { box = \"x\", listen = [80] }",
            "a grant of `listen` does not belong to this interface",
            "",
        ),
        (
            "arrows.\"pearwood:net/tpc\" = { box = \"x\", listen = [80] }",
            "names no interface",
            "did you mean `pearwood:net/tcp`?",
        ),
        ("arrows.\"pearwood:hardware/nic\" = { device = \"nic00\" }", "is no nic", ""),
        ("arrows.\"pearwood:hardware/nic\" = { device = \"nic0\", sectors = \"0-1\" }", "does not belong", ""),
        ("arrows.\"pearwood:hardware/block\" = { device = \"nic0\" }", "the device `nic0` is no disk", ""),
        ("arrows.\"pearwood:hardware/block\" = { device = \"disk0\", sectors = 5 }", "is a string, not an integer", ""),
        ("arrows.\"pearwood:hardware/block\" = { device = \"disk0\", sectors = \"5\" }", "\"2048-10239\"", ""),
        ("arrows.\"pearwood:hardware/block\" = { device = \"disk0\", sectors = \"9-8\" }", "\"8-9\"", ""),
        ("arrows.\"pearwood:hardware/block\" = { device = \"disk0\", read-only = 1 }", "true or false", ""),
        ("reuse = 1", "reuse is true or false, not an integer", ""),
        ("arrows.\"a:b/c\" = { node = true }", "the node gives no such interface", ""),
        ("arrows.\"pearwood:net/names\" = { bx = \"x\", box = \"x\" }", "has no key `bx`", "did you mean `box`?"),
        ("arrows.\"a:b/c\" = {}", "has no target", "{ box = \"…\" }"),
        ("arrows.\"a:b/c\" = { box = \"x\", device = \"nic0\" }", "has more than one target", ""),
        ("arrows.\"a:b/c\" = \"x\"", "is a table, not a string", ""),
    ];
    for (lines, message, help) in cases {
        let fault = fault(lines);
        assert!(fault.message.contains(message), "{lines}: {fault}");
        assert!(fault.help.as_deref().unwrap_or_default().contains(help), "{lines}: {fault}");
        assert_eq!(fault.box_name.as_deref(), Some("b"), "{lines}: {fault}");
        assert!(fault.place.line >= 5, "{lines}: {fault}");
    }
    let grants = [
        (tcp, "listen = [0]", "port 0 is no port"),
        (tcp, "listen = [70000]", "port 70000 is above 65535"),
        (tcp, "listen = [-1]", "is no port"),
        (tcp, "listen = [\"9-8\"]", "did you mean \"8-9\"?"),
        (tcp, "listen = [80, \"70-90\"]", "granted twice"),
        (tcp, "listen = [80.5]", "a port or a range of ports, not a number with a fraction"),
        (tcp, "connect = [\"example.org\"]", "names no port"),
        (tcp, "connect = [\"10.0.0.1/8:*\"]", "did you mean \"10.0.0.0/8\"?"),
        (tcp, "path = \"/\"", "a grant of `path` does not belong"),
        (handler, "path = \"echo\"", "does not begin with `/`"),
        (handler, "host = \"a:80\"", "without a port"),
        (handler, "listen = [80]", "a grant of `listen` does not belong"),
    ];
    for (arrow, grant, message) in grants {
        let fault = fault(&format!("{arrow}{{ box = \"x\", {grant} }}"));
        assert!(fault.message.contains(message), "{grant}: {fault}");
        assert!(fault.interface.as_deref().is_some_and(|name| name.starts_with("pearwood:")), "{grant}: {fault}");
        assert_eq!(fault.place.line, 5, "{grant}: {fault}");
    }
}

#[test]
fn all_faults_are_found_in_the_order_of_the_file() {
    let text = "\
[system]
nam = \"s\"
[bx]
[box.Net]
cpu = 0
[box.b]
component = \"\"
";
    let faults = System::parse("system.toml", text).unwrap_err();
    let found: Vec<(u32, &str)> = faults.iter().map(|fault| (fault.place.line, fault.message.as_str())).collect();
    let expected = [
        (1, "the system has no name"),
        (2, "[system] has no key `nam`"),
        (3, "a declaration has no key `bx`"),
        (4, "the box's name `Net` has other characters in it than a-z, 0-9 and hyphens"),
        (4, "box `Net` has no component"),
        (5, "box `Net`: cpu is from 1 to 10000, not 0"),
        (7, "box `b`: component = \"\" is neither a name nor a path"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn disks_and_their_sectors() {
    let system = |disk: &str, grant: &str| {
        parse(&format!(
            "[system]\nname = \"s\"\n{disk}\n[box.b]\ncomponent = \"c\"\n\
             arrows.\"pearwood:hardware/block\" = {{ device = \"disk1\"{grant} }}"
        ))
    };
    let granted = |grant: &str| match system("", grant).boxes[0].arrows[0].grant {
        Grant::Block(block) => (block.sectors.first, block.sectors.last, block.read_only),
        ref other => panic!("{other:?}"),
    };
    assert_eq!(granted(""), (0, None, false));
    assert_eq!(granted(", sectors = \"8-15\", read-only = true"), (8, Some(15), true));
    let disk = |text: &str| system(text, "").disk.map(|disk| (disk.device, disk.reserve));
    assert_eq!(disk(""), None);
    assert_eq!(disk("disk = \"disk0\""), Some(("disk0".into(), 128 << 20)));
    assert_eq!(disk("disk = { device = \"disk2\", reserve = \"8 MiB\" }"), Some(("disk2".into(), 8 << 20)));
    for (text, message) in [
        ("disk = \"sda\"", "the device `sda` is no disk"),
        ("disk = 0", "the system's disk is a string, not an integer"),
        ("disk = { reserve = \"8 MiB\" }", "the system's disk has no device"),
        ("disk = { device = \"disk0\", reserve = \"1 MiB\" }", "reserve is from 4 MiB to 1024 GiB"),
        ("disk = { device = \"disk0\", size = 1 }", "has no key `size`"),
    ] {
        let text = format!("[system]\nname = \"s\"\n{text}\n[box.b]\ncomponent = \"c\"");
        let faults = System::parse("system.toml", &text).expect_err(message);
        assert!(faults.len() == 1 && faults[0].message.contains(message), "{}", Report(&faults));
        assert_eq!(faults[0].place.line, 3);
    }
}

#[test]
fn volumes() {
    let system = |volume: &str, grant: &str| {
        System::parse(
            "system.toml",
            &format!(
                "[system]\nname = \"s\"\n{volume}\n[box.b]\ncomponent = \"c\"\n\
                 arrows.\"pearwood:hardware/block\" = {{ {grant} }}"
            ),
        )
    };
    let sound =
        system("[volume.guestbook]\ndisk = \"disk2\"\nsize = \"2 GiB\"", "volume = \"guestbook\", read-only = true");
    let sound = sound.unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    let volume = &sound.volumes[0];
    assert_eq!((volume.name.as_str(), volume.disk.as_str(), volume.size), ("guestbook", "disk2", 2 << 30));
    assert_eq!(sound.boxes[0].arrows[0].target, Target::Volume("guestbook".into()));
    let long = format!("[volume.{}]", "a".repeat(37));
    for (volume, grant, message) in [
        ("[volume.Guest]", "", "the volume's name `Guest` has other characters in it"),
        (long.as_str(), "", "is longer than 36 characters"),
        ("[volume]\nv = 1", "", "volume `v` is a table, not an integer"),
        ("[volume.v]\nsize = \"1 MiB\"", "", "volume `v` has no disk"),
        ("[volume.v]\ndisk = \"disk0\"", "", "volume `v` has no size"),
        ("[volume.v]\ndisk = \"nic0\"\nsize = \"1 MiB\"", "", "the device `nic0` is no disk"),
        ("[volume.v]\ndisk = \"disk0\"\nsize = \"1025 KiB\"", "", "size is a whole number of MiB"),
        ("[volume.v]\ndisk = \"disk0\"\nsize = \"64 KiB\"", "", "volume `v`: size is from 1 MiB to 1048576 GiB"),
        ("[volume.v]\ndisk = \"disk0\"\nsize = \"1 MiB\"\nencrypted = true", "", "volume `v` has no key `encrypted`"),
        ("", "volume = \"v\", sectors = \"0-7\"", "of a volume, all sectors are granted"),
        ("", "volume = \"v\", device = \"disk0\"", "has more than one target"),
        ("", "volume = 1", "is a string, not an integer"),
        ("", "read-only = true", "has no target"),
    ] {
        let faults = system(volume, if grant.is_empty() { "volume = \"v\"" } else { grant }).expect_err(message);
        assert!(faults.len() == 1 && faults[0].message.contains(message), "{message}: {}", Report(&faults));
    }
    let text = "[system]\nname = \"s\"\n[box.b]\ncomponent = \"c\"\n";
    let nic = format!("{text}arrows.\"pearwood:hardware/nic\" = {{ volume = \"v\" }}");
    assert!(System::parse("system.toml", &nic).unwrap_err()[0].message.contains("it goes to a device"));
    let own = parse(&format!("{text}arrows.\"a:b/c\" = {{ box = \"d\", volume = 11 }}"));
    assert_eq!(own.boxes[0].arrows[0].target, Target::Box("d".into()));
}

#[test]
fn what_is_no_toml() {
    for text in ["[system", "a = = b", "[box.b]\ncpu = 1\ncpu = 2", "\u{0}"] {
        let faults = System::parse("system.toml", text).unwrap_err();
        assert!(faults[0].message.starts_with("not TOML: "), "{}", faults[0]);
    }
    assert!(System::parse("system.toml", "").unwrap_err()[0].message.contains("no [system] table"));
    let long = "#".repeat(MAX_SOURCE + 1);
    let faults = System::parse("system.toml", &long).unwrap_err();
    assert!(Report(&faults).to_string().contains("at most 1048576 are read"));
    let deep = format!("a = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(System::parse("system.toml", &deep).is_err());
}

/// Changed at random, a declaration is read or refused, and every fault can be shown.
#[test]
fn no_text_makes_the_parser_panic() {
    let source = include_str!("../graph/twelve.toml").as_bytes();
    let mut seed = 7_u64;
    let mut random = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % limit
    };
    for _ in 0..2_000 {
        let mut text = source.to_vec();
        for _ in 0..1 + random(6) {
            let at = random(text.len());
            let byte = b"\"'[]{}=,.#\n\\ 0-:/a\xc3"[random(19)];
            match random(4) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => {
                    text.remove(at);
                }
                _ => text.truncate(at.max(8)),
            }
        }
        if let Err(faults) = System::parse("system.toml", &String::from_utf8_lossy(&text)) {
            assert!(!faults.is_empty() && !Report(&faults).to_string().is_empty());
        }
    }
}

/// A table without keys would never come to the box.
#[test]
fn a_table_that_says_nothing_is_refused() {
    let text =
        "[system]\nname = \"s\"\n[box.a]\ncomponent = \"./a\"\nconfig.rules = [\n  { path = \"/\" },\n  {},\n]\n";
    let faults = System::parse("system.toml", text).unwrap_err();
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!((fault.message.as_str(), fault.place.line), ("box `a`: config.rules.1 is a table that says nothing", 7));
}
