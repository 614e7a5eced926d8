//! `protocol!`: the records of a protocol as Rust types, generated from the WIT file that declares it.
//!
//! `wit/README.md` says how a protocol is declared and packed; [`model`] reads that from the WIT file and refuses what the
//! rules do not allow, [`emit`] writes the code.

mod emit;
mod input;
mod model;
#[cfg(test)]
mod tests;

use input::Input;
use proc_macro::TokenStream;
use std::{env, path::Path};
use wit_parser::Resolve;

/// Generates `Command`, `Event` and `Attach`, as far as the protocol has them, and the types of their fields.
///
/// ```text
/// wit::protocol! {
///     // WIT files, or folders of them, relative to the crate's Cargo.toml; a package comes after those that it uses.
///     path: ["wit/net", "wit/shop"],
///     interface: "example:shop/orders",
///     // Optional: Rust types that stand for types of the WIT files (`wit::packed::StandsFor`).
///     types: { "pearwood:net/types/address": core::net::Ipv6Addr },
///     // Optional: where the crate `pearwood-wit` is; `::wit` unless said.
///     runtime: ::wit,
/// }
/// ```
///
/// - `Command` and `Event` are enums with a case for each record, and `Unknown { kind }` for kinds of a later version. The
///   fields of a case are those of its record; the header's id is the first.
/// - `Command::SEND`: the kind of the case `send`. `Command::NAMES`: the names of the kinds from 1 on.
/// - `decode(&Record) -> Result<Self, Malformed>` borrows from the record; `encode(&self, &mut Batch)` appends one.
/// - For a record that ends with `list<u8>`: `Command::open_send(batch, connection) -> Open`, whose bytes `Batch::extend` adds
///   in pieces.
/// - `Attach::decode(bytes)`, `Attach::encode(&self) -> Vec<u8>`: what the record `attach` (kind 241) carries.
///
/// What the rules of `wit/README.md` do not allow is an error at compile time that names the type and the field.
#[proc_macro]
pub fn protocol(tokens: TokenStream) -> TokenStream {
    let source = generate(tokens).unwrap_or_else(|error| format!("::core::compile_error!({error:?});"));
    source.parse().expect("what is generated is Rust")
}

fn generate(tokens: TokenStream) -> Result<String, String> {
    let input = Input::parse(tokens)?;
    let root = env::var("CARGO_MANIFEST_DIR").map_err(|_| "protocol!: CARGO_MANIFEST_DIR is not set")?;
    let mut resolve = Resolve::default();
    let mut files = Vec::new();
    for path in &input.paths {
        let path = Path::new(&root).join(path);
        let (_, sources) = resolve
            .push_path(&path)
            .map_err(|error| format!("protocol!: cannot read the WIT files of {}: {error:#}", path.display()))?;
        files.extend(sources.paths().map(|file| file.display().to_string()));
    }
    let model = model::read(&resolve, &input.interface, &input.types)?;
    Ok(emit::source(&model, &input.runtime, &files))
}
