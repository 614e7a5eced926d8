//! `pearwood graph`

use super::system_path;
use anyhow::{Context, Result};
use clap::Args;
use pearwood::build;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Graph {
    /// The system's folder or file
    system: Option<PathBuf>,
    /// Where the SVG goes; without, to standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl Graph {
    pub fn run(self) -> Result<ExitCode> {
        let drawing = build::svg(&build::parse(&system_path(self.system)?)?);
        match self.output {
            Some(output) => {
                std::fs::write(&output, drawing).with_context(|| format!("cannot write {}", output.display()))?
            }
            None => print!("{drawing}"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
