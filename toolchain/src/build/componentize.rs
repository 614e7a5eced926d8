//! From core modules, as compilers make them, to components.

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider as adapters;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

/// Makes a component of a module that carries its component type; components stay as they are.
pub fn componentize(bytes: &[u8]) -> Result<Vec<u8>> {
    if Parser::is_component(bytes) {
        return Ok(bytes.to_vec());
    }
    if !bytes.starts_with(b"\0asm") {
        bail!("this is no WebAssembly: name a component, or a module that becomes one (a .wasm file)");
    }
    let module = Module::read(bytes)?;
    let mut encoder = ComponentEncoder::default().validate(true).module(bytes)?;
    if module.imports_preview1 {
        let adapter = match module.is_command {
            true => adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
            false => adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        };
        encoder = encoder.adapter(adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?;
    }
    encoder.encode().context("the module does not become a component; was it built with WIT bindings?")
}

/// What decides how a module is made into a component.
struct Module {
    /// It was made for WASI 0.1.
    imports_preview1: bool,
    /// It has a `main`.
    is_command: bool,
}

impl Module {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut module = Module { imports_preview1: false, is_command: false };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.context("not a valid WebAssembly module")? {
                Payload::Version { encoding: Encoding::Component, .. } => bail!("not a WebAssembly module"),
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        module.imports_preview1 |= import?.module == adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        module.is_command |= export?.name == "_start";
                    }
                }
                _ => {}
            }
        }
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn modules_become_components_and_components_stay() {
        assert_eq!(componentize(EMPTY_COMPONENT).unwrap(), EMPTY_COMPONENT);
        assert!(Parser::is_component(&componentize(EMPTY_MODULE).unwrap()));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", b"\0asm", b"\0asm\x01\0\0\0\xff"] {
            assert!(componentize(bytes).is_err(), "{bytes:?}");
        }
    }
}
