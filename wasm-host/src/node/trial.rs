//! A system on trial proves itself by running: once all its boxes have done so for a while, it is reported good.

use super::Node;
use crate::{
    boxes::{Phase, log},
    executor::Timer,
    platform::Nanos,
};
use alloc::{format, string::String, sync::Arc};

/// So long each box has to run without ending.
const WELL: Nanos = 10_000_000_000;
/// The same, where all have run as long already, on a node that went over to them while it ran.
const WELL_AGAIN: Nanos = 3_000_000_000;
/// How often that is looked at.
const PAUSE: Nanos = 1_000_000_000;

/// Ends when the system is good, or is not on trial at all.
pub async fn watch(node: Arc<Node>, timer: Arc<Timer>) {
    let platform = node.platform;
    let Some(store) = node.slots() else { return };
    while store.on_trial() {
        timer.sleep_until(platform.now() + PAUSE).await;
        // what a deployment brings has a trial of its own
        let well = if store.awaits_boot() { WELL_AGAIN } else { WELL };
        if node.deployments.under_way().is_some() || !is_well(&node, well) {
            continue;
        }
        let (level, text) = match store.mark_good().await {
            Ok(_) => (log::Level::Info, String::from("the system has stood its trial")),
            Err(error) => (log::Level::Error, format!("that the system is good cannot be written down: {error}")),
        };
        log::of_node(platform, level, &text);
    }
}

fn is_well(node: &Node, well: Nanos) -> bool {
    let now = node.platform.now();
    node.running().boxes.iter().map(|handle| handle.life()).all(|life| match life.phase {
        Phase::Running => now.saturating_sub(life.since) >= well,
        Phase::Ended | Phase::StandIn | Phase::Stopped => true,
        Phase::Starting | Phase::Backoff => false,
    })
}
