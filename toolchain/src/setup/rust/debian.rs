//! Debian's Rust: a recent compiler that it has for its web browsers, with the library's sources.

use super::toolchain::Rustc;
use crate::setup::apt;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The compiler, cargo, the library's sources, the linter, and a linker for targets other than the host.
const PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy", "lld-19"];

/// The workspace needs no older one.
const OLDEST: (u32, u32) = (1, 95);

/// Where Debian's compiler keeps its libraries.
pub const RUSTLIB: &str = "/usr/lib/rustlib";

pub struct Debian {
    pub rustc: Rustc,
    /// The standard library's workspace.
    pub library: PathBuf,
    pub lld: PathBuf,
}

/// Debian's Rust if all of it is installed, and recent enough.
pub fn find() -> Option<Debian> {
    let rustc = Rustc::ask(Path::new("/usr/bin/rustc"))?;
    let library = Path::new(RUSTLIB).join("src/rust/library");
    let complete = Path::new("/usr/bin/cargo").is_file() && library.join("vendor").is_dir();
    (recent(&rustc.version) && complete).then_some(())?;
    Some(Debian { rustc, library, lld: lld()? })
}

/// The packages to install, where Debian's Rust is not there.
pub fn missing() -> Vec<&'static str> {
    if find().is_some() { Vec::new() } else { PACKAGES.into() }
}

/// Whether the packages to be had are recent enough.
///
/// # Errors
/// If they are not. Where nothing is known of them, installing tells.
pub fn vet() -> Result<()> {
    match apt::candidate(PACKAGES[0]) {
        Some(version) if !recent(&version) => bail!(
            "this system's package `{}` is Rust {version}, and {}.{} or newer is needed: install rustup and its Rust, then run \
             this again",
            PACKAGES[0],
            OLDEST.0,
            OLDEST.1
        ),
        _ => Ok(()),
    }
}

/// Sees to it that Debian's Rust is there.
pub fn prepare() -> Result<Debian> {
    if let Some(debian) = find() {
        return Ok(debian);
    }
    if apt::is_permitted() {
        apt::renew()?;
        vet()?;
    }
    apt::install(&PACKAGES)?;
    match find() {
        Some(debian) => Ok(debian),
        None => bail!(
            "the packages {} are installed, but are not the Rust {}.{} or newer that is needed",
            PACKAGES.join(", "),
            OLDEST.0,
            OLDEST.1
        ),
    }
}

fn recent(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}

/// The newest lld.
fn lld() -> Option<PathBuf> {
    let version = |name: &str| name.strip_prefix("llvm-")?.parse::<u32>().ok();
    Path::new("/usr/lib")
        .read_dir()
        .ok()?
        .flatten()
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join("bin/lld"))))
        .filter(|(_, lld)| lld.is_file())
        .max()
        .map(|(_, lld)| lld)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(recent("1.95.0+dfsg1-1~deb12u1") && recent("1.95.0") && recent("1.101.0-nightly") && recent("2.0.0"));
        assert!(!recent("1.85.0+dfsg3-1~deb12u1") && !recent("1.63.0") && !recent("") && !recent("x"));
    }

    /// D16, D17: what has to be there before the first command is what the README says.
    #[test]
    fn the_readme_names_what_is_needed_first() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
        let (readme, oldest) = (read("README.md"), format!("{}.{}", OLDEST.0, OLDEST.1));
        assert!(readme.contains(&format!("They need Rust {oldest} or newer and a C compiler")), "{oldest}");
        assert!(read("Cargo.toml").contains(&format!("rust-version = \"{oldest}\"")), "{oldest}");
        let install = |line: &&str| line.contains("apt-get install gcc libc6-dev rustc-web");
        let line = readme.lines().find(install).expect("Debian's packages in one line");
        // clippy is for those who change Pearwood
        for package in PACKAGES.iter().filter(|package| **package != "rust-web-clippy") {
            assert!(line.split_whitespace().any(|word| word == *package), "{package}: {line}");
        }
    }
}
