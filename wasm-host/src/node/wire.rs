//! Ports and arrows, as the routes say.

use crate::{
    arrows::channel::{self, End, Port, Ready, Resolved, Signal},
    boxes::Parts,
    platform::{Extent, Platform},
    system::{
        BoxSpec, System,
        grant::BlockGrant,
        routes::{BoxRoutes, DiskRoute, Routes},
    },
};
use alloc::{format, string::String, sync::Arc, vec::Vec};

/// What a box's arrows need that the platform has not.
pub struct Unfit {
    pub box_index: usize,
    pub why: String,
}

/// Makes the ports of all boxes and joins them, and finds the devices of those that the platform does not stand in for.
pub fn wire(
    system: &System,
    routes: &Routes,
    platform: &dyn Platform,
    stands_in: impl Fn(&BoxSpec) -> bool,
) -> Result<Vec<Parts>, Unfit> {
    let mut parts = Vec::new();
    for (box_index, (spec, routes)) in system.boxes.iter().zip(&routes.boxes).enumerate() {
        let mut made = ports(routes, spec.queue as usize);
        for route in routes.devices.iter().filter(|_| !stands_in(spec)) {
            let nic = platform.nic(&route.device);
            let nic = nic.ok_or_else(|| Unfit { box_index, why: no_device(&route.device) })?;
            nic.set_waker(&made.signal.waker(Ready::Nic));
            made.nics.push(nic);
        }
        for route in routes.disks.iter().filter(|_| !stands_in(spec)) {
            made.disks.push(extent(platform, route).map_err(|why| Unfit { box_index, why })?);
        }
        parts.push(made);
    }
    join(routes, &parts);
    Ok(parts)
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

fn ports(routes: &BoxRoutes, limit: usize) -> Parts {
    let (signal, resolved) = (Arc::<Signal>::default(), Arc::<Resolved>::default());
    let port = |channel, end| Port::new(channel, end, &signal, &resolved, limit);
    let clients = routes.clients.iter().map(|end| port(end.channel, End::Client));
    let services = routes.services.iter().map(|service| port(service.end.channel, End::Service));
    Parts { ports: clients.chain(services).collect(), signal: signal.clone(), ..Parts::default() }
}

/// Peers get the numbers that the routes have: at either end, arrows come in the order of the boxes and their lines.
fn join(routes: &Routes, parts: &[Parts]) {
    let mut arrows = Vec::new();
    for (routes, client) in routes.boxes.iter().zip(parts) {
        for end in &routes.clients {
            let Some(from) = client.port(end.channel, End::Client) else { continue };
            for peer in &end.peers {
                let to = parts.get(peer.box_index).and_then(|parts| parts.port(end.channel, End::Service));
                let Some(to) = to else { continue };
                arrows.push(channel::Arrow {
                    client: from.clone(),
                    service: to.clone(),
                    attach: peer.attach.clone(),
                    grant: peer.net.clone(),
                });
            }
        }
    }
    channel::join(arrows);
}
