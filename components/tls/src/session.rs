//! One connection's TLS: bytes of records in, bytes out. All that depends on how rustls is called is here.

use rustls::{
    ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, WriteTraffic},
};
use std::sync::Arc;
use support::Buffer;

/// Bytes that a record has beside its payload: a header, a nonce, the type, a tag.
pub const OVERHEAD: usize = 5 + 8 + 1 + 16;
/// The most bytes of a record's payload.
pub const MAX_PAYLOAD: usize = 1 << 14;
/// ... and of that with what encryption adds (RFC 5246, section 6.2.3).
const MAX_CIPHERTEXT: usize = MAX_PAYLOAD + 2048;
const HEADER: usize = 5;
const TAG: usize = 16;

/// The server's side of a connection.
pub struct Session {
    tls: UnbufferedServerConnection,
    /// What came and has not been used.
    input: Buffer,
    /// Bytes of `input` that rustls has seen and wants to see again: parts of a handshake message.
    seen: usize,
    is_established: bool,
    /// The other side has said that it sends no more.
    peer_closed: bool,
    failed: bool,
}

/// What came of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All that can be done is done until more comes.
    Waits,
    /// The handshake is over just now. There may be more to be done.
    Established,
    /// `plain` has so much that is to be passed on first. There may be more to be done.
    Data,
    /// The other side sends no more: all that it has sent is passed on. Said once.
    PeerClosed,
}

/// Why a session ends, in words. What the other side is to be told is written already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub String);

impl Session {
    /// # Errors
    /// rustls refuses its configuration.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Failed> {
        let tls = UnbufferedServerConnection::new(config).map_err(|error| Failed(error.to_string()))?;
        let (input, seen) = (Buffer::new(), 0);
        Ok(Session { tls, input, seen, is_established: false, peer_closed: false, failed: false })
    }

    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Bytes of memory that the input takes.
    pub fn capacity(&self) -> usize {
        self.input.capacity()
    }

    pub fn is_established(&self) -> bool {
        self.is_established
    }

    /// The protocol that was agreed on, or nothing.
    pub fn protocol(&self) -> &str {
        let protocol = self.tls.alpn_protocol().unwrap_or_default();
        str::from_utf8(protocol).unwrap_or_default()
    }

    /// The length of the next record that is there as a whole, with its header. What is no record counts as one: rustls finds out.
    fn next_record(&self) -> Option<usize> {
        let rest = &self.input.as_slice()[self.seen..];
        let [kind, major, _, high, low, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(20..=24).contains(&kind) || major != 3 || length > MAX_CIPHERTEXT {
            return Some(rest.len());
        }
        Some(HEADER + length).filter(|length| *length <= rest.len())
    }

    /// Whether there is a record that is of use once its receiver has room.
    pub fn has_record(&self) -> bool {
        self.usable(usize::MAX >> 1).is_some()
    }

    /// Whether there is one that is of use now.
    pub fn is_ready(&self, room: usize) -> bool {
        self.usable(room).is_some()
    }

    /// Goes on with what has come, up to one record of data, which has no more than `room` bytes. Appends what is for the other side
    /// to `out`, and data to `plain`. The second number is how many bytes of the input were used up.
    ///
    /// # Errors
    /// The session has failed, and takes nothing more.
    pub fn advance(
        &mut self,
        room: usize,
        out: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> (Result<Progress, Failed>, usize) {
        let before = self.input.len();
        let progress = self.go(room, out, plain);
        if progress.is_err() {
            self.failed = true;
            self.alert(out);
            self.input.clear();
            self.seen = 0;
        }
        (progress, before - self.input.len())
    }

    fn go(&mut self, room: usize, out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<Progress, Failed> {
        while let Some(length) = self.usable(room) {
            self.seen += length;
            if let Some(progress) = self.step(out, plain)? {
                return Ok(progress);
            }
        }
        Ok(Progress::Waits)
    }

    /// The length of the next record, if it is there and its data are no more than `room`.
    fn usable(&self, room: usize) -> Option<usize> {
        let fits = |length: &usize| !self.is_established || *length <= room + HEADER + TAG;
        self.next_record().filter(|length| !self.failed && !self.peer_closed && fits(length))
    }

    /// Until rustls wants more. None: there is nothing to tell.
    fn step(&mut self, out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<Option<Progress>, Failed> {
        loop {
            let Session { tls, input, seen, .. } = self;
            let status = tls.process_tls_records(&mut input.as_mut_slice()[..*seen]);
            let discard = status.discard;
            let mut told = None;
            let mut more = true;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        plain.extend_from_slice(record.map_err(|error| Failed(error.to_string()))?.payload);
                    }
                    told = Some(Progress::Data);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => append(out, |to| data.encode(to))?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    told = Some(Progress::PeerClosed);
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    more = false;
                    if !core::mem::replace(&mut self.is_established, true) {
                        told = Some(Progress::Established);
                    }
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => more = false,
                Ok(_) => return Err(Failed("rustls is in a state that this box does not know".into())),
                Err(error) => return Err(Failed(error.to_string())),
            }
            self.input.consume(discard);
            self.seen -= discard;
            match told {
                Some(Progress::Data) if plain.is_empty() => {}
                Some(told) => return Ok(Some(told)),
                None if more => {}
                None => return Ok(None),
            }
        }
    }

    /// Appends what rustls has to say of an error.
    fn alert(&mut self, out: &mut Vec<u8>) {
        loop {
            let status = self.tls.process_tls_records(&mut self.input.as_mut_slice()[..self.seen]);
            match status.state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if append(out, |to| data.encode(to)).is_err() {
                        return;
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return,
            }
        }
    }

    /// Encrypts data, no more than [`MAX_PAYLOAD`], and appends it to `out`.
    ///
    /// # Errors
    /// The session has failed.
    pub fn encrypt(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.write(out, |traffic, to| traffic.encrypt(data, to), data.len() + 2 * OVERHEAD)
    }

    /// Appends that this side sends no more.
    ///
    /// # Errors
    /// The session has failed.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.write(out, |traffic, to| traffic.queue_close_notify(to), 2 * OVERHEAD)
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
        guess: usize,
    ) -> Result<(), Failed> {
        loop {
            if self.failed {
                return Err(Failed("the session has failed".into()));
            }
            let status = self.tls.process_tls_records(&mut self.input.as_mut_slice()[..self.seen]);
            let discard = status.discard;
            let done = match status.state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = out.len();
                    out.resize(start + guess, 0);
                    let mut written = write(&mut traffic, &mut out[start..]);
                    if let Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) = written {
                        out.resize(start + required_size, 0);
                        written = write(&mut traffic, &mut out[start..]);
                    }
                    out.truncate(start + written.as_ref().copied().unwrap_or_default());
                    written.map_err(|error| Failed(error.to_string()))?;
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => append(out, |to| data.encode(to)).map(|()| false)?,
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(_) => return Err(Failed("there is nothing to encrypt with".into())),
                Err(error) => return Err(Failed(error.to_string())),
            };
            self.input.consume(discard);
            self.seen -= discard;
            if done {
                return Ok(());
            }
        }
    }
}

type Traffic<'c> = WriteTraffic<'c, ServerConnectionData>;

/// Appends what is encoded into a buffer that is large enough.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) -> Result<(), Failed> {
    let start = out.len();
    let needed = match encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Ok(_) => return Ok(()),
        Err(error) => return Err(Failed(error.to_string())),
    };
    out.resize(start + needed, 0);
    let encoded = encode(&mut out[start..]);
    out.truncate(start + encoded.as_ref().copied().unwrap_or_default());
    encoded.map(drop).map_err(|error| Failed(error.to_string()))
}
