//! What certificates say.

use der::{AnyRef, Decode, Encode, SliceReader, Tagged};
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

/// From when until when a certificate is good, in seconds since 1970 (RFC 5280, section 4.1).
pub fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let read = || -> der::Result<(u64, u64)> {
        let whole = AnyRef::from_der(certificate)?;
        let body = AnyRef::decode(&mut SliceReader::new(whole.value())?)?;
        let mut body = SliceReader::new(body.value())?;
        // version, number, algorithm, issuer
        for _ in 0..4 {
            AnyRef::decode(&mut body)?;
        }
        let mut validity = SliceReader::new(AnyRef::decode(&mut body)?.value())?;
        let (from, until) = (AnyRef::decode(&mut validity)?, AnyRef::decode(&mut validity)?);
        let seconds = |time: AnyRef<'_>| match time.tag() {
            der::Tag::UtcTime => time.decode_as::<der::asn1::UtcTime>().map(|time| time.to_unix_duration().as_secs()),
            _ => time.decode_as::<der::asn1::GeneralizedTime>().map(|time| time.to_unix_duration().as_secs()),
        };
        Ok((seconds(from)?, seconds(until)?))
    };
    read().ok().filter(|(from, until)| from < until)
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
