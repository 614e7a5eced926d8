//! Commands that the power fails under.

use super::site::Booted;
use std::{
    io::Read,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A command under way.
pub struct Asking(Child);

impl Asking {
    pub fn start(node: &Booted<'_>, arguments: &[String]) -> Self {
        let mut command = node.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Asking(command.spawn().expect("the pearwood command"))
    }

    /// Waits until it has ended, or until then. True if it has ended.
    pub fn until(&mut self, end: Instant) -> bool {
        loop {
            if self.0.try_wait().expect("its state").is_some() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it was told that all went well, if it was told anything.
    pub fn end(mut self) -> Option<bool> {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let mut out = String::new();
        self.0.stdout.take().expect("its output").read_to_string(&mut out).expect("text");
        let ends = [(": done\nit is kept in slot", true), (": refused", false), (": rolled back", false)];
        ends.into_iter().find(|(end, _)| out.contains(end)).map(|(_, kept)| kept)
    }
}
