//! A box is swapped from the console: what was uploaded is compiled and signed here, and goes to the node.

use crate::build;
use crate::remote::{Brought, Remote, bring};
use anyhow::{Context, Result, bail};
use manage::{Request, Settings};
use std::fs;
use std::path::PathBuf;

/// The system that the node runs, on this machine.
pub struct Source {
    /// its folder or file
    pub system: PathBuf,
    /// the key to sign with
    pub sign: String,
}

impl Source {
    /// Puts a component in the place of a box's. `progress` is told what goes on. Yields the deployment's number.
    pub fn swap(
        &self,
        remote: &mut Remote,
        name: &str,
        component: &[u8],
        mut progress: impl FnMut(&str) -> Result<()>,
    ) -> Result<u64> {
        remote.may(&Request::Lacks)?;
        let runs = remote.describe()?.system;
        let declared = build::parse(&self.system)?.name;
        if runs != declared {
            bail!("the node runs `{runs}`, and {} declares `{declared}`", self.system.display());
        }
        if !component.starts_with(b"\0asm") {
            bail!("what was chosen is no WebAssembly");
        }
        progress("building the system")?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(format!("{}.wasm", name.replace(['/', '.'], "-")));
        fs::write(&file, component).context("the component cannot be kept")?;
        let system = build::components_with(&self.system, Some((name, &file)))?;
        progress("compiling and signing")?;
        let brought = Brought { system: &system, sign: &self.sign, version: None };
        let number = bring(remote, &brought, Settings { only: Some(name.into()), ..Settings::default() }, |_, _| {})?;
        number.with_context(|| format!("nothing changed: box `{name}` has this component already"))
    }
}
