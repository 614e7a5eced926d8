//! What an instance after this one knows again: of the account, of the order that is under way, and of those that failed. The box with the
//! keys keeps it, so that a start, or another version of this box, does not order what was ordered already.

use crate::Certificate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// All of this is of the authority with this directory.
    pub directory: String,
    /// the account's URL
    pub account: Option<String>,
    /// what the authority was told of it
    #[serde(default)]
    pub contact: Vec<String>,
    #[serde(default)]
    pub order: Option<Remembered>,
    /// by the key's name
    #[serde(default)]
    pub failures: BTreeMap<String, Failures>,
}

/// An order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remembered {
    key: String,
    names: String,
    pub url: String,
}

/// Until when nothing is ordered, and how often that has failed in a row.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failures {
    pub until: u64,
    pub count: u32,
}

impl Memory {
    pub fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub fn write(&self) -> Vec<u8> {
        // nothing in it cannot be written
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What is of other certificates is of no use any more.
    pub fn keep_to(&mut self, certificates: &[Certificate]) {
        self.failures.retain(|key, _| certificates.iter().any(|certificate| certificate.key == *key));
        self.order = self.order.take().filter(|order| certificates.iter().any(|one| order.is_of(&one.key, &one.names)));
    }
}

impl Remembered {
    pub fn new(key: &str, names: &[String], url: &str) -> Self {
        Remembered { key: key.into(), names: hash(names), url: url.into() }
    }

    pub fn is_of(&self, key: &str, names: &[String]) -> bool {
        self.key == key && self.names == hash(names)
    }
}

/// Of names, which may be many.
fn hash(names: &[String]) -> String {
    crate::jws::base64(&Sha256::digest(names.join(" ")))
}
