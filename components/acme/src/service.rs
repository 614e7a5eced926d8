//! The client between the box's arrows.

use crate::asking::Asking;
use crate::{Acme, Config, Keys, Level, Next};
use sdk::http::{Exchanges, Request, Response};
use wit::{
    Incoming, Peers,
    figures::{Figure, Pace},
};

const SECOND: u64 = 1_000_000_000;
/// How long a box that has just started waits for its arrows.
const START: u64 = SECOND;
/// How often it looks whether the clock is known, the keys are open, or the clock was put right.
const LOOK: u64 = 10 * SECOND;
const LONGEST_SLEEP: u64 = 3_600;
/// Where proofs are (section 8.3).
const PROOFS: &str = "/.well-known/acme-challenge/";
/// The most bytes of what is asked of this box, all together: a request has a head and no body.
const HELD: usize = 256 << 10;

/// What has come, and when.
#[derive(Debug, Clone, Copy)]
pub struct Wake<'a> {
    /// monotonic nanoseconds
    pub now: u64,
    /// seconds since 1970, if the node knows the time
    pub time: Option<u64>,
    /// from the boxes that ask for proofs
    pub clients: &'a [u8],
    /// from those that bring requests to the authority
    pub carriers: &'a [u8],
    /// A peer that had no room may have some again.
    pub room: bool,
}

/// Whom a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Client(u32),
    Carrier(u32),
}

/// What is around the box, but for the keys.
pub trait Outside {
    /// False: the peer takes no more now.
    fn send(&mut self, to: To, batch: &[u8]) -> bool;
    fn log(&mut self, level: Level, line: &str);
    /// What is reported of it.
    fn report(&mut self, _figures: Vec<Figure>) {}
}

/// The box.
#[derive(Debug)]
pub struct Service {
    config: Config,
    /// None: the keys have not answered yet.
    acme: Option<Acme>,
    asking: Asking,
    clients: Peers,
    exchanges: Exchanges,
    /// in monotonic time: until then it waits for its arrows
    start: Option<u64>,
    deadline: u64,
    /// what keeps it from working, as it was told last
    hindrance: String,
    /// It was told that nobody asks for the proofs.
    is_warned: bool,
    figures: Pace,
    reported: Vec<Figure>,
}

impl Service {
    pub fn new(config: Config) -> Self {
        Service {
            config,
            acme: None,
            asking: Asking::default(),
            clients: Peers::default(),
            exchanges: Exchanges::new(0, HELD),
            start: None,
            deadline: 0,
            hindrance: String::new(),
            is_warned: false,
            figures: Pace::default(),
            reported: Vec::new(),
        }
    }

    /// From here on it reports how its orders fare.
    pub fn reports(&mut self) {
        self.figures.start();
    }

    /// When it has something to do at the latest, in monotonic nanoseconds.
    pub fn deadline(&self) -> u64 {
        self.deadline.min(self.figures.due())
    }

    /// What keeps it from working, or else how its orders fare.
    fn figures(&self) -> Vec<Figure> {
        match &self.acme {
            Some(acme) if self.hindrance.is_empty() => acme.figures(),
            _ => vec![Figure::text("state", if self.hindrance.is_empty() { "starts" } else { &self.hindrance })],
        }
    }

    /// Takes what has come, and does what there is to do.
    pub fn turn(&mut self, wake: Wake<'_>, keys: &mut dyn Keys, outside: &mut dyn Outside) {
        if wake.room {
            self.clients.retry();
        }
        wit::incoming(wake.carriers).flatten().for_each(|incoming| self.asking.receive(incoming));
        self.of_clients(wake.clients);
        self.deadline = self.work(&wake, keys, outside);
        if self.reported != self.figures() {
            self.figures.changed(wake.now);
        }
        if self.figures.take(wake.now) {
            self.reported = self.figures();
            outside.report(self.reported.clone());
        }
        while let Some(request) = self.exchanges.take() {
            let response = self.answer(&request);
            self.exchanges.answer(&mut self.clients, request, response);
        }
        self.asking.flush(wake.room, |peer, batch| outside.send(To::Carrier(peer), batch));
        // what did not fit may once something was sent
        while {
            self.exchanges.write(&mut self.clients);
            self.clients.flush(|peer, batch| outside.send(To::Client(peer), batch))
        } {}
    }

    fn of_clients(&mut self, batch: &[u8]) {
        for incoming in wit::incoming(batch).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => drop(self.clients.attach(peer, ())),
                Incoming::Detach(peer, _) => drop(self.clients.detach(peer)),
                Incoming::Retire(peer) => self.clients.retire(peer),
                Incoming::Record(..) => {}
            }
            self.exchanges.receive(&mut self.clients, incoming);
        }
    }

    /// Asks the authority what there is to ask. When to look again.
    fn work(&mut self, wake: &Wake<'_>, keys: &mut dyn Keys, outside: &mut dyn Outside) -> u64 {
        let start = *self.start.get_or_insert(wake.now.saturating_add(START));
        if wake.now < start && !self.asking.has_peers() {
            return start;
        }
        let look = wake.now.saturating_add(LOOK);
        let Some(time) = wake.time else {
            let why = "the node does not know the time: no certificate is ordered or renewed until it does";
            self.hindered(why, outside);
            return look;
        };
        if self.acme.is_none() {
            match Acme::new(self.config.clone(), keys) {
                Ok(acme) => self.acme = Some(acme),
                Err(why) => {
                    self.hindered(&format!("the keys cannot be used: {why}"), outside);
                    return look;
                }
            }
        }
        self.hindrance.clear();
        let Some(acme) = &mut self.acme else { return look };
        let deadline = loop {
            if let Some(result) = self.asking.take(wake.now) {
                acme.answer(time, keys, result);
            } else if !self.asking.is_idle() {
                break self.asking.deadline();
            }
            match acme.next(time, keys) {
                Next::Ask(request) => self.asking.ask(wake.now, &request),
                Next::Wait(until) => {
                    let sleep = until.saturating_sub(time).clamp(1, LONGEST_SLEEP);
                    break wake.now.saturating_add(sleep * SECOND);
                }
            }
        };
        acme.take_log().iter().for_each(|(level, line)| outside.log(*level, line));
        let is_unheard = acme.has_proofs() && !self.clients.any_attached();
        if is_unheard && !core::mem::replace(&mut self.is_warned, true) {
            let why = format!(
                "nobody asks this box for the proofs: the box `http` needs an arrow `pearwood:http/handler` to it with path = \"{PROOFS}\""
            );
            outside.log(Level::Warn, &why);
        }
        deadline
    }

    /// Tells once why there is nothing to do.
    fn hindered(&mut self, why: &str, outside: &mut dyn Outside) {
        if self.hindrance != why {
            outside.log(Level::Error, why);
            why.clone_into(&mut self.hindrance);
        }
    }

    /// What the authority asks for (section 8.3).
    fn answer(&self, request: &Request) -> Response {
        if !matches!(&*request.method, "GET" | "HEAD") {
            return Response::status(405, "Proofs are only read.\n").with("allow", "GET, HEAD");
        }
        let proof = request.path().strip_prefix(PROOFS).and_then(|token| self.acme.as_ref()?.proof(token));
        match proof {
            Some(proof) => Response::new(200, "application/octet-stream", proof),
            None => Response::status(404, "There is no such proof now.\n"),
        }
    }
}
