//! A deployment from its beginning to its end.

use super::{
    Awaits, Deployment, Fate, Lasts, Options, Outcome, Step,
    change::{self, Left},
    drain::{Drained, drain},
    keep::{Keeper, Source},
    prepare::{Prepared, prepare},
    trial::trial,
};
use crate::{
    boxes::{BoxHandle, Order, Stage, log},
    executor::{NORMAL_WEIGHT, Timer},
    image::Image,
    node::{Node, Running},
    platform::Nanos,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

pub async fn run(node: Arc<Node>, source: Source, options: Options, deployment: Arc<Deployment>) {
    let number = deployment.record().number;
    let mut keeper = Keeper::new(&node, &options, number);
    let outcome = attempt(&node, source, &options, &deployment, &mut keeper).await;
    let level = if outcome == Outcome::Done { log::Level::Info } else { log::Level::Error };
    say(&node, level, &format!("deployment {number}: {outcome}"));
    if let Some(lasts) = deployment.record().lasts {
        let level = if matches!(lasts, Lasts::Uncertain { .. }) { log::Level::Error } else { log::Level::Info };
        say(&node, level, &format!("deployment {number}: {lasts}"));
    }
    if let Err(error) = keeper.end(&node, &outcome, &deployment.record().changes).await {
        say(&node, log::Level::Warn, &format!("deployment {number}: the disk does not take what came of it: {error}"));
    }
    deployment.end(outcome, node.platform.now());
}

fn say(node: &Node, level: log::Level, text: &str) {
    for line in text.lines() {
        log::of_node(node.platform, level, line);
    }
}

async fn attempt(
    node: &Arc<Node>,
    source: Source,
    options: &Options,
    deployment: &Deployment,
    keeper: &mut Keeper,
) -> Outcome {
    let timer = node.executor.timers().timer();
    let old = node.running();
    let announce = |lines: Vec<String>| {
        let number = deployment.record().number;
        let what = if lines.is_empty() { String::from("no box is another") } else { lines.join("; ") };
        say(node, log::Level::Info, &format!("deployment {number} by {}: {what}", options.by));
        deployment.changes(lines);
    };
    let image = match keeper.find(node, &source).await {
        Ok(image) => image,
        Err(why) => return Outcome::Refused { why },
    };
    if let Err(why) = may_follow(node, &image, options, source.is_back) {
        return Outcome::Refused { why };
    }
    let prepared = match prepare(node, image.clone(), &old, &[&old], options, !source.is_back, announce).await {
        Ok(prepared) => prepared,
        Err(why) => return Outcome::Refused { why },
    };
    let changes = deployment.record().changes;
    if let Err(why) = keeper.keep(node, &image, &old.image, &source, &changes).await {
        prepared.abandon("the deployment was refused");
        return Outcome::Refused { why };
    }
    drop((image, source));
    deployment.step(Step::HandingOver);
    let deadline = node.platform.now().saturating_add(options.drain);
    if let Err(why) = hand_over_called(&prepared, &timer, deadline).await {
        prepared.abandon("the deployment was refused");
        return Outcome::Refused { why };
    }
    let (drained, handed_over) = place(node, &prepared, &[], &timer, options).await;
    // Only now can anybody come back: before, the old boxes still had the network.
    let since = node.platform.now();
    let awaits = Awaits { since, until: since.saturating_add(options.confirm) };
    deployment.on_trial(Some(awaits).filter(|_| options.confirm > 0 && handed_over.is_ok()));
    let until = since.saturating_add(options.trial);
    let verdict = match handed_over {
        Ok(()) => {
            let ends = async {
                deployment.confirmed(&timer).await?;
                timer.sleep_until(until).await;
                Ok(())
            };
            trial(prepared.made(), options, ends).await
        }
        Err(why) => Err(why),
    };
    let outcome = match verdict {
        Ok(()) => {
            deployment.lasts(keeper.promote(node).await);
            node.has_run(prepared.new.plan.version);
            if !prepared.new.image.is_same(&prepared.old.image) {
                node.keep_previous(prepared.old.image.clone(), keeper.was());
            }
            Outcome::Done
        }
        Err(why) => {
            deployment.step(Step::RollingBack { why: why.clone() });
            match roll_back(node, &prepared, &timer, options).await {
                Ok(()) => Outcome::RolledBack { why },
                Err(back) => Outcome::Stuck { why, back },
            }
        }
    };
    drained.wait().await;
    outcome
}

/// Whether an image is of this node's system, and not older than what has run here.
fn may_follow(node: &Node, image: &Image<'_>, options: &Options, is_back: bool) -> Result<(), String> {
    let plan = image.plan().map_err(|error| error.to_string())?;
    let runs = node.running().plan.system.clone();
    if plan.system != runs {
        if options.other_system {
            return Ok(());
        }
        return Err(format!(
            "the image is of the system `{}`, and this node runs `{runs}`; to put one in the place of the other, say so: \
             --other-system",
            plan.system
        ));
    }
    let newest = node.newest();
    if plan.version < newest && !is_back {
        return Err(format!(
            "the image is of version {} of `{runs}`, and this node has run version {newest}: `pearwood rollback` goes back to \
             what ran before, and an image that is made now, or with --image-version, is newer",
            plan.version
        ));
    }
    Ok(())
}

/// The system of before is put back, by the same way.
async fn roll_back(node: &Arc<Node>, failed: &Prepared, timer: &Arc<Timer>, options: &Options) -> Result<(), String> {
    let old = node.running();
    let image = failed.old.image.clone();
    // to whom it belonged before
    let options = &Options { same_authority: false, only: None, ..options.clone() };
    let prepared = prepare(node, image, &old, &[&failed.old, &old], options, false, drop).await?;
    let deadline = node.platform.now().saturating_add(options.drain);
    if let Err(why) = hand_over_called(&prepared, timer, deadline).await {
        // the version that failed may not be able to
        say(node, log::Level::Warn, &format!("going on without its state: {why}"));
    }
    let before = core::mem::take(&mut *failed.given.lock());
    let (drained, handed_over) = place(node, &prepared, &before, timer, options).await;
    if let Err(why) = handed_over {
        say(node, log::Level::Warn, &format!("going on without its state: {why}"));
    }
    drained.wait().await;
    Ok(())
}

/// The new system takes its place, and the old one begins to leave. `before`: state that boxes have saved before this, by
/// name, for want of a later one.
async fn place(
    node: &Arc<Node>,
    prepared: &Prepared,
    before: &[(Arc<str>, Vec<u8>)],
    timer: &Arc<Timer>,
    options: &Options,
) -> (Arc<Drained>, Result<(), String>) {
    let deadline = node.platform.now().saturating_add(options.drain);
    let left = change::change(node, prepared);
    let (exclusive, leaving) = exclusive(prepared);
    let heirs: Vec<(Arc<BoxHandle>, &Arc<BoxHandle>)> = heirs(prepared)
        .filter(|(place, _, _)| prepared.old.loaded.queue(*place).is_none())
        .map(|(place, _, heir)| (prepared.old.boxes[place].clone(), heir))
        .collect();
    for (old, heir) in &heirs {
        old.succeeded_by(heir);
    }
    for handle in prepared.made() {
        if !heirs.iter().any(|(_, heir)| Arc::ptr_eq(heir, handle)) {
            handle.listen_to_devices();
        }
        let mut waits = heirs.iter().map(|(_, heir)| *heir).chain(exclusive.iter().copied());
        if !waits.any(|waiting| Arc::ptr_eq(waiting, handle)) {
            handle.birth.order(Order::Go);
        }
    }
    for fate in &prepared.difference.fates {
        if let Fate::Replaced { old, takes_calls: true, .. } = fate
            && prepared.old.boxes[*old].is_exclusive()
            && let Some(queue) = prepared.old.loaded.queue(*old)
        {
            // its successor joins only when it has left
            queue.retire();
        }
    }
    let drained = spawn_drain(node, prepared.old.clone(), left, deadline);
    let mut result = Ok(());
    // What is down has no state any more; that is no reason not to be replaced.
    let down: Vec<bool> = heirs.iter().map(|(old, _)| old.is_down()).collect();
    for ((old, new), is_down) in heirs.into_iter().zip(down) {
        if let Err(why) = hand_over_running(prepared, &old, new, timer, deadline).await {
            let found = before.iter().find(|(name, _)| *name == new.name);
            let last = match found {
                Some((_, state)) => {
                    say(node, log::Level::Warn, &format!("going back to the state of before: {why}"));
                    give(new, state.clone(), timer, deadline).await
                }
                None if is_down => {
                    say(node, log::Level::Warn, &format!("going on without its state: {why}"));
                    Ok(())
                }
                None => Err(why),
            };
            result = result.and(last);
        }
        new.listen_to_devices();
        if !exclusive.iter().any(|other| Arc::ptr_eq(other, new)) {
            new.birth.order(Order::Go);
        }
    }
    if !exclusive.is_empty() {
        for old in &leaving {
            // the drain sees to it that it ends in time
            old.bell().until(|| old.has_ended().then_some(())).await;
        }
    }
    exclusive.iter().for_each(|new| new.birth.order(Order::Go));
    (drained, result)
}

fn spawn_drain(node: &Arc<Node>, old: Arc<Running>, left: Left, deadline: Nanos) -> Arc<Drained> {
    let drained = Arc::new(Drained::default());
    let (node_, done) = (node.clone(), drained.clone());
    node.executor.spawn(NORMAL_WEIGHT, async move {
        drain(&node_, old, left, deadline).await;
        done.done();
    });
    drained
}

/// Boxes that have what no two may have at a time: those that were made, and those that leave. The former wait for the
/// latter's end.
fn exclusive(prepared: &Prepared) -> (Vec<&Arc<BoxHandle>>, Vec<Arc<BoxHandle>>) {
    let Prepared { old, difference, .. } = prepared;
    let new = prepared.made().filter(|handle| handle.is_exclusive()).collect();
    let replaced = difference.fates.iter().filter(|fate| !fate.is_kept()).filter_map(Fate::old);
    let leaving = replaced.chain(difference.removed.iter().copied()).map(|place| old.boxes[place].clone());
    (new, leaving.filter(|handle| handle.is_exclusive()).collect())
}

/// The boxes whose state goes to another: the old one's position, the new one's, and the new one.
fn heirs(prepared: &Prepared) -> impl Iterator<Item = (usize, usize, &Arc<BoxHandle>)> {
    let Prepared { old, new, difference, .. } = prepared;
    let hands_over = |running: &Running, index: usize| running.plan.boxes[index].hands_over;
    difference.fates.iter().enumerate().filter_map(move |(index, fate)| match fate {
        Fate::Replaced { old: place, .. } if hands_over(old, *place) && hands_over(new, index) => {
            Some((*place, index, &new.boxes[index]))
        }
        _ => None,
    })
}

/// State of boxes that others call: between two calls, while the next ones wait.
async fn hand_over_called(prepared: &Prepared, timer: &Arc<Timer>, deadline: Nanos) -> Result<(), String> {
    for (place, _, heir) in heirs(prepared) {
        let Some(queue) = prepared.old.loaded.queue(place) else { continue };
        let name = &heir.name;
        let saved = queue.save(timer, deadline).await;
        let state = saved.map_err(|why| format!("box `{name}` does not save its state: {why}"))?;
        give(heir, state, timer, deadline).await?;
    }
    Ok(())
}

/// State of a box that runs: when it gives it, or has returned.
async fn hand_over_running(
    prepared: &Prepared,
    old: &BoxHandle,
    heir: &BoxHandle,
    timer: &Arc<Timer>,
    deadline: Nanos,
) -> Result<(), String> {
    let name = &heir.name;
    let look = || old.take_saved().or_else(|| old.has_ended().then(|| Err(old.life().reason.unwrap_or_default())));
    let saved = old.bell().until_or(timer, deadline, look).await;
    let saved = saved.unwrap_or_else(|| Err("it did not return in time".into()));
    let state = saved.map_err(|why| format!("box `{name}` does not save its state: {why}"))?;
    prepared.given.lock().push((name.clone(), state.clone()));
    give(heir, state, timer, deadline).await
}

async fn give(heir: &BoxHandle, state: Vec<u8>, timer: &Arc<Timer>, deadline: Nanos) -> Result<(), String> {
    let name = &heir.name;
    heir.birth.order(Order::Restore(state));
    match heir.birth.reached(&Stage::Restored, timer, deadline).await {
        Some(Ok(())) => Ok(()),
        Some(Err(why)) => Err(format!("box `{name}`: {why}")),
        None => Err(format!("box `{name}` did not take over the state of its predecessor in time")),
    }
}
