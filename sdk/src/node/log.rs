//! The box's log. One line at a time; longer ones are cut at 1,024 bytes, and a box that floods is throttled.

use crate::bindings::pearwood::box0_2_0::log;
use std::fmt::Display;

pub use log::Level;

pub fn error(line: impl Display) {
    log::write(Level::Error, &line.to_string());
}

pub fn warn(line: impl Display) {
    log::write(Level::Warn, &line.to_string());
}

pub fn info(line: impl Display) {
    log::write(Level::Info, &line.to_string());
}

pub fn debug(line: impl Display) {
    log::write(Level::Debug, &line.to_string());
}
