//! Shows the noticeboard to people: a service of `pearwood:http/handler`, and a client of `example:board/notes`.
//!
//! `GET /TOPIC` yields its notes, `POST /TOPIC` pins one, `GET /TOPIC/next` waits for the next one.

use bindings::{
    example::board::notes,
    exports::pearwood::box0_2_0::service,
    pearwood::{
        box0_2_0::ports::{Notices, receive, send, wait},
        http::handler,
    },
};
use records::{Attach, Command, Event};
use std::collections::{BTreeMap, VecDeque};
use wit::{Outbox, Peer, Record, Records, http};

/// The functions that the box calls, and those that the node calls.
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../../wit/box", "../../../../wit/net", "../../../../wit/http", "../wit"],
        // The empty package makes the generator name a module `box0_2_0`: `box` is a word that Rust reserves.
        inline: "package example:web-box; package pearwood:box@0.0.0 {}",
        world: "example:board/web",
        generate_all,
    });
    use super::Web;
    export!(Web);
}

/// The records of the protocol.
pub mod records {
    wit::protocol! {
        path: ["../../../../wit/box", "../../../../wit/net", "../../../../wit/http", "../wit"],
        interface: "example:board/notes",
    }
}

/// HTTP requests under way; the next ones are refused.
const MOST: usize = 512;
/// Those of them that boards are asked for: the others wait. It bounds what boards have to say at once, and so what people have
/// not taken yet: twice that, 600 KiB of notes, for which the 8 MiB that `system.toml` gives the box suffice.
const AT_ONCE: usize = 32;
/// Bytes of a request's body.
const LONGEST: usize = 1024;

/// An HTTP request: the number of the peer that made it, and its number there.
type Key = (u32, u32);

#[derive(Default)]
struct Web {
    /// those whose HTTP requests these are, and what is to be sent to them
    callers: BTreeMap<u32, Outbox>,
    boards: BTreeMap<u32, Board>,
    requests: BTreeMap<Key, Request>,
    /// those that a board is to be asked for
    queue: VecDeque<Key>,
    /// what boards were asked, by ticket: which board, and for whom
    asked: BTreeMap<u32, (u32, Key)>,
    ticket: u32,
    /// Another instance takes the place of this one.
    retiring: bool,
}

#[derive(Default)]
struct Board {
    /// granted by the arrow
    topics: Vec<String>,
    out: Outbox,
    /// Another takes its place: it is asked nothing new.
    retiring: bool,
}

struct Request {
    /// HEAD: the answer has no body.
    is_head: bool,
    topic: String,
    state: State,
}

enum State {
    /// The text of a note is still coming.
    Body(Vec<u8>),
    /// In the queue: to pin a text, or to read.
    Queued(Option<String>),
    /// A board was asked. What it has said so far.
    Asked { ticket: u32, notes: String },
    /// For the next note.
    Waits,
}

impl service::Guest for Web {
    fn run() {
        let (people, board) = (handler::service(&[]), notes::client(&[]));
        let mut web = Web::default();
        loop {
            if wait(u64::MAX).notices.contains(Notices::RETIRE) {
                web.retire();
            }
            web.send(people, board);
            web.events(&receive(board));
            web.commands(&receive(people));
            web.ask();
            web.send(people, board);
            for peer in web.let_go() {
                send(board, peer, Peer::release(peer).as_bytes());
            }
            // Those who ask have turned to the instance that takes this one's place.
            if web.retiring && web.callers.is_empty() {
                return;
            }
        }
    }
}

impl Web {
    /// Sends what there is. What finds no room stays.
    fn send(&mut self, people: u32, board: u32) {
        self.callers.iter_mut().for_each(|(peer, out)| out.flush(|batch| send(people, *peer, batch)));
        self.boards.iter_mut().for_each(|(peer, one)| one.out.flush(|batch| send(board, *peer, batch)));
    }
}

/// What people ask.
impl Web {
    fn commands(&mut self, batch: &[u8]) {
        let mut from = 0;
        for record in Records::new(batch).flatten() {
            match Peer::decode(&record) {
                Some(Peer::Is(number)) => from = number,
                Some(Peer::Attach(number, _)) => {
                    self.requests.retain(|key, _| key.0 != number);
                    self.callers.insert(number, Outbox::new());
                }
                Some(Peer::Detach(number, _)) => {
                    self.requests.retain(|key, _| key.0 != number);
                    self.callers.remove(&number);
                }
                Some(Peer::Retire(_) | Peer::Release(_)) => {}
                None => self.command((from, record.id), &record),
            }
        }
    }

    fn command(&mut self, key: Key, record: &Record<'_>) {
        match http::Command::decode(record) {
            Ok(http::Command::Request { head, .. }) => {
                let path = head.target.split('?').next().unwrap_or_default();
                let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
                let state = match (head.method, &parts[..]) {
                    ("GET" | "HEAD", [_]) => State::Queued(None),
                    ("GET", [_, "next"]) => State::Waits,
                    ("POST", [_]) => State::Body(Vec::new()),
                    #[cfg(feature = "next")]
                    ("DELETE", [number]) => return self.unpin(key, number),
                    ("GET" | "HEAD", _) => return self.answer(key, 404, "There is nothing here but topics.\n"),
                    _ => return self.answer(key, 405, "That cannot be done with a topic.\n"),
                };
                if self.requests.len() >= MOST {
                    return self.answer(key, 503, "Too many ask at once.\n");
                }
                let (queued, waits) = (matches!(state, State::Queued(_)), matches!(state, State::Waits));
                let topic = parts[0].to_string();
                self.requests.insert(key, Request { is_head: head.method == "HEAD", topic, state });
                if queued {
                    self.queue.push_back(key);
                } else if waits {
                    self.wait(key);
                }
            }
            Ok(http::Command::Body { data, .. }) => {
                let Some(State::Body(text)) = self.requests.get_mut(&key).map(|request| &mut request.state) else {
                    return;
                };
                if text.len() + data.len() > LONGEST {
                    return self.answer(key, 413, "That is too long for a note.\n");
                }
                text.extend_from_slice(data);
            }
            Ok(http::Command::End { .. }) => {
                let Some(request) = self.requests.get_mut(&key) else { return };
                let State::Body(text) = &request.state else { return };
                // one line, without bytes that are no text
                let text = String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" ");
                request.state = State::Queued(Some(text));
                self.queue.push_back(key);
            }
            Ok(http::Command::Cancel { .. }) => drop(self.requests.remove(&key)),
            Ok(_) => {}
            Err(_) => self.answer(key, 502, "The request is malformed.\n"),
        }
    }

    /// Waits for the next note of a topic, where the grant lets one come.
    fn wait(&mut self, key: Key) {
        let topic = &self.requests[&key].topic;
        if !self.boards.values().any(|board| board.topics.contains(topic)) {
            let why = format!("the topic `{topic}` is not granted\n");
            self.answer(key, 403, &why);
        } else if self.retiring {
            self.answer(key, 200, "");
        }
    }

    /// Takes a note down, if the board knows how to: it does not say.
    #[cfg(feature = "next")]
    fn unpin(&mut self, key: Key, number: &str) {
        let Ok(number) = number.parse() else {
            return self.answer(key, 404, "Notes have numbers.\n");
        };
        match self.boards.values_mut().find(|board| !board.retiring) {
            Some(board) => Command::Unpin { number }.encode(board.out.batch()),
            None => return self.answer(key, 503, "The board is away.\n"),
        }
        self.answer(key, 202, "The board was asked to.\n");
    }

    /// Asks a board for those who wait in the queue.
    fn ask(&mut self) {
        while self.asked.len() < AT_ONCE && !self.callers.values().any(Outbox::is_full) {
            let Some(key) = self.queue.pop_front() else { return };
            let Some(request) = self.requests.get_mut(&key) else { continue };
            let State::Queued(pinned) = &request.state else { continue };
            let Some((number, board)) = self.boards.iter_mut().find(|(_, board)| !board.retiring) else {
                self.answer(key, 503, "The board is away.\n");
                continue;
            };
            // 0 is nobody's
            self.ticket = self.ticket.wrapping_add(1).max(1);
            let (ticket, topic) = (self.ticket, request.topic.as_str());
            match pinned {
                Some(text) => Command::Pin { ticket, topic, text }.encode(board.out.batch()),
                None => Command::Read { ticket, topic }.encode(board.out.batch()),
            }
            request.state = State::Asked { ticket, notes: String::new() };
            self.asked.insert(ticket, (*number, key));
        }
    }

    fn answer(&mut self, key: Key, status: u16, text: &str) {
        let is_head = self.requests.remove(&key).is_some_and(|request| request.is_head);
        let Some(out) = self.callers.get_mut(&key.0) else { return };
        let headers = format!("content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n", text.len());
        http::Event::Response { request: key.1, status, headers: headers.as_bytes() }.encode(out.batch());
        if !is_head {
            http::Event::Body { request: key.1, data: text.as_bytes() }.encode(out.batch());
        }
        http::Event::End { request: key.1 }.encode(out.batch());
    }

    /// Another instance takes the place of this one: who waits is to ask that.
    fn retire(&mut self) {
        self.retiring = true;
        let waits = self.requests.iter().filter(|(_, request)| matches!(request.state, State::Waits));
        for key in waits.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.answer(key, 200, "");
        }
    }
}

/// What boards say.
impl Web {
    fn events(&mut self, batch: &[u8]) {
        for record in Records::new(batch).flatten() {
            match Peer::decode(&record) {
                Some(Peer::Attach(number, grant)) => {
                    self.lost(number, "it begins anew");
                    let topics = Attach::decode(grant).map(|attach| attach.topics.iter().map(String::from).collect());
                    self.boards.insert(number, Board { topics: topics.unwrap_or_default(), ..Board::default() });
                }
                Some(Peer::Detach(number, why)) => {
                    self.lost(number, &String::from_utf8_lossy(why));
                    self.boards.remove(&number);
                }
                Some(Peer::Retire(number)) => {
                    if let Some(board) = self.boards.get_mut(&number) {
                        board.retiring = true;
                    }
                }
                Some(Peer::Is(_) | Peer::Release(_)) => {}
                None => self.event(&record),
            }
        }
    }

    fn event(&mut self, record: &Record<'_>) {
        match Event::decode(record) {
            Ok(Event::Note {
                ticket,
                number,
                topic,
                text,
                #[cfg(feature = "next")]
                at,
            }) => {
                #[cfg(not(feature = "next"))]
                let line = format!("{number} {text}\n");
                #[cfg(feature = "next")]
                let line = at.map_or(format!("{number} {text}\n"), |at| format!("{number} {text} (at {at})\n"));
                if ticket == 0 {
                    return self.news(topic, &line);
                }
                if let Some((_, notes)) = self.waiting_for(ticket) {
                    notes.push_str(&line);
                }
            }
            Ok(Event::End { ticket }) => self.over(ticket, 200, None),
            Ok(Event::Pinned { ticket, number }) => self.over(ticket, 201, Some(format!("{number}\n"))),
            Ok(Event::Refused { ticket, why }) => self.over(ticket, 403, Some(format!("{why}\n"))),
            // a record of a later version
            Ok(Event::Unknown { .. }) => {}
            Err(_) => self.over(record.id, 502, Some("The board is not to be understood.\n".into())),
        }
    }

    /// The request that a ticket is of, unless it was cancelled, and what the board has said to it.
    fn waiting_for(&mut self, asked: u32) -> Option<(Key, &mut String)> {
        let (_, key) = *self.asked.get(&asked)?;
        match &mut self.requests.get_mut(&key)?.state {
            // else another has its number by now
            State::Asked { ticket, notes } if *ticket == asked => Some((key, notes)),
            _ => None,
        }
    }

    /// A board has answered: with that, or with the notes that it has sent.
    fn over(&mut self, ticket: u32, status: u16, answer: Option<String>) {
        if let Some((key, notes)) = self.waiting_for(ticket) {
            let answer = answer.unwrap_or_else(|| std::mem::take(notes));
            self.answer(key, status, &answer);
        }
        self.asked.remove(&ticket);
    }

    fn news(&mut self, topic: &str, line: &str) {
        let waits = |request: &Request| matches!(request.state, State::Waits) && request.topic == topic;
        let waiting = self.requests.iter().filter(|(_, request)| waits(request));
        for key in waiting.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.answer(key, 200, line);
        }
    }

    /// What was asked of a board that is gone has no answer.
    fn lost(&mut self, board: u32, why: &str) {
        let lost = self.asked.iter().filter(|(_, (at, _))| *at == board);
        for ticket in lost.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            self.over(ticket, 502, Some(format!("The board is gone: {why}\n")));
        }
    }

    /// Boards that another takes the place of, and that owe no answer.
    fn let_go(&mut self) -> Vec<u32> {
        let asked = &self.asked;
        let owes = |number: u32| asked.values().any(|(board, _)| *board == number);
        let done =
            self.boards.iter().filter(|(number, board)| board.retiring && board.out.is_empty() && !owes(**number));
        let done: Vec<u32> = done.map(|(number, _)| *number).collect();
        done.iter().for_each(|number| drop(self.boards.remove(number)));
        done
    }
}
