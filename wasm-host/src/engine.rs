//! The wasmtime configurations, shared by the ahead-of-time compiler and the node that runs what it made.
//!
//! The node refuses artifacts made with other settings; what a machine adds of its own (stacks, code memory, CPU
//! feature detection) does not change what artifacts look like and is added by the platform.

use crate::{image::EngineSettings, system::Description};
use wasmtime::{Config, Engine, WasmFeatures};

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

/// Which of a node's two engines a component runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For components without asynchronous functions: a call costs a third of one on the other.
    Lean,
    /// For those that use the component model's own concurrency: async functions, streams, futures.
    Concurrent,
}

impl Kind {
    pub fn of(description: &Description) -> Self {
        if description.is_concurrent() { Kind::Concurrent } else { Kind::Lean }
    }

    const fn flag(self) -> &'static str {
        match self {
            Kind::Lean => "lean",
            Kind::Concurrent => "concurrent",
        }
    }
}

/// Settings of the lean engine.
pub fn settings() -> Config {
    settings_of(Kind::Lean)
}

pub fn settings_of(kind: Kind) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(kind == Kind::Concurrent)
        .concurrency_support(kind == Kind::Concurrent)
        .epoch_interruption(true)
        .gc_support(false)
        .wasm_features(WasmFeatures::THREADS | WasmFeatures::EXCEPTIONS, false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK);
    config
}

/// What an image says of artifacts that were compiled for the lean engine and a target.
pub fn requirements(target: &str) -> EngineSettings {
    requirements_of(Kind::Lean, target)
}

pub fn requirements_of(kind: Kind, target: &str) -> EngineSettings {
    EngineSettings::new(WASMTIME, target, CPU_FLAGS.iter().copied().chain(["epoch_interruption", kind.flag()]))
}

/// What a node for this target loads.
pub fn all_requirements(target: &str) -> [EngineSettings; 2] {
    [Kind::Lean, Kind::Concurrent].map(|kind| requirements_of(kind, target))
}

/// The engines of a node. The second is made only if there is a component for it.
#[derive(Clone)]
pub struct Engines {
    lean: Engine,
    concurrent: Option<Engine>,
}

impl Engines {
    /// `configure` adds the machine's part.
    pub fn new(kinds: &[Kind], configure: &mut dyn FnMut(&mut Config)) -> wasmtime::Result<Self> {
        let mut engine = |kind| {
            let mut config = settings_of(kind);
            configure(&mut config);
            Engine::new(&config)
        };
        let lean = engine(Kind::Lean)?;
        let concurrent = kinds.contains(&Kind::Concurrent).then(|| engine(Kind::Concurrent)).transpose()?;
        Ok(Engines { lean, concurrent })
    }

    /// None if there was no component for it when the node started.
    pub fn of(&self, kind: Kind) -> Option<&Engine> {
        match kind {
            Kind::Lean => Some(&self.lean),
            Kind::Concurrent => self.concurrent.as_ref(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Engine> {
        core::iter::once(&self.lean).chain(&self.concurrent)
    }

    /// At each tick of the timer. Takes no locks and does not allocate.
    pub fn increment_epoch(&self) {
        self.iter().for_each(Engine::increment_epoch);
    }
}
