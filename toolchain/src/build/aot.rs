//! Ahead-of-time compilation, with what was compiled before kept by content.

use crate::files;
use crate::progress::Step;
use anyhow::{Context, Result};
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use wasm_host::engine::{self, Kind};
use wasm_host::image::EngineSettings;
use wasmtime::{Config, Engine};

/// What artifacts are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A node that boots by itself.
    Kernel,
    /// A node that is a process on this machine.
    Native,
}

/// Compiles for one of a node's engines.
pub struct Compiler {
    engine: Engine,
    target: Target,
    kind: Kind,
}

impl Compiler {
    pub fn new(target: Target, kind: Kind) -> Result<Self> {
        let mut config = engine::settings_of(kind);
        aim(&mut config, target)?;
        Ok(Compiler { engine: Engine::new(&config)?, target, kind })
    }

    /// What a node has to be set to for the artifacts.
    pub fn settings(&self) -> EngineSettings {
        engine::requirements_of(self.kind, triple(self.target))
    }

    /// Compiles a component, or takes from `cache` what the same compiler has made of it before.
    pub fn compile(&self, name: &str, component: &[u8], cache: &Path) -> Result<Vec<u8>> {
        let cached = cache.join(format!("{}.cwasm", self.key(component)));
        if let Ok(artifact) = fs::read(&cached) {
            return Ok(artifact);
        }
        let step = Step::start(format!("Compiling {name} to machine code"));
        let artifact = self.engine.precompile_component(component).map_err(anyhow::Error::from);
        let artifact = artifact.with_context(|| format!("the component of `{name}` cannot be compiled"))?;
        step.done();
        files::replace(&cached, &artifact)?;
        Ok(artifact)
    }

    /// Differs whenever the artifact could.
    fn key(&self, component: &[u8]) -> String {
        let mut hasher = KeyHasher(blake3::Hasher::new());
        // the version of wasmtime, the target, its CPU features, and all settings
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.update(component);
        hasher.0.finalize().to_hex().to_string()
    }
}

fn triple(target: Target) -> &'static str {
    match target {
        Target::Kernel => engine::KERNEL_TRIPLE,
        Target::Native => engine::LINUX_TRIPLE,
    }
}

/// Sets the target and the CPU features.
#[expect(unsafe_code)]
fn aim(config: &mut Config, target: Target) -> Result<()> {
    // said also where it is this machine's own: the features are then those named, not those found
    config.target(triple(target))?;
    for flag in engine::CPU_FLAGS {
        // SAFETY: the flags are CPU features, and a node refuses artifacts that need some that its CPU has not.
        unsafe { config.cranelift_flag_enable(flag) };
    }
    Ok(())
}

/// BLAKE3 behind the interface of [`Hash`].
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        u64::from_le_bytes(*self.0.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn keys_tell_targets_and_components_apart() {
        let (kernel, native) =
            (Compiler::new(Target::Kernel, Kind::Lean).unwrap(), Compiler::new(Target::Native, Kind::Lean).unwrap());
        assert_eq!(kernel.key(EMPTY), Compiler::new(Target::Kernel, Kind::Lean).unwrap().key(EMPTY));
        assert_ne!(kernel.key(EMPTY), native.key(EMPTY));
        assert_ne!(kernel.key(EMPTY), Compiler::new(Target::Kernel, Kind::Concurrent).unwrap().key(EMPTY));
        assert_ne!(kernel.key(EMPTY), kernel.key(b"\0asm\x0d\0\x01\0\0"));
    }

    #[test]
    fn the_second_time_comes_from_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let compiler = Compiler::new(Target::Kernel, Kind::Lean).unwrap();
        let artifact = compiler.compile("empty", EMPTY, cache.path()).unwrap();
        let cached = cache.path().join(format!("{}.cwasm", compiler.key(EMPTY)));
        assert_eq!(fs::read(&cached).unwrap(), artifact);
        fs::write(&cached, b"marked").unwrap();
        assert_eq!(compiler.compile("empty", EMPTY, cache.path()).unwrap(), b"marked");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let cache = tempfile::tempdir().unwrap();
        let error =
            Compiler::new(Target::Kernel, Kind::Lean).unwrap().compile("site", b"nonsense", cache.path()).unwrap_err();
        assert!(error.to_string().contains("`site`"), "{error:#}");
        assert_eq!(cache.path().read_dir().unwrap().count(), 0);
    }
}
