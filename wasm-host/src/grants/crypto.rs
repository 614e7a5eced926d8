//! `pearwood:hardware/crypto`: what the platform computes for a box that has an arrow for it. Nothing that a box passes is trusted: the
//! platform's functions are called by [`Crypto`], which checks lengths; keys and what is given back are charged to the box.

use crate::{
    arrows::Bytes,
    boxes::{Budget, Charge, State},
    platform::Crypto,
};
use alloc::{sync::Arc, vec::Vec};
use crypto::{
    Aead, AeadKey, Group, MAX_ADDITIONAL, MAX_DATA, MAX_PUBLIC, NONCE, Refused, SECRET, Secret, SigningKey, TAG,
};
use slab::Slab;
use spin::Mutex;
use wasmtime::{
    AsContext, Error, Result, StoreContext, StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType, WasmList, flags},
};

/// As the plan names it.
pub const INTERFACE: &str = "pearwood:hardware/crypto";

/// The name that it has in a linker.
const LINKED: &str = "pearwood:hardware/crypto@0.2.0";

/// What a handle takes beside its key: its place in the slab, which may be twice as long as it need be, and the charge.
const ENTRY: usize = 192;

/// The keys of an instance, by the numbers that their handles stand for.
pub struct Keys {
    keys: Slab<Held>,
    /// how many there may be
    most: usize,
    /// for the slab, whose length is that of the most keys that there were
    places: Charge,
    /// for one record: sealing and opening never fails for want of memory, which whoever has a key may rely on
    record: Arc<Mutex<Vec<u8>>>,
    record_paid: Option<Charge>,
}

/// A key, and what pays for it.
struct Held {
    key: Key,
    _charge: Charge,
}

pub enum Key {
    Aead(AeadKey),
    Secret(Secret),
    Signing(SigningKey),
}

/// The kinds of keys, of which each is a resource of the component model's.
trait Kind: Sized + 'static {
    fn of(key: &Key) -> Option<&Self>;
}

impl Kind for AeadKey {
    fn of(key: &Key) -> Option<&Self> {
        if let Key::Aead(key) = key { Some(key) } else { None }
    }
}

impl Kind for Secret {
    fn of(key: &Key) -> Option<&Self> {
        if let Key::Secret(key) = key { Some(key) } else { None }
    }
}

impl Kind for SigningKey {
    fn of(key: &Key) -> Option<&Self> {
        if let Key::Signing(key) = key { Some(key) } else { None }
    }
}

impl Keys {
    pub fn new(budget: &Arc<Budget>, most: usize) -> Self {
        Keys { keys: Slab::new(), most, places: Charge::none(budget), record: Arc::default(), record_paid: None }
    }

    /// Sees to it that there is room for a record.
    fn prepare(&mut self) -> Answer<()> {
        const RECORD: usize = MAX_DATA + TAG;
        if self.record_paid.is_none() {
            let charge = Charge::new(self.places.budget(), RECORD).ok_or(Fault::Memory)?;
            self.record.lock().try_reserve_exact(RECORD).map_err(|_| Fault::Memory)?;
            self.record_paid = Some(charge);
        }
        Ok(())
    }

    /// The room for a record, with these bytes in it.
    fn record(&self, bytes: &[u8]) -> Bytes {
        let mut record = Bytes::lend(&self.record);
        record.buffer().extend_from_slice(bytes);
        record
    }

    fn push<T>(&mut self, key: Key) -> Answer<Resource<T>> {
        if self.keys.len() >= self.most || !self.places.cover((self.keys.len() + 1) * ENTRY) {
            return Err(Fault::Memory);
        }
        let charge = Charge::new(self.places.budget(), Crypto::KEY).ok_or(Fault::Memory)?;
        let place = self.keys.insert(Held { key, _charge: charge });
        u32::try_from(place).map(Resource::new_own).map_err(|_| Fault::Memory)
    }

    /// wasmtime lets a box name handles of its own only, and of the right type.
    fn get<T: Kind>(&self, key: &Resource<T>) -> Result<&T> {
        let held = self.keys.get(key.rep() as usize);
        held.and_then(|held| T::of(&held.key)).ok_or_else(|| Error::msg(NO_KEY))
    }

    fn take(&mut self, key: u32) -> Result<Key> {
        self.keys.try_remove(key as usize).map(|held| held.key).ok_or_else(|| Error::msg(NO_KEY))
    }
}

const NO_KEY: &str = "pearwood:hardware/crypto: there is no such key";

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "wasmtime makes them from what the box passes")]
enum Cipher {
    #[component(name = "aes128-gcm")]
    Aes128Gcm,
    #[component(name = "aes256-gcm")]
    Aes256Gcm,
    #[component(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl From<Cipher> for Aead {
    fn from(cipher: Cipher) -> Self {
        match cipher {
            Cipher::Aes128Gcm => Aead::Aes128Gcm,
            Cipher::Aes256Gcm => Aead::Aes256Gcm,
            Cipher::ChaCha20Poly1305 => Aead::ChaCha20Poly1305,
        }
    }
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "wasmtime makes them from what the box passes")]
enum Curve {
    #[component(name = "x25519")]
    X25519,
    #[component(name = "p256")]
    P256,
}

impl From<Curve> for Group {
    fn from(curve: Curve) -> Self {
        match curve {
            Curve::X25519 => Group::X25519,
            Curve::P256 => Group::P256,
        }
    }
}

#[derive(ComponentType, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
enum Fault {
    #[component(name = "absent")]
    Absent,
    #[component(name = "length")]
    Length,
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "memory")]
    Memory,
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Length => Fault::Length,
            Refused::Invalid => Fault::Invalid,
            Refused::Memory => Fault::Memory,
        }
    }
}

flags! {
    Features {
        #[component(name = "here")] const HERE;
        #[component(name = "fast-aes")] const FAST_AES;
    }
}

type Answer<T> = core::result::Result<T, Fault>;

/// Bytes on their way to the box, which it pays for.
fn given(state: &State, bytes: &[u8]) -> Answer<Bytes> {
    let charge = state.charge(bytes.len() as u64).map_err(|_| Fault::Memory)?;
    Bytes::copied(bytes, charge).map_err(|_| Fault::Memory)
}

/// A list of the box's, if it has not more than so many bytes.
fn within<'a>(cx: &'a StoreContext<'_, State>, list: &'a WasmList<u8>, most: usize) -> Answer<&'a [u8]> {
    if list.len() <= most { Ok(list.as_le_slice(cx)) } else { Err(Fault::Length) }
}

type Record = (Resource<AeadKey>, WasmList<u8>, WasmList<u8>, WasmList<u8>);

fn seal(cx: StoreContext<'_, State>, (key, nonce, additional, data): &Record) -> Result<Answer<Bytes>> {
    let state = cx.data();
    let key = state.lent.get(key)?;
    let sealed = || {
        let nonce = within(&cx, nonce, NONCE)?;
        let additional = within(&cx, additional, MAX_ADDITIONAL)?;
        let mut record = state.lent.record(within(&cx, data, MAX_DATA)?);
        let tag = key.seal(nonce, additional, record.buffer())?;
        record.buffer().extend_from_slice(&tag);
        Ok(record)
    };
    Ok(sealed())
}

fn open(cx: StoreContext<'_, State>, (key, nonce, additional, sealed): &Record) -> Result<Answer<Bytes>> {
    let state = cx.data();
    let key = state.lent.get(key)?;
    let opened = || {
        let nonce = within(&cx, nonce, NONCE)?;
        let additional = within(&cx, additional, MAX_ADDITIONAL)?;
        let mut record = state.lent.record(within(&cx, sealed, MAX_DATA + TAG)?);
        let length = key.open(nonce, additional, record.buffer())?;
        record.buffer().truncate(length);
        Ok(record)
    };
    Ok(opened())
}

/// What each box can import. `lent`: what the node lends to this one.
pub fn link(linker: &mut Linker<State>, lent: Option<Crypto>) -> Result<()> {
    let here = lent.ok_or(Fault::Absent);
    let mut interface = linker.instance(LINKED)?;
    interface.resource("key", ResourceType::host::<AeadKey>(), drop_key)?;
    interface.resource("secret", ResourceType::host::<Secret>(), drop_key)?;
    interface.resource("signer", ResourceType::host::<SigningKey>(), drop_key)?;
    interface.func_wrap("has", move |_: StoreContextMut<'_, State>, (): ()| {
        let mut features = Features::default();
        if let Some(crypto) = lent {
            features |= Features::HERE;
            features |= if crypto.fast_aes() { Features::FAST_AES } else { Features::default() };
        }
        Ok((features,))
    })?;
    interface.func_wrap(
        "[static]key.make",
        move |mut cx: StoreContextMut<'_, State>, (aead, key): (Cipher, WasmList<u8>)| {
            let made = here.and_then(|crypto| {
                let cx = cx.as_context();
                Ok(crypto.aead_key(aead.into(), within(&cx, &key, SECRET)?)?)
            });
            let keys = &mut cx.data_mut().lent;
            let kept = made.and_then(|key| keys.prepare().and_then(|()| keys.push::<AeadKey>(Key::Aead(key))));
            Ok((kept,))
        },
    )?;
    interface.func_wrap("[method]key.seal", |cx: StoreContextMut<'_, State>, record: Record| {
        seal(cx.as_context(), &record).map(|sealed| (sealed,))
    })?;
    interface.func_wrap("[method]key.open", |cx: StoreContextMut<'_, State>, record: Record| {
        open(cx.as_context(), &record).map(|opened| (opened,))
    })?;
    interface.func_wrap("[static]secret.make", move |mut cx: StoreContextMut<'_, State>, (group,): (Curve,)| {
        let made = here.and_then(|crypto| Ok(crypto.secret(group.into())?));
        Ok((made.and_then(|secret| cx.data_mut().lent.push::<Secret>(Key::Secret(secret))),))
    })?;
    interface.func_wrap(
        "[method]secret.public",
        |cx: StoreContextMut<'_, State>, (secret,): (Resource<Secret>,)| {
            let public = cx.data().lent.get(&secret)?.public();
            Ok((given(cx.data(), &public),))
        },
    )?;
    interface.func_wrap(
        "[static]secret.agree",
        |mut cx: StoreContextMut<'_, State>, (secret, public): (Resource<Secret>, WasmList<u8>)| {
            let Key::Secret(secret) = cx.data_mut().lent.take(secret.rep())? else { return Err(Error::msg(NO_KEY)) };
            let cx = cx.as_context();
            let agreed = || {
                let shared = secret.agree(within(&cx, &public, MAX_PUBLIC)?)?;
                given(cx.data(), &*shared)
            };
            Ok((agreed(),))
        },
    )?;
    interface.func_wrap(
        "[static]signer.make",
        move |mut cx: StoreContextMut<'_, State>, (private, public): (WasmList<u8>, WasmList<u8>)| {
            let made = here.and_then(|crypto| {
                let cx = cx.as_context();
                Ok(crypto.signing_key(within(&cx, &private, SECRET)?, within(&cx, &public, MAX_PUBLIC)?)?)
            });
            Ok((made.and_then(|key| cx.data_mut().lent.push::<SigningKey>(Key::Signing(key))),))
        },
    )?;
    interface.func_wrap(
        "[method]signer.sign",
        |cx: StoreContextMut<'_, State>, (signer, message): (Resource<SigningKey>, WasmList<u8>)| {
            let signer = cx.data().lent.get(&signer)?;
            let cx = cx.as_context();
            let signed = || {
                let signature = signer.sign(within(&cx, &message, MAX_DATA)?)?;
                given(cx.data(), &signature)
            };
            Ok((signed(),))
        },
    )?;
    interface.func_wrap(
        "verify",
        move |cx: StoreContextMut<'_, State>, lists: (WasmList<u8>, WasmList<u8>, WasmList<u8>)| {
            let (public, message, signature) = &lists;
            let cx = cx.as_context();
            let verified = here.and_then(|crypto| {
                let (public, message) = (within(&cx, public, MAX_PUBLIC)?, within(&cx, message, MAX_DATA)?);
                Ok(crypto.verify(public, message, within(&cx, signature, crypto::MAX_SIGNATURE)?)?)
            });
            Ok((verified,))
        },
    )
}

fn drop_key(mut cx: StoreContextMut<'_, State>, key: u32) -> Result<()> {
    cx.data_mut().lent.take(key).map(drop)
}

#[cfg(all(test, feature = "build"))]
mod tests;
