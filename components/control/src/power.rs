//! What the box does to the world: the arrow `pearwood:control/node`, and those that carry bytes.

use manage::{Authority, Request, Response};

/// `pearwood:control/node`
pub trait Power {
    /// `by`: who asks, as the log and the history name it.
    fn ask(&mut self, by: &str, request: &Request<'_>) -> Response;

    /// What is asked for text, by the box itself.
    fn text(&mut self, request: &Request<'_>) -> Result<String, String> {
        match self.ask("", request) {
            Response::Text(text) => Ok(text),
            Response::Refused(why) => Err(why),
            _ => Err("the node's answer is of another kind".into()),
        }
    }

    fn successor(&mut self, begun: bool) -> Result<Option<Authority>, String> {
        match self.ask("", &Request::Successor { begun }) {
            Response::Successor(authority) => Ok(authority),
            Response::Refused(why) => Err(why),
            _ => Err("the node's answer is of another kind".into()),
        }
    }
}

/// The box's other arrows.
pub trait Outside: Power {
    /// False: the peer has no room and has taken nothing.
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool;
    /// 32 bytes that nobody can guess.
    fn random(&mut self) -> [u8; 32];
    fn log(&mut self, level: Level, line: &str);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
}
