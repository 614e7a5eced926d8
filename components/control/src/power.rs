//! What the box does to the world: the arrow `pearwood:control/node`, and those that carry bytes.

use serde::{Deserialize, Serialize};

/// How a system is deployed: see the WIT. Nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub ready: u64,
    pub drain: u64,
    pub trial: u64,
    /// Goes on even if the key that asks, or any, could not do as much afterwards.
    pub allow_lockout: bool,
    /// Though it is a system of another name.
    pub other_system: bool,
}

/// Who would have the power over the node with another system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    /// The settings of the box that has it. None: no box has.
    pub settings: Option<Vec<(String, String)>>,
    /// That box is another than now, or has other settings, or other keys may sign images.
    pub is_other: bool,
}

impl Default for Settings {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Settings {
            ready: 10 * SECOND,
            drain: 10 * SECOND,
            trial: 10 * SECOND,
            allow_lockout: false,
            other_system: false,
        }
    }
}

/// `pearwood:control/node`
pub trait Power {
    fn describe(&mut self) -> String;
    fn system(&mut self) -> String;
    fn logs(&mut self, name: &str, first: u64) -> Result<String, String>;
    fn restart(&mut self, name: &str, by: &str) -> Result<(), String>;
    fn stop(&mut self, name: &str, by: &str) -> Result<(), String>;
    fn start(&mut self, name: &str, by: &str) -> Result<(), String>;
    fn history(&mut self) -> String;
    /// `same_authority`: refused if it gave the power over the node to others.
    fn roll_back(&mut self, settings: &Settings, by: &str, same_authority: bool) -> Result<u64, String>;
    fn begin(&mut self, manifest: &[u8]) -> Result<u64, String>;
    fn lacks(&mut self) -> Result<Vec<u8>, String>;
    fn put(&mut self, hash: &[u8], length: u64, offset: u64, part: &[u8]) -> Result<(), String>;
    fn deploy(&mut self, settings: &Settings, by: &str) -> Result<u64, String>;
    fn forget(&mut self);
    /// None: it is not known before it is read.
    fn successor(&mut self, begun: bool) -> Result<Option<Authority>, String>;
}

/// The box's other arrows.
pub trait Outside: Power {
    /// False: the peer has no room and has taken nothing.
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool;
    /// 32 bytes that nobody can guess.
    fn random(&mut self) -> [u8; 32];
    fn log(&mut self, level: Level, line: &str);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
}
