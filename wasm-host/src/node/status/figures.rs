//! What boxes have reported of themselves, by their names.

use crate::boxes::BoxHandle;
use alloc::{string::String, sync::Arc, vec::Vec};

/// What is around an answer.
const AROUND: usize = 64;

/// Adds `"figures":{"http":[…],…}` to an object, as long as it takes no more than `longest` bytes. Where not all fits, each box has an
/// equal share: what one leaves is for the others, and of those that have more, the last figures are left out.
pub fn add(mut object: String, boxes: &[Arc<BoxHandle>], longest: usize) -> String {
    // nothing is copied before it is known to fit
    let mut reports: Vec<(usize, &BoxHandle)> =
        boxes.iter().filter_map(|handle| Some((handle.figures_len()?, &**handle))).collect();
    reports.sort_unstable_by_key(|(length, _)| *length);
    object.pop();
    object.push_str(",\"figures\":{");
    let most = longest.saturating_sub(AROUND);
    let (mut others, mut comma) = (reports.len(), "");
    for (length, handle) in reports {
        let share = most.saturating_sub(object.len()) / others;
        others -= 1;
        // with a comma, quotes and a colon
        let Some(room) = share.checked_sub(handle.name.len() + 4).filter(|room| *room > 2) else { continue };
        object.reserve(share.min(handle.name.len() + 4 + length));
        object.extend([comma, "\"", &*handle.name, "\":"]);
        handle.add_figures(&mut object, room);
        comma = ",";
    }
    object.push_str("}}");
    object
}
