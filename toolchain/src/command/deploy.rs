//! `pearwood deploy` and `rollback`

use super::{system_path, table::bytes};
use anyhow::{Result, bail};
use clap::Args;
use manage::Request;
use manage::Settings;
use pearwood::build;
use pearwood::keys;
use pearwood::remote::{At, Brought, Deployed, Remote, Sent, bring, watch};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub struct Deploy {
    /// The system's folder or file
    system: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    how: How,
    /// The key to sign the image with, which the node must trust: a name, or a file in PEM
    #[arg(long, value_name = "NAME", default_value = keys::DEVELOPMENT)]
    sign: String,
    /// Even if the node runs a system of another name, whose place this one takes
    #[arg(long)]
    other_system: bool,
    /// The image's version: a node takes none that is older than what it has run; without, the seconds since 1970
    #[arg(long, value_name = "NUMBER")]
    image_version: Option<u64>,
}

#[derive(Args)]
pub struct Rollback {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    how: How,
}

/// Times, in seconds.
#[derive(Args)]
pub struct How {
    /// How long a new box may take until it is ready, in seconds
    #[arg(long, default_value_t = 10)]
    ready: u32,
    /// How long old boxes may take to finish what is open, in seconds
    #[arg(long, default_value_t = 10)]
    drain: u32,
    /// How long the new boxes are on trial, in seconds
    #[arg(long, default_value_t = 10)]
    trial: u32,
    /// How long the node waits, once the new system runs, for this command to come back over the network and confirm it,
    /// in seconds: then it goes back to the system of before by itself
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    confirm: u32,
    /// Even if your key, or any, could not do as much afterwards; nobody need confirm it then
    #[arg(long)]
    allow_lockout: bool,
}

impl How {
    pub fn settings(&self) -> Settings {
        let nanos = |seconds: u32| u64::from(seconds) * 1_000_000_000;
        Settings {
            ready: nanos(self.ready),
            drain: nanos(self.drain),
            trial: nanos(self.trial),
            confirm: nanos(self.confirm),
            allow_lockout: self.allow_lockout,
            ..Settings::default()
        }
    }
}

impl Deploy {
    pub fn run(self) -> Result<ExitCode> {
        let path = system_path(self.system)?;
        let mut remote = self.at.connect()?;
        remote.may(&Request::Lacks)?;
        let system = build::components(&path)?;
        if !self.how.allow_lockout
            && let Some(why) = remote.lockout(&system.system)
        {
            // the node would say so too, when all is there
            bail!("{why}; --allow-lockout does it all the same");
        }
        let settings = Settings { other_system: self.other_system, ..self.how.settings() };
        let brought = Brought { system: &system, sign: &self.sign, version: self.image_version };
        deploy(&mut remote, &brought, settings)
    }
}

/// Brings a system to a node, and waits for what comes of it.
pub fn deploy(remote: &mut Remote, brought: &Brought<'_>, settings: Settings) -> Result<ExitCode> {
    let confirm = Duration::from_nanos(settings.confirm);
    let (mut shown, mut last) = (Sent::default(), (Sent::default(), 0));
    let number = bring(remote, brought, settings, |sent, length| {
        if sent.bytes - shown.bytes >= 1 << 20 {
            eprintln!("sent {}", bytes(sent.bytes));
            shown = sent;
        }
        last = (sent, length);
    })?;
    let (Sent { blobs, bytes: count }, length) = last;
    eprintln!("sent {blobs} blobs, {} of the image's {}", bytes(count), bytes(length));
    let Some(number) = number else {
        println!("nothing changed: the node runs this system already");
        return Ok(ExitCode::SUCCESS);
    };
    attend(remote, number, confirm)
}

impl Rollback {
    pub fn run(self) -> Result<ExitCode> {
        let mut remote = self.at.connect()?;
        let settings = self.how.settings();
        let confirm = Duration::from_nanos(settings.confirm);
        let number = remote.number(&Request::RollBack(settings))?;
        attend(&mut remote, number, confirm)
    }
}

/// Shows how a deployment goes.
fn attend(remote: &mut Remote, number: u64, confirm: Duration) -> Result<ExitCode> {
    let mut announced = false;
    let mut announce = |record: &Deployed| {
        if !announced && (!record.changes.is_empty() || record.ended.is_some()) {
            announced = true;
            record.changes.iter().for_each(|change| eprintln!("    {change}"));
            if record.changes.is_empty() && record.step == "done" {
                eprintln!("    no box is another");
            }
        }
    };
    let mut last = String::new();
    let outcome = watch(remote, number, confirm, |record| {
        announce(record);
        if record.text != last {
            eprintln!("deployment {number} is {}", record.text);
            last.clone_from(&record.text);
        }
    })?;
    announce(&outcome.record);
    println!("deployment {number}: {}", outcome.record.text);
    if let Some(lasts) = &outcome.record.lasts {
        println!("{lasts}");
    }
    let is_kept = outcome.record.kept != Some(false);
    Ok(if outcome.is_done && is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
