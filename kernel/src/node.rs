//! From the machine to the system that runs on it.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use wasm_host::{
    engine::KERNEL_TRIPLE,
    image::{Image, PublicKey, vector_hash},
    node::{Node, Setup},
};

use crate::{
    boot::Boot,
    clock::timer,
    platform::{self, Machine},
    power,
};

/// Runs the system in the image for good. An image that cannot run is reported, and the machine stops.
pub fn run(machine: &'static Machine, image: &'static [u8], boot: Boot) -> ! {
    let node = open(image, &boot)
        .and_then(|image| {
            let configure = &mut platform::configure;
            let setup = Setup { platform: machine, image, target: KERNEL_TRIPLE, configure, stand_ins: &[] };
            Node::start(setup).map_err(|error| explain("the system does not start", error))
        })
        .unwrap_or_else(|error| {
            log::error!("{error}");
            power::stop()
        });
    let engine = node.engine().clone();
    timer::start(move || engine.increment_epoch());
    node.run()
}

fn open(image: &'static [u8], boot: &Boot) -> Result<&'static Image<'static>, String> {
    if image.is_empty() {
        return Err("there is no image: the boot loader should load one as the first module (QEMU: -initrd)".into());
    }
    let trusted: Vec<PublicKey> = boot
        .arguments("trust")
        .map(|key| key.parse().map_err(|error| explain("kernel command line: trust", error)))
        .collect::<Result<_, _>>()?;
    let image = Image::open(image, &trusted).map_err(|error| explain("the image is refused", error))?;
    let image = image.with_hasher(vector_hash);
    Ok(Box::leak(Box::new(image)))
}

fn explain(what: &str, error: impl fmt::Display) -> String {
    alloc::format!("{what}: {error}")
}
