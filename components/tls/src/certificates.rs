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
    configured: Vec<Certificate>,
    keys: Arc<dyn Keys>,
    all: Mutex<Vec<Made>>,
    asked: Mutex<String>,
}

#[derive(Clone)]
struct Made {
    names: Vec<String>,
    key: String,
    public: Arc<[u8]>,
    certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configured.iter().map(|certificate| &certificate.names)).finish()
    }
}

impl Certificates {
    /// What is configured, and where there is no chain, a certificate that its key has signed.
    ///
    /// # Errors
    /// A key is not there, or is not that of its certificate.
    pub fn new(configured: &[Certificate], keys: &Arc<dyn Keys>) -> Result<Self, String> {
        let all = Mutex::new(Self::make(configured, keys)?);
        Ok(Certificates { configured: configured.to_vec(), keys: keys.clone(), all, asked: Mutex::default() })
    }

    fn make(configured: &[Certificate], keys: &Arc<dyn Keys>) -> Result<Vec<Made>, String> {
        let mut all = Vec::with_capacity(configured.len());
        for Certificate { names, key, chain } in configured {
            let wrong = |why: String| format!("certificate of {}, key `{key}`: {why}", names.join(", "));
            let public: Arc<[u8]> = keys.public_key(key).map_err(wrong)?.into();
            let chain = match chain {
                Some(pem) => read_chain(pem).map_err(wrong)?,
                None => vec![CertificateDer::from(keys.self_signed(key, names).map_err(wrong)?)],
            };
            let signing = Remote { keys: keys.clone(), key: key.as_str().into(), public: public.clone() };
            let certified = CertifiedKey::new(chain, Arc::new(signing));
            certified.keys_match().map_err(|error| wrong(format!("the certificate is not of this key ({error})")))?;
            all.push(Made { names: names.clone(), key: key.clone(), public, certified: Arc::new(certified) });
        }
        Ok(all)
    }

    /// The certificate for a name. A keys box that has ended and started again may have made its keys anew: then so are the
    /// certificates that they have signed.
    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Self::of(&all, name)?;
        if self.keys.public_key(&found.key).is_ok_and(|public| *public != *found.public)
            && let Ok(made) = Self::make(&self.configured, &self.keys)
        {
            *all = made;
            return Some(Self::of(&all, name)?.certified);
        }
        Some(found.certified)
    }

    /// The name that the last `ClientHello` asked for. It is forgotten.
    pub fn take_asked(&self) -> String {
        core::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// That of the name itself, that of a `*` in place of the name's first label, or else the first.
    fn of(all: &[Made], name: &str) -> Option<Made> {
        let is_it = |known: &String| known == name;
        let covers = |known: &String| {
            let rest = known.strip_prefix("*.");
            rest.is_some_and(|rest| name.split_once('.').is_some_and(|(_, parent)| parent == rest))
        };
        let find = |fits: &dyn Fn(&String) -> bool| all.iter().find(|made| made.names.iter().any(fits));
        find(&is_it).or_else(|| find(&covers)).or(all.first()).cloned()
    }
}

/// All certificates of a PEM text, the server's first.
pub fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if pem.contains("PRIVATE KEY-----") {
        return Err("there is a private key beside it, which belongs in the box `keys`".into());
    }
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
        let found = self.find(&name);
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
