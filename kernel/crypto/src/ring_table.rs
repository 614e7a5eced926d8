//! The table's functions.
#![allow(unsafe_code)]

use core::{ptr, slice};
use crypto::{MAX_PUBLIC, MAX_SIGNATURE, NONCE, Place, SECRET, TAG, Table};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey},
    agreement::{self, EphemeralPrivateKey, UnparsedPublicKey},
    rand::SystemRandom,
    signature::{self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};

pub static TABLE: Table = Table { fast_aes, aead_key, seal, open, secret, public, agree, signing_key, sign, verify };

/// Whether a key of this type can be kept in a place, and is gone when that is overwritten.
const fn fits<T>() {
    assert!(size_of::<T>() <= size_of::<Place>() && align_of::<T>() <= align_of::<Place>());
    assert!(!core::mem::needs_drop::<T>());
}
const _: () = {
    fits::<LessSafeKey>();
    fits::<EphemeralPrivateKey>();
    fits::<EcdsaKeyPair>();
};

/// # Safety
/// The place is the caller's for a new key.
pub unsafe fn put<T, E>(place: *mut Place, key: Result<T, E>) -> u32 {
    let Ok(key) = key else { return 0 };
    // SAFETY: it has room for the key (`fits`), and is the caller's.
    unsafe { place.cast::<T>().write(key) };
    1
}

/// # Safety
/// The function that makes such keys has made one there, and it is not used up.
unsafe fn key<'a, T>(place: *const Place) -> &'a T {
    // SAFETY: passed on to the caller.
    unsafe { &*place.cast() }
}

/// # Safety
/// So many bytes can be read there for as long as the slice is used.
pub unsafe fn bytes<'a>(start: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: passed on to the caller; pointers of empty slices are not null either.
    unsafe { slice::from_raw_parts(start, length) }
}

extern "C" fn fast_aes() -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        // AES and PCLMULQDQ (Intel SDM, volume 2, CPUID)
        let features = core::arch::x86_64::__cpuid(1).ecx;
        u32::from(features >> 25 & 1 == 1 && features >> 1 & 1 == 1)
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

unsafe extern "C" fn aead_key(aead: u32, key: *const u8, length: usize, place: *mut Place) -> u32 {
    let algorithm = match aead {
        0 => &AES_128_GCM,
        1 => &AES_256_GCM,
        2 => &CHACHA20_POLY1305,
        _ => return 0,
    };
    // SAFETY: the caller's contract.
    unsafe { put(place, UnboundKey::new(algorithm, bytes(key, length)).map(LessSafeKey::new)) }
}

unsafe extern "C" fn seal(
    place: *const Place,
    nonce: *const [u8; NONCE],
    additional: *const u8,
    additional_length: usize,
    data: *mut u8,
    length: usize,
    tag: *mut [u8; TAG],
) -> u32 {
    // SAFETY: the caller's contract.
    let (key, nonce, additional, data) = unsafe {
        let data = slice::from_raw_parts_mut(data, length);
        (key::<LessSafeKey>(place), *nonce, bytes(additional, additional_length), data)
    };
    let sealed = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(additional), data);
    let Some(sealed) = sealed.ok().and_then(|tag| tag.as_ref().first_chunk::<TAG>().copied()) else { return 0 };
    // SAFETY: the caller's contract.
    unsafe { tag.write(sealed) };
    1
}

unsafe extern "C" fn open(
    place: *const Place,
    nonce: *const [u8; NONCE],
    additional: *const u8,
    additional_length: usize,
    data: *mut u8,
    length: usize,
    tag: *const [u8; TAG],
) -> u32 {
    // SAFETY: the caller's contract.
    let (key, nonce, additional, data, tag) = unsafe {
        let data = slice::from_raw_parts_mut(data, length);
        (key::<LessSafeKey>(place), *nonce, bytes(additional, additional_length), data, Tag::from(*tag))
    };
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.open_in_place_separate_tag(nonce, Aad::from(additional), tag, data, 0..).is_ok().into()
}

/// The algorithm of one of [`crypto::Group`].
pub const fn group(group: u32) -> Option<&'static agreement::Algorithm> {
    match group {
        0 => Some(&agreement::X25519),
        1 => Some(&agreement::ECDH_P256),
        _ => None,
    }
}

unsafe extern "C" fn secret(group: u32, place: *mut Place) -> u32 {
    let Some(algorithm) = self::group(group) else { return 0 };
    // SAFETY: the caller's contract.
    unsafe { put(place, EphemeralPrivateKey::generate(algorithm, &SystemRandom::new())) }
}

unsafe extern "C" fn public(place: *const Place, to: *mut [u8; MAX_PUBLIC]) -> usize {
    // SAFETY: the caller's contract.
    let Ok(public) = (unsafe { key::<EphemeralPrivateKey>(place) }).compute_public_key() else { return 0 };
    let public = public.as_ref();
    let length = public.len().min(MAX_PUBLIC);
    // SAFETY: the caller's contract: `to` has room for so many bytes.
    unsafe { ptr::copy_nonoverlapping(public.as_ptr(), to.cast(), length) };
    length
}

unsafe extern "C" fn agree(place: *mut Place, public: *const u8, length: usize, shared: *mut [u8; SECRET]) -> u32 {
    // SAFETY: the caller's contract: the key is there, and not used again.
    let (secret, public) = unsafe { (place.cast::<EphemeralPrivateKey>().read(), bytes(public, length)) };
    let public = UnparsedPublicKey::new(secret.algorithm(), public);
    let agreed = agreement::agree_ephemeral(secret, &public, |agreed| {
        let agreed = agreed.first_chunk::<SECRET>();
        // SAFETY: the caller's contract.
        agreed.map(|agreed| unsafe { shared.write(*agreed) }).is_some()
    });
    (agreed == Ok(true)).into()
}

unsafe extern "C" fn signing_key(
    private: *const [u8; SECRET],
    public: *const u8,
    length: usize,
    place: *mut Place,
) -> u32 {
    // SAFETY: the caller's contract.
    let (private, public) = unsafe { (&*private, bytes(public, length)) };
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &SystemRandom::new());
    // SAFETY: the caller's contract.
    unsafe { put(place, pair) }
}

unsafe extern "C" fn sign(
    place: *const Place,
    message: *const u8,
    length: usize,
    to: *mut [u8; MAX_SIGNATURE],
) -> usize {
    // SAFETY: the caller's contract.
    let (pair, message) = unsafe { (key::<EcdsaKeyPair>(place), bytes(message, length)) };
    let Ok(signature) = pair.sign(&SystemRandom::new(), message) else { return 0 };
    let signature = signature.as_ref();
    if signature.len() > MAX_SIGNATURE {
        return 0;
    }
    // SAFETY: the caller's contract: `to` has room for so many bytes.
    unsafe { ptr::copy_nonoverlapping(signature.as_ptr(), to.cast(), signature.len()) };
    signature.len()
}

unsafe extern "C" fn verify(
    public: *const u8,
    public_length: usize,
    message: *const u8,
    length: usize,
    signature: *const u8,
    signature_length: usize,
) -> u32 {
    // SAFETY: the caller's contract.
    let [public, message, signature] =
        unsafe { [bytes(public, public_length), bytes(message, length), bytes(signature, signature_length)] };
    let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public);
    public.verify(message, signature).is_ok().into()
}
