//! Whole-system tests: start a node, talk to it with real clients.
//!
//! Each test file in `tests/` is one subject. This library has what they share: systems that are built once, nodes that
//! are waited for, and clients that keep what they saw for the error message.

pub mod browser;
pub mod checker;
pub mod client;
pub mod load;
pub mod managed;
pub mod node;
pub mod session;
pub mod soak;
pub mod waits;
pub mod wire;

pub use node::{On, TestNode};

/// Makes two tests of a function that takes an [`On`]: `NAME::on_linux` and `NAME::on_the_bare_node`.
#[macro_export]
macro_rules! on_each {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            #[test]
            fn on_linux() {
                super::$name($crate::On::Linux);
            }

            #[test]
            fn on_the_bare_node() {
                super::$name($crate::On::Qemu);
            }
        }
    )* };
}

/// Makes two tests of functions that take a [`TestNode`] of one example: `on_one_node::on_linux` and
/// `on_one_node::on_the_bare_node`. They print the name of each function before it runs.
#[macro_export]
macro_rules! on_one_node {
    ($example:literal, $($name:ident),* $(,)?) => {
        mod on_one_node {
            const CASES: &[$crate::node::Case] = &[$((stringify!($name), super::$name)),*];

            #[test]
            fn on_linux() {
                $crate::node::share($example, $crate::On::Linux, CASES);
            }

            #[test]
            fn on_the_bare_node() {
                $crate::node::share($example, $crate::On::Qemu, CASES);
            }
        }
    };
}
