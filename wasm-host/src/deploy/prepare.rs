//! What is new is made beside what runs, which does not notice.

use super::{Content, Difference, Fate, Options, Side, difference, patient};
use crate::{
    arrows::call::CallQueue,
    boxes::{
        BoxHandle, Parts, Stage,
        log::{self, Level},
        supervise,
    },
    engine,
    image::{Hash, Image, ImageError},
    node::{
        Node, Running,
        load::{self, Before, Loaded},
        watch, wire,
    },
    plan::{BoxPlan, Plan},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::fmt::Display;
use spin::Mutex;
use wasmtime::component::Component;

/// A system that is ready to take the place of another.
pub struct Prepared {
    pub old: Arc<Running>,
    pub new: Arc<Running>,
    pub difference: Difference,
    /// what boxes have saved for those that run now, by name, in case these fail
    pub given: Mutex<Vec<(Arc<str>, Vec<u8>)>>,
}

impl Prepared {
    /// The boxes that were made for it.
    pub fn made(&self) -> impl Iterator<Item = &Arc<BoxHandle>> {
        made(&self.difference, &self.new.boxes)
    }

    /// It is not to be: what was made ends, and what was to change stays.
    pub fn abandon(&self, why: &str) {
        abandon(&self.difference, &self.old, &self.new.boxes, why);
        for (index, fate) in self.difference.fates.iter().enumerate() {
            if !keeps_queue(fate)
                && let Some(queue) = self.new.loaded.queue(index)
            {
                queue.close(why);
            }
        }
    }
}

fn made<'a>(difference: &'a Difference, boxes: &'a [Arc<BoxHandle>]) -> impl Iterator<Item = &'a Arc<BoxHandle>> {
    difference.fates.iter().zip(boxes).filter(|(fate, _)| !fate.is_kept()).map(|(_, handle)| handle)
}

fn abandon(difference: &Difference, old: &Running, boxes: &[Arc<BoxHandle>], why: &str) {
    made(difference, boxes).for_each(|handle| handle.end(why));
    for fate in &difference.fates {
        if let Fate::Replaced { old: place, takes_calls: true, .. } = fate
            && let Some(queue) = old.loaded.queue(*place)
        {
            queue.expect(None);
            queue.resume();
        }
    }
}

/// Whether those who call the box go on calling by the same queue.
const fn keeps_queue(fate: &Fate) -> bool {
    matches!(fate, Fate::Kept { .. } | Fate::Replaced { takes_calls: true, .. })
}

/// Components and queues that there are.
struct There<'a> {
    runnings: &'a [&'a Running],
    fates: &'a [Fate],
    old: &'a Running,
}

impl Before for There<'_> {
    fn component(&self, hash: Hash) -> Option<Component> {
        self.runnings.iter().find_map(|running| running.loaded.find(hash)).cloned()
    }

    fn queue(&self, index: usize) -> Option<CallQueue> {
        let fate = self.fates.get(index).filter(|fate| keeps_queue(fate))?;
        self.old.loaded.queue(fate.old()?).cloned()
    }
}

/// Makes what is new of a system, and waits until it is ready. `known`: systems whose components need not be loaded
/// again. `strict`: refused if it would have a volume smaller than what runs says, which what is gone back to may.
///
/// # Errors
/// Why it cannot be, naming the box or the volume at fault. Nothing has changed then.
pub async fn prepare(
    node: &Node,
    image: Arc<Image<'static>>,
    old: &Arc<Running>,
    known: &[&Running],
    options: &Options,
    strict: bool,
    announce: impl FnOnce(Vec<String>),
) -> Result<Prepared, String> {
    let prepared = make(node, image, old, known, options, strict, announce).await?;
    let timer = node.executor.timers().timer();
    let deadline = node.platform.now().saturating_add(options.ready);
    for handle in prepared.made() {
        let reached = handle.birth.reached(&Stage::Ready, &timer, deadline).await;
        let why = match reached {
            Some(Ok(())) => continue,
            Some(Err(why)) => format!("box `{}` does not start: {why}", handle.name),
            None => format!("box `{}` is not ready within {} ms", handle.name, options.ready / 1_000_000),
        };
        let complaint = handle.log().into_iter().rfind(|line| line.level == Level::Error);
        let why = complaint.map_or(why.clone(), |line| format!("{why}; it says: {}", line.text));
        prepared.abandon("the deployment was refused");
        return Err(why);
    }
    Ok(prepared)
}

/// Loads, links and starts what is new. Volumes that are made for it stay, whatever becomes of it: a box may have written to them.
async fn make(
    node: &Node,
    image: Arc<Image<'static>>,
    old: &Arc<Running>,
    known: &[&Running],
    options: &Options,
    strict: bool,
    announce: impl FnOnce(Vec<String>),
) -> Result<Prepared, String> {
    let text = |error: ImageError| error.to_string();
    let plan = image.plan().map_err(text)?;
    if options.same_authority && !node.same_authority(&old.plan, &plan) {
        return Err("it gives the power over the node to others: this needs the role `deploy`".into());
    }
    let (was, is) = (contents(node, &old.image, &old.plan)?, contents(node, &image, &plan)?);
    let difference = difference(Side { plan: &old.plan, contents: &was }, Side { plan: &plan, contents: &is });
    let mut lines = difference.lines(&old.plan, &plan);
    if let Some(line) = other_disk(node, &old.plan, &plan)? {
        lines.push(line);
    }
    if let Some(only) = options.only.as_deref().filter(|only| difference.changes_beside(only, &plan)) {
        return Err(format!(
            "box `{only}` alone was to be another, and there is more that differs from what runs: {}; `pearwood deploy` \
             changes all of it",
            lines.join("; ")
        ));
    }
    announce(lines);
    let mut tell = |line: String| {
        log::of_node(node.platform, Level::Info, &line);
    };
    let provided = async {
        let (platform, volumes) = (node.platform, node.platform.volumes());
        let plans: Vec<&Plan> = known.iter().map(|running| &running.plan).chain([&plan]).collect();
        volumes.take_raw(platform, &plans).await;
        for (place, spec) in plan.boxes.iter().enumerate() {
            if let Some(why) = volumes.refused(&plan, place) {
                return Err(format!("box `{}`: {why}", spec.name));
            }
        }
        volumes.provide(platform, &plan, strict.then_some(&old.plan), &mut tell).await
    };
    let silent = "the disks do not answer, and the volumes that the system names cannot be looked for";
    patient(node, provided).await.ok_or(silent)??;
    let boxes = handles(node, &image, old, &plan, &difference)?;
    let at_fault = |index: usize, error: wasmtime::Error| format!("box `{}`: {error:#}", plan.boxes[index].name);
    let loaded = {
        let there = There { runnings: known, fates: &difference.fates, old };
        let (engines, target, platform) = (&node.engines, node.target, node.platform);
        let loader = load::Loader { engines, image: &image, target, platform, before: &there };
        let runs = |spec: &BoxPlan| !node.stands_in.has(spec);
        loader.load(&plan, runs).map_err(|(index, error)| at_fault(index, error))?
    };
    expect(&difference, old, &loaded, &plan).inspect_err(|why| abandon(&difference, old, &boxes, why))?;
    let mut linked = Vec::new();
    for (index, handle) in boxes.iter().enumerate() {
        if difference.fates[index].is_kept() {
            continue;
        }
        match loaded.link(&plan, index, handle) {
            Ok(Some(it)) => linked.push((handle, it)),
            Ok(None) => {}
            Err(error) => {
                abandon(&difference, old, &boxes, "the deployment was refused");
                return Err(at_fault(index, error));
            }
        }
    }
    for (handle, (component, duty)) in linked {
        let timer = node.executor.timers().timer();
        let life = supervise(handle.clone(), node.platform, timer, component, duty);
        handle.runs_as(&node.executor.spawn(handle.spec.cpu, life));
    }
    for (index, fate) in difference.fates.iter().enumerate() {
        if !keeps_queue(fate)
            && let Some(queue) = loaded.queue(index)
        {
            watch(&node.executor, queue);
        }
    }
    let new = Arc::new(Running { plan, image, boxes, loaded });
    Ok(Prepared { old: old.clone(), new, difference, given: Mutex::default() })
}

/// Where a node keeps its systems is decided when it starts: sectors that it reserves then may be no box's later.
fn other_disk(node: &Node, old: &Plan, new: &Plan) -> Result<Option<String>, String> {
    if old.disk == new.disk {
        return Ok(None);
    }
    let words = |plan: &Plan| match &plan.disk {
        Some(disk) => format!("{}, {} MiB", disk.device, disk.reserve >> 20),
        None => String::from("none"),
    };
    let what = format!("[system] disk is another ({}; was {})", words(new), words(old));
    if node.slots().is_some() {
        return Err(format!(
            "{what}: this node keeps its systems where it was started to; start it with the new system to change that"
        ));
    }
    Ok(Some(format!("{what}: this takes effect when the node is started with the new system")))
}

/// Tells the queues that go on which versions of their boxes are to come.
fn expect(difference: &Difference, old: &Running, loaded: &Loaded, plan: &Plan) -> Result<(), String> {
    for (index, fate) in difference.fates.iter().enumerate() {
        let (component, queue) = (loaded.component(index), loaded.queue(index));
        let Some((component, queue)) = component.zip(queue) else { continue };
        match fate {
            Fate::Kept { old: place } if old.loaded.queue(*place).is_none() => {
                let name = &plan.boxes[index].name;
                let why = "it exports `run` and is called by others; an instance can do one of both";
                return Err(format!("box `{name}`: {why}"));
            }
            Fate::Replaced { takes_calls: true, .. } => queue.expect(Some(component.component_type())),
            _ => {}
        }
    }
    Ok(())
}

/// What the boxes of an image are made of.
fn contents(node: &Node, image: &Image<'_>, plan: &Plan) -> Result<Vec<Content>, String> {
    let content = |spec: &BoxPlan| {
        let code = if node.stands_in.has(spec) {
            None
        } else {
            let name = spec.component_name();
            let at_fault = |error: &dyn Display| format!("box `{}`: {error}", spec.name);
            node.engines.of(spec.engine).map_err(|error| at_fault(&error))?;
            let hash = image.component_hash(&name, &engine::requirements_of(spec.engine, node.target));
            Some(hash.map_err(|error| at_fault(&error))?)
        };
        Ok(Content { code, assets: image.assets_hash(&spec.name) })
    };
    plan.boxes.iter().map(content).collect()
}

/// The boxes of the new system: those that stay, and others made beside them.
fn handles(
    node: &Node,
    image: &Image<'static>,
    old: &Running,
    plan: &Plan,
    difference: &Difference,
) -> Result<Vec<Arc<BoxHandle>>, String> {
    let mut boxes = Vec::new();
    for (index, spec) in plan.boxes.iter().enumerate() {
        let name = &spec.name;
        let fate = &difference.fates[index];
        if let Fate::Kept { old: place } = fate {
            boxes.push(old.boxes[*place].clone());
            continue;
        }
        if node.stands_in.has(spec) {
            return Err(format!("box `{name}`: this platform cannot begin to stand in for it while it runs"));
        }
        let parts =
            wire::parts(plan, index, node.platform, &old.boxes, false).map_err(|why| format!("box `{name}`: {why}"))?;
        let assets = image.assets(name).map_err(|error| format!("box `{name}`: {error}"))?;
        let predecessor = fate.old().map(|place| &*old.boxes[place]);
        let handle = BoxHandle::beside(spec.clone(), Parts { assets, ..parts }, node.platform, predecessor);
        handle.belongs_to(node.weak());
        boxes.push(handle);
    }
    Ok(boxes)
}
