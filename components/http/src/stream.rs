//! A stream of a connection of HTTP/2: one request and its response (RFC 9113, section 8).

use bytes::Bytes;
use core::task::{Context, Poll, Waker};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use message::{
    Refusal,
    fields::{Name, first, may_trail, push},
};

#[derive(Debug)]
pub struct Stream {
    /// the key of the connection that it is one of
    pub session: usize,
    /// The head as HTTP/1.1 has it, until it is read.
    pub head: Vec<u8>,
    /// What follows the request's body, until the handler gets it.
    pub request_trailers: Vec<u8>,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// where the response's body goes, once its head is sent
    send: Option<SendStream<Bytes>>,
    /// The library has all of the response.
    has_ended: bool,
    /// An interim answer is on its way.
    interim: bool,
    /// bytes of heads that the library may not have written yet
    pub queued: usize,
    /// what follows the response's body
    trailers: Option<HeaderMap>,
}

/// What the client has sent.
pub enum Came {
    Data(Bytes),
    /// lines, and the end
    Trailers(Vec<u8>),
    End,
    Reset,
}

impl Stream {
    pub fn new(session: usize, head: Vec<u8>, body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Stream {
            session,
            head,
            request_trailers: Vec::new(),
            body,
            respond,
            send: None,
            has_ended: false,
            interim: false,
            queued: 0,
            trailers: None,
        }
    }

    /// What has come next of the request's body, if the client has not ended it (`is_open`).
    pub fn came(&mut self, is_open: bool) -> Option<Came> {
        let mut context = Context::from_waker(Waker::noop());
        let reset = match &mut self.send {
            _ if self.has_ended => Poll::Pending,
            Some(send) => send.poll_reset(&mut context),
            None => self.respond.poll_reset(&mut context),
        };
        if reset.is_ready() {
            return Some(Came::Reset);
        }
        if !is_open {
            return None;
        }
        match self.body.poll_data(&mut context) {
            Poll::Ready(Some(Ok(data))) => return Some(Came::Data(data)),
            Poll::Ready(Some(Err(_))) => return Some(Came::Reset),
            Poll::Pending => return None,
            Poll::Ready(None) => {}
        }
        match self.body.poll_trailers(&mut context) {
            Poll::Ready(Ok(None)) => Some(Came::End),
            Poll::Ready(Ok(Some(fields))) => Some(Came::Trailers(lines_of(&fields))),
            Poll::Ready(Err(_)) => Some(Came::Reset),
            Poll::Pending => None,
        }
    }

    /// So many bytes of the body have been used.
    pub fn release(&mut self, bytes: u32) {
        // no more than came, and nobody wants to know of a stream that is over
        let _ = self.body.flow_control().release_capacity(bytes as usize);
    }

    /// A head, as it stands on the wire of HTTP/1.1: an interim answer or the response's, which `ends` it if nothing follows.
    pub fn send_head(&mut self, head: &[u8], ends: bool) {
        let status = head.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
        let Some(status) = status else { return };
        let mut response = Response::new(());
        *response.status_mut() = status;
        let lines = head.iter().position(|&byte| byte == b'\n').map_or(&[][..], |end| &head[end + 1..]);
        self.queued += head.len();
        *response.headers_mut() = fields_of(lines, |name| !Name::of(name).is_of_connection());
        if status.is_informational() {
            // It may be left out, and only one waits until the client takes it.
            if self.send.is_none() && !core::mem::replace(&mut self.interim, true) {
                let _ = self.respond.send_informational(response);
            }
        } else if self.send.is_none() {
            // The stream may have ended otherwise, which shows elsewhere.
            self.send = self.respond.send_response(response, ends).ok();
            self.has_ended |= ends;
        }
    }

    /// The library has written all that it was given.
    pub fn is_flushed(&mut self) {
        (self.interim, self.queued) = (false, 0);
    }

    /// What follows the body.
    pub fn set_trailers(&mut self, lines: &[u8]) {
        self.trailers = Some(fields_of(lines, may_trail));
    }

    /// Gives the library as much of the response's data as the client's windows have room for. How much; `is_last`: nothing
    /// follows it.
    pub fn send_data(&mut self, data: &[u8], is_last: bool) -> usize {
        let Some(send) = self.send.as_mut().filter(|_| !self.has_ended) else { return data.len() };
        let wanted = data.len().min(crate::session::HELD);
        send.reserve_capacity(wanted);
        let length = send.capacity().min(wanted);
        if length == 0 {
            return 0;
        }
        let ends = is_last && length == data.len() && self.trailers.is_none();
        let _ = send.send_data(Bytes::copy_from_slice(&data[..length]), ends);
        self.has_ended |= ends;
        length
    }

    /// The response is complete.
    pub fn end(&mut self) {
        if core::mem::replace(&mut self.has_ended, true) {
            return;
        }
        if let Some(send) = &mut self.send {
            let _ = match self.trailers.take() {
                Some(trailers) => send.send_trailers(trailers),
                None => send.send_data(Bytes::new(), true),
            };
        }
    }

    /// The client is not to take the response for whole.
    pub fn reset(&mut self, reason: Reason) {
        if !core::mem::replace(&mut self.has_ended, true) {
            self.respond.send_reset(reason);
        }
    }
}

fn fields_of(mut lines: &[u8], is_wanted: impl Fn(&str) -> bool) -> HeaderMap {
    let mut fields = HeaderMap::new();
    while let Some((name, value, rest)) = first(lines) {
        lines = rest;
        if is_wanted(name)
            && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            // There are far fewer than it can hold.
            let _ = fields.try_append(name, value);
        }
    }
    fields
}

fn lines_of(fields: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| may_trail(name.as_str())) {
        push(&mut lines, name.as_str(), value.as_bytes());
    }
    lines
}

/// Writes the head of a request as HTTP/1.1 has it, so that there is one reader of heads. No part of it can break a line: the
/// library has checked each. `has_body`: more frames follow.
pub fn write_head(parts: &Parts, has_body: bool) -> Result<Vec<u8>, Refusal> {
    const fn refuse(why: &'static str) -> Refusal {
        Refusal { status: 400, why }
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = parts.headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(refuse("more than one Host"));
    }
    if let (Some(authority), Some(host)) = (authority, host)
        && !authority.eq_ignore_ascii_case(host)
    {
        return Err(refuse("the authority and Host are two"));
    }
    let Some(path) = parts.uri.path_and_query() else {
        return Err(Refusal { status: 501, why: "CONNECT is not served" });
    };
    let mut head = Vec::with_capacity(512);
    for part in [parts.method.as_str(), " ", path.as_str(), " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    if let Some(authority) = authority.or(host) {
        push(&mut head, "host", authority);
    }
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != header::HOST && **name != header::COOKIE) {
        push(&mut head, name.as_str(), value.as_bytes());
    }
    // one line again, however it was cut (RFC 9113, section 8.2.3)
    let mut cookies = parts.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    if let Some(cookie) = cookies.next() {
        head.extend_from_slice(b"cookie: ");
        head.extend_from_slice(cookie);
        for cookie in cookies {
            head.extend_from_slice(b"; ");
            head.extend_from_slice(cookie);
        }
        head.extend_from_slice(b"\r\n");
    }
    if has_body && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}
