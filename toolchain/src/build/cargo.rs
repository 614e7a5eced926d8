//! Cargo builds: the kernel, and crates that become components.

use super::crypto;
use crate::progress;
use crate::setup::Toolchain;
use crate::setup::rust::{COMPONENT, KERNEL};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the runtime has and compilers do not use by themselves; and more inlining, since each call that is left looks at
/// the stack's limit and at the time slice. A threshold of 600 would save another 1 % of what the system boxes run, and have
/// a quarter more code.
const COMPONENT_FLAGS: &str = "-Ctarget-feature=+simd128,+bulk-memory -Cllvm-args=-inline-threshold=400";

/// Where the boxes of this workspace are built, below its target directory.
const COMPONENTS: &str = "components";

/// Builds the kernel, where cargo puts every kernel; `features` are those of its crate.
pub fn kernel(workspace: &Workspace, toolchain: &Toolchain, features: &[&str]) -> Result<PathBuf> {
    let mut cargo = kernel_command(workspace, toolchain, "build", features)?;
    let artifacts = build("Building the kernel", &mut cargo)?;
    let Some(kernel) = artifacts.into_iter().find_map(|artifact| artifact.executable) else {
        bail!("the crate `kernel` has no program");
    };
    Ok(kernel)
}

/// Builds the static library with the kernel's cryptography: for Linux, whose code may use vector registers, and without what only a
/// process of Linux has. The C of it is compiled likewise.
pub fn native_crypto(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    const FLAGS: &str = "-Cno-redzone=yes -Crelocation-model=static -Cforce-frame-pointers=yes";
    const C_FLAGS: &str = "-mno-red-zone -fno-stack-protector -fno-pic -mcmodel=small -ffreestanding -U_FORTIFY_SOURCE \
                           -fcf-protection=none";
    let target = target_directory(workspace, toolchain, "crypto", TARGET)?;
    let mut cargo = toolchain.cargo("rustc");
    cargo.current_dir(workspace.root.join("kernel/crypto"));
    cargo.args(["--release", "--lib", "--crate-type", "staticlib", "--features", "kernel", "--target", TARGET]);
    cargo.arg("--target-dir").arg(target);
    cargo.env("RUSTFLAGS", FLAGS).env("CFLAGS_x86_64_unknown_linux_gnu", C_FLAGS);
    let artifacts = build("Building the kernel's cryptography", &mut cargo)?;
    let mut files = artifacts.into_iter().rev().flat_map(|artifact| artifact.files);
    let library = files.find(|file| file.extension().is_some_and(|extension| extension == "a"));
    library.context("the crate `pearwood-crypto-ring` has no static library")
}

/// The command of cargo's that builds the kernel or looks at it.
pub fn kernel_command(
    workspace: &Workspace,
    toolchain: &Toolchain,
    command: &str,
    features: &[&str],
) -> Result<Command> {
    let target = target_directory(workspace, toolchain, "node", KERNEL)?;
    let mut cargo = toolchain.cargo(command);
    cargo.env(crypto::VARIABLE, crypto::path(workspace));
    cargo.current_dir(&workspace.root).args(["--release", "--package", "kernel", "--target", KERNEL]);
    cargo.arg("--target-dir").arg(&target).args(["--features", &features.join(",")]);
    Ok(cargo)
}

/// Builds the `pearwood` command.
pub fn own_command(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = Toolchain::native_cargo();
    cargo.current_dir(&workspace.root).args(["build", "--package", "pearwood", "--bin", "pearwood"]);
    cargo.arg("--target-dir").arg(&workspace.target);
    let artifacts = build("Building the pearwood command", &mut cargo)?;
    let program = artifacts.into_iter().rev().find_map(|artifact| artifact.executable);
    program.context("the crate `pearwood` has no program")
}

/// Builds the crate of one box. Each is built by itself: cargo gives crates that are built together the features that any
/// of them asks for, so that a box would be compiled anew for each system that has other boxes beside it. And it is built
/// as nothing but a module: cargo optimises across crates (`lto`) only what is not a library for others, too.
pub fn component(workspace: &Workspace, toolchain: &Toolchain, folder: &Path) -> Result<PathBuf> {
    let mut cargo = command_in(workspace, toolchain, "rustc", &directory_of(workspace, folder)?)?;
    cargo.current_dir(folder).args(["--lib", "--crate-type", "cdylib"]);
    let shown = folder.strip_prefix(&workspace.root).unwrap_or(folder);
    let artifacts = build(&format!("Building {}", shown.display()), &mut cargo)?;
    module_of(&artifacts, folder)
}

/// The command of cargo's that builds the crates of boxes or looks at them.
pub fn component_command(workspace: &Workspace, toolchain: &Toolchain, command: &str) -> Result<Command> {
    command_in(workspace, toolchain, command, COMPONENTS)
}

/// The target directory of a box's crate. Crates elsewhere use crates of this workspace by their paths, and cargo compiles
/// these by the settings of the workspace that asks: in one directory for both, each would undo what the other has built.
fn directory_of(workspace: &Workspace, folder: &Path) -> Result<String> {
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    if folder.starts_with(&workspace.root) {
        return Ok(COMPONENTS.into());
    }
    let hash = blake3::hash(folder.as_os_str().as_encoded_bytes());
    Ok(format!("boxes/{}", &hash.to_hex()[..16]))
}

fn command_in(workspace: &Workspace, toolchain: &Toolchain, command: &str, directory: &str) -> Result<Command> {
    let target = target_directory(workspace, toolchain, directory, COMPONENT)?;
    let mut cargo = toolchain.cargo(command);
    cargo.args(["--release", "--target", COMPONENT]).arg("--target-dir").arg(target);
    cargo.env("RUSTFLAGS", COMPONENT_FLAGS);
    Ok(cargo)
}

/// A file that cargo says it has made, or that was there already.
struct Artifact {
    manifest: PathBuf,
    executable: Option<PathBuf>,
    files: Vec<PathBuf>,
}

fn build(what: &str, cargo: &mut Command) -> Result<Vec<Artifact>> {
    let output = progress::run(what, cargo.arg("--message-format=json-render-diagnostics"))?;
    for line in warnings(&output.stderr) {
        eprintln!("{line}");
    }
    Ok(artifacts(&output.stdout))
}

fn artifacts(messages: &str) -> Vec<Artifact> {
    let path = |value: &Value| value.as_str().map(PathBuf::from);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            Some(Artifact {
                manifest: path(&message["manifest_path"])?,
                executable: path(&message["executable"]),
                files: message["filenames"].as_array()?.iter().filter_map(path).collect(),
            })
        })
        .collect()
}

/// The diagnostics among cargo's lines about what it is doing.
fn warnings(stderr: &str) -> Vec<&str> {
    // its own lines have the verb right-aligned to column 12
    let is_status =
        |line: &&str| line.starts_with("   ") && line.get(12..13) == Some(" ") && line.get(11..12) != Some(" ");
    stderr.lines().filter(|line| !is_status(line)).skip_while(|line| line.trim().is_empty()).collect()
}

fn module_of(artifacts: &[Artifact], folder: &Path) -> Result<PathBuf> {
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let own = artifacts.iter().filter(|artifact| artifact.manifest.parent() == Some(&folder));
    let mut modules =
        own.flat_map(|artifact| &artifact.files).filter(|file| file.extension().is_some_and(|e| e == "wasm"));
    match (modules.next(), modules.next()) {
        (Some(module), None) => Ok(module.clone()),
        (None, _) => bail!(
            "{} builds no WebAssembly module: its [lib] needs `crate-type = [\"cdylib\"]`",
            folder.join("Cargo.toml").display()
        ),
        (Some(_), Some(_)) => {
            bail!("{} builds several WebAssembly modules; a box needs one", folder.join("Cargo.toml").display())
        }
    }
}

pub fn package_name(folder: &Path) -> Result<String> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    Ok(name.with_context(|| format!("{} names no package", path.display()))?.to_string())
}

/// A target directory apart from that of the native build, emptied of what another toolchain has made for `target`:
/// cargo does not notice when only the standard library differs.
fn target_directory(workspace: &Workspace, toolchain: &Toolchain, name: &str, target: &str) -> Result<PathBuf> {
    let directory = workspace.target.join(name);
    let stamp = directory.join(".toolchain");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(toolchain.key()) {
        let stale = directory.join(target);
        if stale.exists() {
            fs::remove_dir_all(&stale).with_context(|| format!("cannot remove {}", stale.display()))?;
        }
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        fs::write(&stamp, toolchain.key()).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_found_by_their_crate() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/tmp/Cargo.toml","filenames":["/t/a.wasm","/t/a.rlib"],"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let artifacts = artifacts(messages);
        assert_eq!(module_of(&artifacts, Path::new("/tmp")).unwrap(), Path::new("/t/a.wasm"));
        let error = module_of(&artifacts, Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("cdylib") && error.contains("/Cargo.toml"), "{error}");
    }

    /// D12: what is built for one system is there for the next.
    #[test]
    fn d12_crates_of_other_workspaces_have_directories_of_their_own() {
        let workspace = Workspace::find().unwrap();
        let of = |folder: &Path| directory_of(&workspace, folder).unwrap();
        assert_eq!(of(&workspace.component("net")), "components");
        assert_eq!(of(&workspace.root.join("examples/hello/greeter")), "components");
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        assert!(of(one.path()).starts_with("boxes/") && of(one.path()) != of(other.path()));
        assert_eq!(of(one.path()), of(one.path()));
    }

    #[test]
    fn warnings_are_told_from_what_cargo_is_doing() {
        let stderr = "   Compiling a v0.1.0\nwarning: unused\n --> src/lib.rs:1:1\n  |\n    Finished `release`\n";
        assert_eq!(warnings(stderr), ["warning: unused", " --> src/lib.rs:1:1", "  |"]);
    }
}
