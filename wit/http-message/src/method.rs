//! What of a method matters to whoever passes messages on (RFC 9110, section 9).

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Method {
    /// The response has no body.
    pub is_head: bool,
    /// Requests of safe methods may be under way together (RFC 9112, section 9.3.2).
    pub is_safe: bool,
}

impl Method {
    /// The most bytes of a method's name.
    pub const MOST: usize = 32;

    pub fn of(method: &str) -> Self {
        let is_head = method == "HEAD";
        Method { is_head, is_safe: is_head || matches!(method, "GET" | "OPTIONS" | "TRACE") }
    }
}
