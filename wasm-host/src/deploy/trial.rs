//! New boxes on trial: do they crash, do they answer?

use super::Options;
use crate::{
    arrows::channel::{Arrow, End},
    boxes::{BoxHandle, Phase},
};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{future::Future, pin::pin, task::Poll};

struct OnTrial<'a> {
    handle: &'a BoxHandle,
    /// by which others ask it
    arrows: Vec<Arc<Arrow>>,
}

/// Watches boxes until `ends` is over.
///
/// # Errors
/// Why one of them is not good enough, or what `ends` yields.
pub async fn trial(
    boxes: impl Iterator<Item = &Arc<BoxHandle>>,
    options: &Options,
    ends: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let boxes: Vec<OnTrial<'_>> = boxes
        .map(|handle| {
            let services = handle.ports.iter().filter(|port| port.end() == End::Service);
            OnTrial { handle, arrows: services.flat_map(|port| port.arrows()).collect() }
        })
        .collect();
    let mut ends = pin!(ends);
    core::future::poll_fn(|cx| {
        for one in &boxes {
            one.handle.bell().listen(cx.waker());
            let meters = one.arrows.iter().filter_map(|arrow| arrow.meter());
            meters.for_each(|meter| meter.failure().listen(cx.waker()));
        }
        match boxes.iter().find_map(|one| one.fault(options)) {
            Some(fault) => Poll::Ready(Err(fault)),
            None => ends.as_mut().poll(cx),
        }
    })
    .await
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
        let meters = self.arrows.iter().filter_map(|arrow| arrow.meter());
        let counts = meters.filter_map(|meter| Some((meter.requests()?, meter.errors())));
        let (asked, failed) = counts.fold((0, 0), |(a, b), (asked, failed)| (a + asked, b + failed));
        let too_many = failed > options.failures && failed * 10 > asked;
        too_many.then(|| format!("box `{name}` failed {failed} of {asked} requests"))
    }
}
