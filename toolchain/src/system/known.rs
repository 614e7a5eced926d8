//! The interfaces that Pearwood itself gives a meaning to. Any other is between the boxes that name it.

use super::InterfaceName;
use super::given::given;
use wasm_host::LENT;
use wasm_host::arrows::Protocol;
pub use wasm_host::arrows::{CONTROL, HANDLER, KEYVALUE, NAMES, TCP, UDP};
pub use wasm_host::interface::has_version;

/// What an import of an interface needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: every box has it.
    Own,
    /// An arrow to a device of this class: its name is the class and a number.
    Device(&'static str),
    /// Of a client, arrows to the boxes that provide the protocol of this path; of a service, nothing.
    Protocol(&'static str),
    /// An arrow to the node, which only one box may have.
    Control,
    /// Nothing: without an arrow to the node, it is not there.
    Lent,
    /// Nothing, since it gives no power outside the box. An arrow may say otherwise.
    Face,
    /// An arrow to a box that provides it: as a protocol or by its exports.
    Other,
}

/// Classes of devices.
pub const NIC: &str = "nic";
pub const DISK: &str = "disk";

/// The version of [`HANDLER`] that the faces of WASI speak.
pub const HANDLER_VERSION: &str = "0.2";

/// Imports for which the node is the client of [`HANDLER`], for boxes that have no port for it.
pub const CLIENT_FACES: &[(&str, &str)] =
    &[("wasi:http/outgoing-handler", "0.2"), ("wasi:http/client", "0.3"), ("wasi:http/handler", "0.3")];

/// The import for which the node is the client of [`KEYVALUE`]. What else the package has takes what this one gives.
pub const STORE_FACE: &str = "wasi:keyvalue/store";
/// The version of it that the node has, a draft.
pub const STORE_FACE_VERSION: &str = "0.2.0-draft2";

/// Exports that the node can call on behalf of clients of [`HANDLER`], for boxes that have no port for it.
pub const SERVICE_FACES: &[(&str, &str)] = &[("wasi:http/incoming-handler", "0.2"), ("wasi:http/handler", "0.3")];

/// The protocol of HTTP that the faces of WASI speak.
pub fn handler() -> Protocol {
    spoken(HANDLER)
}

/// A protocol of `wit/`, which the faces of WASI speak.
pub fn spoken(path: &str) -> Protocol {
    let given = given().iter().find(|given| given.path() == path).expect("wit/ has it");
    Protocol::new(given.track(), given.protocol.as_ref().map(|declared| declared.kinds).unwrap_or_default())
}

/// Faces of the node that people's services see: WASI packages or single interfaces, and the versions of each; none is named of
/// those that have drafts only.
pub const FACES: &[(&str, &[&str])] = &[
    ("wasi:io", &["0.2"]),
    ("wasi:clocks", &["0.2", "0.3"]),
    ("wasi:random", &["0.2", "0.3"]),
    // the streams end in the box's log, arguments and environment come from its config, exit ends the box
    ("wasi:cli", &["0.2", "0.3"]),
    // without a directory, and every access is denied
    ("wasi:filesystem", &["0.2", "0.3"]),
    // every access is denied: there are arrows for what goes out
    ("wasi:sockets", &["0.2", "0.3"]),
    ("wasi:http/types", &["0.2", "0.3"]),
    // of a bucket that the arrow of `wasi:keyvalue/store` gives
    ("wasi:keyvalue/atomics", &[]),
    ("wasi:keyvalue/batch", &[]),
    // the box's config, and its log
    ("wasi:config/store", &[]),
    ("wasi:logging/logging", &[]),
];

/// Components, and interfaces of boxes that these can do without, as long as no other box listens at them. Each call says that there is
/// no arrow.
pub const OPTIONAL: &[(&str, &str)] = &[("tls", "pearwood:keys/tls")];

/// What a box exports to be run for as long as it lives.
pub const SERVICE: &str = "pearwood:box/service";
/// What a box exports to hand its state over to its successor.
pub const HANDOVER: &str = "pearwood:box/handover";
/// What a box exports to say whether it is well.
pub const HEALTH: &str = "pearwood:box/health";
/// What a box imports that looks at who calls it, and at what their arrows say.
pub const CALLER: &str = "pearwood:box/caller";
/// What a box exports to be run once, as a command.
pub const COMMAND: &str = "wasi:cli/run";

impl Kind {
    pub fn of(name: &InterfaceName) -> Kind {
        let path = name.path();
        for protocol in [TCP, UDP, NAMES, HANDLER, KEYVALUE] {
            if path == protocol {
                return Kind::Protocol(protocol);
            }
        }
        if CLIENT_FACES.iter().any(|(face, version)| path == *face && has_version(name, version)) {
            return Kind::Protocol(HANDLER);
        }
        if path == STORE_FACE {
            return Kind::Protocol(KEYVALUE);
        }
        match name.package() {
            "pearwood:box" => Kind::Own,
            "pearwood:hardware" if name.interface() == "nic" => Kind::Device(NIC),
            "pearwood:hardware" if name.interface() == "block" => Kind::Device(DISK),
            "pearwood:control" => Kind::Control,
            _ if LENT.contains(&path) => Kind::Lent,
            _ if is_face(name) => Kind::Face,
            _ => Kind::Other,
        }
    }
}

fn is_face(name: &InterfaceName) -> bool {
    FACES.iter().any(|(face, versions)| {
        (*face == name.package() || *face == name.path())
            && (versions.is_empty() || versions.iter().any(|version| has_version(name, version)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        Kind::of(&InterfaceName::parse(text).unwrap())
    }

    #[test]
    fn kinds() {
        assert_eq!(kind("pearwood:box/log@0.2.0"), Kind::Own);
        assert_eq!(kind("pearwood:hardware/nic"), Kind::Device("nic"));
        assert_eq!(kind("pearwood:hardware/block@0.2.0"), Kind::Device("disk"));
        assert_eq!(kind("pearwood:control/node@0.2.0"), Kind::Control);
        assert_eq!(kind("pearwood:hardware/crypto@0.2.0"), Kind::Lent);
        assert_eq!(kind("pearwood:net/tcp@0.2.0"), Kind::Protocol(TCP));
        assert_eq!(kind("pearwood:http/handler"), Kind::Protocol(HANDLER));
        assert_eq!(kind("wasi:io/streams@0.2.6"), Kind::Face);
        assert_eq!(kind("wasi:io/streams@0.3.0"), Kind::Other);
        assert_eq!(kind("wasi:config/store@0.2.0-rc.1"), Kind::Face);
        assert_eq!(kind("wasi:logging/logging"), Kind::Face);
        assert_eq!(kind("wasi:http/types@0.3.2"), Kind::Face);
        assert_eq!(kind("wasi:http/outgoing-handler@0.2.6"), Kind::Protocol(HANDLER));
        assert_eq!(kind("wasi:http/outgoing-handler@0.3.0"), Kind::Other);
        assert_eq!(kind("wasi:http/client@0.3.2"), Kind::Protocol(HANDLER));
        assert_eq!(kind("wasi:http/handler@0.3.2"), Kind::Protocol(HANDLER));
        assert_eq!(kind("my:own/thing"), Kind::Other);
    }
}
