//! No grant is given twice, and none is wider than what its giver has.

use super::Check;
use crate::system::grant::{At, Grant, HttpGrant, NetGrant, Ports, Remote, plain};
use crate::system::known::Kind;
use crate::system::model::Target;
use crate::system::{Arrow, BoxSpec, InterfaceName, suggest};
use alloc::{collections::BTreeMap, format, string::ToString, vec::Vec};

impl<'a> Check<'a> {
    pub(super) fn grants(&mut self) {
        self.devices();
        self.sectors();
        self.volumes();
        self.control();
        self.ports();
        self.requests();
        self.parents();
        self.powerless();
    }

    /// All arrows with their boxes, in the order of the file.
    fn all_arrows(&self) -> impl Iterator<Item = (&'a BoxSpec, &'a Arrow)> + use<'a> {
        self.system.boxes.iter().flat_map(|spec| spec.arrows.iter().map(move |arrow| (spec, arrow)))
    }

    fn devices(&mut self) {
        let mut owners: BTreeMap<&str, (&BoxSpec, &Arrow)> = BTreeMap::new();
        for (spec, arrow) in self.all_arrows() {
            let Target::Device(device) = &arrow.target else { continue };
            // of a disk, parts can be granted
            if matches!(arrow.grant, Grant::Block(_)) {
                continue;
            }
            if let Some((owner, first)) = owners.get(device.as_str()) {
                let message =
                    format!("device `{device}` is granted twice: to box `{}` and to box `{}`", owner.name, spec.name);
                let note = format!("line {} grants it first", first.target_at.line);
                self.arrow_fault(spec, arrow, arrow.target_at, message).notes.push(note);
            } else {
                owners.insert(device, (spec, arrow));
            }
        }
    }

    /// No sector that anybody may write is granted twice, and none of a disk with a partition table.
    fn sectors(&mut self) {
        let disks = self.all_arrows().filter_map(|(spec, arrow)| match (&arrow.target, &arrow.grant) {
            (Target::Device(device), Grant::Block(grant)) => Some((device.as_str(), *grant, spec, arrow)),
            _ => None,
        });
        let disks: Vec<_> = disks.collect();
        for (index, (device, grant, spec, arrow)) in disks.iter().enumerate() {
            let sectors = grant.sectors;
            let place = if grant.at.line == 0 { arrow.target_at } else { grant.at };
            let own = self.system.disk.as_ref().filter(|own| own.device == *device);
            let volume = self.system.volumes.iter().find(|volume| volume.disk == *device);
            let taken = own
                .map(|own| format!("line {} keeps the node's systems there", own.at.line))
                .or(volume.map(|volume| format!("line {} declares volume `{}` there", volume.at.line, volume.name)));
            if let Some(note) = taken {
                let message = format!(
                    "box `{}`: `{device}` has a partition table, and sectors of such a disk are not granted by their numbers",
                    spec.name
                );
                let fault = self.arrow_fault(spec, arrow, arrow.target_at, message);
                fault.notes.push(note);
                fault.help = Some(format!(
                    "declare a volume, [volume.NAME] with disk = \"{device}\" and a size, and write {{ volume = \"NAME\" }}"
                ));
            }
            let before = disks[..index].iter().find(|(other, granted, ..)| {
                other == device && granted.sectors.overlaps(&sectors) && !(granted.read_only && grant.read_only)
            });
            if let Some((_, granted, owner, first)) = before {
                let message = format!(
                    "box `{}`: sectors {sectors} of `{device}` are granted to box `{}` already",
                    spec.name, owner.name
                );
                let note = format!("line {} grants {}", first.target_at.line, granted.sectors);
                let fault = self.arrow_fault(spec, arrow, place, message);
                fault.notes.push(note);
                fault.help = Some("only where all are read-only can grants of sectors overlap".into());
            }
        }
    }

    /// Each volume is there, and one that anybody may write is one box's.
    fn volumes(&mut self) {
        let arrows = self.all_arrows().filter_map(|(spec, arrow)| match (&arrow.target, &arrow.grant) {
            (Target::Volume(name), Grant::Block(grant)) => Some((name.as_str(), grant.read_only, spec, arrow)),
            _ => None,
        });
        let arrows: Vec<_> = arrows.collect();
        let volumes = &self.system.volumes;
        for (index, (name, read_only, spec, arrow)) in arrows.iter().enumerate() {
            if !volumes.iter().any(|volume| volume.name == *name) {
                let message = format!(
                    "box `{}`: its arrow `{}` leads to volume `{name}`, which is not declared",
                    spec.name, arrow.interface
                );
                let near = suggest::nearest(name, volumes.iter().map(|volume| volume.name.as_str()));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declare it: [volume.{name}], with a disk and a size"),
                };
                self.arrow_fault(spec, arrow, arrow.target_at, message).help = Some(help);
            }
            let before = arrows[..index].iter().find(|(other, reads, ..)| other == name && !(*reads && *read_only));
            if let Some((_, _, owner, first)) = before {
                let message =
                    format!("box `{}`: volume `{name}` is granted to box `{}` already", spec.name, owner.name);
                let note = format!("line {} grants it first", first.target_at.line);
                let fault = self.arrow_fault(spec, arrow, arrow.target_at, message);
                fault.notes.push(note);
                fault.help = Some("only where all are read-only can several boxes have it".into());
            }
        }
    }

    /// Of two boxes that deploy, neither would know what runs.
    fn control(&mut self) {
        let is_control = |arrow: &Arrow| Kind::of(&arrow.interface) == Kind::Control;
        let mut arrows = self.all_arrows().filter(|(_, arrow)| is_control(arrow));
        let Some((owner, first)) = arrows.next() else { return };
        for (spec, arrow) in arrows {
            let message =
                format!("the power over the node is granted twice: to box `{}` and to box `{}`", owner.name, spec.name);
            let note = format!("line {} grants it first", first.target_at.line);
            self.arrow_fault(spec, arrow, arrow.target_at, message).notes.push(note);
        }
    }

    /// Two boxes cannot listen at one port of one net.
    fn ports(&mut self) {
        // sorted by first port, so that an overlap is between neighbours
        type Granted<'a> = Vec<(At<Ports>, &'a BoxSpec, &'a Arrow)>;
        let mut listens: BTreeMap<(&str, &str), Granted<'_>> = BTreeMap::new();
        for (spec, arrow, target, grant) in self.net_arrows() {
            let granted = listens.entry((target, arrow.interface.path())).or_default();
            granted.extend(grant.listen.iter().map(|ports| (*ports, spec, arrow)));
        }
        for ((target, _), mut granted) in listens {
            granted.sort_by_key(|(ports, ..)| (ports.first, ports.at.line));
            let mut widest = 0;
            for next in 1..granted.len() {
                let (ports, spec, arrow) = granted[next];
                let (other, owner, _) = granted[widest];
                if ports.overlaps(&other) {
                    let (ports, other, spec, owner, arrow) = if ports.at.line >= other.at.line {
                        (ports, other, spec, owner, arrow)
                    } else {
                        (other, ports, owner, spec, granted[widest].2)
                    };
                    let message = format!(
                        "box `{}`: port {ports} of box `{target}` (`{}`) is granted to box `{}` already",
                        spec.name, arrow.interface, owner.name
                    );
                    let note = format!("line {} grants {other}", other.at.line);
                    self.arrow_fault(spec, arrow, ports.at, message).notes.push(note);
                }
                if granted[next].0.last > granted[widest].0.last {
                    widest = next;
                }
            }
        }
    }

    fn net_arrows(&self) -> impl Iterator<Item = (&'a BoxSpec, &'a Arrow, &'a str, &'a NetGrant)> + use<'a> {
        self.all_arrows().filter_map(|(spec, arrow)| match (&arrow.target, &arrow.grant) {
            (Target::Box(target), Grant::Net(grant)) => Some((spec, arrow, target.as_str(), grant)),
            _ => None,
        })
    }

    /// Of two arrows of one box for the same requests, the second would never have any.
    fn requests(&mut self) {
        let system = self.system;
        for spec in &system.boxes {
            let mut before: Vec<(&HttpGrant, &Arrow)> = Vec::new();
            for arrow in &spec.arrows {
                let Grant::Http(grant) = &arrow.grant else { continue };
                if let Some((_, first)) = before.iter().find(|(other, _)| other.same_requests(grant)) {
                    let requests = match grant.to_string().as_str() {
                        "" | "/" => "all requests".into(),
                        some => format!("requests for `{some}`"),
                    };
                    let message =
                        format!("box `{}`: its arrow `{}` grants {requests} twice", spec.name, arrow.interface);
                    let note = format!("line {} grants them first", first.target_at.line);
                    self.arrow_fault(spec, arrow, arrow.target_at, message).notes.push(note);
                }
                before.push((grant, arrow));
            }
        }
    }

    /// A box that is itself a client of the net it provides can grant no more of it than it has.
    fn parents(&mut self) {
        for (spec, arrow, target, grant) in self.net_arrows() {
            let Some(parent) = self.system.find(target) else { continue };
            let own: Vec<&NetGrant> = own_grants(parent, &arrow.interface);
            if own.is_empty() {
                continue;
            }
            let listen: Vec<Ports> = own.iter().flat_map(|grant| plain(&grant.listen)).collect();
            let connect: Vec<Remote> = own.iter().flat_map(|grant| plain(&grant.connect)).collect();
            let outside = |what: &dyn core::fmt::Display, key: &str| {
                format!(
                    "box `{}`: {key} = {what} (`{}`) is outside what box `{target}` has been granted itself",
                    spec.name, arrow.interface
                )
            };
            for ports in grant.listen.iter().filter(|ports| !ports.within(&listen)) {
                let message = outside(ports, "listen");
                self.arrow_fault(spec, arrow, ports.at, message).notes.push(granted("listen", &listen));
            }
            for remote in grant.connect.iter().filter(|remote| !remote.within(&connect)) {
                let message = outside(remote, "connect");
                self.arrow_fault(spec, arrow, remote.at, message).notes.push(granted("connect", &connect));
            }
        }
    }

    fn powerless(&mut self) {
        for (spec, arrow, ..) in self.net_arrows().filter(|(.., grant)| **grant == NetGrant::default()) {
            let message = format!(
                "box `{}`: its arrow `{}` grants neither a port to listen at nor a host to connect to",
                spec.name, arrow.interface
            );
            let fault = self.arrow_fault(spec, arrow, arrow.at, message);
            fault.severity = crate::system::Severity::Warning;
            fault.help = Some("add listen = [80] or connect = [\"example.org:443\"]".into());
        }
    }
}

fn own_grants<'a>(spec: &'a BoxSpec, interface: &InterfaceName) -> Vec<&'a NetGrant> {
    let same = spec.arrows.iter().filter(|arrow| arrow.interface.path() == interface.path());
    same.filter_map(|arrow| match &arrow.grant {
        Grant::Net(grant) => Some(grant),
        _ => None,
    })
    .collect()
}

fn granted<T: ToString>(key: &str, items: &[T]) -> alloc::string::String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("its own grant is {key} = [{}]", items.join(", "))
}
