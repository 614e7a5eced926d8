//! SHA-2, and HMAC with it.

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::{
    hash::{Context, Hash, HashAlgorithm, Output},
    hmac::{Hmac as RustlsHmac, Key, Tag},
};
use sha2::{Digest, Sha256, Sha384};
use std::marker::PhantomData;

/// A hash function: the type is that of RustCrypto.
pub struct Sha<D>(HashAlgorithm, usize, PhantomData<D>);

pub static SHA256: Sha<Sha256> = Sha(HashAlgorithm::SHA256, 32, PhantomData);
pub static SHA384: Sha<Sha384> = Sha(HashAlgorithm::SHA384, 48, PhantomData);

macro_rules! hashes {
    ($($digest:ty),*) => {$(
        impl Hash for Sha<$digest> {
            fn start(&self) -> Box<dyn Context> {
                Box::new(Running(<$digest>::new()))
            }

            fn hash(&self, data: &[u8]) -> Output {
                Output::new(&<$digest>::digest(data))
            }

            fn output_len(&self) -> usize {
                self.1
            }

            fn algorithm(&self) -> HashAlgorithm {
                self.0
            }
        }

        impl Context for Running<$digest> {
            fn fork_finish(&self) -> Output {
                Output::new(&self.0.clone().finalize())
            }

            fn fork(&self) -> Box<dyn Context> {
                Box::new(Running(self.0.clone()))
            }

            fn finish(self: Box<Self>) -> Output {
                Output::new(&self.0.finalize())
            }

            fn update(&mut self, data: &[u8]) {
                self.0.update(data);
            }
        }

        impl RustlsHmac for Sha<$digest> {
            fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
                // a key of any length will do
                Box::new(Keyed(Hmac::<$digest>::new_from_slice(key).expect("HMAC takes keys of any length"), self.1))
            }

            fn hash_output_len(&self) -> usize {
                self.1
            }
        }

        impl Key for Keyed<Hmac<$digest>> {
            fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
                let mut mac = self.0.clone();
                mac.update(first);
                middle.iter().for_each(|part| mac.update(part));
                mac.update(last);
                Tag::new(&mac.finalize().into_bytes())
            }

            fn tag_len(&self) -> usize {
                self.1
            }
        }
    )*};
}

struct Running<D>(D);
struct Keyed<M>(M, usize);

hashes!(Sha256, Sha384);
