//! What calls the node.

pub mod config;
pub mod disk;
pub mod figures;
pub mod log;
pub mod ports;

use std::fmt::Display;

/// The functions that a box may call, as the WIT packages declare them.
#[allow(unsafe_code, missing_docs, clippy::undocumented_unsafe_blocks)]
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../wit/box", "../wit/hardware", "../wit/net", "../wit/http", "../wit/control", "../wit/store"],
        // The generator does not escape `box`, a reserved word, as the name of a module, but puts versions into the
        // names of modules where a package has several. The empty one is there for that.
        inline: "
            package pearwood:sdk;
            package pearwood:box@0.0.0 {}
            world service {
                import pearwood:box/ports@0.2.0;
                import pearwood:box/log@0.2.0;
                import pearwood:box/figures@0.2.0;
                import pearwood:box/config@0.2.0;
                import pearwood:box/assets@0.2.0;
                import pearwood:box/entropy@0.2.0;
                import pearwood:box/secret@0.2.0;
                import pearwood:box/caller@0.2.0;
                import pearwood:box/heir@0.2.0;
                import pearwood:hardware/nic@0.2.0;
                import pearwood:hardware/block@0.2.0;
                import pearwood:hardware/crypto@0.2.0;
                import pearwood:net/tcp@0.2.0;
                import pearwood:net/udp@0.2.0;
                import pearwood:net/names@0.2.0;
                import pearwood:http/handler@0.2.0;
                import pearwood:control/node@0.2.0;
                import pearwood:store/keyvalue@0.2.0;
                export pearwood:box/service@0.2.0;
            }
        ",
        world: "pearwood:sdk/service",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_service",
    });
}

/// What the node calls of boxes that have a state to carry over.
#[allow(unsafe_code, missing_docs, clippy::undocumented_unsafe_blocks)]
pub mod handover {
    wit_bindgen::generate!({
        path: ["../wit/box"],
        inline: "
            package pearwood:sdk;
            package pearwood:box@0.0.0 {}
            world handover {
                export pearwood:box/handover@0.2.0;
            }
        ",
        world: "pearwood:sdk/handover",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_handover",
    });
    pub use exports::pearwood::box0_2_0::handover::Guest as Handover;
}

/// Makes a function the box's `run`. It returns only to end the box: nothing, or a `Result`, whose error is logged.
#[macro_export]
macro_rules! service {
    ($run:path) => {
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        const _: () = {
            struct Service;
            impl $crate::bindings::exports::pearwood::box0_2_0::service::Guest for Service {
                fn run() {
                    $crate::Outcome::end($run());
                }
            }
    $crate::bindings::export_service!(Service with_types_in $crate::bindings);
        };
    };
}

/// Exports a type that implements [`handover::Handover`]: what the box carries over to the instance that takes its place.
#[macro_export]
macro_rules! handover {
    ($type:ident) => {
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
        const _: () = {
    $crate::handover::export_handover!($type with_types_in $crate::handover);
        };
    };
}

/// What a box's `run` may return.
pub trait Outcome {
    fn end(self);
}

impl Outcome for () {
    fn end(self) {}
}

impl<E: Display> Outcome for Result<(), E> {
    fn end(self) {
        if let Err(error) = self {
            log::error(format_args!("{error}"));
        }
    }
}
