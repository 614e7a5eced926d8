//! The box's `config` table of system.toml:
//!
//! ```toml
//! [box.site.config]
//! index = "index.html"                      # what a folder shows
//! not-found = "404.html"                    # the body of a 404, if the file is there
//! cache.file = "128 KiB"                    # files up to this size are kept in the box
//! cache.total = "4 MiB"                     # as long as they are together no bigger than this
//! cache-control.html = "no-cache"
//! cache-control.other = "public, max-age=3600"
//! cache-control.paths = [{ prefix = "/static/", value = "public, max-age=31536000, immutable" }]
//! headers.x-frame-options = "DENY"          # on every answer
//! types.gmi = "text/gemini; charset=utf-8"  # media types by extension, before the built-in ones
//! ```
//!
//! All of it may be left out; these are the defaults, but for the last three.

use message::fields::{is_settable, is_token};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub index: String,
    pub not_found: String,
    /// bytes
    pub cache_file: u64,
    /// bytes
    pub cache_total: usize,
    pub cache_control_html: String,
    pub cache_control_other: String,
    /// Path prefixes without their first `/`, and the value for what is below.
    pub cache_control_paths: Vec<(String, String)>,
    /// Lines `name: value\r\n` for every answer.
    pub headers: String,
    /// Extensions in lower case, and media types.
    pub types: BTreeMap<String, String>,
}

/// What can be set, for whoever has misspelt it; what is below `headers` and `types` is anybody's choice.
pub const KEYS: &[&str] = &[
    "index",
    "not-found",
    "cache.file",
    "cache.total",
    "cache-control.html",
    "cache-control.other",
    "cache-control.paths",
    "cache-control.paths.prefix",
    "cache-control.paths.value",
    "headers",
    "types",
];

impl Default for Settings {
    fn default() -> Self {
        Settings {
            index: "index.html".into(),
            not_found: "404.html".into(),
            cache_file: 128 << 10,
            cache_total: 4 << 20,
            cache_control_html: "no-cache".into(),
            cache_control_other: "public, max-age=3600".into(),
            cache_control_paths: Vec::new(),
            headers: String::new(),
            types: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Reads the flattened table. All that is wrong with it is reported at once, each in a line of its own.
    pub fn read(config: &[(String, String)]) -> Result<Self, Vec<String>> {
        let mut settings = Settings::default();
        let mut paths: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
        let mut errors = Vec::new();
        for (key, value) in config {
            let taken = match key.split_once('.').unwrap_or((key, "")) {
                ("index", "") => file_name(value).map(|name| settings.index = name),
                ("not-found", "") => relative(value).map(|path| settings.not_found = path),
                ("cache", "file") => size(value).map(|bytes| settings.cache_file = bytes),
                ("cache", "total") => size(value).and_then(|bytes| {
                    settings.cache_total = bytes.try_into().map_err(|_| "too much for a box".to_owned())?;
                    Ok(())
                }),
                ("cache-control", "html") => field_value(value).map(|value| settings.cache_control_html = value),
                ("cache-control", "other") => field_value(value).map(|value| settings.cache_control_other = value),
                ("cache-control", rest) if rest.starts_with("paths.") => match rest["paths.".len()..].split_once('.') {
                    Some((at, part @ ("prefix" | "value"))) => {
                        let path = paths.entry(at).or_default();
                        *(if part == "prefix" { &mut path.0 } else { &mut path.1 }) = Some(value);
                        Ok(())
                    }
                    _ => Err("a path has `prefix` and `value`".to_owned()),
                },
                ("headers", name) => header(name, value).map(|line| settings.headers.push_str(&line)),
                ("types", extension) if !extension.is_empty() => {
                    field_value(value).map(|value| drop(settings.types.insert(extension.to_ascii_lowercase(), value)))
                }
                _ => Err("there is no such setting".to_owned()),
            };
            if let Err(why) = taken {
                errors.push(format!("config.{key} = {value:?}: {why}"));
            }
        }
        for (at, path) in paths {
            let (Some(prefix), Some(value)) = path else {
                errors.push(format!("config.cache-control.paths.{at}: a path has `prefix` and `value`"));
                continue;
            };
            match (prefix.strip_prefix('/'), field_value(value)) {
                (Some(prefix), Ok(value)) => settings.cache_control_paths.push((prefix.to_owned(), value)),
                (None, _) => errors.push(format!("config.cache-control.paths.{at}: {prefix:?} does not begin with /")),
                (_, Err(why)) => errors.push(format!("config.cache-control.paths.{at}: {value:?}: {why}")),
            }
        }
        // The longest prefix is the one that counts.
        settings.cache_control_paths.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    pub fn cache_control(&self, path: &str, html: bool) -> &str {
        match self.cache_control_paths.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, value)) => value,
            None if html => &self.cache_control_html,
            None => &self.cache_control_other,
        }
    }
}

fn file_name(value: &str) -> Result<String, String> {
    if value.contains('/') { Err("a file name has no /".into()) } else { relative(value) }
}

fn relative(value: &str) -> Result<String, String> {
    if crate::target::nameable(value) { Ok(value.into()) } else { Err("not the path of a file in the assets".into()) }
}

/// `1024`, `64 KiB`, `4 MiB`, `1 GiB`
fn size(value: &str) -> Result<u64, String> {
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err("a size is a number of bytes, KiB, MiB or GiB".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a size begins with a number".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too big".into())
}

fn field_value(value: &str) -> Result<String, String> {
    let valid = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value;
    if valid { Ok(value.into()) } else { Err("not a header's value: printable ASCII, no space around it".into()) }
}

fn header(name: &str, value: &str) -> Result<String, String> {
    if !is_token(name) {
        return Err("not a header's name".into());
    }
    let name = name.to_ascii_lowercase();
    if !is_settable(&name) || WRITTEN_BY_THE_BOX.contains(&name.as_str()) {
        return Err("the box or the protocol itself writes this header".into());
    }
    Ok(format!("{name}: {}\r\n", field_value(value)?))
}

const WRITTEN_BY_THE_BOX: &[&str] = &[
    "accept-ranges",
    "allow",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "trailer",
    "vary",
    "x-content-type-options",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let config: Vec<_> = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::read(&config)
    }

    #[test]
    fn nothing_is_the_default() {
        assert_eq!(read(&[]), Ok(Settings::default()));
    }

    #[test]
    fn everything_can_be_set() {
        let settings = read(&[
            ("index", "home.html"),
            ("not-found", "errors/404.html"),
            ("cache.file", "1 KiB"),
            ("cache.total", "2MiB"),
            ("cache-control.html", "no-store"),
            ("cache-control.other", "max-age=1"),
            ("cache-control.paths.0.prefix", "/static/"),
            ("cache-control.paths.0.value", "max-age=2"),
            ("cache-control.paths.1.prefix", "/static/long/"),
            ("cache-control.paths.1.value", "max-age=3"),
            ("headers.X-Frame-Options", "DENY"),
            ("types.GMI", "text/gemini"),
        ])
        .unwrap();
        assert_eq!((settings.index.as_str(), settings.not_found.as_str()), ("home.html", "errors/404.html"));
        assert_eq!((settings.cache_file, settings.cache_total), (1 << 10, 2 << 20));
        assert_eq!(settings.cache_control("a.html", true), "no-store");
        assert_eq!(settings.cache_control("a.css", false), "max-age=1");
        assert_eq!(settings.cache_control("static/a.html", true), "max-age=2");
        assert_eq!(settings.cache_control("static/long/a.css", false), "max-age=3");
        assert_eq!(settings.headers, "x-frame-options: DENY\r\n");
        assert_eq!(settings.types["gmi"], "text/gemini");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value) in [
            ("indx", "a"),
            ("index", "a/b"),
            ("index", ""),
            ("index.x", "a"),
            ("not-found", "/404.html"),
            ("not-found", "../404.html"),
            ("cache.file", "big"),
            ("cache.file", "1 KB"),
            ("cache.file", "99999999999999999999"),
            ("cache.total", "18446744073709551615 GiB"),
            ("cache", "1"),
            ("cache-control.html", "a\r\nset-cookie: b"),
            ("cache-control.paths.0", "x"),
            ("cache-control.paths.0.prefix", "/x"),
            ("headers.content-length", "1"),
            ("headers.Connection", "close"),
            ("headers.a b", "1"),
            ("headers.", "1"),
            ("headers.x", "a\nb"),
            ("types.", "text/x"),
        ] {
            let errors = read(&[(key, value)]).unwrap_err();
            assert_eq!(errors.len(), 1, "{key} = {value}");
            assert!(errors[0].starts_with(&format!("config.{}", key.trim_end_matches(".prefix"))), "{}", errors[0]);
        }
        assert_eq!(read(&[("a", ""), ("b", "")]).unwrap_err().len(), 2);
    }
}
