//! Which arrows there are, and what they grant: for drawings.

use crate::plan::{ArrowPlan, Plan, Service, grant::Grant};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;
use serde::Serialize;

#[derive(Serialize)]
pub struct Link<'a> {
    /// a box
    from: &'a str,
    to: &'a str,
    /// what that is: `box`, `device`, `volume` or `node`
    kind: &'static str,
    /// without a version, as [`ArrowStatus`](super::arrows::ArrowStatus) has it
    interface: &'a str,
    /// requests, or sectors
    grant: String,
    /// ports
    listen: Vec<String>,
    /// hosts and their ports
    connect: Vec<String>,
}

/// In the order of the boxes.
pub fn of(plan: &Plan) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    for (place, spec) in plan.boxes.iter().enumerate() {
        let plain = |to, kind, interface| {
            let (grant, listen, connect) = (String::new(), Vec::new(), Vec::new());
            Link { from: &spec.name, to, kind, interface, grant, listen, connect }
        };
        links.extend(plan.arrows_of(place).filter_map(|arrow| {
            let interface = plan.declared_of(plan.port(arrow.client)?).path();
            Some(match &arrow.service {
                Service::Port(at) => {
                    granted(plain(&plan.boxes.get(usize::from(at.place))?.name, "box", interface), arrow)
                }
                Service::Node => plain("the node", "node", interface),
                Service::Volume(volume) => {
                    granted(plain(&plan.volumes.get(usize::from(*volume))?.name, "volume", interface), arrow)
                }
                Service::Device(device) => granted(plain(device, "device", interface), arrow),
            })
        }));
        links.extend(spec.calls.iter().filter_map(|call| {
            let interface = call.interface.split('@').next().unwrap_or_default();
            let link = plain(&plan.boxes.get(usize::from(call.callee))?.name, "box", interface);
            Some(Link { grant: said(&call.words), ..link })
        }));
    }
    links
}

/// `keys = a, b` for `keys.0` and `keys.1`.
fn said(words: &[(String, String)]) -> String {
    let (mut text, mut last) = (String::new(), "");
    for (key, value) in words {
        let is_place = |place: &str| place.bytes().all(|byte| byte.is_ascii_digit());
        let name = key.rsplit_once('.').filter(|(_, place)| is_place(place)).map_or(&**key, |(name, _)| name);
        let start = if text.is_empty() { "" } else { ", " };
        text += &if name == last { format!(", {value}") } else { format!("{start}{name} = {value}") };
        last = name;
    }
    text
}

fn granted<'a>(link: Link<'a>, arrow: &ArrowPlan) -> Link<'a> {
    match &arrow.grant {
        Grant::None | Grant::Control { .. } => link,
        Grant::Net(net) => Link { listen: texts(&net.listen), connect: texts(&net.connect), ..link },
        Grant::Said(words) => Link { grant: words.clone(), ..link },
        Grant::Block(block) => Link { grant: block.to_string(), ..link },
    }
}

fn texts<T: Display>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
