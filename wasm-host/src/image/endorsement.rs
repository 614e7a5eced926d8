//! A key vouches for another, so that keys can be changed.
//!
//! What a node is started with names the keys that it trusts, and may be hard to change. An image that is signed by a
//! later key starts there all the same if it brings endorsements that lead from one of those keys to its own. A node
//! that runs looks at no endorsements: its system says whom it trusts, and a key that was taken out stays out.

use super::{Header, PublicKey};
use alloc::{borrow::Cow, vec::Vec};

/// What is signed begins with this; the endorsed key follows.
const STATEMENT: &[u8] = b"pearwood 1: the images of this key may run where mine do\0";

/// The most endorsements of one image.
pub const MAX_ENDORSEMENTS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endorsement {
    pub key: PublicKey,
    pub by: PublicKey,
    pub signature: [u8; 64],
}

impl Endorsement {
    /// Of one in an image: both keys and the signature.
    pub const LENGTH: usize = 128;

    /// What the endorsing key signs.
    pub fn statement(key: &PublicKey) -> Vec<u8> {
        [STATEMENT, &key.to_bytes()].concat()
    }

    /// Whether it is by the key that it names.
    pub fn holds(&self) -> bool {
        self.by.verifies(&Self::statement(&self.key), &self.signature)
    }

    #[cfg(feature = "build")]
    pub(super) fn write(&self) -> Vec<u8> {
        [&self.key.to_bytes()[..], &self.by.to_bytes(), &self.signature].concat()
    }

    fn read(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (by, signature) = rest.split_first_chunk()?;
        let signature = signature.try_into().ok()?;
        Some(Endorsement { key: PublicKey::from_bytes(key)?, by: PublicKey::from_bytes(by)?, signature })
    }
}

/// The keys by which an image may be signed where `roots` are trusted: those, and the ones that they have endorsed, one
/// after another, in the image.
pub fn endorsed<'r>(image: &[u8], roots: &'r [PublicKey]) -> Cow<'r, [PublicKey]> {
    let mut keys = Cow::Borrowed(roots);
    let Ok(header) = Header::read(image) else { return keys };
    if roots.iter().any(|root| root.id() == header.key_id) {
        return keys;
    }
    let mut left: Vec<Endorsement> =
        header.endorsements(image).as_chunks().0.iter().filter_map(Endorsement::read).collect();
    while let Some(next) = left.iter().position(|one| keys.contains(&one.by)) {
        let one = left.swap_remove(next);
        if !keys.contains(&one.key) && one.holds() {
            keys.to_mut().push(one.key);
        }
    }
    keys
}

#[cfg(all(test, feature = "build"))]
mod tests {
    use super::*;
    use crate::image::{Builder, Image, ImageError, SecretKey};

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn image(signer: u8, endorsements: &[Endorsement]) -> Vec<u8> {
        let mut builder = Builder::new("system.toml", "");
        for one in endorsements {
            builder.endorsement(*one);
        }
        builder.finish(&key(signer)).unwrap()
    }

    fn opens(bytes: &[u8], root: u8) -> bool {
        let roots = [key(root).public()];
        let opened = Image::open(bytes, &endorsed(bytes, &roots));
        assert!(matches!(opened, Ok(_) | Err(ImageError::Untrusted { .. })), "{opened:?}");
        assert_eq!(
            Image::open(bytes, &roots).is_ok(),
            signer_is(bytes, root),
            "endorsements count only where asked for"
        );
        opened.is_ok()
    }

    fn signer_is(bytes: &[u8], seed: u8) -> bool {
        Header::read(bytes).unwrap().key_id == key(seed).public().id()
    }

    #[test]
    fn endorsements_lead_from_key_to_key() {
        let [first, second] = [key(1).endorse(&key(2).public()), key(2).endorse(&key(3).public())];
        assert!(opens(&image(1, &[]), 1) && !opens(&image(2, &[]), 1));
        assert!(opens(&image(2, &[first]), 1));
        for chain in [[first, second], [second, first]] {
            assert!(opens(&image(3, &chain), 1) && opens(&image(3, &chain), 2) && opens(&image(1, &chain), 1));
            assert!(!opens(&image(1, &chain), 2), "not backwards");
            assert!(!opens(&image(4, &chain), 1));
        }
        assert!(!opens(&image(3, &[second]), 1), "a link is missing");
    }

    #[test]
    fn nobody_endorses_for_another() {
        let good = key(1).endorse(&key(2).public());
        for forged in [
            Endorsement { by: key(1).public(), ..key(4).endorse(&key(2).public()) },
            Endorsement { key: key(3).public(), ..good },
            Endorsement { signature: key(1).sign(&key(2).public().to_bytes()), ..good },
        ] {
            assert!(!opens(&image(2, &[forged]), 1) && !opens(&image(3, &[forged]), 1));
        }
        // whoever changes endorsements changes nothing that is signed, and gains nothing
        let honest = image(2, &[good]);
        for at in Header::LENGTH..Header::LENGTH + Endorsement::LENGTH {
            let mut bytes = honest.clone();
            bytes[at] ^= 1;
            assert!(!opens(&bytes, 1), "byte {at}");
        }
    }

    #[test]
    fn an_image_says_how_many_it_has_and_is_not_believed() {
        let honest = image(1, &[key(1).endorse(&key(2).public())]);
        for count in [0, 2, 16, 17, u8::MAX] {
            let mut bytes = honest.clone();
            bytes[Header::LENGTH - 8] = count;
            let keys = [key(1).public()];
            assert!(Image::open(&bytes[..], &endorsed(&bytes, &keys)).is_err(), "{count}");
        }
    }
}
