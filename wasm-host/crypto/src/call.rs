//! What is safe to call: arguments are checked here, whoever they come from.
#![allow(unsafe_code)]

use crate::{
    Aead, Group, MAX_ADDITIONAL, MAX_DATA, MAX_PUBLIC, MAX_SIGNATURE, NONCE, Place, Refused, SECRET, TAG, Table,
};
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use zeroize::Zeroizing;

/// The platform's cryptography.
#[derive(Clone, Copy)]
pub struct Crypto(&'static Table);

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crypto")
    }
}

/// A key of authenticated encryption.
pub struct AeadKey(Key);
/// A private key for one key exchange.
pub struct Secret(Key);
/// A private key that signs.
pub struct SigningKey(Key);

/// Of the kind that its owner says.
struct Key {
    table: &'static Table,
    /// one
    place: Box<[Place]>,
}

// SAFETY: a place is bytes that only the functions of the table read, and they keep nothing else and know no threads.
unsafe impl Send for Key {}
// SAFETY: as above; a shared key is only read.
unsafe impl Sync for Key {}

impl Key {
    fn make(table: &'static Table, make: impl FnOnce(*mut Place) -> u32) -> Result<Key, Refused> {
        let mut place = Vec::new();
        place.try_reserve_exact(1).map_err(|_| Refused::Memory)?;
        place.push(Place::empty());
        let mut place = place.into_boxed_slice();
        if make(place.as_mut_ptr()) == 1 { Ok(Key { table, place }) } else { Err(Refused::Invalid) }
    }
}

fn within(bytes: &[u8], most: usize) -> Result<(), Refused> {
    if bytes.len() <= most { Ok(()) } else { Err(Refused::Length) }
}

const fn valid(answer: u32) -> Result<(), Refused> {
    if answer == 1 { Ok(()) } else { Err(Refused::Invalid) }
}

impl Crypto {
    /// Bytes that a key takes.
    pub const KEY: usize = size_of::<Place>();

    /// # Safety
    /// The functions do what the table says of them.
    pub const unsafe fn new(table: &'static Table) -> Self {
        Crypto(table)
    }

    /// Whether AES-GCM is faster than ChaCha20-Poly1305 here.
    pub fn fast_aes(self) -> bool {
        // SAFETY: it takes nothing.
        unsafe { (self.0.fast_aes)() == 1 }
    }

    /// # Errors
    /// The key has another length.
    pub fn aead_key(self, aead: Aead, key: &[u8]) -> Result<AeadKey, Refused> {
        if key.len() != aead.key() {
            return Err(Refused::Length);
        }
        // SAFETY: the key is a slice, and the place is the new key's own.
        Key::make(self.0, |place| unsafe { (self.0.aead_key)(aead as u32, key.as_ptr(), key.len(), place) })
            .map(AeadKey)
    }

    /// # Errors
    /// There is no memory or no randomness.
    pub fn secret(self, group: Group) -> Result<Secret, Refused> {
        // SAFETY: the place is the new key's own.
        Key::make(self.0, |place| unsafe { (self.0.secret)(group as u32, place) }).map(Secret)
    }

    /// The private key of a key exchange of these bytes, for published vectors.
    pub(crate) fn given(
        self,
        given: crate::vectors::Given,
        group: Group,
        private: &[u8; SECRET],
    ) -> Result<Secret, Refused> {
        // SAFETY: the place is the new key's own.
        Key::make(self.0, |place| unsafe { given(group as u32, private, place) }).map(Secret)
    }

    /// A key that signs by ECDSA with P-256 and SHA-256. `public`: its public key, uncompressed.
    ///
    /// # Errors
    /// They are no keys of P-256, or not of each other.
    pub fn signing_key(self, private: &[u8], public: &[u8]) -> Result<SigningKey, Refused> {
        let private: &[u8; SECRET] = private.try_into().map_err(|_| Refused::Length)?;
        within(public, MAX_PUBLIC)?;
        let made = Key::make(self.0, |place| {
            // SAFETY: both keys are slices, and the place is the new key's own.
            unsafe { (self.0.signing_key)(private, public.as_ptr(), public.len(), place) }
        });
        made.map(SigningKey)
    }

    /// Whether a signature (DER) by ECDSA with P-256 and SHA-256 is that of the key.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(self, public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refused> {
        within(public, MAX_PUBLIC)?;
        within(message, MAX_DATA)?;
        within(signature, MAX_SIGNATURE)?;
        // SAFETY: all three are slices.
        valid(unsafe {
            (self.0.verify)(
                public.as_ptr(),
                public.len(),
                message.as_ptr(),
                message.len(),
                signature.as_ptr(),
                signature.len(),
            )
        })
    }
}

impl AeadKey {
    /// Encrypts in place. A nonce may be used once with a key: that is the caller's to see to.
    ///
    /// # Errors
    /// An argument is too long, or the nonce is none.
    pub fn seal(&self, nonce: &[u8], additional: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        let nonce: &[u8; NONCE] = nonce.try_into().map_err(|_| Refused::Length)?;
        within(additional, MAX_ADDITIONAL)?;
        within(data, MAX_DATA)?;
        let mut tag = [0; TAG];
        let Key { table, place } = &self.0;
        // SAFETY: `aead_key` has made the key; the others are slices and arrays.
        valid(unsafe {
            (table.seal)(
                place.as_ptr(),
                nonce,
                additional.as_ptr(),
                additional.len(),
                data.as_mut_ptr(),
                data.len(),
                &raw mut tag,
            )
        })?;
        Ok(tag)
    }

    /// Decrypts in place what ends with its tag, and yields the length of what was sealed.
    ///
    /// # Errors
    /// It was not sealed so: what is there then is nothing. Or an argument is too long, or too short.
    pub fn open(&self, nonce: &[u8], additional: &[u8], sealed: &mut [u8]) -> Result<usize, Refused> {
        let nonce: &[u8; NONCE] = nonce.try_into().map_err(|_| Refused::Length)?;
        within(additional, MAX_ADDITIONAL)?;
        let (data, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(Refused::Length)?;
        within(data, MAX_DATA)?;
        let Key { table, place } = &self.0;
        // SAFETY: as for `seal`.
        valid(unsafe {
            (table.open)(
                place.as_ptr(),
                nonce,
                additional.as_ptr(),
                additional.len(),
                data.as_mut_ptr(),
                data.len(),
                &raw const *tag,
            )
        })?;
        Ok(data.len())
    }
}

impl Secret {
    /// The public key: 32 bytes of X25519, or a point of P-256, uncompressed.
    pub fn public(&self) -> Vec<u8> {
        let mut public = [0; MAX_PUBLIC];
        let Key { table, place } = &self.0;
        // SAFETY: `secret` has made the key.
        let length = unsafe { (table.public)(place.as_ptr(), &raw mut public) };
        public[..length.min(MAX_PUBLIC)].to_vec()
    }

    /// What both sides know then: of P-256 the x coordinate (RFC 8446, section 7.4.2).
    ///
    /// # Errors
    /// The other's public key is none, or one that leaves nothing secret.
    pub fn agree(mut self, public: &[u8]) -> Result<Zeroizing<[u8; SECRET]>, Refused> {
        within(public, MAX_PUBLIC)?;
        let mut shared = Zeroizing::new([0; SECRET]);
        let Key { table, place } = &mut self.0;
        // SAFETY: `secret` has made the key, which is not used again.
        valid(unsafe { (table.agree)(place.as_mut_ptr(), public.as_ptr(), public.len(), &raw mut *shared) })?;
        Ok(shared)
    }
}

impl SigningKey {
    /// A signature in DER. It is another one each time.
    ///
    /// # Errors
    /// The message is too long.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Refused> {
        within(message, MAX_DATA)?;
        let mut signature = [0; MAX_SIGNATURE];
        let Key { table, place } = &self.0;
        // SAFETY: `signing_key` has made the key.
        let length = unsafe { (table.sign)(place.as_ptr(), message.as_ptr(), message.len(), &raw mut signature) };
        if (1..=MAX_SIGNATURE).contains(&length) { Ok(signature[..length].to_vec()) } else { Err(Refused::Invalid) }
    }
}
