//! Frames of the byte stream, and messages that take several of them.

use crate::channel::{Channel, ChannelError, TAG};

/// Bytes of a message in one frame.
pub const PART: usize = 32 << 10;

/// The most bytes of a frame between the two sides of an open channel.
pub const MAX_FRAME: usize = HEAD + PART + TAG;

/// id (u32, little endian) and flags
const HEAD: usize = 5;
const LAST: u8 = 1;

/// Bytes that have come and are not a whole frame yet.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    from: usize,
}

impl Inbox {
    pub fn add(&mut self, bytes: &[u8]) {
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    /// The next frame, if it is there. None may be longer than `most`.
    pub fn next(&mut self, most: usize) -> Result<Option<&[u8]>, ChannelError> {
        let rest = &self.bytes[self.from..];
        let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > most {
            return Err(ChannelError);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.from + 2;
        self.from = start + length;
        Ok(Some(&self.bytes[start..start + length]))
    }
}

/// Adds a frame to what is to be sent.
pub fn frame(message: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(message.len()).expect("a Noise message is shorter than 64 KiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
}

/// Seals a message, in as many frames as it needs.
pub fn seal(channel: &mut Channel, id: u32, message: &[u8], out: &mut Vec<u8>) -> Result<(), ChannelError> {
    let mut parts = message.chunks(PART).peekable();
    let mut next = Some(parts.next().unwrap_or_default());
    while let Some(part) = next {
        next = parts.next();
        let flags = if next.is_none() { LAST } else { 0 };
        let mut plain = Vec::with_capacity(HEAD + part.len());
        plain.extend_from_slice(&id.to_le_bytes());
        plain.push(flags);
        plain.extend_from_slice(part);
        frame(&channel.seal(&plain)?, out);
    }
    Ok(())
}

/// A message of which some parts have come.
#[derive(Debug, Default)]
pub struct Assembled {
    id: u32,
    bytes: Vec<u8>,
}

impl Assembled {
    /// Takes in an opened frame. Yields the message when it is whole; none may be longer than `most`.
    pub fn add(&mut self, plain: &[u8], most: usize) -> Result<Option<(u32, Vec<u8>)>, ChannelError> {
        let (head, part) = plain.split_first_chunk::<HEAD>().ok_or(ChannelError)?;
        let [a, b, c, d, flags] = *head;
        let id = u32::from_le_bytes([a, b, c, d]);
        let begins = self.bytes.is_empty();
        if (!begins && id != self.id) || self.bytes.len() + part.len() > most || flags & !LAST != 0 {
            return Err(ChannelError);
        }
        self.id = id;
        if flags & LAST == 0 {
            if part.is_empty() {
                return Err(ChannelError);
            }
            self.bytes.extend_from_slice(part);
            return Ok(None);
        }
        if begins {
            return Ok(Some((id, part.to_vec())));
        }
        self.bytes.extend_from_slice(part);
        Ok(Some((id, std::mem::take(&mut self.bytes))))
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_however_they_are_cut() {
        let mut out = Vec::new();
        let messages: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        messages.iter().for_each(|message| frame(message, &mut out));
        for step in [1, 2, 3, 7, out.len()] {
            let (mut inbox, mut read) = (Inbox::default(), Vec::new());
            for piece in out.chunks(step) {
                inbox.add(piece);
                while let Some(frame) = inbox.next(300).unwrap() {
                    read.push(frame.to_vec());
                }
            }
            assert_eq!(read, messages, "in pieces of {step}");
            assert_eq!(inbox.len(), 0);
        }
    }

    #[test]
    fn long_frames_are_refused_before_they_are_there() {
        let mut inbox = Inbox::default();
        inbox.add(&[0x10, 0]);
        assert_eq!(inbox.next(0xfff), Err(ChannelError));
    }

    #[test]
    fn parts_of_two_messages_do_not_mix() {
        let mut assembled = Assembled::default();
        assert_eq!(assembled.add(&[1, 0, 0, 0, 0, 9], 100), Ok(None));
        assert_eq!(assembled.add(&[2, 0, 0, 0, 1, 9], 100), Err(ChannelError));
        let mut assembled = Assembled::default();
        assert_eq!(assembled.add(&[1, 0, 0, 0, 0, 9], 100), Ok(None));
        assert_eq!(assembled.add(&[1, 0, 0, 0, 1, 8], 100), Ok(Some((1, vec![9, 8]))));
        assert_eq!(assembled.add(&[1, 0, 0, 0, 0], 100), Err(ChannelError), "an empty part that is not the last");
        assert_eq!(assembled.add(&[1, 0, 0, 0, 1, 1, 1], 1), Err(ChannelError), "too long");
    }
}
