//! `pearwood:box/secret`: what a box seals with what it keeps on a disk.

use crate::{arrows::Bytes, boxes::State};
use wasmtime::{Result, StoreContextMut, component::Linker};

/// Of BLAKE3's key derivation: nothing else derives keys with this context.
const CONTEXT: &str = "Pearwood 2026-11-30, the secret of a box, from the node's secret and the name of the box";

pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut interface = linker.instance("pearwood:box/secret@0.2.0")?;
    interface.func_wrap("get", |cx: StoreContextMut<'_, State>, (): ()| {
        let State { handle, platform, .. } = cx.data();
        let secret = platform.secret().map(|secret| derive(&secret, &handle.name));
        Ok((secret.map(|secret| Bytes::from(secret.to_vec())),))
    })
}

/// No box learns the node's secret, nor that of another box, from its own.
fn derive(node: &[u8; 32], name: &str) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(CONTEXT).update(node).update(name.as_bytes()).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_box_has_another_that_stays() {
        let of = |node: u8, name| derive(&[node; 32], name);
        assert_eq!(of(1, "keys"), of(1, "keys"));
        assert_ne!(of(1, "keys"), of(1, "key"));
        assert_ne!(of(1, "keys"), of(2, "keys"));
    }
}
