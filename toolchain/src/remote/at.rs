//! Which node, and by which key.

use super::Remote;
use crate::keys;
use anyhow::{Result, bail};
use clap::Args;

/// The port that control boxes listen at unless told otherwise.
const PORT: u16 = 7327;

#[derive(Debug, Clone, Args)]
pub struct At {
    /// The node: HOST or HOST:PORT of its control box
    #[arg(long, value_name = "HOST:PORT", env = "PEARWOOD_NODE")]
    pub node: String,
    #[command(flatten)]
    pub by: By,
}

/// The same, for commands that can do without a node.
#[derive(Debug, Clone, Args)]
pub struct MaybeAt {
    /// The node: HOST or HOST:PORT of its control box
    #[arg(long, value_name = "HOST:PORT", env = "PEARWOOD_NODE")]
    node: Option<String>,
    #[command(flatten)]
    by: By,
}

/// By which key.
#[derive(Debug, Clone, Args)]
pub struct By {
    /// The key by which the node knows you: a name, or a file in PEM
    #[arg(long, value_name = "NAME", env = "PEARWOOD_KEY", default_value = keys::DEVELOPMENT)]
    pub key: String,
    /// Take the node's key for right: the one that is given, or without one any, if the node was not known before
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub accept_key: Option<String>,
}

impl MaybeAt {
    pub fn named(self) -> Option<At> {
        let by = self.by;
        self.node.map(|node| At { node, by })
    }
}

impl At {
    pub fn connect(&self) -> Result<Remote> {
        let key = keys::find(&self.by.key)?;
        Remote::connect(&self.address()?, key, &self.by.key, self.by.accept()?)
    }

    /// With its port.
    pub fn address(&self) -> Result<String> {
        with_port(&self.node)
    }
}

impl By {
    fn accept(&self) -> Result<super::connection::Accept> {
        use super::connection::Accept;
        Ok(match self.accept_key.as_deref() {
            None => Accept::Known,
            Some("") => Accept::FirstUse,
            Some(text) => match keys::node_key(text) {
                Some(key) => Accept::This(key),
                None => bail!("--accept-key: `{text}` is not 64 hexadecimal digits"),
            },
        })
    }
}

fn with_port(node: &str) -> Result<String> {
    let has_port = node.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok_and(|port| port != 0) && (!host.contains(':') || host.ends_with(']'))
    });
    match node {
        "" => bail!("--node: a node is named by HOST or HOST:PORT"),
        _ if has_port => Ok(node.into()),
        _ if node.parse::<std::net::Ipv6Addr>().is_ok() => Ok(format!("[{node}]:{PORT}")),
        _ if node.contains(':') && !node.ends_with(']') => bail!("--node: `{node}` is not HOST or HOST:PORT"),
        _ => Ok(format!("{node}:{PORT}")),
    }
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn addresses() {
        for (node, address) in [
            ("box.home", "box.home:7327"),
            ("box.home:80", "box.home:80"),
            ("fe80::1", "[fe80::1]:7327"),
            ("[fe80::1]:5", "[fe80::1]:5"),
            ("[fe80::1]", "[fe80::1]:7327"),
        ] {
            assert_eq!(with_port(node).unwrap(), address);
        }
        for wrong in ["", "box:http", "box:0", "box:99999"] {
            assert!(with_port(wrong).is_err(), "{wrong}");
        }
    }
}
