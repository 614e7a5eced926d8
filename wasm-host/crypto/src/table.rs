//! The C interface.

use crate::{MAX_PUBLIC, MAX_SIGNATURE, NONCE, SECRET, TAG};
use core::mem::MaybeUninit;
use zeroize::Zeroize;

/// Bytes in which each kind of key has room.
pub const PLACE: usize = 640;

/// Where the functions of a [`Table`] keep a key. Nobody else reads it, and it is not moved. It is wiped when it is dropped.
#[repr(C, align(64))]
pub struct Place(MaybeUninit<[u8; PLACE]>);

impl Place {
    pub(crate) const fn empty() -> Self {
        Place(MaybeUninit::uninit())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a platform computes. Each function answers with 1, or with 0 where what it was given is not valid; lengths that nothing is said
/// of are the caller's to check. None of them allocates, waits, panics or keeps a pointer.
///
/// For all of them: what a pointer with a length names can be read, or written where it is `*mut`, and is used by nobody else during
/// the call; a key is one that the function of its kind has made in that place, with 1 as its answer.
#[repr(C)]
pub struct Table {
    /// Whether AES-GCM is faster than ChaCha20-Poly1305 here.
    pub fast_aes: unsafe extern "C" fn() -> u32,
    /// Makes a key of the algorithm, which is one of [`Aead`](crate::Aead), of that many bytes.
    pub aead_key: unsafe extern "C" fn(aead: u32, key: *const u8, length: usize, place: *mut Place) -> u32,
    /// Encrypts in place.
    pub seal: unsafe extern "C" fn(
        key: *const Place,
        nonce: *const [u8; NONCE],
        additional: *const u8,
        additional_length: usize,
        data: *mut u8,
        length: usize,
        tag: *mut [u8; TAG],
    ) -> u32,
    /// Decrypts in place. If the answer is 0, what is there then is nothing.
    pub open: unsafe extern "C" fn(
        key: *const Place,
        nonce: *const [u8; NONCE],
        additional: *const u8,
        additional_length: usize,
        data: *mut u8,
        length: usize,
        tag: *const [u8; TAG],
    ) -> u32,
    /// Makes a private key for one key exchange in that [`Group`](crate::Group).
    pub secret: unsafe extern "C" fn(group: u32, place: *mut Place) -> u32,
    /// Writes the public key, and answers with its length.
    pub public: unsafe extern "C" fn(secret: *const Place, public: *mut [u8; MAX_PUBLIC]) -> usize,
    /// Uses the secret up, whatever the answer.
    pub agree:
        unsafe extern "C" fn(secret: *mut Place, public: *const u8, length: usize, shared: *mut [u8; SECRET]) -> u32,
    /// Makes a key that signs by ECDSA with P-256 and SHA-256 of a private key and its public one, uncompressed.
    pub signing_key:
        unsafe extern "C" fn(private: *const [u8; SECRET], public: *const u8, length: usize, place: *mut Place) -> u32,
    /// Writes a signature (DER), and answers with its length, or with 0.
    pub sign: unsafe extern "C" fn(
        key: *const Place,
        message: *const u8,
        length: usize,
        signature: *mut [u8; MAX_SIGNATURE],
    ) -> usize,
    /// Whether a signature is that of the key, a point of P-256, uncompressed.
    pub verify: unsafe extern "C" fn(
        public: *const u8,
        public_length: usize,
        message: *const u8,
        length: usize,
        signature: *const u8,
        signature_length: usize,
    ) -> u32,
}
