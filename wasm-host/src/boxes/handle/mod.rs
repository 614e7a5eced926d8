//! A box as the node knows it, whichever instance of it runs.

mod life;
mod succession;

pub use life::{Life, Phase};

use super::{
    Birth, Footprint, Stage,
    figures::Figures,
    log::{Level, Line, Log},
};
use crate::{
    arrows::{
        channel::{End, Port, Signal},
        measure::Meter,
    },
    executor::{Bell, CpuTime, Task},
    grants::{Blocks, Control, Known, Tap},
    image::Assets,
    node::Node,
    plan::BoxPlan,
    platform::Platform,
    stamp::Stamp,
};
use alloc::{
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use spin::{Mutex, Once};

pub struct BoxHandle {
    pub name: Arc<str>,
    pub spec: BoxPlan,
    pub signal: Arc<Signal>,
    pub ports: Vec<Arc<Port>>,
    pub nics: Vec<Arc<Tap>>,
    pub disks: Vec<Arc<Blocks>>,
    /// its power over the node
    pub(crate) control: Option<Arc<Control>>,
    /// what the gates of its arrows have learned
    pub known: Arc<Known>,
    /// the buckets that its arrows are to, in their order
    pub buckets: Vec<Arc<str>>,
    pub birth: Birth,
    assets: Mutex<Assets<'static>>,
    platform: &'static dyn Platform,
    /// told once, when it is linked
    calls: Once<Vec<Called>>,
    footprint: Once<Footprint>,
    task: Once<Arc<Task>>,
    /// Of this box and those before it in its place.
    log: Arc<Mutex<Log>>,
    /// what its instance has reported last
    figures: Mutex<Option<Figures>>,
    life: Mutex<Life>,
    /// Someone asked for its end: a look that costs nothing, at each of its turns.
    is_asked: AtomicBool,
    /// rings when its life changes
    bell: Bell,
    /// Another takes its place: when it ends, it is not started again.
    retiring: AtomicBool,
    /// Somebody has stopped it.
    stopped: AtomicBool,
    /// the node that it is a box of
    node: Once<Weak<Node>>,
    /// what takes its place, and is given its state
    heir: Once<Weak<BoxHandle>>,
    /// It has handed its state over, and goes on.
    has_given: AtomicBool,
    /// what it saved for the other
    saved: Mutex<Option<Result<Vec<u8>, String>>>,
    /// bytes of linear memory and tables, and of what the node holds for it
    memory: AtomicU64,
    memory_refused: AtomicBool,
}

/// An arrow by which a box calls another.
pub struct Called {
    pub interface: String,
    /// the name of the other
    pub to: Arc<str>,
    pub meter: Arc<Meter>,
}

impl BoxHandle {
    pub fn new(spec: BoxPlan, parts: Parts, platform: &'static dyn Platform) -> Arc<Self> {
        Self::made(spec, parts, platform, Birth::over(), Arc::default())
    }

    /// One that is to take the place of another, or to be added to a system that runs.
    pub fn beside(
        spec: BoxPlan,
        parts: Parts,
        platform: &'static dyn Platform,
        predecessor: Option<&BoxHandle>,
    ) -> Arc<Self> {
        let log = predecessor.map(|it| it.log.clone()).unwrap_or_default();
        Self::made(spec, parts, platform, Birth::awaited(), log)
    }

    fn made(
        spec: BoxPlan,
        parts: Parts,
        platform: &'static dyn Platform,
        birth: Birth,
        log: Arc<Mutex<Log>>,
    ) -> Arc<Self> {
        Arc::new(BoxHandle {
            name: spec.name.as_str().into(),
            spec,
            signal: parts.signal,
            ports: parts.ports,
            nics: parts.nics,
            disks: parts.disks,
            control: parts.control,
            known: parts.known,
            buckets: parts.buckets,
            birth,
            assets: Mutex::new(parts.assets),
            platform,
            calls: Once::new(),
            footprint: Once::new(),
            task: Once::new(),
            log,
            figures: Mutex::default(),
            life: Mutex::default(),
            is_asked: AtomicBool::new(false),
            bell: Bell::default(),
            retiring: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            node: Once::new(),
            heir: Once::new(),
            has_given: AtomicBool::new(false),
            saved: Mutex::default(),
            memory: AtomicU64::new(0),
            memory_refused: AtomicBool::new(false),
        })
    }

    /// The port of a protocol, named by its interface without a version.
    pub fn port(&self, path: &str, end: End) -> Option<&Arc<Port>> {
        self.ports.iter().find(|port| port.end() == end && port.interface() == path)
    }

    /// Its memory limit, less what the node holds for it at its ports.
    pub fn own_memory(&self) -> u64 {
        let held: u64 = self.ports.iter().map(|port| port.holds()).sum();
        let gated =
            self.ports.iter().any(|port| port.end() == End::Client && port.interface().starts_with("pearwood:net/"));
        self.spec.memory.saturating_sub(held + if gated { Known::HOLDS } else { 0 })
    }

    pub(crate) fn platform(&self) -> &'static dyn Platform {
        self.platform
    }

    /// What is measured of its calls of others.
    pub fn calls(&self) -> &[Called] {
        self.calls.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn will_call(&self, calls: Vec<Called>) {
        self.calls.call_once(|| calls);
    }

    /// What an instance of it takes of the node.
    pub(crate) fn footprint(&self) -> Footprint {
        self.footprint.get().copied().unwrap_or_default()
    }

    pub(crate) fn will_take(&self, footprint: Footprint) {
        self.footprint.call_once(|| footprint);
    }

    /// The box is no more: its arrows are taken away.
    pub fn unlink(&self, why: &str) {
        self.nics.iter().for_each(|nic| nic.leave());
        self.ports.iter().for_each(|port| port.unlink(why));
    }

    /// Whether it has what no two instances may have at a time: sectors that it can write.
    pub fn is_exclusive(&self) -> bool {
        self.disks.iter().any(|disk| !disk.is_read_only())
    }

    /// The devices of the box are its own from now on, but for what others share with it.
    pub fn listen_to_devices(&self) {
        self.nics.iter().for_each(Tap::open);
    }

    /// The node that the box belongs to, told once.
    pub(crate) fn belongs_to(self: &Arc<Self>, node: &Weak<Node>) {
        self.node.call_once(|| node.clone());
        if let (Some(control), Some(node)) = (&self.control, node.upgrade()) {
            control.serve(&node, self);
        }
    }

    pub(crate) fn node(&self) -> Option<Arc<Node>> {
        self.node.get()?.upgrade()
    }

    /// The task that runs the box, told once.
    pub fn runs_as(&self, task: &Arc<Task>) {
        self.task.call_once(|| task.clone());
    }

    /// The task that runs the box, if it runs.
    pub(crate) fn task(&self) -> Option<&Arc<Task>> {
        self.task.get()
    }

    /// What it has used of the CPU, in all its lives. None before its task runs, or if the platform stands in for it.
    pub fn cpu(&self) -> Option<&CpuTime> {
        self.task.get().map(|task| task.cpu())
    }

    /// The platform does what the box would: nothing is run.
    pub fn stand_in(&self) {
        self.live(|life| life.phase = Phase::StandIn);
    }

    /// Nothing of it is run: what the plan grants it is not to be had.
    pub fn refuse(&self, why: &str) {
        self.note(Level::Error, why);
        self.unlink(why);
        self.birth.reach(Stage::Failed(why.into()));
        self.live(|life| (life.phase, life.reason) = (Phase::Ended, Some(why.into())));
    }

    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    pub(crate) fn memory_is(&self, bytes: u64) {
        self.memory.store(bytes, Relaxed);
    }

    /// What the instance reports of itself; None: there is no instance any more.
    pub(crate) fn figures_are(&self, figures: Option<Figures>) {
        // what was there before is dropped when the lock is free
        let _before = core::mem::replace(&mut *self.figures.lock(), figures);
    }

    /// How many bytes of JSON its instance has reported last.
    pub(crate) fn figures_len(&self) -> Option<usize> {
        self.figures.lock().as_ref().map(|figures| figures.json().len())
    }

    /// Adds what it has reported last, as JSON: an array of [`Figure`](super::figures::Figure), the first of them that take no more than
    /// so many bytes.
    pub(crate) fn add_figures(&self, to: &mut String, most: usize) {
        to.push('[');
        if let Some(figures) = &*self.figures.lock() {
            to.push_str(figures.first(most.saturating_sub(2)));
        }
        to.push(']');
    }

    pub(super) fn memory_refused(&self) {
        self.memory_refused.store(true, Relaxed);
    }

    /// Whether the box was refused memory since this was last asked.
    pub(super) fn take_memory_refused(&self) -> bool {
        self.memory_refused.swap(false, Relaxed)
    }

    /// The files of the box.
    pub fn assets(&self) -> Assets<'static> {
        self.assets.lock().clone()
    }

    /// The same files, in another image.
    pub fn set_assets(&self, assets: Assets<'static>) {
        *self.assets.lock() = assets;
    }

    /// What the node says of the box.
    pub fn note(&self, level: Level, text: &str) {
        let line = self.log.lock().note(Stamp::now(self.platform), level, text);
        self.said(&line);
    }

    /// What the box says.
    pub fn write(&self, level: Level, text: &str) {
        let line = self.log.lock().write(Stamp::now(self.platform), level, text);
        if let Some(line) = line {
            self.said(&line);
        }
    }

    fn said(&self, line: &Line) {
        self.platform.write_console(&line.of(&self.name));
        if let Some(node) = self.node() {
            node.said.ring();
        }
    }

    /// Its last lines.
    pub fn log(&self) -> Vec<Line> {
        self.log_after(0)
    }

    /// Those of its last lines that have a higher order.
    pub(crate) fn log_after(&self, order: u64) -> Vec<Line> {
        self.log.lock().lines().filter(|line| line.order > order).cloned().collect()
    }
}

impl Drop for BoxHandle {
    /// Ports that are joined hold each other.
    fn drop(&mut self) {
        self.unlink("the box is gone");
    }
}

/// What a box's arrows give it.
#[derive(Default)]
pub struct Parts {
    pub signal: Arc<Signal>,
    pub ports: Vec<Arc<Port>>,
    pub nics: Vec<Arc<Tap>>,
    pub disks: Vec<Arc<Blocks>>,
    pub control: Option<Arc<Control>>,
    pub known: Arc<Known>,
    pub buckets: Vec<Arc<str>>,
    pub assets: Assets<'static>,
}
