//! `wasi:io/streams` and `wasi:io/error`.

use super::{
    bindings::wasi::io::{error, streams},
    poll::Pollable,
};
use crate::{
    boxes::State,
    wasi::{
        context::Text,
        http::{Fault, OutBody, Read, Reader, TOO_LONG, WrongLength},
    },
};
use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::fmt;
use wasmtime::{Error, Result, component::Resource};

/// What one call reads or writes at most.
const MOST: usize = 64 << 10;

/// What the calls that write and flush take at most (the WIT says so).
const BLOCKING: u64 = 4_096;

/// What may be written to the log at once.
const TEXT: u64 = 4_096;

#[derive(Debug, Clone)]
pub enum InputStream {
    Empty,
    Body(Arc<Reader>),
}

#[derive(Debug, Clone)]
pub enum OutputStream {
    Log(Text),
    Body(Arc<OutBody>),
}

/// Why an operation on a stream failed.
#[derive(Debug, Clone)]
pub enum IoError {
    Body(Fault),
    /// The body does not agree with its `content-length`.
    Length(WrongLength),
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::Body(fault) => write!(f, "the body ended early: {fault}"),
            IoError::Length(_) => f.write_str(TOO_LONG),
        }
    }
}

pub enum StreamError {
    Closed,
    Failed(IoError),
    Trap(Error),
}

impl From<Error> for StreamError {
    fn from(error: Error) -> Self {
        StreamError::Trap(error)
    }
}

type Io<T> = core::result::Result<T, StreamError>;

fn trap<T>(what: impl fmt::Display) -> Io<T> {
    Err(StreamError::Trap(Error::msg(what.to_string())))
}

impl State {
    fn input(&mut self, stream: &Resource<InputStream>) -> Result<InputStream> {
        let stream = self.wasi.get(stream)?.clone();
        if let InputStream::Body(reader) = &stream {
            reader.due(self.platform.now());
        }
        Ok(stream)
    }

    fn output(&mut self, stream: &Resource<OutputStream>) -> Result<OutputStream> {
        Ok(self.wasi.get(stream)?.clone())
    }

    /// Writes all of it, waiting for permits.
    async fn write_all(&mut self, stream: OutputStream, bytes: &[u8]) -> Io<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let permit = self.permit(&stream).await?;
            let (now, later) = rest.split_at(rest.len().min(permit));
            self.write_some(&stream, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Waits until something may be written, and says how much.
    async fn permit(&mut self, stream: &OutputStream) -> Io<usize> {
        loop {
            match stream.permit()? {
                0 => self.sleep(&[stream.pollable()]).await,
                permit => return Ok(permit as usize),
            };
        }
    }

    fn write_some(&mut self, stream: &OutputStream, bytes: &[u8]) -> Io<()> {
        let most = stream.most()?;
        if bytes.len() as u64 > most {
            return trap(format_args!("wrote {} bytes to a stream that permits {most}", bytes.len()));
        }
        match stream {
            OutputStream::Log(to) => {
                let handle = self.handle.clone();
                self.wasi.text(&handle, *to, bytes);
                Ok(())
            }
            OutputStream::Body(body) => body.write(bytes).map_err(|wrong| StreamError::Failed(IoError::Length(wrong))),
        }
    }

    async fn read(&mut self, stream: InputStream, limit: u64) -> Io<Vec<u8>> {
        loop {
            match stream.read(limit)? {
                bytes if bytes.is_empty() && limit > 0 => self.sleep(&[stream.pollable()]).await,
                bytes => return Ok(bytes),
            };
        }
    }

    fn splice_some(&mut self, to: &OutputStream, from: &InputStream, limit: u64) -> Io<u64> {
        let bytes = from.read(limit.min(to.permit()?))?;
        self.write_some(to, &bytes)?;
        Ok(bytes.len() as u64)
    }
}

impl InputStream {
    fn read(&self, limit: u64) -> Io<Vec<u8>> {
        let limit = usize::try_from(limit).unwrap_or(MOST).min(MOST);
        match self {
            InputStream::Empty => Err(StreamError::Closed),
            InputStream::Body(reader) => match reader.read(limit) {
                Read::Some(bytes) => Ok(bytes),
                Read::Wait => Ok(Vec::new()),
                Read::End => Err(StreamError::Closed),
                Read::Failed(fault) => Err(StreamError::Failed(IoError::Body(fault))),
            },
        }
    }

    fn pollable(&self) -> Pollable {
        match self {
            InputStream::Empty => Pollable::Ready,
            InputStream::Body(reader) => Pollable::Readable(reader.clone()),
        }
    }
}

impl OutputStream {
    fn permit(&self) -> Io<u64> {
        match self {
            OutputStream::Log(_) => Ok(TEXT),
            OutputStream::Body(body) => body.permit().map(|permit| permit as u64).ok_or(StreamError::Closed),
        }
    }

    /// What is taken if it is written, whatever is permitted now.
    fn most(&self) -> Io<u64> {
        match self {
            OutputStream::Log(_) => Ok(TEXT),
            OutputStream::Body(body) => body.most().map(|most| most as u64).ok_or(StreamError::Closed),
        }
    }

    fn pollable(&self) -> Pollable {
        match self {
            OutputStream::Log(_) => Pollable::Ready,
            OutputStream::Body(body) => Pollable::Writable(body.clone()),
        }
    }
}

impl streams::Host for State {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::Failed(error) => Ok(streams::StreamError::LastOperationFailed(self.wasi.push(error)?)),
            StreamError::Trap(error) => Err(error),
        }
    }
}

impl streams::HostInputStream for State {
    fn read(&mut self, stream: Resource<InputStream>, limit: u64) -> Io<Vec<u8>> {
        self.input(&stream)?.read(limit)
    }

    async fn blocking_read(&mut self, stream: Resource<InputStream>, limit: u64) -> Io<Vec<u8>> {
        let stream = self.input(&stream)?;
        State::read(self, stream, limit).await
    }

    fn skip(&mut self, stream: Resource<InputStream>, limit: u64) -> Io<u64> {
        Ok(self.input(&stream)?.read(limit)?.len() as u64)
    }

    async fn blocking_skip(&mut self, stream: Resource<InputStream>, limit: u64) -> Io<u64> {
        let stream = self.input(&stream)?;
        Ok(State::read(self, stream, limit).await?.len() as u64)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> Result<Resource<Pollable>> {
        let pollable = self.input(&stream)?.pollable();
        self.wasi.push(pollable)
    }

    fn drop(&mut self, stream: Resource<InputStream>) -> Result<()> {
        self.wasi.take(stream).map(drop)
    }
}

impl streams::HostOutputStream for State {
    fn check_write(&mut self, stream: Resource<OutputStream>) -> Io<u64> {
        self.output(&stream)?.permit()
    }

    fn write(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> Io<()> {
        let stream = self.output(&stream)?;
        self.write_some(&stream, &bytes)
    }

    async fn blocking_write_and_flush(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> Io<()> {
        if bytes.len() as u64 > BLOCKING {
            return trap(format_args!("wrote and flushed {} bytes at once; {BLOCKING} is the most", bytes.len()));
        }
        let stream = self.output(&stream)?;
        stream.permit()?;
        self.write_all(stream, &bytes).await
    }

    /// What is written is on its way.
    fn flush(&mut self, stream: Resource<OutputStream>) -> Io<()> {
        self.output(&stream)?.permit().map(drop)
    }

    async fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> Io<()> {
        self.output(&stream)?.permit().map(drop)
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> Result<Resource<Pollable>> {
        let pollable = self.output(&stream)?.pollable();
        self.wasi.push(pollable)
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, length: u64) -> Io<()> {
        let stream = self.output(&stream)?;
        let most = stream.most()?;
        if length > most {
            return trap(format_args!("wrote {length} zeroes to a stream that permits {most}"));
        }
        self.write_some(&stream, &vec![0; length as usize])
    }

    async fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<OutputStream>, length: u64) -> Io<()> {
        if length > BLOCKING {
            return trap(format_args!("wrote and flushed {length} zeroes at once; {BLOCKING} is the most"));
        }
        let stream = self.output(&stream)?;
        stream.permit()?;
        self.write_all(stream, &vec![0; length as usize]).await
    }

    fn splice(&mut self, to: Resource<OutputStream>, from: Resource<InputStream>, limit: u64) -> Io<u64> {
        let (to, from) = (self.output(&to)?, self.input(&from)?);
        self.splice_some(&to, &from, limit)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<OutputStream>,
        from: Resource<InputStream>,
        limit: u64,
    ) -> Io<u64> {
        let (to, from) = (self.output(&to)?, self.input(&from)?);
        loop {
            self.permit(&to).await?;
            match self.splice_some(&to, &from, limit)? {
                0 if limit > 0 => self.sleep(&[from.pollable()]).await,
                spliced => return Ok(spliced),
            };
        }
    }

    fn drop(&mut self, stream: Resource<OutputStream>) -> Result<()> {
        self.wasi.take(stream).map(drop)
    }
}

impl error::Host for State {}

impl error::HostError for State {
    fn to_debug_string(&mut self, error: Resource<IoError>) -> Result<String> {
        Ok(self.wasi.get(&error)?.to_string())
    }

    fn drop(&mut self, error: Resource<IoError>) -> Result<()> {
        self.wasi.take(error).map(drop)
    }
}
