//! `pearwood restart`, `stop`, `start`, `history`

use super::table::{table, time};
use anyhow::Result;
use clap::Args;
use control::message::Request;
use pearwood::remote::{At, Deployed};
use std::process::ExitCode;

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
pub struct History {
    #[command(flatten)]
    at: At,
}

impl Restart {
    pub fn run(self) -> Result<ExitCode> {
        let Restart { name, at } = self;
        order(&at, &Request::Restart { name: name.clone() }, &format!("{name} is started again"))
    }
}

impl Stop {
    pub fn run(self) -> Result<ExitCode> {
        let Stop { name, at } = self;
        order(&at, &Request::Stop { name: name.clone() }, &format!("{name} is stopped"))
    }
}

impl Start {
    pub fn run(self) -> Result<ExitCode> {
        let Start { name, at } = self;
        order(&at, &Request::Start { name: name.clone() }, &format!("{name} is started"))
    }
}

fn order(at: &At, request: &Request, done: &str) -> Result<ExitCode> {
    at.connect()?.ask(request)?;
    println!("{done}");
    Ok(ExitCode::SUCCESS)
}

impl History {
    pub fn run(self) -> Result<ExitCode> {
        let mut remote = self.at.connect()?;
        let now = remote.describe()?.uptime;
        let history = remote.history()?;
        if history.is_empty() {
            println!("nothing was deployed since the node's boot");
            return Ok(ExitCode::SUCCESS);
        }
        let row = |one: Deployed| {
            let changes = if one.changes.is_empty() { "no box".into() } else { one.changes.join("; ") };
            let ago = format!("{} ago", time(now.saturating_sub(one.began)));
            [one.number.to_string(), ago, one.by, changes, one.text.lines().next().unwrap_or_default().into()]
        };
        let rows: Vec<_> = history.into_iter().map(row).collect();
        print!("{}", table([" NUMBER", " BEGAN", "BY", "CHANGES", "OUTCOME"], &rows));
        Ok(ExitCode::SUCCESS)
    }
}
