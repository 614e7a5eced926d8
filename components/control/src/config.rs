//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::message::Role;
use ::message::settings::Network;
use ed25519_dalek::VerifyingKey;
use std::collections::BTreeMap;
use wit::setting::{Setting, Value};

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
    /// Reads the settings as `pearwood:box/config` gives them. The error names the setting at fault.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, String> {
        let mut config = Config { port: 7327, keys: Vec::new(), secret: None, connections: 32, metrics: Vec::new() };
        let mut entries: BTreeMap<usize, BTreeMap<&str, &str>> = BTreeMap::new();
        for (key, value) in settings {
            let wrong = |expected: &str| Err(format!("config `{key}`: `{value}` is not {expected}"));
            match key {
                "port" => match value.parse() {
                    Ok(port @ 1..) => config.port = port,
                    _ => return wrong("a port, 1 to 65535"),
                },
                "connections" => match value.parse() {
                    Ok(count @ 2..=256) => config.connections = count,
                    _ => return wrong("a number from 2 to 256"),
                },
                _ if key == "metrics" || key.starts_with("metrics.") => match Network::read(value) {
                    Ok(network) => config.metrics.push(network),
                    Err(_) => return wrong("an address or a network, such as 10.0.0.0/8"),
                },
                // not repeated in the message
                "secret" if value.len() < MIN_SECRET => {
                    return Err(format!("config `secret` is shorter than {MIN_SECRET} bytes, and might be guessed"));
                }
                "secret" => config.secret = Some(value.into()),
                _ => {
                    let entry = key.strip_prefix("keys.").and_then(|rest| rest.split_once('.'));
                    let entry = entry.and_then(|(index, field)| Some((index.parse().ok()?, field)));
                    let Some((index, field @ ("key" | "role" | "name"))) = entry else {
                        return Err(format!("config `{key}` is no setting of the control box"));
                    };
                    entries.entry(index).or_default().insert(field, value);
                }
            }
        }
        if entries.len() > MAX_KEYS {
            return Err(format!("config `keys` has {} entries; at most {MAX_KEYS}", entries.len()));
        }
        for (index, fields) in entries {
            let grantee = Grantee::read(&fields).map_err(|why| format!("config `keys.{index}`: {why}"))?;
            if let Some(other) = config.keys.iter().find(|other| other.key == grantee.key) {
                return Err(format!("config `keys.{index}`: `{}` has the same key", other.name));
            }
            config.keys.push(grantee);
        }
        Ok(config)
    }

    pub fn grantee(&self, key: &[u8; 32]) -> Option<&Grantee> {
        self.keys.iter().find(|grantee| grantee.key == *key)
    }
}

impl Grantee {
    fn read(fields: &BTreeMap<&str, &str>) -> Result<Self, String> {
        let field = |name: &str| fields.get(name).copied().ok_or(format!("it has no `{name}`"));
        let (key, role) = (field("key")?, field("role")?);
        let key = key_of(key).ok_or(format!("`{key}` is no key; `pearwood key show` prints yours"))?;
        let found = Role::ALL.into_iter().find(|known| known.word() == role);
        let role = found.ok_or(format!("`{role}` is no role; there are view, operate and deploy"))?;
        let name = fields.get("name").copied().unwrap_or("without a name");
        if name.len() > 64 || name.chars().any(char::is_control) {
            return Err("the name is no short line".into());
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
        let error = Config::read([("metrics", "10.0.0.1/8")]).unwrap_err();
        assert!(error.contains("is not an address or a network"), "{error}");
        assert!(Config::read([]).unwrap().metrics.is_empty());
    }

    #[test]
    fn faults_are_named() {
        let error = |settings: &[(&'static str, &'static str)]| Config::read(settings.iter().copied()).unwrap_err();
        assert!(error(&[("keys.0.key", ANNA)]).contains("`keys.0`: it has no `role`"));
        assert!(error(&[("keys.0.key", ANNA), ("keys.0.role", "root")]).contains("view, operate and deploy"));
        assert!(error(&[("keys.3.key", "12"), ("keys.3.role", "view")]).contains("`keys.3`: `12` is no key"));
        let weak = "0100000000000000000000000000000000000000000000000000000000000000";
        assert!(error(&[("keys.0.key", weak), ("keys.0.role", "view")]).contains("is no key"));
        let twice = [("keys.0.key", ANNA), ("keys.0.role", "view"), ("keys.1.key", ANNA), ("keys.1.role", "deploy")];
        assert!(error(&twice).contains("has the same key"));
        assert!(error(&[("secret", "short")]).contains("shorter than 32"));
        assert!(!error(&[("secret", "hush")]).contains("hush"));
        assert!(error(&[("key", ANNA)]).contains("`key` is no setting"));
    }
}
