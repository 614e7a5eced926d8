//! The service's port of `pearwood:http/handler`, held for a box whose exports are called.

use super::{
    Exchange, Fault, Fields, FieldsError, RequestHead, Side,
    exchange::scheme,
    hub::{BUSY, Hub, Refusal, Why},
};
use crate::{
    arrows::channel::{Port, Refused},
    boxes::{BoxHandle, Budget, Charge, log::Level},
};
use alloc::{collections::VecDeque, string::String, sync::Arc};
use spin::Mutex;
use wit::{
    Incoming,
    http::{Command, Head},
};

/// Requests that may wait for an instance. What they hold is charged.
const WAITING: usize = 256;

pub struct Server {
    hub: Arc<Hub>,
    budget: Arc<Budget>,
    /// requests that wait for an instance
    queue: Mutex<VecDeque<Asked>>,
}

/// A request that has come.
#[derive(Debug)]
pub struct Asked {
    pub exchange: Arc<Exchange>,
    pub head: RequestHead,
}

impl Server {
    pub fn new(port: &Arc<Port>, budget: &Arc<Budget>) -> Self {
        Server { hub: Hub::new(port, budget), budget: budget.clone(), queue: Mutex::default() }
    }

    /// Takes in what clients have said.
    pub fn receive(&self) {
        let mut received = self.hub.receive();
        for incoming in wit::incoming(received.buffer()).flatten() {
            match incoming {
                Incoming::Attach(peer, _) => self.hub.attach(peer),
                Incoming::Detach(peer, why) => self.hub.detach(peer, why),
                Incoming::Retire(_) => {}
                Incoming::Record(peer, record) => {
                    if let Ok(command) = Command::decode(&record) {
                        self.command(peer, command);
                    }
                }
            }
        }
        self.queue.lock().retain(|request| !request.exchange.is_over());
    }

    /// Whether a client is there.
    pub fn has_peers(&self) -> bool {
        self.hub.any_attached()
    }

    /// Says in the box's log that a client was cut off, if one was since this was last called.
    pub fn tell_cut_off(&self, handle: &BoxHandle) {
        if self.hub.take_cut_off() {
            handle.write(Level::Warn, "a client that takes none of its answers is not heard until it starts again");
        }
    }

    fn command(&self, peer: u32, command: Command<'_>) {
        let (Command::Request { request: id, .. }
        | Command::Body { request: id, .. }
        | Command::End { request: id }
        | Command::Credit { request: id, .. }
        | Command::Trailers { request: id, .. }
        | Command::Cancel { request: id }) = command
        else {
            return;
        };
        if self.hub.is_cut_off(peer) {
            return;
        }
        let known = self.hub.get(peer, id);
        match (command, known) {
            (Command::Request { head, .. }, known) => {
                // No honest client asks twice under one number.
                known.into_iter().for_each(|exchange| exchange.broken(Fault::Cancelled));
                if let Err(why) = self.request(peer, id, &head) {
                    self.hub.refuse(peer, Refusal { request: id, why, is_head: head.method == "HEAD" });
                }
            }
            (Command::Body { data, .. }, Some(exchange)) => exchange.heard_body(data),
            (Command::End { .. }, Some(exchange)) => exchange.heard_end(),
            (Command::Credit { bytes, .. }, Some(exchange)) => exchange.heard_credit(bytes),
            (Command::Trailers { lines, .. }, Some(exchange)) => {
                exchange.heard_trailers(Fields::from_trailers(&self.budget, lines));
            }
            (Command::Cancel { .. }, Some(exchange)) => exchange.broken(Fault::Cancelled),
            // it is over, which the client has not heard yet
            (_, None) | (Command::Unknown { .. }, _) => {}
        }
    }

    fn request(&self, peer: u32, id: u32, head: &Head<'_>) -> Result<(), Why> {
        let mut queue = self.queue.lock();
        if queue.len() >= WAITING {
            return Err(Why::Busy);
        }
        let fields = Fields::of_request(&self.budget, head.headers, head.remote, scheme(head.scheme));
        let fields = fields.map_err(|error| match error {
            FieldsError::TooLarge => Why::TooLarge,
            _ => Why::Malformed,
        })?;
        let text = 2 * (head.method.len() + head.target.len() + head.authority.len());
        let base = Exchange::SIZE + size_of::<Asked>() + text;
        let charge = Charge::new(&self.budget, base).ok_or(Why::Busy)?;
        let is_head = head.method == "HEAD";
        let exchange = Exchange::new(Side::Service, &self.hub, (peer, id), is_head, (base, charge));
        let head = RequestHead {
            method: head.method.into(),
            target: head.target.into(),
            authority: String::from_utf8_lossy(head.authority).into(),
            scheme: head.scheme,
            fields,
        };
        queue.push_back(Asked { exchange: exchange.ok_or(Why::Busy)?, head });
        Ok(())
    }

    /// The request that waits longest.
    pub fn next(&self) -> Option<Asked> {
        let mut queue = self.queue.lock();
        core::iter::from_fn(|| queue.pop_front()).find(|request| !request.exchange.is_over())
    }

    /// It was not its turn after all.
    pub fn put_back(&self, request: Asked) {
        self.queue.lock().push_front(request);
    }

    pub fn is_waited_for(&self) -> bool {
        !self.queue.lock().is_empty()
    }

    /// Sends what has been said to clients.
    pub fn flush(&self) -> Result<(), Refused> {
        self.hub.flush()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.close();
    }
}

/// Too many requests are there already.
pub fn busy(exchange: &Exchange) {
    exchange.answer(503, "retry-after: 1\r\n", BUSY);
}
