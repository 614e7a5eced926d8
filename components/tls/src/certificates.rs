//! Whose name a client asks for, and the certificate for it. The private keys are elsewhere: [`Keys`] signs.

use crate::config::Certificate;
use crate::provider::SCHEME;
use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Whoever has the private keys: the interface `pearwood:keys/tls`. An error is in words.
pub trait Keys: Send + Sync {
    /// The public key (SubjectPublicKeyInfo, DER).
    fn public_key(&self, key: &str) -> Result<Vec<u8>, String>;
    /// A certificate for these names that the key itself has signed (DER).
    fn self_signed(&self, key: &str, names: &[String]) -> Result<Vec<u8>, String>;
    /// The signature (DER) of what a server signs in a handshake.
    fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// The certificates, and the name that was asked for last.
pub struct Certificates {
    all: Vec<(Vec<String>, Arc<CertifiedKey>)>,
    asked: Mutex<String>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|(names, _)| names)).finish()
    }
}

impl Certificates {
    /// What is configured, and where there is no chain, a certificate that its key has signed.
    ///
    /// # Errors
    /// A key is not there, or is not that of its certificate.
    pub fn new(configured: &[Certificate], keys: &Arc<dyn Keys>) -> Result<Self, String> {
        let mut all = Vec::with_capacity(configured.len());
        for Certificate { names, key, chain } in configured {
            let wrong = |why: String| format!("certificate of {}, key `{key}`: {why}", names.join(", "));
            let public = keys.public_key(key).map_err(wrong)?;
            let chain = match chain {
                Some(pem) => read_chain(pem).map_err(wrong)?,
                None => vec![CertificateDer::from(keys.self_signed(key, names).map_err(wrong)?)],
            };
            let signing = Remote { keys: keys.clone(), key: key.as_str().into(), public: public.into() };
            let certified = CertifiedKey::new(chain, Arc::new(signing));
            certified.keys_match().map_err(|error| wrong(format!("the certificate is not of this key ({error})")))?;
            all.push((names.clone(), Arc::new(certified)));
        }
        Ok(Certificates { all, asked: Mutex::default() })
    }

    /// The name that the last `ClientHello` asked for. It is forgotten.
    pub fn take_asked(&self) -> String {
        core::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// That of the name itself, that of a `*` in place of the name's first label, or else the first.
    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let is_it = |known: &String| known == name;
        let covers = |known: &String| {
            let rest = known.strip_prefix("*.");
            rest.is_some_and(|rest| name.split_once('.').is_some_and(|(_, parent)| parent == rest))
        };
        let find = |fits: &dyn Fn(&String) -> bool| self.all.iter().find(|(names, _)| names.iter().any(fits));
        find(&is_it).or_else(|| find(&covers)).or(self.all.first()).map(|(_, certified)| certified)
    }
}

/// All certificates of a PEM text, the server's first.
pub fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err("no certificate in PEM: it begins with `-----BEGIN CERTIFICATE-----`".into()),
        Err(error) => Err(format!("no certificate in PEM: {error}")),
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let found = self.of(&name).cloned();
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = name;
        found
    }
}

/// A key of the keys box.
struct Remote {
    keys: Arc<dyn Keys>,
    key: Arc<str>,
    public: Arc<[u8]>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.key)
    }
}

impl SigningKey for Remote {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let Remote { keys, key, public } = self;
        let again = Remote { keys: keys.clone(), key: key.clone(), public: public.clone() };
        offered.contains(&SCHEME).then(|| Box::new(again) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(&*self.public))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Remote {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.keys.sign(&self.key, message).map_err(|why| Error::General(format!("key `{}`: {why}", self.key)))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}
