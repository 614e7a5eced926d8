//! `pearwood top`

use super::ps::heading;
use super::table::{bytes, short, table};
use anyhow::Result;
use clap::Args;
use pearwood::remote::{Arrow, At, BoxStatus, Description, Rates};
use std::cmp::Reverse;
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

/// What has come to pass between two looks. Busy boxes and arrows come first.
fn rates(before: &Description, now: &Description) -> String {
    let nanos = now.uptime.saturating_sub(before.uptime).max(1);
    let mut boxes: Vec<(u64, [String; 6])> = now
        .boxes
        .iter()
        .map(|one| {
            let was = before.boxes.iter().find(|was| was.name == one.name);
            // another box of that name begins at 0
            let since = |of: fn(&BoxStatus) -> u64| of(one).saturating_sub(was.map_or(0, of));
            let cpu = since(|one| one.cpu);
            let permille = u128::from(cpu) * 1_000 / u128::from(nanos);
            let turns = u128::from(since(|one| one.turns)) * 1_000_000_000 / u128::from(nanos);
            let row = [
                one.name.clone(),
                one.phase.clone(),
                format!("{}.{} %", permille / 10, permille % 10),
                bytes(one.memory),
                one.restarts.to_string(),
                turns.to_string(),
            ];
            (cpu, row)
        })
        .collect();
    boxes.sort_by_key(|(cpu, _)| Reverse(*cpu));
    let mut arrows: Vec<(u64, [String; 8])> =
        now.arrows.iter().map(|arrow| arrow_row(arrow, &Rates::of(before, arrow, nanos))).collect();
    arrows.sort_by_key(|(bytes, _)| Reverse(*bytes));
    let boxes: Vec<_> = boxes.into_iter().map(|(_, row)| row).collect();
    let arrows: Vec<_> = arrows.into_iter().map(|(_, row)| row).collect();
    let boxes = table(["BOX", "PHASE", " CPU", " MEMORY", " RESTARTS", " TURNS/S"], &boxes);
    let headings = ["ARROW", "INTERFACE", " CALLS/S", " SENT/S", " RECEIVED/S", " ERRORS/S", " P50", " P99"];
    format!("{boxes}\n{}", table(headings, &arrows))
}

fn arrow_row(arrow: &Arrow, rates: &Rates) -> (u64, [String; 8]) {
    let time = |time: Option<u64>| time.map_or_else(|| "-".into(), short);
    let row = [
        format!("{} -> {}", arrow.from, arrow.to),
        arrow.interface.clone(),
        rates.calls.map_or_else(|| "-".into(), |calls| calls.to_string()),
        bytes(rates.sent),
        bytes(rates.received),
        rates.errors.to_string(),
        time(rates.p50),
        time(rates.p99),
    ];
    (rates.sent + rates.received, row)
}
