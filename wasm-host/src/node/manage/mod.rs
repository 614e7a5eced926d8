//! What whoever has the power over the node can do to the system that runs.

mod answer;
mod follow;
mod successor;

pub(crate) use answer::Answer;
pub(crate) use follow::Follow;

use super::{
    Node, Previous, Upload,
    upload::{Bound, MAX_IMAGE},
};
use crate::{
    boxes::{BoxHandle, Phase},
    deploy::{Comes, NotBegun, Options, Source},
    image::{Header, ImageError},
    plan::{Service, grant::DEFAULT_UPLOAD},
    slots::{SlotError, SlotName},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use spin::Mutex;

impl Node {
    /// The box of that name.
    pub fn managed(&self, name: &str) -> Result<Arc<BoxHandle>, String> {
        self.find(name).ok_or_else(|| {
            let running = self.running();
            let names: Vec<&str> = running.boxes.iter().map(|handle| &*handle.name).collect();
            format!("there is no box `{name}`; there are {}", names.join(", "))
        })
    }

    /// The box, if it is one that can be ended and started.
    fn driven(&self, name: &str) -> Result<Arc<BoxHandle>, String> {
        let handle = self.managed(name)?;
        match handle.life().phase {
            Phase::StandIn => Err(format!("box `{name}`: this platform does its work, and nothing of it runs")),
            Phase::Ended => Err(format!("box `{name}` has ended of its own will; a deployment brings it back")),
            _ => Ok(handle),
        }
    }

    /// Ends the box's instance; another is started.
    pub fn restart_box(&self, name: &str, by: &str) -> Result<(), String> {
        let handle = self.driven(name)?;
        if handle.is_stopped() {
            return Err(format!("box `{name}` is stopped; start it"));
        }
        handle.restart(&format!("by {by}"));
        Ok(())
    }

    /// Ends the box's instance, and starts none. Refused for `asker` and those that it reaches others by: nobody could
    /// manage the node any more.
    pub fn stop_box(&self, name: &str, by: &str, asker: &str) -> Result<(), String> {
        let handle = self.driven(name)?;
        let running = self.running();
        let (asks, stops) = (running.plan.position(asker), running.plan.position(name));
        if let Some((asks, stops)) = asks.zip(stops) {
            let reaches = |service: &Service| matches!(service, Service::Port(at) if usize::from(at.place) == stops);
            if asks == stops || running.plan.arrows_of(asks).any(|arrow| reaches(&arrow.service)) {
                return Err(format!("box `{name}` is what the node is managed by; without it, it could not be"));
            }
        }
        handle.stop(&format!("by {by}"));
        Ok(())
    }

    pub fn start_box(&self, name: &str, by: &str) -> Result<(), String> {
        let handle = self.managed(name)?;
        if !handle.start() {
            return Err(format!("box `{name}` is not stopped"));
        }
        handle.note(crate::boxes::log::Level::Info, &format!("started by {by}"));
        Ok(())
    }

    /// The lines of a box's log from `first` on, as JSON.
    pub fn log_json(&self, name: &str, first: u64) -> Result<String, String> {
        let lines = self.managed(name)?.log();
        let lines: Vec<_> = lines.into_iter().filter(|line| line.number >= first).collect();
        serde_json::to_string(&lines).map_err(|error| error.to_string())
    }

    pub fn not_busy(&self) -> Result<(), String> {
        match self.history().last() {
            Some(last) if last.ended.is_none() => Err(format!("deployment {} is under way", last.number)),
            _ => Ok(()),
        }
    }

    /// Whether the box is one of the system that runs. One that another has taken the place of, or that has no place
    /// yet, has no power over the node.
    pub fn has_place(&self, handle: &Arc<BoxHandle>) -> bool {
        self.running().boxes.iter().any(|other| Arc::ptr_eq(other, handle))
    }

    /// Begins an image that is to take the place of the running one. `asker`: the box that brings it.
    pub fn begin_upload(&self, manifest: Vec<u8>, asker: &str) -> Result<Upload, String> {
        let running = self.running();
        let granted =
            running.plan.position(asker).and_then(|place| running.plan.upload_of(place)).unwrap_or(DEFAULT_UPLOAD);
        let room = self.room();
        let bound = if room < granted { Bound::Free(room) } else { Bound::Granted(granted) };
        let length = Header::read(&manifest).map_or(0, |header| header.length);
        let text = |error: ImageError| error.to_string();
        if length <= room.min(granted) {
            return Upload::begin(self.assemble(manifest, MAX_IMAGE).map_err(text)?, bound, &self.uploads);
        }
        let Some(store) = self.slots() else {
            let begun = Upload::begin(self.assemble(manifest, MAX_IMAGE).map_err(text)?, bound, &self.uploads);
            let hint = "a node that keeps its systems on a disk (`[system] disk`) reads larger ones from there";
            return begun.map_err(|why| format!("{why}; {hint}"));
        };
        let most = store.slot_bytes();
        if length > most {
            return Err(SlotError::TooLarge { length, most }.to_string());
        }
        // which needs the slots for itself
        self.not_busy()?;
        let assembly = self.assemble_on(manifest, most, true).map_err(text)?;
        Upload::begin_on(assembly, bound, &self.uploads, Some(store))
    }

    /// Deploys an image that is complete. Yields the deployment's number; none if nothing changes by it.
    pub fn deploy_upload(
        self: &Arc<Self>,
        upload: &mut Option<Upload>,
        options: Options,
    ) -> Result<Option<u64>, String> {
        self.not_busy()?;
        upload.as_ref().ok_or("no image was begun")?.check_complete()?;
        let upload = upload.take().ok_or("no image was begun")?;
        let begun = match upload.is_on_disk() {
            true => self.deploy_from(Source::of(upload), options),
            false => self.deploy(Arc::new(upload.finish()?), options),
        };
        match begun {
            Ok(deployment) => Ok(Some(deployment.record().number)),
            Err(NotBegun::Unchanged) => Ok(None),
            Err(busy) => Err(busy.to_string()),
        }
    }

    /// Deploys the system that ran before the one that runs: before the last deployment, be that since the node's boot or,
    /// if the node keeps systems on a disk, before. Done twice, it changes nothing.
    pub fn roll_back(self: &Arc<Self>, options: Options) -> Result<u64, String> {
        self.not_busy()?;
        let deployment = self.deploy_from(self.previous()?, options).map_err(|busy| busy.to_string())?;
        Ok(deployment.record().number)
    }

    /// `by` came over a connection that was made at `since`, to say that a deployment is as it should be: the one of
    /// that number, or the one that is under way. `other`: even if somebody else deployed it.
    fn confirm(&self, number: Option<u64>, by: &str, since: u64, other: bool) -> Result<(), String> {
        let found = match number {
            Some(number) => self.deployments.find(number).ok_or_else(|| format!("there was no deployment {number}")),
            None => self.deployments.under_way().ok_or_else(|| "no deployment is under way".into()),
        };
        let now = self.platform.now();
        found?.confirm(&Comes { by, since, now, other })
    }

    fn previous(&self) -> Result<Source, String> {
        let (previous, store) = (self.previous.lock().clone(), self.slots());
        match (previous, store) {
            (Some(Previous { image, deploy }), store) => {
                let store = store.as_ref();
                let holds = |slot: &SlotName| {
                    store.and_then(|store| store.held(*slot)).is_some_and(|held| Some(held.deploy) == deploy)
                };
                let slot = SlotName::ALL.into_iter().find(holds);
                if image.is_none() && slot.is_none() {
                    return Err("another system has taken the place on the disk of the one that ran before".into());
                }
                Ok(Source { image, slot, is_back: true, upload: Mutex::default() })
            }
            (None, None) => Err("no other system ran here since the node's boot".into()),
            (None, Some(store)) => {
                let slot = store.previous();
                let held = slot.and_then(|slot| store.held(slot)).filter(|held| held.state.is_good());
                if held.is_none() {
                    let why = "no other system ran here since the node's boot, and its disk holds none that was good";
                    return Err(why.into());
                }
                Ok(Source { image: None, slot, is_back: true, upload: Mutex::default() })
            }
        }
    }

    /// 32 secret bytes, made at the node's boot.
    pub fn boot_secret(&self) -> &[u8; 32] {
        &self.boot_secret
    }
}

#[cfg(all(test, feature = "build"))]
mod tests;
