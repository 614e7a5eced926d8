//! Boxes with disks: what was flushed is there after the machine has died.

use pearwood::node::{DiskFile, End, Forward, Node};
use std::path::Path;
use tests::{
    On,
    client::{Answer, curl},
    node::{PATIENCE, example, pearwood_command, workspace},
    on_each,
};

on_each!(a_box_counts_on_after_the_node_was_killed);

const MIB: u64 = 1 << 20;

fn says(node: &Node, text: &str) {
    node.console().wait_for(text, PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
}

fn start(on: On, disk: &DiskFile) -> Node {
    let launch = example("counter");
    let node = match on {
        On::Qemu => launch.reachable().disk(disk.clone()).start(),
        On::Linux => {
            let forwards = launch.ports().into_iter().map(|(protocol, port)| Forward::any(protocol, port));
            let system = workspace().join("examples/counter");
            pearwood::node::linux(&pearwood_command(), &system, forwards, std::slice::from_ref(disk))
        }
    };
    node.expect("a node")
}

/// Asks once the node answers: what is not counted can be asked for until then.
fn visit(node: &Node) -> Answer {
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", node.port(80));
    curl(&["--retry", "30", "--retry-delay", "1", "--retry-all-errors"], &url("/elsewhere"));
    curl(&[], &url("/"))
}

fn a_box_counts_on_after_the_node_was_killed(on: On) {
    let directory = tempfile::tempdir().expect("a folder");
    let disk = DiskFile::new(directory.path().join("disk"), 64 * MIB);
    let counted = |node: &Node| {
        let answer = visit(node);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().trim().parse::<u64>().expect("a number")
    };
    let mut expected = 0;
    for boot in 0..3 {
        let node = start(on, &disk);
        if boot == 0 && on == On::Qemu {
            says(&node, "disk0: the system's slots: made, 32 MiB");
        }
        if boot == 0 {
            says(&node, "disk0: volume `visits`: made, 1 MiB");
        }
        says(&node, &format!("visits: counts on from {expected}"));
        for _ in 0..5 {
            expected += 1;
            assert_eq!(counted(&node), expected);
        }
        node.kill();
    }
    // a restart of the box alone loses nothing either
    let node = start(on, &disk);
    assert_eq!(counted(&node), expected + 1);
    node.type_line("restart visits").expect("typed");
    says(&node, &format!("visits: counts on from {}", expected + 1));
    assert_eq!(counted(&node), expected + 2);
    assert_eq!(node.power_off(PATIENCE).expect("it ends"), End::Off);
}

#[test]
fn a_machine_without_the_disk_says_so() {
    let node = example("counter").reachable().start().expect("QEMU");
    says(&node, "disk0: this machine has no such disk, so no other system can be kept");
    says(&node, "volume `visits`: this machine has no disk `disk0`");
    assert_eq!(node.wait(PATIENCE).expect("it ends"), End::Failed);
}

/// Where the volume of the counter begins: behind the slots, which begin at 1 MiB.
const VOLUME: u64 = (1 + 32) * MIB / 512;

/// A disk that fails to write the sector in which the count is, as QEMU's `blkdebug` makes one.
fn failing(directory: &Path) -> [String; 4] {
    let rules = directory.join("rules");
    let rule = format!(
        "[inject-error]\nevent = \"write_aio\"\niotype = \"write\"\nerrno = \"5\"\nonce = \"off\"\nsector = \"{VOLUME}\"\n"
    );
    std::fs::write(&rules, rule).expect("written");
    let file = format!("blkdebug:{}:{}", rules.display(), directory.join("disk").display());
    let drive = format!("if=none,id=d,format=raw,werror=report,file={file}");
    ["-drive".into(), drive, "-device".into(), "virtio-blk-pci,drive=d".into()]
}

#[test]
fn what_a_disk_fails_to_do_a_box_is_told_and_the_node_goes_on() {
    let directory = tempfile::tempdir().expect("a folder");
    DiskFile::new(directory.path().join("disk"), 64 * MIB).prepare().expect("a disk");
    let node = example("counter").reachable().arguments(failing(directory.path())).start().expect("QEMU");
    for _ in 0..3 {
        let answer = visit(&node);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (500, "The count cannot be stored: the disk has failed to do it\n")
        );
    }
    says(&node, "visits: error: the count cannot be stored: the disk has failed");
    node.type_line("volumes").expect("typed");
    says(&node, "disk0: volume `visits`, 1 MiB, used by visits, 0 reads and 3 writes failed");
    assert_eq!(node.power_off(PATIENCE).expect("it ends"), End::Off);
}
