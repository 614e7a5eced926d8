//! `pearwood:control/node`: the power over the node, as a service of the node. What is asked waits here; a task of the
//! node works on it, one request after the other, and no further than the box receives what is answered.

use crate::{
    arrows::channel::{Ready, Refused, Service, Signal},
    boxes::BoxHandle,
    deploy::patient,
    executor::{Bell, yield_now},
    node::{Answer, Follow, Node, Upload},
    slots::SlotError,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    mem,
    task::{Context, Poll},
};
use manage::{Request, Response, Role};
use spin::{Mutex, Once};
use wit::{
    Batch, MAX_BATCH, Records,
    control::{Attach, Command, Event},
};

/// The most bytes of a request: one that begins an image has its manifest.
const MAX_REQUEST: usize = (1 << 20) + 256;

/// The most bytes of a name that a box says.
const MAX_NAME: usize = 128;

/// Requests that may be under way.
const DEPTH: usize = 256;

/// Records of one batch.
const MAX_RECORDS: usize = 4 * DEPTH;

/// What one that is under way takes, beside the bytes of the request.
const TICKET: usize = 512;

/// Bytes of an answer in one record.
const PIECE: usize = 64 << 10;

/// While this much waits to be received, nothing more is answered.
const WAITING: usize = 64 << 10;

const NO_PLACE: &str = "another box has the power over the node now: connect again";

/// One box's power over the node.
pub struct Control(Arc<Shared>);

struct Shared {
    signal: Arc<Signal>,
    /// the flag of the box's port
    ready: Ready,
    /// the most bytes of an answer
    longest: usize,
    boot_secret: Once<[u8; 32]>,
    /// Rings when the task has something to do, or to look at.
    bell: Bell,
    asked: Mutex<Asked>,
}

/// What one instance of the box has asked, and what it will be answered.
#[derive(Default)]
struct Asked {
    /// Counts the instances: what one has asked is not answered to the next.
    instance: u64,
    /// The box is gone, and the task ends.
    is_over: bool,
    /// the request of which parts have come
    begun: Option<(u32, Vec<u8>)>,
    /// in the order in which they came
    tickets: Vec<Ticket>,
    /// bytes of requests
    bytes: usize,
    answers: Vec<Said>,
    /// the image that the box brings
    upload: Option<Upload>,
    /// The box found no room.
    is_blocked: bool,
    /// which of those that are followed is looked at first
    turn: usize,
    /// A request was answered last: what is followed has its turn, so that it comes even where somebody asks without end.
    has_answered: bool,
}

struct Ticket {
    number: u32,
    state: State,
}

enum State {
    Waits {
        by: String,
        request: Vec<u8>,
    },
    /// The task works on it.
    Taken,
    /// Whether the box wants the next answer.
    Followed(Follow, bool),
}

/// An answer of which some waits to be received.
struct Said {
    ticket: u32,
    is_last: bool,
    bytes: Vec<u8>,
    received: usize,
}

/// What the task does next.
enum Work {
    Answer {
        instance: u64,
        ticket: u32,
        by: String,
        request: Vec<u8>,
    },
    /// Something was answered.
    Told,
    End,
}

impl Control {
    /// For a box with so many bytes of memory and this signal, whose port has that flag.
    pub fn new(memory: u64, signal: &Arc<Signal>, ready: Ready) -> Arc<Self> {
        // the box has to hold an answer, twice while it passes it on
        let longest = (memory / 8).clamp(256 << 10, 4 << 20) as usize;
        let (signal, bell, boot_secret) = (signal.clone(), Bell::default(), Once::new());
        Arc::new(Control(Arc::new(Shared { signal, ready, longest, boot_secret, bell, asked: Mutex::default() })))
    }

    /// From here on it is answered. `handle`: the box.
    pub fn serve(&self, node: &Arc<Node>, handle: &Arc<BoxHandle>) {
        self.0.boot_secret.call_once(|| *node.boot_secret());
        node.executor().spawn(handle.spec.cpu, serve(self.0.clone(), Arc::downgrade(node), Arc::downgrade(handle)));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.asked.lock().is_over = true;
        self.0.bell.ring();
    }
}

async fn serve(shared: Arc<Shared>, node: Weak<Node>, handle: Weak<BoxHandle>) {
    loop {
        let work = core::future::poll_fn(|cx| shared.next(&node, cx)).await;
        match work {
            Work::End => return,
            Work::Told => {}
            Work::Answer { instance, ticket, by, request } => {
                let mut upload = shared.asked.lock().upload.take();
                let (Some(node), Some(handle)) = (node.upgrade(), handle.upgrade()) else { return };
                let answer = answer(&node, &handle, &by, &request, &mut upload, shared.longest);
                if let Some(upload) = &mut upload {
                    match node.not_busy() {
                        Ok(()) if patient(&node, upload.work()).await.is_none() => {
                            upload.breaks(SlotError::Silent.to_string());
                        }
                        Ok(()) => {}
                        // which may need what is in the slots
                        Err(why) => upload.breaks(why),
                    }
                }
                let asked = &mut *shared.asked.lock();
                if asked.instance == instance {
                    asked.bytes -= request.len();
                    asked.upload = upload;
                    shared.answered(asked, ticket, answer);
                    shared.unblock(asked);
                }
            }
        }
        // others have their turn between two answers
        yield_now().await;
    }
}

fn answer(
    node: &Arc<Node>,
    handle: &Arc<BoxHandle>,
    by: &str,
    request: &[u8],
    upload: &mut Option<Upload>,
    longest: usize,
) -> Answer {
    match manage::decode::<Request<'_>>(request) {
        None => Answer::Now(Response::Refused("this node does not know such a request".into())),
        // the power goes with the box's place
        Some(request) if request.needs() > Role::View && !node.has_place(handle) => {
            Answer::Now(Response::Refused(NO_PLACE.into()))
        }
        Some(request) => node.answer(by, &handle.name, upload, &request, longest),
    }
}

impl Shared {
    fn next(&self, node: &Weak<Node>, cx: &mut Context<'_>) -> Poll<Work> {
        self.bell.listen(cx.waker());
        let asked = &mut *self.asked.lock();
        let Some(node) = node.upgrade().filter(|_| !asked.is_over) else { return Poll::Ready(Work::End) };
        if asked.waiting() >= WAITING {
            return Poll::Pending;
        }
        if mem::take(&mut asked.has_answered) && self.tell_followed(asked, &node, cx) {
            return Poll::Ready(Work::Told);
        }
        let instance = asked.instance;
        for Ticket { number, state } in &mut asked.tickets {
            let State::Waits { by, request } = state else { continue };
            let (by, request) = (mem::take(by), mem::take(request));
            *state = State::Taken;
            asked.has_answered = true;
            return Poll::Ready(Work::Answer { instance, ticket: *number, by, request });
        }
        if self.tell_followed(asked, &node, cx) { Poll::Ready(Work::Told) } else { Poll::Pending }
    }

    /// Answers one request that is followed, if there is something to tell.
    fn tell_followed(&self, asked: &mut Asked, node: &Arc<Node>, cx: &mut Context<'_>) -> bool {
        let count = asked.tickets.len();
        for step in 0..count {
            let at = (asked.turn + step) % count;
            let Ticket { number, state: State::Followed(follow, is_wanted @ true) } = &mut asked.tickets[at] else {
                continue;
            };
            follow.listen(node, cx.waker());
            let Some(response) = follow.next(node) else { continue };
            let (ticket, is_last) = (*number, !matches!(response, Response::More(_)));
            *is_wanted = false;
            asked.turn = at + 1;
            self.tell(asked, ticket, &response, is_last);
            self.unblock(asked);
            return true;
        }
        false
    }

    fn answered(&self, asked: &mut Asked, ticket: u32, answer: Answer) {
        // one that was cancelled meanwhile is gone
        let Some(found) = asked.find(ticket) else { return };
        match answer {
            Answer::Follow(follow) => found.state = State::Followed(follow, true),
            Answer::Now(response) => self.tell(asked, ticket, &response, true),
        }
    }

    fn tell(&self, asked: &mut Asked, ticket: u32, response: &Response, is_last: bool) {
        let mut bytes = manage::encode(response);
        if bytes.len() > self.longest {
            let (length, most) = (bytes.len() >> 10, self.longest >> 10);
            let why = format!(
                "the answer has {length} KiB, more than the control box of this node takes ({most} KiB): give it more `memory`"
            );
            bytes = manage::encode(&Response::Refused(why));
        }
        asked.say(Said { ticket, is_last, bytes, received: 0 });
        self.signal.raise(self.ready);
    }

    fn unblock(&self, asked: &mut Asked) {
        if asked.is_blocked && asked.has_room() {
            asked.is_blocked = false;
            self.signal.raise(Ready::ROOM);
        }
    }

    /// Takes in a record. The batch may be let go only as a whole, since none of it is taken twice.
    fn take(&self, asked: &mut Asked, command: Command<'_>) -> Result<(), Refused> {
        match command {
            Command::Part { ticket, data } => {
                let (begun, mut request) = asked.begun.take().unwrap_or((ticket, Vec::new()));
                if begun != ticket {
                    return Err(Refused::Unfit("parts of two requests at once"));
                }
                append(&mut request, data)?;
                asked.bytes += data.len();
                asked.begun = Some((ticket, request));
            }
            Command::Ask { ticket, by, data } => {
                if asked.find(ticket).is_some() {
                    return Err(Refused::Unfit("a request by the ticket of another that is under way"));
                }
                if asked.tickets.len() >= DEPTH {
                    return Err(Refused::Unfit("more requests at once than its attach says"));
                }
                let (_, mut request) = asked.begun.take_if(|begun| begun.0 == ticket).unwrap_or_default();
                append(&mut request, data)?;
                asked.bytes += data.len();
                asked.tickets.push(Ticket { number: ticket, state: State::Waits { by: line(by), request } });
            }
            Command::Next { ticket } => {
                if let Some(Ticket { state: State::Followed(_, is_wanted), .. }) = asked.find(ticket) {
                    *is_wanted = true;
                }
            }
            Command::Cancel { ticket } => {
                if let Some(found) = asked.find(ticket) {
                    if let State::Waits { request, .. } = mem::replace(&mut found.state, State::Taken) {
                        asked.bytes -= request.len();
                    }
                    self.tell(asked, ticket, &Response::Done, true);
                }
            }
            // a later version's: nothing is owed
            Command::Unknown { .. } => {}
        }
        Ok(())
    }
}

fn append(request: &mut Vec<u8>, data: &[u8]) -> Result<(), Refused> {
    if request.len() + data.len() > MAX_REQUEST {
        return Err(Refused::Unfit("a request of more than 1 MiB"));
    }
    request.try_reserve(data.len()).map_err(|_| Refused::NoMemory)?;
    request.extend_from_slice(data);
    Ok(())
}

/// What a box says, as part of a line.
fn line(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(MAX_NAME)];
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Asked {
    fn find(&mut self, number: u32) -> Option<&mut Ticket> {
        self.tickets.iter_mut().find(|ticket| ticket.number == number)
    }

    /// Bytes of answers.
    fn waiting(&self) -> usize {
        self.answers.iter().map(|said| said.bytes.len() - said.received).sum()
    }

    /// Whether a batch is taken in: what waits then is at most a whole request and a batch.
    fn has_room(&self) -> bool {
        self.bytes <= MAX_REQUEST && self.answers.len() < DEPTH
    }

    fn say(&mut self, said: Said) {
        if said.is_last {
            self.tickets.retain(|ticket| ticket.number != said.ticket);
        }
        self.answers.push(said);
    }

    /// For another instance, or none.
    fn reset(&mut self) {
        *self = Asked { instance: self.instance + 1, is_over: self.is_over, ..Asked::default() };
    }
}

impl Service for Control {
    fn attach(&self) -> Vec<u8> {
        let boot_secret = self.0.boot_secret.get().map_or(&[][..], |secret| secret);
        Attach { boot_secret, depth: DEPTH as u32, longest: self.0.longest as u32 }.encode()
    }

    fn renew(&self) {
        self.0.asked.lock().reset();
    }

    fn detach(&self) {
        self.renew();
    }

    fn send(&self, batch: &[u8]) -> Result<bool, Refused> {
        let records: usize = Records::new(batch).map(|record| record.map(|_| 1)).sum::<Result<_, _>>()?;
        if records > MAX_RECORDS {
            return Err(Refused::Unfit("a batch of more records than four for each request that its attach allows"));
        }
        let asked = &mut *self.0.asked.lock();
        if !asked.has_room() {
            asked.is_blocked = true;
            return Ok(false);
        }
        for record in Records::new(batch) {
            let record = record?;
            self.0.take(asked, Command::decode(&record)?)?;
        }
        self.0.bell.ring();
        Ok(true)
    }

    fn receive(&self, batch: &mut Batch, limit: usize) {
        let asked = &mut *self.0.asked.lock();
        let (before, mut finished) = (batch.len(), 0);
        'answers: for said in &mut asked.answers {
            loop {
                let (ticket, rest) = (said.ticket, &said.bytes[said.received..]);
                let data = &rest[..rest.len().min(PIECE)];
                if batch.len() + data.len() + 32 > limit {
                    self.0.signal.raise(self.0.ready);
                    break 'answers;
                }
                match () {
                    () if data.len() < rest.len() => Event::Part { ticket, data }.encode(batch),
                    () if said.is_last => Event::Last { ticket, data }.encode(batch),
                    () => Event::More { ticket, data }.encode(batch),
                }
                said.received += data.len();
                if data.len() == rest.len() {
                    finished += 1;
                    break;
                }
            }
        }
        asked.answers.drain(..finished);
        if batch.len() > before {
            self.0.unblock(asked);
            self.0.bell.ring();
        }
    }

    fn holds(&self) -> u64 {
        (MAX_REQUEST + MAX_BATCH + DEPTH * TICKET + WAITING + self.0.longest) as u64
    }
}
