//! The protocols of arrows that the node knows.

/// The interfaces whose two ends are both imports, joined by queues that the node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Tcp,
    Udp,
    Names,
    Handler,
}

impl Channel {
    pub const ALL: [Channel; 4] = [Channel::Tcp, Channel::Udp, Channel::Names, Channel::Handler];

    /// The interface that a client imports.
    pub const fn client(self) -> &'static str {
        match self {
            Channel::Tcp => "pearwood:net/tcp",
            Channel::Udp => "pearwood:net/udp",
            Channel::Names => "pearwood:net/names",
            Channel::Handler => "pearwood:http/handler",
        }
    }

    /// The interface that the box which provides it imports.
    pub const fn service(self) -> &'static str {
        match self {
            Channel::Tcp => "pearwood:net/tcp-service",
            Channel::Udp => "pearwood:net/udp-service",
            Channel::Names => "pearwood:net/names-service",
            Channel::Handler => "pearwood:http/handler-service",
        }
    }

    /// The one of that protocol.
    pub fn of(path: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.client() == path)
    }
}
