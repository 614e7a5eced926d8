//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::message::Role;
use ::message::settings::{Network, number};
use ed25519_dalek::VerifyingKey;
use std::collections::BTreeMap;
use wit::setting::{Fault, Setting, Value};

/// Keys that may be listed.
const MAX_KEYS: usize = 256;

/// The shortest secret that is taken, in bytes.
const MIN_SECRET: usize = 32;

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new("port", Value::Number(1, 65_535), "Where to listen. An arrow to `net` has to grant it.")
        .default("7327"),
    Setting::new("keys", Value::Tables, "Who may do what. Without any, nobody may, and no port is opened.").example(
        r#"[
    { key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", role = "deploy", name = "anna" },
]"#,
    ),
    Setting::new("keys.key", Value::Text("64 hexadecimal digits"), "Somebody's key: `pearwood key show` prints it.")
        .required(),
    Setting::new(
        "keys.role",
        Value::OneOf(&["view", "operate", "deploy"]),
        "What they may. Each may what is before it.",
    )
    .required(),
    Setting::new("keys.name", Value::Text("at most 64 bytes"), "What messages call them."),
    Setting::new(
        "secret",
        Value::Text("at least 32 bytes"),
        "What the node's own key is made of. Without it, each start of the node makes another.",
    )
    .example("\"zzKm2Y9tq0bVx4Jd7uWc5nRfLh8sPgA3\""),
    Setting::new(
        "connections",
        Value::Number(2, 256),
        "Connections at once, half of them at most without having proved a key.",
    )
    .default("32"),
    Setting::new(
        "metrics",
        Value::Some("IP address or network"),
        "From where metrics are read without a token. Without it: from nowhere.",
    )
    .example("[\"127.0.0.1\", \"10.0.0.0/8\"]"),
];

/// The settings as [`SETTINGS`] explains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub port: u16,
    pub keys: Vec<Grantee>,
    pub secret: Option<String>,
    pub connections: usize,
    pub metrics: Vec<Network>,
}

/// A key, and what its owner may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantee {
    pub key: [u8; 32],
    pub role: Role,
    pub name: String,
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let mut config = Config { port: 7327, keys: Vec::new(), secret: None, connections: 32, metrics: Vec::new() };
        let mut entries: BTreeMap<usize, BTreeMap<&str, &str>> = BTreeMap::new();
        let mut faults = Vec::new();
        for (key, value) in settings {
            let entry = key.strip_prefix("keys.").and_then(|rest| rest.split_once('.'));
            let entry = entry.and_then(|(index, field)| Some((index.parse().ok()?, field)));
            match (key.split('.').next().unwrap_or_default(), entry) {
                (_, Some((index, field @ ("key" | "role" | "name")))) => {
                    entries.entry(index).or_default().insert(field, value);
                }
                // not repeated in the message
                ("secret", _) => faults.extend(config.set(key, value).err().map(|why| Fault::at(key, why))),
                _ => faults.extend(config.set(key, value).err().map(|why| Fault::new(key, value, why))),
            }
        }
        if entries.len() > MAX_KEYS {
            faults.push(Fault::at("keys", format!("{} keys, and there may be {MAX_KEYS}", entries.len())));
        }
        let mut places: Vec<usize> = Vec::new();
        for (index, fields) in entries {
            let table = format!("keys.{index}");
            match Grantee::read(&table, &fields) {
                Ok(grantee) => match config.keys.iter().position(|other| other.key == grantee.key) {
                    Some(other) => faults.push(Fault {
                        beside: Some(format!("keys.{}", places[other])),
                        ..Fault::at(&table, format!("`{}` has the same key", config.keys[other].name))
                    }),
                    None => {
                        config.keys.push(grantee);
                        places.push(index);
                    }
                },
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "port" => self.port = number(value, 1, 65_535)? as u16,
            "connections" => self.connections = number(value, 2, 256)? as usize,
            _ if key == "metrics" || key.starts_with("metrics.") => self.metrics.push(Network::read(value)?),
            "secret" if value.len() < MIN_SECRET => {
                return Err(format!("it is shorter than {MIN_SECRET} bytes, and might be guessed"));
            }
            "secret" => self.secret = Some(value.into()),
            _ => return Err("the control box has no such setting".into()),
        }
        Ok(())
    }

    pub fn grantee(&self, key: &[u8; 32]) -> Option<&Grantee> {
        self.keys.iter().find(|grantee| grantee.key == *key)
    }
}

impl Grantee {
    /// `table`: what the keys of its settings begin with.
    fn read(table: &str, fields: &BTreeMap<&str, &str>) -> Result<Self, Fault> {
        let field =
            |name: &str| fields.get(name).copied().ok_or_else(|| Fault::at(table, format!("it has no `{name}`")));
        let wrong = |name: &str, value: &str, why: &str| Fault::new(&format!("{table}.{name}"), value, why);
        let (text, role) = (field("key")?, field("role")?);
        let key = key_of(text).ok_or_else(|| wrong("key", text, "this is no key; `pearwood key show` prints yours"))?;
        let found = Role::ALL.into_iter().find(|known| known.word() == role);
        let role = found.ok_or_else(|| wrong("role", role, "this is no role; there are view, operate and deploy"))?;
        let name = fields.get("name").copied().unwrap_or("without a name");
        if name.len() > 64 || name.chars().any(char::is_control) {
            return Err(wrong("name", name, "the name is no short line"));
        }
        Ok(Grantee { key, role, name: name.into() })
    }
}

/// An ed25519 key in 64 hexadecimal digits. None if it is none, or one with which anybody could sign.
pub fn key_of(text: &str) -> Option<[u8; 32]> {
    let text = text.trim().as_bytes();
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let digit = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak())?;
    Some(bytes)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8032, section 7.1, tests 1 and 2
    const ANNA: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const BEN: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    #[test]
    fn keys_and_roles() {
        let settings = [
            ("keys.0.key", ANNA),
            ("keys.0.role", "deploy"),
            ("keys.0.name", "anna"),
            ("keys.1.key", BEN),
            ("keys.1.role", "view"),
            ("port", "1234"),
        ];
        let config = Config::read(settings).unwrap();
        assert_eq!((config.port, config.keys.len()), (1234, 2));
        let anna = config.grantee(&key_of(ANNA).unwrap()).unwrap();
        assert_eq!((anna.role, anna.name.as_str()), (Role::Deploy, "anna"));
        assert_eq!(hex(&config.keys[1].key), BEN);
    }

    /// What is one is tested where [`Network`] is.
    #[test]
    fn networks() {
        assert_eq!(Config::read([("metrics.0", "10.0.0.0/8"), ("metrics.1", "::1")]).unwrap().metrics.len(), 2);
        let faults = Config::read([("metrics", "10.0.0.1/8")]).unwrap_err();
        assert!(faults[0].to_string().contains("an address or a network is meant"), "{faults:?}");
        assert!(Config::read([]).unwrap().metrics.is_empty());
    }

    #[test]
    fn faults_are_named() {
        let faults = |settings: &[(&'static str, &'static str)]| Config::read(settings.iter().copied()).unwrap_err();
        let error = |settings: &[(&'static str, &'static str)]| faults(settings)[0].to_string();
        assert_eq!(error(&[("keys.0.key", ANNA)]), "config.keys.0: it has no `role`");
        assert!(error(&[("keys.0.key", ANNA), ("keys.0.role", "root")]).contains("view, operate and deploy"));
        assert!(
            error(&[("keys.3.key", "12"), ("keys.3.role", "view")])
                .starts_with("config.keys.3.key = \"12\": this is no key")
        );
        let weak = "0100000000000000000000000000000000000000000000000000000000000000";
        assert!(error(&[("keys.0.key", weak), ("keys.0.role", "view")]).contains("is no key"));
        let twice = [("keys.0.key", ANNA), ("keys.0.role", "view"), ("keys.1.key", ANNA), ("keys.1.role", "deploy")];
        assert!(error(&twice).contains("has the same key"));
        assert_eq!(faults(&twice)[0].beside.as_deref(), Some("keys.0"));
        assert!(error(&[("secret", "short")]).contains("shorter than 32"));
        assert!(!error(&[("secret", "hush")]).contains("hush"));
        assert!(error(&[("key", ANNA)]).contains("config.key"));
        assert_eq!(faults(&[("port", "0"), ("connections", "1"), ("keys.0", "x"), ("secret.x", "y")]).len(), 4);
    }
}
