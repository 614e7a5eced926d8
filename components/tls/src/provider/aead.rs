//! Encryption of records, as TLS 1.3 (RFC 8446, section 5.2) and TLS 1.2 (RFC 5288, RFC 7905) have it.

use super::lent::{self, Aead};
use aes_gcm::{
    Aes128Gcm, Aes256Gcm, KeyInit,
    aead::{
        AeadInOut, Nonce as AeadNonce, Tag,
        consts::{U12, U16},
    },
};
use chacha20poly1305::ChaCha20Poly1305;
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    crypto::cipher::{
        AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter,
        Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm, Tls13AeadAlgorithm,
        UnsupportedOperationError, make_tls12_aad, make_tls13_aad,
    },
};
use std::marker::PhantomData;

/// The most bytes of a record (RFC 8446, section 5.1).
const MAX_FRAGMENT: usize = 1 << 14;
const TAG: usize = 16;
/// Bytes of a nonce that TLS 1.2 sends with each record of AES-GCM.
const EXPLICIT: usize = 8;

pub struct Algorithm<A> {
    /// as the node knows it
    aead: Aead,
    key: usize,
    /// TLS 1.2 has a part of each nonce in the record.
    explicit: bool,
    of: PhantomData<fn() -> A>,
}

pub static AES_128_GCM: Algorithm<Aes128Gcm> =
    Algorithm { aead: Aead::Aes128Gcm, key: 16, explicit: true, of: PhantomData };
pub static AES_256_GCM: Algorithm<Aes256Gcm> =
    Algorithm { aead: Aead::Aes256Gcm, key: 32, explicit: true, of: PhantomData };
pub static CHACHA20_POLY1305: Algorithm<ChaCha20Poly1305> =
    Algorithm { aead: Aead::ChaCha20Poly1305, key: 32, explicit: false, of: PhantomData };

/// The algorithms that there are: all with nonces of 12 bytes and tags of 16.
pub trait Cipher: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit + Send + Sync + 'static {}
impl<A: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit + Send + Sync + 'static> Cipher for A {}

/// One direction of a connection.
struct Direction<A> {
    keyed: Keyed<A>,
    iv: Iv,
    explicit: bool,
}

/// Where the key is.
enum Keyed<A> {
    Here(A),
    Node(Box<dyn lent::Key>),
}

impl<A: Cipher> Direction<A> {
    fn new(aead: Aead, key: AeadKey, iv: Iv, explicit: bool) -> Self {
        let key = key.as_ref();
        let here = || Keyed::Here(A::new_from_slice(key).expect("rustls makes keys of their length"));
        let keyed = lent::lent().and_then(|lent| lent.key(aead, key)).map_or_else(here, Keyed::Node);
        Direction { keyed, iv, explicit }
    }

    fn seal(&self, nonce: [u8; 12], aad: &[u8], payload: &mut PrefixedPayload, from: usize) -> Result<(), Error> {
        let data = &mut payload.as_mut()[from..];
        let tag = match &self.keyed {
            Keyed::Here(cipher) => {
                let tag = cipher.encrypt_inout_detached(&AeadNonce::<A>::from(nonce), aad, data.into());
                tag.ok().map(Into::into)
            }
            Keyed::Node(key) => key.seal(&nonce, aad, data),
        };
        payload.extend_from_slice(&tag.ok_or(Error::EncryptError)?);
        Ok(())
    }

    /// Decrypts in place; `payload` ends with the tag.
    fn open(&self, nonce: [u8; 12], aad: &[u8], payload: &mut [u8]) -> Result<usize, Error> {
        let cipher = match &self.keyed {
            Keyed::Here(cipher) => cipher,
            Keyed::Node(key) => return key.open(&nonce, aad, payload).ok_or(Error::DecryptError),
        };
        let (data, tag) = payload.split_last_chunk_mut::<TAG>().ok_or(Error::DecryptError)?;
        let length = data.len();
        let opened =
            cipher.decrypt_inout_detached(&AeadNonce::<A>::from(nonce), aad, data.into(), &Tag::<A>::from(*tag));
        opened.map_err(|_| Error::DecryptError)?;
        Ok(length)
    }
}

struct Tls13<A>(Direction<A>);
struct Tls12<A>(Direction<A>);

impl<A: Cipher> Tls13AeadAlgorithm for Algorithm<A> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Tls13(Direction::<A>::new(self.aead, key, iv, false)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Tls13(Direction::<A>::new(self.aead, key, iv, false)))
    }

    fn key_len(&self) -> usize {
        self.key
    }

    /// Keys stay here.
    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl<A: Cipher> MessageEncrypter for Tls13<A> {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, number: u64) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        self.0.seal(Nonce::new(&self.0.iv, number).0, &make_tls13_aad(length), &mut payload, 0)?;
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + 1 + TAG
    }
}

impl<A: Cipher> MessageDecrypter for Tls13<A> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let length = self.0.open(Nonce::new(&self.0.iv, number).0, &aad, payload)?;
        payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}

impl<A: Cipher> Tls12AeadAlgorithm for Algorithm<A> {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Tls12(Direction::<A>::new(self.aead, key, whole(&[iv, extra]), self.explicit)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        // what the record has of each nonce takes the place of the zeros
        Box::new(Tls12(Direction::<A>::new(self.aead, key, whole(&[iv]), self.explicit)))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        let explicit = if self.explicit { EXPLICIT } else { 0 };
        KeyBlockShape { enc_key_len: self.key, fixed_iv_len: 12 - explicit, explicit_nonce_len: explicit }
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// A nonce of its parts, and zeros.
fn whole(parts: &[&[u8]]) -> Iv {
    let mut iv = [0; 12];
    iv.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
    Iv::new(iv)
}

impl<A: Cipher> MessageEncrypter for Tls12<A> {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, number: u64) -> Result<OutboundOpaqueMessage, Error> {
        let Tls12(direction) = self;
        let mut payload = PrefixedPayload::with_capacity(message.payload.len() + EXPLICIT + TAG);
        let nonce = Nonce::new(&direction.iv, number).0;
        let explicit = if direction.explicit { EXPLICIT } else { 0 };
        payload.extend_from_slice(&nonce[12 - explicit..]);
        payload.extend_from_chunks(&message.payload);
        let aad = make_tls12_aad(number, message.typ, message.version, message.payload.len());
        direction.seal(nonce, &aad, &mut payload, explicit)?;
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + if self.0.explicit { EXPLICIT } else { 0 } + TAG
    }
}

impl<A: Cipher> MessageDecrypter for Tls12<A> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let Tls12(direction) = self;
        let explicit = if direction.explicit { EXPLICIT } else { 0 };
        let length = message.payload.len().checked_sub(explicit + TAG).ok_or(Error::DecryptError)?;
        if length > MAX_FRAGMENT {
            return Err(Error::PeerSentOversizedRecord);
        }
        let mut nonce = Nonce::new(&direction.iv, if direction.explicit { 0 } else { number }).0;
        nonce[12 - explicit..].copy_from_slice(&message.payload[..explicit]);
        let aad = make_tls12_aad(number, message.typ, message.version, length);
        direction.open(nonce, &aad, &mut message.payload[explicit..])?;
        Ok(message.into_plain_message_range(explicit..explicit + length))
    }
}
