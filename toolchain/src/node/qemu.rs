//! Nodes in QEMU.

use super::arguments::{Accelerator, Arguments, Machine};
use super::disks::DiskFile;
use super::ports::Forward;
use super::running::{End, Node};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tempfile::NamedTempFile;

/// A machine to be started.
#[derive(Clone)]
pub struct Qemu {
    kernel: PathBuf,
    image: Option<PathBuf>,
    memory: String,
    machine: Machine,
    accelerator: Accelerator,
    forwards: Vec<Forward>,
    disks: Vec<DiskFile>,
    kernel_arguments: Vec<String>,
    extra: Vec<String>,
    log: Option<PathBuf>,
    echo: bool,
}

impl Qemu {
    pub fn new(kernel: impl Into<PathBuf>) -> Self {
        Qemu {
            kernel: kernel.into(),
            image: None,
            memory: "128M".into(),
            machine: Machine::default(),
            accelerator: Accelerator::default(),
            forwards: Vec::new(),
            disks: Vec::new(),
            kernel_arguments: Vec::new(),
            extra: Vec::new(),
            log: None,
            echo: false,
        }
    }

    /// The system to run, as a file.
    pub fn image(mut self, image: impl Into<PathBuf>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// As QEMU's `-m` takes it: `64M`.
    pub fn memory(mut self, memory: impl Into<String>) -> Self {
        self.memory = memory.into();
        self
    }

    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = machine;
        self
    }

    pub fn accelerator(mut self, accelerator: Accelerator) -> Self {
        self.accelerator = accelerator;
        self
    }

    /// Makes a port of the node reachable from this machine.
    pub fn forward(mut self, forward: Forward) -> Self {
        self.forwards.push(forward);
        self
    }

    /// Adds a disk: the first is `disk0`.
    pub fn disk(mut self, disk: DiskFile) -> Self {
        self.disks.push(disk);
        self
    }

    /// Adds a word to the kernel's command line.
    pub fn kernel_argument(mut self, argument: impl Into<String>) -> Self {
        self.kernel_arguments.push(argument.into());
        self
    }

    /// Adds arguments to QEMU's command line.
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.extra.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Keeps the console in a file.
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Shows the console on standard output.
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Starts the machine. Returns once QEMU runs it.
    pub fn start(&self) -> Result<Node> {
        self.disks.iter().try_for_each(DiskFile::prepare)?;
        // QEMU has read it when it runs
        let secret = self.secret_arguments()?;
        let mut attempts = 0;
        loop {
            let node = self.start_once(secret.as_ref().map(NamedTempFile::path))?;
            match node.wait_until_running() {
                Ok(()) => return Ok(node),
                // another process took a port after it was found free
                Err(error) if error.to_string().contains("host forwarding rule") && attempts < 5 => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// What is on the command line of a process can be read by everybody on this machine: a secret goes by way of a file, which only QEMU's
    /// user can read.
    fn secret_arguments(&self) -> Result<Option<NamedTempFile>> {
        if !self.kernel_arguments.iter().any(|argument| argument.starts_with("secret=")) {
            return Ok(None);
        }
        let line = self.kernel_arguments.join(" ");
        if line.contains(['"', '\n']) {
            bail!("an argument of the kernel has a quotation mark or a line's end in it, which QEMU cannot be given");
        }
        let mut file = NamedTempFile::new().context("a file for the kernel's command line")?;
        writeln!(file, "[machine]\n  append = \"{line}\"")?;
        Ok(Some(file))
    }

    fn start_once(&self, secret: Option<&Path>) -> Result<Node> {
        let choose = |forward: &Forward| Ok((forward.protocol, forward.choose()?, forward.guest));
        let forwards = self.forwards.iter().map(choose).collect::<Result<Vec<_>>>()?;
        let mut extra = self.extra.clone();
        if let Some(secret) = secret {
            extra.extend(["-readconfig".into(), secret.to_string_lossy().into_owned()]);
        }
        let arguments = Arguments {
            machine: self.machine,
            accelerator: self.accelerator,
            memory: &self.memory,
            kernel: &self.kernel,
            image: self.image.as_deref(),
            kernel_arguments: if secret.is_some() { &[] } else { &self.kernel_arguments },
            forwards: &forwards,
            disks: &self.disks,
            extra: &extra,
        };
        let mut command = Command::new("qemu-system-x86_64");
        command.args(arguments.list());
        Node::spawn(command, forwards, self.log.as_deref(), self.echo, end)
    }
}

/// What the kernel writes to the exit device is 0x10 when it turns itself off, 0x11 when it fails, and 0x12 when it
/// is told to reboot.
fn end(status: ExitStatus) -> End {
    match status.code() {
        Some(0x21) => End::Off,
        Some(0x23) => End::Failed,
        Some(0x25) => End::Reboot,
        Some(0) => End::Reset,
        _ => End::Broken(status),
    }
}
