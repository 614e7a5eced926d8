//! Whose image is being brought: one at a time, for as long as its connection lasts and something comes.

use super::SECOND;
use crate::{
    message::{Request, Response},
    power::Power,
};
use std::sync::Arc;

/// Without a part. What has come is dropped then.
const STALE: u64 = 60 * SECOND;

/// A peer and a connection.
type Place = (u32, u32);

#[derive(Debug, Default)]
pub struct Uploads(Option<Bringing>);

#[derive(Debug)]
struct Bringing {
    place: Place,
    name: Arc<str>,
    /// when something came last
    heard: u64,
}

impl Uploads {
    /// Somebody begins an image.
    pub fn begin(
        &mut self,
        place: Place,
        name: &Arc<str>,
        manifest: &[u8],
        now: u64,
        power: &mut impl Power,
    ) -> Response {
        if let Some(other) = self.0.as_ref().filter(|other| other.place != place) {
            let why = format!("{} is bringing an image; it is dropped when nothing came for a minute", other.name);
            return Response::Refused(why);
        }
        self.0 = None;
        let response = power.ask(name, &Request::Begin { manifest });
        if !matches!(response, Response::Refused(_)) {
            self.0 = Some(Bringing { place, name: name.clone(), heard: now });
        }
        response
    }

    /// Somebody goes on with the image.
    pub fn goes_on(&mut self, place: Place, now: u64) -> Result<(), String> {
        let bringing = self.0.as_mut().filter(|bringing| bringing.place == place);
        let bringing = bringing.ok_or("no image was begun on this connection, or it was dropped")?;
        bringing.heard = now;
        Ok(())
    }

    /// It was taken.
    pub fn end(&mut self) {
        self.0 = None;
    }

    pub fn deadline(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, |bringing| bringing.heard + STALE)
    }

    /// Drops what is stale, or comes from nobody any more. Yields who brought it.
    pub fn drop_stale(
        &mut self,
        now: u64,
        is_there: impl FnOnce(Place) -> bool,
        power: &mut impl Power,
    ) -> Option<Arc<str>> {
        let bringing = self.0.take_if(|bringing| bringing.heard + STALE <= now || !is_there(bringing.place))?;
        power.ask(&bringing.name, &Request::Forget);
        Some(bringing.name)
    }
}
