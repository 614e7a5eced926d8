//! One request to another host, and its answer.

use crate::pace::Pace;
use crate::request::{Framing, Origin, Request};
use crate::response;
use message::chunked::{Decoder, LAST_CHUNK};
use support::Buffer;
use wit::INITIAL_CREDIT;

/// A connection to a host.
#[derive(Debug)]
pub struct Link {
    /// who has made it, and its number there
    pub peer: u32,
    pub number: u32,
    /// bytes that may be sent
    pub credit: u32,
    /// bytes that came and were used, and that the other side was not told of
    pub used: u32,
    /// It was another request's before.
    pub is_reused: bool,
    /// This side sends no more.
    pub has_finished: bool,
    /// The other side sends no more.
    pub is_finished: bool,
    /// Whoever has made it has forgotten it, and may use its number for another.
    pub is_gone: bool,
    /// Why, if that was before both sides had finished.
    pub broken: Option<String>,
}

impl Link {
    pub fn new(peer: u32, number: u32) -> Self {
        Link {
            peer,
            number,
            credit: INITIAL_CREDIT,
            used: 0,
            is_reused: false,
            has_finished: false,
            is_finished: false,
            is_gone: false,
            broken: None,
        }
    }
}

/// The number of the client whose requests are this box's own: nobody's.
pub const OWN: u32 = u32::MAX;

/// Who takes too long, and until when that is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    pub at: u64,
    pub who: Who,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The client sends its body too slowly.
    Sender,
    /// The host does not take it.
    Taker,
    /// The host sends its body too slowly.
    Giver,
}

/// What has come of the answer.
#[derive(Debug)]
pub enum Answer {
    Awaited,
    Length(u64),
    Chunked(Decoder),
    /// the lines behind the last chunk
    Trailers,
    UntilClose,
    Done,
}

#[derive(Debug)]
pub struct Exchange {
    /// who asks, and its number there
    pub client: u32,
    pub number: u32,
    pub request: Request,
    /// `http` has it from a client: that one is given an answer if there is none.
    pub is_visitors: bool,
    /// which of the upstreams it is for, if there are any
    pub upstream: Option<usize>,
    /// those that it was tried at, as bits
    pub tried: u32,
    /// what `content-length` of the request says
    pub total: Option<u64>,
    /// The client has said that the request ends.
    pub is_ended: bool,
    /// The head is written to `out`.
    pub is_begun: bool,
    /// What ends the body is written to `out`.
    is_closed: bool,
    /// Something of the body has gone to the host.
    is_body_sent: bool,
    /// for the wire: the head, and what ends the body
    pub out: Buffer,
    /// The part of the body that is not sent, unframed: framing each record that a client sends would let small ones take many times
    /// the memory that the client has credit for.
    pub held: Buffer,
    /// bytes that the client may send
    pub allowance: u32,
    /// bytes of the client's that it was not given credit for
    pub owed: u32,
    /// The client has sent something of a body.
    pub has_body: bool,
    /// lines for behind the body
    pub trailers: Vec<u8>,

    pub link: Option<Link>,
    /// Only a new connection will do.
    pub is_fresh: bool,
    /// A host that secures itself: the last of those that were asked to connect to it, and the ticket.
    pub asked: Option<(u32, u32)>,
    /// A connection that was idle was given up for this one's.
    pub has_made_room: bool,
    pub input: Buffer,
    /// So much of `input` has been looked at, and does not end the head or the trailers.
    pub scanned: usize,
    pub answer: Answer,
    /// interim answers so far
    pub interim: usize,
    /// bytes of the answer's body that the client takes
    pub credit: u32,
    /// The connection may be used again, and lasts so many seconds.
    pub keeps: bool,
    pub lasts: Option<u64>,
    /// Something has come on this connection.
    pub is_heard: bool,

    /// when it is given up, unless something comes or goes
    pub deadline: u64,
    /// the rates of its body as it comes and as it goes, and of the answer's
    pub comes: Pace,
    pub goes: Pace,
    pub answers: Pace,
    pub slow: Option<Slow>,
}

impl Exchange {
    pub fn new(client: u32, number: u32, request: Request, deadline: u64) -> Self {
        let total = if let Framing::Length(total) = request.framing { Some(total) } else { None };
        Exchange {
            client,
            number,
            request,
            is_visitors: false,
            upstream: None,
            tried: 0,
            total,
            is_ended: false,
            is_begun: false,
            is_closed: false,
            is_body_sent: false,
            out: Buffer::new(),
            held: Buffer::new(),
            allowance: INITIAL_CREDIT,
            owed: 0,
            has_body: false,
            trailers: Vec::new(),
            link: None,
            is_fresh: false,
            asked: None,
            has_made_room: false,
            input: Buffer::new(),
            scanned: 0,
            answer: Answer::Awaited,
            interim: 0,
            credit: INITIAL_CREDIT,
            keeps: false,
            lasts: None,
            is_heard: false,
            deadline,
            comes: Pace::default(),
            goes: Pace::default(),
            answers: Pace::default(),
            slow: None,
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.request.origin
    }

    /// Writes the head once the connection is there and it is known how the body is framed.
    pub fn begin(&mut self) {
        if self.is_begun || self.link.is_none() {
            return;
        }
        let request = &mut self.request;
        if request.framing == Framing::Open {
            request.framing = match (self.has_body, self.is_ended) {
                (false, true) => Framing::None,
                (false, false) if request.is_bare => return,
                _ => Framing::Chunked,
            };
        }
        self.is_begun = true;
        let mut head = Vec::new();
        request.write(self.total, &mut head);
        self.out.push(&head);
    }

    /// Writes what ends the body once all of the body is sent.
    pub fn close(&mut self) {
        if self.is_closed || !self.is_begun || !self.is_ended || !self.held.is_empty() {
            return;
        }
        self.is_closed = true;
        if self.request.framing == Framing::Chunked {
            self.out.push(LAST_CHUNK);
            self.out.push(&self.trailers);
            self.out.push(b"\r\n");
        }
    }

    /// A part of the body, within the length that is said of it.
    ///
    /// # Errors
    /// It is longer than that.
    pub fn body(&mut self, data: &[u8]) -> Result<(), &'static str> {
        if let Framing::Length(left) = &mut self.request.framing {
            *left =
                left.checked_sub(data.len() as u64).ok_or("the request's body is longer than its content-length")?;
        }
        self.has_body = true;
        self.owed += data.len() as u32;
        self.held.push(data);
        Ok(())
    }

    /// # Errors
    /// The body is shorter than it was to be.
    pub fn end(&mut self) -> Result<(), &'static str> {
        if let Framing::Length(1..) = self.request.framing {
            return Err("the request's body is shorter than its content-length");
        }
        self.is_ended = true;
        Ok(())
    }

    /// Who is behind the rate of 16 KiB in `time`, and from when on. A body of unknown length may be one of events that come now and then;
    /// it only has to go on.
    pub fn pace(&mut self, now: u64, time: u64) {
        let Some(link) = self.link.as_ref().filter(|_| self.request.framing != Framing::Raw) else {
            self.slow = None;
            return;
        };
        let waits = !self.out.is_empty() || !self.held.is_empty();
        let lacks = matches!(self.request.framing, Framing::Length(1..)) && !self.is_ended && !waits;
        let is_read = matches!(self.answer, Answer::Length(_)) && self.input.is_empty() && self.credit > 0;
        let comes = Slow { at: self.comes.due(now, lacks, time), who: Who::Sender };
        // a chunk is not begun with less credit than its size takes
        let goes = Slow { at: self.goes.due(now, waits && !link.is_gone, time), who: Who::Taker };
        let answers = Slow { at: self.answers.due(now, is_read, time), who: Who::Giver };
        self.slow = [comes, goes, answers].into_iter().min_by_key(|slow| slow.at).filter(|slow| slow.at < u64::MAX);
    }

    /// When it has to be looked at.
    pub fn due(&self) -> u64 {
        self.slow.map_or(u64::MAX, |slow| slow.at).min(self.deadline)
    }

    /// All of the request is on its way.
    pub fn is_sent(&self) -> bool {
        self.is_closed && self.out.is_empty()
    }

    /// Nothing has come of an answer, and what the host has of the request may be sent once more: nothing, or what it does not matter
    /// how often it is done (RFC 9110, section 9.2.2), if all of it is still there.
    pub fn may_be_repeated(&self) -> bool {
        let may = self.request.is_idempotent && !self.is_body_sent;
        !self.is_heard && self.interim == 0 && (!self.is_begun || may)
    }

    /// A part of the body goes to the host.
    pub fn sends_body(&mut self) {
        self.is_body_sent = true;
    }

    /// Both sides change to another protocol: what either sends is its own from here on.
    pub fn change(&mut self) {
        self.request.framing = Framing::Raw;
        (self.is_ended, self.is_closed) = (false, false);
    }

    /// After [`Exchange::change`], the client has sent all that it will.
    pub fn is_finished(&self) -> bool {
        self.request.framing == Framing::Raw && self.is_closed && self.out.is_empty()
    }

    /// As before the connection was there.
    pub fn repeat(&mut self) {
        (self.is_begun, self.is_closed) = (false, false);
        self.out.clear();
        self.input.clear();
        self.scanned = 0;
        self.link = None;
        self.is_heard = false;
        // one that comes late would be taken for the next one's
        self.asked = None;
        if self.request.framing == Framing::None {
            self.request.framing = Framing::Open;
        }
    }

    /// The body of an answer begins.
    pub fn answered(&mut self, head: &response::Head) {
        self.answer = match head.framing {
            response::Framing::None | response::Framing::Length(0) => Answer::Done,
            response::Framing::Length(left) => Answer::Length(left),
            response::Framing::Chunked => Answer::Chunked(Decoder::new()),
            response::Framing::UntilClose => Answer::UntilClose,
        };
        self.keeps = head.keeps;
        self.lasts = head.lasts;
    }
}
