//! `pearwood build`

use super::system_path;
use anyhow::{Context, Result};
use clap::Args;
use pearwood::build::{self, Target};
use pearwood::keys;
use pearwood::workspace::Workspace;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Build {
    /// The system's folder or file
    system: Option<PathBuf>,
    /// Where the image goes
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// The ed25519 key to sign with, in PEM; without, the development key
    #[arg(long)]
    key: Option<PathBuf>,
}

impl Build {
    pub fn run(self) -> Result<ExitCode> {
        let path = system_path(self.system)?;
        let system = build::components(&path)?;
        let key = match &self.key {
            Some(path) => keys::load(path)?,
            None => build::development_key()?,
        };
        let image = build::pack(&system, Target::Kernel, &key, None)?;
        let output = match self.output {
            Some(output) => output,
            None => Workspace::find()?.run_directory(&system.system.name)?.join("image"),
        };
        let length = image.length;
        // not with the permissions of the temporary file
        let copy = || std::io::copy(&mut image.file.reopen()?, &mut std::fs::File::create(&output)?);
        copy().with_context(|| format!("cannot write {}", output.display()))?;
        println!("{} ({} KiB), signed by {}", output.display(), length.div_ceil(1024), key.public().id());
        Ok(ExitCode::SUCCESS)
    }
}
