//! Which bytes may be where (RFC 3986, appendix A; RFC 9110, section 5).

/// `tchar`
pub const TOKEN: u8 = 1;
/// `reg-name` without percent-encoding
pub const NAME: u8 = 2;
/// `pchar` and `/`, without percent-encoding
pub const PATH: u8 = 4;
/// Bytes of a query. More than RFC 3986 has: clients send ``[]{}|\^` `` and single `%` as they are, which the URL Standard of
/// browsers (section 1.3, "query percent-encode set") leaves unencoded.
pub const QUERY: u8 = 8;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = b'!';
    while byte < 0x7f {
        let alphanumeric = byte.is_ascii_alphanumeric();
        // unreserved and sub-delims
        let in_name = alphanumeric || contains(b"-._~!$&'()*+,;=", byte);
        let mut class = 0;
        if alphanumeric || contains(b"!#$%&'*+-.^_`|~", byte) {
            class |= TOKEN;
        }
        if in_name {
            class |= NAME;
        }
        if in_name || contains(b":@/", byte) {
            class |= PATH;
        }
        if !contains(b"\"<>#", byte) {
            class |= QUERY;
        }
        classes[byte as usize] = class;
        byte += 1;
    }
    classes
};

const fn contains(bytes: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

#[inline]
pub fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// How many bytes at the start are of the class.
#[inline]
pub fn span(bytes: &[u8], class: u8) -> usize {
    bytes.iter().take_while(|&&byte| is(byte, class)).count()
}

/// How many bytes at the start are of the class, or percent-encoded.
#[inline]
pub fn span_encoded(bytes: &[u8], class: u8) -> usize {
    let mut at = span(bytes, class);
    while let [b'%', high, low, ..] = &bytes[at..]
        && high.is_ascii_hexdigit()
        && low.is_ascii_hexdigit()
    {
        at += 3;
        at += span(&bytes[at..], class);
    }
    at
}
