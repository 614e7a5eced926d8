//! One connection's TLS: bytes of records in, bytes out. All that depends on how rustls is called is here.

use rustls::{
    CertificateError, ClientConfig, CommonState, Error, HandshakeKind, ProtocolVersion, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, ServerName},
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic},
};
use std::sync::Arc;
use support::Buffer;
use wit::tcp::Cause;

/// Bytes that a record has beside its payload: a header, a nonce, the type, a tag.
pub const OVERHEAD: usize = 5 + 8 + 1 + 16;
/// The most bytes of a record's payload.
pub const MAX_PAYLOAD: usize = 1 << 14;
/// ... and of that with what encryption adds (RFC 5246, section 6.2.3).
const MAX_CIPHERTEXT: usize = MAX_PAYLOAD + 2048;
const HEADER: usize = 5;
const TAG: usize = 16;

/// One side of a connection.
pub struct Session {
    tls: Side,
    /// What came and has not been used.
    input: Buffer,
    /// Bytes of `input` that rustls has seen and wants to see again: parts of a handshake message.
    seen: usize,
    is_established: bool,
    /// bytes of the other side's certificates, which are kept
    chain: usize,
    /// The other side has said that it sends no more.
    peer_closed: bool,
    failed: bool,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Calls a function that is the same for both sides.
macro_rules! either {
    ($side:expr, $tls:ident => $then:expr) => {
        match $side {
            Side::Server($tls) => $then,
            Side::Client($tls) => $then,
        }
    };
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

/// Why a session ends. What the other side is to be told is written already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub cause: Cause,
    /// the number of an alert, if it was one
    pub alert: u8,
    /// in words
    pub why: String,
}

impl Failed {
    fn new(why: impl ToString) -> Self {
        Failed { cause: Cause::Security, alert: 0, why: why.to_string() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let (cause, alert, why) = match error {
            Error::AlertReceived(alert) => {
                (Cause::Alert, alert.into(), format!("the other side refused with an alert: {alert:?}"))
            }
            Error::InvalidCertificate(error) => (Cause::Certificate, 0, certificate(&error)),
            Error::NoCertificatesPresented => (Cause::Certificate, 0, error.to_string()),
            error => (Cause::Security, 0, error.to_string()),
        };
        Failed { cause, alert, why }
    }
}

/// What is wrong with the other side's certificate.
fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "the certificate has expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "the certificate is not valid yet".into(),
        E::UnknownIssuer => "the certificate is of an issuer that is not trusted".into(),
        E::NotValidForName => "the certificate is for another name".into(),
        E::NotValidForNameContext { expected, presented } => {
            let presented = presented.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
            let expected = match expected {
                ServerName::DnsName(name) => name.as_ref(),
                _ => "this address",
            };
            format!("the certificate is not for {expected}, but for: {presented}")
        }
        error => format!("the certificate is not valid: {error}"),
    }
}

impl Session {
    /// The server's side.
    ///
    /// # Errors
    /// rustls refuses its configuration.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Failed> {
        Ok(Self::new(Side::Server(UnbufferedServerConnection::new(config)?)))
    }

    /// The client's side, for a server of that name. Appends the beginning of the handshake to `out`.
    ///
    /// # Errors
    /// rustls refuses its configuration.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>, out: &mut Vec<u8>) -> Result<Self, Failed> {
        let mut session = Self::new(Side::Client(UnbufferedClientConnection::new(config, name)?));
        session.step(out, &mut Vec::new())?;
        Ok(session)
    }

    fn new(tls: Side) -> Self {
        let (input, seen) = (Buffer::new(), 0);
        Session { tls, input, seen, is_established: false, chain: 0, peer_closed: false, failed: false }
    }

    fn state(&self) -> &CommonState {
        either!(&self.tls, tls => tls)
    }

    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Bytes of memory that the input takes, and what the other side has made this one keep.
    pub fn capacity(&self) -> usize {
        self.input.capacity() + self.chain
    }

    pub fn is_established(&self) -> bool {
        self.is_established
    }

    /// The protocol that was agreed on, or nothing.
    pub fn protocol(&self) -> &str {
        let protocol = self.state().alpn_protocol().unwrap_or_default();
        str::from_utf8(protocol).unwrap_or_default()
    }

    /// Of a session that is established: whether it is of TLS 1.3, and whether it goes on from one of before.
    pub fn agreed(&self) -> (bool, bool) {
        let state = self.state();
        let is_13 = state.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        (is_13, state.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// The certificates that the other side has shown, its own first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
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
        // TLS 1.3 has a byte for what is in it (RFC 8446, section 5.2)
        let kind = usize::from(self.state().protocol_version() == Some(ProtocolVersion::TLSv1_3));
        let fits = |length: &usize| !self.is_established || *length <= room + HEADER + kind + TAG;
        self.next_record().filter(|length| !self.failed && !self.peer_closed && fits(length))
    }

    /// Until rustls wants more. None: there is nothing to tell.
    fn step(&mut self, out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<Option<Progress>, Failed> {
        loop {
            let Session { tls, input, seen, is_established, peer_closed, .. } = self;
            let records = &mut input.as_mut_slice()[..*seen];
            let (discard, done) = either!(tls, tls => {
                let status = tls.process_tls_records(records);
                (status.discard, react(status, out, plain))
            });
            let Done { mut told, more } = done?;
            match told {
                Some(Progress::PeerClosed) => *peer_closed = true,
                Some(Progress::Established) if core::mem::replace(is_established, true) => told = None,
                _ => {}
            }
            input.consume(discard);
            *seen -= discard;
            if told == Some(Progress::Established) {
                self.chain = self.certificates().iter().map(|certificate| certificate.len()).sum();
            }
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
        let records = &mut self.input.as_mut_slice()[..self.seen];
        either!(&mut self.tls, tls => {
            // an error that is told again is no news
            while react(tls.process_tls_records(records), out, &mut Vec::new()).is_ok_and(|done| done.more) {}
        });
    }

    /// Encrypts data, no more than [`MAX_PAYLOAD`], and appends it to `out`.
    ///
    /// # Errors
    /// The session has failed.
    pub fn encrypt(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.write(out, Write::Data(data))
    }

    /// Appends that this side sends no more.
    ///
    /// # Errors
    /// The session has failed.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.write(out, Write::End)
    }

    fn write(&mut self, out: &mut Vec<u8>, what: Write<'_>) -> Result<(), Failed> {
        loop {
            if self.failed {
                return Err(Failed::new("the session has failed"));
            }
            let Session { tls, input, seen, .. } = self;
            let records = &mut input.as_mut_slice()[..*seen];
            let (discard, done) = either!(tls, tls => {
                let status = tls.process_tls_records(records);
                (status.discard, put(status, what, out))
            });
            let done = done?;
            input.consume(discard);
            *seen -= discard;
            if done {
                return Ok(());
            }
        }
    }
}

/// What follows from a state of rustls.
struct Done {
    told: Option<Progress>,
    /// There may be more to be done.
    more: bool,
}

/// Does what rustls wants, if that is anything. `Established` is told whenever it is so.
fn react<T>(status: UnbufferedStatus<'_, '_, T>, out: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<Done, Failed> {
    let (mut told, mut more) = (None, true);
    match status.state? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                plain.extend_from_slice(record?.payload);
            }
            told = Some(Progress::Data);
        }
        ConnectionState::EncodeTlsData(mut data) => append(out, |to| data.encode(to))?,
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::PeerClosed => told = Some(Progress::PeerClosed),
        ConnectionState::WriteTraffic(_) => (told, more) = (Some(Progress::Established), false),
        ConnectionState::BlockedHandshake | ConnectionState::Closed => more = false,
        _ => return Err(Failed::new("rustls is in a state that this box does not know")),
    }
    Ok(Done { told, more })
}

#[derive(Clone, Copy)]
enum Write<'a> {
    Data(&'a [u8]),
    /// This side sends no more.
    End,
}

impl Write<'_> {
    fn write<T>(self, traffic: &mut WriteTraffic<'_, T>, to: &mut [u8]) -> Result<usize, EncryptError> {
        match self {
            Write::Data(data) => traffic.encrypt(data, to),
            Write::End => traffic.queue_close_notify(to),
        }
    }
}

/// Appends what is written, once rustls is ready for that.
fn put<T>(status: UnbufferedStatus<'_, '_, T>, what: Write<'_>, out: &mut Vec<u8>) -> Result<bool, Failed> {
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => {
            let length = if let Write::Data(data) = what { data.len() } else { 0 };
            let start = out.len();
            out.resize(start + length + 2 * OVERHEAD, 0);
            let mut written = what.write(&mut traffic, &mut out[start..]);
            if let Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) = written {
                out.resize(start + required_size, 0);
                written = what.write(&mut traffic, &mut out[start..]);
            }
            out.truncate(start + written.as_ref().copied().unwrap_or_default());
            written.map(|_| true).map_err(Failed::new)
        }
        ConnectionState::EncodeTlsData(mut data) => append(out, |to| data.encode(to)).map(|()| false),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(false)
        }
        _ => Err(Failed::new("there is nothing to encrypt with")),
    }
}

/// Appends what is encoded into a buffer that is large enough.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) -> Result<(), Failed> {
    let start = out.len();
    let needed = match encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Ok(_) => return Ok(()),
        Err(error) => return Err(Failed::new(error)),
    };
    out.resize(start + needed, 0);
    let encoded = encode(&mut out[start..]);
    out.truncate(start + encoded.as_ref().copied().unwrap_or_default());
    encoded.map(drop).map_err(Failed::new)
}
