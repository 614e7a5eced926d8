//! `deploy`, typed at the console: the system is built again and takes the place of the one that runs.

use super::Linux;
use crate::build::{self, Target};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use wasm_host::deploy::Options;
use wasm_host::node::Node;
use wasm_host::platform::Platform;

/// Obeys a line if it is `deploy`, with settings in seconds or none: `deploy trial=2 drain=5`. Does not wait for the end,
/// which the node's console tells of.
pub fn obey(linux: &'static Linux, node: &Arc<Node>, path: &Path, line: &str) -> bool {
    let mut words = line.split_whitespace();
    if words.next() != Some("deploy") {
        return false;
    }
    let (node, path, line) = (node.clone(), path.to_path_buf(), line.to_string());
    std::thread::spawn(move || {
        /// One builds at a time.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = deploy(linux, &node, &path, &line) {
            linux.write_console(&format!("deploy: {error:#}\n"));
        }
    });
    true
}

fn deploy(linux: &'static Linux, node: &Arc<Node>, path: &Path, line: &str) -> Result<()> {
    let options = options(line)?;
    let system = build::components(path)?;
    let key = build::development_key()?;
    let packed = build::pack(&system, Target::Native, &key, None)?;
    let image = packed.open_for(|| linux.notify(), &[key.public()])?;
    node.deploy(Arc::new(image), options)?;
    linux.notify();
    Ok(())
}

fn options(line: &str) -> Result<Options> {
    let mut options = Options { by: "the operator".into(), ..Options::default() };
    for word in line.split_whitespace().skip(1) {
        let (name, seconds) = word.split_once('=').with_context(|| format!("`{word}` is not like `trial=2`"))?;
        let seconds: u32 = seconds.parse().with_context(|| format!("`{seconds}` is no number of seconds"))?;
        let time = u64::from(seconds) * 1_000_000_000;
        match name {
            "ready" => options.ready = time,
            "drain" => options.drain = time,
            "trial" => options.trial = time,
            _ => bail!("`{name}` is no setting; there are ready, drain and trial"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let set = options("deploy trial=2  drain=5").unwrap();
        assert_eq!((set.trial, set.drain, set.ready), (2_000_000_000, 5_000_000_000, Options::default().ready));
        for wrong in ["deploy now", "deploy trial=soon", "deploy patience=3", "deploy trial=-1"] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
    }
}
