//! Bodies that are packed on their way to the client.
//!
//! A packer holds back what it has no code for yet. At the end of each turn it is made to write all of it: a handler that goes on slowly, as
//! with a stream of events, is not held up, and one that goes on quickly is packed well.

use super::{Http, output::put};
use crate::connection::CREDIT_STEP;
use crate::exchange::Response;
use crate::packing::{Offer, Packer};
use message::chunked::size_line;
use message::response::Body;

/// What is kept of the buffer from turn to turn.
const KEPT: usize = 16 << 10;

impl Http {
    /// What may be done with the body of a response now: where there is no memory to pack another one, it goes as it is.
    #[inline]
    pub(super) fn offer_now(&self, offer: Offer) -> Offer {
        if offer == Offer::Packed && (self.is_pressed() || !self.packers.has_room()) { Offer::Plain } else { offer }
    }

    /// Some of a body that is packed has come.
    #[cold]
    #[inline(never)]
    pub(super) fn pack(&mut self, peer: u32, id: u32, data: &[u8]) {
        let mut taken = data.len();
        self.with_packer(id, |packer, out| {
            if let Some(left) = &mut packer.left {
                taken = taken.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
            }
            packer.add(&data[..taken], out);
        });
        let Some(exchange) = self.exchanges.get(id) else { return };
        let uncredited = exchange.uncredited;
        if let Some(packer) = &mut exchange.packer
            && !core::mem::replace(&mut packer.is_behind, true)
        {
            self.behind.push(id);
        }
        if taken < data.len() {
            self.too_much(peer, id);
        } else if uncredited >= CREDIT_STEP {
            self.credit_handler(id);
        }
    }

    /// The turn ends: clients get what has come for them.
    #[cold]
    #[inline(never)]
    pub(super) fn catch_up(&mut self) {
        let mut behind = core::mem::take(&mut self.behind);
        for id in behind.drain(..) {
            self.with_packer(id, |packer, out| {
                if core::mem::take(&mut packer.is_behind) {
                    packer.flush(out);
                }
            });
            if let Some(exchange) = self.exchanges.get(id)
                && exchange.is_stream_of_2
            {
                let key = exchange.connection;
                self.touch_session_of(key);
            }
        }
        self.behind = behind;
    }

    /// All of a body has come that is packed, if it is. False: it is not as long as it was to be.
    pub(super) fn finish_packing(&mut self, peer: u32, id: u32) -> bool {
        let exchange = self.exchanges.get(id).filter(|exchange| matches!(exchange.response, Response::Body(_)));
        match exchange.and_then(|exchange| exchange.packer.as_ref()).map(|packer| packer.left) {
            None => return true,
            Some(Some(1..)) => {
                self.misbehaves(peer, id, "a body shorter than its content-length");
                return false;
            }
            Some(_) => {}
        }
        self.with_packer(id, Packer::finish);
        if let Some(packer) = self.exchanges.get(id).and_then(|exchange| exchange.packer.take()) {
            self.packers.give_back(*packer);
        }
        true
    }

    /// Has the packer of a response write, which the client gets, unless the response is over.
    fn with_packer(&mut self, id: u32, write: impl FnOnce(&mut Packer, &mut Vec<u8>)) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (Some(packer), Response::Body(body)) = (&mut exchange.packer, exchange.response) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        let mut out = core::mem::take(&mut self.packed);
        out.clear();
        write(packer, &mut out);
        if !out.is_empty() {
            let mut size = [0; 18];
            let (line, end): (&[u8], &[u8]) =
                if body == Body::Chunked { (size_line(out.len(), &mut size), b"\r\n") } else { (b"", b"") };
            exchange.record.body_bytes += out.len() as u64;
            self.batched += out.len();
            self.buffered += put(&mut self.tcp, connection, exchange, self.now, [line, &out, end]);
        }
        if out.capacity() <= KEPT {
            self.packed = out;
        }
    }
}
