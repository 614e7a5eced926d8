//! What the node relies on in a plan. The toolchain makes no others; a node does not take its word for it.

use super::{
    ArrowPlan, BoxPlan, Plan, PlanError, PortOf, Service,
    grant::{Grant, Sectors},
};
use crate::{
    arrows::{
        CONTROL,
        channel::{End, MAX_PORTS},
    },
    image::MAX_ENDORSEMENTS,
    interface::InterfaceName,
    slots::MIN_RESERVE,
    volumes::{MAX_PARTS, MAX_SIZE, MIB, is_name as is_volume},
};
use alloc::{collections::BTreeSet, format, string::String, vec, vec::Vec};
use core::time::Duration;

/// The most boxes of one system.
pub const MAX_BOXES: usize = 4096;
/// A component cannot do with less than a page, nor a 32-bit memory with more.
pub const MIN_MEMORY: u64 = 64 << 10;
pub const MAX_MEMORY: u64 = 4 << 30;
/// Less could not hold one record of as many bytes as a stream may have under way, and its header.
pub const MIN_QUEUE: u32 = 128 << 10;
pub const MAX_QUEUE: u32 = 64 << 20;
pub const MAX_BACKOFF: Duration = Duration::from_secs(3600);
/// The most settings of one box.
pub const MAX_CONFIG: usize = 4096;
/// The most arrows of one interface, and the most entries of one grant.
pub const MAX_ENTRIES: usize = 4096;
/// The most bytes that an arrow's `attach` says.
pub const MAX_ATTACH: usize = 4096;
/// The most bytes of an interface's name or of a component's.
const MAX_NAME: usize = 1024;
/// A share of the disk that a system may ask to be kept for it.
const MAX_RESERVE: u64 = 1 << 40;

/// What sectors are of: a volume, by its position, or a device.
type Whole<'a> = (Option<u16>, &'a str);

type Sound = Result<(), PlanError>;

fn require(holds: bool, why: impl FnOnce() -> String) -> Sound {
    if holds { Ok(()) } else { Err(PlanError::Unsound(why())) }
}

/// Names of systems and boxes appear in logs, host names and drawings: they are labels of DNS in lower case
/// (RFC 1123, section 2.1).
pub fn label(text: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() {
        Err("is empty")
    } else if text.len() > 63 {
        Err("is longer than 63 characters")
    } else if !text.bytes().all(allowed) {
        Err("has other characters in it than a-z, 0-9 and hyphens")
    } else if !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
        Err("does not begin with a letter and end with a letter or digit")
    } else {
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_interface(text: &str) -> bool {
    text.len() <= MAX_NAME && InterfaceName::parse(text).is_some()
}

impl Plan {
    pub(super) fn check(&self) -> Sound {
        require(label(&self.system).is_ok(), || "the system's name is no label".into())?;
        require((1..=MAX_BOXES).contains(&self.boxes.len()), || format!("{} boxes", self.boxes.len()))?;
        if let Some(disk) = &self.disk {
            let fits = (MIN_RESERVE..=MAX_RESERVE).contains(&disk.reserve);
            require(label(&disk.device).is_ok() && fits, || "the system's disk".into())?;
        }
        require(self.volumes.len() <= MAX_PARTS, || format!("{} volumes", self.volumes.len()))?;
        let mut names = BTreeSet::new();
        for volume in &self.volumes {
            let fits = (MIB..=MAX_SIZE).contains(&volume.size) && volume.size.is_multiple_of(MIB);
            let sound = is_volume(&volume.name) && label(&volume.disk).is_ok() && fits && names.insert(&volume.name);
            require(sound, || format!("volume `{}`", volume.name.escape_debug()))?;
        }
        if let Some(trust) = &self.trust {
            require((1..=MAX_ENDORSEMENTS).contains(&trust.len()), || format!("{} trusted keys", trust.len()))?;
        }
        let mut names = BTreeSet::new();
        for protocol in &self.protocols {
            // the version is the compatible part of one
            let sound = is_interface(protocol.path()) && protocol.name.len() <= MAX_NAME;
            require(sound && names.insert(&protocol.name), || format!("protocol `{}`", protocol.name.escape_debug()))?;
        }
        let mut names = BTreeSet::new();
        for (place, spec) in self.boxes.iter().enumerate() {
            require(label(&spec.name).is_ok(), || format!("the name of box {place} is no label"))?;
            require(names.insert(&spec.name), || format!("two boxes are named `{}`", spec.name))?;
            self.check_box(place, spec).map_err(|what| PlanError::Unsound(format!("box `{}`: {what}", spec.name)))?;
        }
        let memory = self.boxes.iter().try_fold(0_u64, |sum, spec| sum.checked_add(spec.memory));
        require(memory.is_some(), || "the boxes' memory".into())?;
        let controlling = self.arrows.iter().filter(|arrow| arrow.service == Service::Node).count();
        require(controlling <= 1, || "several boxes have the power over the node".into())?;
        self.check_circles()?;
        self.check_arrows()
    }

    fn check_box(&self, place: usize, spec: &BoxPlan) -> Result<(), &'static str> {
        let ok = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        ok(!spec.component.is_empty() && spec.component.iter().all(|name| is_name(name)), "its component")?;
        ok((MIN_MEMORY..=MAX_MEMORY).contains(&spec.memory), "its memory")?;
        ok((1..=10_000).contains(&spec.cpu), "its share of the CPU")?;
        ok((MIN_QUEUE..=MAX_QUEUE).contains(&spec.queue), "its queue")?;
        ok((1..=65_536).contains(&spec.concurrency), "its concurrency")?;
        let restart = spec.restart;
        ok(!restart.min.is_zero() && restart.min <= restart.max && restart.max <= MAX_BACKOFF, "its restart")?;
        let keys: BTreeSet<&str> = spec.config.iter().map(|(key, _)| key.as_str()).collect();
        ok(keys.len() == spec.config.len() && keys.len() <= MAX_CONFIG, "its config")?;
        let is_lent =
            |name: &String| InterfaceName::parse(name).is_some_and(|name| crate::grants::LENT.contains(&name.path()));
        ok(spec.lent.len() <= MAX_ENTRIES && spec.lent.iter().all(is_lent), "what the node lends it")?;
        ok(spec.nobody.iter().all(|name| is_interface(name)), "what it asks nobody for")?;

        ok(spec.ports.len() <= MAX_PORTS, "it has too many ports")?;
        let mut seen = BTreeSet::new();
        for port in &spec.ports {
            ok(usize::from(port.protocol) < self.protocols.len(), "a port of no protocol")?;
            ok(is_interface(&port.interface), "a port of no interface")?;
            ok(seen.insert((port.side, port.protocol)), "two ports of one protocol and side")?;
        }
        ok(spec.ports.is_sorted_by_key(|port| port.side), "a client's port comes after a service's")?;
        if let super::Run::Handler(export) = &spec.run {
            let serves = spec.ports.iter().any(|port| port.side == End::Service && port.interface == *export);
            ok(is_interface(export) && serves, "it handles requests of no port")?;
        }

        let mut exports = BTreeSet::new();
        for export in &spec.exports {
            ok(is_interface(&export.interface) && exports.insert(&export.interface), "its exports")?;
            ok(export.functions.is_sorted(), "functions of an export are not sorted")?;
        }
        let mut imports = BTreeSet::new();
        for call in &spec.calls {
            ok(is_interface(&call.interface) && imports.insert(&call.interface), "two calls of one interface")?;
            let callee = self.boxes.get(usize::from(call.callee)).ok_or("it calls no box")?;
            ok(usize::from(call.callee) != place, "it calls itself")?;
            let export = callee.exports.iter().find(|export| export.interface == call.export);
            let functions = &export.ok_or("it calls what is not exported")?.functions;
            let fits = call.functions.iter().all(|function| functions.binary_search(function).is_ok());
            ok(fits, "it calls functions that are not exported so")?;
            let words: usize = call.words.iter().map(|(name, value)| name.len() + value.len()).sum();
            ok(call.words.len() <= MAX_ENTRIES && words <= MAX_ATTACH, "it says too much to a box that it calls")?;
        }
        Ok(())
    }

    /// A box starts when those whose exports it calls have started.
    fn check_circles(&self) -> Sound {
        let mut callers = vec![Vec::new(); self.boxes.len()];
        for (place, spec) in self.boxes.iter().enumerate() {
            spec.calls.iter().for_each(|call| callers[usize::from(call.callee)].push(place));
        }
        let mut waits: Vec<usize> = self.boxes.iter().map(|spec| spec.calls.len()).collect();
        let mut starts: Vec<usize> = (0..waits.len()).filter(|place| waits[*place] == 0).collect();
        while let Some(place) = starts.pop() {
            for caller in &callers[place] {
                waits[*caller] -= 1;
                if waits[*caller] == 0 {
                    starts.push(*caller);
                }
            }
        }
        let stuck = waits.iter().position(|left| *left > 0);
        require(stuck.is_none(), || {
            let name = stuck.map_or("", |place| &self.boxes[place].name);
            format!("box `{name}` waits for a box that waits for it to start")
        })
    }

    fn check_arrows(&self) -> Sound {
        let mut devices = BTreeSet::new();
        for (index, arrow) in self.arrows.iter().enumerate() {
            let name = self.boxes.get(usize::from(arrow.client.place)).map_or("", |spec| &spec.name);
            let refuse = |what| PlanError::Unsound(format!("arrow {index}, of box `{name}`: {what}"));
            self.check_arrow(arrow).map_err(refuse)?;
            if let (Service::Device(device), Grant::None) = (&arrow.service, &arrow.grant) {
                require(devices.insert(device), || format!("device `{device}` is granted twice"))?;
            }
        }
        self.check_disks()
    }

    fn check_arrow(&self, arrow: &ArrowPlan) -> Result<(), &'static str> {
        let port = |at: PortOf| self.port(at).ok_or("it joins a port that is not there");
        let client = port(arrow.client)?;
        if client.side != End::Client {
            return Err("it begins at a service");
        }
        if arrow.attach.len() > MAX_ATTACH {
            return Err("its attach is too long");
        }
        if !arrow.grant.is_sound() {
            return Err("its grant");
        }
        match (&arrow.service, &arrow.grant) {
            (Service::Port(at), Grant::None | Grant::Net(_) | Grant::Said(_)) => {
                let service = port(*at)?;
                if service.side != End::Service || service.protocol != client.protocol {
                    return Err("it joins ports that do not fit");
                }
                if at.place == arrow.client.place {
                    return Err("it leads back to its own box");
                }
            }
            (Service::Device(device), Grant::None | Grant::Block(_)) => {
                label(device).map_err(|_| "its device")?;
            }
            (Service::Node, Grant::Control { .. }) => {
                if self.declared_of(client).path() != CONTROL {
                    return Err("it leads to the node, which does not speak its protocol");
                }
            }
            (Service::Volume(volume), Grant::Block(grant)) => {
                if usize::from(*volume) >= self.volumes.len() {
                    return Err("it leads to a volume that is not there");
                }
                if grant.sectors != Sectors::default() {
                    return Err("it grants sectors of a volume by their numbers");
                }
            }
            _ => return Err("its grant does not belong to it"),
        }
        Ok(())
    }

    /// No sector that anybody may write is granted twice. Those that are the node's own depend on the size of sectors, which
    /// the platform knows.
    fn check_disks(&self) -> Sound {
        let mut parts: Vec<(Whole<'_>, u64, u64, bool)> = Vec::new();
        for arrow in &self.arrows {
            let Grant::Block(grant) = &arrow.grant else { continue };
            let last = grant.sectors.last.unwrap_or(u64::MAX);
            let of = match &arrow.service {
                Service::Device(device) => {
                    let has_volumes = self.volumes.iter().any(|volume| volume.disk == *device);
                    require(!has_volumes, || format!("sectors of `{device}`, which has volumes"))?;
                    (None, device.as_str())
                }
                Service::Volume(volume) => (Some(*volume), ""),
                Service::Port(_) | Service::Node => continue,
            };
            parts.push((of, grant.sectors.first, last, grant.read_only));
        }
        parts.sort_unstable();
        // the furthest that sectors before this reach, and those of them that may be written
        let mut reached: Option<(Whole<'_>, u64, Option<u64>)> = None;
        for (of, first, last, read_only) in parts {
            let (all, written) = match reached {
                Some((before, all, written)) if before == of => (Some(all), written),
                _ => (None, None),
            };
            let taken = if read_only { written } else { all };
            require(taken.is_none_or(|end| end < first), || match of {
                (Some(volume), _) => format!("volume `{}` is granted twice", self.volumes[usize::from(volume)].name),
                (None, device) => format!("sectors of `{device}` are granted twice"),
            })?;
            let written = if read_only { written } else { written.max(Some(last)) };
            reached = Some((of, all.unwrap_or(0).max(last), written));
        }
        Ok(())
    }
}
