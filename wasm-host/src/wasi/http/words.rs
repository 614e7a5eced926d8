//! What boxes say, within limits.

use super::hub::REASON;
use alloc::string::String;
use core::fmt::{self, Write};

/// Why there is no response: the box gave this error in its place.
pub fn in_place(error: &impl fmt::Debug) -> String {
    let mut text = String::new();
    // what is beyond the limit is not written
    let _ = write!(Limited(&mut text), "gave an error in place of a response: {error:?}");
    text
}

/// Takes text up to [`REASON`] bytes.
struct Limited<'a>(&'a mut String);

impl Write for Limited<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = REASON - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}
