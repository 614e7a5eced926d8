//! Responses under way to one peer, and whose turn it is.

use crate::body::Body;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use wit::INITIAL_CREDIT;

/// Responses that may be under way to one peer at a time.
pub const MOST_STREAMS: usize = 4_096;

/// A head that has not been sent.
#[derive(Debug)]
pub enum PendingHead {
    Sent,
    /// That of the 200 with the whole representation.
    Whole,
    Lines(u16, Box<[u8]>),
}

#[derive(Debug)]
pub struct Stream {
    pub head: PendingHead,
    /// The one the body's file spans are of.
    pub representation: u32,
    pub body: Body,
    /// Bytes of body that the peer has room for.
    pub credit: u32,
    waits_for_turn: bool,
    serial: u32,
}

/// The streams of one peer, by request.
#[derive(Debug, Default)]
pub struct Streams {
    streams: FxHashMap<u32, Stream>,
    /// Requests that can go on, with their serial: the number may have been cancelled and used again since.
    turns: VecDeque<(u32, u32)>,
    /// Those that wait for their file, in the same way.
    awaiting: Vec<(u32, u32)>,
    serial: u32,
}

impl Streams {
    /// A new response. False: there are too many.
    pub fn start(&mut self, request: u32, head: PendingHead, representation: u32, body: Body) -> bool {
        if self.streams.len() >= MOST_STREAMS && !self.streams.contains_key(&request) {
            return false;
        }
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let stream = Stream { head, representation, body, credit: INITIAL_CREDIT, waits_for_turn: true, serial };
        self.streams.insert(request, stream);
        self.turns.push_back((request, serial));
        true
    }

    pub fn get_mut(&mut self, request: u32) -> Option<&mut Stream> {
        self.streams.get_mut(&request)
    }

    pub fn add_credit(&mut self, request: u32, bytes: u32) {
        let Some(stream) = self.streams.get_mut(&request) else { return };
        stream.credit = stream.credit.saturating_add(bytes);
        if stream.credit > 0 && !stream.waits_for_turn {
            stream.waits_for_turn = true;
            self.turns.push_back((request, stream.serial));
        }
    }

    pub fn cancel(&mut self, request: u32) {
        self.streams.remove(&request);
    }

    pub fn can_go_on(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Takes the next turn. Whoever takes it gives it back with `done` or `again`.
    pub fn next_turn(&mut self) -> Option<(u32, &mut Stream)> {
        let (request, _) = loop {
            let turn = self.turns.pop_front()?;
            if self.streams.get(&turn.0).is_some_and(|stream| stream.serial == turn.1) {
                break turn;
            }
        };
        let stream = self.streams.get_mut(&request)?;
        stream.waits_for_turn = false;
        Some((request, stream))
    }

    pub fn done(&mut self, request: u32) {
        self.streams.remove(&request);
    }

    /// The stream goes on when its file may be there.
    pub fn awaits_file(&mut self, request: u32) {
        if let Some(stream) = self.streams.get_mut(&request) {
            // it has one turn, whatever credit comes meanwhile
            stream.waits_for_turn = true;
            self.awaiting.push((request, stream.serial));
        }
    }

    /// Files that were waited for may be there.
    pub fn fetch_again(&mut self) {
        self.turns.extend(self.awaiting.drain(..));
    }

    /// The stream goes on as soon as it has credit.
    pub fn again(&mut self, request: u32) {
        self.add_credit(request, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(streams: &mut Streams, request: u32) -> bool {
        streams.start(request, PendingHead::Sent, 0, Body::Text("x"))
    }

    #[test]
    fn turns_go_round_and_wait_for_credit() {
        let mut streams = Streams::default();
        assert!(start(&mut streams, 7) && start(&mut streams, 8));
        let (request, stream) = streams.next_turn().unwrap();
        assert_eq!((request, stream.credit), (7, INITIAL_CREDIT));
        streams.again(7);
        let (request, stream) = streams.next_turn().unwrap();
        assert_eq!(request, 8);
        stream.credit = 0;
        streams.again(8);
        assert_eq!(streams.next_turn().unwrap().0, 7);
        streams.done(7);
        assert!(!streams.can_go_on());
        streams.add_credit(8, 1);
        streams.add_credit(8, u32::MAX);
        assert_eq!(streams.next_turn().unwrap().0, 8);
        assert!(streams.next_turn().is_none());
    }

    #[test]
    fn who_waits_for_a_file_has_one_turn_when_it_may_be_there() {
        let mut streams = Streams::default();
        assert!(start(&mut streams, 7) && start(&mut streams, 8));
        for _ in 0..2 {
            let (request, _) = streams.next_turn().unwrap();
            streams.awaits_file(request);
        }
        streams.add_credit(7, 10);
        streams.cancel(8);
        assert!(!streams.can_go_on());
        streams.fetch_again();
        assert_eq!(streams.next_turn().unwrap().0, 7);
        assert!(streams.next_turn().is_none());
    }

    #[test]
    fn a_number_used_again_has_one_turn() {
        let mut streams = Streams::default();
        for _ in 0..3 {
            assert!(start(&mut streams, 7));
            streams.cancel(7);
        }
        assert!(start(&mut streams, 7));
        assert_eq!(streams.next_turn().unwrap().0, 7);
        assert!(streams.next_turn().is_none());
    }

    #[test]
    fn no_more_than_the_most() {
        let mut streams = Streams::default();
        assert!((0..MOST_STREAMS as u32).all(|request| start(&mut streams, request)));
        assert!(!start(&mut streams, MOST_STREAMS as u32));
        assert!(start(&mut streams, 0), "a number used again replaces the one before");
        streams.cancel(3);
        assert!(start(&mut streams, MOST_STREAMS as u32));
    }
}
