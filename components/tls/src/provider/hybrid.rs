//! The client's side of X25519 together with ML-KEM-768 (draft-ietf-tls-ecdhe-mlkem). Its X25519 is that of the group beside it, and
//! serves servers that take only that.

use super::kx;
use ml_kem::{Ciphertext, Decapsulate, DecapsulationKey, KeyExport, MlKem768};
use rustls::{
    Error, NamedGroup, PeerMisbehaved, ProtocolVersion,
    crypto::{ActiveKeyExchange, CompletedKeyExchange, SecureRandom, SharedSecret, SupportedKxGroup},
    ffdhe_groups::FfdheGroup,
};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a ciphertext of ML-KEM-768.
const CIPHERTEXT: usize = 1088;

const BAD_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// All groups for a client, best first.
pub fn groups(random: &'static dyn SecureRandom) -> Vec<&'static dyn SupportedKxGroup> {
    let groups = kx::groups(random);
    let of = |name| groups.iter().copied().find(|group| group.name() == name);
    let (hybrid, x25519) = (of(NamedGroup::X25519MLKEM768), of(NamedGroup::X25519));
    let Some((hybrid, x25519)) = hybrid.zip(x25519) else { return groups };
    let own: &'static dyn SupportedKxGroup = Box::leak(Box::new(Group { hybrid, x25519, random }));
    groups.iter().map(|group| if group.name() == hybrid.name() { own } else { *group }).collect()
}

struct Group {
    /// the server's side
    hybrid: &'static dyn SupportedKxGroup,
    x25519: &'static dyn SupportedKxGroup,
    random: &'static dyn SecureRandom,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut seed = Zeroizing::new([0; 64]);
        self.random.fill(&mut *seed)?;
        let key = Box::new(DecapsulationKey::<MlKem768>::from_seed((*seed).into()));
        let x25519 = self.x25519.start()?;
        let public = [&key.encapsulation_key().to_bytes()[..], x25519.pub_key()].concat();
        Ok(Box::new(Started { key, x25519, public }))
    }

    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        self.hybrid.start_and_complete(share)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        self.hybrid.name()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.hybrid.usable_for_version(version)
    }
}

struct Started {
    key: Box<DecapsulationKey<MlKem768>>,
    x25519: Box<dyn ActiveKeyExchange>,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, point) = share.split_at_checked(CIPHERTEXT).ok_or(BAD_SHARE)?;
        let ciphertext = Ciphertext::<MlKem768>::try_from(ciphertext).map_err(|_| BAD_SHARE)?;
        let x25519 = self.x25519.complete(point)?;
        let shared = Zeroizing::new(<[u8; 32]>::from(self.key.decapsulate(&ciphertext)));
        let secret = Zeroizing::new([&shared[..], x25519.secret_bytes()].concat());
        Ok(SharedSecret::from(&secret[..]))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.x25519.group(), self.x25519.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.x25519.complete(share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Machine;

    #[test]
    fn both_sides_get_the_same_secret() {
        let groups = groups(&Machine);
        assert_eq!(groups.len(), 3);
        for group in groups {
            let started = group.start().unwrap();
            let done = group.start_and_complete(started.pub_key()).unwrap();
            assert_eq!(
                started.complete(&done.pub_key).unwrap().secret_bytes(),
                done.secret.secret_bytes(),
                "{group:?}"
            );
            for bad in [&done.pub_key[1..], &[], &[0; 1120]] {
                assert!(group.start().unwrap().complete(bad).is_err(), "{group:?}, {} bytes", bad.len());
            }
        }
    }
}
