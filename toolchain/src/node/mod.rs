//! Nodes as child processes with a console: QEMU machines, and processes of this machine.

mod arguments;
mod console;
mod disks;
mod linux;
mod ports;
mod probe;
mod process;
mod qemu;
mod running;

pub use arguments::{Accelerator, Machine};
pub use console::Console;
pub use disks::{DiskFile, parse_size};
pub use linux::linux;
pub use ports::{Forward, Protocol};
pub use probe::first_answer;
pub use qemu::Qemu;
pub use running::{End, Node};
