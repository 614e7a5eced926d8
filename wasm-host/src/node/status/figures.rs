//! What boxes have reported of themselves, by their names.

use crate::boxes::BoxHandle;
use alloc::{string::String, sync::Arc, vec::Vec};

/// The most bytes of all figures in a description: half of the shortest answer that a control box is given whole. Of boxes that report
/// too much, the longest reports are left out.
const MOST: usize = 128 << 10;

/// Adds `"figures":{"http":[…],…}` to an object.
pub fn add(mut object: String, boxes: &[Arc<BoxHandle>]) -> String {
    let mut reports: Vec<(&str, String)> =
        boxes.iter().filter_map(|handle| Some((&*handle.name, handle.figures()?))).collect();
    reports.sort_by_key(|(_, figures)| figures.len());
    object.pop();
    object.push_str(",\"figures\":{");
    let (mut left, mut comma) = (MOST, "");
    for (name, figures) in &reports {
        let name = serde_json::to_string(name).unwrap_or_default();
        let Some(less) = left.checked_sub(name.len() + figures.len() + 2) else { break };
        left = less;
        object.extend([comma, &name, ":", figures]);
        comma = ",";
    }
    object.push_str("}}");
    object
}
