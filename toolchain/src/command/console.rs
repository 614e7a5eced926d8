//! `pearwood console`

use anyhow::{Context, Result};
use clap::Args;
use pearwood::console;
use pearwood::remote::At;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

#[derive(Args)]
pub struct Console {
    #[command(flatten)]
    at: At,
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
        let console = console::Console::new(remote, listener.local_addr()?.port())?;
        println!("the console of {node}, as {name} ({role}), is at\n\n    {}\n", console.url());
        println!("and what it measures, for Prometheus, at {}", console.metrics_url());
        console.serve(&listener)
    }
}
