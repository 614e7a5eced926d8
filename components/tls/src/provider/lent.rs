//! What the node lends of its processor: the interface `pearwood:hardware/crypto`. Where it does, it takes the place of the algorithms
//! that are compiled to wasm; where it does not, or has no memory for another key, they are there.

use std::sync::OnceLock;

/// Authenticated encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

/// A group of a key exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    X25519,
    P256,
}

/// Whoever lends it. None: not this, or not now.
pub trait Lent: Send + Sync {
    /// Whether AES-GCM is faster than ChaCha20-Poly1305.
    fn fast_aes(&self) -> bool;
    /// A key of the algorithm's length.
    fn key(&self, aead: Aead, key: &[u8]) -> Option<Box<dyn Key>>;
    /// The private key of a key exchange.
    fn secret(&self, group: Group) -> Option<Box<dyn Secret>>;
}

/// A key of authenticated encryption.
pub trait Key: Send + Sync {
    /// Encrypts in place, and yields the tag.
    fn seal(&self, nonce: &[u8; 12], additional: &[u8], data: &mut [u8]) -> Option<[u8; 16]>;
    /// Decrypts in place what ends with its tag, and yields the length of what was sealed. None: it was not sealed so.
    fn open(&self, nonce: &[u8; 12], additional: &[u8], sealed: &mut [u8]) -> Option<usize>;
}

/// The private key of one key exchange.
pub trait Secret: Send + Sync {
    /// The public one.
    fn public(&self) -> &[u8];
    /// What both sides know then. None: the other's public key is none.
    fn agree(self: Box<Self>, public: &[u8]) -> Option<Vec<u8>>;
}

static LENT: OnceLock<Box<dyn Lent>> = OnceLock::new();

/// From now on it is used. Only the first counts.
pub fn lend(lent: Box<dyn Lent>) {
    drop(LENT.set(lent));
}

/// Whoever lends it, if somebody does.
pub fn lent() -> Option<&'static dyn Lent> {
    LENT.get().map(|lent| &**lent)
}

/// Bytes that the keys of a connection take on the node, which are memory of this box: two of each direction in a handshake.
pub fn keys() -> usize {
    /// as the node charges it
    const KEY: usize = 1 << 10;
    if lent().is_some() { 4 * KEY } else { 0 }
}
