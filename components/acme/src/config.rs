//! The box's settings: its `config` table of system.toml. See [`SETTINGS`].

use crate::machine::check_url;
use crate::{Certificate, Config, External, Proof};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use message::settings::boolean;
use std::collections::BTreeMap;
use wit::setting::{Fault, Setting, Value};
use zeroize::Zeroizing;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// As many as authorities take in one certificate, and as many certificates.
const MAX_NAMES: usize = 100;
const MAX_CERTIFICATES: usize = 100;
const MAX_CONTACTS: usize = 10;
/// The longest name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new(
        "certificates",
        Value::Tables,
        "The certificates that are to be had: each for some names and one key. The box `tls` shows it for these names, if its own \
         `certificates` has them with that key.",
    )
    .required()
    .example(
        r#"[
    { names = ["example.org", "www.example.org"], key = "www", challenge = "tls-alpn-01" },
    { names = "example.net", key = "other" },
]"#,
    ),
    Setting::new(
        "certificates.names",
        Value::Some("host name"),
        "The host names, all of which lead to this node: at most 100, without a `*`.",
    )
    .required(),
    Setting::new(
        "certificates.key",
        Value::Text("name of a key"),
        "The key of the box `keys`, which makes it if there is none. Each certificate has a key of its own.",
    )
    .default("\"default\""),
    Setting::new(
        "certificates.challenge",
        Value::OneOf(&["http-01", "tls-alpn-01"]),
        "How the authority is shown that the names are this node's. By http-01, it asks port 80 for a path below \
         `/.well-known/acme-challenge/`, which an arrow of the box `http` brings here. By tls-alpn-01, it asks port 443, where `tls` answers.",
    )
    .default("\"http-01\""),
    Setting::new(
        "terms-agreed",
        Value::Truth,
        "Whether you agree to the authority's terms of service, without which it gives no certificate. Those of Let's Encrypt are at \
         https://letsencrypt.org/repository/.",
    )
    .required()
    .example("true"),
    Setting::new(
        "contact",
        Value::Some("e-mail address, or URL"),
        "Where the authority can tell you that something is wrong with certificates.",
    )
    .example("\"anna@example.org\""),
    Setting::new("directory", Value::Text("URL"), "The authority: the URL of its directory. It begins with https://; an authority of your own is trusted by `trust` of the box `tls`.")
        .default("\"https://acme-v02.api.letsencrypt.org/directory\""),
    Setting::new(
        "external",
        Value::Table,
        "Who you are to an authority that knows its clients from elsewhere (external account binding). It is needed until there is an \
         account, and can be taken away then: whoever may see the system's file sees it there.",
    )
    .example("{ kid = \"kid-1\", key = \"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\" }"),
    Setting::new("external.kid", Value::Text("identifier"), "Your account, as the authority calls it.").required(),
    Setting::new("external.key", Value::Text("BASE64URL"), "The secret that the authority gave you (HMAC).").required(),
];

/// What a file has so far.
#[derive(Default)]
struct Draft {
    certificates: BTreeMap<u32, Certificate>,
    contact: Vec<String>,
    directory: Option<String>,
    is_agreed: bool,
    kid: Option<String>,
    key: Option<Zeroizing<Vec<u8>>>,
    has_external: bool,
}

impl Config {
    /// Reads the settings as `pearwood:box/config` gives them. All that is wrong with them is reported at once, without secrets.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<Fault>> {
        let (mut draft, mut faults) = (Draft::default(), Vec::new());
        for (key, value) in settings {
            if let Err(why) = draft.set(key, value.trim()) {
                faults.push(if key == "external.key" { Fault::at(key, why) } else { Fault::new(key, value, why) });
            }
        }
        // what is missing may be what was wrong
        if faults.is_empty() {
            draft.check(&mut faults);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Config {
            directory: draft.directory.unwrap_or_else(|| LETS_ENCRYPT.into()),
            contact: draft.contact,
            agreed: draft.is_agreed,
            external: draft.kid.zip(draft.key).map(|(id, key)| External { id, key }),
            certificates: draft.certificates.into_values().collect(),
        })
    }
}

impl Draft {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let unknown = || Err("there is no such setting".into());
        match key.split_once('.').unwrap_or((key, "")) {
            ("certificates", key) => {
                let Some((Ok(place), key)) = key.split_once('.').map(|(place, key)| (place.parse(), key)) else {
                    return unknown();
                };
                if self.certificates.len() == MAX_CERTIFICATES && !self.certificates.contains_key(&place) {
                    return Err(format!("there may be {MAX_CERTIFICATES} certificates"));
                }
                let none = || Certificate { key: "default".into(), names: Vec::new(), proof: Proof::Http };
                let certificate = self.certificates.entry(place).or_insert_with(none);
                match key.split_once('.').unwrap_or((key, "")) {
                    ("names", _) => {
                        let name = name(value)?;
                        if certificate.names.len() == MAX_NAMES {
                            return Err(format!("a certificate has at most {MAX_NAMES} names"));
                        }
                        if certificate.names.contains(&name) {
                            return Err("the certificate has this name already".into());
                        }
                        certificate.names.push(name);
                    }
                    ("key", "") if (1..=MAX_NAME).contains(&value.len()) && !value.contains(char::is_control) => {
                        certificate.key = value.into();
                    }
                    ("key", "") => return Err("the name of a key is meant".into()),
                    ("challenge", "") => {
                        let proof = [Proof::Http, Proof::Tls].into_iter().find(|proof| proof.kind() == value);
                        certificate.proof = proof.ok_or("\"http-01\" or \"tls-alpn-01\" is meant")?;
                    }
                    _ => return Err("a certificate has `names`, `key` and `challenge`".into()),
                }
            }
            ("contact", _) if self.contact.len() == MAX_CONTACTS => {
                return Err(format!("there may be {MAX_CONTACTS} contacts"));
            }
            ("contact", _) => self.contact.push(contact(value)?),
            ("directory", "") => {
                check_url(value).map_err(|_| format!("the URL of a directory is meant, such as {LETS_ENCRYPT}"))?;
                self.directory = Some(value.into());
            }
            ("terms-agreed", "") => self.is_agreed = boolean(value)?,
            ("external", key) => {
                self.has_external = true;
                match key {
                    "kid" if (1..=1_024).contains(&value.len()) && !value.contains(char::is_control) => {
                        self.kid = Some(value.into());
                    }
                    "kid" => return Err("what the authority calls your account is meant".into()),
                    "key" => self.key = Some(secret(value)?),
                    _ => return Err("`external` has `kid` and `key`".into()),
                }
            }
            _ => return unknown(),
        }
        Ok(())
    }

    /// What none of the settings says alone.
    fn check(&self, faults: &mut Vec<Fault>) {
        if self.certificates.is_empty() {
            faults.push(Fault::at("certificates", "it does not say for which names there are to be certificates"));
        }
        let mut keys: BTreeMap<&str, u32> = BTreeMap::new();
        for (place, certificate) in &self.certificates {
            let at = format!("certificates.{place}");
            if certificate.names.is_empty() {
                faults.push(Fault::at(&at, "it has no `names`"));
            }
            if let Some(first) = keys.insert(&certificate.key, *place) {
                let why = format!(
                    "the key `{}` has another certificate: put all names into one, or give this one a key of its own",
                    certificate.key
                );
                faults.push(Fault { beside: Some(format!("certificates.{first}")), ..Fault::at(&at, why) });
            }
        }
        if !self.is_agreed {
            let why =
                "an authority gives certificates to those who agree to its terms of service: if you do, set it to true";
            faults.push(Fault::at("terms-agreed", why));
        }
        if self.has_external {
            for (is_missing, what) in [(self.kid.is_none(), "kid"), (self.key.is_none(), "key")] {
                if is_missing {
                    faults.push(Fault::at("external", format!("it has no `{what}`")));
                }
            }
        }
    }
}

/// A host's name that an authority may know, in lower case.
fn name(text: &str) -> Result<String, String> {
    if text.starts_with("*.") {
        return Err("a name with a `*` is proved by DNS alone, which this box cannot: name each host".into());
    }
    let is_label = |label: &str| {
        let is_inside = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len())
            && is_inside
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_name = text.len() <= MAX_NAME && text.contains('.') && text.split('.').all(is_label);
    if is_name && !last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("a host's name that others know is meant, such as www.example.org (of other letters than ASCII, the form with xn--)".into())
}

/// Section 7.3: a URL.
fn contact(text: &str) -> Result<String, String> {
    let url = if text.contains(':') { text.to_string() } else { format!("mailto:{text}") };
    let is_one = url.len() <= 320 && url.bytes().all(|byte| byte.is_ascii_graphic());
    let is_mail = || {
        // one address, and nothing that a mail would begin with (RFC 8555, section 7.3)
        url.strip_prefix("mailto:").is_none_or(|mail| {
            let parts = mail.split_once('@');
            parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
                && !mail.contains([',', '?'])
        })
    };
    if is_one && is_mail() {
        Ok(url)
    } else {
        Err("an e-mail address is meant, or a URL such as mailto:anna@example.org".into())
    }
}

/// BASE64URL, with or without its end.
fn secret(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let key = ENGINE.decode(text).ok().filter(|key| (16..=1_024).contains(&key.len()));
    key.map(Zeroizing::new)
        .ok_or_else(|| "the authority's secret is meant, in BASE64URL: letters, digits, `-` and `_`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 2] = [("certificates.0.names", "a.example"), ("terms-agreed", "true")];

    #[test]
    fn settings_are_read() {
        let config = Config::read(LEAST).unwrap();
        assert_eq!((&*config.directory, config.contact.len(), config.external), (LETS_ENCRYPT, 0, None));
        let one = Certificate { key: "default".into(), names: vec!["a.example".into()], proof: Proof::Http };
        assert_eq!(config.certificates, [one]);
        let config = Config::read([
            ("certificates.0.names.0", "A.example"),
            ("certificates.0.names.1", "b.example"),
            ("certificates.2.names", "xn--bcher-kva.example"),
            ("certificates.2.key", "other"),
            ("certificates.2.challenge", "tls-alpn-01"),
            ("contact", "anna@example.org"),
            ("terms-agreed", "true"),
            ("directory", "https://ca.internal:14000/dir"),
            ("external.kid", "me"),
            ("external.key", "YSBzZWNyZXQgb2Ygc29tZSBsZW5ndGg="),
        ]);
        let config = config.unwrap();
        assert_eq!(
            (config.contact, config.external.unwrap().key.len()),
            (vec!["mailto:anna@example.org".to_string()], 23)
        );
        assert_eq!(config.certificates[0].names, ["a.example", "b.example"]);
        assert_eq!((&*config.certificates[1].key, config.certificates[1].proof), ("other", Proof::Tls));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (key, value, why) in [
            ("certificates.0.names", "*.example.org", "by DNS alone"),
            ("certificates.0.names", "localhost", "a host's name"),
            ("certificates.0.names", "192.0.2.1", "a host's name"),
            ("certificates.0.names", "a_b.example", "a host's name"),
            ("certificates.0.names", "bücher.example", "xn--"),
            ("certificates.0.names.1", "A.example", "already"),
            ("certificates.0.key", "", "the name of a key"),
            ("certificates.0.challenge", "dns-01", "\"tls-alpn-01\""),
            ("certificates.0.proof", "http-01", "a certificate has"),
            ("certificates.1.key", "b", "it has no `names`"),
            ("certificates.1.names", "b.example", "the key `default` has another certificate"),
            ("certificates", "a.example", "no such setting"),
            ("terms-agreed", "yes", "true or false"),
            ("terms-agreed", "false", "terms of service"),
            ("contact", "anna", "an e-mail address"),
            ("contact", "mailto:a@b?subject=x", "an e-mail address"),
            ("contact", "a@b, c@d", "an e-mail address"),
            ("directory", "http://ca.example/", "https://acme-v02"),
            ("directory", "https://a b/", "https://acme-v02"),
            ("external.kid", "me", "it has no `key`"),
            ("external.kid", "", "what the authority calls"),
            ("external.key", "c2hvcnQ", "BASE64URL"),
            ("external.mac", "a", "`external` has"),
            ("email", "a@b.example", "no such setting"),
        ] {
            let faults = Config::read(LEAST.into_iter().chain([(key, value)])).expect_err(key);
            assert_eq!(faults.len(), 1, "{key}: {faults:?}");
            assert!(faults[0].to_string().contains(why), "{}", faults[0]);
            assert!(key != "external.key" || !faults[0].to_string().contains(value), "{}", faults[0]);
        }
        assert_eq!(Config::read([]).unwrap_err().len(), 2);
    }
}
