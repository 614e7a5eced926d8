//! A deployment on the node's disk, if the node keeps systems there.
//!
//! The new system is written beside the one that is started at boot once it is known that it can start, and before
//! anything has changed: a disk that fails refuses the deployment. It is what is started from when its trial is over.
//! Until then a loss of power leaves the system of before; there is no moment at which neither is whole.

use super::{Lasts, Options, Outcome};
use crate::{
    executor::{Timer, yield_now},
    image::{Hash, Image},
    node::{Complete, Node, Upload},
    platform::Nanos,
    slots::{About, Rank, SlotError, SlotName, Space, Store, What},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use spin::Mutex;

/// What is read of an image at a time.
const PART: usize = 64 << 10;

/// How long one step may take the disk, and how long its slots may be busy with something else.
const PATIENCE: Nanos = 120_000_000_000;
const PAUSE: Nanos = 50_000_000;

/// The system that a deployment brings.
pub struct Source {
    /// None: it is to be read from the slot.
    pub image: Option<Arc<Image<'static>>>,
    /// The slot that should hold it.
    pub slot: Option<SlotName>,
    /// It is what ran here before.
    pub is_back: bool,
    /// One whose files were brought to the disk.
    pub upload: Mutex<Option<Upload>>,
}

impl Source {
    /// What was brought to the disk.
    pub fn of(upload: Upload) -> Self {
        Source { image: None, slot: None, is_back: false, upload: Mutex::new(Some(upload)) }
    }
}

/// Keeps what one deployment brings.
pub struct Keeper {
    store: Option<Arc<Store>>,
    about: About,
    /// where the new system is
    slot: Option<SlotName>,
    /// it was written for this deployment
    written: bool,
    /// where its files are already, and the hash of its manifest
    space: Option<(Space, Hash)>,
    /// the deployment that brought the system that ran before
    was: Option<u64>,
}

impl Keeper {
    pub fn new(node: &Node, options: &Options, deploy: u64) -> Self {
        let store = node.slots();
        let time = node.platform.wall_clock().map(|nanos| nanos / 1_000_000_000);
        let was = store.as_ref().and_then(|store| Some(store.held(store.running()?)?.deploy));
        let about = About { deploy, time, who: options.by.clone(), text: String::new(), version: 0 };
        Keeper { store, about, slot: None, written: false, space: None, was }
    }

    /// Which deployment brought what ran before, if the disk has that.
    pub fn was(&self) -> Option<u64> {
        self.was
    }

    /// The system to deploy.
    ///
    /// # Errors
    /// Why there is none, or that it could not be kept.
    pub async fn find(&mut self, node: &Node, source: &Source) -> Result<Arc<Image<'static>>, String> {
        let upload = source.upload.lock().take();
        if let Some(upload) = upload {
            let trusted = node.trusted_by(&node.running().plan);
            let complete = patient(node, upload.complete(&trusted)).await;
            let Complete { space, manifest, image } = complete.ok_or_else(|| SlotError::Silent.to_string())??;
            let runs = node.running().image.clone();
            if image.is_same(&runs) && self.store.as_ref().is_some_and(|store| store.starts_what_runs()) {
                return Ok(runs);
            }
            self.space = Some((space, manifest));
            return Ok(Arc::new(image));
        }
        let image = match (&source.image, &self.store, source.slot) {
            (Some(image), ..) => image.clone(),
            (None, Some(store), Some(slot)) => read(node, store, slot).await?,
            (None, ..) => return Err("there is no other system".into()),
        };
        if let Some(store) = &self.store {
            let (length, most) = (image.length(), store.slot_bytes());
            if length > most {
                return Err(SlotError::TooLarge { length, most }.to_string());
            }
        }
        Ok(image)
    }

    /// Writes the new system into the slot that is not needed, unless `source` says where it is already.
    ///
    /// # Errors
    /// Why it cannot be kept. What is started at boot is what it was.
    pub async fn keep(
        &mut self,
        node: &Node,
        new: &Image<'static>,
        old: &Image<'static>,
        source: &Source,
        changes: &[String],
    ) -> Result<(), String> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        self.about.text = changes.join("; ");
        self.about.version = new.plan().map_or(0, |plan| plan.version);
        free(node, &store).await?;
        // who asks for this has reached a node that was started with it
        answered(node, store.mark_booted()).await.map_err(not_kept)?;
        // files that were brought are used where they lie
        let running = store.running().filter(|_| self.space.is_none() && new.is_same(old));
        if let Some(slot) = running.or(source.slot).filter(|slot| is_good(&store, *slot)) {
            match answered(node, store.verify(slot)).await {
                Ok(()) => {
                    self.slot = Some(slot);
                    if let Some(held) = store.held(slot).filter(|_| running.is_none()) {
                        self.about.text = format!("back to {}; {}", name(held.deploy), self.about.text);
                    }
                    return Ok(());
                }
                // it is written once more
                Err(SlotError::Corrupt(_)) => {}
                Err(error) => return Err(not_kept(error)),
            }
        }
        if store.running().is_none() && store.names().all(|slot| !is_good(&store, slot)) {
            // so that there is a way back to it
            let version = old.plan().map_or(0, |plan| plan.version);
            let about = About { deploy: 0, version, ..self.about.clone() };
            write(node, &store, old, Rank::Running, &about).await?;
            self.was = Some(0);
        }
        self.slot = Some(match self.space.take() {
            Some((space, manifest)) => {
                let entered = answered(node, store.enter(&space, manifest, Rank::Beside, &self.about)).await;
                entered.map_err(not_kept)?
            }
            None => write(node, &store, new, Rank::Beside, &self.about).await?,
        });
        self.written = true;
        Ok(())
    }

    /// The new system has stood its trial. Yields what is so from now on, when the node is started again.
    pub async fn promote(&self, node: &Node) -> Lasts {
        let Some((store, slot)) = self.store.as_ref().zip(self.slot) else {
            let wanted = node.running().plan.disk.as_ref().map(|disk| disk.device.clone());
            return Lasts::UntilTheEnd { wanted };
        };
        let done = match self.written {
            true => answered(node, store.promote(slot)).await,
            false => answered(node, store.go_back(slot, &self.about)).await,
        };
        match done {
            Ok(()) => {
                store.runs(slot);
                Lasts::Kept { slot }
            }
            Err(error) => {
                store.runs_elsewhere();
                Lasts::Uncertain { why: error.to_string() }
            }
        }
    }

    /// Notes what came of it, unless that is known to be good.
    pub async fn end(mut self, node: &Node, outcome: &Outcome, changes: &[String]) -> Result<(), SlotError> {
        let Some(store) = self.store else { return Ok(()) };
        let (what, why) = match outcome {
            Outcome::Done => return Ok(()),
            Outcome::Refused { why } => (What::Refused, why),
            Outcome::RolledBack { why } | Outcome::Stuck { why, .. } => (What::Failed, why),
        };
        if self.about.text.is_empty() {
            self.about.text = changes.join("; ");
        }
        match self.slot.filter(|_| self.written) {
            Some(slot) => answered(node, store.give_up(slot, what, why)).await,
            None => answered(node, store.note(what, why, &self.about)).await,
        }
    }
}

fn is_good(store: &Store, slot: SlotName) -> bool {
    store.held(slot).is_some_and(|held| held.state.is_good())
}

fn name(deploy: u64) -> String {
    match deploy {
        0 => "what the node was started with".into(),
        _ => format!("deployment {deploy}"),
    }
}

fn not_kept(error: SlotError) -> String {
    format!("it cannot be kept on the node's disk: {error}")
}

/// Waits until nobody changes what is in the slots. While a deployment is under way, nobody else begins to.
async fn free(node: &Node, store: &Store) -> Result<(), String> {
    let timer: Arc<Timer> = node.executor.timers().timer();
    let end = node.platform.now().saturating_add(PATIENCE);
    while store.is_busy() {
        if node.platform.now() >= end {
            return Err(not_kept(SlotError::Busy));
        }
        timer.sleep_until(node.platform.now().saturating_add(PAUSE)).await;
    }
    Ok(())
}

/// What the disk does, unless it never comes to an end.
async fn answered<T>(node: &Node, act: impl Future<Output = Result<T, SlotError>>) -> Result<T, SlotError> {
    patient(node, act).await.unwrap_or(Err(SlotError::Silent))
}

/// The same of whatever waits for the disk. None: it does not come to an end.
pub(crate) async fn patient<T>(node: &Node, act: impl Future<Output = T>) -> Option<T> {
    let timer = node.executor.timers().timer();
    let mut end = pin!(timer.sleep_until(node.platform.now().saturating_add(PATIENCE)));
    let mut act = pin!(act);
    poll_fn(|cx| match act.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Streams an image into the slot that is not needed; other tasks have their turns between its parts.
async fn write(
    node: &Node,
    store: &Store,
    image: &Image<'static>,
    rank: Rank,
    about: &About,
) -> Result<SlotName, String> {
    let mut stream = image.stream(&node.engine_settings()).map_err(|error| error.to_string())?;
    let mut writer = answered(node, store.begin(image.length())).await.map_err(not_kept)?;
    let mut part = Vec::new();
    part.try_reserve_exact(PART).map_err(|_| not_kept(SlotError::NoMemory))?;
    while stream.read(&mut part, PART).map_err(|error| error.to_string())? > 0 {
        answered(node, writer.append(&part)).await.map_err(not_kept)?;
        part.clear();
        yield_now().await;
    }
    answered(node, writer.commit(rank, about)).await.map_err(not_kept)
}

/// Reads the system that a slot holds, which takes half of the memory that is free at most.
async fn read(node: &Node, store: &Store, slot: SlotName) -> Result<Arc<Image<'static>>, String> {
    let text = |error: SlotError| error.to_string();
    free(node, store).await?;
    let room = node.room();
    let kept = answered(node, store.load(slot, room)).await.map_err(text)?;
    if kept.rest.is_none() && kept.bytes.len() as u64 > room {
        let (needs, room) = ((kept.bytes.len() as u64).div_ceil(1_024), room / 1_024);
        return Err(format!("the node has no memory for it: it needs {needs} KiB, and may use {room} KiB"));
    }
    let roots = node.roots();
    let image = kept.open(&roots).map_err(|error| format!("slot {slot}: {error}"))?;
    Ok(Arc::new(image.with_hasher(node.running().image.hasher())))
}
