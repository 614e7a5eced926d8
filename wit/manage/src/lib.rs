//! What people may ask of a node, and what it answers: postcard, one value a message.
//!
//! A [`Request`] goes from a command, or the web console, over the channel to the node's control box, which looks at the role
//! that it [`needs`](Request::needs) and passes it on to the node (`wit/control`); what is typed on the node's serial console
//! is the same type. To add one: a variant here, the node's answer (`wasm-host/src/node/manage/answer.rs`), and the command
//! (`toolchain/src/command/manage.rs`).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a key may do: each includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// see all that there is to see
    View,
    /// restart, stop and start boxes, and the node; go back to the system of before
    Operate,
    /// change the system
    Deploy,
}

/// Names and bytes lie in the message that it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Nothing: the client is still there. Answered by the control box, as are `Page`, `Metrics` and `Cancel`.
    Ping,
    /// The web console: HTML that asks for `Describe`, `Logs` and so on beside it.
    Page,
    /// What has been measured, in Prometheus' text format.
    Metrics,
    /// Lines of the log of a box, or of all: an array of [`LogLines`] as JSON in each response, of which there may be
    /// several. The last 64 of each box are there; if they are followed, others come as they are written.
    Logs {
        name: Option<&'a str>,
        follow: bool,
    },
    /// How a deployment goes: its record as JSON at each step, and at last when it is over.
    Watch {
        number: u64,
    },
    /// No more of that request.
    Cancel {
        request: u32,
    },

    /// How the node fares, as JSON: its system, uptime and memory, its boxes, which arrows there are and what they grant
    /// (`links`), what has gone over which, its disks and volumes, and what boxes report of themselves (`figures`, by box: `name`, `labels`, `kind` and
    /// `value`, as `pearwood:box/figures` has them; of all that is too much together, the longest reports are left out).
    Describe,
    /// The running system's `system.toml`.
    System,
    /// The lines of a box's log from `first` on, oldest first, as a JSON array of [`LogLine`]. The node counts the lines of
    /// each box from 0.
    Lines {
        name: &'a str,
        first: u64,
    },
    /// Ends a box's instance, and starts another.
    Restart {
        name: &'a str,
    },
    /// Ends a box's instance. It comes back by `Start`, or when another version takes its place. Refused for the box that
    /// asks, and those that it reaches others by.
    Stop {
        name: &'a str,
    },
    Start {
        name: &'a str,
    },
    /// Ends all boxes and boots the machine again; on Linux, the process ends with status 3.
    Reboot,
    /// Ends all boxes and switches the machine off.
    PowerOff,
    /// What was deployed, oldest first, as JSON: the last 32 since the node's boot and, if the node keeps systems on a disk,
    /// the last 64 of before. `number`, `by` (who asked), `changes` (a line for each box), `began` and `ended` (null: before
    /// the boot, and not yet), `wall_clock` (nanoseconds since 1970), `hash` (of a system that was written to the disk);
    /// `confirm_by`, while it waits to be confirmed: until when, in nanoseconds since the boot;
    /// `step`, which is `preparing`, `handing-over`, `trial`, `rolling-back`, and at last `done`, `refused`, `rolled-back`,
    /// `stuck` or `interrupted` (by the node's end), and `text`, the same with reasons. Of one that is done: `kept`, whether
    /// it is what the node starts from now on (null: it keeps no systems), and `lasts`, the same in words.
    History,
    /// The system that ran before the one that runs takes its place: the one of before the last deployment or, after a boot,
    /// that which the node's disk has kept for it. Twice is there and back. Yields the number of this deployment.
    RollBack(Settings),
    /// Begins an image with its signed manifest; one that was begun before is dropped. Refused unless a key has signed it
    /// that the node trusts, and if it is more than the arrow's `upload` or than half of the free memory, unless the node keeps
    /// its systems on a disk: then the files of such an image go there as they come. Yields the number of bytes that the
    /// node lacks of it, as far as is known.
    Begin {
        manifest: &'a [u8],
    },
    /// BLAKE3 hashes, 32 bytes each, of blobs that the node lacks for it; at most 1,024 of them. There may be others when
    /// these are there. A number: nothing that is known, but so many bytes have yet to be copied from the image that runs, which
    /// goes on as this is asked again.
    Lacks,
    /// A part of a blob: the parts of one blob come in order, and no other between them. The last must complete what the
    /// hash says.
    Put {
        hash: [u8; 32],
        length: u64,
        offset: u64,
        part: &'a [u8],
    },
    /// The image that was begun takes the place of the running one; it has to be [confirmed](Request::Confirm). If the node keeps systems on a disk, it is written there
    /// first, and refused if it cannot be; it is what the node starts once its trial is over well, and not before. Yields the
    /// number of the deployment; done at once, without one, if the node runs this system already, and starts it.
    Deploy(Settings),
    /// Drops the image that was begun, and gives its memory back.
    Forget,
    /// Who would have the power over the node once the image runs that was `begun` and whose plan has been brought, or else
    /// the one that `RollBack` goes back to. None: that is not known before it is read from the node's disk.
    Successor {
        begun: bool,
    },

    /// The deployment under way, or the one of that number, is as it should be: whoever deployed it has come back over the
    /// network as it now is. Refused unless the connection over which this comes was made after the new system took its
    /// place. `since`: when that was, in nanoseconds since the node's boot; the control box says it, whatever is asked.
    /// `other`: even if it was somebody else who deployed it, which is refused otherwise. A deployment that was confirmed
    /// may be confirmed again.
    Confirm {
        number: Option<u64>,
        since: u64,
        other: bool,
    },

    /// A token by which programs that cannot sign read the metrics in the place of the key that asks, over HTTP. Answered
    /// by the control box.
    Token,

    /// A volume that the running system does not name is to be no more, with all that is in it. `disk`: of several of that name.
    DeleteVolume {
        name: &'a str,
        disk: Option<&'a str>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    Done,
    Text(String),
    Number(u64),
    Bytes(Vec<u8>),
    Successor(Option<Authority>),
    /// Others follow.
    More(String),
    /// Why not, in words that name what is at fault.
    Refused(String),
}

/// How a system is deployed. Nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// how long new boxes may take until they are ready
    pub ready: u64,
    /// how long old ones may take until what is open is finished
    pub drain: u64,
    /// for how long the new ones are on trial
    pub trial: u64,
    /// How long the node waits, from the moment at which the new system took its place, for somebody to confirm it over
    /// the network; then it goes back to the old one. 0: nobody need do that. The same if `allow_lockout` says so: who
    /// deploys may be unable to.
    pub confirm: u64,
    /// Goes on even if the key that asks, or any, could not do as much afterwards.
    pub allow_lockout: bool,
    /// Though it is a system of another name.
    pub other_system: bool,
    /// Refused if any other box than this would be another.
    pub only: Option<String>,
    /// Refused if it gave the power over the node to others. The control box says it of a key that could not do that.
    pub same_authority: bool,
}

/// Who would have the power over the node with another system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The settings of the box that would have it. None: no box would.
    pub settings: Option<Vec<(String, String)>>,
    /// That box is another than now, or has other settings, or other keys may sign images.
    pub is_other: bool,
}

/// Lines of one box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    pub name: String,
    pub lines: Vec<LogLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub number: u64,
    /// nanoseconds since the node's boot
    pub at: u64,
    /// nanoseconds since 1970, if the node knew the time
    #[serde(default)]
    pub time: Option<u64>,
    pub level: String,
    pub text: String,
}

impl Default for Settings {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Settings {
            ready: 10 * SECOND,
            drain: 10 * SECOND,
            trial: 10 * SECOND,
            confirm: 60 * SECOND,
            allow_lockout: false,
            other_system: false,
            only: None,
            same_authority: false,
        }
    }
}

impl Request<'_> {
    /// The least role that may ask this.
    pub fn needs(&self) -> Role {
        match self {
            Request::Ping
            | Request::Page
            | Request::Metrics
            | Request::Token
            | Request::Logs { .. }
            | Request::Watch { .. }
            | Request::Cancel { .. }
            | Request::Describe
            | Request::System
            | Request::Lines { .. }
            | Request::History => Role::View,
            Request::Restart { .. }
            | Request::Stop { .. }
            | Request::Start { .. }
            | Request::Reboot
            | Request::PowerOff
            | Request::RollBack(_)
            | Request::Confirm { .. } => Role::Operate,
            Request::Begin { .. }
            | Request::Lacks
            | Request::Put { .. }
            | Request::Deploy(_)
            | Request::DeleteVolume { .. }
            | Request::Forget
            | Request::Successor { .. } => Role::Deploy,
        }
    }

    /// In words, as in "anna may not ...".
    pub fn what(&self) -> &'static str {
        match self {
            Request::Restart { .. } => "restart boxes",
            Request::Stop { .. } => "stop boxes",
            Request::Start { .. } => "start boxes",
            Request::Reboot => "reboot the node",
            Request::PowerOff => "switch the node off",
            Request::RollBack(_) => "roll back",
            Request::Confirm { .. } => "confirm what was deployed",
            Request::DeleteVolume { .. } => "delete volumes",
            _ if self.needs() == Role::Deploy => "deploy",
            _ => "look",
        }
    }

    /// What it changes, as in "anna ...", where that is worth a line in the log.
    pub fn changes(&self) -> Option<String> {
        Some(match self {
            Request::Restart { name } => alloc::format!("restarts {name}"),
            Request::Stop { name } => alloc::format!("stops {name}"),
            Request::Start { name } => alloc::format!("starts {name}"),
            Request::Reboot => "reboots the node".into(),
            Request::PowerOff => "switches the node off".into(),
            Request::RollBack(_) => "rolls back".into(),
            Request::Deploy(_) => "deploys".into(),
            Request::DeleteVolume { name, .. } => alloc::format!("deletes volume {name}"),
            Request::Confirm { .. } => "confirms what was deployed".into(),
            _ => return None,
        })
    }
}

impl Role {
    pub const ALL: [Role; 3] = [Role::View, Role::Operate, Role::Deploy];

    pub fn word(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Operate => "operate",
            Role::Deploy => "deploy",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl From<Result<(), String>> for Response {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Response::Refused, |()| Response::Done)
    }
}

impl From<Result<u64, String>> for Response {
    fn from(result: Result<u64, String>) -> Self {
        result.map_or_else(Response::Refused, Response::Number)
    }
}

impl From<Result<String, String>> for Response {
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Response::Refused, Response::Text)
    }
}

/// # Panics
/// If memory ends.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("messages can be written")
}

/// None: it is no such message, or more than one.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(message, _)| message)
}
