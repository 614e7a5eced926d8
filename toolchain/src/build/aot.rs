//! Ahead-of-time compilation, with what was compiled before kept by content.

use super::fresh;
use crate::files;
use crate::progress::Step;
use anyhow::{Context, Result, anyhow};
use object::LittleEndian;
use object::elf::{FileHeader64, SHT_SYMTAB};
use object::pod;
use object::read::elf::{FileHeader, SectionHeader};
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
        // the other engine's components work on many requests with one instance
        let component = &*match self.kind {
            Kind::Lean => fresh::prepare(component).with_context(|| format!("the component of `{name}`"))?,
            Kind::Concurrent => component.into(),
        };
        let cached = cache.join(format!("{}.cwasm", self.key(component)));
        if let Ok(artifact) = fs::read(&cached) {
            return Ok(artifact);
        }
        let step = Step::start(format!("Compiling {name} to machine code"));
        let artifact = self.engine.precompile_component(component).map_err(anyhow::Error::from);
        let artifact = artifact.with_context(|| format!("the component of `{name}` cannot be compiled"))?;
        let artifact = without_symbols(artifact).context("the compiler made what is no ELF file as it should be")?;
        step.done();
        files::replace(&cached, &artifact)?;
        Ok(artifact)
    }

    /// Differs whenever the artifact could.
    fn key(&self, component: &[u8]) -> String {
        let mut hasher = KeyHasher(blake3::Hasher::new());
        // the version of wasmtime, the target, its CPU features, and all settings
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        // and what is taken off afterwards
        hasher.0.update(b"without symbols");
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
    // A node that boots by itself keeps all of an artifact in memory, and has no debugger, which follows this; backtraces
    // follow frame pointers. The other table says where within a function something failed: a seventh of an artifact.
    config.native_unwind_info(target == Target::Native);
    config.generate_address_map(target == Target::Native);
    Ok(())
}

type Header = FileHeader64<LittleEndian>;
type Section = <Header as FileHeader>::SectionHeader;

/// The artifact without its table of symbols, which a runtime has no use for: backtraces have names of their own. That table
/// and its strings are the last of what the compiler writes, but for the names of the sections and the sections' headers.
fn without_symbols(mut artifact: Vec<u8>) -> Result<Vec<u8>> {
    let header = Header::parse(&*artifact)?;
    let sections = header.section_headers(LittleEndian, &*artifact)?;
    let Some(symbols) = sections.iter().position(|section| section.sh_type(LittleEndian) == SHT_SYMTAB) else {
        return Ok(artifact);
    };
    let names = usize::from(header.e_shstrndx(LittleEndian));
    let strings = sections[symbols].sh_link(LittleEndian) as usize;
    let gone = |index: usize| index == symbols || index == strings;
    let range = |index: usize| sections.get(index).and_then(|section| section.file_range(LittleEndian));
    let (Some((end, _)), Some((start, length))) = (range(symbols), range(names)) else {
        return Err(anyhow!("its sections are not in it"));
    };
    let mut kept: Vec<Section> = Vec::with_capacity(sections.len());
    let mut place = 0;
    for (index, section) in sections.iter().enumerate().filter(|(index, _)| !gone(*index)) {
        let mut section = *section;
        if index == names {
            place = kept.len();
            section.sh_offset.set(LittleEndian, end);
        } else if range(index).is_some_and(|(start, length)| start + length > end) {
            return Err(anyhow!("something follows the symbols"));
        }
        kept.push(section);
    }
    let names = artifact[start as usize..][..length as usize].to_vec();
    artifact.truncate(end as usize);
    artifact.extend(names);
    artifact.resize(artifact.len().next_multiple_of(align_of::<u64>()), 0);
    let headers = artifact.len() as u64;
    artifact.extend_from_slice(pod::bytes_of_slice(&kept));
    let (header, _) = pod::from_bytes_mut::<Header>(&mut artifact).map_err(|()| anyhow!("its header is cut short"))?;
    header.e_shoff.set(LittleEndian, headers);
    header.e_shnum.set(LittleEndian, kept.len() as u16);
    header.e_shstrndx.set(LittleEndian, place as u16);
    Ok(artifact)
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
    fn what_is_left_without_symbols_is_whole() {
        let component = wat::parse_str(
            r#"(component
                (core module $code (func (export "run")))
                (core instance $code (instantiate $code))
                (func (export "run") (canon lift (core func $code "run"))))"#,
        );
        let compiler = Compiler::new(Target::Native, Kind::Lean).unwrap();
        let whole = compiler.engine.precompile_component(&component.unwrap()).unwrap();
        let artifact = without_symbols(whole.clone()).unwrap();
        assert!(artifact.len() < whole.len());
        let sections = |file: &[u8]| {
            let header = Header::parse(file).unwrap();
            let sections = header.sections(LittleEndian, file).unwrap();
            let named = sections.iter().map(|section| {
                let name = sections.section_name(LittleEndian, section).unwrap();
                (String::from_utf8_lossy(name).into_owned(), section.data(LittleEndian, file).unwrap().to_vec())
            });
            named.collect::<Vec<_>>()
        };
        let mut kept = sections(&whole);
        kept.retain(|(name, _)| name != ".symtab" && name != ".strtab");
        assert_eq!(sections(&artifact), kept);
        assert_eq!(Engine::detect_precompiled(&artifact), Some(wasmtime::Precompiled::Component));
        assert_eq!(without_symbols(artifact.clone()).unwrap(), artifact);
        assert!(without_symbols(artifact[..200].to_vec()).is_err());
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
