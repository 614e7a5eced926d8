//! A box as the node knows it, whichever instance of it runs.

use super::{
    Birth,
    log::{Level, Log, console_line},
};
use crate::{
    arrows::{
        channel::{Channel, End, Port, Ready, Signal},
        measure::Meter,
    },
    executor::{Bell, CpuTime, Task},
    grants::Tap,
    image::Assets,
    node::Node,
    platform::{Disk as _, Extent, Nanos, Platform},
    system::BoxSpec,
};
use alloc::{
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::Poll,
};
use spin::{Mutex, Once};

pub struct BoxHandle {
    pub name: Arc<str>,
    pub spec: BoxSpec,
    pub signal: Arc<Signal>,
    pub ports: Vec<Arc<Port>>,
    pub nics: Vec<Arc<Tap>>,
    pub disks: Vec<Extent>,
    pub birth: Birth,
    assets: Mutex<Assets<'static>>,
    platform: &'static dyn Platform,
    /// told once, when it is linked
    calls: Once<Vec<Called>>,
    task: Once<Arc<Task>>,
    /// Of this box and those before it in its place.
    log: Arc<Mutex<Log>>,
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

/// How a box fares.
#[derive(Debug, Clone, Default)]
pub struct Life {
    pub phase: Phase,
    /// how often it was started again
    pub restarts: u64,
    /// why it ended last, with the backtrace
    pub reason: Option<String>,
    /// when the running instance started
    pub since: Nanos,
    /// someone asked for its end
    asked: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    #[default]
    Starting,
    Running,
    /// It has ended and waits to be started again.
    Backoff,
    /// It was stopped, and waits to be started.
    Stopped,
    /// It returned of its own will.
    Ended,
    /// The platform does its work.
    StandIn,
}

impl BoxHandle {
    pub fn new(spec: BoxSpec, parts: Parts, platform: &'static dyn Platform) -> Arc<Self> {
        Self::made(spec, parts, platform, Birth::over(), Arc::default())
    }

    /// One that is to take the place of another, or to be added to a system that runs.
    pub fn beside(
        spec: BoxSpec,
        parts: Parts,
        platform: &'static dyn Platform,
        predecessor: Option<&BoxHandle>,
    ) -> Arc<Self> {
        let log = predecessor.map(|it| it.log.clone()).unwrap_or_default();
        Self::made(spec, parts, platform, Birth::awaited(), log)
    }

    fn made(
        spec: BoxSpec,
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
            birth,
            assets: Mutex::new(parts.assets),
            platform,
            calls: Once::new(),
            task: Once::new(),
            log,
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

    pub fn port(&self, channel: Channel, end: End) -> Option<&Arc<Port>> {
        self.ports.iter().find(|port| (port.channel(), port.end()) == (channel, end))
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

    /// The box is no more: its arrows are taken away.
    pub fn unlink(&self, why: &str) {
        self.nics.iter().for_each(|nic| nic.leave());
        self.ports.iter().for_each(|port| port.unlink(why));
    }

    /// Whether it has what no two instances may have at a time: sectors that it can write.
    pub fn is_exclusive(&self) -> bool {
        self.disks.iter().any(|disk| !disk.geometry().read_only)
    }

    /// The devices of the box are its own from now on, but for what others share with it.
    pub fn listen_to_devices(&self) {
        self.nics.iter().for_each(Tap::open);
    }

    /// The node that the box belongs to, told once.
    pub(crate) fn belongs_to(&self, node: &Weak<Node>) {
        self.node.call_once(|| node.clone());
    }

    pub(crate) fn node(&self) -> Option<Arc<Node>> {
        self.node.get()?.upgrade()
    }

    /// The task that runs the box, told once.
    pub fn runs_as(&self, task: &Arc<Task>) {
        self.task.call_once(|| task.clone());
    }

    /// What it has used of the CPU, in all its lives. None before its task runs, or if the platform stands in for it.
    pub fn cpu(&self) -> Option<&CpuTime> {
        self.task.get().map(|task| task.cpu())
    }

    /// The platform does what the box would: nothing is run.
    pub fn stand_in(&self) {
        self.live(|life| life.phase = Phase::StandIn);
    }

    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    pub(crate) fn memory_is(&self, bytes: u64) {
        self.memory.store(bytes, Relaxed);
    }

    pub(super) fn memory_refused(&self) {
        self.memory_refused.store(true, Relaxed);
    }

    /// Whether the box was refused memory since this was last asked.
    pub(super) fn take_memory_refused(&self) -> bool {
        self.memory_refused.swap(false, Relaxed)
    }

    pub fn life(&self) -> Life {
        self.life.lock().clone()
    }

    pub(crate) fn live<R>(&self, change: impl FnOnce(&mut Life) -> R) -> R {
        let result = change(&mut self.life.lock());
        self.bell.ring();
        result
    }

    /// Rings when its life changes.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// No instance of it runs or is about to.
    pub fn is_down(&self) -> bool {
        matches!(self.life.lock().phase, Phase::Backoff | Phase::Stopped | Phase::Ended)
    }

    pub fn has_ended(&self) -> bool {
        self.life.lock().phase == Phase::Ended
    }

    /// The files of the box.
    pub fn assets(&self) -> Assets<'static> {
        self.assets.lock().clone()
    }

    /// The same files, in another image.
    pub fn set_assets(&self, assets: Assets<'static>) {
        *self.assets.lock() = assets;
    }

    /// Another takes the place of this box: it is told to finish, and does not come back.
    pub fn retire(&self) {
        if !self.retiring.swap(true, Relaxed) {
            self.signal.raise(Ready::Retire);
            self.wake();
            self.bell.ring();
        }
    }

    pub fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }

    /// What takes the place of this box is given its state.
    pub fn succeeded_by(&self, heir: &Arc<BoxHandle>) {
        self.heir.call_once(|| Arc::downgrade(heir));
    }

    /// The box hands its state over while it goes on. What arrives from here on is its heir's as well.
    pub(crate) fn give(&self, state: Vec<u8>) -> wasmtime::Result<()> {
        if !self.is_retiring() {
            wasmtime::bail!("nothing takes the place of this box yet");
        }
        if self.has_given.swap(true, Relaxed) {
            wasmtime::bail!("the state was given before");
        }
        if let Some(heir) = self.heir.get().and_then(Weak::upgrade) {
            self.nics.iter().for_each(|nic| nic.share());
            heir.listen_to_devices();
            self.save(Ok(state));
        }
        Ok(())
    }

    pub(super) fn has_given(&self) -> bool {
        self.has_given.load(Relaxed)
    }

    pub(super) fn save(&self, saved: Result<Vec<u8>, String>) {
        *self.saved.lock() = Some(saved);
        self.bell.ring();
    }

    /// What a box that retires has saved, once.
    pub fn take_saved(&self) -> Option<Result<Vec<u8>, String>> {
        self.saved.lock().take()
    }

    /// Ends the running instance; the supervisor starts another, unless the box retires.
    pub fn restart(&self, why: &str) {
        self.life.lock().asked = Some(why.into());
        self.is_asked.store(true, Relaxed);
        self.wake();
    }

    /// Ends the running instance; there is no other until `start`.
    pub fn stop(&self, why: &str) {
        self.stopped.store(true, Relaxed);
        self.restart(why);
    }

    /// False: it was not stopped.
    pub fn start(&self) -> bool {
        let was_stopped = self.stopped.swap(false, Relaxed);
        self.bell.ring();
        was_stopped
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Waits while the box is stopped, unless it is to retire.
    pub(super) async fn started(&self) {
        self.bell.until(|| (!self.is_stopped() || self.is_retiring()).then_some(())).await;
        self.life.lock().asked = None;
    }

    /// Ends the box for good.
    pub fn end(&self, why: &str) {
        self.retiring.store(true, Relaxed);
        self.restart(why);
    }

    /// Gives its task a turn, to see what has changed. Before there is one, it will see.
    fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    /// Waits, in its task, until somebody asks for its end.
    #[inline]
    pub(super) fn end_asked(&self) -> impl Future<Output = Arc<str>> {
        core::future::poll_fn(|_| {
            if !self.is_asked.load(Relaxed) {
                return Poll::Pending;
            }
            self.is_asked.store(false, Relaxed);
            self.life.lock().asked.take().map_or(Poll::Pending, Poll::Ready)
        })
    }

    /// Waits, in its task, until the box is to retire, which may be while nothing of it runs.
    pub(super) fn retire_asked(&self) -> impl Future<Output = ()> {
        core::future::poll_fn(|_| if self.is_retiring() { Poll::Ready(()) } else { Poll::Pending })
    }

    /// What the node says of the box.
    pub fn note(&self, level: Level, text: &str) {
        let line = self.log.lock().note(self.platform.now(), level, text);
        self.platform.write_console(&console_line(line.at, &self.name, level, &line.text));
    }

    /// What the box says.
    pub fn write(&self, level: Level, text: &str) {
        let line = self.log.lock().write(self.platform.now(), level, text);
        if let Some(line) = line {
            self.platform.write_console(&console_line(line.at, &self.name, level, &line.text));
        }
    }

    /// Its last lines.
    pub fn log(&self) -> Vec<super::log::Line> {
        self.log.lock().lines().cloned().collect()
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
    pub disks: Vec<Extent>,
    pub assets: Assets<'static>,
}

impl Parts {
    pub fn port(&self, channel: Channel, end: End) -> Option<&Arc<Port>> {
        self.ports.iter().find(|port| (port.channel(), port.end()) == (channel, end))
    }
}
