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

/// What a component exports whose instances can be made as new: `func() -> list<u8>`, the whole of its memory. From then on
/// each call of its handler begins with the globals as they were at first, and the memory is for the node to put back.
/// The ahead-of-time compiler adds it where that is possible.
pub const FRESH: &str = "pearwood-fresh";

/// CPU features that artifacts may use and the node must have (x86-64-v2). Never fewer: without SSE4.1 compiled code
/// calls helpers for float rounding, with a calling convention that a soft-float kernel does not share, and
/// computes wrong results in silence.
pub const CPU_FLAGS: [&str; 6] = ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt", "has_cmpxchg16b"];

/// Native stack that wasm may use, each time that it is entered. Guests keep their big things in linear memory.
pub const WASM_STACK: usize = 128 << 10;

/// What host functions may need below wasm's part, and the runtime to unwind a trap.
const HOST_STACK: usize = 64 << 10;

/// The stack of a box's fiber.
///
/// wasmtime gives wasm [`WASM_STACK`] from wherever it is entered. On a fiber it is entered once, and once more from the
/// host function that it calls, in the guest's `realloc`, which the host calls to hand over a list. That is all: while
/// `realloc` runs, the instance may not leave (component model, canonical ABI, `may_leave`), so that a call of the host
/// from there is a trap. So wasm comes to its limit before the fiber comes to its end, by what the host needs.
pub const FIBER_STACK: usize = 2 * WASM_STACK + HOST_STACK;

/// What is added where the host's code may be unoptimised. There, a stack takes only the memory that is touched.
const UNOPTIMISED: usize = if cfg!(target_os = "none") { 0 } else { 1 << 20 };

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
        .async_stack_size(FIBER_STACK + UNOPTIMISED);
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{boxed::Box, format, string::String};
    use futures_util::FutureExt;
    use wasmtime::{
        Store, Trap,
        component::{Component, Linker},
    };

    /// A guest whose `reenter(a, b)` calls itself `a` times and then the host, which calls `realloc`, and that itself `b`
    /// times; and then does what is given.
    fn guest(realloc: &str) -> String {
        format!(
            r#"(component
                (import "bytes" (func $bytes (result (list u8))))
                (core module $allocator
                    (memory (export "memory") 1)
                    (table (export "imports") 1 funcref)
                    (type $import (func (param i32)))
                    (global $depth (export "depth") (mut i32) (i32.const 0))
                    (func $descend (param i32) (result i32)
                        (if (result i32) (local.get 0)
                            (then (i32.add (i32.const 1) (call $descend (i32.sub (local.get 0) (i32.const 1)))))
                            (else {realloc} (i32.const 0))))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                        (drop (call $descend (global.get $depth)))
                        (i32.const 1024)))
                (core instance $allocator (instantiate $allocator))
                (core func $bytes (canon lower (func $bytes)
                    (memory (core memory $allocator "memory")) (realloc (core func $allocator "realloc"))))
                (core module $code
                    (import "allocator" "depth" (global $depth (mut i32)))
                    (import "allocator" "imports" (table 1 funcref))
                    (import "host" "bytes" (func $bytes (param i32)))
                    (elem (i32.const 0) func $bytes)
                    (func $reenter (export "reenter") (param i32 i32)
                        (if (local.get 0)
                            (then (call $reenter (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
                            (else (global.set $depth (local.get 1)) (call $bytes (i32.const 512))))))
                (core instance $code (instantiate $code
                    (with "allocator" (instance $allocator))
                    (with "host" (instance (export "bytes" (func $bytes))))))
                (func (export "reenter") (param "a" u32) (param "b" u32) (canon lift (core func $code "reenter"))))"#
        )
    }

    /// Calls `reenter` of a new instance.
    fn reenter(engine: &Engine, component: &Component, a: u32, b: u32) -> Result<()> {
        let mut linker = Linker::new(engine);
        linker.root().func_wrap_async("bytes", |_, (): ()| Box::new(async { Ok((b"bytes".to_vec(),)) }))?;
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1);
        let call = async {
            let instance = linker.instantiate_async(&mut store, component).await?;
            let function = instance.get_typed_func::<(u32, u32), ()>(&mut store, "reenter")?;
            function.call_async(&mut store, (a, b)).await
        };
        call.now_or_never().expect("it does not wait")
    }

    /// However deep a guest is when it calls the host, and however deep its `realloc` goes then: it traps, and this goes on.
    #[test]
    fn a_stack_that_ends_is_a_trap() {
        for kind in [Kind::Lean, Kind::Concurrent] {
            let engine = Engine::new(&settings_of(kind)).unwrap();
            let component = Component::new(&engine, wat::parse_str(guest("")).unwrap()).unwrap();
            reenter(&engine, &component, 0, 0).unwrap();
            let mut depth = 0;
            while reenter(&engine, &component, depth, 0).is_ok() {
                let error = reenter(&engine, &component, depth, u32::MAX).unwrap_err();
                assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{depth} deep: {error:?}");
                depth += 61;
            }
            assert!(depth > 1_000, "only {depth} calls deep");
        }
    }

    /// What the size of a fiber's stack relies on.
    #[test]
    fn realloc_cannot_call_the_host() {
        for kind in [Kind::Lean, Kind::Concurrent] {
            let engine = Engine::new(&settings_of(kind)).unwrap();
            let calls = "(call_indirect (type $import) (i32.const 512) (i32.const 0))";
            let component = Component::new(&engine, wat::parse_str(guest(calls)).unwrap()).unwrap();
            let error = reenter(&engine, &component, 0, 0).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotLeaveComponent), "{error:?}");
        }
    }
}
