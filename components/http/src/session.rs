//! A connection of HTTP/2 (RFC 9113), as the library `h2` speaks it, between bytes from TCP and bytes for TCP.
//!
//! The library is polled when something has come or is to be sent, and nothing wakes it in between.

use crate::flood::{Frames, TooMuch};
use bytes::Bytes;
use core::{
    pin::Pin,
    task::{Context, Poll, Waker},
};
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, Handshake, SendResponse},
};
use http::request::Parts;
use std::{cell::RefCell, io, rc::Rc};
use support::Buffer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The memory that the library takes for a connection: a buffer for what it reads and one for what it writes, and a table for the fields
/// of either direction.
pub const BYTES: usize = 36 << 10;

/// ... and for each request of it.
pub const STREAM_BYTES: usize = 2 << 10;

/// Bytes of input that the library gets at once: frames that it would have to answer are answered before it sees more.
const PORTION: usize = 4 << 10;

/// A response's data that the library holds of one stream at most.
pub const HELD: usize = 16 << 10;

/// The window of each stream is the credit of a body between boxes, less the byte that the protocol starts with less.
const WINDOW: u32 = (1 << 16) - 1;

#[derive(Debug)]
pub struct Session {
    pipe: Rc<RefCell<Pipe>>,
    state: State,
    pub frames: Frames,
    /// the keys of its streams
    pub streams: Vec<usize>,
    /// It is in the list of those that have something to do.
    pub is_touched: bool,
    /// The library has been given something that it has not been polled for.
    pub is_stirred: bool,
    pub began_at: u64,
    /// It has refused a request since it is to end, and ends when its streams have.
    pub refuses: bool,
    /// the key of the stream that is the next to send, if it is there
    pub next: usize,
    /// bytes that it has read, and that TCP had credit for before
    credited: usize,
}

#[derive(Debug)]
enum State {
    Greeting(Box<Handshake<End, Bytes>>),
    Open(Box<Connection<End, Bytes>>),
    Closed,
}

/// What comes of a poll.
pub enum Polled {
    Request(Box<Request>),
    Nothing,
    /// All that was to be said is in the output.
    Closed,
}

pub struct Request {
    pub parts: Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

/// How a client is bounded.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub streams: usize,
    pub head_bytes: usize,
    /// bytes of all bodies of a connection that may be under way
    pub window: usize,
}

impl Session {
    pub fn new(bounds: Bounds, now: u64) -> Self {
        let pipe = Rc::<RefCell<Pipe>>::default();
        let window = u32::try_from(bounds.window).unwrap_or(u32::MAX).clamp(WINDOW, 1 << 20);
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(bounds.streams as u32)
            .max_header_list_size(bounds.head_bytes as u32)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(window)
            .max_send_buffer_size(HELD)
            // Streams that this side has reset are forgotten at once: the library would remember them for some time, and has no
            // clock here. A frame that comes late is answered with another reset. The library's limit of resets would hold for all of a
            // connection's life; `frames` counts them instead.
            .max_concurrent_reset_streams(0)
            .max_local_error_reset_streams(None)
            .max_pending_accept_reset_streams(bounds.streams.clamp(1, 20));
        let handshake = Box::new(builder.handshake(End(Rc::clone(&pipe))));
        Session {
            pipe,
            state: State::Greeting(handshake),
            frames: Frames::new(bounds.streams, now),
            streams: Vec::new(),
            is_touched: false,
            is_stirred: true,
            began_at: now,
            refuses: false,
            next: usize::MAX,
            credited: 0,
        }
    }

    /// Takes what has come. `credited`: TCP has credit for it already.
    pub fn push(&mut self, data: &[u8], is_credited: bool) {
        self.pipe.borrow_mut().input.push(data);
        self.credited += if is_credited { data.len() } else { 0 };
    }

    /// The client sends no more.
    pub fn end_input(&mut self) {
        self.pipe.borrow_mut().has_ended = true;
        self.is_stirred = true;
    }

    /// Lets the library have some of the input, unless what it has to say finds no room. How much.
    pub fn feed(&mut self) -> usize {
        let mut pipe = self.pipe.borrow_mut();
        pipe.portion = if pipe.is_blocked { 0 } else { pipe.input.len().min(PORTION) };
        pipe.portion
    }

    /// That many bytes may be written now.
    pub fn set_room(&mut self, room: usize) {
        let mut pipe = self.pipe.borrow_mut();
        (pipe.room, pipe.is_blocked) = (room, false);
    }

    /// What it had to say found no room.
    pub fn is_blocked(&self) -> bool {
        self.pipe.borrow().is_blocked
    }

    pub fn waiting_input(&self) -> usize {
        self.pipe.borrow().input.len()
    }

    /// Bytes of memory, but for its streams.
    pub fn memory(&self) -> usize {
        BYTES + self.pipe.borrow().input.capacity()
    }

    /// Bytes that the library has read since this was last asked, and that TCP is to get credit for.
    pub fn take_read(&mut self) -> u32 {
        let read = core::mem::take(&mut self.pipe.borrow_mut().read);
        let again = read.min(self.credited);
        self.credited -= again;
        (read - again) as u32
    }

    /// What is to be sent is passed on, and forgotten.
    pub fn take_output(&mut self, now: u64, pass: impl FnOnce(&[u8])) -> Result<(), TooMuch> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.output.is_empty() {
            return Ok(());
        }
        pass(&pipe.output);
        let counted = self.frames.count_written(&pipe.output, now);
        pipe.output.clear();
        pipe.output.shrink_to(PORTION);
        counted
    }

    pub fn poll(&mut self) -> Polled {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match &mut self.state {
                State::Greeting(handshake) => match Pin::new(handshake).poll(&mut context) {
                    Poll::Ready(Ok(connection)) => self.state = State::Open(Box::new(connection)),
                    Poll::Ready(Err(_)) => self.state = State::Closed,
                    Poll::Pending => return Polled::Nothing,
                },
                State::Open(connection) => match connection.poll_accept(&mut context) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        let (parts, body) = request.into_parts();
                        return Polled::Request(Box::new(Request { parts, body, respond }));
                    }
                    Poll::Ready(Some(Err(_)) | None) => self.state = State::Closed,
                    Poll::Pending => return Polled::Nothing,
                },
                State::Closed => return Polled::Closed,
            }
        }
    }

    /// Takes no new streams, and ends when those that are there have ended.
    pub fn retire(&mut self) {
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
            self.is_stirred = true;
        }
    }

    /// Ends with all of its streams.
    pub fn close(&mut self, reason: Reason) {
        match &mut self.state {
            State::Open(connection) => connection.abrupt_shutdown(reason),
            State::Greeting(_) | State::Closed => self.state = State::Closed,
        }
        self.is_stirred = true;
    }
}

/// What waits between TCP and the library.
#[derive(Debug, Default)]
struct Pipe {
    input: Buffer,
    /// bytes of it that may be read now
    portion: usize,
    read: usize,
    has_ended: bool,
    output: Vec<u8>,
    /// bytes that `output` may get
    room: usize,
    is_blocked: bool,
}

/// The library's end of it.
#[derive(Debug)]
struct End(Rc<RefCell<Pipe>>);

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pipe = &mut *self.0.borrow_mut();
        let length = pipe.portion.min(into.remaining());
        if length == 0 && !(pipe.has_ended && pipe.input.is_empty()) {
            return Poll::Pending;
        }
        into.put_slice(&pipe.input.as_slice()[..length]);
        pipe.input.consume(length);
        pipe.portion -= length;
        pipe.read += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let pipe = &mut *self.0.borrow_mut();
        let length = pipe.room.min(bytes.len());
        if length == 0 {
            pipe.is_blocked = true;
            return Poll::Pending;
        }
        pipe.output.extend_from_slice(&bytes[..length]);
        pipe.room -= length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
