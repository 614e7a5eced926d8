//! What messages are for, as their form tells.

/// What a message of TLS 1.3 begins with that a server signs (RFC 8446, section 4.4.3).
const TLS13: &[u8] = b"TLS 1.3, server CertificateVerify\0";
const SPACES: usize = 64;
/// Hashes of a handshake: SHA-256, SHA-384.
const HASHES: [usize; 2] = [32, 48];

/// Random numbers of client and server (RFC 5246, section 7.4.1).
const RANDOMS: usize = 64;
/// `named_curve` (RFC 8422, section 5.4), a curve, and the length of a point on it.
const CURVES: [[u8; 4]; 2] = [[3, 0, 23, 65], [3, 0, 29, 32]];

/// Whether a server signs such a message in a handshake of TLS 1.3, or of TLS 1.2 with ECDHE on P-256 or X25519. No message of one
/// is one of the other: where one has a `T`, the other has a 3.
pub fn is_of_tls(message: &[u8]) -> bool {
    is_tls13(message) || is_tls12(message)
}

fn is_tls13(message: &[u8]) -> bool {
    let Some((spaces, rest)) = message.split_at_checked(SPACES) else { return false };
    let hash = rest.strip_prefix(TLS13);
    spaces.iter().all(|byte| *byte == b' ') && hash.is_some_and(|hash| HASHES.contains(&hash.len()))
}

fn is_tls12(message: &[u8]) -> bool {
    let parameters = message.split_at_checked(RANDOMS).and_then(|(_, rest)| rest.split_first_chunk::<4>());
    parameters.is_some_and(|(curve, point)| CURVES.contains(curve) && point.len() == usize::from(curve[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_signs_is_of_tls() {
        let tls13 = |prefix: &[u8], hash| [&[b' '; 64], prefix, &vec![7; hash]].concat();
        let tls12 = |curve: [u8; 4], point| [&[1; 64][..], &curve, &vec![7; point]].concat();
        for good in [tls13(TLS13, 32), tls13(TLS13, 48), tls12([3, 0, 23, 65], 65), tls12([3, 0, 29, 32], 32)] {
            assert!(is_of_tls(&good));
            assert!(!is_of_tls(&good[1..]) && !is_of_tls(&good[..good.len() - 1]));
            assert!(!is_of_tls(&[&good[..], b"x"].concat()));
        }
        for bad in [
            tls13(b"TLS 1.3, client CertificateVerify\0", 32),
            tls13(TLS13, 64),
            tls12([3, 0, 24, 97], 97),
            tls12([1, 0, 23, 65], 65),
            b"any document".to_vec(),
            Vec::new(),
        ] {
            assert!(!is_of_tls(&bad));
        }
    }
}
