//! What those say who make connections.

use super::gateway::Fault;
use super::hosts::What;
use super::{Carrier, Fetch, Idle, Level};
use crate::exchange::Answer;
use std::collections::VecDeque;
use wit::tcp::{Cause, Event};
use wit::{INITIAL_CREDIT, Incoming};

impl Fetch {
    pub(super) fn of_tcp(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Attach(peer, _) => {
                // nothing is asked of the one before any more, and nothing of the new one before it is there
                self.tcp.detach(peer);
                self.lost(peer, "the box that made the connection was replaced");
                self.tcp.attach(peer, Carrier::default());
            }
            Incoming::Detach(peer, _) => {
                self.tcp.detach(peer);
                self.lost(peer, "the box that made the connection is gone");
            }
            Incoming::Retire(peer) => {
                self.tcp.retire(peer);
                let idle = core::mem::take(&mut self.idle).into_iter();
                let (gone, kept): (VecDeque<Idle>, _) = idle.partition(|idle| idle.link.peer == peer);
                self.idle = kept;
                gone.iter().for_each(|idle| self.abort(&idle.link));
            }
            Incoming::Record(peer, record) => match Event::decode(&record) {
                Ok(event) => self.event(peer, event),
                Err(_) => {
                    self.say(Level::Error, format!("tcp peer {peer}: a malformed record of kind {}", record.kind));
                }
            },
        }
    }

    fn event(&mut self, peer: u32, event: Event<'_>) {
        match event {
            Event::Secures => self.secures(peer),
            Event::Connected { connection, ticket } => self.connected(peer, connection, ticket),
            Event::Failed { ticket, cause, alert, why } => {
                self.dial_failed(ticket, &Fault { alert, ..Fault::new(cause, why) });
            }
            Event::Refused { id, why } => self.refused(id, why),
            Event::Data { connection, .. }
            | Event::Sent { connection, .. }
            | Event::Finished { connection }
            | Event::Closed { connection, .. } => match self.links.get(&(peer, connection)).copied() {
                Some(key) => self.link_event(key, event),
                None => self.idle_event(peer, connection, event),
            },
            Event::Listening { .. } | Event::Accepted { .. } | Event::Unknown { .. } => {}
        }
    }

    fn link_event(&mut self, key: usize, event: Event<'_>) {
        let (now, per) = (self.now, self.config.body_timeout);
        let deadline = self.until_answer(key);
        let exchange = &mut self.exchanges[key];
        let Some(link) = &mut exchange.link else { return };
        match event {
            Event::Data { data, .. } => {
                let waits = exchange.input.len() + data.len() + link.used as usize;
                if waits > INITIAL_CREDIT as usize {
                    return self.fail(key, &Fault::new(Cause::Answer, "more came than there was credit for"));
                }
                exchange.is_heard = true;
                exchange.answers.earn(now, data.len(), per);
                exchange.input.push(data);
            }
            Event::Sent { bytes, .. } => {
                link.credit = link.credit.saturating_add(bytes);
                exchange.goes.earn(now, bytes as usize, per);
            }
            Event::Finished { .. } => link.is_finished = true,
            Event::Closed { why, .. } => {
                (link.is_gone, link.is_finished) = (true, why.is_empty());
                let place = (link.peer, link.number);
                self.links.remove(&place);
                link.broken = (!why.is_empty()).then(|| why.into());
                return self.advance(key);
            }
            _ => {}
        }
        // A head and trailers are to be whole in time, however many of their bytes come.
        if !(matches!(event, Event::Data { .. }) && matches!(exchange.answer, Answer::Awaited | Answer::Trailers)) {
            exchange.deadline = deadline;
        }
        self.advance(key);
    }

    /// A connection that is kept has nothing to say but its end.
    fn idle_event(&mut self, peer: u32, connection: u32, event: Event<'_>) {
        let is_it = |link: &crate::exchange::Link| (link.peer, link.number) == (peer, connection);
        let Some(place) = self.idle.iter().position(|idle| is_it(&idle.link)) else { return };
        match event {
            Event::Sent { bytes, .. } => {
                let link = &mut self.idle[place].link;
                link.credit = link.credit.saturating_add(bytes);
            }
            Event::Closed { .. } => drop(self.idle.remove(place)),
            _ => {
                if let Some(idle) = self.idle.remove(place) {
                    self.abort(&idle.link);
                }
            }
        }
    }

    /// A peer knows nothing more of its connections, and of what it was asked for.
    fn lost(&mut self, peer: u32, why: &str) {
        self.idle.retain(|idle| idle.link.peer != peer);
        let tickets: Vec<u32> =
            self.asked.iter().filter(|(_, asked)| asked.peer == peer).map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            match self.asked.get(&ticket).map(|asked| &asked.what) {
                Some(What::Dial(_)) => self.dial_failed(ticket, &Fault::own(Cause::Unreachable, why)),
                _ => self.refused(ticket, why),
            }
        }
        for key in self.keys(|exchange| exchange.link.as_ref().is_some_and(|link| link.peer == peer)) {
            let Some(link) = self.exchanges[key].link.take() else { continue };
            self.unlink(&link);
            self.fail(key, &Fault::own(Cause::Terminated, why));
        }
    }
}
