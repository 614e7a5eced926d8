//! The user's keys: what images are signed with, and what nodes know the user by.

mod development;
mod known;
mod sealing;

pub use development::development;
pub(crate) use known::bytes as node_key;
pub use known::{Known, KnownNodes};
pub use sealing::sealing;

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wasm_host::image::SecretKey;

/// The key that is used if no other is named. It is made when it is first needed.
pub const DEVELOPMENT: &str = "development";

const EXTENSION: &str = "key";

/// A key by its name, or by the path of its file.
pub fn find(name: &str) -> Result<SecretKey> {
    if name == DEVELOPMENT {
        return development();
    }
    if name.contains('/') {
        return load(Path::new(name));
    }
    let path = path(name)?;
    if !path.is_file() {
        bail!("there is no key `{name}` ({}); `pearwood key new {name}` makes one", path.display());
    }
    load(&path)
}

/// Reads a key's file, if nobody but its owner can.
pub fn load(path: &Path) -> Result<SecretKey> {
    let metadata = path.metadata().with_context(|| format!("the key {}", path.display()))?;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        bail!("others on this machine may read the key {0}, and be you with it: chmod 600 {0}", path.display());
    }
    Ok(SecretKey::load(path)?)
}

/// Makes a key of that name.
pub fn make(name: &str) -> Result<SecretKey> {
    make_at(&workspace::config_directory()?, name)
}

fn make_at(folder: &Path, name: &str) -> Result<SecretKey> {
    let path = file(folder, name)?;
    if path.exists() {
        bail!("there is a key `{name}` already: {}", path.display());
    }
    let key = SecretKey::generate()?;
    key.save(&path)?;
    Ok(key)
}

/// The names of the keys that there are.
pub fn names() -> Result<Vec<String>> {
    let entries = workspace::config_directory()?.read_dir()?.flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == EXTENSION));
    let mut names: Vec<String> = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_string())).collect();
    names.sort();
    Ok(names)
}

/// Where the key of that name is, or would be.
pub fn path(name: &str) -> Result<PathBuf> {
    file(&workspace::config_directory()?, name)
}

fn file(folder: &Path, name: &str) -> Result<PathBuf> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        bail!("`{name}` is no name for a key: letters, digits, and `-`, `_`, `.`, `@` within");
    }
    Ok(folder.join(format!("{name}.{EXTENSION}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// D10: a key that others can read is no secret.
    #[test]
    fn d10_a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        make_at(folder.path(), "anna").unwrap();
        let path = file(folder.path(), "anna").unwrap();
        assert!(load(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.ends_with(&format!("chmod 600 {}", path.display())), "{error}");
    }

    #[test]
    fn a_key_is_never_made_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let first = make_at(folder.path(), "anna").unwrap();
        assert!(make_at(folder.path(), "anna").unwrap_err().to_string().contains("already"));
        let loaded = SecretKey::load(&file(folder.path(), "anna").unwrap()).unwrap();
        assert_eq!(loaded.public(), first.public());
        for wrong in ["", "../anna", "a/b", ".anna", "a b"] {
            assert!(make_at(folder.path(), wrong).is_err(), "{wrong}");
        }
    }
}
