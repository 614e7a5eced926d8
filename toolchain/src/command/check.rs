//! `pearwood check`

use super::system_path;
use anyhow::Result;
use clap::Args;
use pearwood::build;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Check {
    /// The system's folder or file
    system: Option<PathBuf>,
}

impl Check {
    pub fn run(self) -> Result<ExitCode> {
        let system = build::components(&system_path(self.system)?)?;
        let count = system.system.boxes.len();
        println!("`{}` is sound: {count} {}", system.system.name, if count == 1 { "box" } else { "boxes" });
        Ok(ExitCode::SUCCESS)
    }
}
