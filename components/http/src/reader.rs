//! Heads read once are known: the requests of one client mostly have the same headers.

use crate::config::Config;
use crate::head::{self, Framing, Head, MAX_METHOD, Refusal};
use crate::target::Target;
use support::same;

/// Reads heads. Header blocks that were read are kept, and where a request has the same again, it says the same.
#[derive(Debug, Default)]
pub struct Reader {
    scratch: Vec<u8>,
    known: Vec<Known>,
    /// the place of the next block to keep
    next: usize,
}

/// The headers of an HTTP/1.1 request, from the end of its first line to the end of its head, and what they say.
#[derive(Debug)]
struct Known {
    block: Box<[u8]>,
    authority: Box<str>,
    lines: Box<[u8]>,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

const MAX_KNOWN: usize = 32;
const MAX_KNOWN_BYTES: usize = 2048;

/// All that a reader keeps: each known block, and the lines that are made of it; and the lines of the largest head.
pub const MAX_BYTES: usize = MAX_KNOWN * (3 * MAX_KNOWN_BYTES + size_of::<Known>()) + (128 << 10);

impl Reader {
    /// Where the headers that were kept last are.
    pub fn latest(&self) -> u8 {
        self.next.checked_sub(1).unwrap_or(MAX_KNOWN - 1) as u8
    }

    /// Reads a head from the start of `input`; `None` if it is not whole yet. `hint` is where the headers of the
    /// connection's last request are kept, and becomes that of this one.
    #[inline]
    pub fn read<'a>(
        &'a mut self,
        input: &'a [u8],
        hint: &mut u8,
        config: &Config,
    ) -> Result<Option<Head<'a>>, Refusal> {
        let known = self.known.get(usize::from(*hint));
        match plain_line(input).filter(|line| known.is_some_and(|known| known.is_in(input, line, config))) {
            Some(line) => Ok(self.known.get(usize::from(*hint)).map(|known| known.head(line))),
            None => self.parse(input, hint, config),
        }
    }

    fn parse<'a>(&'a mut self, input: &'a [u8], hint: &mut u8, config: &Config) -> Result<Option<Head<'a>>, Refusal> {
        let Some((head, headers_start)) = head::parse(input, &mut self.scratch, config)? else { return Ok(None) };
        let has_own_authority = matches!(head.target, Target::Path { authority: Some(_), .. });
        if head.is_11 && !has_own_authority && head.length - headers_start <= MAX_KNOWN_BYTES {
            let known = Known {
                block: input[headers_start..head.length].into(),
                authority: head.authority.into(),
                lines: head.headers.into(),
                framing: head.framing,
                keep_alive: head.keep_alive,
                expects_continue: head.expects_continue,
            };
            *hint = self.next as u8;
            match self.known.get_mut(self.next) {
                Some(place) => *place = known,
                None => self.known.push(known),
            }
            self.next = (self.next + 1) % MAX_KNOWN;
        }
        Ok(Some(head))
    }
}

/// A request line for HTTP/1.1 with a method of capital letters and a path of visible ASCII.
struct PlainLine<'a> {
    method: &'a str,
    target: &'a str,
    length: usize,
}

impl Known {
    /// Whether these headers follow the line.
    #[inline]
    fn is_in(&self, input: &[u8], line: &PlainLine<'_>, config: &Config) -> bool {
        let end = line.length + self.block.len();
        // What is equal up to its empty line has no empty line before that.
        line.target.len() <= config.target_bytes
            && end <= config.header_bytes
            && input.get(line.length..end).is_some_and(|block| same(block, &self.block))
    }

    #[inline]
    fn head<'a>(&'a self, line: PlainLine<'a>) -> Head<'a> {
        Head {
            method: line.method,
            target: Target::Path { target: line.target, authority: None },
            authority: &self.authority,
            is_11: true,
            headers: &self.lines,
            framing: self.framing,
            keep_alive: self.keep_alive,
            expects_continue: self.expects_continue,
            length: line.length + self.block.len(),
        }
    }
}

/// The line at the start of `input` if it is such a line. All others are for the parser.
#[inline]
fn plain_line(input: &[u8]) -> Option<PlainLine<'_>> {
    let method = input.iter().take(MAX_METHOD).take_while(|byte| byte.is_ascii_uppercase()).count();
    let rest = input.get(method..)?.strip_prefix(b" ")?;
    if method == 0 || rest.first() != Some(&b'/') {
        return None;
    }
    let path = rest.iter().take_while(|&&byte| matches!(byte, b'!'..=b'~') && byte != b'#').count();
    let (start, end) = rest[path..].split_first_chunk::<8>()?;
    if u64::from_le_bytes(*start) != u64::from_le_bytes(*b" HTTP/1.") || !matches!(end, [b'1', b'\r', b'\n', ..]) {
        return None;
    }
    let method = known_method(&input[..method]).filter(|method| *method != "CONNECT")?;
    let target = core::str::from_utf8(&rest[..path]).ok()?;
    Some(PlainLine { method, target, length: method.len() + 1 + path + " HTTP/1.1\r\n".len() })
}

/// A method's name. The usual ones are not looked at byte by byte.
#[inline]
fn known_method(bytes: &[u8]) -> Option<&str> {
    match bytes {
        b"GET" => Some("GET"),
        b"HEAD" => Some("HEAD"),
        b"POST" => Some("POST"),
        _ => core::str::from_utf8(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut Reader, hint: &mut u8, input: &str) -> Result<Option<String>, Refusal> {
        reader.read(input.as_bytes(), hint, &Config::default()).map(|head| head.map(|head| format!("{head:?}")))
    }

    /// What is known must be read as what is not.
    #[test]
    fn known_headers_say_the_same() {
        let headers = [
            "Host: a\r\n\r\n",
            "Host: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
            "X:y\r\nhost: b\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        ];
        let lines = [
            "GET / HTTP/1.1\r\n",
            "POST /a?b=c|\" HTTP/1.1\r\n",
            "get / HTTP/1.1\r\n",
            "GET http://x/y HTTP/1.1\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "GET / HTTP/1.0\r\n",
            "GET / HTTP/1.1\n",
            "GET /#x HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "CONNECT /x HTTP/1.1\r\n",
            "GET /\u{e9} HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            " GET / HTTP/1.1\r\n",
            "GET",
            "\r\nGET / HTTP/1.1\r\n",
            "GET / HTTP/2.0\r\n",
            "",
        ];
        let mut knowing = Reader::default();
        let mut hint = 0;
        for headers in headers {
            read(&mut knowing, &mut hint, &format!("GET / HTTP/1.1\r\n{headers}")).unwrap();
            for line in lines {
                let input = format!("{line}{headers}GET");
                let mut hint = hint;
                assert_eq!(
                    read(&mut knowing, &mut hint, &input),
                    read(&mut Reader::default(), &mut 0, &input),
                    "{input:?}"
                );
                read(&mut knowing, &mut hint, &format!("GET / HTTP/1.1\r\n{headers}")).unwrap();
            }
        }
    }

    #[test]
    fn the_number_kept_is_bounded() {
        let mut reader = Reader::default();
        let mut hint = 0;
        for number in 0..1000 {
            let input = format!("GET / HTTP/1.1\r\nHost: h{number}\r\n\r\n");
            assert!(read(&mut reader, &mut hint, &input).unwrap().unwrap().contains(&format!("h{number}\"")));
            assert_eq!(hint, reader.latest());
        }
        assert_eq!(reader.known.len(), MAX_KNOWN);
    }
}
