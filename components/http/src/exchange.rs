//! Exchanges: a request that was read, and what there is of its response.

use crate::figures::Place;
use crate::packing::{Offer, Packer};
use message::{Method, response::Body};
use support::Buffer;
use wit::INITIAL_CREDIT;

/// One request and its response.
#[derive(Debug, Default)]
pub struct Exchange {
    /// what the handler knows it by
    id: u32,
    live: bool,
    /// key of the connection
    pub connection: usize,
    /// The peer that has the request, and has not ended or failed it.
    pub handler: Option<u32>,
    pub method: Method,
    /// what it is counted as
    pub host: Place,
    /// HTTP/1.1, not 1.0
    pub is_11: bool,
    /// It is a stream's, of HTTP/2.
    pub is_stream_of_2: bool,
    /// The client takes trailers.
    pub takes_trailers: bool,
    /// The client would change to another protocol.
    pub wants_upgrade: bool,
    /// The request's body goes to the handler still.
    pub request_open: bool,
    /// bytes of the request's body that the handler has room for
    pub request_credit: u32,
    pub response: Response,
    /// bytes of the response, as they go on the wire, that could not be sent yet
    pub held: Buffer,
    /// How the response's body may be sent.
    pub offer: Offer,
    /// Packs the response's body, if it is packed here.
    pub packer: Option<Box<Packer>>,
    /// bytes of the response's body that the handler may send
    pub allowance: u32,
    /// bytes of the response's body that came, and that the handler has no credit for yet
    pub uncredited: u32,
    /// The client waits to be told to send the body; it is told when the handler has not refused the request by then.
    pub continue_at: Option<u64>,
    /// The connection ends with this exchange.
    pub close: bool,
    /// The response is not whole, so the connection must not end as if it were.
    pub reset: bool,
    /// when the handler last did something
    pub progress_at: u64,
    /// Header lines that the response is to have.
    pub headers: String,
    pub record: Record,
}

/// For the access log.
#[derive(Debug, Default)]
pub struct Record {
    /// What is known of it when it comes, if there is an access log: the line, but for what is put in at `split` when the
    /// response is known.
    pub line: String,
    pub split: usize,
    pub started_at: u64,
    pub status: u16,
    pub body_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Response {
    /// no head yet
    #[default]
    Awaited,
    /// The head is written, the body is under way.
    Body(Body),
    /// All is in `held` or sent.
    Done,
}

impl Exchange {
    pub fn id(&self) -> u32 {
        self.id
    }

    /// After an answer 101: both sides send what they like, until they end.
    pub fn is_stream(&self) -> bool {
        self.wants_upgrade && self.response == Response::Body(Body::UntilClose)
    }
}

/// All exchanges, by the number that handlers know them by: 16 bits of place, and 16 that change each time the place
/// is used again, so that what a handler still says about a cancelled request is not taken for its successor's.
#[derive(Debug)]
pub struct Exchanges {
    places: Vec<Exchange>,
    free: Vec<u16>,
    most: usize,
    /// how many are streams'
    streams: usize,
}

/// Places are added by so many, and not doubled: there are many of them, and while they move they are there twice.
const STEP: usize = 256;

impl Exchanges {
    /// No more than `most`.
    pub fn new(most: usize) -> Self {
        Exchanges { places: Vec::new(), free: Vec::new(), most, streams: 0 }
    }

    /// Those that are under way.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Those of them that are streams of HTTP/2.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// `None` if there are as many as can be.
    pub fn insert(&mut self, is_stream_of_2: bool) -> Option<&mut Exchange> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u16::try_from(self.places.len()).ok().filter(|_| self.places.len() < self.most)?;
                if self.places.len() == self.places.capacity() {
                    self.places.reserve_exact(STEP);
                }
                self.places.push(Exchange { id: place.into(), ..Exchange::default() });
                place
            }
        };
        let exchange = &mut self.places[usize::from(place)];
        exchange.live = true;
        self.streams += usize::from(is_stream_of_2);
        exchange.response = Response::Awaited;
        exchange.request_credit = INITIAL_CREDIT;
        exchange.allowance = INITIAL_CREDIT;
        exchange.uncredited = 0;
        exchange.takes_trailers = false;
        exchange.offer = Offer::None;
        exchange.is_stream_of_2 = is_stream_of_2;
        exchange.wants_upgrade = false;
        exchange.continue_at = None;
        exchange.close = false;
        exchange.reset = false;
        exchange.record.status = 0;
        exchange.record.body_bytes = 0;
        Some(exchange)
    }

    #[inline]
    pub fn get(&mut self, id: u32) -> Option<&mut Exchange> {
        self.places.get_mut(usize::from(id as u16)).filter(|exchange| exchange.live && exchange.id == id)
    }

    pub fn remove(&mut self, id: u32) {
        if let Some(exchange) = self.get(id) {
            exchange.live = false;
            exchange.id = id.wrapping_add(1 << 16);
            // A free place takes no memory but its own.
            exchange.held = Buffer::new();
            exchange.packer = None;
            exchange.record.line = String::new();
            exchange.headers = String::new();
            self.streams -= usize::from(exchange.is_stream_of_2);
            self.free.push(id as u16);
        }
    }

    /// Those that a handler has.
    pub fn of_handler(&self, peer: u32) -> Vec<u32> {
        self.places.iter().filter(|exchange| exchange.live && exchange.handler == Some(peer)).map(|e| e.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_used_again_has_another_number() {
        let mut exchanges = Exchanges::new(usize::MAX);
        let first = exchanges.insert(false).unwrap().id();
        let second = exchanges.insert(false).unwrap().id();
        assert_ne!(first, second);
        exchanges.remove(first);
        assert!(exchanges.get(first).is_none());
        let third = exchanges.insert(false).unwrap().id();
        assert_eq!(third as u16, first as u16);
        assert_ne!(third, first);
        assert!(exchanges.get(first).is_none() && exchanges.get(third).is_some());
        exchanges.remove(first);
        assert!(exchanges.get(third).is_some(), "the number of an earlier one removes nothing");
    }

    #[test]
    fn there_are_no_more_than_can_be_numbered() {
        for (most, number) in [(usize::MAX, 1 << 16), (1000, 1000)] {
            let mut exchanges = Exchanges::new(most);
            for _ in 0..number {
                assert!(exchanges.insert(false).is_some());
            }
            assert!(exchanges.insert(false).is_none());
            assert_eq!(exchanges.len(), number);
        }
    }
}
