//! Exact numbers of requests over kept connections: each round, one request on every connection, then all answers.

use anyhow::{Context, Result, anyhow, bail};
use message::chunked;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

pub struct Client {
    opens: Opens,
    connections: Vec<Stream>,
    request: Vec<u8>,
}

impl Client {
    /// Each connection has had an answer before the next is made: QEMU's forwarding lets few wait, and others then
    /// wait a second for their turn.
    pub fn connect(opens: Opens, path: &str, connections: usize) -> Result<Self> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let first = |_| {
            let mut stream = opens.open()?;
            stream.write_all(&request)?;
            if read_answer(&mut stream)? { Ok(stream) } else { opens.open() }
        };
        let connections = (0..connections).map(first).collect::<Result<_>>()?;
        Ok(Client { opens, connections, request })
    }

    /// Requests one after another on the first connection, or on another where an answer has said that it was its last.
    pub fn run_anew(&mut self, requests: usize) -> Result<()> {
        let stream = self.connections.first_mut().context("no connection")?;
        for _ in 0..requests {
            stream.write_all(&self.request)?;
            if !read_answer(stream)? {
                *stream = self.opens.open()?;
            }
        }
        Ok(())
    }

    /// Each request on a connection of its own, one after another.
    pub fn run_fresh(&self, requests: usize) -> Result<()> {
        for _ in 0..requests {
            let mut stream = self.opens.open()?;
            stream.write_all(&self.request)?;
            read_answer(&mut stream)?;
            stream.close()?;
        }
        Ok(())
    }

    pub fn run(&mut self, requests: usize) -> Result<()> {
        let mut left = requests;
        while left > 0 {
            let round = left.min(self.connections.len());
            for stream in &mut self.connections[..round] {
                stream.write_all(&self.request)?;
            }
            for stream in &mut self.connections[..round] {
                if !read_answer(stream)? {
                    *stream = self.opens.open()?;
                }
            }
            left -= round;
        }
        Ok(())
    }
}

/// What is to come of a body.
enum Body {
    Left(usize),
    Chunks(chunked::Decoder),
    /// what has come of the trailer section
    Trailers(Vec<u8>),
}

impl Body {
    /// Whether it is whole with these bytes, which are the next ones.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool> {
        loop {
            match self {
                Body::Left(left) => {
                    *left = left.saturating_sub(bytes.len());
                    return Ok(*left == 0);
                }
                Body::Chunks(decoder) => {
                    let step = decoder.step(bytes, usize::MAX);
                    let (used, step) = step.map_err(|_| anyhow!("the node's answer is not chunked as it says"))?;
                    bytes = &bytes[used..];
                    match step {
                        chunked::Step::Data(_) => {}
                        chunked::Step::Pause => return Ok(false),
                        chunked::Step::End => *self = Body::Trailers(Vec::new()),
                    }
                }
                Body::Trailers(lines) => {
                    lines.extend_from_slice(bytes);
                    return Ok(*lines == b"\r\n" || lines.ends_with(b"\r\n\r\n"));
                }
            }
        }
    }
}

/// How connections are opened.
#[derive(Clone)]
pub struct Opens {
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl From<u16> for Opens {
    fn from(port: u16) -> Self {
        Opens { port, tls: None }
    }
}

impl Opens {
    /// With TLS, whoever answers. `resumes`: connections go on with the session of one before. `protocols` are offered (ALPN).
    pub fn tls(port: u16, resumes: bool, protocols: &[&[u8]]) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let any = Arc::new(Anybody(provider));
        let mut config = builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Opens { port, tls: Some(Arc::new(config)) })
    }

    pub fn open(&self) -> Result<Stream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).context("cannot connect to the node")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let Some(config) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let session = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, stream))))
    }
}

/// A connection.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Says that nothing more comes, as TLS has it.
    fn close(&mut self) -> Result<()> {
        if let Stream::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(buffer),
            Stream::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Takes any certificate: what is measured is the node that was started for it.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Reads one answer, which must be no error. False: it is the connection's last.
fn read_answer(stream: &mut Stream) -> Result<bool> {
    let mut answer = Vec::new();
    let mut buffer = [0; 65_536];
    let head = loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            bail!("the node closed the connection after {:?}", String::from_utf8_lossy(&answer));
        }
        answer.extend_from_slice(&buffer[..length]);
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
    if !status.is_some_and(|status| (200..400).contains(&status)) {
        bail!("the node answered {:?}", text.lines().next().unwrap_or_default());
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mut body = if field("transfer-encoding") == Some("chunked") {
        Body::Chunks(chunked::Decoder::default())
    } else if status == Some(204) || status == Some(304) {
        Body::Left(0)
    } else {
        Body::Left(field("content-length").context("an answer without a length")?.parse()?)
    };
    let mut is_whole = body.take(&answer[head..])?;
    while !is_whole {
        match stream.read(&mut buffer)? {
            0 => bail!("the node closed the connection within an answer"),
            length => is_whole = body.take(&buffer[..length])?,
        }
    }
    Ok(!text.lines().any(|line| line == "connection: close"))
}
