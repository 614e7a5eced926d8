//! HTTP/2 (RFC 9113): connections whose requests are streams.
//!
//! A stream is kept as a connection with one request. Its head is read by the reader of HTTP/1.1, and what is done about requests,
//! bodies, slow clients and memory is the same; only the last step, from a response to bytes, goes through the library. That is done for
//! each connection once at the end of a turn.

use super::{Http, Level, input::Next, retire};
use crate::connection::{CREDIT_STEP, Connection, PATIENCE, Reading, paced};
use crate::exchange::Response;
use crate::session::{self, Bounds, PREFACE, Polled, Request, Session};
use crate::stream::{Came, Stream, write_head};
use h2::Reason;
use message::{Refusal, response::Body};
use wit::tcp::Command;
use wit::{INITIAL_CREDIT, http::Command as ToHandler};

impl Http {
    /// The first bytes in the clear: whether they are those of HTTP/2.
    #[cold]
    #[inline(never)]
    pub(super) fn read_start(&mut self, key: usize, input: &[u8]) -> Next {
        let Some(connection) = self.connections.get(key) else { return Next::Wait(0) };
        if input.is_empty() {
            return Next::Wait(0);
        }
        if input.len() < PREFACE.len() && PREFACE.starts_with(input) {
            if connection.scanned == 0 {
                connection.since = self.now;
            }
            connection.scanned = input.len();
            return Next::Wait(0);
        }
        connection.scanned = 0;
        connection.reading = Reading::Head;
        if !input.starts_with(PREFACE) {
            return Next::On(0);
        }
        self.begin_session(key);
        self.frames(key, input, true);
        Next::Wait(input.len())
    }

    #[cold]
    #[inline(never)]
    pub(super) fn begin_session(&mut self, key: usize) {
        let bounds = Bounds {
            streams: self.limits.streams,
            head_bytes: self.config.limits.head_bytes,
            window: self.limits.window,
        };
        let Some(connection) = self.connections.get(key) else { return };
        connection.reading = Reading::Frames;
        connection.session = Some(Box::new(Session::new(bounds, self.now)));
        self.sessions += 1;
        self.touch(key);
        self.keep_limits(self.is_over_limit());
    }

    /// Frames have come.
    pub(super) fn received_frames(&mut self, key: usize, data: &[u8]) {
        self.frames(key, data, false);
    }

    fn frames(&mut self, key: usize, data: &[u8], is_credited: bool) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session) = &mut connection.session else { return };
        if session.waiting_input() + data.len() > INITIAL_CREDIT as usize {
            let number = connection.number;
            self.say(Level::Error, format!("tcp: more data on connection {number} than it had credit for"));
            return self.abort(key);
        }
        let before = session.memory();
        session.push(data, is_credited);
        self.buffered += session.memory() - before;
        if session.frames.count(data, self.now).is_err() {
            return self.close_session(key, Reason::ENHANCE_YOUR_CALM);
        }
        self.touch(key);
    }

    /// A connection of HTTP/2 is looked at before the turn ends.
    fn touch(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some(session) = &mut connection.session
            && !core::mem::replace(&mut session.is_touched, true)
        {
            self.touched.push(key);
        }
    }

    /// The same of the connection that a stream is one of. True: it is such a connection itself, and nothing else is to be done.
    #[cold]
    #[inline(never)]
    pub(super) fn touch_session_of(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return true };
        match &connection.stream {
            Some(stream) => {
                let (session, waits) = (stream.session, matches!(connection.reading, Reading::Waiting));
                self.touch(session);
                if waits {
                    self.read_waiting(key);
                }
                false
            }
            None if connection.session.is_some() => {
                self.touch(key);
                true
            }
            None => false,
        }
    }

    /// A connection, or a stream, is no more.
    pub(super) fn removed(&mut self, key: usize, connection: &Connection) {
        if let Some(stream) = &connection.stream
            && let Some(parent) = self.connections.get(stream.session)
            && let Some(session) = &mut parent.session
        {
            session.streams.retain(|&other| other != key);
            session.is_stirred = true;
            parent.since = self.now;
            let parent = stream.session;
            self.touch(parent);
        }
        if let Some(session) = &connection.session {
            self.sessions -= 1;
            for &stream in &session.streams {
                self.remove(stream);
            }
        }
    }

    /// Has every connection of HTTP/2 go on that has something to do.
    #[cold]
    #[inline(never)]
    pub(super) fn drive(&mut self) {
        while let Some(key) = self.touched.pop() {
            if let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_mut()) {
                session.is_touched = false;
                while self.round(key) {}
                self.settle(key);
            }
        }
    }

    /// Takes what waits in the streams, lets the library read and write, and gives the streams what has come. True: there is more.
    fn round(&mut self, key: usize) -> bool {
        self.end_input(key);
        let Some(connection) = self.connections.get(key) else { return false };
        let Some(session) = &mut connection.session else { return false };
        let room = if self.tcp.room(connection.peer).is_some() { connection.credit as usize } else { 0 };
        let was_blocked = session.is_blocked();
        session.set_room(room);
        // What the library could not write before goes first, and streams come in the next round.
        let mut goes_on = was_blocked;
        let mut streams = core::mem::take(&mut self.due_streams);
        self.list_streams(key, &mut streams);
        let mut left = if was_blocked { 0 } else { room };
        let mut next = None;
        for &stream in &streams {
            if left == 0 {
                next = Some(stream);
                break;
            }
            goes_on |= self.write_stream(key, stream, &mut left);
        }
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_mut()) else {
            return false;
        };
        session.next = next.unwrap_or(session.next);
        goes_on |= session.feed() > 0;
        session.is_stirred = false;
        loop {
            let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_mut()) else {
                return false;
            };
            match session.poll() {
                Polled::Request(request) => self.open_stream(key, *request),
                Polled::Nothing => break,
                Polled::Closed => {
                    self.send_out(key);
                    self.end_session(key);
                    return false;
                }
            }
        }
        self.send_out(key);
        streams.clear();
        if let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_ref()) {
            streams.extend_from_slice(&session.streams);
        }
        let is_flushed = self.is_flushed(key);
        for &stream in &streams {
            self.read_stream_frames(stream, is_flushed);
        }
        self.due_streams = streams;
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_mut()) else {
            return false;
        };
        if session.is_blocked() {
            return false;
        }
        // A reset that is still to be said goes before the end.
        let is_over = !goes_on && !session.is_stirred && session.streams.is_empty();
        if is_over && core::mem::take(&mut session.refuses) {
            self.close_session(key, Reason::NO_ERROR);
            return true;
        }
        goes_on || session.is_stirred
    }

    /// A client that has finished gets the responses to what it has asked for, and asks for nothing more.
    fn end_input(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session) = &mut connection.session else { return };
        if !connection.client_finished || session.waiting_input() > 0 {
            return;
        }
        if session.streams.is_empty() {
            return session.end_input();
        }
        for stream in session.streams.clone() {
            if self.connections.get(stream).is_some_and(|stream| !stream.client_finished) {
                self.abort(stream);
            }
        }
    }

    /// The library holds nothing that it could not write.
    fn is_flushed(&mut self, key: usize) -> bool {
        let session = self.connections.get(key).and_then(|connection| connection.session.as_ref());
        session.is_some_and(|session| !session.is_blocked())
    }

    fn list_streams(&mut self, key: usize, into: &mut Vec<usize>) {
        into.clear();
        if let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_mut()) {
            // those come first that there was no room for before
            let at = session.streams.iter().position(|&stream| stream == session.next).unwrap_or_default();
            into.extend_from_slice(&session.streams[at..]);
            into.extend_from_slice(&session.streams[..at]);
        }
    }

    /// Passes on what the library has written.
    fn send_out(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session) = &mut connection.session else { return };
        connection.used += session.take_read();
        let mut sent = 0;
        let counted = session.take_output(self.now, |bytes| {
            if let Some(out) = self.tcp.room(connection.peer) {
                out.stream(Command::SEND, connection.number, [bytes]);
                sent = bytes.len();
            }
        });
        connection.credit -= sent as u32;
        self.batched += sent;
        connection.wrote_at = if session.is_blocked() {
            paced(connection.wrote_at, self.now, sent, self.config.write_timeout)
        } else {
            self.now
        };
        if counted.is_err() {
            self.close_session(key, Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// The library has no more to say.
    #[cold]
    #[inline(never)]
    fn end_session(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session) = connection.session.take() else { return };
        self.sessions -= 1;
        for stream in session.streams {
            self.remove(stream);
        }
        self.finish(key);
    }

    /// Ends a connection of HTTP/2: the client is told why, and its streams end.
    #[cold]
    #[inline(never)]
    pub(super) fn close_session(&mut self, key: usize, reason: Reason) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session) = &mut connection.session else { return };
        session.close(reason);
        if reason != Reason::NO_ERROR {
            let client = connection.remote.address.to_canonical();
            self.say(Level::Debug, format!("{client}: too many frames that ask for nothing: the connection ends"));
        }
        self.touch(key);
    }

    /// All connections of HTTP/2, or those of a TCP peer, end when their streams have.
    #[cold]
    #[inline(never)]
    pub(super) fn retire_sessions(&mut self, peer: Option<u32>) {
        for key in self.connections.keys() {
            let Some(connection) = self.connections.get(key) else { continue };
            if peer.is_none_or(|peer| peer == connection.peer)
                && let Some(session) = &mut connection.session
            {
                session.retire();
                self.touch(key);
            }
        }
    }

    // --- streams

    /// A request has come.
    fn open_stream(&mut self, key: usize, request: Request) {
        let Request { parts, body, mut respond } = request;
        let Some(peer) = self.connections.get(key).map(|connection| connection.peer) else { return };
        let leaves = self.leaves_since(peer);
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session) = &mut connection.session else { return };
        session.is_stirred = true;
        if let Some(since) = leaves {
            session.retire();
            // The library takes requests until the client has answered a PING, which it may never do.
            if session.refuses || since.max(session.began_at).saturating_add(retire::IDLE) <= self.now {
                session.refuses = true;
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
        }
        let has_body = !body.is_end_stream();
        let (head, refusal) = match write_head(&parts, has_body) {
            Ok(head) => (head, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        drop(parts);
        self.buffered += session::STREAM_BYTES + head.capacity();
        let mut stream =
            Connection::new((connection.peer, connection.number), connection.remote, connection.is_secured, self.now);
        stream.origin = connection.origin.clone();
        stream.is_known_client = connection.is_known_client;
        stream.stream = Some(Box::new(Stream::new(key, head, body, respond)));
        stream.reading = Reading::Waiting;
        stream.known = connection.known;
        stream.exchanges.reserve_exact(1);
        stream.client_finished = !has_body;
        let stream = self.connections.insert(stream);
        if let Some(session) = self.connections.get(key).and_then(|connection| connection.session.as_mut()) {
            session.streams.push(stream);
        }
        match refusal {
            Some(refusal) => self.refuse(stream, refusal),
            None => self.read_waiting(stream),
        }
        self.advance(stream);
    }

    /// Whether a stream waits since as many requests of its connection are under way as there is room for.
    fn is_one_of_many(&mut self, key: usize) -> bool {
        let most = self.streams_at_once();
        let Some(connection) = self.connections.get(key) else { return false };
        let Some(parent) = connection.stream.as_ref().map(|stream| stream.session) else { return false };
        let Some(session) = self.connections.get(parent).and_then(|connection| connection.session.as_mut()) else {
            return false;
        };
        let streams = core::mem::take(&mut session.streams);
        let is_under_way = |&&other: &&usize| self.connections.get(other).is_some_and(|it| !it.exchanges.is_empty());
        let is_one = streams.iter().filter(is_under_way).take(most).count() == most;
        if let Some(session) = self.connections.get(parent).and_then(|connection| connection.session.as_mut()) {
            session.streams = streams;
        }
        if is_one {
            self.held_back = Some(self.held_back.map_or(most, |least| least.min(most)));
        }
        is_one
    }

    /// Reads a stream's head, unless there is no room for another request, or none at its handler.
    fn read_waiting(&mut self, key: usize) {
        if self.is_one_of_many(key) {
            return;
        }
        let Some(connection) = self.connections.get(key) else { return };
        let Some(stream) = &mut connection.stream else { return };
        let (text, parent) = (core::mem::take(&mut stream.head), stream.session);
        let mut known = connection.known;
        let Some(mut reader) = self.reader.take() else { return };
        match reader.read(&text, &mut known, &self.config.limits) {
            Ok(Some(head)) => {
                self.request(key, &head, false);
            }
            Ok(None) => self.refuse(key, Refusal { status: 400, why: "the head is not valid" }),
            Err(refusal) => self.refuse(key, refusal),
        }
        self.reader = Some(reader);
        if let Some(connection) = self.connections.get(parent) {
            connection.known = known;
        }
        let Some(connection) = self.connections.get(key) else { return };
        if matches!(connection.reading, Reading::Waiting)
            && let Some(stream) = &mut connection.stream
        {
            stream.head = text;
        }
    }

    /// Takes what the library has of a stream.
    fn read_stream_frames(&mut self, key: usize, is_flushed: bool) {
        let Some(connection) = self.connections.get(key) else { return };
        let waits = matches!(connection.reading, Reading::Waiting);
        if let Some(stream) = connection.stream.as_mut().filter(|_| is_flushed) {
            stream.is_flushed();
        }
        let mut is_any = false;
        if waits {
            self.read_waiting(key);
            let Some(connection) = self.connections.get(key) else { return };
            is_any = !matches!(connection.reading, Reading::Waiting);
        }
        loop {
            let Some(connection) = self.connections.get(key) else { return };
            let is_open = !connection.client_finished;
            let Some(came) = connection.stream.as_mut().and_then(|stream| stream.came(is_open)) else { break };
            is_any = true;
            match came {
                Came::Data(data) => self.received(key, &data),
                Came::End => connection.client_finished = true,
                Came::Trailers(lines) => {
                    connection.client_finished = true;
                    self.trailers_of_stream(key, &lines);
                }
                // It is over for the client.
                Came::Reset => return self.remove(key),
            }
        }
        if is_any {
            self.advance(key);
        }
    }

    /// Lines that follow a request's body: they go to the handler with its end, which may have to wait for room; so they are kept with
    /// what comes before them.
    fn trailers_of_stream(&mut self, key: usize, lines: &[u8]) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some(stream) = &mut connection.stream {
            stream.request_trailers = lines.into();
            self.buffered += lines.len();
        }
    }

    /// Passes on the trailers of a stream's request, if there are any, before its end. False: its handler has no room.
    pub(super) fn pass_trailers(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return true };
        let Some(stream) = &mut connection.stream else { return true };
        let exchange = connection.body_of.and_then(|id| self.exchanges.get(id));
        let to = exchange.and_then(|exchange| Some((exchange.handler?, exchange.id())));
        if stream.request_trailers.is_empty() {
            return true;
        }
        if let Some((peer, request)) = to {
            let Some(out) = self.handlers.room(peer) else { return false };
            ToHandler::Trailers { request, lines: &stream.request_trailers }.encode(out.batch());
        }
        stream.request_trailers = Vec::new();
        true
    }

    /// Gives the library what there is of a stream's response, and no more data than TCP has `room` for, so that it holds none. True:
    /// it took some.
    fn write_stream(&mut self, parent: usize, key: usize, room: &mut usize) -> bool {
        if *room == 0 {
            return false;
        }
        let Some(connection) = self.connections.get(key) else { return false };
        let Some(&id) = connection.exchanges.front() else { return false };
        let (Some(exchange), Some(stream)) = (self.exchanges.get(id), &mut connection.stream) else { return false };
        let is_done = exchange.response == Response::Done;
        if exchange.reset {
            stream.reset(Reason::INTERNAL_ERROR);
            exchange.held.clear();
        }
        let mut length = 0;
        if !exchange.held.is_empty() {
            let data = exchange.held.as_slice();
            let now = data.len().min(*room);
            length = stream.send_data(&data[..now], is_done && now == data.len());
            *room -= length;
            exchange.held.consume(length);
            connection.wrote_at = paced(connection.wrote_at, self.now, length, self.config.write_timeout);
        }
        let is_over = is_done && exchange.held.is_empty();
        if is_over {
            stream.end();
        }
        if let Some(session) = self.connections.get(parent).and_then(|connection| connection.session.as_mut()) {
            session.frames.has_taken(length);
            if is_over {
                session.frames.has_ended();
            }
        }
        if length > 0 {
            self.credit_handler(id);
        }
        if is_over {
            self.complete(key, id);
            if let Some(connection) = self.connections.get(key) {
                connection.patience = PATIENCE;
                connection.read_at = self.now;
            }
            self.advance(key);
        }
        length > 0 || is_over
    }

    /// The head of a stream's response, or of an interim answer, as HTTP/1.1 has it, and data that may follow it.
    #[cold]
    #[inline(never)]
    pub(super) fn put_head_of_stream(&mut self, id: u32, text: &[u8]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let key = exchange.connection;
        let Some(connection) = self.connections.get(key) else { return };
        let Some(stream) = &mut connection.stream else { return };
        let end = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(text.len(), |at| at + 4);
        let (head, data) = text.split_at(end);
        // Frames say where a body ends.
        if exchange.response == Response::Body(Body::Chunked) {
            exchange.response = Response::Body(Body::UntilClose);
        }
        let ends = match exchange.response {
            Response::Body(Body::None | Body::Length(0)) => true,
            Response::Done => data.is_empty(),
            Response::Awaited | Response::Body(_) => false,
        };
        stream.send_head(head, ends);
        self.buffered += head.len();
        self.put(id, data);
        self.touch_session_of(key);
    }

    #[cold]
    #[inline(never)]
    pub(super) fn put_trailers_of_stream(&mut self, id: u32, lines: &[u8]) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        if let Some(stream) = &mut connection.stream {
            stream.set_trailers(lines);
        }
    }

    /// After a change of a stream: room for what was used.
    pub(super) fn settle_stream(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(stream) = &mut connection.stream else { return };
        if connection.used >= CREDIT_STEP || connection.client_finished {
            let used = core::mem::take(&mut connection.used);
            stream.release(used);
            if connection.closing && connection.exchanges.is_empty() {
                connection.patience = connection.patience.saturating_sub(used.into());
            }
            let parent = stream.session;
            if let Some(session) = self.connections.get(parent).and_then(|connection| connection.session.as_mut()) {
                session.is_stirred = true;
                self.touch(parent);
            }
        }
    }
}
