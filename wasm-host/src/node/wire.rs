//! Ports and arrows, as the plan says.

use crate::{
    arrows::{
        KEYVALUE, NAMES, Protocol, TCP, UDP,
        channel::{Arrow, End, Gate, Port, Ready, Service, Setup},
        measure::Meter,
    },
    boxes::{BoxHandle, Parts},
    grants::{self, Blocks, Control, Tap},
    plan::{
        self, Plan,
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
    let mut parts = Parts::default();
    let spec = &plan.boxes[place];
    let owner: Arc<str> = spec.name.as_str().into();
    for (number, port) in spec.ports.iter().enumerate() {
        let number = number as u8;
        let mut services: Vec<Arc<dyn Service>> = Vec::new();
        if port.side == End::Client && plan.protocol_of(port).path() == KEYVALUE {
            let arrows = plan.arrows_of(place).filter(|arrow| arrow.client.port == number);
            let attach = arrows.filter_map(|arrow| wit::keyvalue::Attach::decode(&arrow.attach).ok());
            parts.buckets = attach.map(|attach| attach.bucket.into()).collect();
        }
        let arrows = plan.arrows_of(place).filter(|arrow| arrow.client.port == number && !is_stand_in);
        for arrow in arrows {
            let ready = Ready::port(number);
            let device = match &arrow.service {
                plan::Service::Port(_) => continue,
                plan::Service::Device(device) => device,
                plan::Service::Volume(volume) => {
                    let volume = plan.volumes.get(usize::from(*volume)).ok_or("a volume that is not there")?;
                    let read_only = matches!(&arrow.grant, Grant::Block(grant) if grant.read_only);
                    let (extent, health) = platform.volumes().extent(volume, read_only)?;
                    let blocks = Blocks::new(extent, &volume.name, &parts.signal, ready).with_health(health);
                    let blocks = Arc::new(blocks);
                    services.push(blocks.clone());
                    parts.disks.push(blocks);
                    continue;
                }
                plan::Service::Node => {
                    let control = Control::new(spec.memory, &parts.signal, ready);
                    services.push(control.clone());
                    parts.control = Some(control);
                    continue;
                }
            };
            if let Grant::Block(grant) = arrow.grant {
                let blocks = Arc::new(Blocks::new(extent(platform, device, grant)?, device, &parts.signal, ready));
                services.push(blocks.clone());
                parts.disks.push(blocks);
            } else {
                let card = platform.nic(device).ok_or_else(|| no_device(device))?;
                let others = there.iter().flat_map(|other| &other.nics);
                let tap = Tap::new(card, &parts.signal, ready, others);
                services.push(tap.clone());
                parts.nics.push(tap);
            }
        }
        parts.ports.push(Port::new(Setup {
            protocol: plan.protocol_of(port),
            end: port.side,
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
    pub protocol: Protocol,
    /// positions of the boxes
    pub client: usize,
    pub service: usize,
    /// what `attach` says
    pub attach: Vec<u8>,
    pub grant: Option<NetGrant>,
}

/// At either end in the order of the plan.
pub fn wanted(plan: &Plan) -> Vec<Wanted> {
    let arrows = plan.arrows.iter().filter_map(|arrow| {
        let plan::Service::Port(service) = &arrow.service else { return None };
        Some(Wanted {
            protocol: plan.protocol_of(plan.port(arrow.client)?),
            client: arrow.client.place.into(),
            service: service.place.into(),
            attach: arrow.attach.clone(),
            grant: net(&arrow.grant).cloned(),
        })
    });
    arrows.collect()
}

fn net(grant: &Grant) -> Option<&NetGrant> {
    match grant {
        Grant::Net(net) => Some(net),
        _ => None,
    }
}

/// The ports that an arrow joins.
pub fn ends<'a>(boxes: &'a [Arc<BoxHandle>], arrow: &Wanted) -> Option<(&'a Arc<Port>, &'a Arc<Port>)> {
    let port = |place: usize, end| boxes.get(place)?.port(arrow.protocol.path(), end);
    Some((port(arrow.client, End::Client)?, port(arrow.service, End::Service)?))
}

/// What the node holds the arrow's client to: nothing, where the protocol's service looks after its grants itself.
pub fn gate(boxes: &[Arc<BoxHandle>], plan: &Plan, arrow: &Wanted) -> Option<Arc<dyn Gate>> {
    let known = &boxes.get(arrow.client)?.known;
    let none = NetGrant::default();
    let grant = arrow.grant.as_ref().unwrap_or(&none);
    match arrow.protocol.path() {
        TCP => Some(grants::net::tcp(grant, known)),
        UDP => Some(grants::net::udp(grant, known)),
        NAMES => {
            let hosts: Vec<_> = plan.arrows_of(arrow.client).filter_map(|arrow| net(&arrow.grant)).collect();
            Some(grants::net::names(&hosts, known))
        }
        _ => None,
    }
}

/// Joins what the arrow is to join.
pub fn join(boxes: &[Arc<BoxHandle>], plan: &Plan, arrow: &Wanted) -> Option<Arc<Arrow>> {
    let (client, service) = ends(boxes, arrow)?;
    let platform = boxes.get(arrow.client)?.platform();
    let meter = platform.measures().then(|| Arc::new(Meter::of_protocol(&arrow.protocol, platform)));
    Some(Arrow::join(client, service, arrow.attach.clone(), gate(boxes, plan, arrow), meter))
}
