//! `pearwood restart`, `stop`, `start`, `history`, `reboot`, `power-off`

use super::table::{table, time};
use anyhow::Result;
use clap::Args;
use manage::Request;
use pearwood::remote::{At, Deployed, Description};
use std::process::ExitCode;

/// So much of a system's hash is shown.
const SHORT: usize = 12;

#[derive(Args)]
pub struct Restart {
    /// The box
    name: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct Stop {
    /// The box
    name: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct Start {
    /// The box
    name: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct Reboot {
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct PowerOff {
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct History {
    #[command(flatten)]
    at: At,
}

impl Restart {
    pub fn run(self) -> Result<ExitCode> {
        let Restart { name, at } = self;
        order(&at, &Request::Restart { name: &name }, &format!("{name} is started again"))
    }
}

impl Stop {
    pub fn run(self) -> Result<ExitCode> {
        let Stop { name, at } = self;
        order(&at, &Request::Stop { name: &name }, &format!("{name} is stopped"))
    }
}

impl Start {
    pub fn run(self) -> Result<ExitCode> {
        let Start { name, at } = self;
        order(&at, &Request::Start { name: &name }, &format!("{name} is started"))
    }
}

impl Reboot {
    pub fn run(self) -> Result<ExitCode> {
        order(&self.at, &Request::Reboot, "the node boots again in a second")
    }
}

impl PowerOff {
    pub fn run(self) -> Result<ExitCode> {
        order(&self.at, &Request::PowerOff, "the node switches itself off in a second")
    }
}

fn order(at: &At, request: &Request<'_>, done: &str) -> Result<ExitCode> {
    at.connect()?.ask(request)?;
    println!("{done}");
    Ok(ExitCode::SUCCESS)
}

impl History {
    pub fn run(self) -> Result<ExitCode> {
        let mut remote = self.at.connect()?;
        let node = remote.describe()?;
        let history = remote.history()?;
        if history.is_empty() {
            println!("nothing was deployed since the node's boot");
            return Ok(ExitCode::SUCCESS);
        }
        let row = |one: Deployed| {
            let changes = if one.changes.is_empty() { "no box".into() } else { one.changes.join("; ") };
            let hash = one.hash.as_deref().and_then(|hash| hash.get(..SHORT)).unwrap_or("-").into();
            let outcome = one.text.lines().next().unwrap_or_default().into();
            [one.number.to_string(), began(&one, &node), one.by, hash, changes, outcome]
        };
        let rows: Vec<_> = history.into_iter().map(row).collect();
        print!("{}", table([" NUMBER", " BEGAN", "BY", "SYSTEM", "CHANGES", "OUTCOME"], &rows));
        Ok(ExitCode::SUCCESS)
    }
}

/// How long ago a deployment began, as far as clocks tell.
fn began(one: &Deployed, node: &Description) -> String {
    let ago = match (one.began, one.wall_clock, node.wall_clock) {
        (Some(began), ..) => node.uptime.checked_sub(began),
        (None, Some(then), Some(now)) => now.checked_sub(then),
        (None, ..) => None,
    };
    ago.map_or_else(|| "before its boot".into(), |ago| format!("{} ago", time(ago)))
}
