//! `pearwood help`

use super::Arguments;
use anyhow::{Result, bail};
use clap::{Args, CommandFactory};
use pearwood::reference;
use std::process::ExitCode;

/// The topic that is not a command.
const SYSTEM: &str = "system";

#[derive(Args)]
pub struct Help {
    /// A command; or `system`, for all that there is to say in system.toml, and one of its parts: `system`, `box`, `arrows`, an
    /// interface, or a component such as `net`
    topic: Vec<String>,
    /// With `system`: a JSON schema for editors of TOML
    #[arg(long)]
    schema: bool,
}

impl Help {
    pub fn run(self) -> Result<ExitCode> {
        let topic: Vec<&str> = self.topic.iter().map(String::as_str).collect();
        match topic[..] {
            [SYSTEM] if self.schema => println!("{:#}", reference::schema()),
            _ if self.schema => bail!("there is a schema of system.toml only: `pearwood help system --schema`"),
            [SYSTEM] => print!("{}", reference::text(None).map_err(anyhow::Error::msg)?),
            [SYSTEM, part] => print!("{}", reference::text(Some(part)).map_err(anyhow::Error::msg)?),
            _ => of_command(&topic)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn of_command(path: &[&str]) -> Result<()> {
    let mut all = Arguments::command();
    // so that usage lines have whole names
    all.build();
    let mut command = &mut all;
    for name in path {
        let parent = command.get_name().to_string();
        let Some(found) = command.find_subcommand_mut(name) else {
            bail!("`{parent}` has no command `{name}`; `pearwood help` lists what there is");
        };
        command = found;
    }
    command.print_long_help()?;
    if path.is_empty() {
        println!("\n`pearwood help system` explains system.toml.");
    }
    Ok(())
}
