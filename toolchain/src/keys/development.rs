//! The key that development images are signed with: made once for each user.

use crate::setup::Lock;
use crate::workspace;
use anyhow::Result;
use std::path::Path;
use wasm_host::image::SecretKey;

/// The user's development key.
pub fn development() -> Result<SecretKey> {
    at(&workspace::config_directory()?)
}

fn at(directory: &Path) -> Result<SecretKey> {
    let path = directory.join("development.key");
    let _lock = Lock::hold("key")?;
    if path.is_file() {
        return super::load(&path);
    }
    let key = SecretKey::generate()?;
    key.save(&path)?;
    eprintln!("made a development key, {}", path.display());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once_and_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = at(directory.path()).unwrap();
        assert_eq!(at(directory.path()).unwrap().public(), first.public());
        let mode = fs::metadata(directory.path().join("development.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
