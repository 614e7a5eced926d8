//! From an image to a running system.

use super::{Node, Running, StandIns, console, load, trial, wire};
use crate::{
    arrows::call::CallQueue,
    boxes::{BoxHandle, Budget, Parts, log, supervise},
    deploy::Deployments,
    engine::{Configure, Engines},
    executor::{Bell, Executor, NORMAL_WEIGHT},
    image::{Image, ImageError, PublicKey},
    plan::{BoxPlan, Plan},
    platform::{Nanos, Platform},
    volumes,
};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64},
    task::{Context, Poll, Waker},
};
use spin::Mutex;

/// What a node is made of.
pub struct Setup<'a> {
    pub platform: &'static dyn Platform,
    pub image: Arc<Image<'static>>,
    /// The triple that this machine's artifacts are compiled for.
    pub target: &'static str,
    /// The machine's part of the engine's configuration.
    pub configure: Configure,
    /// The keys that sign what may be deployed later, unless a system says `trust`.
    pub trusted: &'a [PublicKey],
    /// Components that the platform stands in for: their boxes have ports and no instance.
    pub stand_ins: &'a [&'a str],
}

/// Why a node does not start. Names the box at fault.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for StartError {}

impl StartError {
    fn image(error: ImageError) -> Self {
        StartError(format!("{error}"))
    }
}

impl Node {
    /// Makes all boxes and starts them. They run when [`Node::run`] is called.
    pub fn start(setup: Setup<'_>) -> Result<Arc<Node>, StartError> {
        let Setup { platform, image, target, configure, trusted, stand_ins } = setup;
        let plan = image.plan().map_err(StartError::image)?;
        let engines =
            Engines::new(configure).map_err(|error| StartError(format!("the engine does not start: {error:#}")))?;

        wait(platform, provide(platform, &plan)).map_err(StartError)?;
        let stands_in = StandIns::new(stand_ins);
        let mut boxes = Vec::new();
        for (place, spec) in plan.boxes.iter().enumerate() {
            let name = &spec.name;
            let parts = wire::parts(&plan, place, platform, &boxes, stands_in.has(spec))
                .map_err(|why| StartError(format!("box `{name}`: {why}")))?;
            let assets = image.assets(name).map_err(|error| StartError(format!("box `{name}`: {error}")))?;
            boxes.push(BoxHandle::new(spec.clone(), Parts { assets, ..parts }, platform));
        }
        for arrow in wire::wanted(&plan) {
            wire::join(&boxes, &plan, &arrow);
        }
        boxes.iter().for_each(|handle| handle.listen_to_devices());

        let at_fault =
            |index: usize, error: wasmtime::Error| StartError(format!("box `{}`: {error:#}", plan.boxes[index].name));
        let runs = |spec: &BoxPlan| !stands_in.has(spec);
        let loader = load::Loader { engines: &engines, image: &image, target, platform, before: &() };
        let loaded = loader.load(&plan, runs).map_err(|(index, error)| at_fault(index, error))?;
        let executor = Executor::new();
        for (index, handle) in boxes.iter().enumerate() {
            match loaded.link(&plan, index, handle).map_err(|error| at_fault(index, error))? {
                None => handle.stand_in(),
                Some((component, duty)) => {
                    if let Some(why) = platform.volumes().refused(&plan, index) {
                        handle.refuse(&why);
                        loaded.queue(index).into_iter().for_each(|queue| queue.close(&why));
                        continue;
                    }
                    let timer = executor.timers().timer();
                    let life = supervise(handle.clone(), platform, timer, component, duty);
                    handle.runs_as(&executor.spawn(handle.spec.cpu, life));
                }
            }
            if let Some(queue) = loaded.queue(index) {
                watch(&executor, queue);
            }
        }
        let newest = AtomicU64::new(plan.version);
        let running = Running { plan, image, boxes, loaded };
        let mut boot_secret = [0; 32];
        platform.fill_random(&mut boot_secret);
        let node = Arc::new_cyclic(|me| Node {
            platform,
            engines,
            executor,
            target,
            trusted: trusted.to_vec(),
            stands_in,
            running: Mutex::new(Arc::new(running)),
            previous: Mutex::default(),
            newest,
            me: me.clone(),
            boot_secret,
            ending: AtomicBool::new(false),
            deployments: Deployments::after(platform.slots().map_or(0, |store| store.last_deploy())),
            said: Bell::default(),
            // each upload has a bound of its own
            uploads: Budget::new(u64::MAX),
        });
        node.running().boxes.iter().for_each(|handle| handle.belongs_to(node.weak()));
        node.executor.spawn(NORMAL_WEIGHT, console::serve(node.clone()));
        node.executor.spawn(NORMAL_WEIGHT, volumes::erase(node.clone()));
        node.executor.spawn(NORMAL_WEIGHT, trial::watch(node.clone(), node.executor.timers().timer()));
        Ok(node)
    }
}

/// What the system names of the disks is there before any box is. A volume that is larger than it says is none the worse: a
/// system that is gone back to finds what another has let grow.
async fn provide(platform: &dyn Platform, plan: &Plan) -> Result<(), String> {
    let tell = |line: String| {
        log::of_node(platform, log::Level::Info, &line);
    };
    platform.volumes().take_raw(platform, &[plan]).await;
    platform.volumes().provide(platform, plan, None, &mut { tell }).await
}

/// How long the disks may take, at most.
const PATIENCE: Nanos = 120_000_000_000;

/// Waits for the disks, before the executor runs.
fn wait<T>(platform: &dyn Platform, future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut future = pin!(future);
    let end = platform.now().saturating_add(PATIENCE);
    loop {
        platform.poll();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        if platform.now() >= end {
            return Err("the disks do not answer, and the volumes that the system names cannot be looked for".into());
        }
        platform.idle(Some(end));
    }
}

/// Ends the calls of a queue that take too long.
pub fn watch(executor: &Executor, queue: &CallQueue) {
    let (queue, timer) = (queue.clone(), executor.timers().timer());
    executor.spawn(NORMAL_WEIGHT, async move { queue.watch(timer).await });
}
