//! An image goes to a node: what it lacks of it.

use super::{Deployed, Remote, connection::Refusal};
use anyhow::{Context, Result, bail};
use manage::{Request, Response};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use wasm_host::image::{Blob, Hash, Image};

/// Bytes of a blob in one request.
const PART: usize = 30 << 10;

/// Requests that may be without an answer.
const UNDER_WAY: usize = 16;

/// How long a part may take to be taken.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the control box may be away while another takes its place.
const AWAY: Duration = Duration::from_secs(30);

/// What went over the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    pub blobs: usize,
    pub bytes: u64,
}

/// Sends a node all that it lacks of an image. `progress` is told what was sent so far.
pub fn send_image(remote: &mut Remote, image: &Image<'_>, mut progress: impl FnMut(Sent)) -> Result<Sent> {
    let blobs: HashMap<Hash, Blob<'_>> = image.blobs()?.into_iter().collect();
    remote.number(&Request::Begin { manifest: image.manifest() })?;
    let mut sent = Sent::default();
    loop {
        let Response::Bytes(hashes) = remote.ask(&Request::Lacks)? else {
            bail!("node {}: the answer is of another kind", remote.node)
        };
        if hashes.is_empty() {
            return Ok(sent);
        }
        let mut under_way = VecDeque::new();
        for hash in hashes.as_chunks::<32>().0 {
            let blob = blobs.get(&Hash(*hash)).context("the node lacks what the image has not")?;
            for (index, part) in blob.chunks(PART).enumerate() {
                if under_way.len() >= UNDER_WAY {
                    taken(remote, &mut under_way)?;
                }
                let (length, offset) = (blob.len() as u64, (index * PART) as u64);
                under_way.push_back(remote.send(&Request::Put { hash: *hash, length, offset, part })?);
                sent.bytes += part.len() as u64;
                progress(sent);
            }
            sent.blobs += 1;
        }
        while !under_way.is_empty() {
            taken(remote, &mut under_way)?;
        }
        progress(sent);
    }
}

fn taken(remote: &mut Remote, under_way: &mut VecDeque<u32>) -> Result<()> {
    if let Some(id) = under_way.pop_front() {
        remote.answer(id, PATIENCE)?;
    }
    Ok(())
}

/// How a deployment ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub record: Deployed,
    pub is_done: bool,
}

/// Waits for a deployment's end. `progress` is told each step. The control box may itself be one of those that change:
/// then its successor is asked.
pub fn watch(remote: &mut Remote, number: u64, mut progress: impl FnMut(&Deployed)) -> Result<Outcome> {
    loop {
        let error = match watch_one(remote, number, &mut progress) {
            Ok(outcome) => return Ok(outcome),
            Err(error) if error.is::<Refusal>() => return Err(error),
            Err(error) => error,
        };
        let until = Instant::now() + AWAY;
        *remote = loop {
            match remote.again() {
                Ok(again) => break again,
                Err(error) if error.is::<Refusal>() => {
                    return Err(error).context(format!("deployment {number} goes on, and cannot be watched"));
                }
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(200)),
                Err(_) => return Err(error).context(format!("deployment {number} goes on, and cannot be watched")),
            }
        };
    }
}

fn watch_one(remote: &mut Remote, number: u64, progress: &mut impl FnMut(&Deployed)) -> Result<Outcome> {
    let id = remote.send(&Request::Watch { number })?;
    loop {
        match remote.follow(id)? {
            Response::More(text) => progress(&serde_json::from_str(&text)?),
            Response::Text(text) => {
                let record: Deployed = serde_json::from_str(&text)?;
                let is_done = record.step == "done";
                return Ok(Outcome { record, is_done });
            }
            _ => bail!("node {}: the answer is of another kind", remote.node),
        }
    }
}
