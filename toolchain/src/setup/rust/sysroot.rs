//! A sysroot with the targets, made from the standard library's sources that Debian packages.

use super::debian::{Debian, RUSTLIB};
use super::toolchain::key_of;
use super::{COMPONENT, KERNEL, environment};
use crate::progress;
use crate::setup::Lock;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes when what this file makes does.
const RECIPE: u32 = 2;

const HOST: &str = "x86_64-unknown-linux-gnu";

/// What of the library each target gets.
const CRATES: [(&str, &str); 2] = [(KERNEL, "core,alloc,compiler_builtins"), (COMPONENT, "std,panic_abort")];

/// An empty crate whose build makes cargo build the library.
const MANIFEST: &str = r#"
[package]
name = "sysroot"
version = "0.0.0"
edition = "2021"

[lib]
path = "lib.rs"

[profile.release]
panic = "abort"

[workspace]
"#;

/// Where the sysroot for this compiler is, or will be.
pub fn path(debian: &Debian) -> Result<PathBuf> {
    // a rebuilt package may have the same version
    let compiler = fs::metadata("/usr/bin/rustc").context("cannot read /usr/bin/rustc")?;
    let identity = format!("{RECIPE} {} {} {}", debian.rustc.verbose, compiler.size(), compiler.mtime());
    let name = format!("{}-{}", debian.rustc.version, key_of(&identity));
    Ok(workspace::cache_directory()?.join("sysroot").join(name))
}

/// Builds it, in one to three minutes. It appears complete or not at all.
pub fn build(debian: &Debian) -> Result<()> {
    let sysroot = path(debian)?;
    let _lock = Lock::hold("sysroot")?;
    if sysroot.is_dir() {
        return Ok(());
    }
    let parent = sysroot.parent().context("the cache has no directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let work = tempfile::Builder::new().prefix(".building-").tempdir_in(parent)?;
    let (source, tree) = (work.path().join("source"), work.path().join("tree"));
    fs::create_dir_all(&source)?;
    fs::write(source.join("Cargo.toml"), MANIFEST)?;
    fs::write(source.join("lib.rs"), "#![no_std]\n")?;

    let host = tree.join("lib/rustlib").join(HOST);
    fs::create_dir_all(host.join("bin"))?;
    symlink(Path::new(RUSTLIB).join(HOST).join("lib"), host.join("lib"))?;
    symlink(&debian.lld, host.join("bin/rust-lld"))?;
    symlink(Path::new(RUSTLIB).join("src"), tree.join("lib/rustlib/src"))?;
    symlink(Path::new(RUSTLIB).join("etc"), tree.join("lib/rustlib/etc"))?;
    for (target, crates) in CRATES {
        build_library(debian, &source, target, crates)?;
        copy_library(&source, target, &tree)?;
    }
    write_programs(&tree.join("bin"), &sysroot)?;
    fs::rename(&tree, &sysroot).with_context(|| format!("cannot create {}", sysroot.display()))
}

fn build_library(debian: &Debian, source: &Path, target: &str, crates: &str) -> Result<()> {
    let vendored = debian.library.join("vendor");
    let mut cargo = Command::new("/usr/bin/cargo");
    environment::clean(&mut cargo);
    cargo
        .current_dir(source)
        .env("RUSTC", "/usr/bin/rustc")
        // the compiler is a stable one, which takes `-Z` only so
        .env("RUSTC_BOOTSTRAP", "1")
        // without bitcode, crates with `lto = true` do not link
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["build", "--release", "--offline", "--target", target, "--target-dir", "target"])
        .arg(format!("-Zbuild-std={crates}"))
        .args(["--config", "source.crates-io.replace-with=\"vendored\""])
        .args(["--config", &format!("source.vendored.directory={:?}", vendored.display().to_string())]);
    progress::run(&format!("Building Rust's library for {target}"), &mut cargo)?;
    Ok(())
}

fn copy_library(source: &Path, target: &str, tree: &Path) -> Result<()> {
    let built = source.join("target").join(target).join("release/deps");
    let library = tree.join("lib/rustlib").join(target).join("lib");
    fs::create_dir_all(&library)?;
    for entry in built.read_dir().with_context(|| format!("cannot read {}", built.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libsysroot-") {
            fs::copy(entry.path(), library.join(&name))?;
        }
    }
    Ok(())
}

/// Debian's programs, told of the sysroot, which will be at `sysroot`.
fn write_programs(bin: &Path, sysroot: &Path) -> Result<()> {
    fs::create_dir_all(bin)?;
    let root = quoted(&sysroot.display().to_string());
    for program in ["rustc", "rustdoc"] {
        write_script(&bin.join(program), &format!("exec /usr/bin/{program} --sysroot {root} \"$@\""))?;
    }
    for program in ["cargo-clippy", "clippy-driver"] {
        write_script(&bin.join(program), &format!("SYSROOT={root} exec /usr/bin/{program} \"$@\""))?;
    }
    symlink("/usr/bin/cargo", bin.join("cargo"))?;
    Ok(())
}

fn write_script(path: &Path, line: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{line}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_know_their_sysroot() {
        let bin = tempfile::tempdir().unwrap();
        write_programs(bin.path(), Path::new("/home/o'hara/sysroot")).unwrap();
        let rustc = fs::read_to_string(bin.path().join("rustc")).unwrap();
        assert_eq!(rustc, "#!/bin/sh\nexec /usr/bin/rustc --sysroot '/home/o'\\''hara/sysroot' \"$@\"\n");
        assert_eq!(fs::metadata(bin.path().join("rustc")).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
