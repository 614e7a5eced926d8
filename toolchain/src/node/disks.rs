//! Files of this machine that are disks of a node.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The size of a disk that is made without one being said.
const DEFAULT_SIZE: u64 = 1 << 30;

/// A file that is a disk: `FILE`, or `FILE,SIZE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    pub path: PathBuf,
    /// In bytes: how large the disk is made.
    pub size: Option<u64>,
}

impl DiskFile {
    pub fn new(path: impl Into<PathBuf>, size: u64) -> Self {
        DiskFile { path: path.into(), size: Some(size) }
    }

    /// How large it is made if it is not there.
    pub fn size_when_made(&self) -> u64 {
        self.size.unwrap_or(DEFAULT_SIZE)
    }

    /// Makes the file if it is not there: of the size asked for, and sparse. A smaller one grows; none shrinks.
    pub fn prepare(&self) -> Result<()> {
        let describe = || format!("disk {}", self.path.display());
        let found = match self.path.metadata() {
            Ok(metadata) if metadata.is_dir() => bail!("disk {} is a folder", self.path.display()),
            // a block device is as large as it is
            Ok(metadata) if !metadata.is_file() => return Ok(()),
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(describe),
        };
        let size = match (found, self.size) {
            (Some(found), Some(size)) if found > size => bail!(
                "disk {} has {found} bytes; it is not made smaller, to {size} bytes, for what it may hold",
                self.path.display()
            ),
            (Some(found), None) => found,
            (Some(found), Some(size)) if found == size => found,
            (_, size) => {
                let size = size.unwrap_or(DEFAULT_SIZE);
                let file = File::options().create(true).truncate(false).write(true).open(&self.path);
                file.and_then(|file| file.set_len(size)).with_context(describe)?;
                size
            }
        };
        if size < 512 || !size.is_multiple_of(512) {
            bail!("disk {} has {size} bytes, which is no whole number of sectors", self.path.display());
        }
        Ok(())
    }

    /// Whether this user may only read it.
    pub fn is_read_only(&self) -> bool {
        is_read_only(&self.path)
    }
}

fn is_read_only(path: &Path) -> bool {
    path.exists() && File::options().write(true).open(path).is_err()
}

impl FromStr for DiskFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, size) = match text.rsplit_once(',') {
            Some((path, size)) => (path, Some(parse_size(size)?)),
            None => (text, None),
        };
        if path.is_empty() {
            return Err("it names no file".into());
        }
        Ok(DiskFile { path: path.into(), size })
    }
}

/// A number of bytes with K, M, G or T for the powers of 1,024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size of a disk; write 64M or 10G");
    let text = text.trim();
    let text = text.strip_suffix("iB").unwrap_or(text);
    let (number, shift) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 10),
        Some('m' | 'M') => (&text[..text.len() - 1], 20),
        Some('g' | 'G') => (&text[..text.len() - 1], 30),
        Some('t' | 'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
    let size = number.checked_mul(1 << shift).filter(|size| *size <= i64::MAX as u64).ok_or_else(wrong)?;
    if size < 512 || !size.is_multiple_of(512) {
        return Err(format!("`{text}` is no whole number of sectors of 512 bytes"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn as_people_write_them() {
        let parse = |text: &str| text.parse::<DiskFile>().map(|disk| (disk.path.display().to_string(), disk.size));
        assert_eq!(parse("a.img"), Ok(("a.img".into(), None)));
        assert_eq!(parse("/d/a.img,64M"), Ok(("/d/a.img".into(), Some(64 << 20))));
        assert_eq!(parse("a,b,2 GiB"), Ok(("a,b".into(), Some(2 << 30))));
        assert_eq!(parse("a,1024"), Ok(("a".into(), Some(1024))));
        for bad in ["", ",1G", "a,", "a,big", "a,0", "a,100", "a,-1G", "a,99999999T", "a,1.5G", "a,é"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_made_sparse_and_never_shrink() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let disk = |size: Option<u64>| DiskFile { path: path.clone(), size };
        disk(Some(1 << 30)).prepare().unwrap();
        let made = path.metadata().unwrap();
        assert_eq!(made.len(), 1 << 30);
        assert!(made.blocks() * 512 < 1 << 20, "it takes no room yet");
        std::fs::File::options().write(true).open(&path).unwrap();
        disk(None).prepare().unwrap();
        disk(Some(2 << 30)).prepare().unwrap();
        assert_eq!(path.metadata().unwrap().len(), 2 << 30);
        let error = disk(Some(1 << 20)).prepare().unwrap_err().to_string();
        assert!(error.contains("is not made smaller"), "{error}");
        assert_eq!(path.metadata().unwrap().len(), 2 << 30);
        let folder = DiskFile::new(directory.path(), 512).prepare().unwrap_err().to_string();
        assert!(folder.ends_with("is a folder"), "{folder}");
        let nowhere = DiskFile::new(directory.path().join("no/disk"), 512);
        assert!(format!("{:#}", nowhere.prepare().unwrap_err()).contains("no/disk"));
    }
}
