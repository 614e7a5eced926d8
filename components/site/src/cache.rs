//! Representations kept ready in the box.

use std::ops::Range;
use wit::{Batch, INITIAL_CREDIT, http::Event};

/// A representation that is at hand: the head of its 200, and its content if it is small.
///
/// If all of it can be sent at once, the answer is kept as the records it consists of: then answering takes one copy
/// and the request's number in three places.
#[derive(Debug)]
pub struct Prepared {
    /// the header lines, in `packed`
    head: Range<usize>,
    /// the content, in `packed`
    body: Option<Range<usize>>,
    packed: Vec<u8>,
    /// where in `packed` the request's number is, if `packed` is a whole answer
    numbers: Vec<usize>,
}

impl Prepared {
    pub fn new(head: &[u8], body: Option<Vec<u8>>) -> Self {
        let mut batch = Batch::with_capacity(head.len() + body.as_ref().map_or(0, Vec::len) + 64);
        Event::Response { request: 0, status: 200, headers: head }.encode(&mut batch);
        let head = batch.len() - head.len()..batch.len();
        let mut numbers = vec![NUMBER];
        let body = body.map(|body| {
            if body.len() > INITIAL_CREDIT as usize {
                numbers.clear();
                batch.append(&body);
                return batch.len() - body.len()..batch.len();
            }
            if !body.is_empty() {
                numbers.push(batch.len() + NUMBER);
                Event::Body { request: 0, data: &body }.encode(&mut batch);
            }
            let range = batch.len() - body.len()..batch.len();
            numbers.push(batch.len() + NUMBER);
            Event::End { request: 0 }.encode(&mut batch);
            range
        });
        if body.is_none() {
            numbers.clear();
        }
        Prepared { head, body, packed: batch.into_bytes(), numbers }
    }

    pub fn head(&self) -> &[u8] {
        &self.packed[self.head.clone()]
    }

    /// None: it is not kept.
    pub fn body(&self) -> Option<&[u8]> {
        Some(&self.packed[self.body.clone()?])
    }

    /// All records of the answer to a request, if they need no more than the credit of a new response.
    #[inline]
    pub fn answer(&mut self, request: u32) -> Option<&[u8]> {
        if self.numbers.is_empty() {
            return None;
        }
        for &at in &self.numbers {
            self.packed[at..at + 4].copy_from_slice(&request.to_le_bytes());
        }
        Some(&self.packed)
    }

    fn bytes(&self) -> usize {
        self.packed.capacity()
    }
}

/// Where in a record its number is.
const NUMBER: usize = 4;

/// Bounded by bytes. What was not asked for since the hand last came by goes first (the clock algorithm).
#[derive(Debug)]
pub struct Cache {
    /// by representation
    slots: Vec<Option<Slot>>,
    /// representations that have a slot, in the order the hand visits them
    circle: Vec<u32>,
    hand: usize,
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct Slot {
    prepared: Prepared,
    asked_for: bool,
}

impl Cache {
    pub fn new(representations: usize, limit: usize) -> Self {
        let slots = (0..representations).map(|_| None).collect();
        Cache { slots, circle: Vec::new(), hand: 0, bytes: 0, limit }
    }

    #[inline]
    pub fn get(&mut self, representation: u32) -> Option<&mut Prepared> {
        let slot = self.slots.get_mut(representation as usize)?.as_mut()?;
        slot.asked_for = true;
        Some(&mut slot.prepared)
    }

    /// The most bytes that one representation may take.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Keeps a representation that is not there yet, if it can fit at all.
    pub fn insert(&mut self, representation: u32, prepared: Prepared) {
        let bytes = prepared.bytes();
        if bytes > self.limit || self.slots[representation as usize].is_some() {
            return;
        }
        while self.bytes + bytes > self.limit {
            self.evict();
        }
        self.bytes += bytes;
        self.slots[representation as usize] = Some(Slot { prepared, asked_for: false });
        self.circle.push(representation);
    }

    fn evict(&mut self) {
        loop {
            self.hand = if self.hand < self.circle.len() { self.hand } else { 0 };
            let slot = &mut self.slots[self.circle[self.hand] as usize];
            match slot {
                Some(slot) if slot.asked_for => {
                    slot.asked_for = false;
                    self.hand += 1;
                }
                _ => break,
            }
        }
        let representation = self.circle.swap_remove(self.hand);
        if let Some(slot) = self.slots[representation as usize].take() {
            self.bytes -= slot.prepared.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(bytes: usize) -> Prepared {
        let prepared = Prepared::new(&[0; 10], Some(vec![0; bytes - 10 - 64]));
        assert_eq!(prepared.bytes(), bytes);
        prepared
    }

    #[test]
    fn answers_are_the_records_they_stand_for() {
        for size in [None, Some(0), Some(1), Some(65_536), Some(65_537), Some(1 << 25)] {
            let content = size.map(|size| vec![b'x'; size]);
            let mut prepared = Prepared::new(b"a: b\r\n", content.clone());
            assert_eq!((prepared.head(), prepared.body()), (&b"a: b\r\n"[..], content.as_deref()));
            let answer = [7, u32::MAX].map(|request| {
                let mut batch = Batch::new();
                Event::Response { request, status: 200, headers: b"a: b\r\n" }.encode(&mut batch);
                let data = content.as_deref().filter(|content| content.len() <= 65_536)?;
                if !data.is_empty() {
                    Event::Body { request, data }.encode(&mut batch);
                }
                Event::End { request }.encode(&mut batch);
                Some(batch.into_bytes())
            });
            assert_eq!(prepared.answer(7), answer[0].as_deref(), "{size:?}");
            assert_eq!(prepared.answer(u32::MAX), answer[1].as_deref(), "{size:?}");
        }
    }

    #[test]
    fn stays_within_its_limit_and_keeps_what_is_asked_for() {
        let mut cache = Cache::new(100, 1_000);
        cache.insert(0, prepared(100));
        for other in 1..100 {
            assert!(cache.get(0).is_some(), "gone before {other}");
            cache.insert(other, prepared(100));
            assert!(cache.bytes <= 1_000);
            assert!(cache.slots[other as usize].is_some());
        }
        assert_eq!(cache.slots.iter().flatten().count(), 10);
        assert_eq!(cache.circle.len(), 10);
    }

    #[test]
    fn what_cannot_fit_is_not_kept_and_costs_nobody_a_place() {
        let mut cache = Cache::new(2, 1_000);
        cache.insert(0, prepared(1_000));
        cache.insert(1, prepared(1_001));
        assert!(cache.get(0).is_some() && cache.get(1).is_none());
        let mut none = Cache::new(1, 0);
        none.insert(0, prepared(100));
        assert!(none.get(0).is_none());
    }
}
