//! What the nodes that `pearwood up` starts are given to seal with: a secret for each system, made once for each user.

use crate::setup::Lock;
use crate::workspace;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The secret of the nodes of that system: 64 hexadecimal digits.
pub fn sealing(system: &str) -> Result<String> {
    at(&workspace::config_directory()?, system)
}

fn at(directory: &Path, system: &str) -> Result<String> {
    let path = directory.join(format!("{system}.secret"));
    let shown = || format!("the secret {}", path.display());
    let _lock = Lock::hold("secret")?;
    if let Ok(metadata) = path.metadata() {
        if metadata.is_file() && metadata.mode() & 0o077 != 0 {
            bail!("others on this machine may read the secret {0}: chmod 600 {0}", path.display());
        }
        let secret = std::fs::read_to_string(&path).with_context(shown)?;
        let secret = secret.trim();
        if secret.len() != 64 || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("{}: 64 hexadecimal digits are meant", shown());
        }
        return Ok(secret.into());
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow!("{error}"))?;
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    write(&path, &secret).with_context(shown)?;
    Ok(secret)
}

/// Whenever this machine stops, the whole secret is there or none: half of one could not be told from one that opens nothing.
fn write(path: &Path, secret: &str) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // nobody else writes it, since the lock is held; what is there is left from a start that was cut short
    let new = path.with_extension("secret.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once_for_a_system_and_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = at(directory.path(), "home").unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(at(directory.path(), "home").unwrap(), first);
        assert_ne!(at(directory.path(), "other").unwrap(), first);
        let path = directory.path().join("home.secret");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(at(directory.path(), "home").unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "0123").unwrap();
        assert!(at(directory.path(), "home").unwrap_err().to_string().contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_start_that_was_cut_short_leaves_nothing_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let new = directory.path().join("home.secret.new");
        fs::write(&new, "0123").unwrap();
        let secret = at(directory.path(), "home").unwrap();
        assert_eq!(at(directory.path(), "home").unwrap(), secret);
        assert!(!new.exists());
        assert_eq!(directory.path().join("home.secret").metadata().unwrap().mode() & 0o777, 0o600);
    }
}
