//! A child process that does not outlive its parent, in a process group of its own so that Ctrl-C is the parent's to
//! handle.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts it. It is killed when the *thread* that calls this ends, so call it from one that lives as long as it does.
#[expect(unsafe_code)]
pub fn spawn_bound(command: &mut Command) -> io::Result<Child> {
    command.process_group(0);
    let die_with_parent = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe functions may be called; the closure makes one system call.
    unsafe { command.pre_exec(die_with_parent) };
    command.spawn()
}
