//! H: a site that is larger than the node's memory: its files are read from the disk as they are asked for.

use pearwood::{
    Launch, build,
    linux::FileDisk,
    node::{DiskFile, parse_size},
};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    sync::Arc,
    thread,
};
use tests::{
    TestNode,
    client::{curl, run},
    managed::{Managed, People, strs},
};
use wasm_host::{slots::reserve_for, volumes::OVERHEAD};

/// What the node has, unless its site is as large as the environment says.
const MEMORY: &str = "64M";
const MEMORY_OF_LARGE: &str = "128M";
/// What the site has: more than twice that.
const SITE: &str = "160M";
/// Large files, among which the site's bytes are shared out.
const LARGE: u64 = 4;
/// A range that begins and ends within blocks, and spans several.
const RANGE: (u64, u64) = (1_234_567, 300_001);

/// Bytes that nothing compresses, and that are others at each place and for each seed.
fn noise(seed: u64, at: u64) -> [u8; 8] {
    let mut x = (seed << 40 ^ at).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31).to_le_bytes()
}

fn write_noise(path: &Path, seed: u64, bytes: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for at in 0..bytes / 8 {
        file.write_all(&noise(seed, at)).expect("written");
    }
    file.flush().expect("written");
}

/// Fetches a file with curl, and compares it without having it in memory.
fn arrives(node: &TestNode, public: &Path, name: &str) {
    let fetched = tempfile::NamedTempFile::new().expect("a file");
    let output = fetched.path().to_string_lossy().into_owned();
    run(Command::new("curl").args(["--silent", "--show-error", "--fail", "--output", &output]).arg(node.url(name)));
    run(Command::new("cmp").arg(fetched.path()).arg(public.join(&name[1..])));
}

/// Files of all sizes, several at once, and parts of them.
fn all_arrives(node: &TestNode, public: &Path) {
    thread::scope(|scope| {
        for large in 0..LARGE - 1 {
            scope.spawn(move || arrives(node, public, &format!("/large{large}.bin")));
        }
        scope.spawn(|| (0..30).for_each(|small| arrives(node, public, &format!("/small{small}.bin"))));
        scope.spawn(|| {
            for large in (0..LARGE).rev() {
                let (first, length) = RANGE;
                let range = format!("{first}-{}", first + length - 1);
                let part = curl(&["--range", &range], &node.url(&format!("/large{large}.bin")));
                let expected: Vec<u8> = (first / 8..=(first + length) / 8).flat_map(|at| noise(large, at)).collect();
                assert_eq!(part.status, 206);
                assert!(part.body == expected[(first % 8) as usize..][..length as usize], "large{large}, {range}");
            }
        });
    });
}

/// Bytes of the node's memory that are in use, and of the site's.
fn memory(node: &TestNode) -> (u64, u64) {
    let status = node.status();
    let bytes = |value: &serde_json::Value| value.as_u64().unwrap_or_else(|| panic!("{status}"));
    (bytes(&status["memory"]["frames"]), bytes(&node.box_status("site")["memory"]))
}

/// A site that memory has no room for is served from the disk, changed over the network, and gone back to; the node's
/// memory stays what it is meanwhile.
#[test]
fn a_site_larger_than_the_memory_is_served_from_the_disk() {
    let asked = std::env::var("PEARWOOD_SITE").ok();
    let memory_size = if asked.is_some() { MEMORY_OF_LARGE } else { MEMORY };
    let site = parse_size(asked.as_deref().unwrap_or(SITE)).expect("PEARWOOD_SITE is a size");
    let people = People::new();
    let reserve = reserve_for(site + (16 << 20));
    people.edit(|text| {
        text.replace(
            "name = \"managed\"",
            &format!("name = \"managed\"\ndisk = {{ device = \"disk0\", reserve = \"{} MiB\" }}", reserve >> 20),
        )
    });
    let public = people.path().join("public");
    for large in 0..LARGE {
        write_noise(&public.join(format!("large{large}.bin")), large, site / LARGE / 8 * 8);
    }
    for small in 0..30 {
        write_noise(&public.join(format!("small{small}.bin")), 100 + small, 8 * (small * small * 40 + 1));
    }

    let launch: &'static Launch = Box::leak(Box::new(Launch::prepare(people.path()).expect("a system")));
    let folder = tempfile::tempdir().expect("a folder");
    let disk = DiskFile::new(folder.path().join("disk"), reserve + OVERHEAD);
    disk.prepare().expect("a disk");
    let opened = FileDisk::open(&disk.path, || ()).expect("the disk");
    let image = File::open(&launch.image).expect("the image");
    build::install(&image, Arc::new(opened), reserve, "a test").expect("written to the disk");
    fs::remove_file(&launch.image).expect("the image is there");

    let machine =
        launch.ports().into_iter().fold(launch.bare(), |machine, (_, port)| machine.forward(tests::node::tcp(port)));
    let node = TestNode::start_qemu(launch, machine.memory(memory_size).disk(disk));
    node.wait_for(0, "starts deploy 1 from slot A");
    let line = node.wait_for(0, "the node's key is ");
    let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key");
    node.wait_for(0, "listening on port 7327");
    let (address, key) = (format!("127.0.0.1:{}", node.node.port(7327)), key.to_string());
    let managed = Managed { people: &people, node, address, key };
    managed.accept("anna");

    arrives(&managed.node, &public, "/large0.bin");
    let before = memory(&managed.node);
    all_arrives(&managed.node, &public);
    let after = memory(&managed.node);
    // nothing has grown but what the site keeps within its limit
    assert!(after.0 <= before.0 + (after.1.saturating_sub(before.1)) + (4 << 20), "{before:?} {after:?}");
    assert_eq!(managed.title(), "<title>one</title>");

    let (old, new) = (public.join("small7.bin"), folder.path().join("small7.bin"));
    fs::copy(&old, &new).expect("copied");
    write_noise(&old, 99, 80_000);
    people.write("public/index.html", "<title>two</title>");
    let said = managed.obeyed("anna", &strs(&managed.deploys(&["deploy"])));
    assert_eq!(managed.title(), "<title>two</title>", "{}{}", said.out, said.err);
    for name in ["/small7.bin", "/small29.bin", "/large1.bin"] {
        arrives(&managed.node, &public, name);
    }
    let later = memory(&managed.node);
    assert!(later.0 <= before.0 + (8 << 20), "what ran before is gone: {before:?} {later:?}");

    managed.obeyed("anna", &["rollback", "--trial", "1"]);
    fs::copy(&new, &old).expect("copied");
    assert_eq!(managed.title(), "<title>one</title>");
    arrives(&managed.node, &public, "/small7.bin");
    arrives(&managed.node, &public, &format!("/large{}.bin", LARGE - 1));
    managed.node.power_off();
}
