//! What is asked: looked at, and passed on to the node.

use super::{
    connection::{Around, Open},
    lockout::judge,
};
use crate::{
    message::{Request, Response, Role, Settings},
    metrics,
    page::PAGE,
    power::{Level, Outside},
};

/// The longest answer. A system whose description is longer is beyond what this protocol is for.
const MAX_ANSWER: usize = 4 << 20;

impl Open {
    /// None: what is asked is answered later, or not at all.
    pub fn answer(
        &mut self,
        id: u32,
        request: Request<'_>,
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
        // what changes something has a line in the log, with who wants it
        if let Some(what) = request.changes() {
            outside.log(Level::Info, &format!("{} {what}", self.name));
        }
        let response = self.obey(id, request, around, outside)?;
        Some(match response {
            Response::Text(text) if text.len() > MAX_ANSWER => {
                Response::Refused(format!("the answer has {} bytes, more than {MAX_ANSWER}", text.len()))
            }
            response => response,
        })
    }

    fn obey(
        &mut self,
        id: u32,
        request: Request<'_>,
        around: &mut Around<'_>,
        outside: &mut impl Outside,
    ) -> Option<Response> {
        let by = self.name.clone();
        let (place, now) = (around.place, around.now);
        let request = match request {
            Request::Ping => return Some(Response::Done),
            Request::Page => return Some(Response::Text(PAGE.into())),
            Request::Metrics => {
                let described = outside.text(&Request::Describe);
                let text = described.and_then(|text| {
                    metrics::metrics(&text).ok_or_else(|| "the node's description is not understood".into())
                });
                return Some(text.into());
            }
            Request::Logs { name, follow } => return self.streams.logs(id, name, follow, outside),
            Request::Watch { number } => return self.streams.watch(id, number, outside),
            Request::Cancel { request } => {
                self.streams.cancel(request);
                return Some(Response::Done);
            }
            Request::System => return Some(self.system(around, outside)),
            Request::Begin { manifest } => return Some(around.uploads.begin(place, &by, manifest, now, outside)),
            Request::RollBack(settings) => {
                if let Err(why) = self.judge(false, &settings, outside) {
                    return Some(Response::Refused(why));
                }
                Request::RollBack(Settings { same_authority: self.role < Role::Deploy, ..settings })
            }
            Request::Lacks | Request::Put { .. } | Request::Deploy(_) | Request::Forget => {
                let goes_on = around.uploads.goes_on(place, now);
                let judged = goes_on.and_then(|()| match &request {
                    Request::Deploy(settings) => self.judge(true, settings, outside),
                    _ => Ok(()),
                });
                if let Err(why) = judged {
                    return Some(Response::Refused(why));
                }
                request
            }
            request => request,
        };
        let response = outside.ask(&by, &request);
        let is_over = matches!((&request, &response), (Request::Deploy(_), Response::Number(_)) | (Request::Forget, _));
        if is_over {
            around.uploads.end();
        }
        Some(response)
    }

    fn judge(&self, begun: bool, settings: &Settings, outside: &mut impl Outside) -> Result<(), String> {
        match outside.successor(begun)? {
            Some(authority) => judge(&authority, &self.key, self.role, settings.allow_lockout),
            None => Ok(()),
        }
    }

    /// The declaration. What the node's key is derived from is for those who may write it.
    fn system(&self, around: &Around<'_>, outside: &mut impl Outside) -> Response {
        let text = match outside.text(&Request::System) {
            Ok(text) => text,
            Err(why) => return Response::Refused(why),
        };
        match &around.config.secret {
            Some(secret) if self.role < Role::Deploy => match text.contains(secret) {
                true => Response::Text(text.replace(secret, "…")),
                false => Response::Refused("there is a secret in the declaration that cannot be left out".into()),
            },
            _ => Response::Text(text),
        }
    }
}
