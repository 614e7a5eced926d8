//! From the machine to the system that runs on it.

mod slots;

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;

use wasm_host::{
    engine::KERNEL_TRIPLE,
    image::{Hasher, Image, PublicKey, endorsed, vector_hash, wide_vector_hash},
    node::{Node, Setup},
};

use crate::{
    boot::Boot,
    clock::timer,
    cpu::features,
    platform::{self, Machine},
    power,
};

/// Runs a system for good: the one that the machine's disk holds, or that of the image which the boot loader brought. If
/// neither can run, that is reported, and the machine stops.
pub fn run(machine: &'static Machine, module: &'static [u8], boot: Boot) -> ! {
    let node = trusted(&boot).and_then(|trusted| {
        let module = open(module, &trusted);
        match slots::start(machine, &boot, module.as_ref().ok(), &trusted) {
            None => start(machine, module?, &trusted),
            Some(node) => {
                if let Err(error) = module {
                    log::warn!("{error}; the disk's system runs");
                }
                Ok(node)
            }
        }
    });
    let node = node.unwrap_or_else(|error| {
        log::error!("{error}");
        power::stop()
    });
    let engines = node.engines().clone();
    timer::start(move || engines.increment_epoch());
    node.run()
}

/// The keys that sign what may run here.
fn trusted(boot: &Boot) -> Result<Vec<PublicKey>, String> {
    let keys = boot.arguments("trust");
    keys.map(|key| key.parse().map_err(|error| explain("kernel command line: trust", error))).collect()
}

/// The image that the boot loader brought.
fn open(image: &'static [u8], trusted: &[PublicKey]) -> Result<Arc<Image<'static>>, String> {
    if image.is_empty() {
        return Err("there is no image: the boot loader should load one as the first module (QEMU: -initrd)".into());
    }
    let image =
        Image::open(image, &endorsed(image, trusted)).map_err(|error| explain("the image is refused", error))?;
    Ok(Arc::new(image.with_hasher(hasher())))
}

/// How content is hashed on this processor.
fn hasher() -> Hasher {
    if features::detect("avx2") == Some(true) { wide_vector_hash } else { vector_hash }
}

fn start(machine: &'static Machine, image: Arc<Image<'static>>, trusted: &[PublicKey]) -> Result<Arc<Node>, String> {
    let setup = Setup {
        platform: machine,
        image,
        target: KERNEL_TRIPLE,
        configure: platform::configure,
        trusted,
        stand_ins: &[],
    };
    Node::start(setup).map_err(|error| explain("the system does not start", error))
}

fn explain(what: &str, error: impl fmt::Display) -> String {
    alloc::format!("{what}: {error}")
}
