//! `pearwood console`

use anyhow::{Context, Result};
use clap::Args;
use pearwood::console::{self, Source};
use pearwood::keys;
use pearwood::remote::At;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Console {
    /// The system that the node runs, to swap boxes in: its folder or file; without, the one in this folder
    system: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// The key to sign with what is swapped, which the node must trust: a name, or a file in PEM
    #[arg(long, value_name = "NAME", default_value = keys::DEVELOPMENT)]
    sign: String,
    /// The port of this machine that it is served on; 0 for any
    #[arg(long, default_value_t = 7328)]
    port: u16,
}

impl Console {
    pub fn run(self) -> Result<ExitCode> {
        let remote = self.at.connect()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))
            .with_context(|| format!("port {} of this machine", self.port))?;
        let (name, role, node) = (remote.name.clone(), remote.role, remote.node.clone());
        let here = || Some(PathBuf::from("system.toml")).filter(|here| here.is_file());
        let source = self.system.or_else(here).map(|system| Source { system, sign: self.sign });
        let source = source.ok_or("`pearwood console` was started without the folder of the node's system".into());
        let console = console::Console::new(remote, listener.local_addr()?.port(), source)?;
        println!("the console of {node}, as {name} ({role}), is at\n\n    {}\n", console.url());
        println!("and what it measures, for Prometheus, at {}", console.metrics_url());
        console.serve(&listener)
    }
}
