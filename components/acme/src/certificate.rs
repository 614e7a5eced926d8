//! What certificates say.

use crate::jws::base64;
use der::{AnyRef, Decode, Encode, SliceReader, Tagged};
use support::certificate::{fields, parts};
use webpki::EndEntityCert;

/// The most certificates of a chain.
const MAX_CHAIN: usize = 8;

/// The certificates of a PEM text (RFC 8555, section 9.1), DER.
pub fn read_chain(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = str::from_utf8(text).map_err(|_| "no text")?;
    let mut chain = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(END).ok_or("a certificate has no end")? + END.len();
        if chain.len() == MAX_CHAIN {
            return Err(format!("more than {MAX_CHAIN} certificates"));
        }
        let (label, der) = der::pem::decode_vec(&rest.as_bytes()[..end]).map_err(|error| error.to_string())?;
        if label != "CERTIFICATE" {
            return Err(format!("a {label} among the certificates"));
        }
        chain.push(der);
        rest = rest[end..].trim_start();
    }
    if chain.is_empty() { Err("no certificate".into()) } else { Ok(chain) }
}

/// What an authority knows a certificate by (RFC 9773, section 4.1): the identifier of the authority's key and the number.
pub fn renewal_id(certificate: &[u8]) -> Option<String> {
    // RFC 5280, section 4.2.1.1
    const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
    let fields = fields(certificate).ok()?;
    let extensions =
        fields.iter().skip(6).find(|field| field.tag().is_context_specific() && field.tag().number().value() == 3)?;
    let extensions = parts(AnyRef::from_der(extensions.value()).ok()?).ok()?;
    let extension = extensions.into_iter().filter_map(|one| parts(one).ok()).find(|one| {
        one.first().is_some_and(|id| id.tag() == der::Tag::ObjectIdentifier && id.value() == AUTHORITY_KEY_IDENTIFIER)
    })?;
    let value = parts(AnyRef::from_der(extension.last()?.value()).ok()?).ok()?;
    let identifier =
        value.first().filter(|first| first.tag().is_context_specific() && first.tag().number().value() == 0)?;
    Some(format!("{}.{}", base64(identifier.value()), base64(fields.first()?.value())))
}

/// Whether a certificate is of the key that a request (RFC 2986) is of.
pub fn is_of(certificate: &[u8], request: &[u8]) -> bool {
    let read = || -> der::Result<Vec<u8>> {
        let whole = AnyRef::from_der(request)?;
        let body = AnyRef::decode(&mut SliceReader::new(whole.value())?)?;
        let mut body = SliceReader::new(body.value())?;
        // version, subject
        for _ in 0..2 {
            AnyRef::decode(&mut body)?;
        }
        AnyRef::decode(&mut body)?.to_der()
    };
    let der = certificate.into();
    let (Ok(parsed), Ok(key)) = (EndEntityCert::try_from(&der), read()) else { return false };
    *parsed.subject_public_key_info() == *key
}

/// Whether a certificate is for all of these names.
pub fn covers(certificate: &[u8], names: &[String]) -> bool {
    let der = certificate.into();
    let Ok(parsed) = EndEntityCert::try_from(&der) else { return false };
    let own: Vec<&str> = parsed.valid_dns_names().collect();
    names.iter().all(|name| own.iter().any(|own| own.eq_ignore_ascii_case(name)))
}
