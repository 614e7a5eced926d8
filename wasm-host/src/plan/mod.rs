//! What a node runs: boxes, the ports and arrows between them, their grants and limits.
//!
//! The toolchain makes a plan of a declaration (`system.toml`) and of what the components import and export; it is part of
//! the signed image. The node knows no declarations: it decodes the plan, [checks](Plan::decode) that it is sound in
//! itself, and builds what it says.

mod check;
pub mod grant;
#[cfg(all(test, feature = "build"))]
mod tests;

pub use check::{
    MAX_ATTACH, MAX_BACKOFF, MAX_BOXES, MAX_CONFIG, MAX_ENTRIES, MAX_MEMORY, MAX_QUEUE, MIN_MEMORY, MIN_QUEUE, label,
};

use crate::{
    arrows::{Declared, Protocol, channel::End},
    engine::Kind,
    image::PublicKey,
};
use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};
use grant::{BlockGrant, Grant};
use serde::{Deserialize, Serialize};

/// The version of the encoding. A node runs plans of this one only.
const FORMAT: u16 = 4;

/// The most bytes of an encoded plan.
pub const MAX_BYTES: usize = 4 << 20;

/// A system as a node runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The system's name. Plans of one name take each other's place.
    pub system: String,
    /// Grows from one plan of the system to the next: a node does not go back unless it is told to.
    pub version: u64,
    /// Where the node keeps its systems, if it does.
    pub disk: Option<SystemDisk>,
    /// Parts of disks that have names; others refer to one by its position.
    pub volumes: Vec<VolumePlan>,
    /// Whose images may take this one's place. None: those of the keys that the node was started with.
    pub trust: Option<Vec<PublicKey>>,
    pub protocols: Vec<Declared>,
    /// Others refer to a box by its position.
    pub boxes: Vec<BoxPlan>,
    /// At either port in the order in which they are attached.
    pub arrows: Vec<ArrowPlan>,
}

/// A disk of which some is the node's own, for [slots](crate::slots).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemDisk {
    pub device: String,
    /// How many bytes.
    pub reserve: u64,
}

/// See [volumes](crate::volumes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    pub name: String,
    /// The disk that it is made on, unless it is there.
    pub disk: String,
    /// Bytes, whole MiB: at least.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxPlan {
    pub name: String,
    /// Several are fused. The platform may stand in for a box by the name of its component.
    pub component: Vec<String>,
    /// The engine that its code was compiled for.
    pub engine: Kind,
    /// The most bytes that its linear memories and tables may have together.
    pub memory: u64,
    /// Its share of the CPU when boxes compete, as a weight from 1 to 10,000.
    pub cpu: u32,
    /// Bytes that each of its ports may hold.
    pub queue: u32,
    /// Calls that it serves at once.
    pub concurrency: u32,
    /// Whether an instance of a WASI 0.2 handler answers another request after the first.
    pub reuse: bool,
    pub restart: Restart,
    pub config: Vec<(String, String)>,
    /// Whether the image has files for it.
    pub assets: bool,
    pub run: Run,
    /// Bytes that the node holds for an instance, at most, beside its memories and tables.
    pub instance: u64,
    /// It exports `pearwood:box/handover`.
    pub hands_over: bool,
    /// A port's number is its position: first those at which the box is the client, then the others.
    pub ports: Vec<PortPlan>,
    /// Functions of other boxes that it is linked to.
    pub calls: Vec<CallPlan>,
    /// What others may call.
    pub exports: Vec<ExportPlan>,
    /// What it may import and ask nobody for.
    pub nobody: Vec<String>,
    /// Functions of the node that it has arrows for, as the component names them. Without one, they say that they are not there.
    pub lent: Vec<String>,
}

/// How long a box that ended waits before it starts again: `min` at first, twice as long each time, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    pub min: Duration,
    pub max: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Restart { min: Duration::from_millis(100), max: Duration::from_secs(30) }
    }
}

/// How a box comes to do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// It exports `pearwood:box/service`: its `run` is called once and lasts as long as the box.
    Service,
    /// It exports `wasi:cli/run`: the same, and returning from it ends the box for good.
    Command,
    /// Others call its exports.
    Called,
    /// The node calls this export for each request that comes to the box's port.
    Handler(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// As the component names it.
    pub interface: String,
    pub side: End,
    /// The position of the protocol.
    pub protocol: u16,
}

/// An import that is another box's export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPlan {
    /// As the component names it.
    pub interface: String,
    /// The position of the box that exports it.
    pub callee: u16,
    /// As that box's component names it.
    pub export: String,
    /// Those that it imports, see [`ExportPlan::functions`].
    pub functions: Vec<u64>,
    /// What the box that exports it is told of the arrow: names and values.
    pub words: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPlan {
    /// As the component names it.
    pub interface: String,
    /// A hash of the name and the type of each function, sorted.
    pub functions: Vec<u64>,
}

/// What a client's port is joined to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrowPlan {
    pub client: PortOf,
    pub service: Service,
    /// What `attach` says beyond that the peer is there.
    pub attach: Vec<u8>,
    pub grant: Grant,
}

/// A port of a box, both by their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortOf {
    pub place: u16,
    pub port: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    Port(PortOf),
    /// A device, as the platform names it.
    Device(String),
    /// The node itself: the power over it.
    Node,
    /// A volume, by its position.
    Volume(u16),
}

/// Why a plan is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    TooLarge {
        bytes: usize,
    },
    Format(u16),
    Malformed,
    /// It contradicts itself, or is beyond a limit.
    Unsound(String),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::TooLarge { bytes } => write!(f, "the plan has {bytes} bytes; at most {MAX_BYTES} are read"),
            PlanError::Format(format) => {
                write!(f, "the plan is of format {format}, and this node runs format {FORMAT}: ")?;
                f.write_str("use the node's version of `pearwood` to make the image")
            }
            PlanError::Malformed => f.write_str("the plan cannot be read"),
            PlanError::Unsound(why) => write!(f, "the plan is not sound: {why}"),
        }
    }
}

impl core::error::Error for PlanError {}

impl Plan {
    /// The bytes of an image's plan: the format's number, little endian, and the plan in postcard's form.
    pub fn encode(&self) -> Vec<u8> {
        let plan = postcard::to_allocvec(self).expect("plans are plain data");
        [&FORMAT.to_le_bytes()[..], &plan].concat()
    }

    /// Reads a plan, and checks all that the node relies on.
    ///
    /// # Errors
    /// Why it is not run. It names the box at fault.
    pub fn decode(bytes: &[u8]) -> Result<Plan, PlanError> {
        if bytes.len() > MAX_BYTES {
            return Err(PlanError::TooLarge { bytes: bytes.len() });
        }
        let (format, body) = bytes.split_first_chunk::<2>().ok_or(PlanError::Malformed)?;
        let format = u16::from_le_bytes(*format);
        if format != FORMAT {
            return Err(PlanError::Format(format));
        }
        let (plan, rest) = postcard::take_from_bytes::<Plan>(body).map_err(|_| PlanError::Malformed)?;
        if !rest.is_empty() {
            return Err(PlanError::Malformed);
        }
        plan.check()?;
        Ok(plan)
    }

    /// The position of the box of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.boxes.iter().position(|spec| spec.name == name)
    }

    pub fn find(&self, name: &str) -> Option<&BoxPlan> {
        self.boxes.iter().find(|spec| spec.name == name)
    }

    /// The arrows of the box at that position, as a client.
    pub fn arrows_of(&self, place: usize) -> impl Iterator<Item = &ArrowPlan> {
        self.arrows.iter().filter(move |arrow| usize::from(arrow.client.place) == place)
    }

    /// The devices of a box, and what it may do with them if they are disks.
    pub fn devices_of(&self, place: usize) -> impl Iterator<Item = (&str, Option<BlockGrant>)> {
        self.arrows_of(place).filter_map(|arrow| match (&arrow.service, &arrow.grant) {
            (Service::Device(device), Grant::Block(grant)) => Some((device.as_str(), Some(*grant))),
            (Service::Device(device), _) => Some((device.as_str(), None)),
            (Service::Port(_) | Service::Node | Service::Volume(_), _) => None,
        })
    }

    /// The volumes of a box, and whether it may only read them.
    pub fn volumes_of(&self, place: usize) -> impl Iterator<Item = (&VolumePlan, bool)> {
        self.arrows_of(place).filter_map(|arrow| {
            let Service::Volume(volume) = arrow.service else { return None };
            let read_only = matches!(&arrow.grant, Grant::Block(grant) if grant.read_only);
            Some((self.volumes.get(usize::from(volume))?, read_only))
        })
    }

    pub fn protocol_of(&self, port: &PortPlan) -> Protocol {
        self.declared_of(port).clone().into()
    }

    pub fn declared_of(&self, port: &PortPlan) -> &Declared {
        &self.protocols[usize::from(port.protocol)]
    }

    pub fn port(&self, at: PortOf) -> Option<&PortPlan> {
        self.boxes.get(usize::from(at.place))?.ports.get(usize::from(at.port))
    }

    /// Whether other boxes are linked to functions of this one.
    pub fn is_called(&self, place: usize) -> bool {
        self.boxes.iter().flat_map(|spec| &spec.calls).any(|call| usize::from(call.callee) == place)
    }

    /// The box that has the power over its node.
    pub fn controlling(&self) -> Option<&BoxPlan> {
        let place = self.arrows.iter().find(|arrow| arrow.service == Service::Node)?.client.place;
        self.boxes.get(usize::from(place))
    }

    /// The most bytes of an image that the box at that position may bring, if it has the power over the node.
    pub fn upload_of(&self, place: usize) -> Option<u64> {
        self.arrows_of(place).find_map(|arrow| match arrow.grant {
            Grant::Control { upload } => Some(upload),
            _ => None,
        })
    }

    /// Whether they differ in nothing but their versions.
    pub fn is_same(&self, other: &Plan) -> bool {
        *self == Plan { version: self.version, ..other.clone() }
    }
}

impl BoxPlan {
    pub const DEFAULT_MEMORY: u64 = 16 << 20;
    pub const DEFAULT_CPU: u32 = 100;
    pub const DEFAULT_QUEUE: u32 = 256 << 10;
    pub const DEFAULT_CONCURRENCY: u32 = 64;

    /// What names the box's component, or fused components, in an image.
    pub fn component_name(&self) -> String {
        self.component.join(" + ")
    }

    /// A box of that name with nothing but limits: those of one that declares none.
    pub fn new(name: &str, component: &str) -> Self {
        BoxPlan {
            name: name.into(),
            component: [component.into()].into(),
            engine: Kind::Lean,
            memory: Self::DEFAULT_MEMORY,
            cpu: Self::DEFAULT_CPU,
            queue: Self::DEFAULT_QUEUE,
            concurrency: Self::DEFAULT_CONCURRENCY,
            reuse: false,
            restart: Restart::default(),
            config: Vec::new(),
            assets: false,
            run: Run::Called,
            instance: 0,
            hands_over: false,
            ports: Vec::new(),
            calls: Vec::new(),
            exports: Vec::new(),
            nobody: Vec::new(),
            lent: Vec::new(),
        }
    }
}
