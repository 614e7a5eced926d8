//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::key::Key;
use std::collections::BTreeMap;
use std::fmt;
use wit::setting::Fault;
use wit::setting::{Setting, Value};
use zeroize::Zeroizing;

/// Keys that may be set.
const MAX_KEYS: usize = 256;
/// Names that the authority may have.
const MAX_AUTHORITY: usize = 100;
/// The longest name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new(
        "keys",
        Value::Names("`new`, `new-ed25519`, or a private key in PEM"),
        "The keys by their names. A new one is made when it is first needed, and kept on the disk, sealed; it is ECDSA with P-256, which \
         every client knows, or Ed25519, which browsers and the authorities that they trust do not take. One of one's own is either, as \
         `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` or `-algorithm ED25519` makes it; whoever may see the \
         system's file sees it there.",
    )
    .default("{ default = \"new\" }"),
    Setting::new(
        "authority",
        Value::Some("host name, or address"),
        "What the node's own authority may sign certificates for: these names, those below them, and these addresses. Its certificate \
         says so, and is in the box's log; another list makes another certificate, which clients have to be told to trust again.",
    )
    .default("[\"localhost\", \"127.0.0.1\", \"::1\"]"),
    Setting::new(
        "discard",
        Value::Text("what the log says"),
        "Gives up what is on the disk and cannot be read any more. The box's log says what to put here; it holds for that content, \
         that fault and that secret alone. Take it away when new keys are made.",
    )
    .example("\"0123456789abcdef\""),
];

/// The settings as [`SETTINGS`] explains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub keys: BTreeMap<String, Origin>,
    /// host names, in lower case, and addresses
    pub authority: Vec<String>,
    pub discard: Option<String>,
}

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    New(Algorithm),
    /// A private key: PKCS #8 or SEC 1.
    Pem(Zeroizing<String>),
}

/// What signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with SHA-256.
    P256,
    Ed25519,
}

impl Origin {
    /// None: what the PEM says is no key.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Origin::New(algorithm) => Some(*algorithm),
            Origin::Pem(pem) => Key::read_pem(pem).ok().map(|key| key.algorithm()),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::New(_) => "New",
            Origin::Pem(_) => "Pem",
        })
    }
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once, without secrets.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let mut config = Config { keys: BTreeMap::new(), authority: Vec::new(), discard: None };
        let mut faults = Vec::new();
        for (key, value) in settings {
            if let Err(why) = config.set(key, value) {
                faults.push(Fault::at(key, why));
            }
        }
        if config.keys.is_empty() {
            config.keys.insert("default".into(), Origin::New(Algorithm::P256));
        }
        if config.authority.is_empty() {
            config.authority = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key.split_once('.').unwrap_or((key, "")) {
            ("keys", "") => return Err("a key's name is meant".into()),
            ("keys", _) if self.keys.len() == MAX_KEYS => return Err(format!("there may be {MAX_KEYS} keys")),
            ("keys", name) => {
                check_key_name(name)?;
                let origin = match value.trim() {
                    "new" => Origin::New(Algorithm::P256),
                    "new-ed25519" => Origin::New(Algorithm::Ed25519),
                    pem => {
                        Key::read_pem(pem)?;
                        Origin::Pem(Zeroizing::new(value.into()))
                    }
                };
                self.keys.insert(name.into(), origin);
            }
            ("authority", _) if self.authority.len() == MAX_AUTHORITY => {
                return Err(format!("there may be {MAX_AUTHORITY} names"));
            }
            ("authority", _) => self.authority.push(name(value.trim())?),
            ("discard", "") => self.discard = Some(value.trim().into()),
            _ => return Err("there is no such setting".into()),
        }
        Ok(())
    }
}

/// The name of a key, which is kept with it.
pub(crate) fn check_key_name(name: &str) -> Result<(), String> {
    let is_name = (1..=MAX_NAME).contains(&name.len()) && !name.contains(|c: char| c.is_control());
    if is_name { Ok(()) } else { Err(format!("the name of a key has 1 to {MAX_NAME} bytes, on one line")) }
}

/// A host's name, or an address.
fn name(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if let Ok(address) = text.parse::<core::net::IpAddr>() {
        return Ok(address.to_string());
    }
    if text.len() <= MAX_NAME && text.split('.').all(is_label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("a host's name is meant, such as localhost or home.example, with all below it; or an address".into())
}
