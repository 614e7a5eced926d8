//! Another system takes the place of the one that runs, box by box, while it runs.
//!
//! 1. The difference is worked out: boxes that stay, boxes whose place another takes, boxes that come and go.
//! 2. What is new is loaded, linked and started beside the old. It must pass its health check and get to where it waits.
//!    Then it is written to the disk, if the node keeps systems there, beside the one that is started at boot.
//! 3. Boxes that others call hand over their state. Calls that come meanwhile wait.
//! 4. All arrows move at once. Peers on channels are told to `retire` the old boxes: nothing new is begun with them, and
//!    what is open goes on there.
//! 5. Boxes that run hand over their state when they have returned. The others finish what is open, or are ended when
//!    their time is over; their memory is free then.
//! 6. The new boxes are on trial for a while, and whoever deployed them has to confirm it over a connection made since then: a
//!    wrong address, port or key ends the trial and not the node. If a box crashes or fails too many requests, or nobody
//!    confirms, the old system is put back in the same way. If not, the disk's is from then on what is started at boot.
//!
//! Up to 4, whatever goes wrong is a refusal: the system that runs has not been touched.

mod change;
mod difference;
mod drain;
mod history;
mod keep;
mod prepare;
mod run;
#[cfg(all(test, feature = "build"))]
pub(crate) mod tests;
mod trial;

pub use difference::{Content, Difference, Fate, Side, Why, difference};
pub(crate) use history::Comes;
pub use history::{Awaits, Deployment, Deployments, Lasts, NotBegun, Outcome, Record, Step};
pub(crate) use keep::{Source, patient};

use crate::{executor::NORMAL_WEIGHT, image::Image, node::Node, platform::Nanos};
use alloc::{string::String, sync::Arc, vec::Vec};

const SECOND: Nanos = 1_000_000_000;

/// How a system is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// who asks for it, for the history
    pub by: String,
    /// how long a new box may take until it is ready
    pub ready: Nanos,
    /// how long old boxes may take to finish what is open
    pub drain: Nanos,
    /// how long the new boxes are on trial
    pub trial: Nanos,
    /// How long somebody may take to confirm the new system over the network as it then is, from the moment at which all
    /// that it takes over has been handed to it. 0: nobody need do that.
    pub confirm: Nanos,
    /// crashes during the trial that are forgiven
    pub crashes: u64,
    /// Failed answers of one box during the trial that are forgiven, however few the good ones are. Beyond that, at most
    /// one answer in ten may fail. An answer fails by `failed`, or by a status of 500 and above.
    pub failures: u64,
    /// Not if it gave the power over the node to others.
    pub same_authority: bool,
    /// Not if any other box than this would be another.
    pub only: Option<String>,
    /// Though it is a system of another name.
    pub other_system: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            by: String::from("unknown"),
            ready: 10 * SECOND,
            drain: 10 * SECOND,
            trial: 10 * SECOND,
            confirm: 0,
            crashes: 0,
            failures: 8,
            same_authority: false,
            only: None,
            other_system: false,
        }
    }
}

impl Node {
    /// Begins to put the system of `image` in the place of the one that runs. One at a time.
    ///
    /// # Errors
    /// [`NotBegun::Unchanged`] if that would change nothing, neither now nor when the node is started again: there is no
    /// record of it then, and the system to go back to is what it was.
    pub fn deploy(self: &Arc<Self>, image: Arc<Image<'static>>, options: Options) -> Result<Arc<Deployment>, NotBegun> {
        let is_running = || image.is_same(&self.running().image);
        let is_idle = self.deployments.under_way().is_none();
        if is_idle && self.slots().is_none_or(|store| store.starts_what_runs()) && is_running() {
            return Err(NotBegun::Unchanged);
        }
        self.deploy_from(Source { image: Some(image), slot: None, is_back: false, upload: Default::default() }, options)
    }

    pub(crate) fn deploy_from(self: &Arc<Self>, source: Source, options: Options) -> Result<Arc<Deployment>, NotBegun> {
        let (now, wall_clock) = (self.platform.now(), self.platform.wall_clock());
        let deployment = self.deployments.begin(&options.by, now, wall_clock)?;
        let run = run::run(self.clone(), source, options, deployment.clone());
        self.executor.spawn(NORMAL_WEIGHT, run);
        Ok(deployment)
    }

    /// What was deployed since the node's boot, oldest first.
    pub fn history(&self) -> Vec<Record> {
        self.deployments.history()
    }
}
