//! `pearwood graph`

use super::{On, system_path};
use anyhow::{Context, Result};
use clap::Args;
use pearwood::{build, linux};
use std::path::PathBuf;
use std::process::ExitCode;
use wasm_host::system::graph::Ground;

#[derive(Args)]
pub struct Graph {
    /// The system's folder or file
    system: Option<PathBuf>,
    /// Where the SVG goes; without, to standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// As it runs there: what the platform does itself is drawn as such
    #[arg(long)]
    on: Option<On>,
}

impl Graph {
    pub fn run(self) -> Result<ExitCode> {
        let ground = match self.on {
            None => Ground::default(),
            Some(On::Qemu) => Ground { note: "in QEMU", ..Ground::default() },
            Some(On::Linux) => linux::GROUND,
        };
        let drawing = build::svg(&build::parse(&system_path(self.system)?)?, ground);
        match self.output {
            Some(output) => {
                std::fs::write(&output, drawing).with_context(|| format!("cannot write {}", output.display()))?
            }
            None => print!("{drawing}"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
