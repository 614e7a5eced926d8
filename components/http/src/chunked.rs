//! The chunked transfer coding (RFC 9112, section 7.1).

/// Reads a chunked body however it is cut. Chunk extensions and trailers are checked and dropped.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    state: State,
    /// what is left of the chunk
    left: u64,
    /// bytes of extensions and trailers so far
    extra: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
    },
    /// whitespace after the size, which an extension must follow
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// at the start of a line after the last chunk
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    Data(&'a [u8]),
    /// More input is needed, or more room.
    Pause,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

/// Extensions and trailers of one body may be this long together.
const MAX_EXTRA: usize = 16 << 10;

impl Decoder {
    pub const fn new() -> Self {
        Decoder { state: State::Size { digits: 0 }, left: 0, extra: 0 }
    }

    /// Reads on, to the next data (no more than `room` bytes of it), the end of the body or the end of `input`. Gives
    /// the number of bytes read too.
    pub fn step<'a>(&mut self, input: &'a [u8], room: usize) -> Result<(usize, Step<'a>), Invalid> {
        let mut at = 0;
        loop {
            if self.state == State::Data {
                let length = (input.len() - at).min(room).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                if length == 0 {
                    return Ok((at, Step::Pause));
                }
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok((at + length, Step::Data(&input[at..at + length])));
            }
            let Some(&byte) = input.get(at) else { return Ok((at, Step::Pause)) };
            at += 1;
            if self.state == State::EndLf && byte == b'\n' {
                return Ok((at, Step::End));
            }
            self.state = self.next(byte)?;
        }
    }

    fn next(&mut self, byte: u8) -> Result<State, Invalid> {
        Ok(match (self.state, byte) {
            (State::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = (byte as char).to_digit(16).ok_or(Invalid)?;
                self.left = self.left << 4 | u64::from(digit);
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. }, b'\r') => State::SizeLf,
            (State::Size { digits: 1.. } | State::Space, b';') => State::Extension,
            (State::Size { digits: 1.. } | State::Space, b' ' | b'\t') => self.extra(State::Space)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.extra(State::Extension)?,
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::Trailer, b'\r') => State::EndLf,
            (State::Trailer | State::TrailerName, byte) if is_token(byte) => self.extra(State::TrailerName)?,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => self.extra(State::TrailerValue)?,
            (State::TrailerLf, b'\n') => State::Trailer,
            _ => return Err(Invalid),
        })
    }

    fn extra(&mut self, state: State) -> Result<State, Invalid> {
        self.extra += 1;
        if self.extra <= MAX_EXTRA { Ok(state) } else { Err(Invalid) }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line before a chunk's data. An empty chunk would be the last one, so `length` is not 0.
pub fn size_line(length: usize, buffer: &mut [u8; 18]) -> &[u8] {
    let mut start = 16;
    buffer[16..].copy_from_slice(b"\r\n");
    let mut rest = length;
    while rest > 0 {
        start -= 1;
        buffer[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    &buffer[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    type BodyAndRest = (Vec<u8>, Vec<u8>);

    /// The body, and what input is left after it; `None` if it did not end.
    fn decode(parts: &[&[u8]], room: usize) -> Result<Option<BodyAndRest>, Invalid> {
        let mut decoder = Decoder::new();
        let mut body = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut at = 0;
            loop {
                let (read, step) = decoder.step(&part[at..], room)?;
                at += read;
                match step {
                    Step::Data(data) => body.extend_from_slice(data),
                    Step::Pause => break assert_eq!(at, part.len()),
                    Step::End => return Ok(Some((body, [&part[at..], &parts[index + 1..].concat()].concat()))),
                }
            }
        }
        Ok(None)
    }

    const WHOLE: &[u8] = b"5\r\nhello\r\n00A;x=\"y\" \r\n, world!!!\r\n1 ;z\r\n.\r\n0\r\nDigest: a b\r\nX:\r\n\r\nGET";

    #[test]
    fn however_it_is_cut() {
        let expected = Ok(Some((b"hello, world!!!.".to_vec(), b"GET".to_vec())));
        assert_eq!(decode(&[WHOLE], usize::MAX), expected);
        assert_eq!(decode(&[WHOLE], 1), expected);
        let bytes: Vec<_> = WHOLE.chunks(1).collect();
        assert_eq!(decode(&bytes, usize::MAX), expected);
        for cut in 1..WHOLE.len() {
            let (a, b) = WHOLE.split_at(cut);
            assert_eq!(decode(&[a, b], 3), expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_chunked() {
        for bad in [
            "\r\n",
            " 5\r\n",
            "-5\r\n",
            "+5\r\n",
            "0x5\r\n",
            "5 \r\n",
            "5\n",
            "5\r5",
            "5 5\r\n",
            "g\r\n",
            "5;a\nb\r\n",
            "5;a\rb\r\n",
            "1000000000000000\r\n",
            "5\r\nhello6\r\n",
            "5\r\nhello\n",
            "5\r\nhello\r6",
            "0\r\n\n",
            "0\r\n folded: x\r\n",
            "0\r\nno colon\r\n",
            "0\r\n: x\r\n",
            "0\r\na: \0\r\n",
            "0\r\na: b\n",
            "0\r\n\r\r",
            ";\r\n",
        ] {
            assert_eq!(decode(&[bad.as_bytes()], usize::MAX), Err(Invalid), "{bad:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let many = "1;aaaaaaaaaaaaaaaa\r\nx\r\n".repeat(MAX_EXTRA / 16 + 1);
        assert_eq!(decode(&[many.as_bytes()], usize::MAX), Err(Invalid));
        let long = format!("0\r\na: {}", "b".repeat(MAX_EXTRA));
        assert_eq!(decode(&[long.as_bytes()], usize::MAX), Err(Invalid));
    }

    #[test]
    fn size_lines() {
        let mut buffer = [0; 18];
        assert_eq!(size_line(1, &mut buffer), b"1\r\n");
        assert_eq!(size_line(0xabc0, &mut buffer), b"abc0\r\n");
        assert_eq!(size_line(usize::MAX, &mut buffer), b"ffffffffffffffff\r\n");
    }
}
