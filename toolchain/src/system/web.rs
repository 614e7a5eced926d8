//! What most systems begin with.

use alloc::{format, string::String};

/// The text of a system that serves HTTP at port 80: its boxes `net` and `http`, and the `rest`. `handlers` is TOML: whom requests
/// go to.
pub fn web(name: &str, handlers: &str, rest: &str) -> String {
    format!(
        r#"[system]
name = "{name}"

[box.net]
component = "net"
arrows."pearwood:hardware/nic" = {{ device = "nic0" }}

[box.http]
component = "http"
arrows."pearwood:net/tcp" = {{ box = "net", listen = [80] }}
arrows."pearwood:http/handler" = {handlers}

{rest}"#
    )
}
