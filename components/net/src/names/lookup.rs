//! One lookup under way: the questions, the server that is asked, and when to ask again.

use super::message::{self, Answer, Family, Name};
use crate::datagrams::Datagrams;
use crate::link::Link;
use crate::random::Random;
use core::net::{IpAddr, Ipv6Addr};
use smoltcp::iface::SocketHandle;
use smoltcp::wire::IpEndpoint;

const DNS: u16 = 53;
const SECOND: u64 = 1_000_000_000;
/// How long a server may think.
const PATIENCE: u64 = 2 * SECOND;
/// How often each server is asked.
const ROUNDS: usize = 2;
/// How long to wait for a server to become known, or reachable: an address may be on its way.
const SERVERLESS: u64 = 10 * SECOND;

#[derive(Debug)]
struct Question {
    family: Family,
    id: u16,
    answer: Option<Answer>,
}

pub struct Lookup {
    pub peer: u32,
    pub ticket: u32,
    pub name: Name,
    pub handle: SocketHandle,
    questions: Vec<Question>,
    /// the server being asked
    server: Option<IpEndpoint>,
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

impl Lookup {
    pub fn new(peer: u32, ticket: u32, name: Name, handle: SocketHandle, now: u64) -> Self {
        Lookup {
            peer,
            ticket,
            name,
            handle,
            questions: Vec::new(),
            server: None,
            asked: 0,
            unable: false,
            began: now,
            deadline: now,
        }
    }

    /// Reads what has come, and asks when it is time to.
    pub fn step(
        &mut self,
        now: u64,
        servers: &[IpAddr],
        families: &[Family],
        datagrams: &mut Datagrams,
        link: &mut Link,
        random: &mut Random,
    ) -> Outcome {
        let refused = self.receive(datagrams);
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        if now < self.deadline && !refused {
            return Outcome::Pending;
        }
        if self.questions.is_empty() {
            let question = |&family| Question { family, id: random.u16(), answer: None };
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
            datagrams.senders.send(now, port, server, &query, link);
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
                    Some(answer) => question.answer = Some(answer),
                    None => continue,
                }
                break;
            }
        }
        self.unable |= unable;
        unable
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
            match &question.answer {
                Some(Answer::Addresses(found, good)) if !found.is_empty() => {
                    addresses.extend_from_slice(found);
                    seconds = seconds.min(*good);
                }
                Some(Answer::NoSuchName) => missing = true,
                _ => {}
            }
        }
        if !addresses.is_empty() {
            return Outcome::Found(addresses, seconds);
        }
        Outcome::Failed(if missing { "no such name" } else { nothing })
    }
}
