//! Certificates that are signed here, and requests for those that are signed elsewhere.

use crate::config::Algorithm;
use crate::key::Key;
use core::net::IpAddr;
use core::time::Duration;
use p256::pkcs8::der::{self, Decode, Tagged};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, DistinguishedName, DnType, Error,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
    date_time_ymd,
};
use sha2::{Digest, Sha256};
use support::certificate::LOCAL;
use webpki::EndEntityCert;

const MAX_NAMES: usize = 100;
/// The longest common name (RFC 5280, appendix A.1).
const MAX_COMMON: usize = 64;

const DAY: u64 = 24 * 3_600;
/// A certificate of the node's own authority is made anew so often, in seconds, and begins and ends so long before and after that. Some
/// clients take none that is good for more than 825 days, or 398.
const PERIOD: u64 = 180 * DAY;
const BEFORE: u64 = 30 * DAY;
const AFTER: u64 = 180 * DAY;

/// A key, and its public one.
struct Signer<'a>(&'a Key, Vec<u8>);

impl<'a> Signer<'a> {
    fn of(key: &'a Key) -> Self {
        Signer(key, key.public())
    }

    /// RFC 5280, section 4.2.1.2
    fn identifier(&self) -> Vec<u8> {
        Sha256::digest(&self.1)[..20].to_vec()
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.0.algorithm() {
            Algorithm::P256 => &PKCS_ECDSA_P256_SHA256,
            Algorithm::Ed25519 => &PKCS_ED25519,
        }
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message))
    }
}

/// Counts the periods in which the certificates of the node's own authority stay the same. None: the time is not known.
pub(crate) fn period(seconds: Option<u64>) -> Option<u64> {
    seconds.map(|seconds| seconds / PERIOD)
}

/// All of it comes from the names, the key and the period, so it is the same each time. Without a period it has no end (RFC 5280,
/// section 4.1.2.5).
fn of_server(key: &Signer<'_>, names: &[String], period: Option<u64>) -> Result<CertificateParams, String> {
    if !(1..=MAX_NAMES).contains(&names.len()) {
        return Err(format!("1 to {MAX_NAMES} names are meant"));
    }
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(9999, 12, 31));
    if let Some(begin) = period.and_then(|period| period.checked_mul(PERIOD)).filter(|begin| *begin < 1 << 36) {
        let at = |seconds: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        (params.not_before, params.not_after) = (at(begin.saturating_sub(BEFORE)), at(begin + PERIOD + AFTER));
    }
    let name_of = |name: &String| match name.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => name.as_str().try_into().map(SanType::DnsName).map_err(|error| format!("{name}: {error}")),
    };
    params.subject_alt_names = names.iter().map(name_of).collect::<Result<_, String>>()?;
    params.distinguished_name = DistinguishedName::new();
    // an address there counts as a host name that no constraint of the authority permits
    let common = names.iter().find(|name| name.len() <= MAX_COMMON && name.parse::<IpAddr>().is_err());
    params.distinguished_name.push(DnType::CommonName, common.map_or("Pearwood", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    let period =
        period.map_or([0; 9], |period| core::array::from_fn(|n| if n == 0 { 1 } else { period.to_le_bytes()[n - 1] }));
    params.serial_number = Some(serial(&key.identifier(), names.iter().map(String::as_bytes).chain([&period[..]])));
    Ok(params)
}

/// A number that another content does not have.
fn serial<'a>(identifier: &[u8], content: impl Iterator<Item = &'a [u8]>) -> SerialNumber {
    let mut serial = Sha256::new_with_prefix(identifier);
    content.for_each(|part| serial.update([&(part.len() as u32).to_le_bytes(), part].concat()));
    let mut serial = serial.finalize()[..16].to_vec();
    // a positive number, and its shortest form
    serial[0] = serial[0] & 0x7f | 0x40;
    SerialNumber::from(serial)
}

/// A certificate (DER) for a server with these names that its key signs for itself. It has no end: clients that trust it have been told
/// to trust this one.
pub(crate) fn self_signed(key: &Key, names: &[String]) -> Result<Vec<u8>, String> {
    let signer = Signer::of(key);
    let certificate = of_server(&signer, names, None)?.self_signed(&signer).map_err(|error| error.to_string())?;
    Ok(certificate.der().to_vec())
}

/// The node's own authority: a key that signs for its names, the names below them, and nothing else.
pub(crate) struct Authority<'a> {
    key: &'a Key,
    names: &'a [String],
}

impl<'a> Authority<'a> {
    /// `names`: host names, in lower case, and addresses.
    pub fn new(key: &'a Key, names: &'a [String]) -> Self {
        Authority { key, names }
    }

    /// Whether all of these are names that it may sign for.
    pub fn covers(&self, names: &[String]) -> bool {
        let is_one = |name: &String| match name.parse::<IpAddr>() {
            Ok(address) => self.names.iter().any(|own| own.parse() == Ok(address)),
            Err(_) => {
                let name = name.strip_prefix("*.").unwrap_or(name).to_ascii_lowercase();
                let is_below = |own: &String| name.strip_suffix(own.as_str()).is_some_and(|rest| rest.ends_with('.'));
                self.names.iter().any(|own| own.parse::<IpAddr>().is_err() && (name == *own || is_below(own)))
            }
        };
        !names.is_empty() && names.iter().all(is_one)
    }

    fn params(&self, signer: &Signer<'_>) -> CertificateParams {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(9999, 12, 31));
        let identifier = signer.identifier();
        let number: String = identifier[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("{LOCAL} {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.name_constraints = Some(constraints(self.names));
        params.serial_number = Some(serial(&identifier, self.names.iter().map(String::as_bytes)));
        params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
        params
    }

    /// Its certificate (DER), for clients that are to trust it. The same names and key have the same certificate each time.
    pub fn certificate(&self) -> Result<Vec<u8>, String> {
        let signer = Signer::of(self.key);
        let certificate = self.params(&signer).self_signed(&signer).map_err(|error| error.to_string())?;
        Ok(certificate.der().to_vec())
    }

    /// A certificate (DER) for a server with these names, which are its own.
    pub fn sign(&self, key: &Key, names: &[String], period: Option<u64>) -> Result<Vec<u8>, String> {
        let (own, server) = (Signer::of(self.key), Signer::of(key));
        let mut params = of_server(&server, names, period)?;
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(self.params(&own), own);
        let certificate = params.signed_by(&server, &issuer).map_err(|error| error.to_string())?;
        Ok(certificate.der().to_vec())
    }
}

/// RFC 5280, section 4.2.1.10: a kind of names of which none is permitted is excluded, since it would be free otherwise.
fn constraints(names: &[String]) -> NameConstraints {
    let subtree = |name: &String| match name.parse() {
        Ok(IpAddr::V4(address)) => GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(address.octets(), 32)),
        Ok(IpAddr::V6(address)) => GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(address.octets(), 128)),
        Err(_) => GeneralSubtree::DnsName(name.clone()),
    };
    let permitted: Vec<_> = names.iter().map(subtree).collect();
    let mut excluded = Vec::new();
    if !permitted.iter().any(|subtree| matches!(subtree, GeneralSubtree::IpAddress(_))) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    }
    if !permitted.iter().any(|subtree| matches!(subtree, GeneralSubtree::DnsName(_))) {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

/// A request (RFC 2986, DER) for a certificate of host names.
pub(crate) fn request(key: &Key, names: &[String]) -> Result<Vec<u8>, String> {
    let signer = Signer::of(key);
    let whole = of_server(&signer, names, None)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = whole.subject_alt_names;
    // the names are in the other place
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&signer).map_err(|error| error.to_string())?;
    Ok(request.der().to_vec())
}

/// The certificate (DER) of RFC 8737, section 3.
pub(crate) fn challenge(key: &Key, name: &str, digest: &[u8; 32]) -> Result<Vec<u8>, String> {
    let signer = Signer::of(key);
    let mut params = of_server(&signer, &[name.into()], None)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&signer).map_err(|error| error.to_string())?;
    Ok(certificate.der().to_vec())
}

/// Whether a certificate (DER) is of this key.
///
/// # Errors
/// It is none.
pub(crate) fn is_of(certificate: &[u8], key: &Key) -> Result<bool, String> {
    let der = certificate.into();
    let parsed = EndEntityCert::try_from(&der).map_err(|error| format!("no certificate: {error:?}"))?;
    Ok(*parsed.subject_public_key_info() == *key.public_key()?)
}

/// Whether this is one sequence in DER, as each certificate is.
pub(crate) fn is_der(certificate: &[u8]) -> bool {
    der::asn1::AnyRef::from_der(certificate).is_ok_and(|any| any.tag() == der::Tag::Sequence)
}

/// Whether a certificate (DER) is for all host names of these. Addresses among them are not looked for: a server is asked for none.
pub(crate) fn covers(certificate: &[u8], names: &[String]) -> bool {
    let der = certificate.into();
    let Ok(parsed) = EndEntityCert::try_from(&der) else { return false };
    let has = |name: &str| {
        parsed.valid_dns_names().any(|own| {
            let own = own.to_ascii_lowercase();
            let is_below =
                || own.strip_prefix("*.").is_some_and(|rest| name.split_once('.').is_some_and(|it| it.1 == rest));
            own == name || is_below()
        })
    };
    let mut hosts =
        names.iter().filter(|name| name.parse::<IpAddr>().is_err()).map(|name| name.to_ascii_lowercase()).peekable();
    hosts.peek().is_some() && hosts.all(|name| has(&name))
}
