//! Which requests are for which box.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use core::net::Ipv6Addr;
use wasm_host::plan::grant::host_name;

/// Which requests an arrow to a handler is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpGrant {
    /// In lower case. Empty: any.
    pub host: String,
    /// A prefix of the path, by whole segments. Empty or `/`: any.
    pub path: String,
}

impl HttpGrant {
    /// As the protocol's `attach` says it.
    pub fn encode(&self) -> Vec<u8> {
        wit::http::Attach { host: &self.host, path: &self.path }.encode()
    }

    /// Whether both are for exactly the same requests.
    pub fn same_requests(&self, other: &HttpGrant) -> bool {
        self.host == other.host && self.path.trim_end_matches('/') == other.path.trim_end_matches('/')
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// A path prefix as requests can have it.
pub fn http_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("the path `{text}` does not begin with `/`"));
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) || text.contains("//") {
        return Err(format!("the path `{text}` is not in its normal form: it has empty, `.` or `..` segments"));
    }
    // RFC 3986, section 3.3: pchar and `/`
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"/-._~!$&'()*+,;=:@%".contains(*c)) {
        return Err(format!("the path `{text}` has {bad:?} in it, which no request's path has unless percent-encoded"));
    }
    Ok(text.to_string())
}

/// A host as requests can name it: a DNS name or an IP address, without a port.
pub fn http_host(text: &str) -> Result<String, String> {
    if text.starts_with('[') && text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    host_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_hosts() {
        assert!(http_path("/echo/").is_ok() && http_path("/").is_ok());
        for bad in ["", "echo", "/a/../b", "/a//b", "/a?b", "/a#b", "/a b", "/é", "/a\n"] {
            assert!(http_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(http_host("Example.org").unwrap(), "example.org");
        assert!(http_host("[::1]").is_ok() && http_host("a:80").is_err() && http_host("").is_err());
        let grant = |host: &str, path: &str| HttpGrant { host: host.into(), path: path.into() };
        assert!(grant("", "/a").same_requests(&grant("", "/a/")) && grant("", "").same_requests(&grant("", "/")));
        assert!(!grant("x", "/a").same_requests(&grant("", "/a")));
    }
}
