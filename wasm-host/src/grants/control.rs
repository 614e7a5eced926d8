//! `pearwood:control/node`: the power over the node. Only a box with that arrow is linked to it.

use crate::{
    arrows::{Bytes, Cut},
    boxes::State,
    node::Node,
};
use alloc::{format, string::String, sync::Arc};
use manage::{Request, Response, Role};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{Linker, WasmList},
};

const CONTROL: &str = "pearwood:control/node";

/// The most bytes of a request: one that begins an image has its manifest.
const MAX_REQUEST: usize = (1 << 20) + 256;

/// The most bytes of a name that a box says.
const MAX_NAME: usize = 128;

const NO_PLACE: &str = "another box has the power over the node now: connect again";

type Cx<'a> = StoreContextMut<'a, State>;

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance(&format!("{CONTROL}@0.2.0"))?;
    interface.func_wrap("ask", |mut cx: Cx<'_>, (by, request): (Cut<MAX_NAME>, WasmList<u8>)| {
        let node = node(&cx)?;
        let handle = cx.data().handle.clone();
        // the request lies in the box's memory while the upload, which is the store's, takes what it brings
        let mut upload = cx.data_mut().upload.take();
        let bytes = request.as_le_slice(&cx);
        let response =
            match Some(bytes).filter(|bytes| bytes.len() <= MAX_REQUEST).and_then(manage::decode::<Request<'_>>) {
                None => Response::Refused("this node does not know such a request".into()),
                // the power goes with the box's place
                Some(request) if request.needs() > Role::View && !node.has_place(&handle) => {
                    Response::Refused(NO_PLACE.into())
                }
                Some(request) => node.answer(&line(&by), &handle.name, &mut upload, &request),
            };
        cx.data_mut().upload = upload;
        Ok((Bytes::from(manage::encode(&response)),))
    })?;
    interface.func_wrap("boot-secret", |cx: Cx<'_>, (): ()| Ok((Bytes::from(node(&cx)?.boot_secret().to_vec()),)))
}

fn node(cx: &Cx<'_>) -> Result<Arc<Node>> {
    cx.data().handle.node().ok_or_else(|| Error::msg("the node is gone"))
}

/// What a box says, as part of a line.
fn line(text: &Cut<MAX_NAME>) -> String {
    let cut = &text.0[..text.0.floor_char_boundary(MAX_NAME)];
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
