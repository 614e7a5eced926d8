//! Whose image is being brought: one at a time, for as long as its connection lasts and something comes.

use super::SECOND;
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
    pub fn begin(&mut self, place: Place, name: &Arc<str>, now: u64) -> Result<(), String> {
        if let Some(other) = self.0.as_ref().filter(|other| other.place != place) {
            let why = format!("{} is bringing an image; it is dropped when nothing came for a minute", other.name);
            return Err(why);
        }
        self.0 = Some(Bringing { place, name: name.clone(), heard: now });
        Ok(())
    }

    /// Somebody goes on with the image.
    pub fn goes_on(&mut self, place: Place, now: u64) -> Result<(), String> {
        let bringing = self.0.as_mut().filter(|bringing| bringing.place == place);
        let bringing = bringing.ok_or("no image was begun on this connection, or it was dropped")?;
        bringing.heard = now;
        Ok(())
    }

    /// It was taken, or has not begun.
    pub fn end(&mut self, place: Place) {
        self.0.take_if(|bringing| bringing.place == place);
    }

    pub fn deadline(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, |bringing| bringing.heard + STALE)
    }

    /// Lets go of what is stale, or comes from nobody any more. Yields who brought it.
    pub fn take_stale(&mut self, now: u64, is_there: impl FnOnce(Place) -> bool) -> Option<Arc<str>> {
        let stale = self.0.take_if(|bringing| bringing.heard + STALE <= now || !is_there(bringing.place));
        stale.map(|bringing| bringing.name)
    }
}
