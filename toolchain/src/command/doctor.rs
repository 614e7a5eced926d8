//! `pearwood doctor`

use anyhow::Result;
use clap::Args;
use pearwood::setup::{self, Group, State};
use std::process::ExitCode;

#[derive(Args)]
pub struct Doctor {
    /// Install what is missing
    #[arg(long)]
    fix: bool,
    /// Only what building and running systems needs
    #[arg(long)]
    run_only: bool,
}

impl Doctor {
    pub fn run(self) -> Result<ExitCode> {
        let group = if self.run_only { Group::Run } else { Group::Test };
        if self.fix {
            setup::ensure(group)?;
        }
        let checks = setup::checks(group);
        print!("{}", setup::table(&checks));
        // Pearwood's own tests are not everybody's business
        let needed = checks.iter().filter(|check| self.fix || check.group() <= Group::Run);
        let ready = needed.into_iter().all(|check| matches!(check.state(), State::Ready(_)));
        if !ready {
            println!("\n`pearwood doctor --fix` sets up what is missing.");
        }
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
