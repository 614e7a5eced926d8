//! Images that a node must not run: it says why, and ends. And those that it may.

use pearwood::system::{Place, Trusted};
use pearwood::{
    build::{self, Target},
    node::{End, Qemu},
};
use std::path::PathBuf;
use tests::node::{PATIENCE, example, workspace};
use wasm_host::image::SecretKey;

/// Whether the node says this of an image, and ends.
fn is_refused(name: &str, image: &[u8], trust: &str, reason: &str) {
    let directory = tempfile::tempdir().expect("a folder");
    let path: PathBuf = directory.path().join(name);
    std::fs::write(&path, image).expect("written");
    let machine = Qemu::new(&example("bench").kernel).image(&path).kernel_argument(format!("trust={trust}"));
    let node = machine.start().expect("QEMU");
    assert_eq!(node.wait(PATIENCE).expect("it ends"), End::Failed, "{name}: {}", node.console().end());
    node.console().wait_for(reason, PATIENCE).unwrap_or_else(|error| panic!("{name}: {error:#}"));
}

#[test]
fn bad_images_are_refused_with_a_reason() {
    let launch = example("bench");
    let good = std::fs::read(&launch.image).expect("the image");
    let stranger = SecretKey::from_seed(&[9; 32]).public().to_string();

    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
    let mut unsigned = good.clone();
    unsigned[24..96].fill(0);
    let mut resigned = good.clone();
    resigned[40] ^= 1;

    for (name, image, trust, reason) in [
        ("truncated", &good[..good.len() / 2], &launch.trust, "is cut off"),
        (
            "no image",
            b"not an image, but long enough to be looked at as if it were one of those".as_slice(),
            &launch.trust,
            "not an image of a system",
        ),
        ("unsigned", &unsigned, &launch.trust, "the image is not signed"),
        ("wrongly signed", &good, &stranger, "which the node does not trust"),
        ("resigned", &resigned, &launch.trust, "was changed after it was signed"),
        ("corrupt", &corrupt, &launch.trust, "is corrupt: its bytes are not those that were signed"),
    ] {
        is_refused(name, image, trust, reason);
    }
}

/// Kernels without WASI are smaller; what they cannot run they say.
#[test]
fn a_node_without_wasi_says_so() {
    let launch = example("wasi");
    assert_ne!(launch.kernel, example("bench").kernel);
    let image = std::fs::read(&launch.image).expect("the image");
    is_refused("wasi", &image, &launch.trust, "this node was built without WASI");
}

/// A key that one that is trusted has vouched for: the boot loader's image starts, and no other of that key.
#[test]
fn an_image_of_an_endorsed_key_starts() {
    let launch = example("bench");
    let (old, new) = (build::development_key().expect("a key"), SecretKey::from_seed(&[9; 32]));
    let mut components = build::components(&workspace().join("examples/bench")).expect("a system");
    let bytes = build::image(&components, Target::Kernel, &new).expect("an image");
    is_refused("not endorsed", &bytes, &launch.trust, "which the node does not trust");
    let trusted = |endorsement| Trusted { key: new.public(), endorsement, at: Place::default() };
    components.system.trust = Some(vec![trusted(Some(old.endorse(&new.public())))]);
    let bytes = build::image(&components, Target::Kernel, &new).expect("an image");
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("image");
    std::fs::write(&path, bytes).expect("written");
    let machine = Qemu::new(&launch.kernel).image(&path).kernel_argument(format!("trust={}", launch.trust));
    let node = machine.start().expect("QEMU");
    node.console().wait_for("http: listening on port 80", PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(node.power_off(PATIENCE).expect("it ends"), End::Off);
}
