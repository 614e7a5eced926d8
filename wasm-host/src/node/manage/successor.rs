//! Who will have the power over the node when another system runs.

use super::super::{Node, Upload};
use crate::{
    image::PublicKey,
    system::{BoxSpec, System, known::Kind},
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};

/// What would become of the power over the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// The settings of the box that would have it. None: no box would.
    pub settings: Option<Vec<(String, String)>>,
    /// That box is another than now, or has other settings, or images may be signed by others.
    pub is_other: bool,
}

impl Node {
    /// Of the image that is being brought, or of the one that `roll_back` goes back to.
    /// None: it is not known before it is read.
    pub fn successor(&self, upload: Option<&Upload>) -> Result<Option<Successor>, String> {
        let system = match upload {
            Some(upload) => upload.system()?.ok_or("the image lacks its declaration")?,
            None => match self.previous()?.image {
                Some(image) => image.system().map_err(|error| error.to_string())?,
                None => return Ok(None),
            },
        };
        let settings = controlling(&system).map(|spec| spec.config.clone());
        Ok(Some(Successor { settings, is_other: !self.same_authority(&self.running().system, &system) }))
    }

    /// Whether one system gives the power over the node to whom the other gives it: by the same box with the same
    /// settings, and by images that the same keys sign.
    pub(crate) fn same_authority(&self, one: &System, other: &System) -> bool {
        let (was, is) = (controlling(one), controlling(other));
        let same = match (was, is) {
            (Some(was), Some(is)) => (&was.name, &was.component, &was.config) == (&is.name, &is.component, &is.config),
            (None, None) => true,
            _ => false,
        };
        same && self.ids_of(one) == self.ids_of(other)
    }

    /// Whom a system trusts, in no order.
    fn ids_of(&self, system: &System) -> Vec<[u8; 32]> {
        let mut keys: Vec<_> = self.trusted_by(system).iter().map(PublicKey::to_bytes).collect();
        keys.sort_unstable();
        keys
    }
}

/// The box that has the power over its node.
fn controlling(system: &System) -> Option<&BoxSpec> {
    system.boxes.iter().find(|spec| spec.arrows.iter().any(|arrow| Kind::of(&arrow.interface) == Kind::Control))
}
