//! The chunked transfer coding (RFC 9112, section 7.1).

/// Reads a chunked body however it is cut, up to its trailer section. Chunk extensions are checked and dropped.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    state: State,
    /// what is left of the chunk
    left: u64,
    /// bytes of extensions and of needless zeros so far
    extra: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// whether there are digits before
    Size(bool),
    /// whitespace after the size, which an extension must follow
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    Data(&'a [u8]),
    /// More input is needed, or more room.
    Pause,
    /// The data has ended. The trailer section follows, and its empty line in any case: [`crate::trailers::parse`].
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

/// Extensions and needless zeros of one body may be this long together.
const MAX_EXTRA: usize = 16 << 10;

impl Decoder {
    pub const fn new() -> Self {
        Decoder { state: State::Size(false), left: 0, extra: 0 }
    }

    /// Reads on, to the next data (no more than `room` bytes of it), the end of the data or the end of `input`. Gives
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
            if (self.state, byte, self.left) == (State::SizeLf, b'\n', 0) {
                return Ok((at, Step::End));
            }
            self.state = self.next(byte)?;
        }
    }

    fn next(&mut self, byte: u8) -> Result<State, Invalid> {
        Ok(match (self.state, byte) {
            (State::Size(true), b'0') if self.left == 0 => self.extra(State::Size(true))?,
            (State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.left >> 60 == 0 => {
                let digit = (byte as char).to_digit(16).ok_or(Invalid)?;
                self.left = self.left << 4 | u64::from(digit);
                State::Size(true)
            }
            (State::Size(true), b'\r') => State::SizeLf,
            (State::Size(true) | State::Space, b';') => State::Extension,
            (State::Size(true) | State::Space, b' ' | b'\t') => self.extra(State::Space)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.extra(State::Extension)?,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(false),
            _ => return Err(Invalid),
        })
    }

    fn extra(&mut self, state: State) -> Result<State, Invalid> {
        self.extra += 1;
        if self.extra <= MAX_EXTRA { Ok(state) } else { Err(Invalid) }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// What ends the data. The trailer section and an empty line follow.
pub const LAST_CHUNK: &[u8] = b"0\r\n";

/// What ends a body without trailers.
pub const END: &[u8] = b"0\r\n\r\n";

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
    use alloc::{format, vec::Vec};

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

    const WHOLE: &[u8] = b"5\r\nhello\r\n00A;x=\"y\" \r\n, world!!!\r\n1 ;z\r\n.\r\n0\r\n\r\nGET";

    #[test]
    fn however_it_is_cut() {
        let expected = Ok(Some((b"hello, world!!!.".to_vec(), b"\r\nGET".to_vec())));
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
            "10000000000000000\r\n",
            "5\r\nhello6\r\n",
            "5\r\nhello\n",
            "5\r\nhello\r6",
            "0\n",
            ";\r\n",
        ] {
            assert_eq!(decode(&[bad.as_bytes()], usize::MAX), Err(Invalid), "{bad:?}");
        }
    }

    #[test]
    fn leading_zeros_and_the_largest_chunk() {
        let zeros = "0".repeat(1000);
        assert_eq!(
            decode(&[format!("{zeros}1\r\nx\r\n{zeros}\r\n").as_bytes()], 9),
            Ok(Some((b"x".into(), b"".into())))
        );
        let mut decoder = Decoder::new();
        assert_eq!(decoder.step(b"00ffffffffffffffff\r\n", 1), Ok((20, Step::Pause)));
        assert_eq!(decoder.left, u64::MAX);
    }

    #[test]
    fn extensions_and_zeros_are_bounded() {
        let many = "1;aaaaaaaaaaaaaaaa\r\nx\r\n".repeat(MAX_EXTRA / 16 + 1);
        assert_eq!(decode(&[many.as_bytes()], usize::MAX), Err(Invalid));
        assert_eq!(decode(&["0".repeat(MAX_EXTRA + 2).as_bytes()], usize::MAX), Err(Invalid));
    }

    #[test]
    fn size_lines() {
        let mut buffer = [0; 18];
        assert_eq!(size_line(1, &mut buffer), b"1\r\n");
        assert_eq!(size_line(0xabc0, &mut buffer), b"abc0\r\n");
        assert_eq!(size_line(usize::MAX, &mut buffer), b"ffffffffffffffff\r\n");
    }
}
