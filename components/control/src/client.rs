//! The client's side of the channel: fed with what comes, leaves what is to be sent.

use crate::{
    channel::{Channel, ChannelError, Handshake, MAX_HANDSHAKE},
    frames::{self, Assembled, Inbox, MAX_FRAME},
    message::{self, Greeting, Hello, Request, Response, VERSION},
};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 8 << 20;

pub struct Client {
    state: State,
    inbox: Inbox,
    assembled: Assembled,
    out: Vec<u8>,
    next: u32,
}

enum State {
    Handshake(Box<Handshake>),
    Open(Box<Channel>),
    Over,
}

/// What has come from the node.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The node has proved this static key. Whoever knows that it is the right one goes on with [`Client::prove`].
    Key([u8; 32]),
    Greeting(Greeting),
    Response(u32, Response),
}

impl Client {
    /// Begins a handshake. Nobody may know the seed, and each is for one handshake only.
    pub fn new(seed: [u8; 32]) -> Result<Self, ChannelError> {
        let mut handshake = Handshake::of_client(seed)?;
        let mut out = Vec::new();
        frames::frame(&handshake.write()?, &mut out);
        let state = State::Handshake(Box::new(handshake));
        Ok(Client { state, inbox: Inbox::default(), assembled: Assembled::default(), out, next: 1 })
    }

    /// What is to be sent, once.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbox.add(bytes);
    }

    /// The next of what has come.
    pub fn hear(&mut self) -> Result<Option<Heard>, ChannelError> {
        loop {
            let most = if matches!(self.state, State::Handshake(_)) { MAX_HANDSHAKE } else { MAX_FRAME };
            let Some(frame) = self.inbox.next(most)? else { return Ok(None) };
            match std::mem::replace(&mut self.state, State::Over) {
                State::Handshake(mut handshake) => {
                    handshake.read(frame)?;
                    let channel = handshake.finish()?;
                    let key = *channel.remote().ok_or(ChannelError)?;
                    self.state = State::Open(Box::new(channel));
                    return Ok(Some(Heard::Key(key)));
                }
                State::Open(mut channel) => {
                    let plain = channel.open(frame)?;
                    self.state = State::Open(channel);
                    match self.assembled.add(&plain, MAX_ANSWER)? {
                        None => {}
                        Some((0, bytes)) => {
                            let greeting = message::decode(&bytes).ok_or(ChannelError)?;
                            return Ok(Some(Heard::Greeting(greeting)));
                        }
                        Some((id, bytes)) => {
                            let response = message::decode(&bytes).ok_or(ChannelError)?;
                            return Ok(Some(Heard::Response(id, response)));
                        }
                    }
                }
                State::Over => return Err(ChannelError),
            }
        }
    }

    /// Proves an ed25519 key: `sign` signs what it is given.
    pub fn prove(&mut self, key: [u8; 32], sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<(), ChannelError> {
        let State::Open(channel) = &mut self.state else { return Err(ChannelError) };
        let signature = sign(&channel.statement());
        let (first, second) = signature.split_at(32);
        let half = |half: &[u8]| half.try_into().map_err(|_| ChannelError);
        let hello = Hello { version: VERSION, key, signature: (half(first)?, half(second)?) };
        frames::seal(channel, 0, &message::encode(&hello), &mut self.out)
    }

    /// Asks something. Yields the number by which the answer is known.
    pub fn request(&mut self, request: &Request<'_>) -> Result<u32, ChannelError> {
        let State::Open(channel) = &mut self.state else { return Err(ChannelError) };
        let id = self.next;
        self.next = self.next.checked_add(1).ok_or(ChannelError)?;
        frames::seal(channel, id, &message::encode(request), &mut self.out)?;
        Ok(id)
    }
}
