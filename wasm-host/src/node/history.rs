//! What was deployed: since the node's boot as it knows itself, and before as its disk does.

use super::Node;
use crate::{
    deploy::{Lasts, Outcome, Record, Step},
    slots::{self, What},
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use serde::Serialize;

/// See [`manage::Request::History`].
#[derive(Serialize)]
pub struct Deployed {
    pub number: u64,
    pub by: String,
    began: Option<u64>,
    ended: Option<u64>,
    wall_clock: Option<u64>,
    pub changes: Vec<String>,
    step: &'static str,
    pub text: String,
    confirm_by: Option<u64>,
    kept: Option<bool>,
    lasts: Option<String>,
    hash: Option<String>,
}

impl Deployed {
    /// `kept`: what the node's disk knows of it
    fn of(record: Record, kept: Option<&slots::Record>) -> Self {
        let text = match record.awaits {
            Some(_) if record.step == Step::Trial => "on trial until somebody confirms it over the network".into(),
            _ => record.step.to_string(),
        };
        Deployed {
            text,
            confirm_by: record.awaits.map(|awaits| awaits.until),
            step: match record.step {
                Step::Preparing => "preparing",
                Step::HandingOver => "handing-over",
                Step::Trial => "trial",
                Step::RollingBack { .. } => "rolling-back",
                Step::Over(Outcome::Done) => "done",
                Step::Over(Outcome::Refused { .. }) => "refused",
                Step::Over(Outcome::RolledBack { .. }) => "rolled-back",
                Step::Over(Outcome::Stuck { .. }) => "stuck",
            },
            number: record.number,
            by: record.by,
            began: Some(record.began),
            ended: record.ended,
            wall_clock: record.wall_clock,
            changes: record.changes,
            kept: record.lasts.as_ref().and_then(|lasts| match lasts {
                Lasts::Kept { .. } => Some(true),
                Lasts::UntilTheEnd { .. } => None,
                Lasts::Uncertain { .. } => Some(false),
            }),
            lasts: record.lasts.map(|lasts| lasts.to_string()),
            hash: kept.and_then(|kept| kept.hash).map(|hash| hash.to_string()),
        }
    }

    /// One of before the node's boot.
    fn past(record: slots::Record, is_on_trial: bool) -> Self {
        let why = record.why;
        let (step, text) = match record.what {
            What::Trial if is_on_trial => ("trial", "on trial".into()),
            What::Trial => ("interrupted", "interrupted: the node ended before its trial did".into()),
            What::Good => ("done", "done".into()),
            What::Failed => ("rolled-back", alloc::format!("rolled back: {why}")),
            What::Refused => ("refused", alloc::format!("refused: {why}")),
        };
        Deployed {
            number: record.deploy,
            by: record.who,
            began: None,
            ended: Some(0),
            wall_clock: record.time.map(|seconds| seconds.saturating_mul(1_000_000_000)),
            changes: Some(record.text).filter(|text| !text.is_empty()).into_iter().collect(),
            step,
            text,
            confirm_by: None,
            kept: (record.what == What::Good).then_some(true),
            lasts: None,
            hash: record.hash.map(|hash| hash.to_string()),
        }
    }
}

/// Oldest first.
pub fn history(node: &Node) -> Vec<Deployed> {
    let store = node.slots();
    let on_disk = store.as_ref().map(|store| store.history()).unwrap_or_default();
    let on_trial = store.and_then(|store| Some(store.held(store.running().filter(|_| store.on_trial())?)?.deploy));
    let first = node.deployments.first();
    let past = on_disk.iter().filter(|record| record.deploy < first);
    let past = past.map(|record| Deployed::past(record.clone(), Some(record.deploy) == on_trial));
    let found = |number: u64| on_disk.iter().rfind(|record| record.deploy == number);
    let now = node.history().into_iter().map(|record| {
        let kept = found(record.number);
        Deployed::of(record, kept)
    });
    past.chain(now).collect()
}

/// The record of that number as JSON.
pub fn one(node: &Node, number: u64) -> Option<String> {
    let found = history(node).into_iter().rfind(|deployed| deployed.number == number)?;
    serde_json::to_string(&found).ok()
}

pub fn json(node: &Node) -> String {
    serde_json::to_string(&history(node)).unwrap_or_else(|error| alloc::format!("{{\"error\":\"{error}\"}}"))
}
