use alloc::vec::Vec;

/// Bytes that wait, added at the end and used up from the start.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

/// An empty buffer keeps this much memory at most.
const KEEP: usize = 4096;

impl Buffer {
    pub const fn new() -> Self {
        Buffer { bytes: Vec::new(), start: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes of memory that it takes.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // Used bytes are overwritten once they are the larger part: each byte moves once at most on average.
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// # Panics
    /// If there are fewer bytes than that.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "{count} bytes used of {}", self.len());
        self.start += count;
        if self.is_empty() {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.start = 0;
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order() {
        let mut buffer = Buffer::new();
        let mut expected = 0u8;
        for round in 0..100u8 {
            buffer.push(&[round.wrapping_mul(2), round.wrapping_mul(2) + 1]);
            if round % 3 != 0 {
                assert_eq!(buffer.as_slice()[..3], [expected, expected + 1, expected + 2]);
                buffer.consume(3);
                expected += 3;
            }
        }
        assert_eq!(buffer.len(), 2);
        buffer.consume(2);
        assert!(buffer.is_empty());
        assert_eq!(buffer.as_slice(), []);
    }
}
