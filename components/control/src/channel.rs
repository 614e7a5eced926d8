//! The secret channel: Noise (revision 34), pattern NX, over 25519, ChaChaPoly and BLAKE2s.

use snow::{
    Builder, HandshakeState, TransportState,
    params::NoiseParams,
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};
use std::fmt;

const PATTERN: &str = "Noise_NX_25519_ChaChaPoly_BLAKE2s";

/// Both sides must mean the same protocol.
const PROLOGUE: &[u8] = b"pearwood control 1";

/// What the client signs begins with this; the hash of the handshake follows.
pub const STATEMENT: &[u8] = b"pearwood control 1: the client of this channel has this key\0";

/// What the node's secret is used for.
const DERIVATION: &str = "pearwood control 1: the node's static key";

/// Bytes that encryption adds.
pub const TAG: usize = 16;

/// The most bytes of a handshake's message: two keys and two tags are 96.
pub const MAX_HANDSHAKE: usize = 128;

const TOKENS: &str = "pearwood control 1: tokens to read metrics by";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelError;

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came is not of this channel")
    }
}

impl std::error::Error for ChannelError {}

impl From<snow::Error> for ChannelError {
    fn from(_: snow::Error) -> Self {
        ChannelError
    }
}

/// The node's static key.
pub struct Identity {
    private: [u8; 32],
    public: [u8; 32],
}

impl Identity {
    /// The key that follows from a secret: always the same.
    ///
    /// # Panics
    /// If Noise lacks the primitives that this crate is built with.
    pub fn derive(secret: &[u8]) -> Self {
        let private = blake3::derive_key(DERIVATION, secret);
        let mut dh = DefaultResolver.resolve_dh(&params().dh).expect("25519 is built in");
        dh.set(&private);
        let public = dh.pubkey().try_into().expect("a key has 32 bytes");
        Identity { private, public }
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// What the owner of a key may give to programs that read metrics and cannot sign. It is of no other use, and lasts as
    /// long as the node's static key.
    pub fn token(&self, key: &[u8; 32]) -> blake3::Hash {
        blake3::keyed_hash(&blake3::derive_key(TOKENS, &self.private), key)
    }
}

fn params() -> NoiseParams {
    PATTERN.parse().expect("the pattern is one of Noise's")
}

/// A handshake under way. The seed is for this one only.
pub struct Handshake(HandshakeState);

impl Handshake {
    pub fn of_node(identity: &Identity, seed: [u8; 32]) -> Result<Self, ChannelError> {
        let builder = builder(seed).prologue(PROLOGUE)?.local_private_key(&identity.private)?;
        Ok(Handshake(builder.build_responder()?))
    }

    pub fn of_client(seed: [u8; 32]) -> Result<Self, ChannelError> {
        Ok(Handshake(builder(seed).prologue(PROLOGUE)?.build_initiator()?))
    }

    pub fn write(&mut self) -> Result<Vec<u8>, ChannelError> {
        let mut message = vec![0; MAX_HANDSHAKE];
        let length = self.0.write_message(&[], &mut message)?;
        message.truncate(length);
        Ok(message)
    }

    pub fn read(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        if message.len() > MAX_HANDSHAKE {
            return Err(ChannelError);
        }
        let mut payload = [0; MAX_HANDSHAKE];
        match self.0.read_message(message, &mut payload)? {
            0 => Ok(()),
            _ => Err(ChannelError),
        }
    }

    /// The channel, when both messages have been exchanged.
    pub fn finish(self) -> Result<Channel, ChannelError> {
        let hash = self.0.get_handshake_hash().try_into().map_err(|_| ChannelError)?;
        let remote = self.0.get_remote_static().and_then(|key| key.try_into().ok());
        Ok(Channel { transport: self.0.into_transport_mode()?, hash, remote })
    }
}

/// Both directions of the channel. Messages come in the order in which they were sent, or not at all.
pub struct Channel {
    transport: TransportState,
    hash: [u8; 32],
    remote: Option<[u8; 32]>,
}

impl Channel {
    /// Tells this channel from all others.
    pub fn statement(&self) -> Vec<u8> {
        [STATEMENT, &self.hash].concat()
    }

    /// The static key that the other side has proved. Clients prove none.
    pub fn remote(&self) -> Option<&[u8; 32]> {
        self.remote.as_ref()
    }

    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let mut sealed = vec![0; plain.len() + TAG];
        let length = self.transport.write_message(plain, &mut sealed)?;
        sealed.truncate(length);
        Ok(sealed)
    }

    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let mut plain = vec![0; sealed.len()];
        let length = self.transport.read_message(sealed, &mut plain)?;
        plain.truncate(length);
        Ok(plain)
    }
}

fn builder<'a>(seed: [u8; 32]) -> Builder<'a> {
    Builder::with_resolver(params(), Box::new(Resolver(seed)))
}

/// The primitives in Rust, and randomness that was brought along: the ephemeral key is all that needs any.
struct Resolver([u8; 32]);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seed(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &snow::params::DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &snow::params::HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &snow::params::CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Random bytes for one key, given once.
struct Seed(Option<[u8; 32]>);

impl Random for Seed {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(seed) if seed.len() == into.len() => {
                into.copy_from_slice(&seed);
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> (Channel, Channel) {
        let identity = Identity::derive(b"secret");
        let (mut client, mut node) =
            (Handshake::of_client([1; 32]).unwrap(), Handshake::of_node(&identity, [2; 32]).unwrap());
        node.read(&client.write().unwrap()).unwrap();
        client.read(&node.write().unwrap()).unwrap();
        let (client, node) = (client.finish().unwrap(), node.finish().unwrap());
        assert_eq!(client.remote(), Some(identity.public()));
        assert_eq!(client.statement(), node.statement());
        (client, node)
    }

    #[test]
    fn what_is_sealed_is_opened_once_and_in_order() {
        let (mut client, mut node) = joined();
        let (first, second) = (client.seal(b"first").unwrap(), client.seal(b"second").unwrap());
        assert!(node.open(&second).is_err(), "out of order");
        assert_eq!(node.open(&first).unwrap(), b"first");
        assert!(node.open(&first).is_err(), "replayed");
        assert_eq!(node.open(&second).unwrap(), b"second");
        let answer = node.seal(b"answer").unwrap();
        assert!(node.open(&answer).is_err(), "reflected");
        assert_eq!(client.open(&answer).unwrap(), b"answer");
    }

    #[test]
    fn each_channel_has_its_own_statement() {
        let identity = Identity::derive(b"secret");
        let with = |seed| {
            let mut node = Handshake::of_node(&identity, seed).unwrap();
            let mut client = Handshake::of_client([1; 32]).unwrap();
            node.read(&client.write().unwrap()).unwrap();
            client.read(&node.write().unwrap()).unwrap();
            node.finish().unwrap().statement()
        };
        assert_ne!(with([2; 32]), with([3; 32]));
        assert_ne!(Identity::derive(b"one").public(), Identity::derive(b"other").public());
    }
}
