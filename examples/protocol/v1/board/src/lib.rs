//! Keeps notes for other boxes: the service of `example:board/notes`.
//!
//! What a client may do was said when it was attached. What it leaves untaken is bounded, and so is what is kept.

use bindings::{
    example::board::notes,
    exports::pearwood::box0_2_0::{handover, service},
    pearwood::box0_2_0::ports::{Notices, send, wait_and_receive},
};
use records::{Attach, Command, Event};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use wit::{Batch, Outbox, Peer, Record, Records};

/// The functions that the box calls, and those that the node calls.
#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../../wit/box", "../../../../wit/net", "../../../../wit/http", "../wit"],
        // The empty package makes the generator name a module `box0_2_0`: `box` is a word that Rust reserves.
        inline: "package example:board-box; package pearwood:box@0.0.0 {}",
        world: "example:board/board",
        generate_all,
    });
    use super::Board;
    export!(Board);
}

/// The records of the protocol.
pub mod records {
    wit::protocol! {
        path: ["../../../../wit/box", "../../../../wit/net", "../../../../wit/http", "../wit"],
        interface: "example:board/notes",
    }
}

/// Notes that are kept: an older one goes when another comes.
const KEPT: usize = 32;
/// Bytes of a note's text.
const LONGEST: usize = 256;
/// Bytes that all clients together may leave untaken. The answer to one `read` is about a hundredth of it.
const MUCH: usize = 1 << 20;

static BOARD: Mutex<Board> = Mutex::new(Board { notes: VecDeque::new(), last: 0, clients: BTreeMap::new() });

struct Board {
    /// oldest first
    notes: VecDeque<Note>,
    /// the number of the last note that was pinned
    last: u32,
    /// by their numbers as peers
    clients: BTreeMap<u32, Client>,
}

struct Note {
    number: u32,
    topic: String,
    text: String,
    #[cfg(feature = "next")]
    at: Option<u64>,
}

#[derive(Default)]
struct Client {
    topics: Vec<String>,
    read_only: bool,
    /// what is to be sent
    out: Outbox,
}

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl service::Guest for Board {
    fn run() {
        let (port, mut board, mut retiring) = (notes::service(&[]), board(), false);
        loop {
            let turn = wait_and_receive(u64::MAX);
            retiring |= turn.wake.notices.contains(Notices::RETIRE);
            board.receive(&turn.received);
            board.clients.iter_mut().for_each(|(peer, client)| client.out.flush(|batch| send(port, *peer, batch)));
            // Another instance takes this one's place, and the clients have let go of this one.
            if retiring && board.clients.is_empty() {
                return;
            }
        }
    }
}

/// The notes go over to the next instance as records of the protocol, so another version understands them.
impl handover::Guest for Board {
    fn save() -> Vec<u8> {
        let (board, mut batch) = (board(), Batch::new());
        board.notes.iter().for_each(|note| note.write(0, &mut batch));
        Event::Pinned { ticket: 0, number: board.last }.encode(&mut batch);
        batch.into_bytes()
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let mut board = board();
        for record in Records::new(&state) {
            match record.and_then(|record| Event::decode(&record)).map_err(|error| error.to_string())? {
                #[cfg(not(feature = "next"))]
                Event::Note { number, topic, text, .. } => {
                    board.notes.push_back(Note { number, topic: topic.into(), text: text.into() });
                }
                #[cfg(feature = "next")]
                Event::Note { number, topic, text, at, .. } => {
                    board.notes.push_back(Note { number, topic: topic.into(), text: text.into(), at });
                }
                Event::Pinned { number, .. } => board.last = number,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Board {
    fn receive(&mut self, batch: &[u8]) {
        let mut from = 0;
        for record in Records::new(batch).flatten() {
            match Peer::decode(&record) {
                Some(Peer::Is(number)) => from = number,
                Some(Peer::Attach(number, grant)) => drop(self.clients.insert(number, Client::of(grant))),
                Some(Peer::Detach(number, _)) => drop(self.clients.remove(&number)),
                Some(Peer::Retire(_) | Peer::Release(_)) => {}
                None => self.command(from, &record),
            }
        }
    }

    fn command(&mut self, from: u32, record: &Record<'_>) {
        let share = MUCH / self.clients.len().max(1);
        let Some(client) = self.clients.get_mut(&from) else { return };
        if client.out.len() > share {
            // It does not take what it is told, so it is not listened to.
            return;
        }
        let out = client.out.batch();
        match Command::decode(record) {
            Ok(Command::Pin { ticket, topic, text }) => {
                if let Err(why) = client.may_pin(topic, text) {
                    return Event::Refused { ticket, why: &why }.encode(client.out.batch());
                }
                self.last += 1;
                Event::Pinned { ticket, number: self.last }.encode(client.out.batch());
                self.pin(topic, text, share);
            }
            Ok(Command::Read { ticket, topic }) => {
                if let Err(why) = client.may_read(topic) {
                    return Event::Refused { ticket, why: &why }.encode(client.out.batch());
                }
                let out = client.out.batch();
                self.notes.iter().filter(|note| note.topic == topic).for_each(|note| note.write(ticket, out));
                Event::End { ticket }.encode(out);
            }
            #[cfg(feature = "next")]
            Ok(Command::Unpin { number }) => {
                self.notes.retain(|note| note.number != number || client.may_pin(&note.topic, "").is_err());
            }
            // a record of a later version
            Ok(Command::Unknown { .. }) => {}
            Err(malformed) => Event::Refused { ticket: record.id, why: &malformed.to_string() }.encode(out),
        }
    }

    /// Keeps a note, and tells of it whom it is for.
    fn pin(&mut self, topic: &str, text: &str, share: usize) {
        let note = Note {
            number: self.last,
            topic: topic.into(),
            text: text.into(),
            #[cfg(feature = "next")]
            at: bindings::pearwood::box0_2_0::entropy::wall_clock().map(|nanoseconds| nanoseconds / 1_000_000_000),
        };
        for client in self.clients.values_mut() {
            if client.may_read(topic).is_ok() && client.out.len() <= share {
                note.write(0, client.out.batch());
            }
        }
        if self.notes.len() == KEPT {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }
}

impl Note {
    fn write(&self, ticket: u32, batch: &mut Batch) {
        let event = Event::Note {
            ticket,
            number: self.number,
            topic: &self.topic,
            text: &self.text,
            #[cfg(feature = "next")]
            at: self.at,
        };
        event.encode(batch);
    }
}

impl Client {
    /// One whose grant cannot be read may nothing.
    fn of(grant: &[u8]) -> Self {
        let Ok(Attach { topics, read_only }) = Attach::decode(grant) else { return Client::default() };
        Client { topics: topics.iter().map(String::from).collect(), read_only, out: Outbox::new() }
    }

    fn may_read(&self, topic: &str) -> Result<(), String> {
        let granted = self.topics.iter().any(|granted| granted == topic);
        if granted { Ok(()) } else { Err(format!("the topic `{topic}` is not granted")) }
    }

    fn may_pin(&self, topic: &str, text: &str) -> Result<(), String> {
        self.may_read(topic)?;
        match text.len() {
            _ if self.read_only => Err(format!("the topic `{topic}` is granted read-only")),
            length if length > LONGEST => Err(format!("a note has at most {LONGEST} bytes, not {length}")),
            _ => Ok(()),
        }
    }
}
