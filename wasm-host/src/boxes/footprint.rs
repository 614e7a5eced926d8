//! What the node holds for an instance beside its memories and tables, which are charged as they grow: charged before
//! the instance is made.

use super::{BoxHandle, Budget, Charge, log};
use crate::engine::FIBER_STACK;
use alloc::{format, sync::Arc};
use core::fmt;
use wasmtime::Error;

/// The most bytes of lists and strings that a box passes to functions of WASI in one call: they are copied before the
/// function sees them.
pub const TRANSFER: usize = 144 << 10;

/// What a store holds, with handles of the component model.
const STORE: usize = 64 << 10;

/// Of a box that is linked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Footprint {
    /// What its component's instances take, as [`crate::system::Description::instance`] says.
    pub instance: u64,
    /// It calls functions of WASI.
    pub has_wasi: bool,
}

impl Footprint {
    /// Bytes that one instance of the box takes.
    fn bytes(self, config: &[(impl AsRef<str>, impl AsRef<str>)]) -> u64 {
        // a copy on its way to the box
        let config: usize = config.iter().map(|(key, value)| key.as_ref().len() + value.as_ref().len() + 64).sum();
        let transfer = if self.has_wasi { TRANSFER + config } else { 0 };
        self.instance.saturating_add((FIBER_STACK + STORE + transfer) as u64)
    }
}

/// The box's memory limit leaves no room for an instance.
#[derive(Debug, Clone, Copy)]
pub struct NoRoom {
    limit: u64,
    needed: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, needed) = (self.limit >> 10, self.needed.div_ceil(1 << 10));
        write!(
            f,
            "its memory limit of {limit} KiB leaves no room for an instance, which takes {needed} KiB of the node beside \
             its own memory"
        )
    }
}

impl core::error::Error for NoRoom {}

/// The budget of a box's life: its limit, without what its log holds.
pub fn budget(handle: &BoxHandle) -> Arc<Budget> {
    let budget = Budget::new(handle.own_memory());
    // of a box with less, the instance finds no room
    budget.take((log::HELD as u64).min(handle.own_memory()));
    budget
}

/// What is left of the limit for the memories and tables of one instance.
pub fn left(handle: &BoxHandle) -> u64 {
    let needed = handle.footprint().bytes(&handle.spec.config);
    handle.own_memory().saturating_sub(log::HELD as u64).saturating_sub(needed)
}

/// Pays for an instance. `spare`: bytes of the limit that are to be left.
///
/// # Errors
/// [`NoRoom`].
pub fn pay(handle: &BoxHandle, budget: &Arc<Budget>, spare: u64) -> Result<Charge, Error> {
    let needed = handle.footprint().bytes(&handle.spec.config);
    let bytes = usize::try_from(needed).unwrap_or(usize::MAX);
    let no_room = NoRoom { limit: handle.spec.memory, needed };
    Charge::leaving(budget, bytes, spare).ok_or_else(|| Error::new(no_room))
}

/// Whether there is no instance because the box has no memory left, for what the node holds of it or for its memories.
pub fn no_room(handle: &BoxHandle) -> Error {
    let needed = handle.footprint().bytes(&handle.spec.config);
    Error::new(NoRoom { limit: handle.spec.memory, needed })
}

/// A call passed more to the node than it may.
pub fn explain(reason: &str) -> Option<alloc::string::String> {
    reason.starts_with("too much data is being copied").then(|| {
        format!(
            "passed too much in one call: lists and strings for WASI's functions have {} KiB together",
            TRANSFER >> 10
        )
    })
}

#[cfg(feature = "build")]
mod estimate {
    use wasmparser::{
        BinaryReaderError, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
        ComponentOuterAliasKind, ComponentTypeRef, ElementItems, ElementKind, ExternalKind, Instance, Parser, Payload,
        TypeRef,
    };

    use alloc::{string::String, vec::Vec};

    /// What wasmtime allocates for parts of an instance, in bytes, rounded up (`wasmtime-environ`, `vmoffsets.rs`, and
    /// `wasmtime`, `runtime/vm`).
    const MODULE: u64 = 2_048;
    const COMPONENT: u64 = 4_096;
    const GLOBAL: u64 = 16;
    const IMPORT: u64 = 32;
    const FUNCTION: u64 = 32;
    const TABLE: u64 = 512;
    const MEMORY: u64 = 8_192;
    const DATA: u64 = 32;
    const PASSIVE: u64 = 24;
    const EXPORT: u64 = 64;
    /// a lifted or lowered function, and its part of an adapter between components
    const CANON: u64 = 256;

    enum Frame {
        Module(Module),
        Component(Component),
    }

    /// One that is being read.
    #[derive(Default)]
    struct Module {
        bytes: u64,
        functions: u64,
        /// at most so many of these can be referred to
        referred: u64,
    }

    #[derive(Default)]
    struct Component {
        bytes: u64,
        /// what an instance of each takes
        modules: Vec<u64>,
        components: Vec<u64>,
    }

    /// The largest of a binary, which an import or the export of an instance may turn out to be.
    #[derive(Default, Clone, Copy)]
    struct Largest {
        module: u64,
        component: u64,
    }

    /// At most so many bytes does the node hold for an instance of the component, beside its memories and tables.
    ///
    /// # Errors
    /// Where the binary is malformed.
    pub fn estimate(binary: &[u8]) -> Result<u64, String> {
        let mut largest = Largest::default();
        let (first, seen) = pass(binary, largest).map_err(|error| alloc::format!("{error}"))?;
        if seen.1 == 0 {
            return Ok(first);
        }
        // what is imported or exported by an instance counts as the largest that there is
        largest = seen.0;
        pass(binary, largest).map(|(bytes, _)| bytes).map_err(|error| alloc::format!("{error}"))
    }

    /// What the whole takes; the largest that was seen, and how often the largest of all stood for something else.
    fn pass(binary: &[u8], largest: Largest) -> Result<(u64, (Largest, u32)), BinaryReaderError> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut seen = Largest::default();
        let (mut guesses, mut whole) = (0, 0);
        for payload in Parser::new(0).parse_all(binary) {
            let payload = payload?;
            match (&payload, frames.last_mut()) {
                (Payload::Version { encoding, .. }, _) => frames.push(match encoding {
                    wasmparser::Encoding::Module => Frame::Module(Module::default()),
                    wasmparser::Encoding::Component => Frame::Component(Component::default()),
                }),
                (Payload::End(_), _) => match (frames.pop(), frames.last_mut()) {
                    (Some(Frame::Module(module)), Some(Frame::Component(parent))) => {
                        let bytes = module.whole();
                        seen.module = seen.module.max(bytes);
                        parent.modules.push(bytes);
                    }
                    (Some(Frame::Component(inner)), parent) => {
                        let bytes = inner.bytes.saturating_add(COMPONENT);
                        seen.component = seen.component.max(bytes);
                        match parent {
                            Some(Frame::Component(parent)) => parent.components.push(bytes),
                            _ => whole = bytes,
                        }
                    }
                    _ => {}
                },
                (_, Some(Frame::Module(module))) => module.section(&payload)?,
                (Payload::ComponentAliasSection(aliases), Some(Frame::Component(_))) => {
                    for alias in aliases.clone() {
                        let (item, is_module) = match alias? {
                            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                                guesses += 1;
                                (largest.module, true)
                            }
                            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                                guesses += 1;
                                (largest.component, false)
                            }
                            ComponentAlias::Outer { kind, count, index } => {
                                let is_module = matches!(kind, ComponentOuterAliasKind::CoreModule);
                                if !is_module && !matches!(kind, ComponentOuterAliasKind::Component) {
                                    continue;
                                }
                                let outer = frames.len().checked_sub(1 + count as usize).map(|at| &frames[at]);
                                let Some(Frame::Component(outer)) = outer else { continue };
                                let all = if is_module { &outer.modules } else { &outer.components };
                                (all.get(index as usize).copied().unwrap_or_default(), is_module)
                            }
                            _ => continue,
                        };
                        if let Some(Frame::Component(component)) = frames.last_mut() {
                            component.add(item, is_module);
                        }
                    }
                }
                (_, Some(Frame::Component(component))) => guesses += component.section(&payload, largest)?,
                _ => {}
            }
        }
        Ok((whole, (seen, guesses)))
    }

    impl Module {
        fn whole(&self) -> u64 {
            let referred = self.referred.min(self.functions) * FUNCTION;
            self.bytes.saturating_add(referred).saturating_add(MODULE)
        }

        fn section(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
            match payload {
                Payload::ImportSection(imports) => {
                    for import in imports.clone().into_imports() {
                        self.functions += u64::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                        self.bytes += IMPORT;
                    }
                }
                Payload::FunctionSection(functions) => self.functions += u64::from(functions.count()),
                Payload::TableSection(tables) => self.bytes += u64::from(tables.count()) * TABLE,
                Payload::MemorySection(memories) => self.bytes += u64::from(memories.count()) * MEMORY,
                Payload::TagSection(tags) => self.bytes += u64::from(tags.count()) * IMPORT,
                Payload::GlobalSection(globals) => {
                    self.bytes += u64::from(globals.count()) * GLOBAL;
                    self.referred += u64::from(globals.count());
                }
                Payload::ExportSection(exports) => {
                    for export in exports.clone() {
                        self.referred +=
                            u64::from(matches!(export?.kind, ExternalKind::Func | ExternalKind::FuncExact));
                    }
                }
                Payload::StartSection { .. } => self.referred += 1,
                Payload::ElementSection(elements) => {
                    for element in elements.clone() {
                        let element = element?;
                        let count = match element.items {
                            ElementItems::Functions(functions) => functions.count(),
                            ElementItems::Expressions(_, expressions) => expressions.count(),
                        };
                        self.referred += u64::from(count);
                        if matches!(element.kind, ElementKind::Passive) {
                            self.bytes += u64::from(count) * PASSIVE;
                        }
                        self.bytes += DATA;
                    }
                }
                Payload::DataSection(data) => self.bytes += u64::from(data.count()) * DATA,
                _ => {}
            }
            Ok(())
        }
    }

    impl Component {
        fn add(&mut self, bytes: u64, is_module: bool) {
            if is_module { &mut self.modules } else { &mut self.components }.push(bytes);
        }

        fn more(&mut self, bytes: u64) {
            self.bytes = self.bytes.saturating_add(bytes);
        }

        /// How often the largest stood for something else.
        fn section(&mut self, payload: &Payload<'_>, largest: Largest) -> Result<u32, BinaryReaderError> {
            let mut guesses = 0;
            match payload {
                Payload::InstanceSection(instances) => {
                    for instance in instances.clone() {
                        self.more(match instance? {
                            Instance::Instantiate { module_index, .. } => {
                                self.modules.get(module_index as usize).copied().unwrap_or_default()
                            }
                            Instance::FromExports(exports) => exports.len() as u64 * EXPORT,
                        });
                    }
                }
                Payload::ComponentInstanceSection(instances) => {
                    for instance in instances.clone() {
                        self.more(match instance? {
                            ComponentInstance::Instantiate { component_index, .. } => {
                                self.components.get(component_index as usize).copied().unwrap_or_default()
                            }
                            ComponentInstance::FromExports(exports) => exports.len() as u64 * EXPORT,
                        });
                    }
                }
                Payload::ComponentCanonicalSection(canons) => {
                    for canon in canons.clone() {
                        let _: CanonicalFunction = canon?;
                        self.more(CANON);
                    }
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports.clone() {
                        match import?.ty {
                            ComponentTypeRef::Module(_) => self.add(largest.module, true),
                            ComponentTypeRef::Component(_) => self.add(largest.component, false),
                            _ => continue,
                        }
                        guesses += 1;
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports.clone() {
                        let export = export?;
                        let index = export.index as usize;
                        match export.kind {
                            ComponentExternalKind::Module => {
                                let bytes = self.modules.get(index).copied().unwrap_or_default();
                                self.add(bytes, true);
                            }
                            ComponentExternalKind::Component => {
                                let bytes = self.components.get(index).copied().unwrap_or_default();
                                self.add(bytes, false);
                            }
                            _ => self.more(EXPORT),
                        }
                    }
                }
                _ => {}
            }
            Ok(guesses)
        }
    }
}

#[cfg(feature = "build")]
pub use estimate::estimate;

#[cfg(all(test, feature = "build"))]
mod tests;
