//! Which service a request is for, by host and path.

use crate::target::host_of;
use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// The services that have attached, and what each is for. A service that is gone keeps its route, so that its requests are
/// told to come back and do not end up with another.
#[derive(Debug, Default)]
pub struct Routes {
    /// most specific first
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// lower case, without port; empty: any
    host: String,
    /// without the slash at its end; empty: any
    path: String,
    peer: u32,
}

impl Routes {
    /// `peer` is for this route, and for no other.
    pub fn set(&mut self, peer: u32, host: &str, path: &str) {
        self.remove(peer);
        let (host, path) = (host.to_ascii_lowercase(), path.trim_end_matches('/').to_owned());
        self.entries.push(Entry { host, path, peer });
        // Of two for the same, the lower number comes first.
        self.entries.sort_by_key(|entry| (entry.host.is_empty(), core::cmp::Reverse(entry.path.len()), entry.peer));
    }

    /// `peer` gets no more requests.
    pub fn remove(&mut self, peer: u32) {
        self.entries.retain(|entry| entry.peer != peer);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The peer for a request; `target` is path and query.
    pub fn find(&self, authority: &str, target: &str) -> Option<u32> {
        self.find_path(authority, target.split_once('?').map_or(target, |(path, _)| path))
    }

    /// The peer for a path, in which a `?` is none that begins a query.
    pub fn find_path(&self, authority: &str, path: &str) -> Option<u32> {
        let is_host = |host: &str| host_of(authority).trim_end_matches('.').eq_ignore_ascii_case(host);
        self.entries
            .iter()
            .find(|entry| {
                (entry.host.is_empty() || is_host(&entry.host)) && (entry.path.is_empty() || within(path, &entry.path))
            })
            .map(|entry| entry.peer)
    }
}

/// Whether a path starts with the whole segments of `prefix`.
fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.as_bytes().first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(u32, &str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for &(peer, host, path) in list {
            routes.set(peer, host, path);
        }
        routes
    }

    #[test]
    fn the_longest_prefix_by_whole_segments() {
        let routes = routes(&[(0, "", ""), (1, "", "/echo/"), (2, "", "/echo/deep"), (3, "", "/other")]);
        for (target, peer) in [
            ("/", 0),
            ("/echo", 1),
            ("/echo/", 1),
            ("/echo?x", 1),
            ("/echo/x", 1),
            ("/echox", 0),
            ("/echo/deep", 2),
            ("/echo/deep/er", 2),
            ("/echo/deeper", 1),
            ("/other?/echo/", 3),
            ("/?/other", 0),
        ] {
            assert_eq!(routes.find("h", target), Some(peer), "{target}");
        }
    }

    #[test]
    fn a_decoded_path_has_no_query() {
        let routes = routes(&[(0, "", ""), (1, "", "/echo")]);
        assert_eq!((routes.find_path("h", "/echo?x"), routes.find_path("h", "/echo/?x")), (Some(0), Some(1)));
    }

    #[test]
    fn an_exact_host_comes_before_any_host() {
        let routes = routes(&[(0, "", "/a/b"), (1, "Example.org", "/"), (2, "example.org", "/a"), (3, "[::1]", "")]);
        assert_eq!(routes.find("EXAMPLE.ORG:8080", "/a/b"), Some(2));
        assert_eq!(routes.find("example.org", "/x"), Some(1));
        assert_eq!(routes.find("example.org.:80", "/x"), Some(1));
        assert_eq!(routes.find("[::1]:80", "/x"), Some(3));
        assert_eq!(routes.find("[::1]", "/x"), Some(3));
        assert_eq!(routes.find("elsewhere", "/a/b/c"), Some(0));
        assert_eq!(routes.find("elsewhere", "/x"), None);
        assert_eq!(routes.find("", "/a/b"), Some(0));
    }

    #[test]
    fn a_peer_has_one_route() {
        let mut routes = routes(&[(0, "", "/a")]);
        routes.set(0, "", "/b");
        assert_eq!(routes.find("", "/a"), None);
        assert_eq!(routes.find("", "/b"), Some(0));
    }
}
