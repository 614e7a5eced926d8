//! `pearwood up`

use super::{On, system_or_example};
use anyhow::{Result, bail};
use clap::Parser;
use pearwood::node::{Accelerator, DiskFile, End, Forward, Machine, Node, Protocol, Qemu, first_answer};
use pearwood::workspace::Workspace;
use pearwood::{Launch, build, launch, linux};
use std::fs::File;
use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long a node may take to turn itself off.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often the node is asked whether it has ended.
const POLL: Duration = Duration::from_millis(100);

#[derive(Parser)]
pub struct Up {
    /// The system's folder or file; without, the one in this folder, or the example website
    system: Option<PathBuf>,
    /// What the node runs on
    #[arg(long, value_enum, default_value_t)]
    on: On,
    /// The memory of a QEMU machine
    #[arg(long, default_value = "128M")]
    memory: String,
    /// The kind of QEMU machine: q35 or microvm
    #[arg(long, default_value = "q35")]
    machine: Machine,
    /// Use the CPU's virtualization instead of emulation
    #[arg(long)]
    kvm: bool,
    /// Make a port of the node reachable: HOST:GUEST, with /udp for UDP; may be repeated
    #[arg(long = "port", value_name = "HOST:GUEST")]
    ports: Vec<Forward>,
    /// A disk of the node, kept in a file: disk0, the next one disk1. A file that is not there is made, sparse, of that
    /// size (64M, 10G; without, 1G); may be repeated
    #[arg(long = "disk", value_name = "FILE[,SIZE]")]
    disks: Vec<DiskFile>,
    /// More arguments for QEMU
    #[arg(last = true)]
    qemu: Vec<String>,
}

impl Up {
    pub fn run(self) -> Result<ExitCode> {
        if self.on == On::Linux {
            return self.run_on_linux();
        }
        let path = system_or_example(self.system.clone())?;
        self.check_disks(&path)?;
        let launch = Launch::prepare(&path)?;
        let log = Workspace::find()?.run_directory(&launch.system.name)?.join("console.log");
        let qemu = self.machine(&launch).log(log).echo(true);
        let (sender, interrupts) = mpsc::channel();
        ctrlc::set_handler(move || {
            let _ = sender.send(());
        })?;
        let operator = Operator::default();
        loop {
            let node = Arc::new(qemu.start()?);
            let observed = Arc::downgrade(&node);
            let gone = move || observed.upgrade().is_none_or(|node| node.ended().is_some());
            announce(node.forwards(), &launch.http_ports(), gone);
            operator.attend(&node);
            let end = watch(&node, &interrupts)?;
            match end {
                End::Off => return Ok(ExitCode::SUCCESS),
                End::Reboot => eprintln!("the node starts again"),
                End::Reset => bail!("the node was reset without having been asked to"),
                End::Failed => bail!("the kernel failed; its last words are above"),
                End::Broken(status) => bail!("QEMU ended: {status}"),
            }
        }
    }

    fn run_on_linux(self) -> Result<ExitCode> {
        let path = system_or_example(self.system.clone())?;
        self.check_disks(&path)?;
        ctrlc::set_handler(|| std::process::exit(0))?;
        linux::run(&path, &self.ports, &self.disks, |system, ports| {
            announce(ports, &launch::http_ports(&system.system), || false);
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// Whether there are the disks that the system needs. More of them may be among the arguments for QEMU.
    fn check_disks(&self, path: &Path) -> Result<()> {
        let (needed, wanted) = launch::disks(&build::parse(path)?);
        let missing = |disk: &u16| usize::from(*disk) >= self.disks.len();
        if !self.qemu.is_empty() {
            return Ok(());
        }
        if let Some(disk) = needed.iter().find(|disk| missing(disk)) {
            bail!("the system has an arrow to disk{disk}; --disk FILE makes a file one (it begins with disk0)");
        }
        if let Some(disk) = wanted.iter().find(|disk| missing(disk)) {
            eprintln!("without disk{disk}, this node has no slots for its system; --disk FILE is one");
        }
        Ok(())
    }

    fn machine(&self, launch: &Launch) -> Qemu {
        let may_use_kvm = std::env::var_os("PEARWOOD_KVM").is_some_and(|value| value == "1")
            && File::options().read(true).write(true).open("/dev/kvm").is_ok();
        let accelerator = if self.kvm || may_use_kvm { Accelerator::Kvm } else { Accelerator::Tcg };
        let mut qemu = launch.qemu().memory(&self.memory).machine(self.machine).accelerator(accelerator);
        for forward in &self.ports {
            qemu = qemu.forward(*forward);
        }
        for (protocol, port) in launch.ports() {
            if !self.ports.iter().any(|forward| (forward.protocol, forward.guest) == (protocol, port)) {
                qemu = qemu.forward(Forward::familiar(protocol, port));
            }
        }
        let qemu = self.disks.iter().cloned().fold(qemu, Qemu::disk);
        qemu.arguments(self.qemu.iter().cloned())
    }
}

/// Tells where the node can be reached, and when it can. `gone` says that it never will.
fn announce(ports: &[(Protocol, u16, u16)], http: &[u16], gone: impl Fn() -> bool + Clone + Send + 'static) {
    for &(protocol, host, guest) in ports {
        match protocol {
            Protocol::Tcp if http.contains(&guest) => {
                let gone = gone.clone();
                thread::spawn(move || {
                    if first_answer(host, gone) {
                        eprintln!("\n    http://127.0.0.1:{host}/\n");
                    }
                });
            }
            Protocol::Tcp => eprintln!("port {guest} of the node is at 127.0.0.1:{host}"),
            Protocol::Udp => eprintln!("UDP port {guest} of the node is at 127.0.0.1:{host}"),
        }
    }
}

/// Waits for the end; at Ctrl-C asks for it, and at the second one does not ask.
fn watch(node: &Node, interrupts: &mpsc::Receiver<()>) -> Result<End> {
    loop {
        if let Some(end) = node.ended() {
            return Ok(end);
        }
        if interrupts.recv_timeout(POLL).is_ok() {
            eprintln!("\nturning the node off; Ctrl-C again kills it");
            let _ = node.type_line("poweroff");
            let patience = GOODBYE.as_millis() / POLL.as_millis();
            for _ in 0..patience {
                if let Some(end) = node.ended() {
                    return Ok(end);
                }
                if interrupts.recv_timeout(POLL).is_ok() {
                    break;
                }
            }
            node.kill();
            bail!("the node did not turn itself off, and was killed");
        }
    }
}

/// Whoever types on our standard input: the node's console is passed on to them.
#[derive(Default)]
struct Operator {
    /// Reads standard input for all nodes of this process, one after another.
    reader: std::cell::OnceCell<mpsc::Sender<std::sync::Weak<Node>>>,
}

impl Operator {
    fn attend(&self, node: &Arc<Node>) {
        let reader = self.reader.get_or_init(|| {
            let (sender, nodes) = mpsc::channel::<std::sync::Weak<Node>>();
            thread::spawn(move || {
                let Ok(mut current) = nodes.recv() else { return };
                for line in stdin().lock().lines().map_while(Result::ok) {
                    while let Ok(next) = nodes.try_recv() {
                        current = next;
                    }
                    if let Some(node) = current.upgrade() {
                        let _ = node.type_line(&line);
                    }
                }
            });
            sender
        });
        let _ = reader.send(Arc::downgrade(node));
    }
}
