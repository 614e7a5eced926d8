//! What a component imports and exports, as it is read from the component.

use super::InterfaceName;
use alloc::{string::String, vec::Vec};
use wasm_host::arrows::Kinds;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub imports: Vec<Interface>,
    pub exports: Vec<Interface>,
    /// Bytes that the node holds for an instance, at most, beside its memories and tables.
    pub instance: u64,
}

/// An interface that a component imports or exports, with what it uses of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `namespace:package/interface@version`, or a plain name if the world names a function or interface of its own.
    pub name: String,
    /// Sorted by name.
    pub functions: Vec<Function>,
    /// The types that have a name in this interface.
    pub types: Vec<Type>,
    /// What goes over it, if it is a protocol.
    pub protocol: Option<Declaration>,
}

/// A protocol as an interface declares it: the record `protocol` in the type of its functions `client` and `service`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declaration {
    /// The component calls `client`.
    pub client: bool,
    /// The component calls `service`.
    pub service: bool,
    /// The records from the client, by their kinds from 1 on.
    pub commands: Vec<Case>,
    /// The records from the service.
    pub events: Vec<Case>,
    /// What `attach` says.
    pub attach: Option<Vec<Field>>,
    pub kinds: Kinds,
}

/// A kind of record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    /// Of a payload that is no record, one without a name. Those of a record at the end stand in its place.
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// As WIT writes it, with all named types written out.
    pub ty: String,
}

impl Declaration {
    /// How another's records differ from these, if either side would misread them: in words. Further cases, and further
    /// fields that are options, are no difference.
    pub fn misfits(&self, other: &Declaration) -> Vec<String> {
        let mut misfits = Vec::new();
        for (what, ours, theirs) in
            [("command", &self.commands, &other.commands), ("event", &self.events, &other.events)]
        {
            for (ours, theirs) in ours.iter().zip(theirs) {
                if ours.name != theirs.name {
                    misfits.push(alloc::format!("{what} `{}` is `{}` there", ours.name, theirs.name));
                } else if let Some(field) = misfit(&ours.fields, &theirs.fields) {
                    misfits.push(alloc::format!("{what} `{}`: {field}", ours.name));
                }
            }
        }
        if let (Some(ours), Some(theirs)) = (&self.attach, &other.attach)
            && let Some(field) = misfit(ours, theirs)
        {
            misfits.push(alloc::format!("record `attach`: {field}"));
        }
        misfits
    }
}

fn misfit(ours: &[Field], theirs: &[Field]) -> Option<String> {
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours != theirs {
            let (name, ty) = (&ours.name, &ours.ty);
            return Some(alloc::format!("field `{name}: {ty}` is `{}: {}` there", theirs.name, theirs.ty));
        }
    }
    let (longer, shorter) = if ours.len() > theirs.len() { (ours, theirs) } else { (theirs, ours) };
    let further = longer[shorter.len()..].iter().find(|field| !field.ty.starts_with("option<"));
    further.map(|field| alloc::format!("field `{}` is on one side only, and no option", field.name))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// As in the component: `get`, `[method]request.path`.
    pub name: String,
    /// As WIT writes it: `func(level: level, line: string)`.
    pub signature: String,
    /// What [`shape`] makes of the signature with all named types written out.
    pub shape: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    pub name: String,
    /// As WIT writes it, without the name: `enum { error, warn }`.
    pub definition: String,
}

/// Equal for equal signatures, and for no others that anyone will meet.
pub fn shape(signature_written_out: &str) -> u64 {
    let hash = wasm_host::image::hash(signature_written_out.as_bytes());
    u64::from_le_bytes(*hash.0.first_chunk().expect("a hash has 32 bytes"))
}

impl Description {
    /// The exports of that path whose version is compatible, best first.
    pub fn export(&self, name: &InterfaceName) -> Option<&Interface> {
        newest(self.exports.iter(), name)
    }

    pub fn import(&self, name: &InterfaceName) -> Option<&Interface> {
        newest(self.imports.iter(), name)
    }

    /// Whether it uses the component model's own concurrency: async functions, streams or futures.
    pub fn is_concurrent(&self) -> bool {
        self.imports.iter().chain(&self.exports).any(|interface| {
            let signatures = interface.functions.iter().map(|function| &function.signature);
            let definitions = interface.types.iter().map(|ty| &ty.definition);
            signatures.chain(definitions).any(|text| is_concurrent(text))
        })
    }

    pub fn imports_path(&self, path: &str) -> bool {
        self.imports.iter().any(|import| import.path() == path)
    }

    pub fn exports_path(&self, path: &str) -> bool {
        self.exports.iter().any(|export| export.path() == path)
    }
}

fn is_concurrent(text: &str) -> bool {
    let is_type = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '%');
    text.starts_with("async ")
        || ["stream<", "future<"].iter().any(|ty| text.match_indices(ty).any(|(at, _)| is_type(at)))
        || ["-> stream", "-> future"].iter().any(|end| text.ends_with(end))
}

/// The interface that goes with `name`; of several, that of the highest version.
fn newest<'a>(interfaces: impl Iterator<Item = &'a Interface>, name: &InterfaceName) -> Option<&'a Interface> {
    interfaces
        .filter_map(|interface| Some((interface.parsed()?, interface)))
        .filter(|(parsed, _)| parsed.compatible(name))
        .max_by(|(a, _), (b, _)| a.version.cmp(&b.version))
        .map(|(_, interface)| interface)
}

impl Interface {
    pub fn parsed(&self) -> Option<InterfaceName> {
        InterfaceName::parse(&self.name)
    }

    /// The name without its version.
    pub fn path(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(path, _)| path)
    }

    /// As [`InterfaceName::track`].
    pub fn track(&self) -> String {
        self.parsed().map_or_else(|| self.path().into(), |name| name.track())
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    pub fn definition(&self, name: &str) -> Option<&str> {
        self.types.iter().find(|t| t.name == name).map(|t| t.definition.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::is_concurrent;

    #[test]
    fn concurrency_is_seen_in_signatures() {
        for text in [
            "async func()",
            "func(data: stream<u8>) -> u8",
            "func() -> tuple<stream<u8>, future<result<_, e>>>",
            "func() -> option<future<u8>>",
            "func() -> future",
        ] {
            assert!(is_concurrent(text), "{text}");
        }
        for text in [
            "func(stream: u8)",
            "func() -> option<input-stream>",
            "record { future: u8 }",
            "my-stream<u8>",
            "func() -> async-handle",
        ] {
            assert!(!is_concurrent(text), "{text}");
        }
    }
}
