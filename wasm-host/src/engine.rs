//! The wasmtime configurations, shared by the ahead-of-time compiler and the node that runs what it made.
//!
//! The node refuses artifacts made with other settings; what a machine adds of its own (stacks, code memory, CPU
//! feature detection) does not change what artifacts look like and is added by the platform.

use crate::image::EngineSettings;
use alloc::{sync::Arc, vec::Vec};
use serde::{Deserialize, Serialize};
use spin::Once;
use wasmtime::{Config, Engine, Result, WasmFeatures, bail, error::Context as _};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// For components without asynchronous functions: a call costs a third of one on the other.
    Lean,
    /// For those that use the component model's own concurrency: async functions, streams, futures.
    Concurrent,
}

impl Kind {
    /// Those that this build has.
    pub const fn all() -> &'static [Kind] {
        if cfg!(feature = "wasi") { &[Kind::Lean, Kind::Concurrent] } else { &[Kind::Lean] }
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
        .concurrency_support(kind == Kind::Concurrent)
        .epoch_interruption(true)
        .gc_support(false)
        .wasm_features(WasmFeatures::THREADS | WasmFeatures::EXCEPTIONS, false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK);
    #[cfg(feature = "wasi")]
    config.wasm_component_model_async(kind == Kind::Concurrent);
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
pub fn all_requirements(target: &str) -> Vec<EngineSettings> {
    Kind::all().iter().map(|kind| requirements_of(*kind, target)).collect()
}

/// The machine's part of an engine's configuration.
pub type Configure = fn(&mut Config);

/// The engines of a node.
#[derive(Clone)]
pub struct Engines(Arc<Both>);

struct Both {
    lean: Engine,
    /// made when the first component for it comes
    concurrent: Once<Engine>,
    configure: Configure,
}

impl Engines {
    pub fn new(configure: Configure) -> Result<Self> {
        let lean = engine(Kind::Lean, configure)?;
        Ok(Engines(Arc::new(Both { lean, concurrent: Once::new(), configure })))
    }

    /// The engine for components of a kind.
    pub fn of(&self, kind: Kind) -> Result<&Engine> {
        let Both { lean, concurrent, configure } = &*self.0;
        match kind {
            Kind::Lean => Ok(lean),
            Kind::Concurrent if Kind::all().contains(&kind) => {
                concurrent.try_call_once(|| engine(kind, *configure)).context("the engine does not start")
            }
            Kind::Concurrent => bail!("it has asynchronous functions, and this node was built without WASI 0.3"),
        }
    }

    /// At each tick of the timer. Takes no locks and does not allocate.
    pub fn increment_epoch(&self) {
        self.0.lean.increment_epoch();
        if let Some(concurrent) = self.0.concurrent.get() {
            concurrent.increment_epoch();
        }
    }

    /// Does the same for as long as the engines are in use; then it says false.
    pub fn ticker(&self) -> impl Fn() -> bool + Send + 'static {
        let engines = Arc::downgrade(&self.0);
        move || engines.upgrade().map(|engines| Engines(engines).increment_epoch()).is_some()
    }
}

fn engine(kind: Kind, configure: Configure) -> Result<Engine> {
    let mut config = settings_of(kind);
    configure(&mut config);
    Engine::new(&config)
}
