//! What a request may be for, and what its status may be.

/// RFC 9110, section 15: a status after which no other follows.
pub const fn is_final(status: u16) -> bool {
    matches!(status, 200..=599)
}

/// RFC 9112, section 3.2.1: what begins with a slash and has no spaces, controls or fragment.
pub fn is_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// RFC 9110, section 4.2: a host and perhaps a port, without anything that would end them.
pub fn is_authority(authority: &str) -> bool {
    !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@\\\"<>".contains(&b))
}
