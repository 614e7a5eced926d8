//! One lookup under way: the questions, the server that is asked, and when to ask again.

use super::message::{self, Answer, Family, Name};
use super::stream::{self, Come, Streams};
use crate::datagrams::Datagrams;
use crate::fragments::Datagram;
use crate::link::{Link, to_mapped};
use crate::random::Random;
use core::net::{IpAddr, Ipv6Addr};
use smoltcp::iface::SocketHandle;
use smoltcp::wire::IpEndpoint;

const DNS: u16 = 53;
const SECOND: u64 = 1_000_000_000;
/// How long a server may think.
const PATIENCE: u64 = 2 * SECOND;
/// The same for one that is asked over TCP.
const PATIENCE_STREAM: u64 = 5 * SECOND;
/// How often each server is asked.
const ROUNDS: usize = 2;
/// How long to wait for a server to become known, or reachable: an address may be on its way.
const SERVERLESS: u64 = 10 * SECOND;

#[derive(Debug)]
struct Question {
    family: Family,
    id: u16,
    answer: Option<Answer>,
    /// Its answer did not fit into a datagram.
    truncated: bool,
    /// It has been asked over TCP.
    streamed: bool,
    /// as much as did fit, and for how many seconds
    part: Option<(Vec<Ipv6Addr>, u32)>,
}

pub struct Lookup {
    pub peer: u32,
    pub ticket: u32,
    pub name: Name,
    pub handle: SocketHandle,
    questions: Vec<Question>,
    /// the server being asked
    server: Option<IpEndpoint>,
    /// the ticket of the stream to it, if there is one
    pub stream: Option<u32>,
    /// servers asked so far
    asked: usize,
    /// a server has said that it cannot answer
    unable: bool,
    began: u64,
    pub deadline: u64,
}

pub enum Outcome {
    Pending,
    /// and for how many seconds
    Found(Vec<Ipv6Addr>, u32),
    Failed(&'static str),
}

impl Question {
    fn is_to_be_streamed(&self) -> bool {
        self.truncated && !self.streamed && self.answer.is_none()
    }
}

impl Lookup {
    pub fn new(peer: u32, ticket: u32, name: Name, handle: SocketHandle, now: u64) -> Self {
        Lookup {
            peer,
            ticket,
            name,
            handle,
            questions: Vec::new(),
            server: None,
            stream: None,
            asked: 0,
            unable: false,
            began: now,
            deadline: now,
        }
    }

    /// Reads what has come. A server that cannot answer is not waited for.
    pub fn hear(&mut self, now: u64, datagrams: &mut Datagrams, streams: &mut Streams) {
        if self.receive(datagrams) | self.receive_stream(streams) {
            self.deadline = now;
        }
        if now >= self.deadline {
            self.leave_stream(streams);
        }
    }

    /// Whether an answer has come that was cut short.
    pub fn wants_stream(&self) -> bool {
        self.questions.iter().any(Question::is_to_be_streamed)
    }

    /// Asks when it is time to.
    pub fn step(
        &mut self,
        now: u64,
        servers: &[IpAddr],
        families: &[Family],
        datagrams: &mut Datagrams,
        link: &mut Link,
        random: &mut Random,
    ) -> Outcome {
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        if now < self.deadline {
            return Outcome::Pending;
        }
        if self.questions.is_empty() {
            let question = |&family| Question {
                family,
                id: random.u16(),
                answer: None,
                truncated: false,
                streamed: false,
                part: None,
            };
            self.questions = families.iter().map(question).collect();
        }
        let reachable = |server: &&IpAddr| link.source_for(&(**server).into()).is_some();
        let servers: Vec<IpAddr> = servers.iter().filter(reachable).copied().collect();
        if servers.is_empty() || self.questions.is_empty() {
            if now >= self.began + SERVERLESS {
                return Outcome::Failed("no name server is known");
            }
            self.deadline = now + SECOND / 4;
            return Outcome::Pending;
        }
        if self.asked >= ROUNDS * servers.len() {
            return self.give_up();
        }
        let server = IpEndpoint::new(servers[self.asked % servers.len()].into(), DNS);
        self.asked += 1;
        self.server = Some(server);
        self.deadline = now + PATIENCE;
        let port = datagrams.socket(self.handle).endpoint().port;
        for question in self.questions.iter_mut().filter(|question| question.answer.is_none()) {
            let query = message::query(question.id, &self.name, question.family);
            // One that is not sent is as one that is lost.
            let ports = (port, DNS);
            let datagram = Datagram { ports, to: to_mapped(server.addr), data: &query, path: None };
            let _ = datagrams.senders.send(now, &datagram, link, random);
        }
        Outcome::Pending
    }

    /// True if the server asked cannot answer.
    fn receive(&mut self, datagrams: &mut Datagrams) -> bool {
        let mut unable = false;
        while let Ok((message, metadata)) = datagrams.socket(self.handle).recv() {
            if Some(metadata.endpoint) != self.server {
                continue;
            }
            for question in self.questions.iter_mut().filter(|question| question.answer.is_none()) {
                match message::answer(message, question.id, &self.name, question.family) {
                    Some(Answer::Unable) => unable = true,
                    Some(Answer::Truncated(addresses, seconds)) => {
                        question.truncated = true;
                        question.part.get_or_insert((addresses, seconds));
                    }
                    Some(answer) => question.answer = Some(answer),
                    None => continue,
                }
                break;
            }
        }
        self.unable |= unable;
        // an answer that comes over TCP is waited for
        unable && self.stream.is_none()
    }

    /// The same of what has come over TCP. A server that says something else is not listened to.
    fn receive_stream(&mut self, streams: &mut Streams) -> bool {
        let Some(ticket) = self.stream else { return false };
        loop {
            let message = match streams.take(ticket) {
                Come::Nothing => return false,
                Come::End => break,
                Come::Message(message) => message,
            };
            let mut open = self.questions.iter_mut().filter(|question| question.streamed && question.answer.is_none());
            let answer = open.find_map(|question| {
                let answer = stream::answer(&message, question.id, &self.name, question.family)?;
                Some((question, answer))
            });
            match answer {
                Some((_, Answer::Unable)) | None => break,
                Some((question, answer)) => question.answer = Some(answer),
            }
            if self.questions.iter().all(|question| question.answer.is_some()) {
                return false;
            }
        }
        self.unable = true;
        true
    }

    /// Asks the server over TCP what its datagrams have no room for.
    pub fn ask_stream(&mut self, now: u64, streams: &mut Streams) {
        let Some(server) = self.server else { return };
        let ticket = *self.stream.get_or_insert_with(|| streams.open(server.addr.into()));
        self.deadline = now + PATIENCE_STREAM;
        for question in self.questions.iter_mut().filter(|question| question.is_to_be_streamed()) {
            question.streamed = true;
            streams.ask(ticket, question.id, &self.name, question.family);
        }
    }

    /// The next server is asked by datagrams.
    pub fn leave_stream(&mut self, streams: &mut Streams) {
        if let Some(ticket) = self.stream.take() {
            streams.close(ticket);
        }
        for question in &mut self.questions {
            (question.truncated, question.streamed) = (false, false);
        }
    }

    /// The result, once every question has an answer.
    fn outcome(&self) -> Option<Outcome> {
        let answered = !self.questions.is_empty() && self.questions.iter().all(|question| question.answer.is_some());
        answered.then(|| self.result("the name has no address"))
    }

    /// What there is when no server is left to ask.
    fn give_up(&self) -> Outcome {
        self.result(if self.unable { "the name servers cannot say" } else { "no answer from the name servers" })
    }

    fn result(&self, nothing: &'static str) -> Outcome {
        let mut addresses = Vec::new();
        let mut seconds = u32::MAX;
        let mut missing = false;
        for question in &self.questions {
            let (found, good) = match (&question.answer, &question.part) {
                (Some(Answer::Addresses(found, good)), _) => (found, good),
                (Some(Answer::NoSuchName), _) => {
                    missing = true;
                    continue;
                }
                // Where nobody answers over TCP, a part is better than nothing.
                (_, Some((found, good))) => (found, good),
                _ => continue,
            };
            if !found.is_empty() {
                addresses.extend_from_slice(found);
                seconds = seconds.min(*good);
            }
        }
        if !addresses.is_empty() {
            return Outcome::Found(addresses, seconds);
        }
        Outcome::Failed(if missing { "no such name" } else { nothing })
    }
}
