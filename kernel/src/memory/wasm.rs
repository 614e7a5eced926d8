//! wasmtime's virtual memory, by the names it links to (`wasmtime/src/runtime/vm/sys/custom/capi.rs`).
//!
//! With `cpu/wasm.rs`, which has traps, thread-local storage and locks, this is the whole C interface to wasmtime.

use alloc::sync::Arc;

use super::{
    OutOfMemory,
    layout::{PAGE, page_up},
    mappings::{self, Image},
    paging::Access,
};

const READ: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const EXECUTE: u32 = 1 << 2;

const OK: i32 = 0;
/// The numbers of Linux, which is what readers of wasmtime's "os error" know.
const OUT_OF_MEMORY: i32 = 12;
const INVALID: i32 = 22;

/// `None`: the combination would break W^X, or is unknown.
fn access(protection: u32) -> Option<Option<Access>> {
    match protection {
        0 => Some(None),
        READ => Some(Some(Access::Read)),
        _ if protection == READ | WRITE => Some(Some(Access::ReadWrite)),
        _ if protection == READ | EXECUTE => Some(Some(Access::ReadExecute)),
        _ => None,
    }
}

fn status(result: Result<(), OutOfMemory>) -> i32 {
    match result {
        Ok(()) => OK,
        Err(OutOfMemory) => OUT_OF_MEMORY,
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_mmap_new(size: usize, protection: u32, start: &mut *mut u8) -> i32 {
    let Some(access) = access(protection) else { return INVALID };
    status(mappings::map(size, access).map(|address| *start = core::ptr::with_exposed_provenance_mut(address)))
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_mmap_remap(start: *mut u8, size: usize, protection: u32) -> i32 {
    let Some(access) = access(protection) else { return INVALID };
    // SAFETY: wasmtime changes what it has mapped, by its own rules.
    status(unsafe { mappings::remap(start.addr()..start.addr() + page_up(size), access) })
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_munmap(start: *mut u8, _size: usize) -> i32 {
    // SAFETY: wasmtime changes what it has mapped, by its own rules.
    if unsafe { mappings::unmap(start.addr()) } { OK } else { INVALID }
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_mprotect(start: *mut u8, size: usize, protection: u32) -> i32 {
    let Some(access) = access(protection) else { return INVALID };
    // SAFETY: wasmtime changes what it has mapped, by its own rules.
    status(unsafe { mappings::protect(start.addr()..start.addr() + page_up(size), access) })
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_page_size() -> usize {
    PAGE
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_memory_image_new(contents: *const u8, size: usize, image: &mut *mut Image) -> i32 {
    // SAFETY: wasmtime passes memory that is valid during the call.
    let contents = unsafe { core::slice::from_raw_parts(contents, size) };
    status(Image::new(contents).map(|made| *image = Arc::into_raw(made).cast_mut()))
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_memory_image_map_at(image: *mut Image, start: *mut u8, size: usize) -> i32 {
    // SAFETY: the pointer is from `wasmtime_memory_image_new` and was not freed; this counts one more reference to it.
    let image = unsafe {
        Arc::increment_strong_count(image);
        Arc::from_raw(image)
    };
    // SAFETY: wasmtime changes what it has mapped, by its own rules.
    status(unsafe { mappings::map_image(start.addr()..start.addr() + page_up(size), &image) })
}

#[unsafe(no_mangle)]
extern "C" fn wasmtime_memory_image_free(image: *mut Image) {
    // SAFETY: the pointer is from `wasmtime_memory_image_new`, and wasmtime frees it once.
    drop(unsafe { Arc::from_raw(image) });
}
