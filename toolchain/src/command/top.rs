//! `pearwood top`

use super::ps::heading;
use super::table::{bytes, table};
use anyhow::Result;
use clap::Args;
use pearwood::remote::{At, BoxStatus, Description};
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub struct Top {
    #[command(flatten)]
    at: At,
    /// Seconds between two looks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// End after so many looks
    #[arg(long)]
    count: Option<u64>,
}

impl Top {
    pub fn run(self) -> Result<ExitCode> {
        let mut remote = self.at.connect()?;
        let clears = stdout().is_terminal();
        let mut before = remote.describe()?;
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            thread::sleep(Duration::from_secs(self.every));
            let now = remote.describe()?;
            let clear = if clears { "\x1b[H\x1b[2J" } else { "" };
            print!("{clear}{}\n\n{}", heading(&now), rates(&before, &now));
            stdout().flush()?;
            before = now;
            left -= 1;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What has come to pass between two looks. Busy boxes come first.
fn rates(before: &Description, now: &Description) -> String {
    let nanos = now.uptime.saturating_sub(before.uptime).max(1);
    let per_second = |count: u64| (u128::from(count) * 1_000_000_000 / u128::from(nanos)) as u64;
    let mut boxes: Vec<(u64, [String; 7])> = now
        .boxes
        .iter()
        .map(|one| {
            let was = before.boxes.iter().find(|was| was.name == one.name);
            // another box of that name begins at 0
            let since = |of: fn(&BoxStatus) -> u64| of(one).saturating_sub(was.map_or(0, of));
            let cpu = since(|one| one.cpu);
            let permille = u128::from(cpu) * 1_000 / u128::from(nanos);
            let row = [
                one.name.clone(),
                one.phase.clone(),
                format!("{}.{} %", permille / 10, permille % 10),
                bytes(one.memory),
                per_second(since(|one| one.turns)).to_string(),
                per_second(since(|one| one.sent.iter().map(|arrow| arrow.records).sum())).to_string(),
                bytes(per_second(since(|one| one.sent.iter().map(|arrow| arrow.bytes).sum()))),
            ];
            (cpu, row)
        })
        .collect();
    boxes.sort_by_key(|(cpu, _)| std::cmp::Reverse(*cpu));
    let rows: Vec<_> = boxes.into_iter().map(|(_, row)| row).collect();
    table(["BOX", "PHASE", " CPU", " MEMORY", " TURNS/S", " RECORDS/S", " SENT/S"], &rows)
}
