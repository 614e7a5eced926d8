//! The system that the machine's disk holds.
//!
//! Which disk that is, is for the operator to say (`slot=disk1` on the kernel's command line), or for the boot loader's
//! image, whose declaration names it; if there is no such image, it is the first. `slot=module` has the image run,
//! whatever the disk holds.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
};
use core::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasm_host::{
    image::{Image, PublicKey},
    node::Node,
    plan::SystemDisk,
    platform::{Nanos, Platform},
    slots::{Chosen, DEFAULT_RESERVE, Kept, MAX_ATTEMPTS, SlotName, Store},
};

use super::start as start_image;
use crate::{boot::Boot, platform::Machine};

/// The value of `slot` for the boot loader's image.
const MODULE: &str = "module";

/// Where a system is looked for if the boot loader brings none.
const FIRST: &str = "disk0";

/// How long the disk may take for one step, at most.
const PATIENCE: Nanos = 120_000_000_000;

/// Starts the system that the disk holds. None if the boot loader's is to run, and why is in the log.
pub fn start(
    machine: &'static Machine,
    boot: &Boot,
    module: Option<&Arc<Image<'static>>>,
    trusted: &[PublicKey],
) -> Option<Arc<Node>> {
    let asked = boot.argument("slot");
    let declared = module.and_then(|image| image.plan().ok()).and_then(|plan| plan.disk);
    let device = match (asked.filter(|asked| *asked != MODULE), &declared, module) {
        (Some(asked), ..) => asked,
        (None, Some(disk), _) => disk.device.as_str(),
        (None, None, None) if machine.disk(FIRST).is_some() => FIRST,
        (None, None, _) => return None,
    };
    let store = match open(machine, device, declared.as_ref()) {
        Ok(Some(store)) => Arc::new(store.with_hasher(super::hasher())),
        Ok(None) => {
            log::info!("{device}: it has no slots for systems");
            return None;
        }
        Err(error) => return complain(device, &error),
    };
    machine.keep_in(store.clone());
    if asked == Some(MODULE) {
        log::info!("{device}: its slots are not looked at, as asked for");
        return None;
    }
    // each round but the last gives a slot up
    for _ in 0..=SlotName::ALL.len() {
        let chosen = choose(machine, device, &store, trusted)?;
        let slot = chosen.slot;
        let why = match start_chosen(machine, device, chosen, trusted) {
            Ok(node) => return Some(node),
            Err(error) => error,
        };
        log::error!("{device}: {why}");
        // What was good once may be so again at another boot. At this one the other has its turn.
        store.set_aside(slot);
        match wait(machine, store.mark_failed(&why)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log::error!("{device}: that it failed cannot be written down: {error}"),
            Err(error) => log::error!("{device}: that it failed cannot be written down: {error}"),
        }
    }
    None
}

fn complain<T>(device: &str, error: &str) -> Option<T> {
    log::error!("{device}: {error}");
    None
}

/// The disk's slots. If the system's declaration wants some, and the disk has none and is Pearwood's or blank, they are made.
fn open(machine: &'static Machine, device: &str, declared: Option<&SystemDisk>) -> Result<Option<Store>, String> {
    if machine.disk(device).is_none() {
        return match declared {
            Some(_) => Err("this machine has no such disk, so no other system can be kept".into()),
            None => Err("this machine has no such disk".into()),
        };
    }
    let declared = declared.filter(|declared| declared.device == device);
    let mut tell = |line: String| log::info!("{device}: {line}");
    let reserve = declared.map(|declared| declared.reserve);
    let slots = wait(machine, machine.volumes().slots(machine, device, reserve, &mut tell))?;
    let store = slots.map_err(|why| match reserve {
        Some(DEFAULT_RESERVE) => format!("the system's slots: {why}; `[system] disk` can reserve less"),
        _ => format!("the system's slots: {why}"),
    })?;
    if let Some((store, declared)) = store.as_ref().zip(declared) {
        let (is, wanted) = (store.reserve() >> 20, declared.reserve >> 20);
        if declared.reserve.abs_diff(store.reserve()) >= 1 << 20 {
            log::warn!(
                "{device}: {wanted} MiB are to be reserved, and {is} MiB are since the first start: that stays so"
            );
        }
    }
    Ok(store)
}

fn choose(machine: &'static Machine, device: &str, store: &Store, trusted: &[PublicKey]) -> Option<Chosen> {
    let accept = |image: &Kept| image.check(trusted).map_err(|error| format!("the image is refused: {error}"));
    let tell = |line: String| log::warn!("{device}: {line}");
    let memory = machine.memory();
    // what an image of a deployment may take, too
    let most = memory.total.saturating_sub(memory.frames) / 2;
    match wait(machine, store.choose(most, accept, tell)) {
        Ok(Some(chosen)) => Some(chosen),
        Ok(None) => {
            log::info!("{device}: no slot holds a system that could be started; the boot loader's is");
            None
        }
        Err(error) => complain(device, &error),
    }
}

fn start_chosen(
    machine: &'static Machine,
    device: &str,
    chosen: Chosen,
    trusted: &[PublicKey],
) -> Result<Arc<Node>, String> {
    let Chosen { slot, deploy, image, length, attempt } = chosen;
    let attempt = attempt.map(|attempt| format!(", attempt {attempt} of {MAX_ATTEMPTS}")).unwrap_or_default();
    let how = if image.rest.is_some() { ", its files read as they are asked for" } else { "" };
    log::info!("{device}: starts deploy {deploy} from slot {slot}, {} KiB{how}{attempt}", length >> 10);
    let image = image.open(trusted).map_err(|error| error.to_string())?;
    start_image(machine, Arc::new(image.with_hasher(super::hasher())), trusted)
}

/// Waits for the disk, before there is an executor.
fn wait<F: Future>(machine: &Machine, future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    let end = machine.now() + PATIENCE;
    loop {
        machine.poll();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Ok(output);
        }
        if machine.now() >= end {
            return Err("the disk does not answer".into());
        }
        machine.idle(Some(end));
    }
}
