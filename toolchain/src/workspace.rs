//! Where things are: Pearwood's own sources, what is built from them, a person's cache and settings.

use anyhow::{Context, Result, bail};
use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Pearwood's source tree, which has the kernel and the system boxes.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub root: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
}

impl Workspace {
    /// `PEARWOOD_HOME` if it is set, else the tree that this program was built from.
    pub fn find() -> Result<Self> {
        let root = match env::var_os("PEARWOOD_HOME") {
            Some(home) => PathBuf::from(home),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        };
        let root = root.canonicalize().unwrap_or(root);
        if !root.join("kernel/Cargo.toml").is_file() {
            bail!("{} is not Pearwood's source tree; set PEARWOOD_HOME to where it is", root.display());
        }
        let target = target_of(env::current_exe().ok().as_deref(), &root);
        Ok(Workspace { root, target })
    }

    pub fn component(&self, name: &str) -> PathBuf {
        self.root.join("components").join(name)
    }

    /// The names of the system boxes.
    pub fn system_boxes(&self) -> Vec<String> {
        let Ok(entries) = self.root.join("components").read_dir() else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| is_box(&entry.path().join("Cargo.toml")))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The sources of a package that Pearwood is built with.
    pub fn package(&self, name: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).args(["metadata", "--format-version", "1", "--locked"]);
        let output = cargo.stderr(Stdio::inherit()).output().context("cargo does not start")?;
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let manifest = packages.filter(|package| package["name"] == name).find_map(|it| it["manifest_path"].as_str());
        let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
        Ok(folder.with_context(|| format!("cargo knows no package `{name}`"))?.to_path_buf())
    }

    /// The folders of all crates that build to components: the system boxes and the examples'.
    pub fn component_crates(&self) -> Vec<PathBuf> {
        let below = |folder: &Path| -> Vec<PathBuf> {
            let entries = folder.read_dir().map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
            entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        };
        let examples = below(&self.root.join("examples")).into_iter().flat_map(|example| below(&example));
        let mut crates = below(&self.root.join("components"));
        crates.extend(examples);
        crates.retain(|folder| is_box(&folder.join("Cargo.toml")));
        crates.sort();
        crates
    }

    /// What running a system leaves behind: its console, its image.
    pub fn run_directory(&self, system: &str) -> Result<PathBuf> {
        let directory = self.target.join("pearwood").join(system);
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(directory)
    }
}

/// Whether a crate builds to a component: some only serve others. Those that the toolchain uses as libraries too have it in
/// their metadata: as a `cdylib` their library would have a file name without a hash, so that builds with other features of
/// what they depend on would overwrite what others have been linked with.
fn is_box(manifest: &Path) -> bool {
    let says = |text: String| text.contains("\"cdylib\"") || text.contains("[package.metadata.pearwood]\nbox = true");
    std::fs::read_to_string(manifest).is_ok_and(says)
}

/// The target directory that the running program lies in, else the one that cargo would use.
fn target_of(program: Option<&Path>, root: &Path) -> PathBuf {
    let around = program.and_then(|program| program.ancestors().find(|a| a.join("CACHEDIR.TAG").is_file()));
    match (around, env::var_os("CARGO_TARGET_DIR")) {
        (Some(directory), _) => directory.to_path_buf(),
        (None, Some(directory)) => std::path::absolute(&directory).unwrap_or(directory.into()),
        (None, None) => root.join("target"),
    }
}

/// `$XDG_CACHE_HOME/pearwood` or `~/.cache/pearwood`, which is there then.
pub fn cache_directory() -> Result<PathBuf> {
    user_directory("XDG_CACHE_HOME", ".cache")
}

/// `$XDG_CONFIG_HOME/pearwood` or `~/.config/pearwood`, which is there then, and which only its owner can look into.
pub fn config_directory() -> Result<PathBuf> {
    user_directory("XDG_CONFIG_HOME", ".config")
}

fn user_directory(variable: &str, in_home: &str) -> Result<PathBuf> {
    // the XDG base directory specification has relative paths ignored
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match (set, env::home_dir()) {
        (Some(path), _) => path,
        (None, Some(home)) => home.join(in_home),
        (None, None) => bail!("neither {variable} nor HOME is set"),
    };
    let directory = base.join("pearwood");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.with_context(|| {
        format!(
            "cannot create {}, where Pearwood keeps what is its user's; {variable} may name another folder, in which this user \
             may write, in the place of {}",
            directory.display(),
            base.display()
        )
    })?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_sources() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.component("net").join("Cargo.toml").is_file());
        let boxes = workspace.system_boxes();
        assert!(boxes.contains(&"http".to_string()) && !boxes.contains(&"support".to_string()), "{boxes:?}");
    }

    #[test]
    fn the_target_directory_is_the_one_around_the_program() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("CACHEDIR.TAG"), "").unwrap();
        let program = directory.path().join("debug/deps/pearwood");
        assert_eq!(target_of(Some(&program), Path::new("/src")), directory.path());
    }
}
