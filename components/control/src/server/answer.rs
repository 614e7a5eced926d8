//! What is asked of the node, and what it answers.

use super::{
    connection::{Around, Open},
    lockout::judge,
};
use crate::{
    message::{Request, Response, Role},
    metrics,
    page::PAGE,
    power::{Level, Outside, Settings},
};

/// The longest answer. A system whose description is longer is beyond what this protocol is for.
const MAX_ANSWER: usize = 4 << 20;

impl Open {
    /// None: what is asked is answered later, or not at all.
    pub fn answer(
        &mut self,
        id: u32,
        request: Request,
        around: &mut Around<'_>,
        outside: &mut impl Outside,
    ) -> Option<Response> {
        let needs = request.needs();
        if self.role < needs {
            let (name, role) = (&self.name, self.role);
            let what = request.what();
            outside.log(Level::Warn, &format!("{name} (role {role}) was refused to {what}"));
            let why = format!("{name} may not {what}: this needs the role `{needs}`, and the key has `{role}`");
            return Some(Response::Refused(why));
        }
        self.note(&request, outside);
        let response = self.obey(id, request, around, outside)?;
        Some(match response {
            Response::Text(text) if text.len() > MAX_ANSWER => {
                Response::Refused(format!("the answer has {} bytes, more than {MAX_ANSWER}", text.len()))
            }
            response => response,
        })
    }

    /// What changes something has a line in the log, with who wants it.
    fn note(&self, request: &Request, outside: &mut impl Outside) {
        let what = match request {
            Request::Restart { name } => format!("restarts {name}"),
            Request::Stop { name } => format!("stops {name}"),
            Request::Start { name } => format!("starts {name}"),
            Request::RollBack(_) => "rolls back".into(),
            Request::Deploy(_) => "deploys".into(),
            _ => return,
        };
        outside.log(Level::Info, &format!("{} {what}", self.name));
    }

    fn obey(
        &mut self,
        id: u32,
        request: Request,
        around: &mut Around<'_>,
        outside: &mut impl Outside,
    ) -> Option<Response> {
        let by = &self.name;
        let (place, now) = (around.place, around.now);
        Some(match request {
            Request::Ping => Response::Done,
            Request::Describe => Response::Text(outside.describe()),
            Request::System => self.system(around, outside),
            Request::Metrics => match metrics::metrics(&outside.describe()) {
                Some(text) => Response::Text(text),
                None => Response::Refused("the node's description is not understood".into()),
            },
            Request::Page => Response::Text(PAGE.into()),
            Request::History => Response::Text(outside.history()),
            Request::Restart { name } => done(outside.restart(&name, by)),
            Request::Stop { name } => done(outside.stop(&name, by)),
            Request::Start { name } => done(outside.start(&name, by)),
            Request::RollBack(settings) => {
                let judged = self.judge(false, &settings, outside);
                number(judged.and_then(|()| outside.roll_back(&settings, by, self.role < Role::Deploy)))
            }
            Request::Begin { manifest } => number(around.uploads.begin(place, by, &manifest, now, outside)),
            Request::Lacks => match around.uploads.goes_on(place, now).and_then(|()| outside.lacks()) {
                Ok(hashes) => Response::Bytes(hashes),
                Err(why) => Response::Refused(why),
            },
            Request::Put { hash, length, offset, part } => {
                let goes_on = around.uploads.goes_on(place, now);
                done(goes_on.and_then(|()| outside.put(&hash, length, offset, &part)))
            }
            Request::Deploy(settings) => {
                let judged = around.uploads.goes_on(place, now).and_then(|()| self.judge(true, &settings, outside));
                let deployed = judged.and_then(|()| outside.deploy(&settings, by));
                if deployed.is_ok() {
                    around.uploads.end();
                }
                number(deployed)
            }
            Request::Logs { name, follow } => return self.streams.logs(id, name, follow, outside),
            Request::Watch { number } => return self.streams.watch(id, number, outside),
            Request::Cancel { request } => {
                self.streams.cancel(request);
                Response::Done
            }
        })
    }
}

impl Open {
    fn judge(&self, begun: bool, settings: &Settings, outside: &mut impl Outside) -> Result<(), String> {
        match outside.successor(begun)? {
            Some(authority) => judge(&authority, &self.key, self.role, settings.allow_lockout),
            None => Ok(()),
        }
    }

    /// The declaration. What the node's key is derived from is for those who may write it.
    fn system(&self, around: &Around<'_>, outside: &mut impl Outside) -> Response {
        let text = outside.system();
        match &around.config.secret {
            Some(secret) if self.role < Role::Deploy => match text.contains(secret) {
                true => Response::Text(text.replace(secret, "…")),
                false => Response::Refused("there is a secret in the declaration that cannot be left out".into()),
            },
            _ => Response::Text(text),
        }
    }
}

fn done(result: Result<(), String>) -> Response {
    result.map_or_else(Response::Refused, |()| Response::Done)
}

fn number(result: Result<u64, String>) -> Response {
    result.map_or_else(Response::Refused, Response::Number)
}
