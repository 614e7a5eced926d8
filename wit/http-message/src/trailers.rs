//! Trailer sections: field lines after a chunked body (RFC 9112, section 7.1.2).

use crate::{
    Limits, Refusal,
    fields::{Malformed, may_trail, push, valid},
    request::{ends_in_crlf, refusal_of},
};
use alloc::vec::Vec;
use httparse::{EMPTY_HEADER, Status};

/// Reads a trailer section with its empty line from the start of `input`, and adds those lines to `lines` that may be passed
/// on. Gives how many bytes it is; `None` if it is not whole yet.
pub fn parse(input: &[u8], lines: &mut Vec<u8>, limits: &Limits) -> Result<Option<usize>, Refusal> {
    if input.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let too_large = Refusal { status: 431, why: "the trailers are too large" };
    let mut found = [EMPTY_HEADER; Limits::MOST_FIELDS];
    match httparse::parse_headers(input, &mut found[..limits.fields]) {
        Ok(Status::Partial) if input.len() > limits.head_bytes => Err(too_large),
        Ok(Status::Partial) => Ok(None),
        Ok(Status::Complete((length, _))) if length > limits.head_bytes => Err(too_large),
        Ok(Status::Complete((length, _))) if !ends_in_crlf(&input[..length]) => {
            Err(Refusal { status: 400, why: "a line does not end in CRLF" })
        }
        Ok(Status::Complete((length, found))) => {
            let kept = found.iter().filter(|line| may_trail(line.name));
            kept.for_each(|line| push(lines, line.name, line.value));
            Ok(Some(length))
        }
        Err(error) => Err(refusal_of(error)),
    }
}

/// What of a service's or client's trailer lines may be passed on is added to `to`.
pub fn pass(lines: &[u8], to: &mut Vec<u8>) -> Result<(), Malformed> {
    for line in valid(lines) {
        let (name, value) = line?;
        if may_trail(name) {
            push(to, name, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String};

    fn read(input: &str, limits: &Limits) -> Result<Option<(usize, String)>, u16> {
        let mut lines = Vec::new();
        let read = parse(input.as_bytes(), &mut lines, limits).map_err(|refusal| refusal.status)?;
        Ok(read.map(|length| (length, String::from_utf8(lines).unwrap())))
    }

    #[test]
    fn sections() {
        let limits = Limits { head_bytes: 100, fields: 3, target_bytes: 0 };
        let whole = "Digest: a b\r\nX:y\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(&format!("{whole}GET"), &limits), Ok(Some((whole.len(), "Digest: a b\r\nX: y\r\n".into()))));
        assert_eq!(read("\r\nGET", &limits), Ok(Some((2, String::new()))));
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut], &limits), Ok(None), "cut at {cut}");
        }
        let long = "a".repeat(101);
        for (bad, status) in [
            (" folded: x\r\n\r\n", 400),
            ("no colon\r\n\r\n", 400),
            (": x\r\n\r\n", 400),
            ("a: \0\r\n\r\n", 400),
            ("a: b\n\r\n", 400),
            ("a: b\r\n\n", 400),
            (&format!("a: {long}"), 431),
            (&long, 431),
            (&"a: b\r\n".repeat(4), 431),
        ] {
            assert_eq!(read(bad, &limits), Err(status), "{bad:?}");
        }
    }

    #[test]
    fn what_a_box_gives() {
        let mut lines = Vec::new();
        assert_eq!(pass(b"a: b\r\ntransfer-encoding: chunked\r\nc: \r\n", &mut lines), Ok(()));
        assert_eq!(lines, b"a: b\r\nc: \r\n");
        for bad in [&b"a: b\r\n\r\n"[..], b"\r\n", b"a: b", b"a: b\n", b"a : b\r\n"] {
            assert_eq!(pass(bad, &mut Vec::new()), Err(Malformed), "{bad:?}");
        }
    }
}
