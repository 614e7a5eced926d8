//! A Rust toolchain that has the targets.

use super::{ALL, debian, environment, sysroot};
use anyhow::{Context, Result};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names what cargo starts in the place of the compiler for the workspace's own crates. Where that is clippy's driver, all
/// that is built is linted while it is compiled: `.ci/run`.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";
const DRIVER: &str = "clippy-driver";

#[derive(Debug, Clone)]
pub struct Toolchain {
    origin: Origin,
    /// As the compiler says it: `1.95.0`.
    version: String,
    /// Differs for toolchains that cannot use each other's output.
    key: String,
}

#[derive(Debug, Clone)]
enum Origin {
    /// The `cargo` and `rustc` of `PATH`, which have all targets.
    Path,
    /// Debian's, with a sysroot made from its sources.
    Sysroot(PathBuf),
}

impl Toolchain {
    /// The first that has all targets: the one in `PATH`, then the one that was made from Debian's sources.
    pub fn find() -> Option<Self> {
        let rustc = Rustc::ask(Path::new("rustc"));
        if let Some(rustc) = rustc.filter(|rustc| has_targets(&rustc.sysroot)) {
            return Some(Toolchain { origin: Origin::Path, key: key_of(&rustc.verbose), version: rustc.version });
        }
        let debian = debian::find()?;
        let sysroot = sysroot::path(&debian).ok().filter(|sysroot| has_targets(sysroot))?;
        let key = sysroot.file_name()?.to_string_lossy().into_owned();
        Some(Toolchain { origin: Origin::Sysroot(sysroot), version: debian.rustc.version, key })
    }

    pub fn describe(&self) -> String {
        match &self.origin {
            Origin::Path => self.version.clone(),
            Origin::Sysroot(path) => format!("{} ({})", self.version, path.display()),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// A command of cargo's, with the environment that makes it use this toolchain whatever cargo this process may run
    /// under.
    pub fn cargo(&self, command: &str) -> Command {
        // clippy's program by its own path: where cargo would find another first, that one has not all targets
        let program = if command == "clippy" { "cargo-clippy" } else { "cargo" };
        let mut cargo = self.program(program);
        cargo.arg(command);
        cargo
    }

    /// The file of a library that comes with the compiler.
    pub fn library(&self, target: &str, name: &str) -> Result<PathBuf> {
        let output = self.program("rustc").args(["--print", "sysroot"]).output().context("rustc does not start")?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let folder = sysroot.join("lib/rustlib").join(target).join("lib");
        let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
        let prefix = format!("lib{name}-");
        let mut files = entries.flatten().map(|entry| entry.path());
        let is_it = |file: &PathBuf| {
            let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            name.starts_with(&prefix) && name.ends_with(".rlib")
        };
        files.find(is_it).with_context(|| format!("{} has no library `{name}`", folder.display()))
    }

    fn program(&self, program: &str) -> Command {
        let lints = env::var_os(WRAPPER).is_some_and(|wrapper| wrapper == DRIVER);
        let Origin::Sysroot(sysroot) = &self.origin else {
            let mut command = Command::new(program);
            environment::clean(&mut command);
            if lints {
                command.env(WRAPPER, DRIVER);
            }
            return command;
        };
        let bin = sysroot.join("bin");
        let mut command = Command::new(bin.join(program));
        environment::clean(&mut command);
        let mut path = OsString::from(&bin);
        if let Some(inherited) = env::var_os("PATH") {
            path.push(":");
            path.push(inherited);
        }
        command.env("PATH", path).env("RUSTC", bin.join("rustc")).env("RUSTDOC", bin.join("rustdoc"));
        command.env_remove("RUSTUP_TOOLCHAIN");
        if lints {
            command.env(WRAPPER, bin.join(DRIVER));
        }
        command
    }

    /// The cargo in `PATH`, to build for this machine. What stands before the compiler stays, so that nothing is built
    /// twice.
    pub fn native_cargo() -> Command {
        let mut command = Command::new("cargo");
        environment::clean(&mut command);
        if let Some(wrapper) = env::var_os(WRAPPER) {
            command.env(WRAPPER, wrapper);
        }
        command
    }
}

/// What a compiler says of itself.
#[derive(Debug, Clone)]
pub struct Rustc {
    pub version: String,
    pub verbose: String,
    pub sysroot: PathBuf,
}

impl Rustc {
    pub fn ask(rustc: &Path) -> Option<Self> {
        let ask = |arguments: &[&str]| {
            let mut command = Command::new(rustc);
            environment::clean(&mut command);
            let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        let verbose = ask(&["-vV"])?;
        let version = verbose.lines().find_map(|line| line.strip_prefix("release: "))?.to_string();
        Some(Rustc { version, verbose, sysroot: ask(&["--print", "sysroot"])?.into() })
    }
}

pub fn key_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_string()
}

fn has_targets(sysroot: &Path) -> bool {
    ALL.iter().all(|target| {
        let library = sysroot.join("lib/rustlib").join(target).join("lib");
        library.read_dir().is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libcore-")))
        })
    })
}
