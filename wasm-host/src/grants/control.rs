//! `pearwood:control/node`: the power over the node. Only a box with that arrow is linked to it.

use crate::{
    arrows::Bytes,
    boxes::State,
    deploy::Options,
    node::{Node, history, status},
    system::known::CONTROL,
};
use alloc::{format, string::String, sync::Arc};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, WasmList, WasmStr},
};

/// The most bytes of a manifest.
const MAX_MANIFEST: usize = 1 << 20;

/// The most bytes of a name that a box says.
const MAX_NAME: usize = 128;

#[derive(ComponentType, Lift)]
#[component(record)]
struct Settings {
    by: WasmStr,
    ready: u64,
    drain: u64,
    trial: u64,
}

type Cx<'a> = StoreContextMut<'a, State>;
type Refusable<T> = Result<(Result<T, String>,)>;

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance(&format!("{CONTROL}@0.1.0"))?;
    interface.func_wrap("describe", |cx: Cx<'_>, (): ()| Ok((status::json(&*node(&cx)?),)))?;
    interface.func_wrap("system", |cx: Cx<'_>, (): ()| Ok((node(&cx)?.running().system.source.text.clone(),)))?;
    interface.func_wrap("graph", |cx: Cx<'_>, (): ()| Ok((node(&cx)?.drawing(),)))?;
    interface.func_wrap("logs", |cx: Cx<'_>, (name, first): (WasmStr, u64)| -> Refusable<String> {
        Ok((node(&cx)?.log_json(&text(&cx, &name)?, first),))
    })?;
    interface.func_wrap("restart", |cx: Cx<'_>, (name, by): (WasmStr, WasmStr)| -> Refusable<()> {
        Ok((node(&cx)?.restart_box(&text(&cx, &name)?, &text(&cx, &by)?),))
    })?;
    interface.func_wrap("stop", |cx: Cx<'_>, (name, by): (WasmStr, WasmStr)| -> Refusable<()> {
        let asker = cx.data().handle.name.clone();
        Ok((node(&cx)?.stop_box(&text(&cx, &name)?, &text(&cx, &by)?, &asker),))
    })?;
    interface.func_wrap("start", |cx: Cx<'_>, (name, by): (WasmStr, WasmStr)| -> Refusable<()> {
        Ok((node(&cx)?.start_box(&text(&cx, &name)?, &text(&cx, &by)?),))
    })?;
    interface.func_wrap("history", |cx: Cx<'_>, (): ()| Ok((history::json(&*node(&cx)?),)))?;
    interface.func_wrap("roll-back", |cx: Cx<'_>, (settings,): (Settings,)| -> Refusable<u64> {
        let options = options(&cx, &settings)?;
        Ok((node(&cx)?.roll_back(options),))
    })?;
    interface.func_wrap("begin", |mut cx: Cx<'_>, (manifest,): (WasmList<u8>,)| -> Refusable<u64> {
        let node = node(&cx)?;
        let manifest = manifest.as_le_slice(&cx);
        if manifest.len() > MAX_MANIFEST {
            return Ok((Err(format!("a manifest of more than {} KiB", MAX_MANIFEST >> 10)),));
        }
        let manifest = manifest.to_vec();
        cx.data_mut().upload = None;
        let begun = node.begin_upload(manifest).map(|upload| {
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
        let (node, options) = (node(&cx)?, options(&cx, &settings)?);
        Ok((node.deploy_upload(&mut cx.data_mut().upload, options),))
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

/// What a box says, as part of a line.
fn text(cx: &Cx<'_>, text: &WasmStr) -> Result<String> {
    let text = text.to_str(cx)?;
    let cut = &text[..text.floor_char_boundary(MAX_NAME)];
    Ok(cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

fn options(cx: &Cx<'_>, settings: &Settings) -> Result<Options> {
    let Settings { by, ready, drain, trial } = settings;
    Ok(Options { by: text(cx, by)?, ready: *ready, drain: *drain, trial: *trial, ..Options::default() })
}
