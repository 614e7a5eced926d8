//! Rules by host and path: settings for the requests, or the files, that a pattern fits.
//!
//! ```toml
//! rules = [
//!     { host = "www.example.org", redirect = "https://example.org/*" },
//!     { path = "/static/*", cache = "max-age=31536000, immutable" },
//! ]
//! ```
//!
//! Rules are tried in the order of the file, and of each property the first rule counts that fits and has it.

use alloc::{
    borrow::{Cow, ToOwned},
    collections::BTreeMap,
    format,
    string::String,
    vec::Vec,
};
use core::ops::Range;
use wit::setting::Fault;

/// Text with at most one `*`, which stands for any number of characters. A path without it is that path alone: `/a` is not
/// `/a/`, which services may lead to it, or from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    start: String,
    /// what is after the `*`, if there is one
    end: Option<String>,
}

impl Pattern {
    pub fn read(text: &str) -> Result<Self, String> {
        let (start, end) = match text.split_once('*') {
            Some((_, end)) if end.contains('*') => return Err("a pattern has one * at most".into()),
            Some((start, end)) => (start, Some(end.to_owned())),
            None => (text, None),
        };
        Ok(Pattern { start: start.into(), end })
    }

    pub fn has_star(&self) -> bool {
        self.end.is_some()
    }

    /// The text that it is, if it has no `*`.
    pub fn text(&self) -> Option<&str> {
        self.end.is_none().then_some(self.start.as_str())
    }

    /// Where in the text that is what the `*` stands for, if the pattern fits. `/a/*` fits `/a` too: whoever guards or moves
    /// a folder means it as well.
    pub fn fits(&self, text: &str) -> Option<Range<usize>> {
        let Some(end) = &self.end else { return (text == self.start).then_some(0..0) };
        match text.strip_prefix(self.start.as_str()) {
            Some(rest) => rest.ends_with(end.as_str()).then(|| self.start.len()..text.len() - end.len()),
            None => (end.is_empty() && self.start.strip_suffix('/') == Some(text)).then_some(0..0),
        }
    }

    /// Whether it fits all that the other fits.
    fn covers(&self, other: &Pattern) -> bool {
        match (&self.end, &other.end) {
            (_, None) => self.fits(&other.start).is_some(),
            (None, Some(_)) => false,
            (Some(end), Some(of_other)) => other.start.starts_with(&self.start) && of_other.ends_with(end.as_str()),
        }
    }

    /// The text, with `rest` in place of the `*`.
    pub fn filled(&self, rest: &str) -> String {
        self.start.clone() + self.end.as_ref().map_or("", |_| rest) + self.end.as_deref().unwrap_or_default()
    }
}

/// Rules with properties of the kind `P`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules<P>(BTreeMap<u16, Rule<P>>);

/// What fits, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule<P> {
    /// none: any
    pub host: Option<Pattern>,
    /// none: any
    pub path: Option<Pattern>,
    pub says: P,
}

impl<P> Default for Rules<P> {
    fn default() -> Self {
        Rules(BTreeMap::new())
    }
}

impl<P: Default> Rules<P> {
    /// Reads a setting `rules.N.NAME` of which `key` is what follows `rules.`. What is no pattern is read by `property`.
    pub fn set(
        &mut self,
        key: &str,
        value: &str,
        property: impl FnOnce(&mut P, &str, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        let (at, name) = key.split_once('.').ok_or("a rule is a table, such as { path = \"/a/*\", … }")?;
        let rule = self.0.entry(at.parse().map_err(|_| "rules are a list of tables")?).or_default();
        match name {
            "path" if !value.starts_with(['/', '*']) => return Err("a path begins with / or *".into()),
            // what no request is compared with would be a rule that never fits
            "path" if !is_canonical(value) => {
                let seen = canonical(value.split(['?', '#']).next().unwrap_or_default());
                return Err(format!("a path is written decoded, without empty or dotted segments and query: {seen:?}"));
            }
            "path" => rule.path = Some(Pattern::read(value)?),
            "host" if !is_host(value) => {
                return Err(
                    "a host is a name or an address without a port, such as example.org or *.example.org".into()
                );
            }
            "host" => rule.host = Some(Pattern::read(&value.to_ascii_lowercase())?),
            _ => property(&mut rule.says, name, value)?,
        }
        Ok(())
    }

    /// A rule behind all others.
    pub fn add(&mut self, rule: Rule<P>) {
        let at = self.0.last_key_value().map_or(0, |(at, _)| at.saturating_add(1));
        self.0.insert(at, rule);
    }
}

impl<P> Rules<P> {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Faults of rules of which a property never counts, since a rule before them fits all that they fit, and has it too.
    /// `shared` yields what both have, the earlier one first.
    pub fn hidden(&self, shared: impl Fn(&P, &P) -> Option<String>) -> Vec<Fault> {
        let covers = |one: &Option<Pattern>, other: &Option<Pattern>| match (one, other) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(one), Some(other)) => one.covers(other),
        };
        let mut hidden = Vec::new();
        for (at, rule) in &self.0 {
            let covering = |other: &Rule<P>| covers(&other.host, &rule.host) && covers(&other.path, &rule.path);
            let mut before = self.0.range(..*at).filter(|(_, other)| covering(other));
            let found = before.find_map(|(first, other)| Some((*first, shared(&other.says, &rule.says)?)));
            hidden.extend(found.map(|(first, name)| Fault {
                beside: Some(format!("rules.{first}")),
                ..Fault::at(
                    &format!("rules.{at}.{name}"),
                    format!(
                        "this is never used: rules.{first} before it fits all that this rule fits, and has `{name}` too. Put the \
                         rule that fits less first, or leave one out"
                    ),
                )
            }));
        }
        hidden
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Rule<P>)> {
        self.0.iter().map(|(at, rule)| (*at, rule))
    }

    /// Those that fit a host in lower case without its port and a [canonical](self::canonical) path: the number, what is
    /// said, and where in the path that is what its `*` stands for.
    pub fn that_fit<'a>(&'a self, host: &str, path: &str) -> impl Iterator<Item = (u16, &'a P, Range<usize>)> {
        self.0.iter().filter_map(move |(at, rule)| {
            let of_host = rule.host.as_ref().is_none_or(|pattern| pattern.fits(host).is_some());
            let whole = path.len() - path.trim_start_matches('/').len()..path.len();
            let rest = rule.path.as_ref().map_or(Some(whole), |pattern| pattern.fits(path))?;
            of_host.then_some((*at, &rule.says, rest))
        })
    }
}

/// Whether paths can fit this, as they are compared.
fn is_canonical(pattern: &str) -> bool {
    let whole = if pattern.starts_with('*') { &format!("/{pattern}") } else { pattern };
    !whole.contains(['?', '#']) && canonical(whole) == *whole
}

/// Whether requests can be for hosts that fit this, as they are compared: without port and final dot.
fn is_host(pattern: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    let address = |byte: u8| byte.is_ascii_hexdigit() || b":.*".contains(&byte);
    match pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.bytes().all(address),
        None => !pattern.is_empty() && !pattern.ends_with('.') && pattern.bytes().all(name),
    }
}

/// A path, without its query, as rules see it: with escapes decoded, and without segments that are empty or dots. Not all
/// services agree with that about a path that [is ambiguous](is_ambiguous).
pub fn canonical(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut canonical = String::with_capacity(path.len() + 1);
    let mut is_folder = false;
    for segment in decode(path).split('/') {
        is_folder = matches!(segment, "" | "." | "..");
        match segment {
            ".." => canonical.truncate(canonical.rfind('/').unwrap_or(0)),
            _ if !is_folder => {
                canonical.push('/');
                canonical.push_str(segment);
            }
            _ => {}
        }
    }
    if is_folder {
        canonical.push('/');
    }
    Cow::Owned(canonical)
}

/// Whether services differ about which file or folder a path means: it has segments of dots, which some resolve and some
/// do not, and some before they decode escapes and some after that; or an escaped slash, backslash or NUL.
pub fn is_ambiguous(path: &str) -> bool {
    if !path.contains('%') && !path.contains("/.") {
        return false;
    }
    let separates = |(_, byte)| matches!(byte, b'/' | b'\\' | b'\0');
    let mut escaped = units(path).filter(|(unit, _)| unit.len() > 1);
    escaped.any(separates) || decode(path).split('/').any(|segment| matches!(segment, "." | ".."))
}

/// The part of a path as it was sent that is `part`, in bytes, of the [canonical](self::canonical) one. The path is not
/// [ambiguous](is_ambiguous).
pub fn as_sent(path: &str, part: Range<usize>) -> String {
    let mut at = 0;
    let mut was_slash = false;
    let mut sent = String::new();
    for (unit, _) in units(path) {
        let is_slash = unit == b"/";
        if is_slash && was_slash {
            continue;
        }
        was_slash = is_slash;
        if part.contains(&at) {
            sent.extend(unit.iter().map(|&byte| char::from(byte)));
        }
        at += 1;
    }
    sent
}

/// The bytes or escapes of which a path consists, and the byte that each stands for.
fn units(path: &str) -> impl Iterator<Item = (&[u8], u8)> {
    let mut rest = path.as_bytes();
    core::iter::from_fn(move || {
        let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        let (length, byte) = match (*rest.first()?, digit(rest.get(1)), digit(rest.get(2))) {
            (b'%', Some(high), Some(low)) => (3, (high << 4 | low) as u8),
            (byte, ..) => (1, byte),
        };
        let (unit, after) = rest.split_at(length);
        rest = after;
        Some((unit, byte))
    })
}

/// With SUBSTITUTE in place of each byte that is not UTF-8, so that there are as many as before.
fn decode(path: &str) -> String {
    let bytes: Vec<u8> = units(path).map(|(_, byte)| byte).collect();
    let mut decoded = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        decoded.extend(chunk.invalid().iter().map(|_| '\u{1a}'));
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, rest) in [
            ("/a", "/a", Some("")),
            ("/a", "/a/", None),
            ("/a", "/ab", None),
            ("/a/*", "/a/b/c", Some("b/c")),
            ("/a/*", "/a/", Some("")),
            ("/a/*", "/a", Some("")),
            ("/a/*", "/ab", None),
            ("/a*", "/ab", Some("b")),
            ("*", "/x", Some("/x")),
            ("/*", "/", Some("")),
            ("*.pdf", "/x/y.pdf", Some("/x/y")),
            ("/x/*.pdf", "/x/y.pdf", Some("y")),
            ("/x/*.pdf", "/x/.pdf", Some("")),
            ("/x/*.pdf", "/x", None),
            // what is before the * and what is after it do not overlap
            ("/aba*aba", "/aba", None),
            ("/aba*ba", "/ababa", Some("")),
        ] {
            let fits = Pattern::read(pattern).unwrap().fits(text);
            assert_eq!(fits.map(|rest| &text[rest]), rest, "{pattern} {text}");
        }
        assert!(Pattern::read("/a/*/b/*").is_err());
        assert_eq!(Pattern::read("/new/*.html").unwrap().filled("a/b"), "/new/a/b.html");
        assert_eq!(Pattern::read("/new").unwrap().filled("a/b"), "/new");
    }

    /// No spelling of a path gets around the rules for it.
    #[test]
    fn canonical_paths() {
        for (path, expected) in [
            ("/", "/"),
            ("/admin/x", "/admin/x"),
            ("/a.b/c", "/a.b/c"),
            ("/%61dmin/x", "/admin/x"),
            ("//admin/x", "/admin/x"),
            ("/./admin/x", "/admin/x"),
            ("/y/../admin/x", "/admin/x"),
            ("/y/%2e%2E/admin/x", "/admin/x"),
            ("/../../admin/", "/admin/"),
            ("/admin%2Fx", "/admin/x"),
            ("/admin//", "/admin/"),
            ("/admin/.", "/admin/"),
            ("/..", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a%", "/a%"),
            ("/a%ff", "/a\u{1a}"),
            ("/%2561", "/%61"),
            ("/gr%C3%B6%C3%9Fe", "/größe"),
        ] {
            assert_eq!(canonical(path), expected, "{path}");
        }
    }

    #[test]
    fn ambiguous_paths() {
        for path in ["/", "/.well-known", "/a..b/...", "/a%2eb", "/%ff%2", "//a//", "/%252e%252F"] {
            assert!(!is_ambiguous(path), "{path}");
        }
        for path in ["/.", "/a/..", "/../a", "/.%2e/", "/%2E", "/a%2Fb", "/a%2fb", "/a%5c", "/a%00b"] {
            assert!(is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn parts_as_they_were_sent() {
        for (path, part, sent) in [
            ("/a/b", 3..4, "b"),
            ("/%61//%62%20b/", 3..7, "%62%20b/"),
            ("/gr%C3%B6%C3%9Fe/%ff/x", 1..10, "gr%C3%B6%C3%9Fe/%ff"),
            ("/a", 0..0, ""),
            ("/a", 5..9, ""),
        ] {
            assert_eq!(as_sent(path, part), sent, "{path}");
        }
    }

    #[test]
    fn the_first_that_fits_comes_first() {
        let mut rules: Rules<Option<u8>> = Rules::default();
        let property = |says: &mut Option<u8>, name: &str, value: &str| match name {
            "n" => value.parse().map(|n| *says = Some(n)).map_err(|_| "no number".to_owned()),
            _ => Err("there is no such property".to_owned()),
        };
        for (key, value) in
            [("10.n", "10"), ("2.path", "/a/*"), ("2.n", "2"), ("3.host", "*.Example.org"), ("3.n", "3")]
        {
            rules.set(key, value, property).unwrap();
        }
        let fit = |host: &str, path: &str| -> Vec<(u16, Option<u8>, String)> {
            rules.that_fit(host, path).map(|(at, says, rest)| (at, *says, path[rest].to_owned())).collect()
        };
        assert_eq!(fit("h", "/a/b"), [(2, Some(2), "b".into()), (10, Some(10), "a/b".into())]);
        assert_eq!(fit("www.example.org", "/b"), [(3, Some(3), "b".into()), (10, Some(10), "b".into())]);
        assert_eq!(fit("example.org", "/b"), [(10, Some(10), "b".into())]);
        for (key, value) in [("0", "x"), ("x.path", "/"), ("0.path", "a"), ("0.path", "**"), ("0.m", "1"), ("0.n", "x")]
        {
            assert!(rules.clone().set(key, value, property).is_err(), "{key}");
        }
    }

    /// Of two rules for the same, the second says nothing.
    #[test]
    fn rules_behind_others_are_found() {
        let hidden = |rules: &[(&str, &str)]| {
            let mut read: Rules<bool> = Rules::default();
            for (at, (host, path)) in rules.iter().enumerate() {
                for (name, value) in
                    [("host", host), ("path", path), ("x", &"")].iter().filter(|(n, v)| *n == "x" || !v.is_empty())
                {
                    let set = |says: &mut bool, _: &str, _: &str| {
                        *says = true;
                        Ok(())
                    };
                    read.set(&format!("{at}.{name}"), value, set).unwrap();
                }
            }
            let found = read.hidden(|one, other| (*one && *other).then(|| "x".into()));
            found.into_iter().map(|fault| (fault.beside.unwrap(), fault.key)).collect::<Vec<_>>()
        };
        for (rules, expected) in [
            (&[("", "/a/*"), ("", "/a/*")][..], &[("rules.0", "rules.1.x")][..]),
            (&[("", "/a/*"), ("", "/b/*"), ("", "/a/b.html")], &[("rules.0", "rules.2.x")]),
            (&[("", "/a/*"), ("", "/a")], &[("rules.0", "rules.1.x")]),
            (&[("", "*.html"), ("", "/a/*.html")], &[("rules.0", "rules.1.x")]),
            (&[("", ""), ("h", "/a")], &[("rules.0", "rules.1.x")]),
            (&[("*.h", ""), ("a.h", "/a")], &[("rules.0", "rules.1.x")]),
            (&[("h", "/a/*"), ("g", "/a/*"), ("", "/a/*")], &[]),
            (&[("", "/a/b/*"), ("", "/a/*")], &[]),
            (&[("", "/a"), ("", "/a/"), ("", "/a/*"), ("", "/a*")], &[]),
            (&[("", "/a/*.html"), ("", "/a/*")], &[]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(one, other)| (String::from(*one), String::from(*other))).collect();
            assert_eq!(hidden(rules), expected, "{rules:?}");
        }
        assert!(Rules::<bool>::default().hidden(|_, _| Some("x".into())).is_empty());
    }

    /// A rule that is written otherwise than requests are compared would fit none: what it is to guard would be open.
    #[test]
    fn a_rule_that_could_never_fit_is_refused() {
        let set = |key: &str, value: &str| Rules::<()>::default().set(key, value, |(), _, _| Ok(()));
        for path in ["/a%20b/*", "/%C3%A9/*", "/../p*", "//a", "/a?x", "/a#b", "/%70", "/a/./b"] {
            assert!(set("0.path", path).unwrap_err().contains("decoded"), "{path}");
        }
        for host in ["a.example:80", "http://a.example", "a.example.", "a b", "a\u{e4}.example", ""] {
            assert!(set("0.host", host).unwrap_err().contains("without a port"), "{host}");
        }
        for (key, value) in [
            ("0.path", "/a b/*"),
            ("0.path", "/\u{e9}/*"),
            ("0.path", "/.well-known/*"),
            ("0.path", "*.html"),
            ("0.path", "*/.htm"),
            ("0.path", "/100%"),
            ("0.host", "*.Example.org"),
            ("0.host", "[2001:db8::1]"),
            ("0.host", "192.0.2.1"),
        ] {
            assert_eq!(set(key, value), Ok(()), "{value}");
        }
    }
}
