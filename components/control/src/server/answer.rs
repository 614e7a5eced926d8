//! What is asked: looked at, and passed on to the node; and what the node answers.

use super::{
    Control,
    connection::{Around, Open},
    lockout::judge,
    node::{Answer, Next, Noted, Then, Whose},
};
use crate::{
    message::{self, Request, Response, Role, Settings},
    metrics,
    page::PAGE,
    power::{Level, Outside},
};
use wit::Record;

/// What one client may follow at once.
const MOST_FOLLOWED: usize = 8;

impl Open {
    /// None: what is asked is answered later.
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
        self.obey(id, &request, around).unwrap_or_else(|why| Some(Response::Refused(why)))
    }

    fn obey(&mut self, id: u32, asked: &Request<'_>, around: &mut Around<'_>) -> Result<Option<Response>, String> {
        let (place, now) = (around.place, around.now);
        // what is asked of the node in its place
        let mut instead = None;
        let then = match asked {
            Request::Ping => return Ok(Some(Response::Done)),
            Request::Page => return Ok(Some(Response::Text(PAGE.into()))),
            Request::Token => return Ok(Some(Response::Text(around.identity.token(&self.key).to_hex().to_string()))),
            Request::Cancel { request } => {
                if let Some(ticket) = self.follows.remove(request) {
                    around.node.cancel(ticket);
                }
                return Ok(Some(Response::Done));
            }
            Request::Logs { .. } | Request::Watch { .. } => {
                if self.follows.contains_key(&id) {
                    return Err(format!("request {id} is still under way"));
                }
                if self.follows.len() >= MOST_FOLLOWED {
                    return Err(format!("{MOST_FOLLOWED} logs and deployments are followed already"));
                }
                if !around.node.may_follow() {
                    return Err("others follow as many logs and deployments as the node can tell of".into());
                }
                Then::Follow
            }
            Request::Metrics => Then::Metrics,
            Request::System => Then::System,
            Request::Begin { .. } => {
                around.uploads.begin(place, &self.name, now)?;
                Then::Begun
            }
            Request::RollBack(settings) => {
                let settings = Settings { same_authority: self.role < Role::Deploy, ..settings.clone() };
                instead = Some(Request::Successor { begun: false });
                Then::Judge(Next::RollBack(settings))
            }
            Request::Confirm { number, since: _, other } => {
                instead = Some(Request::Confirm { number: *number, since: around.since, other: *other });
                Then::PassShort
            }
            Request::Lacks | Request::Put { .. } | Request::Deploy(_) | Request::Forget => {
                around.uploads.goes_on(place, now)?;
                match asked {
                    Request::Deploy(settings) => {
                        instead = Some(Request::Successor { begun: true });
                        Then::Judge(Next::Deploy(settings.clone()))
                    }
                    Request::Forget => Then::Taken,
                    Request::Put { .. } => Then::PassShort,
                    _ => Then::Pass,
                }
            }
            _ => Then::Pass,
        };
        let request = match &then {
            Then::Metrics => Request::Describe,
            _ => instead.unwrap_or_else(|| asked.clone()),
        };
        let noted = asked.changes().map(|what| Noted {
            done: format!("{} {what}", self.name),
            refused: format!("{} was refused to {}", self.name, asked.what()),
        });
        let whose = Whose { place, session: around.session, id };
        let follows = then == Then::Follow;
        self.in_turn |= !follows && then != Then::PassShort;
        let ticket = around.node.ask(Some(whose), &self.name, &request, then, noted);
        match follows {
            true => drop(self.follows.insert(id, ticket)),
            false => self.pending += 1,
        }
        Ok(None)
    }

    /// The declaration. What the node's key is derived from is for those who may write it.
    fn system(&self, text: String, secret: Option<&str>) -> Response {
        if self.role >= Role::Deploy {
            return Response::Text(text);
        }
        let text = without_private_keys(&text);
        match secret {
            Some(secret) if !text.contains(secret) => {
                Response::Refused("there is a secret in the declaration that cannot be left out".into())
            }
            Some(secret) => Response::Text(text.replace(secret, "…")),
            None => Response::Text(text),
        }
    }
}

/// A declaration without what is in private keys in PEM.
fn without_private_keys(text: &str) -> String {
    const BEGIN: &str = "PRIVATE KEY-----";
    const END: &str = "-----END ";
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        kept.push_str(before);
        kept.push_str(BEGIN);
        kept.push('…');
        // without an end, the rest is not known to be anything else
        let Some((_, end)) = after.split_once(END) else { return kept };
        let (name, after) = end.split_once("-----").unwrap_or((end, ""));
        kept.push_str(&format!("{END}{name}-----"));
        rest = after;
    }
    kept + rest
}

impl Control {
    /// Takes in an event of the node.
    pub(super) fn heard(&mut self, record: &Record<'_>, outside: &mut impl Outside) {
        match self.node.heard(record) {
            Ok(None) => {}
            Ok(Some(answer)) => self.answered(answer, outside),
            Err(_) => outside.log(Level::Error, "what the node answers is not understood"),
        }
    }

    fn answered(&mut self, answer: Answer, outside: &mut impl Outside) {
        let Some((whose, then, noted)) = self.node.take(&answer) else { return };
        if then == Then::Scraped {
            return self.scrapes.told(measured(&answer.bytes));
        }
        let Some(whose) = whose else { return };
        let there = self.connections.get_mut(&whose.place).filter(|connection| connection.session == whose.session);
        let mut response = match then {
            Then::Pass | Then::PassShort | Then::Follow if noted.is_none() => None,
            _ => Some(
                message::decode(&answer.bytes)
                    .unwrap_or_else(|| Response::Refused("the node's answer is not understood".into())),
            ),
        };
        let is_refused = matches!(response, Some(Response::Refused(_)));
        if matches!((&then, is_refused), (Then::Begun, true) | (Then::Taken, false)) {
            self.uploads.end(whose.place);
        }
        let mut note = |response: &Option<Response>| match (&noted, response) {
            (Some(noted), Some(Response::Refused(why))) => {
                outside.log(Level::Warn, &format!("{}: {why}", noted.refused));
            }
            (Some(noted), _) => outside.log(Level::Info, &noted.done),
            (None, _) => {}
        };
        let is_judged = matches!((&then, &response), (Then::Judge(_), Some(Response::Successor(_))));
        if !is_judged {
            note(&response);
        }
        let Some(connection) = there else { return };
        let Some(open) = connection.open() else { return };
        match (then, &mut response) {
            (Then::Metrics, Some(_)) => response = Some(measured(&answer.bytes).into()),
            (Then::System, Some(Response::Text(text))) => {
                let text = std::mem::take(text);
                response = Some(open.system(text, self.config.secret.as_deref()));
            }
            (Then::Judge(next), Some(Response::Successor(authority))) => {
                let (Next::Deploy(settings) | Next::RollBack(settings)) = &next;
                let judged = authority
                    .as_ref()
                    .map_or(Ok(()), |authority| judge(authority, &open.key, open.role, settings.allow_lockout));
                match judged {
                    Err(why) => {
                        response = Some(Response::Refused(why));
                        note(&response);
                    }
                    Ok(()) => {
                        let (request, then) = match next {
                            Next::Deploy(settings) => (Request::Deploy(settings), Then::Taken),
                            Next::RollBack(settings) => (Request::RollBack(settings), Then::Pass),
                        };
                        self.node.ask(Some(whose), &open.name, &request, then, noted);
                        return;
                    }
                }
            }
            _ => {}
        }
        let is_followed = open.follows.get(&whose.id) == Some(&answer.ticket);
        if is_followed && answer.is_last {
            open.follows.remove(&whose.id);
        } else if !is_followed {
            open.pending = open.pending.saturating_sub(1);
            open.in_turn &= open.pending > 0;
        }
        let bytes = response.map_or(answer.bytes, |response| message::encode(&response));
        connection.respond(whose.id, &bytes, self.now);
    }
}

/// The metrics that follow from the node's description.
fn measured(response: &[u8]) -> Result<String, String> {
    let misunderstood = || "the node's description is not understood".into();
    match message::decode(response) {
        Some(Response::Text(text)) => metrics::metrics(&text).ok_or_else(misunderstood),
        Some(Response::Refused(why)) => Err(why),
        _ => Err(misunderstood()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_for_those_who_may_write_them() {
        let text = "a\n-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\nb -----BEGIN EC PRIVATE KEY-----x\\ny-----END EC \
            PRIVATE KEY----- c -----BEGIN CERTIFICATE-----z-----END CERTIFICATE-----";
        let kept = without_private_keys(text);
        assert!(!kept.contains("MIG") && !kept.contains("x\\ny"), "{kept}");
        assert!(
            kept.contains("\nb ") && kept.ends_with(" c -----BEGIN CERTIFICATE-----z-----END CERTIFICATE-----"),
            "{kept}"
        );
        assert_eq!(without_private_keys("-----BEGIN PRIVATE KEY-----MIG"), "-----BEGIN PRIVATE KEY-----…");
        assert_eq!(without_private_keys("nothing"), "nothing");
    }
}
