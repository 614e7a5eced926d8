//! Heads read once are known: the requests of one client mostly have the same headers.

use message::request::{self, Says};
use message::{Head, Limits, Refusal, Target, UPGRADE_BYTES, line};
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
    says: Says<'static>,
    upgrade: Box<str>,
}

const MAX_KNOWN: usize = 32;
const MAX_KNOWN_BYTES: usize = 2048;

/// All that a reader keeps: each known block, and the lines that are made of it; and the lines of the largest head.
pub const MAX_BYTES: usize = MAX_KNOWN * (3 * MAX_KNOWN_BYTES + UPGRADE_BYTES + size_of::<Known>()) + (128 << 10);

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
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, Refusal> {
        if let Some(known) = self.known.get(usize::from(*hint))
            && let Some(line) = line::parse(input, limits)?
            && known.is_after(&line, input, limits)
        {
            return Ok(self.known.get(usize::from(*hint)).map(|known| known.head(line)));
        }
        self.parse(input, hint, limits)
    }

    #[cold]
    #[inline(never)]
    fn parse<'a>(&'a mut self, input: &'a [u8], hint: &mut u8, limits: &Limits) -> Result<Option<Head<'a>>, Refusal> {
        let Some((head, headers_start)) = request::parse(input, &mut self.scratch, limits)? else { return Ok(None) };
        let has_own_authority = matches!(head.target, Target::Path { authority: Some(_), .. });
        if head.is_11 && !has_own_authority && head.length - headers_start <= MAX_KNOWN_BYTES {
            let known = Known {
                block: input[headers_start..head.length].into(),
                authority: head.authority.into(),
                lines: head.headers.into(),
                says: Says { upgrade: "", ..head.says },
                upgrade: head.says.upgrade.into(),
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

impl Known {
    /// Whether these headers follow a line of HTTP/1.1 with a path.
    #[inline]
    fn is_after(&self, line: &line::Line<'_>, input: &[u8], limits: &Limits) -> bool {
        let end = line.length + self.block.len();
        // What is equal up to its empty line has no empty line before that.
        line.is_11
            && line.target.starts_with('/')
            && end <= limits.head_bytes
            && input.get(line.length..end).is_some_and(|block| same(block, &self.block))
    }

    #[inline]
    fn head<'a>(&'a self, line: line::Line<'a>) -> Head<'a> {
        Head {
            method: line.method,
            target: Target::Path { target: line.target.into(), authority: None },
            authority: &self.authority,
            is_11: true,
            headers: &self.lines,
            raw: &self.block,
            says: Says { upgrade: &self.upgrade, ..self.says },
            length: line.length + self.block.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut Reader, hint: &mut u8, input: &str) -> Result<Option<String>, Refusal> {
        reader.read(input.as_bytes(), hint, &Limits::default()).map(|head| head.map(|head| format!("{head:?}")))
    }

    /// What is known must be read as what is not.
    #[test]
    fn known_headers_say_the_same() {
        let headers = [
            "Host: a\r\n\r\n",
            "Host: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
            "X:y\r\nhost: b\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            "Host: c\r\nTE: trailers\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
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
            "GET / HTTP/1.7\r\n",
            "GET /%zz HTTP/1.1\r\n",
            "GET http://x?y HTTP/1.1\r\n",
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
