//! Ports and arrows, as the routes say.

use crate::{
    arrows::{
        Protocol,
        channel::{Arrow, End, Gate, MAX_PORTS, Port, Ready, Service, Setup},
        measure::Meter,
    },
    boxes::{BoxHandle, Parts},
    grants::{self, Blocks, Tap},
    platform::{Extent, Platform},
    system::{
        BoxSpec,
        grant::{BlockGrant, NetGrant},
        known::{NAMES, TCP, UDP},
        routes::{BoxRoutes, DeviceRoute, Routes},
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
    let mut parts = Parts::default();
    let owner: Arc<str> = spec.name.as_str().into();
    for (number, (end, route)) in routes.ends().enumerate() {
        if number >= MAX_PORTS {
            return Err(format!("it has more than {MAX_PORTS} ports"));
        }
        let number = number as u8;
        let mut services: Vec<Arc<dyn Service>> = Vec::new();
        for device in route.devices.iter().filter(|_| !is_stand_in) {
            let ready = Ready::port(number);
            match device.sectors {
                Some(sectors) => {
                    let blocks = Blocks::new(extent(platform, device, sectors)?, &device.device, &parts.signal, ready);
                    services.push(blocks.clone());
                    parts.disks.push(blocks);
                }
                None => {
                    let card = platform.nic(&device.device).ok_or_else(|| no_device(&device.device))?;
                    let others = there.iter().flat_map(|other| &other.nics);
                    let tap = Tap::new(card, &parts.signal, ready, others);
                    services.push(tap.clone());
                    parts.nics.push(tap);
                }
            }
        }
        parts.ports.push(Port::new(Setup {
            protocol: route.protocol.clone(),
            end,
            number,
            owner: &owner,
            signal: &parts.signal,
            limit: spec.queue as usize,
            services,
        }));
    }
    Ok(parts)
}

fn no_device(name: &str) -> String {
    format!("this machine has no device `{name}`")
}

/// The part of a disk that a box may use: all of it is there, and none of it the node's own.
fn extent(platform: &dyn Platform, route: &DeviceRoute, grant: BlockGrant) -> Result<Extent, String> {
    let disk = platform.disk(&route.device).ok_or_else(|| no_device(&route.device))?;
    let BlockGrant { sectors, read_only } = grant;
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

/// An arrow between boxes that the routes want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub protocol: Protocol,
    /// positions of the boxes
    pub client: usize,
    pub service: usize,
    /// what `attach` says
    pub attach: Vec<u8>,
    pub grant: Option<NetGrant>,
}

/// At either end, arrows come in the order of the boxes and their lines.
pub fn wanted(routes: &Routes) -> Vec<Wanted> {
    let mut all = Vec::new();
    for (client, routes) in routes.boxes.iter().enumerate() {
        for end in &routes.clients {
            all.extend(end.peers.iter().map(|peer| Wanted {
                protocol: end.protocol.clone(),
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
    let port = |place: usize, end| boxes.get(place)?.port(arrow.protocol.path(), end);
    Some((port(arrow.client, End::Client)?, port(arrow.service, End::Service)?))
}

/// What the node holds the arrow's client to: nothing, where the protocol's service looks after its grants itself.
pub fn gate(boxes: &[Arc<BoxHandle>], routes: &Routes, arrow: &Wanted) -> Option<Arc<dyn Gate>> {
    let known = &boxes.get(arrow.client)?.known;
    let none = NetGrant::default();
    let grant = arrow.grant.as_ref().unwrap_or(&none);
    match arrow.protocol.path() {
        TCP => Some(grants::net::tcp(grant, known)),
        UDP => Some(grants::net::udp(grant, known)),
        NAMES => {
            let ends = routes.boxes.get(arrow.client)?.clients.iter();
            let hosts: Vec<_> = ends.flat_map(|end| &end.peers).filter_map(|peer| peer.net.as_ref()).collect();
            Some(grants::net::names(&hosts, known))
        }
        _ => None,
    }
}

/// Joins what the arrow is to join.
pub fn join(boxes: &[Arc<BoxHandle>], routes: &Routes, arrow: &Wanted) -> Option<Arc<Arrow>> {
    let (client, service) = ends(boxes, arrow)?;
    let platform = boxes.get(arrow.client)?.platform();
    let meter = platform.measures().then(|| Arc::new(Meter::of_protocol(&arrow.protocol, platform)));
    Some(Arrow::join(client, service, arrow.attach.clone(), gate(boxes, routes, arrow), meter))
}
