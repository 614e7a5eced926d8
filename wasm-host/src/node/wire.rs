//! Ports and arrows, as the plan says.

use crate::{
    arrows::{
        channel::{Arrow, Channel, End, Port, Resolved, Signal},
        measure::Meter,
    },
    boxes::{BoxHandle, Parts},
    grants::Tap,
    plan::{
        Plan, PortPlan, Service,
        grant::{BlockGrant, Grant, NetGrant},
    },
    platform::{Extent, Platform},
};
use alloc::{format, string::String, sync::Arc, vec::Vec};

/// Makes the ports of a box, and finds its devices unless the platform stands in for it. The error says what the
/// platform has not.
pub fn parts(
    plan: &Plan,
    place: usize,
    platform: &dyn Platform,
    there: &[Arc<BoxHandle>],
    is_stand_in: bool,
) -> Result<Parts, String> {
    let (signal, resolved) = (Arc::<Signal>::default(), Arc::<Resolved>::default());
    let spec = &plan.boxes[place];
    let owner: Arc<str> = spec.name.as_str().into();
    let port = |port: &PortPlan| {
        let channel = Channel::of(plan.protocol_of(port))?;
        Some(Port::new(channel, port.side, &owner, &signal, &resolved, spec.queue as usize))
    };
    let ports = spec.ports.iter().filter_map(port).collect();
    if is_stand_in {
        return Ok(Parts { ports, signal, ..Parts::default() });
    }
    let nic = |device: &str| -> Result<Arc<Tap>, String> {
        let card = platform.nic(device).ok_or_else(|| no_device(device))?;
        Ok(Tap::new(card, &signal, there.iter().flat_map(|other| &other.nics)))
    };
    let (mut nics, mut disks) = (Vec::new(), Vec::new());
    for (device, sectors) in plan.devices_of(place) {
        match sectors {
            None => nics.push(nic(device)?),
            Some(grant) => disks.push(extent(platform, device, grant)?),
        }
    }
    Ok(Parts { ports, signal, nics, disks, ..Parts::default() })
}

fn no_device(name: &str) -> String {
    format!("this machine has no device `{name}`")
}

/// The part of a disk that a box may use: all of it is there, and none of it the node's own.
fn extent(platform: &dyn Platform, device: &str, grant: BlockGrant) -> Result<Extent, String> {
    let disk = platform.disk(device).ok_or_else(|| no_device(device))?;
    let BlockGrant { sectors, read_only } = grant;
    let own = platform.slots().filter(|store| Arc::ptr_eq(store.disk(), &disk)).map_or(0, |store| store.reserve());
    let geometry = disk.geometry();
    if sectors.first.saturating_mul(geometry.sector_size.into()) < own {
        let first = own.div_ceil(geometry.sector_size.into());
        return Err(format!("its sectors {sectors} of `{device}` reach into the node's own, which end before {first}"));
    }
    Extent::new(disk, sectors.first, sectors.count(), read_only)
        .map_err(|_| format!("it is granted sectors {sectors} of `{device}`, which has {} sectors", geometry.sectors))
}

/// An arrow between boxes that the plan wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub channel: Channel,
    /// positions of the boxes
    pub client: usize,
    pub service: usize,
    /// what `attach` says to the client
    pub attach: Vec<u8>,
    pub grant: Option<NetGrant>,
}

/// At either end in the order of the plan.
pub fn wanted(plan: &Plan) -> Vec<Wanted> {
    let arrows = plan.arrows.iter().filter_map(|arrow| {
        let Service::Port(service) = &arrow.service else { return None };
        Some(Wanted {
            channel: Channel::of(plan.protocol_of(plan.port(arrow.client)?))?,
            client: arrow.client.place.into(),
            service: service.place.into(),
            attach: arrow.attach.clone(),
            grant: match &arrow.grant {
                Grant::Net(net) => Some(net.clone()),
                _ => None,
            },
        })
    });
    arrows.collect()
}

/// The ports that an arrow joins.
pub fn ends<'a>(boxes: &'a [Arc<BoxHandle>], arrow: &Wanted) -> Option<(&'a Arc<Port>, &'a Arc<Port>)> {
    let client = boxes.get(arrow.client)?.port(arrow.channel, End::Client)?;
    let service = boxes.get(arrow.service)?.port(arrow.channel, End::Service)?;
    Some((client, service))
}

/// Joins what the arrow is to join.
pub fn join(boxes: &[Arc<BoxHandle>], arrow: &Wanted) -> Option<Arc<Arrow>> {
    let (client, service) = ends(boxes, arrow)?;
    let platform = boxes.get(arrow.client)?.platform();
    let meter = platform.measures().then(|| Arc::new(Meter::of_channel(arrow.channel, platform)));
    Some(Arrow::join_measured(client, service, arrow.attach.clone(), arrow.grant.clone(), meter))
}
