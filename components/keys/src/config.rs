//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::holder::read_pem;
use std::collections::BTreeMap;
use std::fmt;
use wit::setting::Fault;
use wit::setting::{Setting, Value};
use zeroize::Zeroizing;

/// Keys that there may be.
const MAX_KEYS: usize = 256;

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting::new(
    "keys",
    Value::Names("`new`, or a private key in PEM"),
    "The keys by their names. A new one is made when the node starts, and lasts until it ends. One of one's own is ECDSA with P-256, \
     as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes it; whoever may see the system's file sees it there.",
)
.default("{ default = \"new\" }")];

/// The settings as [`SETTINGS`] explains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub keys: BTreeMap<String, Origin>,
}

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    New,
    /// A private key: PKCS #8 or SEC 1.
    Pem(Zeroizing<String>),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::New => "New",
            Origin::Pem(_) => "Pem",
        })
    }
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once, without secrets.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let mut keys = BTreeMap::new();
        let mut faults = Vec::new();
        for (key, value) in settings {
            let read = match key.strip_prefix("keys.") {
                Some("") | None => Err("there is no such setting".into()),
                Some(_) if keys.len() == MAX_KEYS => Err(format!("there may be {MAX_KEYS} keys")),
                Some(name) if value.trim() == "new" => Ok((name, Origin::New)),
                Some(name) => read_pem(value).map(|_| (name, Origin::Pem(Zeroizing::new(value.into())))),
            };
            match read {
                Ok((name, origin)) => drop(keys.insert(name.into(), origin)),
                Err(why) => faults.push(Fault::at(key, why)),
            }
        }
        if keys.is_empty() {
            keys.insert("default".into(), Origin::New);
        }
        if faults.is_empty() { Ok(Config { keys }) } else { Err(faults) }
    }
}
