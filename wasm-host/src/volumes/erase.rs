//! What was deleted is erased while the node runs, part by part, and goes on where it was after a start.

use super::MIB;
use crate::{
    boxes::log::{self, Level},
    executor::yield_now,
    node::Node,
    platform::Nanos,
};
use alloc::{collections::BTreeSet, format, string::String, sync::Arc};

/// Bytes that are erased until that is written down.
const STEP: u64 = 64 * MIB;

/// When a disk that has failed is tried again, if nothing is deleted before.
const PAUSE: Nanos = 600_000_000_000;

/// Looks at all disks, and erases for ever. Others have their turn after each transfer.
pub(crate) async fn serve(node: Arc<Node>) {
    let (platform, volumes) = (node.platform, node.platform.volumes());
    volumes.look_at_all(platform).await;
    let timer = node.executor.timers().timer();
    let mut failed = BTreeSet::<String>::new();
    loop {
        let mut is_done = true;
        for (device, disk) in volumes.tables() {
            if failed.contains(&device) {
                continue;
            }
            match disk.erase(STEP, yield_now).await {
                Ok(more) => is_done &= !more,
                Err(error) => {
                    let text = format!("{device}: what was deleted there cannot be erased: {error}");
                    log::of_node(platform, Level::Error, &text);
                    failed.insert(device);
                }
            }
        }
        if is_done {
            let seen = volumes.deleted();
            let changed = || (volumes.deleted() != seen).then_some(());
            if failed.is_empty() {
                volumes.bell().until(changed).await;
            } else {
                let again = node.platform.now().saturating_add(PAUSE);
                volumes.bell().until_or(&timer, again, changed).await;
                failed.clear();
            }
        }
    }
}
