//! Locks between processes.

use crate::workspace;
use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::path::Path;

/// Held until dropped, or until the process ends in whatever way.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of that name, one per user.
    pub fn hold(name: &str) -> Result<Self> {
        Self::hold_in(&workspace::cache_directory()?, name)
            .context("XDG_CACHE_HOME may name a folder in which this user may write, in the place of ~/.cache")
    }

    /// Waits for the lock of that name, one per folder.
    pub fn hold_in(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(format!("{name}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another pearwood that is busy with the same ({})", path.display());
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Lock { _file: file })
    }
}
