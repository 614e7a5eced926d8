//! `pearwood swap`

use super::deploy::{How, deploy};
use super::system_path;
use anyhow::{Context, Result};
use clap::Args;
use manage::{Request, Settings};
use pearwood::build;
use pearwood::keys;
use pearwood::remote::{At, Brought};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Swap {
    /// The box
    name: String,
    /// The component, or a module that becomes one. It takes the place of all components of the box
    component: PathBuf,
    /// The system that the node runs: its folder or file
    system: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    how: How,
    /// The key to sign the image with, which the node must trust: a name, or a file in PEM
    #[arg(long, value_name = "NAME", default_value = keys::DEVELOPMENT)]
    sign: String,
}

impl Swap {
    pub fn run(self) -> Result<ExitCode> {
        let path = system_path(self.system)?;
        let bytes = fs::read(&self.component).with_context(|| format!("cannot read {}", self.component.display()))?;
        // before anybody is asked, or anything is built
        build::componentize(&bytes).with_context(|| self.component.display().to_string())?;
        let mut remote = self.at.connect()?;
        remote.may(&Request::Lacks)?;
        let system = build::components_with(&path, Some((&self.name, &self.component)))?;
        let brought = Brought { system: &system, sign: &self.sign, version: None };
        let settings = Settings { only: Some(self.name), ..self.how.settings() };
        deploy(&mut remote, &brought, settings)
    }
}
