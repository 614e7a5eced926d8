//! A box as the node knows it, whichever instance of it runs.

use super::log::{Level, Log, console_line};
use crate::{
    arrows::channel::{Channel, End, Port, Signal},
    executor::{CpuTime, Task},
    image::Assets,
    platform::{Extent, Nanos, Nic, Platform},
    system::BoxSpec,
};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::Waker,
};
use spin::{Mutex, Once};

pub struct BoxHandle {
    pub name: Arc<str>,
    pub spec: BoxSpec,
    pub signal: Arc<Signal>,
    pub ports: Vec<Arc<Port>>,
    pub nics: Vec<Arc<dyn Nic>>,
    pub disks: Vec<Extent>,
    pub assets: Assets<'static>,
    platform: &'static dyn Platform,
    task: Once<Arc<Task>>,
    log: Mutex<Log>,
    life: Mutex<Life>,
    /// bytes of linear memory and tables, and of what the node holds for it
    memory: AtomicU64,
    memory_refused: AtomicBool,
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
    /// someone asked for a restart
    asked: Option<Arc<str>>,
    waiting: Option<Waker>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    #[default]
    Starting,
    Running,
    /// It has ended and waits to be started again.
    Backoff,
    /// It returned of its own will.
    Ended,
    /// The platform does its work.
    StandIn,
}

impl BoxHandle {
    pub fn new(spec: BoxSpec, parts: Parts, platform: &'static dyn Platform) -> Arc<Self> {
        Arc::new(BoxHandle {
            name: spec.name.as_str().into(),
            spec,
            signal: parts.signal,
            ports: parts.ports,
            nics: parts.nics,
            disks: parts.disks,
            assets: parts.assets,
            platform,
            task: Once::new(),
            log: Mutex::default(),
            life: Mutex::default(),
            memory: AtomicU64::new(0),
            memory_refused: AtomicBool::new(false),
        })
    }

    pub fn port(&self, channel: Channel, end: End) -> Option<&Arc<Port>> {
        self.ports.iter().find(|port| (port.channel(), port.end()) == (channel, end))
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
    pub(crate) fn take_memory_refused(&self) -> bool {
        self.memory_refused.swap(false, Relaxed)
    }

    pub fn life(&self) -> Life {
        self.life.lock().clone()
    }

    pub(crate) fn live<R>(&self, change: impl FnOnce(&mut Life) -> R) -> R {
        change(&mut self.life.lock())
    }

    /// Ends the running instance; the supervisor starts another.
    pub fn restart(&self, why: &str) {
        let waiting = self.live(|life| {
            life.asked = Some(why.into());
            life.waiting.take()
        });
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Waits until somebody asks for a restart.
    pub(super) fn restart_asked(&self) -> impl Future<Output = Arc<str>> {
        core::future::poll_fn(|cx| {
            self.live(|life| match life.asked.take() {
                Some(why) => core::task::Poll::Ready(why),
                None => {
                    if !life.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        life.waiting = Some(cx.waker().clone());
                    }
                    core::task::Poll::Pending
                }
            })
        })
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

/// What a box's arrows give it.
#[derive(Default)]
pub struct Parts {
    pub signal: Arc<Signal>,
    pub ports: Vec<Arc<Port>>,
    pub nics: Vec<Arc<dyn Nic>>,
    pub disks: Vec<Extent>,
    pub assets: Assets<'static>,
}

impl Parts {
    pub fn port(&self, channel: Channel, end: End) -> Option<&Arc<Port>> {
        self.ports.iter().find(|port| (port.channel(), port.end()) == (channel, end))
    }
}
