//! What the two sides say to each other: postcard, one value a message. What is asked and answered is [`manage`]'s.
//!
//! A message carries the number of its request, the client's choice from 1 on. A request is answered by one response, or
//! by some [`Response::More`] and then one that is the last.

pub use manage::{LogLine, LogLines, Request, Response, Role, Settings, decode, encode};
use serde::{Deserialize, Serialize};

/// What this protocol is at. The first message says it.
pub const VERSION: u16 = 4;

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
