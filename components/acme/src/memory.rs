//! What an instance after this one knows again: of the account, of the orders that are under way, and of those that failed. The box with
//! the keys keeps it, so that a start, or another version of this box, does not order what was ordered already.

use crate::{Certificate, Config};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The longest URL of an order that is remembered: what all certificates have together has a bound.
const MAX_URL: usize = 256;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// All of this is of the authority with this directory.
    pub directory: String,
    /// the account's URL
    pub account: Option<String>,
    /// what the authority was told of it
    #[serde(default)]
    pub contact: Vec<String>,
    /// by the key's name
    #[serde(default)]
    pub orders: BTreeMap<String, Remembered>,
    /// by the key's name
    #[serde(default)]
    pub failures: BTreeMap<String, Failures>,
    /// the keys whose certificate is of another authority still
    #[serde(default)]
    pub elsewhere: BTreeSet<String>,
}

/// An order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// hash of its names
    of: String,
    url: String,
}

/// Until when nothing is ordered, and how often that has failed in a row.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failures {
    /// see [`settings`]
    #[serde(default)]
    pub of: String,
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

    /// What is of other certificates is of no use any more, and what has failed with other settings may do with these.
    pub fn keep_to(&mut self, config: &Config) {
        let all = &config.certificates;
        self.orders.retain(|key, order| all.iter().any(|one| one.key == *key && order.of == hash(&one.names)));
        self.failures.retain(|key, failed| all.iter().any(|one| one.key == *key && failed.of == settings(config, one)));
        self.elsewhere.retain(|key| all.iter().any(|one| one.key == *key));
    }

    /// The URL of the order for these names.
    pub fn order(&self, key: &str, names: &[String]) -> Option<&str> {
        self.orders.get(key).filter(|order| order.of == hash(names)).map(|order| order.url.as_str())
    }

    pub fn set_order(&mut self, key: &str, names: &[String], url: &str) {
        if url.len() <= MAX_URL {
            self.orders.insert(key.into(), Remembered { of: hash(names), url: url.into() });
        } else {
            self.orders.remove(key);
        }
    }
}

/// Of names, which may be many.
fn hash(names: &[String]) -> String {
    short(Sha256::new_with_prefix(names.join(" ")))
}

/// What an order for a certificate may fail by, of the settings.
pub fn settings(config: &Config, certificate: &Certificate) -> String {
    let lines = [&certificate.names[..], &config.contact].map(|lines| lines.join(" "));
    let mut hash = Sha256::new_with_prefix(lines.join("\n"));
    hash.update(format!("\n{} {}\n", certificate.proof, config.agreed));
    if let Some(external) = &config.external {
        hash.update(format!("{}\n", external.id));
        hash.update(&external.key);
    }
    short(hash)
}

fn short(hash: Sha256) -> String {
    crate::jws::base64(&hash.finalize()[..16])
}
