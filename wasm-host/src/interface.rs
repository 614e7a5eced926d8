//! Names of interfaces: `namespace:package/interface@version`.

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;
use semver::{Comparator, Op, Prerelease, Version};

/// The name of a WIT interface, with or without a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName {
    /// `namespace:package/interface`
    path: String,
    pub version: Option<Version>,
}

impl InterfaceName {
    /// None if `text` is no interface's name.
    pub fn parse(text: &str) -> Option<Self> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(Version::parse(version).ok()?)),
            None => (text, None),
        };
        let (package, interface) = path.split_once('/')?;
        let (namespace, package) = package.split_once(':')?;
        let labels = [namespace, package, interface];
        labels.iter().all(|label| is_label(label)).then(|| InterfaceName { path: path.to_string(), version })
    }

    /// `namespace:package/interface`
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `namespace:package`
    pub fn package(&self) -> &str {
        self.path.split_once('/').map_or("", |(package, _)| package)
    }

    /// The last part of the name.
    pub fn interface(&self) -> &str {
        self.path.split_once('/').map_or("", |(_, interface)| interface)
    }

    /// Whether one may stand for the other: the same path, and versions that semantic versioning calls compatible.
    /// A name without a version goes with any.
    pub fn compatible(&self, other: &InterfaceName) -> bool {
        self.path == other.path && (self.version.is_none() || other.version.is_none() || self.track() == other.track())
    }

    /// The name with the part of its version that says what is compatible, as components are linked: the leftmost part that is
    /// not zero, `pearwood:net/tcp@0.2`. One of a pre-release is compatible with itself alone.
    pub fn track(&self) -> String {
        let path = &self.path;
        match &self.version {
            None => path.clone(),
            Some(Version { major, minor, patch, pre, .. }) => match (major, minor) {
                _ if !pre.is_empty() => self.to_string(),
                (0, 0) => format!("{path}@0.0.{patch}"),
                (0, minor) => format!("{path}@0.{minor}"),
                (major, _) => format!("{path}@{major}"),
            },
        }
    }
}

/// Whether a name is of a version `major.minor`. One without a version is.
pub fn has_version(name: &InterfaceName, version: &str) -> bool {
    let Some((major, minor)) = version.split_once('.') else { return false };
    let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { return false };
    let wanted = Comparator { op: Op::Tilde, major, minor: Some(minor), patch: None, pre: Prerelease::EMPTY };
    name.version.as_ref().is_none_or(|version| wanted.matches(version))
}

/// A WIT identifier: words of letters and digits joined by hyphens, the first beginning with a letter.
fn is_label(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> InterfaceName {
        InterfaceName::parse(text).unwrap_or_else(|| panic!("{text} should parse"))
    }

    #[test]
    fn parts() {
        let name = name("wasi:http/incoming-handler@0.2.6");
        assert_eq!((name.package(), name.interface()), ("wasi:http", "incoming-handler"));
        assert_eq!(name.to_string(), "wasi:http/incoming-handler@0.2.6");
    }

    #[test]
    fn what_is_no_name() {
        for text in [
            "",
            "tcp",
            "net/tcp",
            "pearwood:net",
            "a:b/c@1",
            "a:b/c@",
            "a:b/",
            ":b/c",
            "a:b/c/d",
            "a:b/c d",
            "a:b/1c",
            "a:b/c-",
        ] {
            assert_eq!(InterfaceName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn compatibility_is_semver() {
        let fits = |a: &str, b: &str| name(&alloc::format!("a:b/c{a}")).compatible(&name(&alloc::format!("a:b/c{b}")));
        assert!(
            fits("@0.2.0", "@0.2.10") && fits("@1.0.0", "@1.9.1") && fits("", "@7.0.0") && fits("@0.0.3", "@0.0.3")
        );
        assert!(!fits("@0.2.0", "@0.3.0") && !fits("@1.0.0", "@2.0.0") && !fits("@0.0.3", "@0.0.4"));
        assert!(!fits("@0.3.0-rc-1", "@0.3.0") && fits("@0.3.0-rc-1", "@0.3.0-rc-1"));
        assert!(!name("a:b/c").compatible(&name("a:b/d")));
        let tracks =
            ["a:b/c@0.2.7", "a:b/c@3.1.0", "a:b/c@0.0.3", "a:b/c@1.0.0-rc", "a:b/c"].map(|it| name(it).track());
        assert_eq!(tracks, ["a:b/c@0.2", "a:b/c@3", "a:b/c@0.0.3", "a:b/c@1.0.0-rc", "a:b/c"]);
    }
}
