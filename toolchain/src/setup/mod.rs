//! What a machine needs to build and run systems, and how it gets it.
//!
//! One file per thing. Each is a [`Check`], which can tell its state and put it right: as root by itself, else by
//! telling the command to run.

pub mod apt;
mod lock;
mod programs;
pub mod rust;
mod table;

pub use lock::Lock;
pub use programs::find as program;
pub use rust::Toolchain;
pub use table::table;

use anyhow::{Context, Result};

/// What a thing is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Building systems.
    Build,
    /// Running them in QEMU.
    Run,
    /// Pearwood's own tests.
    Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is there, in this version.
    Ready(String),
    Missing,
    /// It is there and of no use, for this reason.
    Wrong(String),
}

pub trait Check {
    fn name(&self) -> String;

    fn group(&self) -> Group;

    fn state(&self) -> State;

    /// What a person can do about it: a command, or a sentence.
    fn remedy(&self) -> String {
        apt::command_line(&self.packages())
    }

    /// The Debian packages that mend it, if packages do.
    fn packages(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Whether its packages would do, before they are installed.
    ///
    /// # Errors
    /// Why not, and what would.
    fn vet(&self) -> Result<()> {
        Ok(())
    }

    /// Puts it right.
    fn fix(&self) -> Result<()> {
        apt::install(&self.packages())
    }
}

/// The checks of a group and of those that it builds on.
pub fn checks(group: Group) -> Vec<Box<dyn Check>> {
    let mut checks: Vec<Box<dyn Check>> = vec![Box::new(rust::Targets)];
    checks.extend(programs::all().into_iter().map(|program| Box::new(program) as Box<dyn Check>));
    checks.retain(|check| check.group() <= group);
    checks
}

/// Sees to it that a group's things are there. Costs little when they are.
pub fn ensure(group: Group) -> Result<()> {
    let wanting = |check: &dyn Check| !matches!(check.state(), State::Ready(_));
    if !checks(group).iter().any(|check| wanting(check.as_ref())) {
        return Ok(());
    }
    // another process may be at the same: look again once it is done
    let _lock = Lock::hold("setup")?;
    let missing: Vec<_> = checks(group).into_iter().filter(|check| wanting(check.as_ref())).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|check| check.packages()).collect();
    if !packages.is_empty() {
        if apt::is_permitted() {
            apt::renew()?;
            missing.iter().try_for_each(|check| check.vet())?;
        }
        // all at once: each run of apt costs seconds, and whoever may not run it is told one command
        let installed = apt::install(&packages);
        // if one of several is at fault, the others are still wanted
        if packages.len() == 1 || !apt::is_permitted() {
            installed?;
        }
    }
    for check in missing.iter().filter(|check| wanting(check.as_ref())) {
        check.fix().with_context(|| format!("{} could not be set up", check.name()))?;
        if let State::Missing | State::Wrong(_) = check.state() {
            anyhow::bail!("{} is still not there after it was set up; {}", check.name(), check.remedy());
        }
    }
    Ok(())
}
