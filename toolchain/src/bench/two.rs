//! HTTP/2 over a connection that is kept: each round, one request on each of some streams, then all answers.

use super::client::Stream;
use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::{
    RecvStream,
    client::{Connection, ResponseFuture, SendRequest, handshake},
};
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection, whose bytes the library finds and leaves in memory.
pub struct Two {
    stream: Stream,
    pipe: Rc<RefCell<Pipe>>,
    send: SendRequest<Bytes>,
    library: Connection<End, Bytes>,
    url: String,
    streams: usize,
}

/// What has come, from the position on, and what is to be sent.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

struct End(Rc<RefCell<Pipe>>);

/// A request under way.
enum Asked {
    Head(ResponseFuture),
    Body(RecvStream),
    Whole,
}

impl Two {
    pub fn new(stream: Stream, path: &str, streams: usize) -> Result<Self> {
        let pipe = Rc::<RefCell<Pipe>>::default();
        let greeting = pin!(handshake(End(Rc::clone(&pipe))));
        let Poll::Ready(greeted) = greeting.poll(&mut Context::from_waker(Waker::noop())) else {
            bail!("the library waits before it has said anything")
        };
        let (send, library) = greeted?;
        let mut two = Two { stream, pipe, send, library, url: format!("https://localhost{path}"), streams };
        // the node's settings are those of all that follows
        two.run(1)?;
        Ok(two)
    }

    pub fn run(&mut self, requests: usize) -> Result<()> {
        let mut left = requests;
        while left > 0 {
            let round = left.min(self.streams);
            let ask = |_| {
                let request = hyperium::Request::get(&self.url).body(())?;
                Ok(Asked::Head(self.send.send_request(request, true)?.0))
            };
            let mut asked = (0..round).map(ask).collect::<Result<Vec<_>>>()?;
            while !self.turn(&mut asked)? {
                self.receive()?;
            }
            left -= round;
        }
        Ok(())
    }

    /// Lets the library do what it can. Whether all is whole.
    fn turn(&mut self, asked: &mut [Asked]) -> Result<bool> {
        let context = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(ended) = Pin::new(&mut self.library).poll(context) {
            ended?;
            bail!("the node closed the connection");
        }
        for one in asked.iter_mut() {
            one.turn(context)?;
        }
        // windows that reading has opened
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.library).poll(context) {
            return Err(error.into());
        }
        let output = std::mem::take(&mut self.pipe.borrow_mut().output);
        if !output.is_empty() {
            self.stream.write_all(&output)?;
        }
        Ok(asked.iter().all(|one| matches!(one, Asked::Whole)))
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 65_536];
        let length = self.stream.read(&mut buffer)?;
        ensure!(length > 0, "the node closed the connection within an answer");
        let mut pipe = self.pipe.borrow_mut();
        let read = std::mem::take(&mut pipe.read);
        pipe.input.drain(..read);
        pipe.input.extend_from_slice(&buffer[..length]);
        Ok(())
    }
}

impl Asked {
    fn turn(&mut self, context: &mut Context<'_>) -> Result<()> {
        if let Asked::Head(response) = self
            && let Poll::Ready(response) = Pin::new(response).poll(context)
        {
            let response = response.context("a request was not answered")?;
            let status = response.status();
            ensure!(status.is_success() || status.is_redirection(), "the node answered {status}");
            *self = Asked::Body(response.into_body());
        }
        if let Asked::Body(body) = self {
            while let Poll::Ready(data) = body.poll_data(context) {
                let Some(data) = data.transpose().context("an answer was broken off")? else {
                    *self = Asked::Whole;
                    break;
                };
                body.flow_control().release_capacity(data.len())?;
            }
        }
        Ok(())
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        let length = into.remaining().min(pipe.input.len() - pipe.read);
        if length == 0 {
            return Poll::Pending;
        }
        let read = pipe.read;
        into.put_slice(&pipe.input[read..read + length]);
        pipe.read += length;
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
