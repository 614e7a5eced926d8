//! Frames that wait for room in a card's queue.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Bytes that may wait, what is kept about each frame included.
pub const LIMIT: usize = 512 << 10;

/// Frames in the order in which they are to be sent.
#[derive(Debug, Default)]
pub struct Backlog {
    frames: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Backlog {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps a frame for later. False if there are too many.
    pub fn push(&mut self, frame: &[u8]) -> bool {
        let bytes = self.bytes + Self::cost(frame);
        if bytes > LIMIT {
            return false;
        }
        self.bytes = bytes;
        self.frames.push_back(frame.into());
        true
    }

    /// Gives frames to `send`, oldest first, until it fails. The frame that it fails for stays the first.
    pub fn drain<E>(&mut self, mut send: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while let Some(frame) = self.frames.front() {
            send(frame)?;
            self.bytes -= Self::cost(frame);
            self.frames.pop_front();
        }
        // Such times are rare, and the memory is for others between them.
        self.frames = VecDeque::new();
        Ok(())
    }

    pub fn clear(&mut self) {
        *self = Backlog::default();
    }

    fn cost(frame: &[u8]) -> usize {
        frame.len() + size_of::<Box<[u8]>>()
    }
}
