const WORD: usize = 8;
/// What is compared in one turn of the loop: each turn costs a box a look at its time slice.
const BLOCK: usize = 4 * WORD;

/// Whether two slices are equal, by words. `==` becomes a call of `memcmp`, which in WebAssembly looks at single bytes.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some(last_a), Some(last_b)) = (a.last_chunk(), b.last_chunk()) else {
        return a.iter().zip(b).all(|(a, b)| a == b);
    };
    let (blocks_a, rest_a) = a.as_chunks::<BLOCK>();
    let (blocks_b, rest_b) = b.as_chunks::<BLOCK>();
    let blocks = blocks_a.iter().zip(blocks_b).map(|(a, b)| difference(a, b)).fold(0, |all, each| all | each);
    // the last word may begin within one that was looked at
    blocks | difference(rest_a, rest_b) | of_word(last_a, last_b) == 0
}

/// Not 0 if the whole words of both differ.
#[inline]
fn difference(a: &[u8], b: &[u8]) -> u64 {
    let words = a.as_chunks().0.iter().zip(b.as_chunks().0);
    words.map(|(a, b)| of_word(a, b)).fold(0, |all, each| all | each)
}

#[inline]
fn of_word(a: &[u8; WORD], b: &[u8; WORD]) -> u64 {
    u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let text =
            *b"The quick brown fox jumps over the lazy dog, who sleeps on, and dreams of another quick brown fox";
        for length in 0..text.len() {
            assert!(same(&text[..length], &text[..length]));
            assert!(!same(&text[..length], &text[..length + 1]));
            for place in 0..length {
                let mut other = text;
                other[place] ^= 0x40;
                assert!(!same(&text[..length], &other[..length]), "byte {place} of {length}");
            }
        }
    }
}
