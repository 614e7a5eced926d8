//! A node: one system, running.

mod console;
#[cfg(all(test, feature = "build"))]
pub(crate) mod fixture;
pub(crate) mod history;
pub(crate) mod load;
mod manage;
mod start;
pub(crate) mod status;
#[cfg(all(test, feature = "build"))]
mod tests;
mod trial;
pub(crate) mod upload;
mod volumes;
pub(crate) mod wire;

pub use start::{Setup, StartError};

pub(crate) use manage::{Answer, Follow};
pub(crate) use start::watch;
pub use upload::{Complete, Lacks, Upload};

use crate::{
    boxes::{BoxHandle, Budget},
    deploy::Deployments,
    engine::{self, Engines},
    executor::{Bell, Executor},
    image::{Assembly, EngineSettings, Image, ImageError, PublicKey},
    plan::{BoxPlan, Plan},
    platform::Platform,
    slots::Store,
};
use alloc::{
    string::{String, ToString},
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use load::Loaded;
use spin::Mutex;

pub struct Node {
    pub(crate) platform: &'static dyn Platform,
    pub(crate) engines: Engines,
    pub(crate) executor: Executor,
    pub(crate) target: &'static str,
    /// Whom the node trusts unless its system says otherwise.
    trusted: Vec<PublicKey>,
    pub(crate) stands_in: StandIns,
    running: Mutex<Arc<Running>>,
    /// what `roll_back` goes back to
    previous: Mutex<Option<Previous>>,
    /// what [`newest`](Self::newest) is since the node's boot
    newest: AtomicU64,
    me: Weak<Node>,
    boot_secret: [u8; 32],
    /// the machine is about to be switched off, or to boot again
    ending: AtomicBool,
    pub(crate) deployments: Deployments,
    /// rings when a box has a line more in its log
    pub(crate) said: Bell,
    /// bytes of images that are being brought
    pub(crate) uploads: Arc<Budget>,
}

/// A system that ran before.
#[derive(Clone)]
struct Previous {
    /// None: it is on the disk, and its files are not in memory.
    image: Option<Arc<Image<'static>>>,
    /// the deployment that brought it, by which a slot of the disk may have it
    deploy: Option<u64>,
}

/// A system as it runs. Another takes its place as a whole.
pub struct Running {
    pub plan: Plan,
    pub image: Arc<Image<'static>>,
    /// in the order of the plan's
    pub boxes: Vec<Arc<BoxHandle>>,
    pub(crate) loaded: Loaded,
}

/// The components that the platform stands in for.
pub struct StandIns(Vec<String>);

impl StandIns {
    pub(crate) fn new(components: &[&str]) -> Self {
        StandIns(components.iter().map(|&component| component.into()).collect())
    }

    /// Whether the platform does what the box would.
    pub fn has(&self, spec: &BoxPlan) -> bool {
        spec.component.iter().any(|component| self.0.contains(component))
    }
}

impl Node {
    /// Their epoch is to be incremented at each tick of the timer while boxes run.
    pub fn engines(&self) -> &Engines {
        &self.engines
    }

    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The system as it runs now.
    pub fn running(&self) -> Arc<Running> {
        self.running.lock().clone()
    }

    /// Begins an image of which only the manifest has come, with all that the running one has of it.
    pub fn assemble(&self, manifest: Vec<u8>, limit: u64) -> Result<Assembly<'static>, ImageError> {
        self.assemble_on(manifest, limit, false)
    }

    /// The same. `disk`: its files are to be on a disk.
    pub(crate) fn assemble_on(
        &self,
        manifest: Vec<u8>,
        limit: u64,
        disk: bool,
    ) -> Result<Assembly<'static>, ImageError> {
        let running = self.running();
        let trusted = self.trusted_by(&running.plan);
        let mut assembly =
            Assembly::new(manifest, &trusted, &self.engine_settings(), limit)?.with_hasher(running.image.hasher());
        if disk {
            assembly = assembly.on_disk();
        }
        assembly.reuse(&running.image)?;
        Ok(assembly)
    }

    /// The keys that sign what may take a system's place.
    pub(crate) fn trusted_by(&self, plan: &Plan) -> Vec<PublicKey> {
        plan.trust.as_ref().unwrap_or(&self.trusted).clone()
    }

    /// The text of the declaration that the running system was made of. Nothing depends on it.
    pub fn source(&self) -> String {
        match self.running().image.source() {
            Ok((_, text)) => text.into(),
            Err(error) => error.to_string(),
        }
    }

    /// The newest version of its system that the node has run.
    pub(crate) fn newest(&self) -> u64 {
        let on_disk = self.slots().map_or(0, |store| store.newest());
        self.newest.load(Relaxed).max(on_disk)
    }

    /// It has run, and was good.
    pub(crate) fn has_run(&self, version: u64) {
        self.newest.fetch_max(version, Relaxed);
    }

    pub(crate) fn runs(&self, running: Arc<Running>) {
        *self.running.lock() = running;
    }

    /// For what is to be the node's and not to keep it.
    pub(crate) fn weak(&self) -> &Weak<Node> {
        &self.me
    }

    /// Keeps the system that ran before for `roll_back`.
    pub(crate) fn keep_previous(&self, image: Arc<Image<'static>>, deploy: Option<u64>) {
        // one whose files are on the disk would keep its slot from being written to
        let image = Some(image).filter(|image| !image.is_on_disk());
        *self.previous.lock() = Some(Previous { image, deploy });
    }

    /// How the code is compiled that runs here.
    pub(crate) fn engine_settings(&self) -> Vec<EngineSettings> {
        engine::all_requirements(self.target)
    }

    /// The keys by which what is on the node's disk may have come here: those that it was started with, and those that
    /// took their place.
    pub(crate) fn roots(&self) -> Vec<PublicKey> {
        let mut keys = self.trusted_by(&self.running().plan);
        keys.extend(&self.trusted);
        keys
    }

    /// Bytes that a system which comes may take.
    pub(crate) fn room(&self) -> u64 {
        let memory = self.platform.memory();
        memory.total.saturating_sub(memory.frames) / 2
    }

    /// The box of that name that runs now.
    pub fn find(&self, name: &str) -> Option<Arc<BoxHandle>> {
        self.running().boxes.iter().find(|handle| &*handle.name == name).cloned()
    }

    /// Where the node's system is kept, if it is.
    pub fn slots(&self) -> Option<Arc<Store>> {
        self.platform.slots()
    }

    /// Runs the system until the node is powered off.
    pub fn run(&self) -> ! {
        self.executor.run(self.platform)
    }
}
