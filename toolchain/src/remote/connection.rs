//! The channel to a node's control box, over a TCP connection.

use crate::keys::{Known, KnownNodes};
use crate::system::known::CONTROL;
use crate::system::{BoxSpec, System};
use anyhow::{Context, Result, anyhow, bail};
use control::message::Greeting;
use control::{Client, Heard, Identity, hex};
use manage::{Request, Response, Role};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasm_host::image::SecretKey;

/// How long the node may take to let us in, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the node is told that we are still there.
const PING: Duration = Duration::from_secs(30);

/// Which key of a node is taken for right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// the one that is known
    Known,
    /// any, if none is known
    FirstUse,
    This([u8; 32]),
    /// any, and it is not kept: of a node that was just started here
    Any,
}

/// A node that has let us in.
pub struct Remote {
    pub node: String,
    pub role: Role,
    /// as the node calls us
    pub name: String,
    key: Arc<SecretKey>,
    key_name: String,
    accept: Accept,
    /// keys of the node's that are right as well: those that it had before, and will have
    keys: Vec<[u8; 32]>,
    stream: TcpStream,
    client: Client,
}

impl Remote {
    pub fn connect(node: &str, key: SecretKey, key_name: &str, accept: Accept) -> Result<Self> {
        Self::join(node, Arc::new(key), key_name, accept, Vec::new(), PATIENCE)
    }

    /// Another connection to the same node: the one that there was has ended.
    pub fn again(&self) -> Result<Self> {
        self.again_within(PATIENCE)
    }

    /// The same, with less patience.
    pub fn again_within(&self, patience: Duration) -> Result<Self> {
        let (key, keys) = (self.key.clone(), self.keys.clone());
        Self::join(&self.node, key, &self.key_name, self.accept, keys, patience)
    }

    fn join(
        node: &str,
        key: Arc<SecretKey>,
        key_name: &str,
        accept: Accept,
        keys: Vec<[u8; 32]>,
        patience: Duration,
    ) -> Result<Self> {
        let stream = open(node, patience)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| anyhow!("no randomness: {error}"))?;
        let client = Client::new(seed)?;
        let (role, name) = (Role::View, String::new());
        let mut remote =
            Remote { node: node.into(), role, name, key, key_name: key_name.into(), accept, keys, stream, client };
        let no_control = || format!("{node} did not answer as a control box does");
        let Heard::Key(found) = remote.hear(patience).with_context(no_control)? else { bail!("{}", no_control()) };
        remote.judge(&found)?;
        if !remote.keys.contains(&found) {
            remote.keys.push(found);
        }
        let public = remote.key.public().to_bytes();
        let Remote { client, key, .. } = &mut remote;
        client.prove(public, |statement| key.sign(statement))?;
        match remote.hear(PATIENCE).with_context(no_control)? {
            Heard::Greeting(Greeting::Welcome { role, name }) => {
                (remote.role, remote.name) = (role, name);
                Ok(remote)
            }
            Heard::Greeting(Greeting::Refused(why)) => {
                let name = &remote.key_name;
                Err(refusal(format!("node {node} refuses the key `{name}` ({}): {why}", hex(&public))))
            }
            _ => bail!("{}", no_control()),
        }
    }

    /// Whether the node's key is the right one.
    fn judge(&self, found: &[u8; 32]) -> Result<()> {
        let (node, known) = (&self.node, KnownNodes::of_user()?);
        match (known.look(node, found)?, self.accept) {
            (_, Accept::This(key)) if key != *found => Err(refusal(format!(
                "node {node} has another key than the one to accept\n    its key is    {}\n    to accept is  {}",
                hex(found),
                hex(&key)
            ))),
            (Known::Same, _) | (_, Accept::Any) => Ok(()),
            (Known::Other(_), _) if self.keys.contains(found) => known.remember(node, found),
            (Known::Unknown, Accept::FirstUse) | (_, Accept::This(_)) => {
                known.remember(node, found)?;
                eprintln!("node {node} is known from now on by its key {}", hex(found));
                Ok(())
            }
            (Known::Unknown, Accept::Known) => Err(refusal(format!(
                "node {node} is not known yet\n    its key is  {}\n\
                 Compare it with the one in the log of its control box. If they are the same, repeat the command with \
                 --accept-key; the key is then kept in {}",
                hex(found),
                known.path().display()
            ))),
            (Known::Other(old), _) => Err(refusal(format!(
                "the key of node {node} has changed\n    known was   {}\n    its key is  {}\n\
                 Without `config.secret`, a control box has another key at each boot of its node. If the log of the \
                 control box shows this one, repeat the command with --accept-key={}. Otherwise somebody else answers.",
                hex(&old),
                hex(found),
                hex(found)
            ))),
        }
    }

    /// Whether the node would do such a thing for us: worth knowing before much is built or sent.
    pub fn may(&self, request: &Request<'_>) -> Result<()> {
        let (needs, what) = (request.needs(), request.what());
        if self.role >= needs {
            return Ok(());
        }
        let Remote { node, name, role, key_name, .. } = self;
        Err(refusal(format!(
            "on node {node}, {name} may not {what}: this needs the role `{needs}`, and the key `{key_name}` has `{role}`"
        )))
    }

    /// The key that the node will have with that system is right: it follows from a setting.
    pub fn expect(&mut self, system: &System) {
        let secret = controlling(system).and_then(|spec| spec.config.iter().find(|(key, _)| *key == "secret"));
        self.keys.extend(secret.map(|(_, secret)| *Identity::derive(secret.as_bytes()).public()));
    }

    /// What we could not do any more on this node if that system ran there.
    pub fn lockout(&self, system: &System) -> Option<String> {
        let settings =
            controlling(system).map(|spec| spec.config.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        control::lockout(settings, &self.key.public().to_bytes(), self.role)
    }

    /// Asks, and waits for the answer. What is refused is an error; an array that comes in pieces is put together.
    pub fn ask(&mut self, request: &Request<'_>) -> Result<Response> {
        let id = self.send(request)?;
        let items = |array: &str| array.trim().trim_start_matches('[').trim_end_matches(']').to_string();
        let mut pieces = Vec::new();
        loop {
            match self.answer(id, PATIENCE)? {
                Response::More(piece) => pieces.push(items(&piece)),
                Response::Text(last) if !pieces.is_empty() => {
                    pieces.push(items(&last));
                    pieces.retain(|piece| !piece.is_empty());
                    return Ok(Response::Text(format!("[{}]", pieces.join(","))));
                }
                answer => return Ok(answer),
            }
        }
    }

    pub fn text(&mut self, request: &Request<'_>) -> Result<String> {
        match self.ask(request)? {
            Response::Text(text) => Ok(text),
            _ => bail!("node {}: the answer is of another kind", self.node),
        }
    }

    pub fn number(&mut self, request: &Request<'_>) -> Result<u64> {
        match self.ask(request)? {
            Response::Number(number) => Ok(number),
            _ => bail!("node {}: the answer is of another kind", self.node),
        }
    }

    /// Asks without waiting.
    pub fn send(&mut self, request: &Request<'_>) -> Result<u32> {
        let id = self.client.request(request)?;
        self.flush()?;
        Ok(id)
    }

    /// The next answer to a request: those to others are passed over.
    pub fn answer(&mut self, id: u32, patience: Duration) -> Result<Response> {
        let until = Instant::now() + patience;
        loop {
            match self.hear(until.saturating_duration_since(Instant::now()))? {
                Heard::Response(heard, Response::Refused(why)) if heard == id => {
                    let (node, key, role) = (&self.node, &self.key_name, self.role);
                    return Err(refusal(format!("node {node} refuses (key `{key}`, role `{role}`): {why}")));
                }
                Heard::Response(heard, response) if heard == id => return Ok(response),
                Heard::Response(..) => {}
                _ => bail!("node {} said what was not asked", self.node),
            }
        }
    }

    /// The next answer to a request that goes on, however long it takes.
    pub fn follow(&mut self, id: u32) -> Result<Response> {
        loop {
            match self.answer(id, PING) {
                Err(error) if error.downcast_ref::<Silent>().is_some() => {
                    self.send(&Request::Ping)?;
                }
                answer => return answer,
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        let out = self.client.take_output();
        self.stream.write_all(&out).with_context(|| format!("node {} has ended the connection", self.node))
    }

    fn hear(&mut self, patience: Duration) -> Result<Heard> {
        self.flush()?;
        let until = Instant::now() + patience;
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(heard) = self.client.hear()? {
                return Ok(heard);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(anyhow!(Silent(self.node.clone())));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("node {} has ended the connection", self.node),
                Ok(length) => self.client.receive(&buffer[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).with_context(|| format!("the connection to node {}", self.node)),
            }
        }
    }
}

/// The box that has the power over the node.
fn controlling(system: &System) -> Option<&BoxSpec> {
    system.boxes.iter().find(|spec| spec.arrows.iter().any(|arrow| arrow.interface.path() == CONTROL))
}

/// Whether it was the node that said no, and not the network.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    error.is::<Refusal>()
}

/// Whether nothing came in time: the connection is as it was.
pub fn is_silence(error: &anyhow::Error) -> bool {
    error.is::<Silent>()
}

fn refusal(why: String) -> anyhow::Error {
    anyhow!(Refusal(why))
}

/// The node does not do what it is asked, or is not the one that it should be: asking again is no use.
#[derive(Debug)]
pub struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Nothing came in time.
#[derive(Debug)]
struct Silent(String);

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} does not answer", self.0)
    }
}

impl std::error::Error for Silent {}

fn open(node: &str, patience: Duration) -> Result<TcpStream> {
    let addresses = node.to_socket_addrs().with_context(|| format!("node {node} is not found"))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    let hint = "does its system have a control box, with keys, that listens there?";
    match last {
        Some(error) => Err(error).with_context(|| format!("node {node} cannot be reached; {hint}")),
        None => bail!("node {node} has no address"),
    }
}
