//! The nodes that the user knows: a line for each, its address and its key.

use crate::files;
use crate::setup::Lock;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub struct KnownNodes(PathBuf);

/// What is known of a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    Same,
    Unknown,
    /// It had this key.
    Other([u8; 32]),
}

impl KnownNodes {
    pub fn of_user() -> Result<Self> {
        Ok(KnownNodes(workspace::config_directory()?.join("known-nodes")))
    }

    #[cfg(test)]
    fn at(path: PathBuf) -> Self {
        KnownNodes(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn text(&self) -> Result<String> {
        match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            text => text.with_context(|| format!("cannot read {}", self.0.display())),
        }
    }

    pub fn look(&self, node: &str, key: &[u8; 32]) -> Result<Known> {
        for (number, line) in self.text()?.lines().enumerate() {
            let Some((name, known)) = entry(line) else { continue };
            if name != node {
                continue;
            }
            let Some(known) = bytes(known) else {
                bail!("{}:{}: the key of {node} is not 64 hexadecimal digits", self.0.display(), number + 1);
            };
            return Ok(if known == *key { Known::Same } else { Known::Other(known) });
        }
        Ok(Known::Unknown)
    }

    /// Remembers the key of a node, in place of what was known.
    pub fn remember(&self, node: &str, key: &[u8; 32]) -> Result<()> {
        let _lock = Lock::hold("known-nodes")?;
        let mut text: String = self
            .text()?
            .lines()
            .filter(|line| entry(line).is_none_or(|(name, _)| name != node))
            .fold(String::new(), |text, line| text + line + "\n");
        text += &format!("{node} {}\n", control::hex(key));
        files::replace(&self.0, text.as_bytes())
    }
}

fn entry(line: &str) -> Option<(&str, &str)> {
    line.trim().split_once(char::is_whitespace).filter(|(name, _)| !name.starts_with('#'))
}

/// 64 hexadecimal digits.
pub(crate) fn bytes(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_known_by_their_address() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownNodes::at(folder.path().join("known-nodes"));
        assert_eq!(known.look("a:1", &[1; 32]).unwrap(), Known::Unknown);
        known.remember("a:1", &[1; 32]).unwrap();
        known.remember("a:12", &[2; 32]).unwrap();
        assert_eq!(known.look("a:1", &[1; 32]).unwrap(), Known::Same);
        assert_eq!(known.look("a:1", &[3; 32]).unwrap(), Known::Other([1; 32]));
        known.remember("a:1", &[3; 32]).unwrap();
        assert_eq!(known.look("a:1", &[3; 32]).unwrap(), Known::Same);
        assert_eq!(known.look("a:12", &[2; 32]).unwrap(), Known::Same);
    }
}
