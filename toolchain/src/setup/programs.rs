//! Programs that Debian and Ubuntu have packages of.

use super::{Check, Group, State};
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program and the package that brings it.
pub struct Program {
    what: &'static str,
    /// It goes by one of these names.
    names: &'static [&'static str],
    /// Makes it print its version.
    version: &'static str,
    package: &'static str,
    group: Group,
}

pub fn all() -> Vec<Program> {
    let program = |what, names, version, package, group| Program { what, names, version, package, group };
    vec![
        program("C compiler", &["cc"], "--version", "gcc", Group::Build),
        program("binutils", &["ar"], "--version", "binutils", Group::Build),
        program("QEMU", &["qemu-system-x86_64"], "--version", "qemu-system-x86", Group::Run),
        program("curl", &["curl"], "--version", "curl", Group::Test),
        program("wrk", &["wrk"], "--version", "wrk", Group::Test),
        program("nghttp2", &["h2load"], "--version", "nghttp2-client", Group::Test),
        program("Pebble", &["pebble"], "-help", "pebble", Group::Test),
        program("testssl.sh", &["testssl"], "--version", "testssl.sh", Group::Test),
        program("OpenSSL", &["openssl"], "version", "openssl", Group::Test),
        program("Chromium", &["chromium", "chromium-browser", "google-chrome"], "--version", "chromium", Group::Test),
    ]
}

impl Check for Program {
    fn name(&self) -> String {
        self.what.into()
    }

    fn group(&self) -> Group {
        self.group
    }

    fn state(&self) -> State {
        let Some(path) = self.names.iter().find_map(|name| find(name)) else { return State::Missing };
        match Command::new(&path).arg(self.version).stdin(Stdio::null()).stderr(Stdio::null()).output() {
            // some exit with an error after they have said their version
            Ok(output) => State::Ready(version_of(&String::from_utf8_lossy(&output.stdout))),
            Err(error) => State::Wrong(format!("{} does not start: {error}", path.display())),
        }
    }

    fn packages(&self) -> Vec<&'static str> {
        vec![self.package]
    }
}

/// The program of that name in `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// The first thing in the first line that looks like a version.
fn version_of(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let word = line.split([' ', '/']).find(number).unwrap_or("of unknown version");
    word.trim_end_matches([',', ';', ')']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let of = version_of;
        assert_eq!(of("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright"), "7.2.22");
        assert_eq!(of("curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1"), "7.88.1");
        assert_eq!(of("OpenSSL 3.0.17 1 Jul 2025"), "3.0.17");
        assert_eq!(of("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer"), "4.1.0-3+b2");
        assert_eq!(of(""), "of unknown version");
    }

    #[test]
    fn the_shell_is_found_and_nonsense_is_not() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
