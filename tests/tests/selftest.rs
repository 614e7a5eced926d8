//! The kernel tests itself on the machines that it boots on: see `kernel/src/selftest`.

use pearwood::{
    build::{self, Compiler, Target},
    node::{DiskFile, End, Machine, Node, Qemu},
};
use std::path::{Path, PathBuf};
use tests::node::PATIENCE;
use wasm_host::engine::Kind;

const MIB: u64 = 1 << 20;

/// The kernel that tests itself, and the component that it does that with.
fn selftest(directory: &Path) -> Qemu {
    let kernel = build::kernel(&["selftest"]).expect("the kernel");
    let source = include_str!("../../kernel/src/selftest/component.wat");
    let component = wat::parse_str(source).expect("the component");
    let compiler = Compiler::new(Target::Kernel, Kind::Lean).expect("a compiler");
    let image = compiler.compile("selftest", &component, directory).expect("compiled");
    let path = directory.join("component.cwasm");
    std::fs::write(&path, image).expect("written");
    Qemu::new(kernel).image(path)
}

fn says(node: &Node, text: &str) {
    node.console().wait_for(text, PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
}

fn passes(node: &Node) {
    says(node, "selftest: passed");
    assert_eq!(node.wait(PATIENCE).expect("it ends"), End::Off);
}

/// Arguments for a disk that differs from those that `pearwood up` makes.
fn disk_arguments(path: &Path, drive: &str, device: &str) -> [String; 4] {
    let drive = format!("if=none,id=d,format=raw,file={},{drive}", path.display());
    ["-drive".into(), drive, "-device".into(), device.into()]
}

/// Whatever is broken, a failure of the kernel is reported once, and the machine is reset.
#[test]
fn the_kernel_reports_its_failures() {
    let directory = tempfile::tempdir().expect("a folder");
    let machine = selftest(directory.path());
    for (how, report) in [
        ("panic", "kernel panic at kernel/src/selftest/failures.rs"),
        ("null", "read of 0x8 (a null pointer)"),
        ("overflow", "(a stack overflow)"),
        ("report", "the report of a failure failed"),
        ("frames-nowhere", "kernel fault: invalid opcode"),
        ("frames-unmapped", "kernel fault: invalid opcode"),
        ("frames-guard", "kernel fault: invalid opcode"),
        ("frames-device", "kernel fault: invalid opcode"),
        ("frames-end", "kernel fault: invalid opcode"),
    ] {
        let node = machine.clone().kernel_argument(format!("fail={how}")).start().expect("QEMU");
        assert_eq!(node.wait(PATIENCE).expect("it ends"), End::Failed, "{how}: {}", node.console().end());
        says(&node, report);
        let said = node.console().end();
        assert!(said.matches("kernel panic").count() + said.matches("kernel fault").count() == 1, "{how}: {said}");
        assert_eq!(said.contains("the report of a failure failed"), how == "report", "{how}: {said}");
    }
}

#[test]
fn the_kernel_tests_itself_and_its_disk() {
    let directory = tempfile::tempdir().expect("a folder");
    let machine = selftest(directory.path());
    let file = |name: &str| -> PathBuf { directory.path().join(name) };

    // killed right after the flush, the machine finds at its next boot what it had written
    let disk = DiskFile::new(file("disk"), 5 * MIB);
    let node = machine.clone().disk(disk.clone()).start().expect("QEMU");
    says(&node, "selftest: the disk was written and flushed");
    node.kill();
    let node = machine.clone().disk(disk.clone()).start().expect("QEMU");
    says(&node, "disk0: virtio-blk at pci");
    says(&node, "selftest: the disk holds what was written before");
    passes(&node);

    // the same disk, which cannot be written now
    let read_only = disk_arguments(&disk.path, "readonly=on", "virtio-blk-pci,drive=d");
    let node = machine.clone().arguments(read_only).start().expect("QEMU");
    says(&node, "512 bytes, read-only");
    passes(&node);
    DiskFile::new(file("blank"), 5 * MIB).prepare().expect("a disk");
    let blank = disk_arguments(&file("blank"), "readonly=on", "virtio-blk-pci,drive=d");
    let node = machine.clone().arguments(blank).start().expect("QEMU");
    says(&node, "selftest: the disk can only be read");
    passes(&node);

    // without a cache of its own, and with large sectors
    let through =
        "virtio-blk-pci,drive=d,config-wce=off,write-cache=off,logical_block_size=4096,physical_block_size=4096";
    let through = disk_arguments(&file("blank"), "cache=writethrough", through);
    let node = machine.clone().arguments(through).start().expect("QEMU");
    says(&node, "sectors of 4096 bytes, write-through");
    says(&node, "selftest: the disk was written and flushed");
    passes(&node);

    // on virtio-mmio
    let node = machine.machine(Machine::Microvm).disk(disk).start().expect("QEMU");
    says(&node, "disk0: virtio-blk at virtio-mmio");
    says(&node, "selftest: the disk holds what was written before");
    passes(&node);
}
