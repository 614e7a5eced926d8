//! Certificates that a key signs for itself, for clients that are told to trust them.

use crate::holder::Key;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, KeyIdMethod, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use sha2::{Digest, Sha256};

const MAX_NAMES: usize = 100;
/// The longest common name (RFC 5280, appendix A.1).
const MAX_COMMON: usize = 64;

/// A key, and its public point.
struct Signer<'a>(&'a Key, Vec<u8>);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message))
    }
}

/// A certificate (DER) for a server with these names, that has no end (RFC 5280, section 4.1.2.5): the key's own does not last.
/// All of it comes from the names and the key, so it is the same each time.
pub(crate) fn self_signed(key: &Key, names: &[String]) -> Result<Vec<u8>, String> {
    if !(1..=MAX_NAMES).contains(&names.len()) {
        return Err(format!("1 to {MAX_NAMES} names are meant"));
    }
    let signer = Signer(key, key.point());
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(9999, 12, 31));
    let name_of = |name: &String| match name.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => name.as_str().try_into().map(SanType::DnsName).map_err(|error| format!("{name}: {error}")),
    };
    params.subject_alt_names = names.iter().map(name_of).collect::<Result<_, String>>()?;
    params.distinguished_name = DistinguishedName::new();
    let common = names.iter().find(|name| name.len() <= MAX_COMMON);
    params.distinguished_name.push(DnType::CommonName, common.map_or("Pearwood", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let identifier = Sha256::digest(&signer.1);
    params.key_identifier_method = KeyIdMethod::PreSpecified(identifier[..20].to_vec());
    let mut serial = Sha256::new_with_prefix(identifier);
    names.iter().for_each(|name| serial.update([name.as_bytes(), b"\0"].concat()));
    let mut serial = serial.finalize()[..16].to_vec();
    // a positive number, and its shortest form
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from(serial));
    let certificate = params.self_signed(&signer).map_err(|error| error.to_string())?;
    Ok(certificate.der().to_vec())
}
