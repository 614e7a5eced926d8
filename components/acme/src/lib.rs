//! The acme box: certificates from an authority (ACME, RFC 8555), for keys that another box has (`pearwood:keys/acme`). It asks the authority
//! through a service of [`pearwood:http/handler`](wit::http), and is such a service itself for the authority's questions.
//!
//! [`Acme`] is the client, and has no network, no clock and no keys: [`Acme::next`] says what to ask of the authority, or until when there is
//! nothing to do; [`Acme::answer`] takes what came of it. [`Service`] is the client between the box's arrows, fed with batches and times, and
//! `shim` joins that to the node. What the authority says is not trusted: it makes the client hold no more than a bounded answer, ask no more
//! often than the rules of back-off say, and store nothing that is not of the key.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod asking;
mod certificate;
mod config;
mod jws;
mod machine;
mod memory;
mod messages;
mod service;
#[cfg(target_arch = "wasm32")]
mod shim;
mod time;

pub use config::SETTINGS;
pub use machine::{Acme, Next};
pub use messages::{Method, Request, Response};
pub use service::{Outside, Service, To, Wake};
use std::fmt;
use zeroize::Zeroizing;

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
}

/// What is to be had from which authority.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Clone, PartialEq, Eq)]
pub struct External {
    pub id: String,
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "external account {}", self.id)
    }
}

/// A certificate for some names.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Proof {
    /// The authority's word for it.
    pub const fn kind(self) -> &'static str {
        match self {
            Proof::Http => "http-01",
            Proof::Tls => "tls-alpn-01",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
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
    fn remember(&mut self, state: Vec<u8>) -> Result<(), String>;
    fn remembered(&mut self) -> Result<Vec<u8>, String>;
    fn challenge(&mut self, key: &str, name: &str, digest: Option<&[u8]>) -> Result<(), String>;
}
