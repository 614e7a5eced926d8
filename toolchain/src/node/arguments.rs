//! QEMU's command line.

use super::disks::DiskFile;
use super::ports::Protocol;
use std::path::Path;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machine {
    /// A PC with PCI Express.
    #[default]
    Q35,
    /// As little as a virtual machine can be; devices are on virtio-mmio.
    Microvm,
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "q35" => Ok(Machine::Q35),
            "microvm" => Ok(Machine::Microvm),
            _ => Err("there are `q35` and `microvm`".into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accelerator {
    /// Emulation, which works everywhere.
    #[default]
    Tcg,
    Kvm,
}

/// All that decides the command line.
pub struct Arguments<'a> {
    pub machine: Machine,
    pub accelerator: Accelerator,
    /// As QEMU's `-m` takes it.
    pub memory: &'a str,
    pub kernel: &'a Path,
    pub image: Option<&'a Path>,
    pub kernel_arguments: &'a [String],
    /// Protocol, port of this machine, port of the node.
    pub forwards: &'a [(Protocol, u16, u16)],
    /// In the order of their numbers.
    pub disks: &'a [DiskFile],
    pub extra: &'a [String],
}

/// QEMU turns a write of `v` to this device into its exit code `2 v + 1`.
const EXIT_DEVICE: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";

impl Arguments<'_> {
    pub fn list(&self) -> Vec<String> {
        let machine = match self.machine {
            Machine::Q35 => "q35",
            Machine::Microvm => "microvm,acpi=on,rtc=on",
        };
        let accelerator = match self.accelerator {
            Accelerator::Tcg => "tcg",
            Accelerator::Kvm => "kvm",
        };
        let mut list: Vec<String> =
            ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"].map(String::from).into();
        let mut add = |option: &str, value: &str| list.extend([option.to_string(), value.to_string()]);
        add("-machine", machine);
        add("-accel", accelerator);
        add("-cpu", "max");
        add("-m", self.memory);
        add("-kernel", &self.kernel.to_string_lossy());
        if let Some(image) = self.image {
            add("-initrd", &image.to_string_lossy());
        }
        if !self.kernel_arguments.is_empty() {
            add("-append", &self.kernel_arguments.join(" "));
        }
        // the console on this process's standard input and output; Ctrl-C is ours to handle
        add("-chardev", "stdio,id=console,signal=off");
        add("-serial", "chardev:console");
        add("-device", EXIT_DEVICE);
        add("-netdev", &self.network());
        add("-device", &self.device("virtio-net", "netdev=net0"));
        add("-device", &self.device("virtio-rng", ""));
        for (number, disk) in self.disks.iter().enumerate() {
            // a comma in a value is written twice
            let file = disk.path.to_string_lossy().replace(',', ",,");
            let read_only = if disk.is_read_only() { ",readonly=on" } else { "" };
            add(
                "-drive",
                &format!("if=none,id=disk{number},format=raw,cache=writeback,discard=unmap{read_only},file={file}"),
            );
            add("-device", &self.device("virtio-blk", &format!("drive=disk{number}")));
        }
        list.extend(self.extra.iter().cloned());
        list
    }

    fn network(&self) -> String {
        let mut network = "user,id=net0".to_string();
        for (protocol, host, guest) in self.forwards {
            let protocol = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            network.push_str(&format!(",hostfwd={protocol}:127.0.0.1:{host}-:{guest}"));
        }
        network
    }

    fn device(&self, name: &str, properties: &str) -> String {
        let properties = if properties.is_empty() { String::new() } else { format!(",{properties}") };
        match self.machine {
            // without a ROM, which would only be there to boot from the network
            Machine::Q35 if name == "virtio-net" => format!("{name}-pci{properties},romfile="),
            Machine::Q35 => format!("{name}-pci{properties}"),
            Machine::Microvm => format!("{name}-device{properties}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: Machine) -> String {
        let arguments = Arguments {
            machine,
            accelerator: Accelerator::Tcg,
            memory: "64M",
            kernel: Path::new("/k"),
            image: Some(Path::new("/i")),
            kernel_arguments: &["trust=ab".into(), "log=debug".into()],
            forwards: &[(Protocol::Tcp, 8080, 80), (Protocol::Udp, 5353, 53)],
            disks: &[DiskFile::new("/d", 512), DiskFile::new("/a,b", 512)],
            extra: &["-smp".into(), "2".into()],
        };
        arguments.list().join(" ")
    }

    #[test]
    fn a_pc() {
        let line = line(Machine::Q35);
        for part in [
            "-machine q35 -accel tcg -cpu max -m 64M -kernel /k -initrd /i -append trust=ab log=debug ",
            "-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:5353-:53 ",
            "-device virtio-net-pci,netdev=net0,romfile= ",
            "-drive if=none,id=disk0,format=raw,cache=writeback,discard=unmap,file=/d -device virtio-blk-pci,drive=disk0 ",
            "-drive if=none,id=disk1,format=raw,cache=writeback,discard=unmap,file=/a,,b -device virtio-blk-pci,drive=disk1 ",
            "-smp 2",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn a_microvm() {
        let line = line(Machine::Microvm);
        assert!(
            line.contains("-machine microvm,") && line.contains("-device virtio-net-device,netdev=net0 "),
            "{line}"
        );
    }
}
