//! From a system's file to a machine that can be started.

use crate::build::{self, Components, Target};
use crate::keys;
pub use crate::node::Protocol;
use crate::node::{Forward, Qemu};
use crate::setup::{self, Group};
use crate::system::grant::Grant;
use crate::system::{self, BoxSpec, System};
use crate::workspace::Workspace;
use anyhow::Result;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasm_host::volumes::{Kind, Want};

const TCP: &str = "pearwood:net/tcp";
const UDP: &str = "pearwood:net/udp";
const HANDLER: &str = "pearwood:http/handler";

/// Longer ranges of ports are not forwarded by themselves.
const LONGEST_RANGE: u16 = 16;

/// Images of earlier runs are removed after this long.
const KEPT: Duration = Duration::from_secs(3600);

/// A system that is built, packed and ready to be started.
pub struct Launch {
    pub system: System,
    pub kernel: PathBuf,
    pub image: PathBuf,
    /// The key that the image is signed with, in hexadecimal.
    pub trust: String,
    /// What its boxes' own secrets are derived from, in hexadecimal.
    pub secret: String,
}

impl Launch {
    /// Sets up this machine if need be, builds the system in a folder or file, and makes its image.
    pub fn prepare(path: &Path) -> Result<Self> {
        setup::ensure(Group::Run)?;
        let system = build::components(path)?;
        let kernel = build::kernel(build::kernel_features(&system))?;
        Self::pack(system, kernel)
    }

    fn pack(system: Components, kernel: PathBuf) -> Result<Self> {
        let key = build::development_key()?;
        let packed = build::pack(&system, Target::Kernel, &key, None)?;
        let directory = Workspace::find()?.run_directory(&system.system.name)?;
        let image = store(packed, &directory)?;
        let secret = keys::sealing(&system.system.name)?;
        Ok(Launch { system: system.system, kernel, image, trust: key.public().to_string(), secret })
    }

    /// The machine, with no ports forwarded yet.
    pub fn qemu(&self) -> Qemu {
        self.bare().image(&self.image)
    }

    /// The same of a machine whose boot loader brings no image: it starts what its disk holds.
    pub fn bare(&self) -> Qemu {
        let qemu = Qemu::new(&self.kernel).kernel_argument(format!("trust={}", self.trust));
        qemu.kernel_argument(format!("secret={}", self.secret))
    }

    /// The ports that the system listens at.
    pub fn ports(&self) -> Vec<(Protocol, u16)> {
        ports(&self.system)
    }

    /// Those that speak HTTP.
    pub fn http_ports(&self) -> Vec<u16> {
        http_ports(&self.system)
    }

    /// The machine with each port that the system listens at forwarded, from whichever ports are free.
    pub fn reachable(&self) -> Qemu {
        let forward = |qemu: Qemu, (protocol, port)| qemu.forward(Forward::any(protocol, port));
        self.ports().into_iter().fold(self.qemu(), forward)
    }
}

/// The ranges of ports that a system's boxes may listen at.
fn ranges(boxes: &[BoxSpec]) -> impl Iterator<Item = (Protocol, RangeInclusive<u16>)> {
    boxes.iter().flat_map(|spec| &spec.arrows).flat_map(|arrow| {
        let protocol = match arrow.interface.path() {
            TCP => Some(Protocol::Tcp),
            UDP => Some(Protocol::Udp),
            _ => None,
        };
        let listen = match &arrow.grant {
            Grant::Net(grant) => &grant.listen[..],
            _ => &[],
        };
        listen.iter().filter_map(move |range| Some((protocol?, range.first..=range.last)))
    })
}

/// Whether any box may listen at a port.
pub fn may_listen(system: &System, protocol: Protocol, port: u16) -> bool {
    system.boxes.iter().any(|spec| may_listen_of(spec, protocol, port))
}

/// Whether a box may.
pub fn may_listen_of(spec: &BoxSpec, protocol: Protocol, port: u16) -> bool {
    ranges(std::slice::from_ref(spec)).any(|(of, range)| of == protocol && range.contains(&port))
}

/// Whether a box may connect to a host, by a name or an address in words.
pub fn may_dial_of(spec: &BoxSpec, host: &str, port: u16) -> bool {
    spec.arrows.iter().any(|arrow| match (&arrow.grant, arrow.interface.path() == TCP) {
        (Grant::Net(net), true) => net.may_dial(host, port),
        _ => false,
    })
}

/// The ports that a system listens at.
pub fn ports(system: &System) -> Vec<(Protocol, u16)> {
    let short = ranges(&system.boxes).filter(|(_, range)| range.end() - range.start() < LONGEST_RANGE);
    let mut ports: Vec<_> = short.flat_map(|(protocol, range)| range.map(move |port| (protocol, port))).collect();
    ports.sort();
    ports.dedup();
    ports
}

/// Those of them that speak HTTP: their boxes have handlers, and between them and the network is no other box, which is TLS.
pub fn http_ports(system: &System) -> Vec<u16> {
    ports_of_http(system, false)
}

/// Those of them that speak HTTPS.
pub fn https_ports(system: &System) -> Vec<u16> {
    ports_of_http(system, true)
}

fn ports_of_http(system: &System, is_behind: bool) -> Vec<u16> {
    let has_network = |target: &system::Target| match target {
        system::Target::Box(name) => {
            let spec = system.boxes.iter().find(|spec| spec.name == *name);
            spec.is_some_and(|spec| spec.arrows.iter().any(|arrow| arrow.interface.path() == TCP))
        }
        _ => false,
    };
    let mut ports = Vec::new();
    for spec in &system.boxes {
        if spec.arrows.iter().any(|arrow| arrow.interface.path() == HANDLER) {
            let is_it =
                |arrow: &&system::Arrow| arrow.interface.path() == TCP && has_network(&arrow.target) == is_behind;
            let own = spec.arrows.iter().filter(is_it);
            let grants = own.filter_map(|arrow| match &arrow.grant {
                Grant::Net(grant) => Some(grant),
                _ => None,
            });
            ports.extend(grants.flat_map(|grant| &grant.listen).map(|range| range.first));
        }
    }
    ports
}

/// What a system would have on the disk of that number.
pub fn wants(system: &System, number: usize) -> Vec<Want<'_>> {
    let device = format!("disk{number}");
    let slots = system.disk.iter().filter(|disk| disk.device == device);
    let slots = slots.map(|disk| Want { kind: Kind::Slots, name: "slots", bytes: disk.reserve });
    let volumes = system.volumes.iter().filter(|volume| volume.disk == device);
    slots.chain(volumes.map(|it| Want { kind: Kind::Volume, name: &it.name, bytes: it.size })).collect()
}

/// The disks that a system's boxes cannot do without, by number, and those that it would keep systems on.
pub fn disks(system: &System) -> (Vec<u16>, Vec<u16>) {
    let number = |device: &str| device.strip_prefix("disk").and_then(|number| number.parse().ok());
    let volumes = system.volumes.iter().filter_map(|volume| number(&volume.disk));
    let devices = system.boxes.iter().flat_map(|spec| &spec.arrows).filter_map(|arrow| match &arrow.target {
        system::Target::Device(device) => number(device),
        _ => None,
    });
    let own = system.disk.iter().filter_map(|disk| number(&disk.device));
    (devices.chain(volumes).collect(), own.collect())
}

/// Gives the image the name of its content, so that nodes that start at once do not disturb each other.
fn store(image: build::Packed, directory: &Path) -> Result<PathBuf> {
    let path = directory.join(format!("{}.image", image.name));
    image.file.persist(&path)?;
    for entry in directory.read_dir()?.flatten() {
        let old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > KEPT);
        let is_image = entry.path().extension().is_some_and(|extension| extension == "image");
        if is_image && entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(old) {
            drop(fs::remove_file(entry.path()));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::web;

    #[test]
    fn ports_are_those_that_grants_name() {
        let system = System::parse(
            "system.toml",
            &web(
                "test",
                "{ box = \"site\" }",
                "[box.site]\ncomponent = \"site\"\n[box.game]\ncomponent = \"./game\"\n\
                 arrows.\"pearwood:net/udp\" = { box = \"net\", listen = [27015, \"30000-40000\"] }\n",
            )
            .replace("[80]", "[80, \"8000-8001\"]"),
        )
        .unwrap_or_else(|faults| panic!("{}", crate::system::Report(&faults)));
        use Protocol::{Tcp, Udp};
        assert_eq!(ports(&system), [(Tcp, 80), (Tcp, 8000), (Tcp, 8001), (Udp, 27015)]);
        assert_eq!((http_ports(&system), https_ports(&system)), (vec![80, 8000], vec![]));
        // D6: also those of a range that is too long to be forwarded by itself
        assert!(may_listen(&system, Tcp, 8001) && may_listen(&system, Udp, 31_000));
        assert!(!may_listen(&system, Udp, 80) && !may_listen(&system, Tcp, 81));
    }

    #[test]
    fn what_goes_through_another_box_is_https() {
        let text = r#"
            [system]
            name = "test"
            [box.net]
            component = "net"
            arrows."pearwood:hardware/nic" = { device = "nic0" }
            [box.tls]
            component = "tls"
            arrows."pearwood:net/tcp" = { box = "net", listen = [443] }
            [box.http]
            component = "http"
            arrows."pearwood:net/tcp" = [{ box = "net", listen = [80] }, { box = "tls", listen = [443] }]
            arrows."pearwood:http/handler" = { box = "site" }
            [box.site]
            component = "site"
        "#;
        let system = System::parse("system.toml", text).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(ports(&system), [(Protocol::Tcp, 80), (Protocol::Tcp, 443)]);
        assert_eq!((http_ports(&system), https_ports(&system)), (vec![80], vec![443]));
    }

    #[test]
    fn disks_are_those_that_arrows_and_the_system_name() {
        let text = r#"
            [system]
            name = "test"
            disk = "disk2"
            [volume.v]
            disk = "disk3"
            size = "5 MiB"
            [box.store]
            component = "./store"
            arrows."pearwood:hardware/block" = { device = "disk1" }
            [box.net]
            component = "net"
            arrows."pearwood:hardware/nic" = { device = "nic0" }
        "#;
        let system = System::parse("system.toml", text).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(disks(&system), (vec![1, 3], vec![2]));
        let wants = |number| wants(&system, number).iter().map(|it| (it.kind, it.bytes)).collect::<Vec<_>>();
        assert_eq!(
            [wants(1), wants(2), wants(3)],
            [vec![], vec![(Kind::Slots, 128 << 20)], vec![(Kind::Volume, 5 << 20)]]
        );
    }

    #[test]
    fn an_image_is_stored_by_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let packed = |content: &[u8]| {
            let mut file = tempfile::NamedTempFile::new_in(directory.path()).unwrap();
            std::io::Write::write_all(&mut file, content).unwrap();
            let name = blake3::hash(content).to_hex()[..16].to_string();
            build::Packed { file, length: content.len() as u64, name }
        };
        let first = store(packed(b"one"), directory.path()).unwrap();
        assert_eq!(store(packed(b"one"), directory.path()).unwrap(), first);
        assert_ne!(store(packed(b"two"), directory.path()).unwrap(), first);
        assert_eq!(fs::read(first).unwrap(), b"one");
    }
}
