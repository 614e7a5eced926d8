//! The direct map: RAM at its physical address, readable and writable.
//!
//! With one exception: memory that is executable elsewhere cannot be written here either. So pages that hold compiled code
//! which was copied, and not the image's own, lose their write access in the direct map for as long as they are code.

use super::{
    OutOfMemory,
    frames::Frame,
    paging::{Access, Arena, invalidate},
};
use crate::cpu::lock::Lock;

static DIRECT: Lock<Option<Arena>> = Lock::new(None);

pub fn init(arena: Arena) {
    *DIRECT.lock() = Some(arena);
}

/// Gives a frame an entry of its own in the map, which [`set_writable`] needs.
pub fn divide(frame: Frame) -> Result<(), OutOfMemory> {
    DIRECT.lock().as_mut().expect("the memory is initialised").divide(frame.address()).map(drop)
}

/// Takes away the write access to a frame through the map, or gives it back.
///
/// # Safety
/// The frame is the caller's, and went through [`divide`]. Nobody writes to it there until its access is back, which is
/// before it is freed and after it is no longer executable anywhere.
#[allow(unsafe_code)]
pub unsafe fn set_writable(frame: Frame, writable: bool) {
    let mut direct = DIRECT.lock();
    let entry = direct.as_mut().and_then(|direct| direct.divide(frame.address()).ok().flatten());
    let entry = entry.expect("the frame is RAM, and its page was divided off before");
    let access = if writable { Access::ReadWrite } else { Access::Read };
    // SAFETY: the direct map shows RAM to whoever owns it, which is the caller; it is executable nowhere if it is to be
    // writable.
    unsafe { entry.allow(access.flags()) };
    invalidate(frame.address());
}
