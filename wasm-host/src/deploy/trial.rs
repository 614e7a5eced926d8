//! New boxes on trial: do they crash, do they answer?

use super::Options;
use crate::{
    arrows::channel::{Channel, End, Tally},
    boxes::{BoxHandle, Phase},
    executor::Timer,
    platform::Nanos,
};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{pin::pin, task::Poll};

struct OnTrial<'a> {
    handle: &'a BoxHandle,
    answers: Option<Arc<Tally>>,
}

/// Watches boxes until `deadline`.
///
/// # Errors
/// Why one of them is not good enough.
pub async fn trial(
    boxes: impl Iterator<Item = &Arc<BoxHandle>>,
    options: &Options,
    timer: &Arc<Timer>,
    deadline: Nanos,
) -> Result<(), String> {
    let boxes: Vec<OnTrial<'_>> = boxes
        .map(|handle| {
            let answers = handle.port(Channel::Handler, End::Service).map(|port| port.tally());
            OnTrial { handle, answers }
        })
        .collect();
    let mut time = pin!(timer.sleep_until(deadline));
    let verdict = core::future::poll_fn(|cx| {
        for one in &boxes {
            one.handle.bell().listen(cx.waker());
            if let Some(answers) = &one.answers {
                answers.bell.listen(cx.waker());
            }
        }
        match boxes.iter().find_map(|one| one.fault(options)) {
            Some(fault) => Poll::Ready(Err(fault)),
            None => time.as_mut().poll(cx).map(|()| Ok(())),
        }
    })
    .await;
    for one in &boxes {
        if let Some(port) = one.handle.port(Channel::Handler, End::Service) {
            port.end_tally();
        }
    }
    verdict
}

impl OnTrial<'_> {
    fn fault(&self, options: &Options) -> Option<String> {
        let name = &self.handle.name;
        let life = self.handle.life();
        if life.restarts > options.crashes {
            let reason = life.reason.unwrap_or_default();
            let reason = reason.lines().next().unwrap_or_default();
            return Some(format!("box `{name}` ended: {reason}"));
        }
        if life.phase == Phase::Ended && !self.handle.ports.is_empty() {
            return Some(format!("box `{name}` returned"));
        }
        let (answers, failures) = self.answers.as_ref()?.counts();
        let too_many = failures > options.failures && failures * 10 > answers;
        too_many.then(|| format!("box `{name}` failed {failures} of {answers} requests"))
    }
}
