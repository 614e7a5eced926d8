//! `pearwood:control/node`: the power over the node. Only a box with that arrow is linked to it.

use crate::{
    arrows::{Bytes, Cut},
    boxes::State,
    deploy::Options,
    node::{Node, history, status},
};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower, WasmList},
};

const CONTROL: &str = "pearwood:control/node";

/// The most bytes of a manifest.
const MAX_MANIFEST: usize = 1 << 20;

/// The most bytes of a name that a box says.
const MAX_NAME: usize = 128;

type Name = Cut<MAX_NAME>;

const NO_PLACE: &str = "another box has the power over the node now: connect again";

#[derive(ComponentType, Lower)]
#[component(record)]
struct Successor {
    settings: Option<Vec<(String, String)>>,
    #[component(name = "is-other")]
    is_other: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Settings {
    by: Name,
    ready: u64,
    drain: u64,
    trial: u64,
    #[component(name = "same-authority")]
    same_authority: bool,
    #[component(name = "other-system")]
    other_system: bool,
}

type Cx<'a> = StoreContextMut<'a, State>;
type Refusable<T> = Result<(core::result::Result<T, String>,)>;

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance(&format!("{CONTROL}@0.2.0"))?;
    interface.func_wrap("describe", |cx: Cx<'_>, (): ()| Ok((status::json(&*node(&cx)?),)))?;
    interface.func_wrap("system", |cx: Cx<'_>, (): ()| Ok((node(&cx)?.source(),)))?;
    interface.func_wrap("logs", |cx: Cx<'_>, (name, first): (Name, u64)| -> Refusable<String> {
        Ok((node(&cx)?.log_json(&text(&name), first),))
    })?;
    interface.func_wrap("restart", |cx: Cx<'_>, (name, by): (Name, Name)| -> Refusable<()> {
        let (name, by) = (text(&name), text(&by));
        Ok((placed(&cx).and_then(|node| node.restart_box(&name, &by)),))
    })?;
    interface.func_wrap("stop", |cx: Cx<'_>, (name, by): (Name, Name)| -> Refusable<()> {
        let (name, by) = (text(&name), text(&by));
        Ok((placed(&cx).and_then(|node| node.stop_box(&name, &by, &cx.data().handle.name)),))
    })?;
    interface.func_wrap("start", |cx: Cx<'_>, (name, by): (Name, Name)| -> Refusable<()> {
        let (name, by) = (text(&name), text(&by));
        Ok((placed(&cx).and_then(|node| node.start_box(&name, &by)),))
    })?;
    interface.func_wrap("history", |cx: Cx<'_>, (): ()| Ok((history::json(&*node(&cx)?),)))?;
    interface.func_wrap("roll-back", |cx: Cx<'_>, (settings,): (Settings,)| -> Refusable<u64> {
        let options = options(&settings);
        Ok((placed(&cx).and_then(|node| node.roll_back(options)),))
    })?;
    interface.func_wrap("successor", |cx: Cx<'_>, (begun,): (bool,)| -> Refusable<Option<Successor>> {
        let upload = cx.data().upload.as_ref();
        let successor = match (begun, upload) {
            (true, None) => Err(none_begun()),
            (_, upload) => node(&cx)?.successor(upload.filter(|_| begun)),
        };
        Ok((successor.map(|it| it.map(|it| Successor { settings: it.settings, is_other: it.is_other })),))
    })?;
    interface.func_wrap("begin", |mut cx: Cx<'_>, (manifest,): (WasmList<u8>,)| -> Refusable<u64> {
        let node = match placed(&cx) {
            Ok(node) => node,
            Err(why) => return Ok((Err(why),)),
        };
        let manifest = manifest.as_le_slice(&cx);
        if manifest.len() > MAX_MANIFEST {
            return Ok((Err(format!("a manifest of more than {} KiB", MAX_MANIFEST >> 10)),));
        }
        let manifest = manifest.to_vec();
        cx.data_mut().upload = None;
        let asker = cx.data().handle.name.clone();
        let begun = node.begin_upload(manifest, &asker).map(|upload| {
            let upload = cx.data_mut().upload.insert(upload);
            upload.missing_bytes()
        });
        Ok((begun,))
    })?;
    interface.func_wrap("lacks", |cx: Cx<'_>, (): ()| -> Refusable<Bytes> {
        let lacks = cx.data().upload.as_ref().map(|upload| Bytes::from(upload.lacks()));
        Ok((lacks.ok_or_else(none_begun),))
    })?;
    interface.func_wrap("put", |mut cx: Cx<'_>, (hash, length, offset, part): Put| -> Refusable<()> {
        // the parts lie in the box's memory while the upload, which is the store's, takes them
        let Some(mut upload) = cx.data_mut().upload.take() else { return Ok((Err(none_begun()),)) };
        let put = upload.put(hash.as_le_slice(&cx), length, offset, part.as_le_slice(&cx));
        cx.data_mut().upload = Some(upload);
        Ok((put,))
    })?;
    interface.func_wrap("deploy", |mut cx: Cx<'_>, (settings,): (Settings,)| -> Refusable<u64> {
        let options = options(&settings);
        Ok((placed(&cx).and_then(|node| node.deploy_upload(&mut cx.data_mut().upload, options)),))
    })?;
    interface.func_wrap("forget", |mut cx: Cx<'_>, (): ()| {
        cx.data_mut().upload = None;
        Ok(())
    })?;
    interface.func_wrap("boot-secret", |cx: Cx<'_>, (): ()| Ok((Bytes::from(node(&cx)?.boot_secret().to_vec()),)))
}

type Put = (WasmList<u8>, u64, u64, WasmList<u8>);

fn none_begun() -> String {
    "no image was begun".into()
}

fn node(cx: &Cx<'_>) -> Result<Arc<Node>> {
    cx.data().handle.node().ok_or_else(|| Error::msg("the node is gone"))
}

/// For what changes something: the power goes with the box's place.
fn placed(cx: &Cx<'_>) -> core::result::Result<Arc<Node>, String> {
    let handle = &cx.data().handle;
    let node = handle.node().ok_or("the node is gone")?;
    if node.has_place(handle) { Ok(node) } else { Err(NO_PLACE.into()) }
}

/// What a box says, as part of a line.
fn text(text: &Name) -> String {
    let cut = &text.0[..text.0.floor_char_boundary(MAX_NAME)];
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn options(settings: &Settings) -> Options {
    let Settings { by, ready, drain, trial, same_authority, other_system } = settings;
    Options {
        by: text(by),
        ready: *ready,
        drain: *drain,
        trial: *trial,
        same_authority: *same_authority,
        other_system: *other_system,
        ..Options::default()
    }
}
