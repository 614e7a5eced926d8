//! What `component = ` names.

use super::language::Language;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One of Pearwood's own, by name.
    SystemBox(String),
    /// A folder with a crate that builds to a component.
    Folder(PathBuf),
    /// A folder with a box in another language.
    Foreign(Language, PathBuf),
    /// A core module that carries its component type, or a component.
    Wasm(PathBuf),
}

impl Source {
    /// `base` is the folder of the system's file.
    pub fn resolve(name: &str, base: &Path, workspace: &Workspace) -> Result<Self> {
        let path = base.join(name.trim_start_matches("./"));
        if name.ends_with(".wasm") {
            return match path.is_file() {
                true => Ok(Source::Wasm(path)),
                false => bail!("there is no file {}", path.display()),
            };
        }
        if is_path(name) {
            if !path.is_dir() {
                bail!("there is no folder {}", path.display());
            }
            if path.join("Cargo.toml").is_file() {
                return Ok(Source::Folder(path));
            }
            let Some(language) = Language::of(&path) else {
                let files = Language::files();
                bail!("{} is no component: it has neither a Cargo.toml nor one of {files}", path.display());
            };
            return Ok(Source::Foreign(language, path));
        }
        let boxes = workspace.system_boxes();
        if boxes.iter().any(|own| own == name) {
            return Ok(Source::SystemBox(name.into()));
        }
        let hint = match path.is_dir() {
            true => format!("; did you mean \"./{name}\"?"),
            false => format!("; there are {}, and paths begin with `./`", boxes.join(", ")),
        };
        bail!("there is no system box `{name}`{hint}");
    }
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        let workspace = Workspace::find().unwrap();
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("own")).unwrap();
        std::fs::write(base.path().join("a.wasm"), "").unwrap();
        let resolve = |name: &str| Source::resolve(name, base.path(), &workspace);
        let error = |name: &str| resolve(name).unwrap_err().to_string();

        assert_eq!(resolve("net").unwrap(), Source::SystemBox("net".into()));
        assert_eq!(resolve("a.wasm").unwrap(), Source::Wasm(base.path().join("a.wasm")));
        assert!(error("own").contains("\"./own\""));
        assert!(error("./own").contains("Cargo.toml"));
        assert!(error("nett").contains("keys, net"));
        assert!(error("./gone.wasm").contains("gone.wasm"));
        std::fs::write(base.path().join("own/app.py"), "").unwrap();
        assert_eq!(resolve("./own").unwrap(), Source::Foreign(Language::Python, base.path().join("own")));
        std::fs::write(base.path().join("own/Cargo.toml"), "").unwrap();
        assert_eq!(resolve("./own").unwrap(), Source::Folder(base.path().join("own")));
    }
}
