//! Key exchange: X25519 (RFC 7748), P-256, and X25519 together with ML-KEM-768 (FIPS 203; draft-ietf-tls-ecdhe-mlkem).

use super::lent;
use ml_kem::{EncapsulationKey, MlKem768};
use p256::{PublicKey as P256Public, SecretKey as P256Secret, elliptic_curve::sec1::ToSec1Point};
use rustls::{
    Error, NamedGroup, PeerMisbehaved, ProtocolVersion,
    crypto::{ActiveKeyExchange, CompletedKeyExchange, SecureRandom, SharedSecret, SupportedKxGroup},
    ffdhe_groups::FfdheGroup,
};
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// All groups, best first.
pub fn groups(random: &'static dyn SecureRandom) -> Vec<&'static dyn SupportedKxGroup> {
    // rustls wants them for as long as the program runs: three pointers of memory for each box
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1]
        .map(|name| &*Box::leak(Box::new(Group { name, random })) as &dyn SupportedKxGroup)
        .into()
}

struct Group {
    name: NamedGroup,
    random: &'static dyn SecureRandom,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Bytes of an encapsulation key of ML-KEM-768.
const ENCAPSULATION_KEY: usize = 1184;

const BAD_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

impl Group {
    fn secret<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, Error> {
        let mut secret = Zeroizing::new([0; N]);
        self.random.fill(&mut *secret)?;
        Ok(secret)
    }

    /// Both parts of the secret, that of ML-KEM first, and both of the answer.
    fn hybrid(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, point) = share.split_at_checked(ENCAPSULATION_KEY).ok_or(BAD_SHARE)?;
        let key = EncapsulationKey::<MlKem768>::new(&key.try_into().map_err(|_| BAD_SHARE)?).map_err(|_| BAD_SHARE)?;
        let seed = self.secret::<32>()?;
        let (ciphertext, shared) = key.encapsulate_deterministic(&(*seed).into());
        let shared = Zeroizing::new(<[u8; 32]>::from(shared));
        let x25519 = self.x25519()?;
        let public = [&ciphertext[..], x25519.pub_key()].concat();
        let x25519 = x25519.complete(point)?;
        let secret = Zeroizing::new([&shared[..], x25519.secret_bytes()].concat());
        Ok(CompletedKeyExchange { group: self.name, pub_key: public, secret: SharedSecret::from(&secret[..]) })
    }
}

/// The private key on the node, if it lends that.
fn on_node(group: lent::Group, name: NamedGroup) -> Option<Box<dyn ActiveKeyExchange>> {
    let secret = lent::lent()?.secret(group)?;
    Some(Box::new(OnNode { secret, name }))
}

impl Group {
    fn x25519(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        if let Some(started) = on_node(lent::Group::X25519, NamedGroup::X25519) {
            return Ok(started);
        }
        let secret = StaticSecret::from(*self.secret::<32>()?);
        Ok(Box::new(Started { public: PublicKey::from(&secret), secret: X25519(secret) }))
    }
}

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        if self.name == NamedGroup::secp256r1 {
            if let Some(started) = on_node(lent::Group::P256, self.name) {
                return Ok(started);
            }
            loop {
                // one number in 2^32 is none
                if let Ok(secret) = P256Secret::from_slice(&*self.secret::<32>()?) {
                    let public = secret.public_key().to_sec1_point(false).as_bytes().into();
                    return Ok(Box::new(P256 { secret, public }));
                }
            }
        }
        if self.name == NamedGroup::X25519 {
            return self.x25519();
        }
        Err(Error::General("this box makes no connections".into()))
    }

    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        if self.name == NamedGroup::X25519MLKEM768 {
            return self.hybrid(share);
        }
        let started = self.start()?;
        Ok(CompletedKeyExchange {
            group: self.name,
            pub_key: started.pub_key().to_vec(),
            secret: started.complete(share)?,
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        self.name
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.name != NamedGroup::X25519MLKEM768 || version == ProtocolVersion::TLSv1_3
    }
}

struct OnNode {
    secret: Box<dyn lent::Secret>,
    name: NamedGroup,
}

impl ActiveKeyExchange for OnNode {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.secret.agree(share).map(SharedSecret::from).ok_or(BAD_SHARE)
    }

    fn pub_key(&self) -> &[u8] {
        self.secret.public()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        self.name
    }
}

struct X25519(StaticSecret);

impl X25519 {
    fn shared(&self, share: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
        let share: [u8; 32] = share.try_into().map_err(|_| BAD_SHARE)?;
        let shared = self.0.diffie_hellman(&share.into());
        // RFC 8446, section 7.4.2
        if shared.was_contributory() { Ok(Zeroizing::new(shared.to_bytes())) } else { Err(BAD_SHARE) }
    }
}

struct Started {
    secret: X25519,
    public: PublicKey,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.secret.shared(share).map(|secret| SharedSecret::from(&secret[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct P256 {
    secret: P256Secret,
    public: Box<[u8]>,
}

impl ActiveKeyExchange for P256 {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        // uncompressed, on the curve, and not its identity (RFC 8446, section 4.2.8.2)
        let public = Some(share).filter(|share| share.first() == Some(&4));
        let public = public.and_then(|share| P256Public::from_sec1_bytes(share).ok()).ok_or(BAD_SHARE)?;
        let shared = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), public.as_affine());
        Ok(SharedSecret::from(&shared.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Machine;
    use ml_kem::{Decapsulate, DecapsulationKey, KeyExport};

    #[test]
    fn a_client_of_the_hybrid_gets_the_same_secret() {
        let groups = groups(&Machine);
        let mut seed = [0; 64];
        getrandom::fill(&mut seed).unwrap();
        let key = DecapsulationKey::<MlKem768>::from_seed(seed.into());
        let point = StaticSecret::from([7; 32]);
        let share = [&key.encapsulation_key().to_bytes()[..], PublicKey::from(&point).as_bytes()].concat();
        assert_eq!(share.len(), 1216);
        let done = groups[0].start_and_complete(&share).unwrap();
        assert_eq!((done.group, done.pub_key.len()), (NamedGroup::X25519MLKEM768, 1120));
        let (ciphertext, theirs) = done.pub_key.split_at(1088);
        let shared = key.decapsulate(&ciphertext.try_into().unwrap());
        let theirs: [u8; 32] = theirs.try_into().unwrap();
        let expected = [&shared[..], point.diffie_hellman(&theirs.into()).as_bytes()].concat();
        assert_eq!(done.secret.secret_bytes(), expected);
        for bad in [&share[1..], &share[..1184], &[&share[..1184], &[0; 32]].concat(), &[0xff; 1216], &[]] {
            assert!(groups[0].start_and_complete(bad).is_err(), "{} bytes", bad.len());
        }
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        let groups = groups(&Machine);
        for (group, share) in [(1, &[0; 32][..]), (1, &[1; 31]), (2, &[4; 65]), (2, &[0]), (2, &[2; 33]), (2, &[])] {
            assert!(groups[group].start_and_complete(share).is_err(), "{:?}", groups[group]);
        }
    }
}
