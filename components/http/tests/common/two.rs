//! Clients of HTTP/2: one that the library `h2` makes, and one whose frames are made by hand.

use super::Bench;
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, Connection, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
struct Pipe {
    input: VecDeque<u8>,
    output: Vec<u8>,
    is_over: bool,
}

#[derive(Clone, Default)]
struct End(Rc<RefCell<Pipe>>);

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.input.is_empty() && !pipe.is_over {
            return Poll::Pending;
        }
        while let Some(byte) = (into.remaining() > 0).then(|| pipe.input.pop_front()).flatten() {
            into.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A client of the library's.
pub struct Two {
    pub connection: u32,
    pipe: Rc<RefCell<Pipe>>,
    pub send: SendRequest<Bytes>,
    library: Connection<End, Bytes>,
    /// how the connection has ended
    pub ended: Option<Result<(), h2::Error>>,
}

/// A request that was made, and what there is of its response.
pub struct Asked {
    response: ResponseFuture,
    pub body: SendStream<Bytes>,
    incoming: Option<RecvStream>,
    /// The body is not read while this is false.
    pub reads: bool,
    pub interim: Vec<Response<()>>,
    pub head: Option<Response<()>>,
    pub data: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// The response is whole, or has failed.
    pub ended: Option<Result<(), h2::Error>>,
}

impl Asked {
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status().as_u16())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.data).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.head.as_ref().and_then(|head| head.headers().get(name)).map_or("", |value| value.to_str().unwrap())
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.ended, Some(Ok(())))
    }

    /// Why the client does not take the response for whole.
    pub fn reason(&self) -> Option<h2::Reason> {
        self.ended.as_ref()?.as_ref().err()?.reason()
    }

    fn turn(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        if self.head.is_none() {
            while let Poll::Ready(Some(Ok(interim))) = self.response.poll_informational(&mut context) {
                self.interim.push(interim);
            }
            match Pin::new(&mut self.response).poll(&mut context) {
                Poll::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    self.head = Some(Response::from_parts(head, ()));
                    self.incoming = Some(body);
                }
                Poll::Ready(Err(error)) => {
                    self.head = Some(Response::builder().status(599).body(()).unwrap());
                    self.ended = Some(Err(error));
                }
                Poll::Pending => {}
            }
        }
        let Some(incoming) = self.incoming.as_mut().filter(|_| self.reads && self.ended.is_none()) else { return };
        loop {
            match incoming.poll_data(&mut context) {
                Poll::Ready(Some(Ok(data))) => {
                    self.data.extend_from_slice(&data);
                    incoming.flow_control().release_capacity(data.len()).unwrap();
                }
                Poll::Ready(Some(Err(error))) => return self.ended = Some(Err(error)),
                Poll::Ready(None) => break,
                Poll::Pending => return,
            }
        }
        match incoming.poll_trailers(&mut context) {
            Poll::Ready(Ok(trailers)) => {
                self.trailers = trailers;
                self.ended = Some(Ok(()));
            }
            Poll::Ready(Err(error)) => self.ended = Some(Err(error)),
            Poll::Pending => {}
        }
    }
}

impl Two {
    /// Over TLS, with HTTP/2 agreed on.
    pub fn connect(bench: &mut Bench) -> Self {
        Self::connect_with(bench, &Builder::new())
    }

    pub fn connect_with(bench: &mut Bench, builder: &Builder) -> Self {
        (bench.is_secured, bench.protocol) = (true, "h2");
        let connection = bench.connect();
        (bench.is_secured, bench.protocol) = (false, "");
        Self::on(bench, connection, builder)
    }

    /// In the clear.
    pub fn connect_clear(bench: &mut Bench) -> Self {
        let connection = bench.connect();
        Self::on(bench, connection, &Builder::new())
    }

    fn on(bench: &mut Bench, connection: u32, builder: &Builder) -> Self {
        let end = End::default();
        let pipe = Rc::clone(&end.0);
        let handshake = pin!(builder.handshake::<End, Bytes>(end));
        let Poll::Ready(Ok((send, library))) = handshake.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the client's greeting waits for nothing")
        };
        let mut two = Two { connection, pipe, send, library, ended: None };
        two.turn(bench, &mut []);
        two
    }

    /// What either side has to say is said, until there is no more.
    pub fn turn(&mut self, bench: &mut Bench, asked: &mut [&mut Asked]) {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let client = bench.outside.clients.get_mut(&self.connection).unwrap();
            let received = std::mem::take(&mut client.received);
            let mut goes_on = !received.is_empty();
            let is_over = client.finished || client.closed;
            {
                let mut pipe = self.pipe.borrow_mut();
                pipe.input.extend(received);
                pipe.is_over = is_over;
            }
            if self.ended.is_none()
                && let Poll::Ready(ended) = Pin::new(&mut self.library).poll(&mut context)
            {
                self.ended = Some(ended);
            }
            asked.iter_mut().for_each(|asked| asked.turn());
            if self.ended.is_none() {
                // what reading has led to
                let _ = Pin::new(&mut self.library).poll(&mut context);
            }
            let output = std::mem::take(&mut self.pipe.borrow_mut().output);
            goes_on |= !output.is_empty();
            let mut rest = &output[..];
            while !rest.is_empty() && !bench.client(self.connection).closed {
                let (now, later) = rest.split_at(rest.len().min(bench.client(self.connection).send_credit as usize));
                if now.is_empty() {
                    // the rest has to wait
                    self.pipe.borrow_mut().output = rest.to_vec();
                    return;
                }
                bench.send(self.connection, now);
                rest = later;
            }
            bench.turn();
            if !goes_on {
                return;
            }
        }
    }

    pub fn ask(&mut self, bench: &mut Bench, request: Request<()>, ends: bool) -> Asked {
        let (response, body) = self.send.clone().send_request(request, ends).unwrap();
        let mut asked = Asked {
            response,
            body,
            incoming: None,
            reads: true,
            interim: Vec::new(),
            head: None,
            data: Vec::new(),
            trailers: None,
            ended: None,
        };
        self.turn(bench, &mut [&mut asked]);
        asked
    }

    pub fn get(&mut self, bench: &mut Bench, path: &str) -> Asked {
        self.ask(bench, get(path), true)
    }
}

pub fn get(path: &str) -> Request<()> {
    Request::get(format!("https://h{path}")).body(()).unwrap()
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field as it stands, which is kept in no table (RFC 7541, section 6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        integer(&mut bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// An integer with a prefix of 7 bits (RFC 7541, section 5.1).
fn integer(bytes: &mut Vec<u8>, number: usize) {
    if number < 127 {
        return bytes.push(number as u8);
    }
    bytes.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

pub const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/")];

/// A whole request without a body.
pub fn request(stream: u32) -> Vec<u8> {
    frame(1, 5, stream, &block(GET))
}

/// A connection that has begun, in the clear.
pub fn begin(bench: &mut Bench) -> u32 {
    let client = bench.connect();
    bench.send(client, [PREFACE, &frame(4, 0, 0, b"")].concat());
    client
}

/// A frame that the server has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// Takes the frames that a client has received. A part of one is a fault.
pub fn frames(bench: &mut Bench, client: u32) -> Vec<Frame> {
    let received = std::mem::take(&mut bench.outside.clients.get_mut(&client).unwrap().received);
    let mut rest = &received[..];
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, d, e, f, g, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!(length <= 16_384 && length <= after.len(), "a part of a frame: {rest:?}");
        let stream = u32::from_be_bytes([*d, *e, *f, *g]);
        frames.push(Frame { kind: *kind, flags: *flags, stream, payload: after[..length].to_vec() });
        rest = &after[length..];
    }
    assert!(rest.is_empty(), "a part of a frame: {rest:?}");
    frames
}

/// The code of a GOAWAY among frames, if there is one.
pub fn goaway(frames: &[Frame]) -> Option<u32> {
    let code = |frame: &Frame| u32::from_be_bytes(frame.payload[4..8].try_into().unwrap());
    frames.iter().rev().find(|frame| frame.kind == 7).map(code)
}

/// The code of the RST_STREAM of a stream, if there is one.
pub fn reset(frames: &[Frame], stream: u32) -> Option<u32> {
    let code = |frame: &Frame| u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
    frames.iter().find(|frame| frame.kind == 3 && frame.stream == stream).map(code)
}

pub const ENHANCE_YOUR_CALM: u32 = 11;
