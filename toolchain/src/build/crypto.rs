//! The kernel's cryptography: a static library for another target than the kernel's, made fit to be linked into it.

use super::cargo;
use crate::setup::Toolchain;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells the kernel's build script where the library is.
pub const VARIABLE: &str = "PEARWOOD_CRYPTO";

/// What the library may want of the kernel: what any compiler's code wants, none of which takes or yields a float, and the functions
/// of `kernel/src/crypto.rs`.
const WANTED: [&str; 8] =
    ["__udivti3", "bcmp", "memcmp", "memcpy", "memmove", "memset", "pearwood_crypto_panic", "pearwood_crypto_random"];

/// Where the library is, if it is built.
pub fn path(workspace: &Workspace) -> PathBuf {
    workspace.target.join("crypto").join("crypto.a")
}

/// Builds it.
pub fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let built = cargo::native_crypto(workspace, toolchain)?;
    let path = path(workspace);
    let part = path.with_extension("part");
    fs::copy(&built, &part).with_context(|| format!("cannot copy {}", built.display()))?;
    strip(&part, toolchain)?;
    check(&part)?;
    // the same library is not linked anew
    if fs::read(&part)? != fs::read(&path).unwrap_or_default() {
        fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Takes out what every static library of Rust's has of the compiler: helpers for floats that expect them in vector registers. The
/// linker would give them, if it met them first, to the kernel's code, which passes floats otherwise.
fn strip(archive: &Path, toolchain: &Toolchain) -> Result<()> {
    let helpers = toolchain.library("x86_64-unknown-linux-gnu", "compiler_builtins")?;
    let helpers: BTreeSet<String> = members(&helpers)?.into_iter().filter(|name| name.ends_with(".o")).collect();
    let found: Vec<String> = members(archive)?.into_iter().filter(|name| helpers.contains(name)).collect();
    if found.is_empty() {
        bail!("{} has nothing of the compiler's, which its build expects", archive.display());
    }
    say(Command::new("ar").arg("d").arg(archive).args(&found))?;
    say(Command::new("ranlib").arg("-D").arg(archive))?;
    Ok(())
}

fn members(archive: &Path) -> Result<Vec<String>> {
    Ok(say(Command::new("ar").arg("t").arg(archive))?.lines().map(String::from).collect())
}

/// Sees to it that the library wants nothing but [`WANTED`].
fn check(archive: &Path) -> Result<()> {
    let symbols = say(Command::new("nm").args(["--format=posix"]).arg(archive))?;
    let others = unwanted(&symbols);
    if !others.is_empty() {
        bail!("the kernel's cryptography wants what the kernel has not: {}", others.join(", "));
    }
    Ok(())
}

/// Names that are undefined in all of what `nm` lists, and not among [`WANTED`].
fn unwanted(symbols: &str) -> Vec<&str> {
    let symbols = symbols.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?, words.next()?))
    });
    let (wanted, had): (Vec<_>, Vec<_>) = symbols.partition(|(_, kind)| matches!(*kind, "U" | "w" | "v"));
    let had: BTreeSet<&str> = had.into_iter().map(|(name, _)| name).chain(WANTED).collect();
    let others: BTreeSet<&str> = wanted.into_iter().map(|(name, _)| name).filter(|name| !had.contains(name)).collect();
    others.into_iter().collect()
}

/// What a program of binutils says.
fn say(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| {
        format!("{} does not start; `pearwood doctor` says how to get it", command.get_program().display())
    })?;
    if !output.status.success() {
        bail!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_found() {
        let symbols =
            "a.o:\nmemcpy U\nseal T 0 10\nopen U\n_GLOBAL_OFFSET_TABLE_ U\n\nb.o:\nopen T 0 4\nmalloc U\nweak w\n";
        assert_eq!(unwanted(symbols), ["_GLOBAL_OFFSET_TABLE_", "malloc", "weak"]);
        assert!(unwanted("a.o:\nmemcpy U\nseal T 0 10\n").is_empty());
    }
}
