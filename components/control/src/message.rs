//! What the two sides say to each other: postcard, one value a message.
//!
//! A message carries the number of its request, the client's choice from 1 on. A request is answered by one response, or
//! by some [`Response::More`] and then one that is the last.

use crate::power::Settings;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What this protocol is at. The first message says it.
pub const VERSION: u16 = 2;

/// The first message of the client, number 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u16,
    /// ed25519
    pub key: [u8; 32],
    /// over the channel's statement, in two halves
    pub signature: ([u8; 32], [u8; 32]),
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    Welcome {
        role: Role,
        /// as the node's declaration calls the owner of the key
        name: String,
    },
    /// Why, in words. The channel ends.
    Refused(String),
}

/// What a key may do: each includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// see all that there is to see
    View,
    /// restart, stop and start boxes; go back to the system of before
    Operate,
    /// change the system
    Deploy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Nothing: the client is still there.
    Ping,
    /// JSON
    Describe,
    /// `system.toml`
    System,
    /// What has been measured, in Prometheus' text format.
    Metrics,
    /// Lines of the log of a box, or of all: [`LogLines`] as JSON in each response. The last 64 of each box are there.
    Logs {
        name: Option<String>,
        follow: bool,
    },
    Restart {
        name: String,
    },
    Stop {
        name: String,
    },
    Start {
        name: String,
    },
    /// JSON
    History,
    /// The number of the deployment.
    RollBack(Settings),
    /// How many bytes are lacking.
    Begin {
        manifest: Vec<u8>,
    },
    /// Hashes, 32 bytes each.
    Lacks,
    /// A part of a blob.
    Put {
        hash: [u8; 32],
        length: u64,
        offset: u64,
        part: Vec<u8>,
    },
    /// The number of the deployment.
    Deploy(Settings),
    /// How a deployment goes: its record as JSON at each step, and at last when it is over.
    Watch {
        number: u64,
    },
    /// No more of that request.
    Cancel {
        request: u32,
    },
    /// The web console: HTML that asks for `describe`, `logs` and so on beside it.
    Page,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    Done,
    Text(String),
    Number(u64),
    Bytes(Vec<u8>),
    /// Others follow.
    More(String),
    /// Why not, in words.
    Refused(String),
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
    pub level: String,
    pub text: String,
}

impl Request {
    /// The least role that may ask this.
    pub fn needs(&self) -> Role {
        match self {
            Request::Ping
            | Request::Describe
            | Request::System
            | Request::Metrics
            | Request::Logs { .. }
            | Request::History
            | Request::Watch { .. }
            | Request::Cancel { .. }
            | Request::Page => Role::View,
            Request::Restart { .. } | Request::Stop { .. } | Request::Start { .. } | Request::RollBack(_) => {
                Role::Operate
            }
            Request::Begin { .. } | Request::Lacks | Request::Put { .. } | Request::Deploy(_) => Role::Deploy,
        }
    }

    /// In words, as in "anna may not ...".
    pub fn what(&self) -> &'static str {
        match self {
            Request::Restart { .. } => "restart boxes",
            Request::Stop { .. } => "stop boxes",
            Request::Start { .. } => "start boxes",
            Request::RollBack(_) => "roll back",
            Request::Begin { .. } | Request::Lacks | Request::Put { .. } | Request::Deploy(_) => "deploy",
            _ => "look",
        }
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

/// # Panics
/// If memory ends.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("messages can be written")
}

/// None: it is no such message, or more than one.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(message, _)| message)
}
