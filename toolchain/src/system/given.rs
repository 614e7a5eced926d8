//! The interfaces that the node gives and speaks, as the files of `wit/` say.

use super::InterfaceName;
use super::description::Interface;
use super::extract::describe_wit;
use alloc::vec::Vec;
use std::sync::OnceLock;

/// A package comes after those that it uses.
const WIT: [&str; 6] = [
    include_str!("../../../wit/box/box.wit"),
    include_str!("../../../wit/control/control.wit"),
    include_str!("../../../wit/hardware/hardware.wit"),
    include_str!("../../../wit/net/net.wit"),
    include_str!("../../../wit/http/http.wit"),
    include_str!("../../../wit/store/store.wit"),
];

/// All interfaces of Pearwood's packages.
pub fn given() -> &'static [Interface] {
    static GIVEN: OnceLock<Vec<Interface>> = OnceLock::new();
    GIVEN.get_or_init(|| describe_wit(&WIT).unwrap_or_else(|error| panic!("wit/: {error}")))
}

/// The interface of that name, whatever its version.
pub fn find_given(name: &InterfaceName) -> Option<&'static Interface> {
    given().iter().find(|given| given.path() == name.path())
}
