//! What messages are for, as their form tells.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

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

/// The most bytes that are signed for an account.
const MAX_REQUEST: usize = 64 << 10;

/// A header of RFC 8555, section 6.2. What else it may have is not known here, and not signed.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    nonce: &'a str,
    url: &'a str,
    kid: Option<&'a str>,
    #[serde(borrow)]
    jwk: Option<Jwk<'a>>,
}

/// RFC 7518, section 6.2.1
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk<'a> {
    kty: &'a str,
    crv: &'a str,
    x: &'a str,
    y: &'a str,
}

/// Whether the account with this public key (x and y) asks a certificate authority for something with such a message, the input of a
/// signature of RFC 7515. What a server of TLS signs has spaces or a NUL, and this has none.
///
/// # Errors
/// What is wrong with it.
pub fn check_request(message: &[u8], account: &[u8; 64]) -> Result<(), String> {
    let wrong = |why: &str| format!("this is not what an account of RFC 8555 signs: {why}");
    if message.len() > MAX_REQUEST {
        return Err(wrong("it has more than 65,536 bytes"));
    }
    let text = str::from_utf8(message).map_err(|_| wrong("it is no text"))?;
    let (protected, payload) = text.split_once('.').ok_or_else(|| wrong("it has no `.`"))?;
    let read = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| wrong("it is not of BASE64URL"));
    let (protected, payload) = (read(protected)?, read(payload)?);
    let header: Header<'_> =
        serde_json::from_slice(&protected).map_err(|error| wrong(&format!("its header: {error}")))?;
    if header.alg != "ES256" || header.nonce.is_empty() || !header.url.starts_with("https://") {
        return Err(wrong("`alg`, `nonce` and `url` are not those of a request"));
    }
    match (header.kid, header.jwk) {
        (Some(kid), None) if kid.starts_with("https://") => {}
        (None, Some(jwk)) => {
            let (x, y) = account.split_at(32);
            let is = |part: &str, own: &[u8]| part == BASE64_URL_SAFE_NO_PAD.encode(own);
            if jwk.kty != "EC" || jwk.crv != "P-256" || !is(jwk.x, x) || !is(jwk.y, y) {
                return Err(wrong("`jwk` is not the account's key"));
            }
        }
        _ => return Err(wrong("it has one of `jwk` and `kid`, which is a URL")),
    }
    // that of POST-as-GET (section 6.3)
    if payload.is_empty() {
        return Ok(());
    }
    let Names(names) = serde_json::from_slice(&payload)
        .map_err(|_| wrong("its payload is no object of JSON that has each name once"))?;
    // A change of the account's key (section 7.3.5) has another request within, in whichever form of RFC 7515. Some that read JSON
    // take capitals for small letters.
    let within = ["protected", "signature", "signatures"];
    if names.iter().any(|name| within.iter().any(|part| name.eq_ignore_ascii_case(part))) {
        return Err(wrong("it would change the account's key"));
    }
    Ok(())
}

/// The names in an object, each of which it has once: of two, nobody knows which one the authority takes.
struct Names(BTreeSet<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Names, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, IgnoredAny)) = object.next_entry::<String, _>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(Names(names))
    }
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
