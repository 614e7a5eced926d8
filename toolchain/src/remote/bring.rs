//! A system is built for a node, signed, and brought to it.

use super::{Remote, Sent, send_image};
use crate::build::{self, Components, Target};
use crate::keys;
use anyhow::{Context, Result, bail};
use manage::{Request, Response, Settings};
use wasm_host::engine::KERNEL_TRIPLE;

/// What is brought.
pub struct Brought<'a> {
    pub system: &'a Components,
    /// the name of the key that signs it
    pub sign: &'a str,
    /// None: of the time at which it is made
    pub version: Option<u64>,
}

/// Begins a deployment, and yields its number; none if the node runs this system already. `progress` is told what was sent
/// so far, and how much the image has.
pub fn bring(
    remote: &mut Remote,
    brought: &Brought<'_>,
    settings: Settings,
    mut progress: impl FnMut(Sent, u64),
) -> Result<Option<u64>> {
    remote.expect(&brought.system.system);
    let target = match remote.describe()?.target.as_str() {
        KERNEL_TRIPLE => Target::Kernel,
        _ => Target::Native,
    };
    let key = keys::find(brought.sign)?;
    let packed = build::pack(brought.system, target, &key, brought.version)?;
    let (length, trusted) = (packed.length, [key.public()]);
    let image = packed.open(&trusted).context("the image that was just made")?;
    // building may have taken longer than a connection stays
    *remote = remote.again()?;
    let sent = send_image(remote, &image, |sent| progress(sent, length))?;
    progress(sent, length);
    match remote.ask(&Request::Deploy(settings))? {
        Response::Number(number) => Ok(Some(number)),
        Response::Done => Ok(None),
        _ => bail!("node {}: the answer is of another kind", remote.node),
    }
}
