//! A client of a node's control box, for what the `pearwood` command does not do.

use crate::node::PATIENCE;
use control::{Client, Heard, message::Greeting};
use manage::{Request, Response, Settings};
use serde_json::Value;
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpStream,
};
use wasm_host::image::{Blob, Hash, Image, SecretKey};

/// Bytes of a blob in one request.
const PART: usize = 30 << 10;

/// A connection that has proved a key.
pub struct Session {
    stream: TcpStream,
    client: Client,
    /// all that was sent
    pub spoken: Vec<u8>,
}

impl Session {
    /// Connects, and takes part in the handshake. `seed`: each for one session only.
    pub fn shake(address: &str, seed: [u8; 32]) -> Self {
        let stream = TcpStream::connect(address).expect("the control box's port");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut session = Session { stream, client: Client::new(seed).expect("a handshake"), spoken: Vec::new() };
        match session.hear() {
            Some(Heard::Key(_)) => session,
            other => panic!("{other:?}"),
        }
    }

    /// The same, and proves a key. The error is the node's.
    pub fn enter(address: &str, key: &SecretKey, seed: [u8; 32]) -> Result<Self, String> {
        let mut session = Self::shake(address, seed);
        session.client.prove(key.public().to_bytes(), |statement| key.sign(statement)).expect("a proof");
        match session.hear() {
            Some(Heard::Greeting(Greeting::Welcome { .. })) => Ok(session),
            Some(Heard::Greeting(Greeting::Refused(why))) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    /// The same; None if the node ends the connection before it has answered.
    pub fn try_enter(address: &str, key: &SecretKey, seed: [u8; 32]) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut session = Session { stream, client: Client::new(seed).expect("a handshake"), spoken: Vec::new() };
        session.hear()?;
        session.client.prove(key.public().to_bytes(), |statement| key.sign(statement)).expect("a proof");
        matches!(session.hear()?, Heard::Greeting(Greeting::Welcome { .. })).then_some(session)
    }

    /// What comes next. None: the node has ended the connection.
    fn hear(&mut self) -> Option<Heard> {
        let out = self.client.take_output();
        self.spoken.extend_from_slice(&out);
        // it may have ended the connection
        let _ = self.stream.write_all(&out);
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(heard) = self.client.hear().expect("the protocol") {
                return Some(heard);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.client.receive(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The answer to a request. None: the node has ended the connection.
    pub fn try_ask(&mut self, request: &Request<'_>) -> Option<Response> {
        let id = self.client.request(request).expect("a request");
        match self.hear()? {
            Heard::Response(heard, response) if heard == id => Some(response),
            other => panic!("{other:?}"),
        }
    }

    /// The answer to a request; if it is refused, why.
    pub fn ask(&mut self, request: &Request<'_>) -> Result<Response, String> {
        match self.try_ask(request).expect("an answer") {
            Response::Refused(why) => Err(why),
            response => Ok(response),
        }
    }

    /// Brings an image. `change` may change what is brought of a blob.
    pub fn bring(&mut self, image: &Image<'_>, mut change: impl FnMut(&mut Vec<u8>)) -> Result<(), String> {
        self.bring_as(image.manifest().to_vec(), image, &mut change)
    }

    pub fn bring_as(
        &mut self,
        manifest: Vec<u8>,
        image: &Image<'_>,
        change: &mut impl FnMut(&mut Vec<u8>),
    ) -> Result<(), String> {
        let blobs: HashMap<Hash, Blob<'_>> = image.blobs().expect("its blobs").into_iter().collect();
        self.ask(&Request::Begin { manifest: &manifest })?;
        loop {
            let Response::Bytes(hashes) = self.ask(&Request::Lacks)? else { panic!("no hashes") };
            if hashes.is_empty() {
                return Ok(());
            }
            for hash in hashes.as_chunks::<32>().0 {
                let mut blob = blobs[&Hash(*hash)].to_vec();
                change(&mut blob);
                for (index, part) in blob.chunks(PART).enumerate() {
                    let (length, offset) = (blobs[&Hash(*hash)].len() as u64, (index * PART) as u64);
                    self.ask(&Request::Put { hash: *hash, length, offset, part })?;
                }
            }
        }
    }

    /// Begins to deploy what was brought. Yields the deployment's number.
    pub fn deploy(&mut self, settings: &Settings) -> Result<u64, String> {
        match self.ask(&Request::Deploy(settings.clone()))? {
            Response::Number(number) => Ok(number),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end of a deployment. Yields the record; None if the connection has ended, as it does when its way
    /// to the node is replaced.
    pub fn watch(&mut self, number: u64) -> Option<Value> {
        let id = self.client.request(&Request::Watch { number }).expect("a request");
        loop {
            match self.hear()? {
                Heard::Response(heard, Response::More(_)) if heard == id => {}
                Heard::Response(heard, Response::Text(text)) if heard == id => {
                    return Some(serde_json::from_str(&text).expect("JSON"));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn describe(&mut self) -> Value {
        match self.ask(&Request::Describe) {
            Ok(Response::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }
}
