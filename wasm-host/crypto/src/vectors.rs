//! Published vectors, and whether what is lent agrees with them: the same check for what is linked on Linux and into the kernel.

use crate::{Aead, Crypto, Group, Place, Refused, SECRET};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// Makes the private key of a key exchange, of a group, of these bytes.
///
/// # Safety
/// As for `secret` of the table, and the bytes can be read.
pub type Given = unsafe extern "C" fn(group: u32, private: *const [u8; SECRET], place: *mut Place) -> u32;

/// Holds what is lent against vectors, and yields how many there were. `given` is of the same maker. Each line is one: what it is of,
/// what is expected (`valid`, `invalid`, or `acceptable`, where both are right), and its parts in hexadecimal, `-` for an empty one:
///
/// ```text
/// aes-gcm | chacha20-poly1305   key nonce additional data sealed tag
/// x25519 | p256                 private public shared
/// ecdsa                         public message signature
/// ```
///
/// # Errors
/// The first line that does not hold, and why.
pub fn check(crypto: Crypto, given: Given, text: &str) -> Result<usize, String> {
    let mut count = 0;
    for line in text.lines() {
        vector(crypto, given, line).map_err(|why| format!("{why}: {line}"))?;
        count += 1;
    }
    Ok(count)
}

fn vector(crypto: Crypto, given: Given, line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let of = words.next().unwrap_or_default();
    let expected = words.next().unwrap_or_default();
    let parts: Vec<Vec<u8>> = words.map(hex).collect::<Option<_>>().ok_or("this is no vector")?;
    let held = match (of, &parts[..]) {
        ("aes-gcm" | "chacha20-poly1305", [key, nonce, additional, data, sealed, tag]) => {
            let aead = match (of, key.len()) {
                ("aes-gcm", 16) => Aead::Aes128Gcm,
                ("aes-gcm", _) => Aead::Aes256Gcm,
                _ => Aead::ChaCha20Poly1305,
            };
            record(crypto, aead, [key, nonce, additional, data, sealed, tag], expected == "valid")?
        }
        ("x25519" | "p256", [private, public, shared]) => {
            let group = if of == "x25519" { Group::X25519 } else { Group::P256 };
            let private: &[u8; SECRET] = private.as_slice().try_into().map_err(|_| "this is no private key")?;
            let secret = crypto.given(given, group, private).map_err(|why| why.to_string())?;
            match secret.agree(public) {
                // what is refused is no fault yet
                Err(refused) => Err(refused),
                Ok(agreed) => require(agreed[..] == shared[..], "another secret").map(Ok)?,
            }
        }
        ("ecdsa", [public, message, signature]) => crypto.verify(public, message, signature),
        _ => return Err("this is no vector".into()),
    };
    match expected {
        "valid" => held.map_err(|why| why.to_string()),
        "invalid" => require(held.is_err(), "it was taken"),
        _ => Ok(()),
    }
}

/// Opens, and seals as well what is to be had so.
fn record(
    crypto: Crypto,
    aead: Aead,
    [key, nonce, additional, data, sealed, tag]: [&Vec<u8>; 6],
    is_valid: bool,
) -> Result<Result<(), Refused>, String> {
    let whole = [&sealed[..], tag].concat();
    let key = match crypto.aead_key(aead, key) {
        Ok(key) => key,
        Err(refused) => return Ok(Err(refused)),
    };
    if is_valid {
        let mut made = data.clone();
        let tag = key.seal(nonce, additional, &mut made).map_err(|why| why.to_string())?;
        made.extend_from_slice(&tag);
        require(made == whole, "it is sealed otherwise")?;
    }
    let mut opened = whole;
    Ok(match key.open(nonce, additional, &mut opened) {
        Ok(length) => {
            require(opened[..length] == data[..], "it is opened otherwise")?;
            Ok(())
        }
        Err(refused) => Err(refused),
    })
}

fn require(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.into()) }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = if text == "-" { Default::default() } else { text.as_bytes().as_chunks::<2>() };
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Signs with the key of RFC 6979, appendix A.2.5, and verifies that, and what the RFC has signed with it.
///
/// # Errors
/// What does not hold.
pub fn check_signatures(crypto: Crypto) -> Result<(), String> {
    const PRIVATE: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    const PUBLIC: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                          7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    const SIGNATURE: &str = "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                             022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    let [private, public, signature] = [PRIVATE, PUBLIC, SIGNATURE].map(|text| hex(text).unwrap_or_default());
    let fails = |why: Refused| why.to_string();
    crypto.verify(&public, b"sample", &signature).map_err(fails)?;
    let key = crypto.signing_key(&private, &public).map_err(fails)?;
    let signature = key.sign(b"sample").map_err(fails)?;
    crypto.verify(&public, b"sample", &signature).map_err(fails)?;
    require(crypto.verify(&public, b"another", &signature).is_err(), "a signature of something else was taken")?;
    let mut other = public;
    other[64] ^= 1;
    require(crypto.signing_key(&private, &other).is_err(), "keys that do not belong together were taken")
}
