//! What the node answers to a request, whoever passes it on.

use super::{
    super::{Lacks, Node, Upload, history, status},
    Follow,
};
use crate::{deploy::Options, platform::Power};
use alloc::{format, string::ToString, sync::Arc};
use core::sync::atomic::Ordering::Relaxed;
use manage::{Request, Response, Settings};

pub enum Answer {
    Now(Response),
    /// Answers that come when they are there.
    Follow(Follow),
}

/// So long does a node wait that is to end, for the answer to reach whoever asked. Nanoseconds.
const FAREWELL: u64 = 1_000_000_000;

impl Node {
    /// `by`: who asks, for the log and the history. `asker`: the box that passes it on, if one does. `upload`: the image that
    /// it is bringing. `longest`: the most bytes of an answer, in which it is told no more than fits of what can be left out.
    pub fn answer(
        self: &Arc<Self>,
        by: &str,
        asker: &str,
        upload: &mut Option<Upload>,
        request: &Request<'_>,
        longest: usize,
    ) -> Answer {
        Answer::Now(match request {
            Request::Logs { name, follow } => match name.map_or(Ok(()), |name| self.managed(name).map(drop)) {
                Ok(()) => return Answer::Follow(Follow::logs(*name, *follow)),
                Err(why) => Response::Refused(why),
            },
            Request::Watch { number } => match self.deployments.find(*number) {
                Some(deployment) if deployment.outcome().is_none() => {
                    return Answer::Follow(Follow::watch(deployment));
                }
                _ => history::one(self, *number).ok_or_else(|| format!("there was no deployment {number}")).into(),
            },
            Request::Describe => Response::Text(status::json(self, longest)),
            Request::System => Response::Text(self.source()),
            Request::Lines { name, first } => self.log_json(name, *first).into(),
            Request::History => Response::Text(history::json(self)),
            Request::Restart { name } => self.restart_box(name, by).into(),
            Request::Stop { name } => self.stop_box(name, by, asker).into(),
            Request::Start { name } => self.start_box(name, by).into(),
            Request::Reboot => self.end(Power::Reboot),
            Request::PowerOff => self.end(Power::Off),
            Request::RollBack(settings) => self.roll_back(options(by, settings)).into(),
            Request::DeleteVolume { name, disk } => return self.delete_volume(by, name, *disk),
            Request::Confirm { number, since, other } => self.confirm(*number, by, *since, *other).into(),
            Request::Begin { manifest } => {
                *upload = None;
                let begun = self.begin_upload(manifest.to_vec(), asker);
                begun.map(|begun| upload.insert(begun).missing_bytes()).into()
            }
            Request::Lacks => match upload {
                Some(upload) => match upload.asks() {
                    Ok(Lacks::Hashes(hashes)) => Response::Bytes(hashes),
                    Ok(Lacks::Copies(bytes)) => Response::Number(bytes),
                    Err(why) => Response::Refused(why),
                },
                None => none_begun(),
            },
            Request::Put { hash, length, offset, part } => match upload {
                Some(upload) => upload.put(hash, *length, *offset, part).into(),
                None => none_begun(),
            },
            Request::Deploy(settings) => match self.deploy_upload(upload, options(by, settings)) {
                Ok(None) => Response::Done,
                Ok(Some(number)) => Response::Number(number),
                Err(why) => Response::Refused(why),
            },
            Request::Forget => {
                *upload = None;
                Response::Done
            }
            Request::Successor { begun } => match (begun, upload.as_ref()) {
                (true, None) => none_begun(),
                (_, upload) => match self.successor(upload.filter(|_| *begun)) {
                    Ok(successor) => Response::Successor(successor),
                    Err(why) => Response::Refused(why),
                },
            },
            Request::Ping | Request::Page | Request::Metrics | Request::Token | Request::Cancel { .. } => {
                Response::Refused("the control box answers this, and not the node".into())
            }
        })
    }

    /// Ends the machine's work, a little later. What is asked for first counts.
    fn end(self: &Arc<Self>, power: Power) -> Response {
        if self.ending.swap(true, Relaxed) {
            return Response::Done;
        }
        let (platform, timer) = (self.platform, self.executor.timers().timer());
        self.executor.spawn(crate::executor::NORMAL_WEIGHT, async move {
            timer.sleep_until(platform.now() + FAREWELL).await;
            platform.power(power)
        });
        Response::Done
    }
}

fn none_begun() -> Response {
    Response::Refused("no image was begun".into())
}

fn options(by: &str, settings: &Settings) -> Options {
    Options {
        by: by.to_string(),
        ready: settings.ready,
        drain: settings.drain,
        trial: settings.trial,
        confirm: if settings.allow_lockout { 0 } else { settings.confirm },
        only: settings.only.clone(),
        same_authority: settings.same_authority,
        other_system: settings.other_system,
        ..Options::default()
    }
}
