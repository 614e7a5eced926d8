//! The box: [`Keys`] between its arrows. It has no loop: its functions run when another box calls them, one at a time.

mod processor;

use crate::{Config, Keys};
use bindings::exports::pearwood::keys::tls::Guest;
use sdk::bindings::pearwood::box0_2_0::{config, entropy};
use std::cell::RefCell;
use zeroize::Zeroize;

// for its allocator
use support as _;

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/keys"],
        inline: "
            package pearwood:keys-box;
            world keys {
                export pearwood:keys/tls@0.2.0;
            }
        ",
        world: "pearwood:keys-box/keys",
        generate_all,
    });
    use super::Shim;
    export!(Shim);
}

sdk::handover!(Shim);

struct Shim;

thread_local! {
    /// made at the first call
    static KEYS: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

fn make(left: Option<&[u8]>) -> Result<Keys, String> {
    processor::take();
    let mut settings = config::get();
    let read = Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    settings.iter_mut().for_each(|(_, value)| value.zeroize());
    let config = read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    Keys::new(&config, left, |buffer| {
        let mut random = entropy::get(buffer.len() as u32);
        if random.len() != buffer.len() {
            return Err("pearwood:box/entropy: fewer bytes than asked for".into());
        }
        buffer.copy_from_slice(&random);
        random.zeroize();
        Ok(())
    })
}

fn with<T>(ask: impl FnOnce(&Keys) -> Result<T, String>) -> Result<T, String> {
    KEYS.with_borrow_mut(|keys| {
        if keys.is_none() {
            *keys = Some(make(None)?);
        }
        keys.as_ref().map_or_else(|| Err("there are no keys".into()), ask)
    })
}

impl Guest for Shim {
    fn public_key(key: String) -> Result<Vec<u8>, String> {
        with(|keys| keys.public_key(&key))
    }

    fn self_signed(key: String, names: Vec<String>) -> Result<Vec<u8>, String> {
        with(|keys| keys.self_signed(&key, &names))
    }

    fn sign(key: String, message: Vec<u8>) -> Result<Vec<u8>, String> {
        with(|keys| keys.sign(&key, &message))
    }
}

impl sdk::handover::Handover for Shim {
    fn save() -> Vec<u8> {
        with(|keys| Ok(core::mem::take(&mut *keys.write()))).unwrap_or_default()
    }

    fn restore(mut state: Vec<u8>) -> Result<(), String> {
        let keys = make(Some(&state).filter(|state| !state.is_empty()).map(Vec::as_slice));
        state.zeroize();
        KEYS.set(Some(keys?));
        Ok(())
    }
}
