//! One at a time: whoever waits for disks holds no lock meanwhile.

use crate::executor::Bell;
use spin::Mutex;

#[derive(Default)]
pub struct Turns {
    busy: Mutex<bool>,
    bell: Bell,
}

/// The right to go on. There is one at a time.
pub struct Turn<'a>(&'a Turns);

impl Turns {
    pub async fn take(&self) -> Turn<'_> {
        let take = || (!core::mem::replace(&mut *self.busy.lock(), true)).then(|| Turn(self));
        self.bell.until(take).await
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock() = false;
        self.0.bell.ring();
    }
}
