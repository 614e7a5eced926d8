//! What is asked of the node, and what it answers.

use super::connection::Open;
use crate::{
    message::{Request, Response},
    metrics,
    power::{Level, Outside},
};

/// The longest answer. A system whose description is longer is beyond what this protocol is for.
const MAX_ANSWER: usize = 4 << 20;

const PAGE: &str = include_str!("../page.html");

impl Open {
    /// None: what is asked is answered later, or not at all.
    pub fn answer(&mut self, id: u32, request: Request, outside: &mut impl Outside) -> Option<Response> {
        let needs = request.needs();
        if self.role < needs {
            let (name, role) = (&self.name, self.role);
            let what = request.what();
            outside.log(Level::Warn, &format!("{name} (role {role}) was refused to {what}"));
            let why = format!("{name} may not {what}: this needs the role `{needs}`, and the key has `{role}`");
            return Some(Response::Refused(why));
        }
        self.note(&request, outside);
        let response = self.obey(id, request, outside)?;
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

    fn obey(&mut self, id: u32, request: Request, outside: &mut impl Outside) -> Option<Response> {
        let by = &self.name;
        Some(match request {
            Request::Ping => Response::Done,
            Request::Describe => Response::Text(outside.describe()),
            Request::System => Response::Text(outside.system()),
            Request::Graph => Response::Text(outside.graph()),
            Request::Metrics => match metrics::metrics(&outside.describe()) {
                Some(text) => Response::Text(text),
                None => Response::Refused("the node's description is not understood".into()),
            },
            Request::Page => Response::Text(PAGE.into()),
            Request::History => Response::Text(outside.history()),
            Request::Restart { name } => done(outside.restart(&name, by)),
            Request::Stop { name } => done(outside.stop(&name, by)),
            Request::Start { name } => done(outside.start(&name, by)),
            Request::RollBack(settings) => number(outside.roll_back(&settings, by)),
            Request::Begin { manifest } => number(outside.begin(&manifest)),
            Request::Lacks => match outside.lacks() {
                Ok(hashes) => Response::Bytes(hashes),
                Err(why) => Response::Refused(why),
            },
            Request::Put { hash, length, offset, part } => done(outside.put(&hash, length, offset, &part)),
            Request::Deploy(settings) => number(outside.deploy(&settings, by)),
            Request::Logs { name, follow } => return self.streams.logs(id, name, follow, outside),
            Request::Watch { number } => return self.streams.watch(id, number, outside),
            Request::Cancel { request } => {
                self.streams.cancel(request);
                Response::Done
            }
        })
    }
}

fn done(result: Result<(), String>) -> Response {
    result.map_or_else(Response::Refused, |()| Response::Done)
}

fn number(result: Result<u64, String>) -> Response {
    result.map_or_else(Response::Refused, Response::Number)
}
