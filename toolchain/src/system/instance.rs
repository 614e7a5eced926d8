//! What the node holds for an instance of a component beside its memories and tables.

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
                    self.referred += u64::from(matches!(export?.kind, ExternalKind::Func | ExternalKind::FuncExact));
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn component(text: &str) -> u64 {
        estimate(&wat::parse_str(text).unwrap()).unwrap()
    }

    /// A module with that many globals, in as many instances.
    fn globals(count: usize, instances: usize) -> String {
        let globals = "(global i32 (i32.const 0))".repeat(count);
        let instances = "(core instance (instantiate $m))".repeat(instances);
        format!("(component (core module $m {globals}) {instances})")
    }

    #[test]
    fn instances_count_as_often_as_they_are_made() {
        let (one, sixty) = (component(&globals(1_000, 1)), component(&globals(1_000, 60)));
        assert!((16_000..64_000).contains(&one), "{one}");
        assert!(sixty >= 60 * 16_000, "{sixty}");
        assert!(component(&globals(20_000, 60)) > 19_000_000);
    }

    #[test]
    fn nested_components_multiply() {
        let inner = globals(1_000, 10);
        let nested = |count: usize| {
            let instances = "(instance (instantiate $c))".repeat(count);
            component(&format!(
                "(component (component $c {}) {instances})",
                &inner["(component ".len()..inner.len() - 1]
            ))
        };
        assert!(nested(10) > 9 * nested(1), "{} {}", nested(10), nested(1));
        // a module of the outer component, by an alias, and one that is exported on
        let aliased = "(component $o (core module $m (memory 1) (global i32 (i32.const 0)))
            (component $c (alias outer $o $m (core module $a)) (core instance (instantiate $a)) (core instance (instantiate $a))
                (export \"m\" (core module $a)))
            (instance $i (instantiate $c)) (alias export $i \"m\" (core module $e)) (core instance (instantiate $e)))";
        assert!(component(aliased) >= 3 * 8_192);
    }
}
