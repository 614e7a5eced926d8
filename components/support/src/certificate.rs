//! What certificates say (RFC 5280, section 4.1).

use alloc::{string::String, vec::Vec};
use der::{AnyRef, Decode, Reader, SliceReader, Tag, Tagged};

/// What the common name of a node's own authority begins with.
pub const LOCAL: &str = "Pearwood local authority";

/// The fields of a certificate's body from its number on (RFC 5280, section 4.1): number, algorithm, issuer, validity and so on.
pub fn fields(certificate: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let whole = AnyRef::from_der(certificate)?;
    let body = AnyRef::decode(&mut SliceReader::new(whole.value())?)?;
    let mut fields = parts(body)?;
    // without the version, which is left out of those of version 1
    if fields.first().is_some_and(|first| first.tag().is_context_specific()) {
        fields.remove(0);
    }
    Ok(fields)
}

/// What is in a sequence, of which there is not much.
pub fn parts(sequence: AnyRef<'_>) -> der::Result<Vec<AnyRef<'_>>> {
    const MOST: usize = 64;
    let mut reader = SliceReader::new(sequence.value())?;
    let mut parts = Vec::new();
    while !reader.is_finished() && parts.len() < MOST {
        parts.push(AnyRef::decode(&mut reader)?);
    }
    Ok(parts)
}

/// From when until when a certificate is good, in seconds since 1970 (RFC 5280, section 4.1).
pub fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let fields = fields(certificate).ok()?;
    let [from, until] = parts(*fields.get(3)?).ok()?[..] else { return None };
    let seconds = |time: AnyRef<'_>| match time.tag() {
        Tag::UtcTime => time.decode_as::<der::asn1::UtcTime>().map(|time| time.to_unix_duration().as_secs()),
        _ => time.decode_as::<der::asn1::GeneralizedTime>().map(|time| time.to_unix_duration().as_secs()),
    };
    let times = (seconds(from).ok()?, seconds(until).ok()?);
    Some(times).filter(|(from, until)| from < until)
}

/// Who has issued a certificate, for people: a common name, or else an organization. `None` if it has signed itself, or is none.
pub fn issuer(certificate: &[u8]) -> Option<String> {
    // RFC 5280, appendix A.1: id-at-commonName, id-at-organizationName
    const NAMES: [&[u8]; 2] = [&[0x55, 0x04, 0x03], &[0x55, 0x04, 0x0a]];
    let fields = fields(certificate).ok()?;
    let (issuer, subject) = (*fields.get(2)?, *fields.get(4)?);
    if issuer == subject {
        return None;
    }
    let sets = parts(issuer).ok()?;
    let pairs: Vec<(&[u8], &[u8])> = sets
        .into_iter()
        .filter_map(|set| parts(set).ok())
        .flatten()
        .filter_map(|pair| match parts(pair).ok()?[..] {
            [name, value] => Some((name.value(), value.value())),
            _ => None,
        })
        .collect();
    let find = |name: &&[u8]| pairs.iter().find(|pair| pair.0 == *name).map(|pair| pair.1);
    let text = NAMES.iter().find_map(find).unwrap_or_default();
    Some(String::from_utf8_lossy(text).into())
}
