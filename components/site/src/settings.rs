//! The box's `config` table of system.toml: see [`SETTINGS`].

use crate::encoding::Encoding;
use message::{
    fields::{is_settable, is_token},
    rules::Rules,
    settings::{boolean, field_value, size},
};
use std::collections::BTreeMap;
use wit::setting::{Fault, Setting, Value};

/// The settings as [`SETTINGS`] explains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub index: String,
    pub not_found: String,
    pub clean_urls: bool,
    /// bytes
    pub cache_file: u64,
    /// bytes
    pub cache_total: usize,
    pub cache_control_html: String,
    pub cache_control_other: String,
    /// Lines `name: value\r\n` for every answer.
    pub headers: String,
    /// Extensions in lower case, and media types.
    pub types: BTreeMap<String, String>,
    pub rules: Rules<Says>,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Says {
    media_type: Option<String>,
    encoding: Option<Encoding>,
    cache_control: Option<String>,
    /// names in lower case, and values
    headers: BTreeMap<String, String>,
    listing: Option<bool>,
    fallback: Option<String>,
}

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new("index", Value::Text("file name"), "What a folder shows.").default("\"index.html\""),
    Setting::new("not-found", Value::Text("path of a file"), "The body of a 404, if the file is there.")
        .default("\"404.html\""),
    Setting::new("clean-urls", Value::Truth, "Whether `/about` is `about.html`.").default("false"),
    Setting::new("cache.file", Value::Size(0, u64::MAX), "Files up to this size are kept in the box.")
        .default("\"128 KiB\""),
    Setting::new("cache.total", Value::Size(0, 1 << 32), "How big the files that are kept may be together.")
        .default("\"4 MiB\""),
    Setting::new("cache-control.html", Value::Text("header value"), "The header `Cache-Control` of HTML pages.")
        .default("\"no-cache\""),
    Setting::new("cache-control.other", Value::Text("header value"), "The header `Cache-Control` of other files.")
        .default("\"max-age=3600\""),
    Setting::new("headers", Value::Names("header value"), "Headers on every answer.")
        .example("{ x-frame-options = \"DENY\" }"),
    Setting::new("types", Value::Names("media type"), "Media types by extension, before the built-in ones.")
        .example("{ gmi = \"text/gemini; charset=utf-8\" }"),
    Setting::new(
        "rules",
        Value::Tables,
        "What holds for some files. Rules are tried in the order of the file, and of each property the first rule counts \
         that fits and has it.",
    )
    .example(
        r#"[
    { path = "/.well-known/matrix/*", type = "application/json", headers.access-control-allow-origin = "*" },
    { path = "/static/*", cache = "max-age=31536000, immutable" },
    { path = "*.wasm.br", type = "application/wasm", encoding = "br" },
    { path = "/files/*", listing = true },
    { path = "/app/*", fallback = "app/index.html" },
]"#,
    ),
    Setting::new(
        "rules.path",
        Value::Text("pattern"),
        "Which files the rule is for, with one `*` at most. It begins with `/` or `*`. `/a/*` is for the folder `/a/` and all that \
         is below. Without it: all.",
    ),
    Setting::new("rules.type", Value::Text("media type"), "The media type."),
    Setting::new("rules.encoding", Value::OneOf(&["gzip", "br"]), "How the files are compressed already."),
    Setting::new("rules.cache", Value::Text("header value"), "The header `Cache-Control`."),
    Setting::new("rules.headers", Value::Names("header value"), "Headers on answers with the file."),
    Setting::new("rules.listing", Value::Truth, "Whether folders without an index show what is in them. A folder without any file is in no image, and not shown."),
    Setting::new("rules.fallback", Value::Text("path of a file"), "What is sent, with 200, where there is nothing."),
];

impl Default for Settings {
    fn default() -> Self {
        Settings {
            index: "index.html".into(),
            not_found: "404.html".into(),
            clean_urls: false,
            cache_file: 128 << 10,
            cache_total: 4 << 20,
            cache_control_html: "no-cache".into(),
            cache_control_other: "max-age=3600".into(),
            headers: String::new(),
            types: BTreeMap::new(),
            rules: Rules::default(),
        }
    }
}

impl Settings {
    /// Reads the flattened table. All that is wrong with it is reported at once.
    pub fn read<'a>(config: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::default();
        let mut faults = Vec::new();
        for (key, value) in config {
            faults.extend(settings.set(key, value).err().map(|why| Fault::new(key, value, why)));
        }
        // A rule of which a part could not be read is not to be judged.
        if faults.is_empty() {
            let says_nothing = settings.rules.iter().filter(|(_, rule)| rule.says == Says::default());
            faults.extend(says_nothing.map(|(at, _)| Fault::at(&format!("rules.{at}"), "the rule says nothing")));
            faults.extend(settings.rules.hidden(Says::shared));
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key.split_once('.').unwrap_or((key, "")) {
            ("index", "") => self.index = file_name(value)?,
            ("not-found", "") => self.not_found = relative(value)?,
            ("clean-urls", "") => self.clean_urls = boolean(value)?,
            ("cache", "file") => self.cache_file = size(value, 0, u64::MAX)?,
            ("cache", "total") => self.cache_total = size(value, 0, 1 << 32)?.try_into().unwrap_or(usize::MAX),
            ("cache-control", "html") => self.cache_control_html = field_value(value)?,
            ("cache-control", "other") => self.cache_control_other = field_value(value)?,
            ("headers", name) => {
                let (name, value) = header(name, value)?;
                self.headers.push_str(&format!("{name}: {value}\r\n"));
            }
            ("types", extension) if !extension.is_empty() => {
                self.types.insert(extension.to_ascii_lowercase(), media_type(value)?);
            }
            ("rules", key) if key.ends_with(".host") => {
                return Err("the site is the same for all hosts; rules by host are for the box http".to_owned());
            }
            ("rules", key) => self.rules.set(key, value, Says::set)?,
            _ => return Err("there is no such setting".to_owned()),
        }
        Ok(())
    }

    /// What the first rule says that fits a file and has that property.
    fn rule<'a, T>(&'a self, path: &str, property: impl Fn(&'a Says) -> Option<T>) -> Option<T> {
        if self.rules.is_empty() {
            return None;
        }
        let path = format!("/{path}");
        self.rules.that_fit("", &path).find_map(|(_, says, _)| property(says))
    }

    /// The folder that a file is the index of.
    pub fn folder_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_suffix(self.index.as_str()).filter(|folder| folder.is_empty() || folder.ends_with('/'))
    }

    /// The clean URL of a page, if `path` is not it.
    #[inline]
    pub fn clean<'a>(&self, path: &'a str) -> Option<&'a str> {
        if !self.clean_urls {
            return None;
        }
        self.folder_of(path).or_else(|| path.strip_suffix(".html"))
    }

    pub fn media_type(&self, path: &str) -> Option<&str> {
        self.rule(path, |says| says.media_type.as_deref())
    }

    /// How the file itself is compressed.
    pub fn encoding(&self, path: &str) -> Encoding {
        let is_svgz = || path.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("svgz"));
        let built_in = || if is_svgz() { Encoding::Gzip } else { Encoding::Identity };
        self.rule(path, |says| says.encoding).unwrap_or_else(built_in)
    }

    pub fn cache_control(&self, path: &str, html: bool) -> &str {
        let built_in = if html { &self.cache_control_html } else { &self.cache_control_other };
        self.rule(path, |says| says.cache_control.as_deref()).unwrap_or(built_in)
    }

    /// Adds the header lines that rules have for a file: of those with one name, the first.
    pub fn headers_of(&self, path: &str, into: &mut Vec<u8>) {
        if self.rules.is_empty() {
            return;
        }
        let path = format!("/{path}");
        let mut lines: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in self.rules.that_fit("", &path).flat_map(|(_, says, _)| &says.headers) {
            lines.entry(name).or_insert(value);
        }
        lines.iter().for_each(|(name, value)| message::fields::push(into, name, value.as_bytes()));
    }

    /// Whether a folder without an index shows what is in it. The path is empty or ends with a slash.
    pub fn has_listing(&self, folder: &str) -> bool {
        self.rule(folder, |says| says.listing).unwrap_or(false)
    }

    /// The file that is sent where there is nothing.
    pub fn fallback(&self, path: &str) -> Option<&str> {
        self.rule(path, |says| says.fallback.as_deref())
    }

    /// All such files.
    pub fn fallbacks(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|(_, rule)| rule.says.fallback.as_deref())
    }
}

impl Says {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.split_once('.').unwrap_or((name, "")) {
            ("type", "") => self.media_type = Some(media_type(value)?),
            ("encoding", "") => {
                let known = Encoding::COMPRESSED.into_iter().find(|encoding| encoding.token() == value);
                self.encoding = Some(known.ok_or("gzip or br is meant")?);
            }
            ("cache", "") => self.cache_control = Some(field_value(value)?),
            ("headers", name) => {
                let (name, value) = header(name, value)?;
                self.headers.insert(name, value);
            }
            ("listing", "") => self.listing = Some(boolean(value)?),
            ("fallback", "") => self.fallback = Some(relative(value)?),
            _ => {
                return Err(
                    "a rule has `path`, and of type, encoding, cache, headers, listing and fallback some".into()
                );
            }
        }
        Ok(())
    }

    /// What a rule and one behind it have both, so that it never counts of the latter where it fits too.
    fn shared(&self, later: &Says) -> Option<String> {
        let both = [
            ("type", self.media_type.is_some() && later.media_type.is_some()),
            ("encoding", self.encoding.is_some() && later.encoding.is_some()),
            ("cache", self.cache_control.is_some() && later.cache_control.is_some()),
            ("listing", self.listing.is_some() && later.listing.is_some()),
            ("fallback", self.fallback.is_some() && later.fallback.is_some()),
        ];
        let header = || later.headers.keys().find(|name| self.headers.contains_key(*name));
        let found = both.into_iter().find_map(|(name, has)| has.then(|| name.into()));
        found.or_else(|| Some(format!("headers.{}", header()?)))
    }
}

/// A media type with its parameters (RFC 9110, section 8.3.1).
fn media_type(value: &str) -> Result<String, String> {
    let (name, mut rest) = value.split_at(value.find(';').unwrap_or(value.len()));
    let is_type = name.trim_end().split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
    let mut is_valid = is_type;
    while let Some(parameter) = rest.strip_prefix(';').map(str::trim_start) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // a quoted value has no quotes within, which no media type needs
        let length = match value.strip_prefix('"') {
            Some(inner) => inner.find('"').map_or(0, |end| end + 2),
            None => value.find([' ', ';']).unwrap_or(value.len()),
        };
        let (value, after) = value.split_at(length);
        is_valid &= is_token(name) && (value.starts_with('"') || is_token(value));
        rest = after.trim_start();
    }
    if is_valid && rest.is_empty() {
        field_value(value)
    } else {
        Err("a media type is meant, such as text/gemini or text/html; charset=utf-8".into())
    }
}

fn file_name(value: &str) -> Result<String, String> {
    if value.contains('/') { Err("a file name has no /".into()) } else { relative(value) }
}

fn relative(value: &str) -> Result<String, String> {
    if crate::target::nameable(value) { Ok(value.into()) } else { Err("not the path of a file in the assets".into()) }
}

/// Its name in lower case, and its value.
fn header(name: &str, value: &str) -> Result<(String, String), String> {
    if !is_token(name) {
        return Err("not a header's name".into());
    }
    let name = name.to_ascii_lowercase();
    if !is_settable(&name) || WRITTEN_BY_THE_BOX.contains(&name.as_str()) {
        return Err("the box or the protocol itself writes this header".into());
    }
    Ok((name, field_value(value)?))
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

    fn read(config: &[(&str, &str)]) -> Result<Settings, Vec<Fault>> {
        Settings::read(config.iter().copied())
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
            ("clean-urls", "true"),
            ("rules.0.path", "/static/long/*"),
            ("rules.0.cache", "max-age=3"),
            ("rules.0.headers.x-a", "1"),
            ("rules.1.path", "/static/*"),
            ("rules.1.cache", "max-age=2"),
            ("rules.1.type", "text/x"),
            ("rules.1.encoding", "br"),
            ("rules.1.headers.X-A", "2"),
            ("rules.1.headers.x-b", "3"),
            ("rules.1.listing", "true"),
            ("rules.1.fallback", "a.html"),
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
        assert_eq!(settings.media_type("static/long/a.css"), Some("text/x"));
        assert_eq!((settings.media_type("a.css"), settings.encoding("static/a")), (None, Encoding::Brotli));
        assert_eq!((settings.encoding("a.svg"), settings.encoding("a.SVGZ")), (Encoding::Identity, Encoding::Gzip));
        assert!(settings.has_listing("static/") && !settings.has_listing("") && settings.clean_urls);
        assert_eq!((settings.fallback("static/x"), settings.fallback("x")), (Some("a.html"), None));
        let mut lines = Vec::new();
        settings.headers_of("static/long/a.css", &mut lines);
        assert_eq!(String::from_utf8(lines).unwrap(), "x-a: 1\r\nx-b: 3\r\n");
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
            ("clean-urls", "yes"),
            ("rules", "x"),
            ("rules.0", "x"),
            ("rules.0.path", "x"),
            ("rules.0.path", "/*/x/*"),
            ("rules.0.host", "www.example.org"),
            ("rules.0.encoding", "zstd"),
            ("rules.0.headers.etag", "x"),
            ("rules.0.fallback", "/index.html"),
            ("rules.0.colour", "green"),
            ("headers.content-length", "1"),
            ("headers.Connection", "close"),
            ("headers.a b", "1"),
            ("headers.", "1"),
            ("headers.x", "a\nb"),
            ("types.", "text/x"),
            ("types.gmi", "text"),
            ("types.gmi", "text/"),
            ("types.gmi", "text/gemini;"),
            ("types.gmi", "text/gemini; charset"),
            ("types.gmi", "text/gemini; charset=\"utf-8"),
            ("types.gmi", "text/a text/b"),
            ("rules.0.type", "html"),
        ] {
            let errors = read(&[(key, value)]).unwrap_err();
            assert_eq!(errors.len(), 1, "{key} = {value}");
            assert_eq!(errors[0].key, key);
        }
        assert_eq!(read(&[("a", ""), ("b", "")]).unwrap_err().len(), 2);
        assert_eq!(read(&[("rules.0.path", "/a/*")]).unwrap_err()[0].key, "rules.0");
        for (name, value) in [("cache", "no-store"), ("headers.x-a", "1"), ("listing", "true"), ("type", "text/x")] {
            let key = format!("rules.1.{name}");
            let first = format!("rules.0.{name}");
            let faults = read(&[(&first, value), ("rules.1.path", "/a/*"), (&key, value)]).unwrap_err();
            assert_eq!((faults.len(), &faults[0].key, faults[0].beside.as_deref()), (1, &key, Some("rules.0")));
        }
        for good in ["text/gemini", "text/html;charset=utf-8", "a/b; c=d ; e=\"f; g\"", "application/vnd.x+json"] {
            assert!(read(&[("types.x", good)]).is_ok(), "{good}");
        }
    }
}
