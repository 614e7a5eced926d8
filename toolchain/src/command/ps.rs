//! `pearwood ps`

use super::table::{bytes, short, table, time};
use anyhow::Result;
use clap::Args;
use pearwood::remote::{Arrow, At, BoxStatus, Description};
use std::process::ExitCode;
use wasm_host::arrows::measure::quantile;

#[derive(Args)]
pub struct Ps {
    #[command(flatten)]
    at: At,
    /// Show also what has gone over each arrow
    #[arg(short, long)]
    arrows: bool,
    /// All that the node says, as JSON
    #[arg(long, conflicts_with = "arrows")]
    json: bool,
}

impl Ps {
    pub fn run(self) -> Result<ExitCode> {
        let mut remote = self.at.connect()?;
        if self.json {
            println!("{}", remote.text(&manage::Request::Describe)?);
            return Ok(ExitCode::SUCCESS);
        }
        let node = remote.describe()?;
        print!("{}\n\n{}", heading(&node), boxes(&node));
        if self.arrows {
            print!("\n{}", arrows(&node));
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub fn heading(node: &Description) -> String {
    let (used, total) = (bytes(node.memory.frames), bytes(node.memory.total));
    format!("{}: up for {}, {used} of {total} in use", node.system, time(node.uptime))
}

fn boxes(node: &Description) -> String {
    let row = |one: &BoxStatus| {
        let is_stand_in = one.phase == "stand-in";
        let unless = |text: String| if is_stand_in { "-".into() } else { text };
        let since = if one.phase == "running" { time(node.uptime.saturating_sub(one.since)) } else { "-".into() };
        let reason = one.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
        [
            one.name.clone(),
            one.phase.clone(),
            since,
            unless(format!("{} / {}", bytes(one.memory), bytes(one.limit))),
            unless(time(one.cpu)),
            one.restarts.to_string(),
            reason.to_string(),
        ]
    };
    let rows: Vec<_> = node.boxes.iter().map(row).collect();
    table(["BOX", "PHASE", " FOR", " MEMORY", " CPU", " RESTARTS", "ENDED LAST"], &rows)
}

fn arrows(node: &Description) -> String {
    let or_none = |count: Option<u64>| count.map_or_else(|| "-".into(), |count| count.to_string());
    let row = |arrow: &Arrow| {
        let quantile = |permille| {
            let latency = arrow.latency.as_ref().and_then(|latency| quantile(&latency.buckets, permille));
            latency.map_or_else(|| "-".into(), short)
        };
        [
            arrow.from.clone(),
            arrow.to.clone(),
            arrow.interface.clone(),
            or_none(arrow.requests.or(arrow.connections)),
            arrow.errors.to_string(),
            bytes(arrow.sent.bytes),
            bytes(arrow.received.bytes),
            quantile(500),
            quantile(990),
        ]
    };
    let rows: Vec<_> = node.arrows.iter().map(row).collect();
    table(["FROM", "TO", "INTERFACE", " REQUESTS", " ERRORS", " SENT", " RECEIVED", " P50", " P99"], &rows)
}
