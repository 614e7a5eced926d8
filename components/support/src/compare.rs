/// Whether two slices are equal, by eight bytes at a time. `==` becomes a call of `memcmp`, which in WebAssembly looks at
/// single bytes.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let (words_a, rest_a) = a.as_chunks::<8>();
    let (words_b, rest_b) = b.as_chunks::<8>();
    let differ = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
    a.len() == b.len()
        && words_a.iter().zip(words_b).map(differ).fold(0, |all, each| all | each) == 0
        && rest_a.iter().zip(rest_b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let text = *b"The quick brown fox jumps over the lazy dog";
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
