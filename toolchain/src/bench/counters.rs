//! The counting plugin: built, and asked.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::Read,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = include_str!("plugin.c");

/// What a guest has executed since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub instructions: u64,
    /// iterations of REP string instructions, not among the instructions
    pub repeats: u64,
}

impl Counters {
    pub fn since(self, before: Counters) -> Counters {
        Counters { instructions: self.instructions - before.instructions, repeats: self.repeats - before.repeats }
    }
}

/// Compiles the plugin into `directory`, unless it is there.
pub fn plugin(directory: &Path) -> Result<PathBuf> {
    let name = blake3::hash(SOURCE.as_bytes()).to_hex();
    let library = directory.join(format!("counter-{}.so", &name[..16]));
    if library.exists() {
        return Ok(library);
    }
    let source = directory.join("counter.c");
    fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
    let made = directory.join("counter.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread", "-o"]);
    let output = compiler.arg(&made).arg(&source).output().context("cannot start the C compiler, `cc`")?;
    if !output.status.success() {
        bail!("the counting plugin does not compile: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::rename(&made, &library)?;
    Ok(library)
}

/// QEMU's arguments for a plugin that answers on `socket`.
pub fn arguments(plugin: &Path, socket: &Path) -> [String; 2] {
    ["-plugin".into(), format!("{},socket={}", plugin.display(), socket.display())]
}

/// Asks the plugin of a running guest.
pub fn read(socket: &Path) -> Result<Counters> {
    let mut text = String::new();
    UnixStream::connect(socket)
        .and_then(|mut stream| stream.read_to_string(&mut text))
        .context("the counting plugin does not answer")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Counters> {
    let field = |name: &str| {
        let found = text.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|value| value.parse().ok()).with_context(|| format!("no `{name}` in {text:?}"))
    };
    Ok(Counters { instructions: field("instructions")?, repeats: field("repeats")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_read() {
        let counters = parse("instructions=12 repeats=3\n").unwrap();
        assert_eq!(counters, Counters { instructions: 12, repeats: 3 });
        assert!(parse("instructions=12").is_err());
    }

    #[test]
    fn the_plugin_compiles() {
        let directory = tempfile::tempdir().unwrap();
        let made = plugin(directory.path()).unwrap();
        assert_eq!(plugin(directory.path()).unwrap(), made, "and is kept");
    }
}
