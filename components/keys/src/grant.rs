//! What an arrow to the box says: which of the keys are for whoever it comes from.

use crate::config::check_key_name;
use wit::setting::{Fault, Setting, Value};

/// The key of those who name none.
const DEFAULT: &str = "default";
/// Keys that one arrow may be for.
const MAX_KEYS: usize = 256;

/// What an arrow of `pearwood:keys/tls` and `pearwood:keys/acme` can say.
pub const GRANT: &[Setting] = &[Setting::new(
    "keys",
    Value::Some("name of a key"),
    "The keys that are for this box; it is refused every other. Without it: those that its own settings name, if it is `tls` or `acme`, \
     and else `default`.",
)
.example("[\"default\", \"shop\"]")];

/// An arrow's words, as [`GRANT`] explains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    keys: Vec<String>,
}

impl Grant {
    /// Reads the words as `pearwood:box/caller` gives them.
    pub fn read<'a>(words: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Grant, Fault> {
        let mut keys = Vec::new();
        for (name, value) in words {
            let why = match name.split_once('.').unwrap_or((name, "")) {
                ("keys", _) if keys.len() == MAX_KEYS => Err(format!("there may be {MAX_KEYS} keys")),
                ("keys", _) => check_key_name(value),
                _ => Err("an arrow to this box says `keys` and nothing else".into()),
            };
            why.map_err(|why| Fault::new(name, value, why))?;
            keys.push(value.into());
        }
        if keys.is_empty() {
            keys.push(DEFAULT.into());
        }
        Ok(Grant { keys })
    }

    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|own| own == key)
    }

    /// That a key is for the box of this name.
    ///
    /// # Errors
    /// It is not. The error names both.
    pub fn check(&self, box_name: &str, key: &str) -> Result<(), String> {
        if self.has(key) {
            return Ok(());
        }
        Err(format!("the key `{key}` is not for box `{box_name}`: its arrow is for {}", self.keys.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_is_for_the_keys_that_it_names() {
        let grant = Grant::read([("keys.0", "a"), ("keys.1", "b")]).unwrap();
        assert!(grant.check("shop", "a").is_ok() && grant.has("b"));
        assert_eq!(
            grant.check("shop", "default").unwrap_err(),
            "the key `default` is not for box `shop`: its arrow is for a, b"
        );
        let none = Grant::read([]).unwrap();
        assert!(none.has("default") && !none.has("a") && !none.has(""));
        assert!(Grant::read([("keys", "a")]).unwrap().has("a"));
        for (name, value, why) in [
            ("keyz", "a", "says `keys` and nothing else"),
            ("", "a", "says `keys` and nothing else"),
            ("keys.0", "", "1 to 253 bytes"),
            ("keys.0", "a\nb", "1 to 253 bytes"),
        ] {
            let fault = Grant::read([(name, value)]).unwrap_err().to_string();
            assert!(fault.contains(why), "{name}: {fault}");
        }
    }
}
