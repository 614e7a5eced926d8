//! The one wasmtime configuration, shared by the ahead-of-time compiler and the node that runs what it made.
//!
//! The node refuses artifacts made with other settings; what a machine adds of its own (stacks, code memory, CPU
//! feature detection) does not change what artifacts look like and is added by the platform.

use crate::image::EngineSettings;
use wasmtime::{Config, WasmFeatures};

/// The target of artifacts for a node that boots by itself.
pub const KERNEL_TRIPLE: &str = "x86_64-unknown-none";

/// The target of artifacts for a node that runs beside Linux.
pub const LINUX_TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// wasmtime's version, which an artifact loads only into.
pub const WASMTIME: &str = "48.0.8";

/// CPU features that artifacts may use and the node must have (x86-64-v2). Never fewer: without SSE4.1 compiled code
/// calls helpers for float rounding, with a calling convention that a soft-float kernel does not share, and
/// computes wrong results in silence.
pub const CPU_FLAGS: [&str; 6] = ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt", "has_cmpxchg16b"];

/// Native stack that wasm may use. Guests keep their big things in linear memory.
pub const WASM_STACK: usize = 128 << 10;

/// The stack of a box's fiber: wasm's part, and what host functions need on top.
pub const FIBER_STACK: usize = 256 << 10;

/// Settings for boxes that do not use the component model's own async: a call costs a third of one with it.
pub fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .gc_support(false)
        .wasm_features(WasmFeatures::THREADS | WasmFeatures::EXCEPTIONS, false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK);
    config
}

/// What an image says of artifacts that were compiled for these settings and a target.
pub fn requirements(target: &str) -> EngineSettings {
    EngineSettings::new(WASMTIME, target, CPU_FLAGS.iter().copied().chain(["epoch_interruption", "lean"]))
}
