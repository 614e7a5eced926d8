//! `pearwood up`

use super::{On, system_or_example};
use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use pearwood::linux::{FileDisk, block_on, fill_random};
use pearwood::node::{Accelerator, DiskFile, End, Forward, Machine, Node, Protocol, Qemu};
use pearwood::system::{System, SystemDisk};
use pearwood::workspace::Workspace;
use pearwood::{Launch, build, launch, linux};
use std::fs::File;
use std::io::{BufRead, stdin};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use wasm_host::slots::{MIN_RESERVE, reserve_for, size};
use wasm_host::volumes::{Kind, OVERHEAD, on_disk, slots_of};

/// How long a node may take to turn itself off.
const GOODBYE: Duration = Duration::from_secs(5);

/// Longer than anybody waits for a node's start.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// Beside the kernel and the image, a machine needs at least so much memory.
const LEAST: u64 = 4 << 20;

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
    /// What a node starts whose disk holds a system: `deploy` put it there, and it may be another than the sources'
    #[arg(long, value_enum, default_value_t)]
    start: Start,
    /// More arguments for QEMU
    #[arg(last = true)]
    qemu: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Start {
    /// The system that the disk holds
    #[default]
    Disk,
    /// The system that is built from the sources, whatever the disk holds
    Built,
}

impl Up {
    pub fn run(mut self) -> Result<ExitCode> {
        let path = system_or_example(self.system.clone())?;
        let system = build::parse(&path)?;
        self.make_disks(&system)?;
        if self.on == On::Linux {
            return self.run_on_linux(&path, &system);
        }
        self.check_kvm()?;
        self.check(&system)?;
        let launch = Launch::prepare(&path)?;
        let is_on_disk = self.place_image(&launch)?;
        let log = Workspace::find()?.run_directory(&launch.system.name)?.join("console.log");
        let qemu = self.machine(&launch, is_on_disk).log(log).echo(true);
        let (sender, interrupts) = mpsc::channel();
        ctrlc::set_handler(move || {
            let _ = sender.send(());
        })?;
        let operator = Operator::default();
        loop {
            let node = Arc::new(qemu.start()?);
            let console = node.console().clone();
            // QEMU accepts connections before the node does: the box says when it listens
            let listens = move |_, port: u16| {
                let said = format!(": listening on port {port}");
                console.wait_from(0, &said, |line| line.ends_with(&said), FOREVER).is_ok()
            };
            announce(node.forwards(), &launch.system, listens);
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

    fn run_on_linux(self, path: &Path, system: &System) -> Result<ExitCode> {
        self.check(system)?;
        ctrlc::set_handler(|| std::process::exit(0))?;
        linux::run(path, &self.ports, &self.disks, |system, ports| {
            // a port of this machine is bound when the box begins to listen
            let listens = |host: u16, _| {
                while TcpStream::connect((Ipv4Addr::LOCALHOST, host)).is_err() {
                    thread::sleep(POLL);
                }
                true
            };
            announce(ports, &system.system, listens);
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// The disks that the system cannot do without and that nobody has named are files of its own, as large as it takes.
    fn make_disks(&mut self, system: &System) -> Result<()> {
        let given = self.disks.len();
        let (needed, _) = launch::disks(system);
        // some may be among the arguments for QEMU
        if let Some(last) = needed.into_iter().max().filter(|_| self.qemu.is_empty()) {
            for number in given..=usize::from(last) {
                let path = Workspace::find()?.run_directory(&system.name)?.join(format!("disk{number}.img"));
                eprintln!("disk{number} is {}, which stays; --disk FILE has another file be one", path.display());
                self.disks.push(DiskFile { path, size: None });
            }
        }
        for (number, file) in self.disks.iter_mut().enumerate() {
            fit(system, number, file, number >= given)?;
        }
        Ok(())
    }

    /// What can be said before anything is built.
    fn check(&self, system: &System) -> Result<()> {
        for Forward { protocol, guest, .. } in &self.ports {
            if !launch::may_listen(system, *protocol, *guest) {
                eprintln!(
                    "--port: no box of `{}` may listen at {protocol} port {guest}, so nobody will answer",
                    system.name
                );
            }
        }
        self.check_disks(system);
        self.tell_what_starts(system)
    }

    fn check_kvm(&self) -> Result<()> {
        if self.kvm {
            let device = File::options().read(true).write(true).open("/dev/kvm");
            device.context(
                "--kvm: /dev/kvm cannot be opened: the CPU's virtualization is switched off, or this user is not in the \
                 group `kvm`; without --kvm the CPU is emulated",
            )?;
        }
        Ok(())
    }

    /// Too little memory for the kernel and the image would be a machine that says nothing. Where the system keeps itself on a
    /// disk, an image that does not fit is written there, and its files are read as they are asked for. True: it is there.
    fn place_image(&self, launch: &Launch) -> Result<bool> {
        let text = self.memory.trim();
        // without a unit QEMU counts MiB
        let text = if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text}M") } else { text.into() };
        let memory = pearwood::node::parse_size(&text);
        let memory = memory.map_err(|_| anyhow::anyhow!("--memory: `{}` is no size; write 128M or 1G", self.memory))?;
        let length = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        let (kernel, image) = (length(&launch.kernel), length(&launch.image));
        let needed = kernel + image + LEAST;
        if memory < needed {
            if let Some((declared, file)) = self.system_disk(&launch.system).filter(|_| memory >= kernel + LEAST) {
                self.write_image(launch, declared, file)?;
                return Ok(true);
            }
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            bail!(
                "--memory {}: the kernel has {} MiB and the image {} MiB, so that the machine needs {} MiB or more: --memory {}M; \
                 or, if the image is to be on a disk and its files read as they are asked for, `[system] disk = {{ device = \
                 \"disk0\", reserve = \"{}\" }}` in the system's file, and --disk FILE,SIZE",
                self.memory,
                mib(kernel),
                mib(image),
                mib(needed),
                mib(needed),
                size(reserve_for(image))
            );
        }
        Ok(false)
    }

    /// The disk on which the system keeps itself, if it is one of those that the node has.
    fn system_disk<'a>(&'a self, system: &'a System) -> Option<(&'a SystemDisk, &'a DiskFile)> {
        let declared = system.disk.as_ref()?;
        let number: usize = declared.device.strip_prefix("disk")?.parse().ok()?;
        Some((declared, self.disks.get(number)?))
    }

    /// Writes the image to the node's disk, unless that holds one which is to start.
    fn write_image(&self, launch: &Launch, declared: &SystemDisk, file: &DiskFile) -> Result<()> {
        file.prepare()?;
        let shown = || format!("disk {}", file.path.display());
        let disk = Arc::new(FileDisk::open(&file.path, || ()).with_context(shown)?);
        let store =
            block_on(slots_of(disk.clone(), None, &fill_random)).map_err(anyhow::Error::msg).with_context(shown)?;
        if store.is_some_and(|it| it.current().is_some()) && self.start == Start::Disk {
            return Ok(());
        }
        let image = File::open(&launch.image).with_context(|| format!("cannot read {}", launch.image.display()))?;
        build::install(&image, disk, declared.reserve, "pearwood up").with_context(shown)?;
        Ok(())
    }

    /// What is built is not what starts where the node's disk holds a system already.
    fn tell_what_starts(&self, system: &System) -> Result<()> {
        let Some((declared, file)) = self.system_disk(system) else { return Ok(()) };
        let shown = file.path.display();
        if !file.path.is_file() {
            return Ok(());
        }
        let disk = FileDisk::open(&file.path, || ()).with_context(|| format!("disk {shown}"))?;
        // they are made when the node starts, which says what is wrong if anything is
        let Ok(Some(store)) = block_on(slots_of(Arc::new(disk), None, &fill_random)) else { return Ok(()) };
        if store.reserve().next_multiple_of(1 << 20).abs_diff(declared.reserve) > 1 << 20 {
            let (has, wants) = (size(store.reserve().next_multiple_of(1 << 20)), size(declared.reserve));
            eprintln!(
                "{}:{}: {wants} are to be reserved, and {shown} has had {has} reserved since its first start: that stays so",
                system.source.file, declared.at.line
            );
        }
        let held = store.current().and_then(|slot| store.held(slot));
        let Some(held) = held.filter(|_| self.on == On::Qemu) else { return Ok(()) };
        let history = store.history();
        let by = history.iter().rfind(|record| record.deploy == held.deploy).map_or("nobody", |record| &record.who);
        match self.start {
            Start::Disk => eprintln!(
                "{shown} holds deployment {} by {by}, which is what this node starts, and not what is built from {}\n    \
                 --start built      starts what is built, this time\n    \
                 pearwood deploy    puts what is built in its place, and keeps it",
                held.deploy, system.source.file
            ),
            Start::Built => {
                eprintln!("{shown} holds deployment {} by {by}, which does not start this time", held.deploy)
            }
        }
        Ok(())
    }

    /// Whether there is the disk that the system would be kept on. More of them may be among the arguments for QEMU.
    fn check_disks(&self, system: &System) {
        let (_, wanted) = launch::disks(system);
        let missing = |disk: &u16| usize::from(*disk) >= self.disks.len();
        if let Some(disk) = wanted.iter().find(|disk| missing(disk)).filter(|_| self.qemu.is_empty()) {
            eprintln!("without disk{disk}, this node has no slots for its system; --disk FILE is one");
        }
    }

    fn machine(&self, launch: &Launch, is_on_disk: bool) -> Qemu {
        let may_use_kvm = std::env::var_os("PEARWOOD_KVM").is_some_and(|value| value == "1")
            && File::options().read(true).write(true).open("/dev/kvm").is_ok();
        let accelerator = if self.kvm || may_use_kvm { Accelerator::Kvm } else { Accelerator::Tcg };
        let mut qemu = if is_on_disk { launch.bare() } else { launch.qemu() };
        qemu = qemu.memory(&self.memory).machine(self.machine).accelerator(accelerator);
        for forward in &self.ports {
            qemu = qemu.forward(*forward);
        }
        for (protocol, port) in launch.ports() {
            if !self.ports.iter().any(|forward| (forward.protocol, forward.guest) == (protocol, port)) {
                qemu = qemu.forward(Forward::familiar(protocol, port));
            }
        }
        if let Some(disk) = launch.system.disk.as_ref().filter(|_| is_on_disk) {
            qemu = qemu.kernel_argument(format!("slot={}", disk.device));
        } else if self.start == Start::Built {
            qemu = qemu.kernel_argument("slot=module");
        }
        let qemu = self.disks.iter().cloned().fold(qemu, Qemu::disk);
        qemu.arguments(self.qemu.iter().cloned())
    }
}

/// Whether a disk is as large as what the system would have on it. One that `up` makes, or that is not there and of which nobody has
/// said how large it is to be, gets so.
fn fit(system: &System, number: usize, file: &mut DiskFile, is_own: bool) -> Result<()> {
    let wants = launch::wants(system, number);
    let exists = file.path.exists();
    if wants.is_empty() || exists && !file.path.is_file() {
        return Ok(());
    }
    let shown = file.path.display().to_string();
    let length = file.path.metadata().map_or(0, |metadata| metadata.len());
    let (mut needs, mut has) = (OVERHEAD + wants.iter().map(|want| want.bytes).sum::<u64>(), Vec::new());
    if length > 0 {
        let disk = FileDisk::open(&file.path, || ()).with_context(|| format!("disk {shown}"))?;
        // of anything else that is there the node itself says what it is
        let Some(found) = block_on(on_disk(Arc::new(disk), &wants))? else { return Ok(()) };
        (has, needs) = (found.0, length + found.1);
    }
    for (volume, has) in system.volumes.iter().filter_map(|volume| {
        let at = wants.iter().position(|want| want.kind == Kind::Volume && want.name == volume.name)?;
        Some((volume, *has.get(at)?))
    }) {
        if has > volume.size {
            let (file, line, name) = (&system.source.file, volume.size_at.line, &volume.name);
            eprintln!("{file}:{line}: volume `{name}` has {} on {shown}, and is not made smaller", size(has));
        }
    }
    let is = if exists { file.size.unwrap_or(length).max(length) } else { file.size_when_made() };
    let needs = needs.next_multiple_of(1 << 20);
    if needs <= is {
        return Ok(());
    }
    if is_own || !exists && file.size.is_none() {
        file.size = Some(needs);
        return Ok(());
    }
    let first = wants[0];
    let line = match first.kind {
        Kind::Slots => system.disk.as_ref().map(|disk| disk.at.line),
        _ => system.volumes.iter().find(|volume| volume.name == first.name).map(|volume| volume.at.line),
    };
    let parts: Vec<String> = wants.iter().map(|want| format!("{want}, {}", size(want.bytes))).collect();
    let least = match first.kind {
        Kind::Slots => format!("; `reserve = \"{}\"` in [system] needs least for the slots", size(MIN_RESERVE)),
        _ => String::new(),
    };
    bail!(
        "{}:{}: on disk{number} are to be {}; {shown} has {}, and {} are needed: `--disk {shown},{}M` makes it large enough{least}",
        system.source.file,
        line.unwrap_or_default(),
        parts.join("; "),
        size(is),
        size(needs),
        needs >> 20,
    )
}

/// Tells where the node can be reached, and when it can: `listens` waits until a box does at a port, given as that of this
/// machine and the node's. The application is asked nothing. False: it never will.
fn announce(
    ports: &[(Protocol, u16, u16)],
    system: &System,
    listens: impl Fn(u16, u16) -> bool + Clone + Send + 'static,
) {
    let (http, https) = (launch::http_ports(system), launch::https_ports(system));
    for &(protocol, host, guest) in ports {
        match protocol {
            Protocol::Tcp if http.contains(&guest) || https.contains(&guest) => {
                let scheme = if http.contains(&guest) { "http" } else { "https" };
                let (listens, name, shown) = (listens.clone(), system.name.clone(), shown_name(system));
                let keys: Vec<String> =
                    system.boxes.iter().filter(|spec| spec.component == [KEYS]).map(|it| it.name.clone()).collect();
                thread::spawn(move || {
                    if listens(host, guest) {
                        eprintln!("\n    {scheme}://127.0.0.1:{host}/\n");
                        if scheme == "https" {
                            tell_authority(&name, &keys, (&shown, host));
                        }
                    }
                });
            }
            Protocol::Tcp => eprintln!("port {guest} of the node is at 127.0.0.1:{host}"),
            Protocol::Udp => eprintln!("UDP port {guest} of the node is at 127.0.0.1:{host}"),
        }
    }
}

/// The component that has an authority of its own.
const KEYS: &str = "keys";

/// The first name that a box of certificates shows one for.
fn shown_name(system: &System) -> String {
    let settings = system.boxes.iter().filter(|spec| spec.component == ["tls"]).flat_map(|spec| &spec.config);
    let is_name =
        |key: &str| key.starts_with("certificates.") && (key.ends_with(".names") || key.ends_with(".names.0"));
    let mut names = settings.filter(|(key, _)| is_name(key)).map(|(_, name)| name.clone());
    names.find(|name| name.parse::<IpAddr>().is_err()).unwrap_or_else(|| "localhost".into())
}

/// What curl is told to reach a name of the node at a port of this machine. No resolver has to know it, and a `*` is any label.
fn to_curl(name: &str, port: u16) -> String {
    let name = name.replacen('*', "www", 1);
    let is_here = name == "localhost" || name.ends_with(".localhost");
    let resolve = if is_here { String::new() } else { format!("--resolve {name}:{port}:127.0.0.1 ") };
    format!("{resolve}https://{name}:{port}/")
}

/// Tells how to trust the node's own authority, whose certificate the box of keys has said when it began.
fn tell_authority(system: &str, boxes: &[String], (host, port): (&str, u16)) {
    let write = || {
        let folder = Workspace::find()?.run_directory(system)?;
        let console = std::fs::read(folder.join("console.log"))?;
        let Some(certificate) = authority(&String::from_utf8_lossy(&console), boxes) else { return anyhow::Ok(None) };
        let path = folder.join("authority.pem");
        std::fs::write(&path, certificate)?;
        Ok(Some(path))
    };
    match write() {
        Ok(Some(path)) => eprintln!(
            "    its certificate is of the node's own authority, for its own names alone:\n    curl --cacert {0} {1}\n    \
             a browser trusts it when {0} is imported as an authority\n",
            path.display(),
            to_curl(host, port)
        ),
        Ok(None) => {}
        Err(why) => eprintln!("the certificate of the node's own authority cannot be written: {why:#}"),
    }
}

/// The certificate, in PEM, that one of these boxes has said last.
fn authority(console: &str, boxes: &[String]) -> Option<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    // a line is `[2026-11-30 10:32:01.123456] box: text`
    let of_keys = |line: &'_ str| {
        let (name, text) = line.split_once("] ")?.1.split_once(": ")?;
        boxes.iter().any(|own| own == name).then(|| text.trim_end().to_string())
    };
    let lines: Vec<String> = console.lines().filter_map(of_keys).collect();
    let begin = lines.iter().rposition(|line| *line == BEGIN)?;
    let length = lines[begin..].iter().position(|line| *line == END)?;
    Some(lines[begin..=begin + length].iter().map(|line| format!("{line}\n")).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_resolves_are_reached_here() {
        assert_eq!(to_curl("localhost", 1), "https://localhost:1/");
        assert_eq!(to_curl("news.localhost", 1), "https://news.localhost:1/");
        assert_eq!(to_curl("*.a.example", 1), "--resolve www.a.example:1:127.0.0.1 https://www.a.example:1/");
        assert_eq!(to_curl("notlocalhost", 1), "--resolve notlocalhost:1:127.0.0.1 https://notlocalhost:1/");
    }

    #[test]
    fn the_authority_is_what_the_keys_have_said_last() {
        let certificate = |who: &str, body: &str| {
            let line = |text: &str| format!("[    0.{:06}] {who}: {text}\r\n", 7);
            ["-----BEGIN CERTIFICATE-----", body, "-----END CERTIFICATE-----"].map(line).concat()
        };
        let boxes = ["keys".to_string()];
        let old = certificate("keys", "old");
        let console = [&old, &certificate("keys", "MIIB"), &certificate("other: ] keys", "false"), "more\n"].concat();
        let expected = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(authority(&console, &boxes).as_deref(), Some(expected));
        assert_eq!(authority(&certificate("other", "a"), &boxes), None);
        assert_eq!(authority(&old[..old.len() - 30], &boxes), None);
    }

    /// A disk that is too small for the system says how large it has to be, and how it gets so.
    #[test]
    fn a_disk_without_room_for_the_system_is_refused() {
        let text = "[system]\nname = \"s\"\ndisk = { device = \"disk0\", reserve = \"32 MiB\" }\n[volume.v]\ndisk = \"disk0\"\nsize = \"1 GiB\"\n[box.a]\ncomponent = \"./a\"\n";
        let system = System::parse("system.toml", text).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let check = |name: &str, size: &str| {
            let disk = format!("{}{size}", path(name).display());
            let mut up = Up::parse_from(["up", "--disk", &disk]);
            up.make_disks(&system).map_err(|error| format!("{error:#}")).map(|()| up.disks[0].size)
        };
        let told = |name: &str, size: &str, has: &str| {
            let (why, file) = (check(name, size).unwrap_err(), path(name));
            let file = file.display();
            let expected = format!(
                "system.toml:3: on disk0 are to be the system's slots, 32 MiB; volume `v`, 1 GiB; {file} has {has}, and 1058 MiB are \
                 needed: `--disk {file},1058M` makes it large enough"
            );
            assert!(why.starts_with(&expected), "{why}");
            assert!(why.contains("reserve = \"4 MiB\""), "{why}");
        };
        told("none", ",8M", "8 MiB");
        // one that is made gets as large as it takes
        assert_eq!((check("none", ""), check("none", ",2G")), (Ok(Some(1_058 << 20)), Ok(Some(2 << 30))));
        DiskFile::new(path("one"), 16 << 20).prepare().unwrap();
        told("one", "", "16 MiB");
        assert_eq!(check("one", ",2G"), Ok(Some(2 << 30)));
        let mut own = DiskFile { path: path("one"), size: None };
        fit(&system, 0, &mut own, true).unwrap();
        assert_eq!(own.size, Some(1_058 << 20));
    }
}
