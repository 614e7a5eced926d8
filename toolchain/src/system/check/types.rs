//! Whether an import's functions are an export's, type by type.

use crate::system::description::{Function, Interface};
use alloc::{format, string::String, vec::Vec};

/// Why the export cannot stand for the import: a line for each function.
pub(crate) fn misfits(import: &Interface, export: &Interface) -> Vec<String> {
    import.functions.iter().filter_map(|wanted| misfit(import, export, wanted)).collect()
}

fn misfit(import: &Interface, export: &Interface, wanted: &Function) -> Option<String> {
    let name = &wanted.name;
    let Some(found) = export.function(name) else {
        return Some(format!("`{name}` is imported as `{}` and not exported", wanted.signature));
    };
    if found.shape == wanted.shape {
        return None;
    }
    if found.signature != wanted.signature {
        return Some(format!("`{name}` is imported as `{}` and exported as `{}`", wanted.signature, found.signature));
    }
    // the same words, so a type behind one of them differs
    let differing = words(&wanted.signature).find_map(|word| {
        let (import, export) = (import.definition(word)?, export.definition(word)?);
        (import != export).then(|| format!("`{word}` is imported as `{import}` and exported as `{export}`"))
    });
    Some(match differing {
        Some(difference) => format!("`{name}` is `{}` on both sides, but {difference}", wanted.signature),
        None => format!("`{name}` is `{}` on both sides, but the types behind its names differ", wanted.signature),
    })
}

/// The names in a signature.
fn words(signature: &str) -> impl Iterator<Item = &str> {
    signature.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty())
}

/// Why the node's own interface cannot stand for an imported one: a line for each difference.
pub(super) fn unlike(given: &Interface, import: &Interface) -> Vec<String> {
    let unlike = |wanted: &Function| {
        let name = &wanted.name;
        match given.function(name) {
            None => Some(format!(
                "`{name}` is imported as `{}`, and the node has no function of that name",
                wanted.signature
            )),
            Some(own) if own.shape != wanted.shape => {
                Some(format!("`{name}` is imported as `{}`, and the node's is `{}`", wanted.signature, own.signature))
            }
            Some(_) => None,
        }
    };
    import.functions.iter().filter_map(unlike).collect()
}
