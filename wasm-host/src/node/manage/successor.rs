//! Who will have the power over the node when another system runs.

use super::super::{Node, Upload};
use crate::{image::PublicKey, plan::Plan};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use manage::Authority;

impl Node {
    /// Of the image that is being brought, or of the one that `roll_back` goes back to.
    /// None: it is not known before it is read.
    pub fn successor(&self, upload: Option<&Upload>) -> Result<Option<Authority>, String> {
        let plan = match upload {
            Some(upload) => upload.plan()?.ok_or("the image lacks its plan")?,
            None => match self.previous()?.image {
                Some(image) => image.plan().map_err(|error| error.to_string())?,
                None => return Ok(None),
            },
        };
        let settings = plan.controlling().map(|spec| spec.config.clone());
        Ok(Some(Authority { settings, is_other: !self.same_authority(&self.running().plan, &plan) }))
    }

    /// Whether one system gives the power over the node to whom the other gives it: by the same box with the same
    /// settings, and by images that the same keys sign.
    pub(crate) fn same_authority(&self, one: &Plan, other: &Plan) -> bool {
        let (was, is) = (one.controlling(), other.controlling());
        let same = match (was, is) {
            (Some(was), Some(is)) => (&was.name, &was.component, &was.config) == (&is.name, &is.component, &is.config),
            (None, None) => true,
            _ => false,
        };
        same && self.ids_of(one) == self.ids_of(other)
    }

    /// Whom a system trusts, in no order.
    fn ids_of(&self, plan: &Plan) -> Vec<[u8; 32]> {
        let mut keys: Vec<_> = self.trusted_by(plan).iter().map(PublicKey::to_bytes).collect();
        keys.sort_unstable();
        keys
    }
}
