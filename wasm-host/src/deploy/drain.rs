//! Old boxes finish what is open, and go.

use super::change::Left;
use crate::{
    boxes::BoxHandle,
    executor::Bell,
    node::{Node, Running},
    platform::Nanos,
};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether all that was left is gone.
#[derive(Default)]
pub struct Drained {
    done: AtomicBool,
    bell: Bell,
}

impl Drained {
    pub async fn wait(&self) {
        self.bell.until(|| self.done.load(Relaxed).then_some(())).await;
    }

    pub(super) fn done(&self) {
        self.done.store(true, Relaxed);
        self.bell.ring();
    }
}

/// Lets old boxes finish until `deadline`, and then ends them.
pub async fn drain(node: &Node, old: Arc<Running>, left: Left, deadline: Nanos) {
    let timer = node.executor.timers().timer();
    let (last, first): (Vec<_>, Vec<_>) = left.boxes.into_iter().partition(|leaving| leaving.serves_leaving);
    first.iter().for_each(|leaving| leaving.handle.retire());
    for leaving in &first {
        ended(&leaving.handle, &timer, deadline).await;
    }
    // Those whose callers are gone now. They may call each other: in the order of their calls none waits for long.
    for leaving in &last {
        leaving.handle.retire();
        if let Some(queue) = old.loaded.queue(leaving.place) {
            queue.close("the box is gone");
        }
    }
    for leaving in &last {
        ended(&leaving.handle, &timer, deadline).await;
    }
    for arrow in left.arrows {
        let gone = || (!arrow.is_joined()).then_some(());
        arrow.bell().until_or(&timer, deadline, gone).await;
        arrow.unlink("the arrow was taken away");
    }
}

/// Waits for a box's end, and ends it if that does not come in time.
async fn ended(handle: &Arc<BoxHandle>, timer: &Arc<crate::executor::Timer>, deadline: Nanos) {
    let look = || handle.has_ended().then_some(());
    if handle.bell().until_or(timer, deadline, look).await.is_none() {
        handle.end("it did not finish in time, and another has its place");
        handle.bell().until(look).await;
    }
}
