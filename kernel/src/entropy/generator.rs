//! ChaCha20 with fast key erasure (Bernstein, 2017): each run of the cipher yields the next key first, and output is
//! forgotten as it is given out. Whoever learns the state learns nothing of what was given out before.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const KEY: usize = 32;
/// Four blocks, which is what the cipher's implementation makes at a time.
const RUN: usize = 256;

/// Invariant: `output[left..]` has been given out and is zero.
pub struct Generator {
    key: [u8; KEY],
    output: [u8; RUN - KEY],
    left: usize,
}

impl Generator {
    /// Predictable until something has been absorbed.
    pub const fn new() -> Self {
        Generator { key: [0; KEY], output: [0; RUN - KEY], left: 0 }
    }

    /// Mixes bytes into the key. However bad or hostile they are, the key gets no worse.
    pub fn absorb(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(KEY) {
            self.key.iter_mut().zip(part).for_each(|(key, byte)| *key ^= byte);
            self.run();
        }
    }

    /// True if the next byte takes a run of the cipher.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    pub fn fill(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.is_spent() {
                self.run();
            }
            let count = bytes.len().min(self.left);
            let (now, later) = bytes.split_at_mut(count);
            let taken = &mut self.output[self.left - count..self.left];
            now.copy_from_slice(taken);
            taken.fill(0);
            self.left -= count;
            bytes = later;
        }
    }

    fn run(&mut self) {
        let mut stream = [0; RUN];
        ChaCha20Rng::from_seed(self.key).fill_bytes(&mut stream);
        let (key, output) = stream.split_at(KEY);
        self.key.copy_from_slice(key);
        self.output.copy_from_slice(output);
        self.left = self.output.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn take(generator: &mut Generator, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        generator.fill(&mut bytes);
        bytes
    }

    #[test]
    fn the_stream_is_chacha20() {
        // RFC 8439, A.1, test vectors 1 and 2: key 0, blocks 0 and 1. The key is the first half of block 0; output is
        // taken from the end.
        let mut generator = Generator::new();
        generator.absorb(&[0]);
        assert_eq!(generator.key[..4], [0x76, 0xb8, 0xe0, 0xad]);
        assert_eq!(generator.output[..4], [0xda, 0x41, 0x59, 0x7c]);
        assert_eq!(generator.output[32..36], [0x9f, 0x07, 0xe7, 0xbe]);
    }

    #[test]
    fn nothing_given_out_stays() {
        let mut generator = Generator::new();
        generator.absorb(b"seed");
        let (first, key) = (take(&mut generator, 100), generator.key);
        assert!(first.iter().any(|byte| *byte != 0));
        assert!(generator.output[generator.left..].iter().all(|byte| *byte == 0));
        take(&mut generator, 200);
        assert_ne!(generator.key, key);
    }

    #[test]
    fn all_that_is_absorbed_counts() {
        let seeds: [&[u8]; 5] = [b"a", b"b", b"ab", &[1; 32], &[1; 64]];
        let outputs: Vec<_> = seeds
            .iter()
            .map(|seed| {
                let mut generator = Generator::new();
                generator.absorb(seed);
                take(&mut generator, 32)
            })
            .collect();
        for (index, output) in outputs.iter().enumerate() {
            assert!(!outputs[..index].contains(output), "seed {index}");
        }
    }

    #[test]
    fn fills_any_length() {
        for length in [0, 1, RUN - KEY, RUN - KEY + 1, 4096] {
            let mut generator = Generator::new();
            generator.absorb(b"seed");
            let bytes = take(&mut generator, length);
            assert_eq!(bytes.len(), length);
            // a window of 16 zeroes or a repeated window would mean that a part was not filled
            let windows: Vec<_> = bytes.as_chunks::<16>().0.iter().collect();
            assert!(windows.iter().enumerate().all(|(i, w)| **w != [0; 16] && !windows[..i].contains(w)));
        }
    }
}
