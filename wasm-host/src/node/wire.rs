//! Ports and arrows, as the routes say.

use crate::{
    arrows::{
        channel::{Arrow, Channel, End, Port, Resolved, Signal},
        measure::Meter,
    },
    boxes::{BoxHandle, Parts},
    grants::Tap,
    platform::{Extent, Platform},
    system::{
        BoxSpec,
        grant::{BlockGrant, NetGrant},
        routes::{BoxRoutes, DiskRoute, Routes},
    },
};
use alloc::{format, string::String, sync::Arc, vec::Vec};

/// Makes the ports of a box, and finds its devices unless the platform stands in for it. The error says what the
/// platform has not.
pub fn parts(
    spec: &BoxSpec,
    routes: &BoxRoutes,
    platform: &dyn Platform,
    there: &[Arc<BoxHandle>],
    is_stand_in: bool,
) -> Result<Parts, String> {
    let (signal, resolved) = (Arc::<Signal>::default(), Arc::<Resolved>::default());
    let owner: Arc<str> = spec.name.as_str().into();
    let port = |channel, end| Port::new(channel, end, &owner, &signal, &resolved, spec.queue as usize);
    let clients = routes.clients.iter().map(|end| port(end.channel, End::Client));
    let services = routes.services.iter().map(|service| port(service.end.channel, End::Service));
    let ports = clients.chain(services).collect();
    if is_stand_in {
        return Ok(Parts { ports, signal, ..Parts::default() });
    }
    let nic = |device: &String| {
        let card = platform.nic(device).ok_or_else(|| no_device(device))?;
        Ok(Tap::new(card, &signal, there.iter().flat_map(|other| &other.nics)))
    };
    let nics = routes.devices.iter().map(|route| nic(&route.device)).collect::<Result<_, String>>()?;
    let disks = routes.disks.iter().map(|route| extent(platform, route)).collect::<Result<_, _>>()?;
    Ok(Parts { ports, signal, nics, disks, ..Parts::default() })
}

fn no_device(name: &str) -> String {
    format!("this machine has no device `{name}`")
}

/// The part of a disk that a box may use: all of it is there, and none of it the node's own.
fn extent(platform: &dyn Platform, route: &DiskRoute) -> Result<Extent, String> {
    let disk = platform.disk(&route.device).ok_or_else(|| no_device(&route.device))?;
    let BlockGrant { sectors, read_only } = route.grant;
    let own = platform.slots().filter(|store| Arc::ptr_eq(store.disk(), &disk)).map_or(0, |store| store.reserve());
    let geometry = disk.geometry();
    if sectors.first.saturating_mul(geometry.sector_size.into()) < own {
        let first = own.div_ceil(geometry.sector_size.into());
        let device = &route.device;
        return Err(format!("its sectors {sectors} of `{device}` reach into the node's own, which end before {first}"));
    }
    Extent::new(disk, sectors.first, sectors.count(), read_only).map_err(|_| {
        format!("it is granted sectors {sectors} of `{}`, which has {} sectors", route.device, geometry.sectors)
    })
}

/// A channel arrow that the routes want.
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

/// At either end, arrows come in the order of the boxes and their lines.
pub fn wanted(routes: &Routes) -> Vec<Wanted> {
    let mut all = Vec::new();
    for (client, routes) in routes.boxes.iter().enumerate() {
        for end in &routes.clients {
            all.extend(end.peers.iter().map(|peer| Wanted {
                channel: end.channel,
                client,
                service: peer.box_index,
                attach: peer.attach.clone(),
                grant: peer.net.clone(),
            }));
        }
    }
    all
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
