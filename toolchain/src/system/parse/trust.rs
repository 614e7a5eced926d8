//! `trust` of `[system]`: whose images may take the system's place.

use super::{
    Reader,
    table::{Table, Value},
};
use crate::system::keys::{self, SYSTEM};
use crate::system::model::Trusted;
use alloc::{format, vec::Vec};
use toml::de::DeValue;
use wasm_host::image::{Endorsement, MAX_ENDORSEMENTS, PublicKey};

impl Reader {
    /// Keys in hexadecimal digits, or `{ key = "…", by = "…", signature = "…" }`.
    pub(super) fn trust(&mut self, value: &Value<'_>) -> Option<Vec<Trusted>> {
        let DeValue::Array(values) = value.get_ref() else {
            return self.wrong_type(value, "`trust`", "an array of keys");
        };
        if values.is_empty() {
            self.fault(value.span(), "`trust` has no key: nothing could be deployed any more".into()).help =
                Some("without `trust`, those keys are trusted that the node was started with".into());
            return None;
        }
        if values.len() > MAX_ENDORSEMENTS {
            self.fault(value.span(), format!("`trust` has {} keys; at most {MAX_ENDORSEMENTS}", values.len()));
            return None;
        }
        let mut all: Vec<Trusted> = Vec::new();
        for value in values.iter() {
            let trusted = self.trusted(value)?;
            if all.iter().any(|other| other.key == trusted.key) {
                self.fault(value.span(), format!("`trust` has the key {} twice", trusted.key));
                return None;
            }
            all.push(trusted);
        }
        Some(all)
    }

    fn trusted(&mut self, value: &Value<'_>) -> Option<Trusted> {
        let at = self.place(value.span());
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let key = self.key(value, "`trust`")?;
            return Some(Trusted { key, endorsement: None, at });
        }
        let mut table = self.table(value, "`trust`")?;
        self.unknown_keys(&mut table, "`trust`", &keys::below(SYSTEM, "trust"));
        let mut part = |table: &mut Table<'_, '_>, name: &str| -> Option<PublicKey> {
            match table.take(name) {
                Some((_, value)) => self.key(value, &format!("`trust`: {name}")),
                None => {
                    self.fault(value.span(), format!("an entry of `trust` has no `{name}`"));
                    None
                }
            }
        };
        let (key, by) = (part(&mut table, "key")?, part(&mut table, "by")?);
        let Some((_, signed)) = table.take("signature") else {
            self.fault(value.span(), "an entry of `trust` has no `signature`".into()).help =
                Some("`pearwood key endorse` makes one".into());
            return None;
        };
        let text = self.string(signed, "`trust`: signature")?;
        let endorsement = signature(text).map(|signature| Endorsement { key, by, signature });
        let endorsement = endorsement.filter(Endorsement::holds);
        if endorsement.is_none() {
            self.fault(signed.span(), format!("the signature is not one by {by} for {key}")).help =
                Some("`pearwood key endorse` makes one".into());
            return None;
        }
        Some(Trusted { key, endorsement, at })
    }

    fn key(&mut self, value: &Value<'_>, what: &str) -> Option<PublicKey> {
        let text = self.string(value, what)?;
        let key = text.parse().ok();
        if key.is_none() {
            self.fault(value.span(), format!("{what}: `{text}` is no ed25519 public key of 64 hexadecimal digits"));
        }
        key
    }
}

/// 128 hexadecimal digits.
fn signature(text: &str) -> Option<[u8; 64]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 64];
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use crate::system::{Report, System};
    use alloc::{
        format,
        string::{String, ToString},
    };
    use wasm_host::image::SecretKey;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn parse(trust: &str) -> Result<System, String> {
        let text = format!("[system]\nname = \"s\"\ntrust = {trust}\n[box.a]\ncomponent = \"a\"\n");
        System::parse("system.toml", &text).map_err(|faults| Report(&faults).to_string())
    }

    /// As `pearwood key endorse` prints it.
    fn entry(signature: &[u8; 64]) -> String {
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let (key, by) = (key(2).public(), key(1).public());
        format!("{{ key = \"{key}\", by = \"{by}\", signature = \"{signature}\" }}")
    }

    #[test]
    fn keys_with_and_without_endorsements() {
        let good = key(1).endorse(&key(2).public());
        let system = parse(&format!("[\"{}\", {}]", key(1).public(), entry(&good.signature))).unwrap();
        let trust = system.trust.unwrap();
        assert_eq!((trust[0].key, trust[0].endorsement), (key(1).public(), None));
        assert_eq!((trust[1].key, trust[1].endorsement), (key(2).public(), Some(good)));
    }

    #[test]
    fn faults_are_named() {
        let one = key(1).public();
        let forged = key(3).endorse(&key(2).public()).signature;
        for (trust, why) in [
            ("[]".into(), "`trust` has no key"),
            ("\"x\"".into(), "`trust` is an array of keys, not a string"),
            ("[\"x\"]".into(), "`x` is no ed25519 public key"),
            (format!("[\"{one}\", \"{one}\"]"), "twice"),
            (format!("[{{ key = \"{one}\" }}]"), "has no `by`"),
            (format!("[{{ key = \"{one}\", by = \"{one}\" }}]"), "has no `signature`"),
            (format!("[{}]", entry(&forged)), "the signature is not one by"),
            (format!("[{}]", ["\"\""; 17].join(", ")), "has 17 keys; at most 16"),
        ] {
            let report = parse(&trust).unwrap_err();
            assert!(report.contains(why) && report.contains("system.toml:3:"), "{report}");
        }
    }
}
