extern crate std;

use super::*;
use crate::system::System;
use alloc::{format, string::String};

const THREE: &str = include_str!("three.toml");
const TWELVE: &str = include_str!("twelve.toml");

fn system(text: &str) -> System {
    System::parse("system.toml", text).unwrap_or_else(|faults| panic!("{}", crate::system::Report(&faults)))
}

/// Leaves a drawing in the folder `PEARWOOD_DRAWINGS`, to be looked at.
fn keep(name: &str, svg: &str) {
    if let Some(folder) = std::env::var_os("PEARWOOD_DRAWINGS") {
        std::fs::write(std::path::Path::new(&folder).join(name), svg).expect("the folder can be written to");
    }
}

/// Opened and closed elements match, and nothing is left unescaped.
fn well_formed(svg: &str) {
    let mut open: alloc::vec::Vec<&str> = alloc::vec::Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') || open.last() == Some(&"style"), "stray > in {text}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn on(note: &str) -> Ground<'_> {
    Ground { note, ..Ground::default() }
}

#[test]
fn what_stands_in_for_a_box_is_said() {
    let ground = Ground { note: "on Linux", stand_ins: &[("net", "sockets")], figures: None };
    let svg = svg(&system(THREE), ground);
    well_formed(&svg);
    assert_eq!(svg.matches("<rect class=\"card stand-in\"").count(), 1);
    for expected in [">sockets for net<", "box net: sockets for net, ", "· on Linux"] {
        assert!(svg.contains(expected), "{expected} in {svg}");
    }
    assert!(text(&system(THREE), ground).contains("net  (sockets for net, "));
    keep("three-on-linux.svg", &svg);
}

#[test]
fn what_is_measured_has_its_place() {
    fn ground(figures: &Figures) -> Ground<'_> {
        Ground { figures: Some(figures), ..Ground::default() }
    }
    let mut figures = Figures::default();
    let three = system(THREE);
    let empty = svg(&three, ground(&figures));
    well_formed(&empty);
    for expected in ["data-box=\"net\"", "<text class=\"figures\"", "data-interface=\"pearwood:http/handler\"></text>"]
    {
        assert!(empty.contains(expected), "{expected} in {empty}");
    }
    let arrow = three.boxes.iter().find_map(|spec| {
        let arrow = spec.arrows.iter().find(|arrow| arrow.interface.path() == "pearwood:http/handler")?;
        match &arrow.target {
            crate::system::Target::Box(to) => Some((spec.name.clone(), to.clone(), "pearwood:http/handler".into())),
            _ => None,
        }
    });
    figures.arrows.insert(arrow.expect("an arrow to a handler"), "12/s & more".into());
    figures.boxes.insert("net".into(), "3 % of the CPU".into());
    let (drawn, listed) = (svg(&three, ground(&figures)), text(&three, ground(&figures)));
    well_formed(&drawn);
    assert!(drawn.contains(">12/s &amp; more</text>") && drawn.contains(">3 % of the CPU</text>"), "{drawn}");
    assert!(listed.contains("  12/s & more\n") && listed.contains("cpu 100)  3 % of the CPU\n"), "{listed}");
    assert!(!svg(&three, Ground::default()).contains("data-box="));
    keep("three-live.svg", &drawn);
}

#[test]
fn parts_of_a_disk_are_said() {
    let text = "[system]\nname = \"s\"\n[box.a]\ncomponent = \"c\"\n\
        arrows.\"pearwood:hardware/block\" = { device = \"disk0\", sectors = \"65536-131071\", read-only = true }";
    let svg = svg(&system(text), on("QEMU"));
    well_formed(&svg);
    for expected in ["a → disk0: pearwood:hardware/block", ">disk0<", "65536-131071 read-only"] {
        assert!(svg.contains(expected), "{expected} in {svg}");
    }
}

#[test]
fn volumes_are_drawn() {
    let text = "[system]\nname = \"s\"\n[volume.guestbook]\ndisk = \"disk0\"\nsize = \"1 MiB\"\n[box.a]\ncomponent = \"c\"\n\
        arrows.\"pearwood:hardware/block\" = { volume = \"guestbook\" }";
    let svg = svg(&system(text), on("QEMU"));
    well_formed(&svg);
    for expected in ["a → guestbook: pearwood:hardware/block", ">guestbook<", "volume on a disk of the machine"] {
        assert!(svg.contains(expected), "{expected} in {svg}");
    }
}

#[test]
fn three_boxes() {
    let svg = svg(&system(THREE), on("QEMU"));
    well_formed(&svg);
    for expected in
        ["<title>http → site: pearwood:http/handler</title>", "3 boxes · 3 arrows · QEMU", ">clients<", ">nic0<"]
    {
        assert!(svg.contains(expected), "{expected} in {svg}");
    }
    keep("three.svg", &svg);
}

#[test]
fn twelve_boxes() {
    let svg = svg(&system(TWELVE), Ground::default());
    well_formed(&svg);
    assert!(svg.contains("12 boxes"));
    keep("twelve.svg", &svg);
}

#[test]
fn text_names_each_arrow() {
    let expected = "\
clients
  └┄ tcp :80 ┄┄> http

net  (net, 16 MiB, cpu 100)
  └─ nic ──> nic0

http  (http, 16 MiB, cpu 100)
  ├─ tcp :80 ──> net
  └─ http ─────> site

site  (./site, 8 MiB, cpu 100)";
    assert_eq!(text(&system(THREE), Ground::default()), expected);
}

#[test]
fn the_power_over_the_node_is_drawn() {
    let system = system(
        "[system]\nname = \"s\"\n[box.one]\ncomponent = \"control\"\n\
         arrows.\"pearwood:control/node\" = { node = true }\narrows.\"wasi:clocks/wall-clock\" = { node = true }\n",
    );
    let text = text(&system, Ground::default());
    assert!(text.ends_with("└─ control ──> the node"), "{text}");
    let drawn = svg(&system, Ground::default());
    well_formed(&drawn);
    assert!(drawn.contains("<title>the node: the system that runs on it can be seen and changed</title>"));
}

#[test]
fn text_says_whom_a_box_may_connect_to() {
    let text = text(&system(TWELVE), Ground::default());
    let expected = "\
backup  (./backup, 16 MiB, cpu 10)
  ├─ store/objects ──────────────> store
  ├─ tcp ────────────────────────> net
  └┄ tcp backup.example.org:22 ┄┄> other hosts";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn what_text_could_break_is_escaped() {
    let text = "[system]\nname = \"a\"\n[box.b]\ncomponent = \"./<x> & \\\"y\\\"\"\n";
    let svg = svg(&system(text), on("<note>"));
    well_formed(&svg);
    assert!(svg.contains("./&lt;x&gt; &amp; &quot;y&quot;") && svg.contains("&lt;note&gt;"));
}

#[test]
fn circles_and_missing_boxes_are_drawn() {
    let handler = |to: &str| format!("arrows.\"pearwood:http/handler\" = [{{ box = \"{to}\" }}]");
    let boxes: String = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "gone")]
        .iter()
        .map(|(name, to)| format!("[box.{name}]\ncomponent = \"x\"\n{}\n", handler(to)))
        .collect();
    let svg = svg(&system(&format!("[system]\nname = \"s\"\n{boxes}")), Ground::default());
    well_formed(&svg);
    for title in ["a → b:", "b → c:", "c → a:", "d → gone:"] {
        assert!(svg.contains(title), "{title}");
    }
}

/// Boxes of which each second is a client of the one before, and all others of the net.
fn large(boxes: usize) -> System {
    let mut text = String::from("[system]\nname = \"large\"\n[box.net]\ncomponent = \"net\"\n");
    for i in 0..boxes {
        let arrow = if i % 2 == 0 { "net".into() } else { format!("b{}", i - 1) };
        text += &format!(
            "[box.b{i}]\ncomponent = \"x\"\narrows.\"pearwood:net/tcp\" = {{ box = \"{arrow}\", listen = [{}] }}\n",
            i + 1
        );
    }
    system(&text)
}

#[test]
fn a_large_system_is_drawn() {
    let svg = svg(&large(100), Ground::default());
    well_formed(&svg);
    assert!(svg.contains("marker-end") && svg.contains("b99 → b98"));
}

#[test]
fn a_larger_system_is_listed() {
    let svg = svg(&large(2_000), on("on paper"));
    well_formed(&svg);
    assert!(!svg.contains("marker-end=") && svg.contains("large on paper") && svg.contains(">b1999"));
}
