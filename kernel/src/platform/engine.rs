//! What wasmtime gets from this machine: stacks for fibers, executable memory, the processor's features.

use alloc::{boxed::Box, sync::Arc};
use core::ops::Range;

use wasmtime::{Config, CustomCodeMemory, Error, Result, StackCreator, StackMemory};

use crate::{
    cpu::features,
    memory::{
        image,
        layout::{self, PAGE, page_up},
        mappings,
        paging::Access,
        stacks::Stack,
    },
};

/// Adds to the node's settings what an engine needs to run here. What artifacts look like does not depend on it.
#[allow(unsafe_code)]
pub fn configure(config: &mut Config) {
    config.with_host_stack(Arc::new(Stacks));
    config.with_custom_code_memory(Some(Arc::new(CodeMemory)));
    // SAFETY: `detect` answers from CPUID, for what `features::enable` has switched on.
    unsafe { config.detect_host_feature(features::detect) };
    // SAFETY: the kernel passes no floats to wasm or back, and wasm-host refuses artifacts that were compiled without
    // SSE4.1, which are those that call the host for float operations.
    unsafe { config.x86_float_abi_ok(true) };
}

struct Stacks;

// SAFETY: `Stack` is mapped memory of at least that size, page aligned, above a page that is not mapped.
#[allow(unsafe_code)]
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> Result<Box<dyn StackMemory>, Error> {
        Ok(Box::new(FiberStack(Stack::new(size, zeroed).map_err(|error| wasmtime::format_err!("{error}: no stack"))?)))
    }
}

struct FiberStack(Stack);

// SAFETY: as above; it stays mapped until it is dropped.
#[allow(unsafe_code)]
unsafe impl StackMemory for FiberStack {
    fn top(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.0.top())
    }

    fn range(&self) -> Range<usize> {
        self.0.range()
    }

    fn guard_range(&self) -> Range<*mut u8> {
        let Range { start, end } = self.0.guard();
        core::ptr::with_exposed_provenance_mut(start)..core::ptr::with_exposed_provenance_mut(end)
    }
}

/// Code is either a copy in a mapping of wasmtime's own, or lies in the image and runs from there.
struct CodeMemory;

impl CustomCodeMemory for CodeMemory {
    fn required_alignment(&self) -> usize {
        PAGE
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        set_executable(start, length, true)
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> Result<()> {
        set_executable(start, length, false)
    }
}

#[allow(unsafe_code)]
fn set_executable(start: *const u8, length: usize, executable: bool) -> Result<()> {
    let range = start.addr()..start.addr() + page_up(length);
    if layout::IMAGE.contains(&range.start) {
        if !image::set_executable(range, executable) {
            wasmtime::bail!("compiled code is not within the image");
        }
        return Ok(());
    }
    let access = if executable { Access::ReadExecute } else { Access::ReadWrite };
    // SAFETY: wasmtime calls this for the code of a module, whose memory it has mapped.
    unsafe { mappings::protect(range, Some(access)) }.map_err(|error| wasmtime::format_err!("code memory: {error}"))
}
