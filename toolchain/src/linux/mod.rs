//! Linux as a platform: the same boxes in a process, for development and for those who keep their machine.

mod deploy;
mod disk;
mod platform;
mod reactor;
mod run;
mod sockets;

pub use disk::{FileDisk, block_on};
pub use platform::{Linux, fill_random};
pub use run::{GROUND, run};
pub use sockets::serve as serve_sockets;
