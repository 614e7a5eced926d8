//! `pearwood swap`

use super::deploy::{How, deploy};
use super::system_path;
use anyhow::Result;
use clap::Args;
use manage::Request;
use pearwood::build;
use pearwood::keys;
use pearwood::remote::{At, Brought};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Swap {
    /// The box
    name: String,
    /// The component, or a module that becomes one
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
        let mut remote = self.at.connect()?;
        remote.may(&Request::Lacks)?;
        let system = build::components_with(&system_path(self.system)?, Some((&self.name, &self.component)))?;
        let brought = Brought { system: &system, sign: &self.sign, version: None };
        deploy(&mut remote, &brought, self.how.settings())
    }
}
