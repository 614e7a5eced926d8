//! `pearwood restart`, `stop`, `start`, `confirm`, `history`, `reboot`, `power-off`, `token`

use super::table::{table, time};
use anyhow::Result;
use clap::Subcommand;
use manage::Request;
use pearwood::remote::{At, Deployed, Description};
use std::process::ExitCode;

/// So much of a system's hash is shown.
const SHORT: usize = 12;

/// Commands that are one request each.
#[derive(Subcommand)]
pub enum Manage {
    /// End a box's instance and start another
    Restart {
        /// The box
        name: String,
        #[command(flatten)]
        at: At,
    },
    /// End a box's instance until it is started
    Stop {
        /// The box
        name: String,
        #[command(flatten)]
        at: At,
    },
    /// Start a box that was stopped
    Start {
        /// The box
        name: String,
        #[command(flatten)]
        at: At,
    },
    /// Confirm a deployment that waits for it: by `deploy`, `swap` and `rollback` this is done without being asked
    Confirm {
        /// The deployment's number; without, the one that is under way
        number: Option<u64>,
        /// Even if it was somebody else who deployed it
        #[arg(long)]
        other: bool,
        #[command(flatten)]
        at: At,
    },
    /// Boot a node's machine again
    Reboot(At),
    /// Switch a node's machine off
    PowerOff(At),
    /// Show what was deployed on a node
    History(At),
    /// Print a token by which programs read a node's metrics in your place
    Token(At),
}

impl Manage {
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Manage::Restart { name, at } => {
                order(&at, &Request::Restart { name: &name }, &format!("{name} is started again"))
            }
            Manage::Stop { name, at } => order(&at, &Request::Stop { name: &name }, &format!("{name} is stopped")),
            Manage::Start { name, at } => order(&at, &Request::Start { name: &name }, &format!("{name} is started")),
            Manage::Confirm { number, other, at } => {
                order(&at, &Request::Confirm { number, since: 0, other }, "the deployment is confirmed")
            }
            Manage::Reboot(at) => order(&at, &Request::Reboot, "the node boots again in a second"),
            Manage::PowerOff(at) => order(&at, &Request::PowerOff, "the node switches itself off in a second"),
            Manage::History(at) => history(&at),
            Manage::Token(at) => {
                println!("{}", at.connect()?.text(&Request::Token)?);
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn order(at: &At, request: &Request<'_>, done: &str) -> Result<ExitCode> {
    at.connect()?.ask(request)?;
    println!("{done}");
    Ok(ExitCode::SUCCESS)
}

fn history(at: &At) -> Result<ExitCode> {
    let mut remote = at.connect()?;
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

/// How long ago a deployment began, as far as clocks tell.
fn began(one: &Deployed, node: &Description) -> String {
    let ago = match (one.began, one.wall_clock, node.wall_clock) {
        (Some(began), ..) => node.uptime.checked_sub(began),
        (None, Some(then), Some(now)) => now.checked_sub(then),
        (None, ..) => None,
    };
    ago.map_or_else(|| "before its boot".into(), |ago| format!("{} ago", time(ago)))
}
