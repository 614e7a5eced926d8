//! Answers that come when they are there: lines of logs, the steps of a deployment.

use super::super::{Node, history, volumes::Doing};
use crate::{
    boxes::log::{self, Line},
    deploy::Deployment,
    image,
};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::task::Waker;
use manage::Response;
use serde::Serialize;

/// Bytes of lines in one answer, about: no less than a box's log has.
const PIECE: usize = log::HELD;

pub enum Follow {
    Logs(Logs),
    Doing(Arc<Doing>),
    Watch {
        deployment: Arc<Deployment>,
        /// the hash of the record that was told last
        told: Option<image::Hash>,
    },
}

/// Lines are told in rounds: of each box those between two orders. So what is remembered does not grow with the system.
pub struct Logs {
    /// None: of all boxes
    name: Option<String>,
    /// those that are written later as well
    follow: bool,
    /// the order up to which all lines were told
    told: u64,
    round: Option<Round>,
}

struct Round {
    /// its last order
    until: u64,
    /// the position of the box that is next
    place: usize,
    /// the order of the last line of that box that was told in this round
    within: u64,
}

/// As [`manage::LogLines`] has them.
#[derive(Serialize)]
struct LogLines {
    name: String,
    lines: Vec<Line>,
}

impl Follow {
    pub fn logs(name: Option<&str>, follow: bool) -> Self {
        Follow::Logs(Logs { name: name.map(Into::into), follow, told: 0, round: None })
    }

    pub fn watch(deployment: Arc<Deployment>) -> Self {
        Follow::Watch { deployment, told: None }
    }

    /// Has this waker woken when there may be another answer.
    pub fn listen(&self, node: &Node, waker: &Waker) {
        match self {
            Follow::Logs(_) => node.said.listen(waker),
            Follow::Doing(doing) => doing.bell().listen(waker),
            Follow::Watch { deployment, .. } => deployment.bell().listen(waker),
        }
    }

    /// The next answer, if it is there. Any but [`Response::More`] is the last.
    pub fn next(&mut self, node: &Node) -> Option<Response> {
        match self {
            Follow::Logs(logs) => logs.next(node),
            Follow::Doing(doing) => doing.outcome(),
            Follow::Watch { deployment, told } => {
                let is_over = deployment.outcome().is_some();
                let number = deployment.record().number;
                let Some(record) = history::one(node, number) else {
                    return Some(Response::Refused(alloc::format!("deployment {number} was forgotten")));
                };
                if is_over {
                    return Some(Response::Text(record));
                }
                let hash = Some(image::hash(record.as_bytes()));
                (*told != hash).then(|| {
                    *told = hash;
                    Response::More(record)
                })
            }
        }
    }
}

impl Logs {
    fn next(&mut self, node: &Node) -> Option<Response> {
        let (last, told) = (log::last_order(), self.told);
        if self.follow && self.round.is_none() && last == told {
            return None;
        }
        let round = self.round.get_or_insert(Round { until: last, place: 0, within: 0 });
        let (mut piece, mut bytes) = (Vec::new(), 0);
        let running = node.running();
        while let Some(handle) = running.boxes.get(round.place) {
            let is_asked = self.name.as_deref().is_none_or(|name| name == &*handle.name);
            let mut lines = if is_asked { handle.log_after(told.max(round.within)) } else { Vec::new() };
            lines.retain(|line| line.order <= round.until);
            let fit = lines.iter().take_while(|line| {
                let fits = bytes < PIECE;
                bytes += line.text.len() + 64;
                fits
            });
            let (fit, all) = (fit.count(), lines.len());
            lines.truncate(fit);
            let within = lines.last().map_or(round.within, |line| line.order);
            if !lines.is_empty() {
                piece.push(LogLines { name: String::from(&*handle.name), lines });
            }
            if fit < all {
                round.within = within;
                return Some(Response::More(json(&piece)));
            }
            (round.place, round.within) = (round.place + 1, 0);
        }
        self.told = round.until;
        self.round = None;
        match self.follow {
            true if piece.is_empty() => None,
            true => Some(Response::More(json(&piece))),
            false => Some(Response::Text(json(&piece))),
        }
    }
}

fn json(lines: &[LogLines]) -> String {
    serde_json::to_string(lines).unwrap_or_default()
}
