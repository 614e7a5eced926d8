//! Whose name a client asks for, and the certificate for it. The private keys are elsewhere: [`Keys`] signs.

use crate::config::Certificate;
use crate::provider::SCHEME;
use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use support::certificate;
use wit::figures::{Figure, Value};

/// The protocol (ALPN) of those who ask for a proof (RFC 8737, section 3).
pub const PROOF: &[u8] = b"acme-tls/1";

/// Whoever has the private keys: the interface `pearwood:keys/tls`. An error is in words.
pub trait Keys: Send + Sync {
    /// The public key (SubjectPublicKeyInfo, DER).
    fn public_key(&self, key: &str) -> Result<Vec<u8>, String>;
    /// A number that is another one whenever a certificate may be.
    fn version(&self) -> u64;
    /// The certificates for these names (DER), the server's first.
    fn certificate(&self, key: &str, names: &[String]) -> Result<Vec<Vec<u8>>, String>;
    /// The key and the certificate (DER) that prove to a certificate authority that this server has a name, if it asks for that.
    fn prove(&self, name: &str) -> Option<(String, Vec<u8>)>;
    /// The signature, as TLS has it, of what a server signs in a handshake.
    fn sign(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// The certificates, and the name that was asked for last.
pub struct Certificates {
    configured: Vec<Certificate>,
    keys: Arc<dyn Keys>,
    /// as many, in the same order
    made: Mutex<Vec<Made>>,
    /// why some could not be made anew, which is yet to be told
    troubles: Mutex<Vec<String>>,
    asked: Mutex<Option<Asked>>,
}

/// What a client has asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// empty: none
    pub name: String,
    /// the certificate that it gets, by its place among those that are configured
    pub place: usize,
}

struct Made {
    /// that of the keys when this was made
    version: u64,
    certified: Arc<CertifiedKey>,
    /// why it could not be made anew, as it was told last
    trouble: String,
}

/// The most names of a certificate that are told.
const TOLD_NAMES: usize = 4;

/// What is told of a certificate: until when it is good, and where it is from.
fn figure(Certificate { names, key, chain }: &Certificate, made: &Made) -> Option<Figure> {
    let own = made.certified.cert.first()?;
    let (_, until) = certificate::validity(own)?;
    let issuer = certificate::issuer(own);
    let from = match &issuer {
        _ if chain.is_some() => "file",
        None => "self-signed",
        Some(issuer) if issuer.starts_with(certificate::LOCAL) => "authority",
        Some(_) => "acme",
    };
    let more = names.len().saturating_sub(TOLD_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = names[..names.len().min(TOLD_NAMES)].join(", ") + &more;
    let figure = Figure::moment("certificate-expires", until).of("names", names).of("key", key.as_str());
    Some(figure.of("from", from).of("issuer", issuer.unwrap_or_else(|| "itself".into())))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configured.iter().map(|certificate| &certificate.names)).finish()
    }
}

impl Certificates {
    /// What is configured, and where there is no chain, what `keys` has for the key.
    ///
    /// # Errors
    /// A key is not there, or is not that of its certificate.
    pub fn new(configured: &[Certificate], keys: &Arc<dyn Keys>) -> Result<Self, String> {
        let version = keys.version();
        let made = configured
            .iter()
            .map(|one| Ok(Made { version, certified: Self::make(one, keys)?, trouble: String::new() }));
        let made = Mutex::new(made.collect::<Result<_, String>>()?);
        let (configured, keys) = (configured.to_vec(), keys.clone());
        Ok(Certificates { configured, keys, made, troubles: Mutex::default(), asked: Mutex::default() })
    }

    fn make(
        Certificate { names, key, chain }: &Certificate,
        keys: &Arc<dyn Keys>,
    ) -> Result<Arc<CertifiedKey>, String> {
        let wrong = |why: String| format!("certificate of {}, key `{key}`: {why}", names.join(", "));
        let chain = match chain {
            Some(pem) => read_chain(pem).map_err(wrong)?,
            None => {
                let chain = keys.certificate(key, names).map_err(wrong)?;
                chain.into_iter().map(CertificateDer::from).collect()
            }
        };
        let certified = Self::certified(key, chain, keys).map_err(wrong)?;
        let matches = certified.keys_match();
        matches.map_err(|error| wrong(format!("the certificate is not of this key ({error})")))?;
        Ok(Arc::new(certified))
    }

    fn certified(key: &str, chain: Vec<CertificateDer<'static>>, keys: &Arc<dyn Keys>) -> Result<CertifiedKey, String> {
        let public = keys.public_key(key)?.into();
        Ok(CertifiedKey::new(chain, Arc::new(Remote { keys: keys.clone(), key: key.into(), public })))
    }

    /// The certificate for a name, and its place: the first whose key the client can verify, by one of these schemes.
    fn find(&self, name: &str, schemes: &[SignatureScheme]) -> Option<(usize, Arc<CertifiedKey>)> {
        let mut first = None;
        for place in self.places(name) {
            let certified = self.at(place)?;
            if certified.key.choose_scheme(schemes).is_some() {
                return Some((place, certified));
            }
            first.get_or_insert((place, certified));
        }
        first
    }

    /// The certificate at a place. When it may have changed, it is made anew; where that fails, the one of before stays until the next
    /// client asks.
    fn at(&self, place: usize) -> Option<Arc<CertifiedKey>> {
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let made = all.get_mut(place)?;
        let version = self.keys.version();
        if made.version != version {
            match Self::make(self.configured.get(place)?, &self.keys) {
                Ok(certified) => *made = Made { version, certified, trouble: String::new() },
                Err(why) if made.trouble != why => {
                    made.trouble.clone_from(&why);
                    self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                }
                Err(_) => {}
            }
        }
        Some(made.certified.clone())
    }

    /// Makes those anew that may have changed, whoever asks for them. Whether another is there now.
    pub fn renew(&self) -> bool {
        let shown = |place: usize| {
            let all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(place).map(|made| made.certified.clone())
        };
        let mut is_other = false;
        for place in 0..self.configured.len() {
            let (before, now) = (shown(place), self.at(place));
            is_other |= before.map(|it| it.cert.clone()) != now.map(|it| it.cert.clone());
        }
        is_other
    }

    /// Why certificates could not be made anew: of each once, until it is another reason.
    pub fn take_troubles(&self) -> Vec<String> {
        core::mem::take(&mut self.troubles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is told of the certificates that there are, of those first that end first.
    pub fn figures(&self) -> Vec<Figure> {
        let all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut figures: Vec<Figure> =
            self.configured.iter().zip(&*all).filter_map(|(one, made)| figure(one, made)).collect();
        figures.sort_by_key(|figure| if let Value::Moment(until) = figure.value { until } else { 0 });
        // two for the same names may look alike
        let mut told = HashSet::new();
        figures.retain(|figure| told.insert(figure.labels.clone()));
        figures
    }

    /// What proves to a certificate authority that this server has the name, if a proof is asked for now.
    fn prove(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let (key, certificate) = self.keys.prove(name)?;
        // what rustls knows of certificates is less than what is in this one, so it cannot be held against its key
        Self::certified(&key, vec![CertificateDer::from(certificate)], &self.keys).ok().map(Arc::new)
    }

    /// What the last `ClientHello` asked for. It is forgotten.
    pub fn take_asked(&self) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The names that a certificate is for.
    pub fn names(&self, place: usize) -> &[String] {
        self.configured.get(place).map_or(&[], |certificate| &certificate.names)
    }

    /// Those of the name itself, those of a `*` in place of the name's first label, or else the first, and those of the same names.
    fn places(&self, name: &str) -> Vec<usize> {
        let is_it = |known: &String| known == name;
        let covers = |known: &String| {
            let rest = known.strip_prefix("*.");
            rest.is_some_and(|rest| name.split_once('.').is_some_and(|(_, parent)| parent == rest))
        };
        let find = |fits: &dyn Fn(&String) -> bool| {
            let all = self.configured.iter().enumerate().filter(|(_, one)| one.names.iter().any(fits));
            all.map(|(place, _)| place).collect::<Vec<_>>()
        };
        let of = |fits: &dyn Fn(&String) -> bool| Some(find(fits)).filter(|places| !places.is_empty());
        let of_first = || {
            let all = self.configured.iter().enumerate().filter(|(_, one)| one.names == self.names(0));
            all.map(|(place, _)| place).collect()
        };
        of(&is_it).or_else(|| of(&covers)).unwrap_or_else(of_first)
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
        let mut protocols = hello.alpn().into_iter().flatten();
        let is_proof = protocols.next() == Some(PROOF) && protocols.next().is_none();
        let found = if is_proof {
            self.prove(&name).map(|certified| (0, certified))
        } else {
            self.find(&name, hello.signature_schemes())
        };
        let (place, found) = found.unzip();
        let place = place.unwrap_or_default();
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Asked { name, place });
        found
    }
}

/// What a public key of Ed25519 begins with (SubjectPublicKeyInfo, RFC 8410, section 4).
const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

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

impl Remote {
    fn is_ed25519(&self) -> bool {
        self.public.starts_with(ED25519)
    }
}

impl SigningKey for Remote {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let Remote { keys, key, public } = self;
        let again = Remote { keys: keys.clone(), key: key.clone(), public: public.clone() };
        offered.contains(&again.scheme()).then(|| Box::new(again) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(&*self.public))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        if self.is_ed25519() { SignatureAlgorithm::ED25519 } else { SignatureAlgorithm::ECDSA }
    }
}

impl Signer for Remote {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.keys.sign(&self.key, message).map_err(|why| Error::General(format!("key `{}`: {why}", self.key)))
    }

    fn scheme(&self) -> SignatureScheme {
        if self.is_ed25519() { SignatureScheme::ED25519 } else { SCHEME }
    }
}
