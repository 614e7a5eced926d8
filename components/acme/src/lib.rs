//! A client of certificate authorities (ACME, RFC 8555) as a state machine: it has no network, no clock and no keys.
//!
//! [`Acme::next`] says what to ask of the authority, or until when there is nothing to do; [`Acme::answer`] takes what came of it. The
//! keys are elsewhere ([`Keys`], as `pearwood:keys/acme` has them). What the authority says is not trusted: it makes the client hold no
//! more than a bounded answer, ask no more often than the rules of back-off say, and store nothing that is not of the key.
#![forbid(unsafe_code)]

mod certificate;
mod jws;
mod machine;
mod messages;

pub use machine::{Acme, Next};
pub use messages::{Method, Request, Response};
use zeroize::Zeroizing;

/// What is to be had from which authority.
#[derive(Debug, Clone)]
pub struct Config {
    /// the URL of the authority's directory
    pub directory: String,
    /// `mailto:` URLs
    pub contact: Vec<String>,
    /// The operator has agreed to the authority's terms of service.
    pub agreed: bool,
    pub external: Option<External>,
    pub certificates: Vec<Certificate>,
}

/// An account that the authority knows from elsewhere (section 7.3.4).
#[derive(Clone)]
pub struct External {
    pub id: String,
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for External {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "external account {}", self.id)
    }
}

/// A certificate for some names.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// the key's name
    pub key: String,
    /// host names, in lower case
    pub names: Vec<String>,
    pub proof: Proof,
}

/// How the authority is shown that the names are this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By an answer at port 80 (section 8.3): see [`Acme::proof`].
    Http,
    /// By a certificate at port 443 (RFC 8737).
    Tls,
}

/// Whoever has the keys: see `pearwood:keys/acme`. Errors are in words.
pub trait Keys {
    /// x and y
    fn account(&mut self) -> Result<[u8; 64], String>;
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;
    fn make(&mut self, key: &str) -> Result<(), String>;
    fn request(&mut self, key: &str, names: &[String]) -> Result<Vec<u8>, String>;
    fn store(&mut self, key: &str, chain: Vec<Vec<u8>>) -> Result<(), String>;
    fn stored(&mut self, key: &str) -> Result<Vec<Vec<u8>>, String>;
    fn challenge(&mut self, key: &str, name: &str, digest: Option<&[u8]>) -> Result<(), String>;
}
