//! The header of the PROXY protocol, before anything else of a connection.

use super::{Http, Level, input::Next};
use crate::connection::{Reading, client_of};
use support::proxy;

impl Http {
    /// From then on the connection counts as the client's.
    #[cold]
    #[inline(never)]
    pub(super) fn read_proxy(&mut self, key: usize, input: &[u8]) -> Next {
        let header = match proxy::read(input) {
            Ok(Some(header)) => header,
            Ok(None) => return Next::Wait(0),
            Err(why) => {
                self.refuse_proxy(key, why);
                return Next::Wait(0);
            }
        };
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        connection.reading = Reading::Start;
        connection.since = self.now;
        let Some(client) = header.client else { return Next::On(header.length) };
        self.connections.set_remote(key, client);
        let has = self.connections.of_client(client_of(client.address));
        if has > self.limits.client_connections && !self.make_room(client.address, true) {
            self.abort(key);
        }
        Next::On(header.length)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn refuse_proxy(&mut self, key: usize, why: &str) {
        let Some(connection) = self.connections.get(key) else { return };
        let proxy = connection.remote.address.to_canonical();
        self.say(Level::Warn, format!("{proxy}: {why}: the connection is reset"));
        self.abort(key);
    }
}
