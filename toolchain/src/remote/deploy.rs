//! An image goes to a node: what it lacks of it.

use super::{
    Deployed, Remote,
    connection::{Refusal, is_silence},
};
use crate::{linux::block_on, progress::Step};
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

/// How long one attempt to reach it may take, and what is between two.
const QUICK: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// What went over the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    pub blobs: usize,
    pub bytes: u64,
}

/// Sends a node all that it lacks of an image. `progress` is told what was sent so far.
pub fn send_image(remote: &mut Remote, image: &Image<'_>, mut progress: impl FnMut(Sent)) -> Result<Sent> {
    let blobs: HashMap<Hash, Blob<'_>> = image.blobs()?.into_iter().collect();
    let (all, mut files) = (image.all_assets()?, HashMap::new());
    for assets in &all {
        files.extend(assets.iter().map(|asset| (asset.hash(), asset)));
    }
    let mut copying = None;
    remote.number(&Request::Begin { manifest: image.manifest() })?;
    let mut sent = Sent::default();
    loop {
        let hashes = match remote.ask(&Request::Lacks)? {
            Response::Bytes(hashes) => hashes,
            Response::Number(left) => {
                let step = copying.get_or_insert_with(|| Step::start("The node copies what it has of the image"));
                step.at(&format!("{} MiB to go", left >> 20));
                continue;
            }
            _ => bail!("node {}: the answer is of another kind", remote.node),
        };
        if let Some(step) = copying.take() {
            step.done();
        }
        if hashes.is_empty() {
            return Ok(sent);
        }
        let mut under_way = VecDeque::new();
        for hash in hashes.as_chunks::<32>().0 {
            let name = Hash(*hash);
            let length = match (blobs.get(&name), files.get(&name)) {
                (Some(blob), _) => blob.len() as u64,
                (None, Some(asset)) => asset.size(),
                (None, None) => bail!("the node lacks what the image has not"),
            };
            let mut offset = 0;
            while offset < length {
                let read;
                let rest = match blobs.get(&name) {
                    Some(blob) => &blob[offset as usize..],
                    None => {
                        let piece =
                            files.get(&name).and_then(|asset| asset.piece(offset)).context("the image's file")?;
                        read = block_on(async { piece.verified(piece.read().await) })?;
                        &read[(offset - piece.offset) as usize..]
                    }
                };
                let whole = if blobs.contains_key(&name) { PART } else { rest.len() };
                for part in rest[..rest.len().min(whole)].chunks(PART) {
                    if under_way.len() >= UNDER_WAY {
                        taken(remote, &mut under_way)?;
                    }
                    under_way.push_back(remote.send(&Request::Put { hash: *hash, length, offset, part })?);
                    offset += part.len() as u64;
                    sent.bytes += part.len() as u64;
                    progress(sent);
                }
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

/// Waits for a deployment's end, and confirms it when it runs: by a connection that is made since then, which alone proves
/// that the node can still be reached and knows us. The control box may itself be one of those that change: then its
/// successor is asked. `progress` is told each step. `confirm`: how long the node waits for that before it goes back.
pub fn watch(
    remote: &mut Remote,
    number: u64,
    confirm: Duration,
    mut progress: impl FnMut(&Deployed),
) -> Result<Outcome> {
    let ours = remote.name.clone();
    loop {
        let error = match watch_one(remote, number, &ours, &mut progress) {
            Ok(outcome) => return Ok(outcome),
            Err(error) if error.is::<Refusal>() => return Err(error),
            Err(error) => error,
        };
        // a system that nobody reaches is gone by then, and the one of before back
        let until = Instant::now() + confirm + AWAY;
        let lost = || {
            format!(
                "deployment {number} goes on, and cannot be watched or confirmed from here; unless somebody confirms it \
                 within {} s of its start, the node goes back by itself: `pearwood confirm --node HOST`, with --accept-key=KEY \
                 if its key is another",
                confirm.as_secs()
            )
        };
        *remote = loop {
            match remote.again_within(QUICK) {
                Ok(again) => break again,
                Err(error) if error.is::<Refusal>() => return Err(error).context(lost()),
                Err(_) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(_) => return Err(error).context(lost()),
            }
        };
    }
}

/// `ours`: as the node called us when it was deployed.
fn watch_one(remote: &mut Remote, number: u64, ours: &str, progress: &mut impl FnMut(&Deployed)) -> Result<Outcome> {
    let id = remote.send(&Request::Watch { number })?;
    let mut confirms = Confirms::No;
    loop {
        let response = match confirms {
            Confirms::No | Confirms::Done => remote.follow(id)?,
            Confirms::Again => match remote.answer(id, PAUSE) {
                Err(error) if is_silence(&error) => {
                    confirms = confirm(remote, number, ours, confirms);
                    continue;
                }
                answer => answer?,
            },
        };
        match response {
            Response::More(text) => {
                let record = serde_json::from_str(&text)?;
                progress(&record);
                confirms = match (record.confirm_by, confirms) {
                    // steps of before it was confirmed may still be told
                    (_, Confirms::Done) => Confirms::Done,
                    (Some(_), before) => confirm(remote, number, ours, before),
                    (None, _) => Confirms::No,
                };
            }
            Response::Text(text) => {
                let record: Deployed = serde_json::from_str(&text)?;
                let is_done = record.step == "done";
                return Ok(Outcome { record, is_done });
            }
            _ => bail!("node {}: the answer is of another kind", remote.node),
        }
    }
}

/// Whether a deployment is still to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirms {
    No,
    /// It was tried in vain.
    Again,
    /// It was confirmed, or the node does not let us.
    Done,
}

fn confirm(remote: &Remote, number: u64, ours: &str, before: Confirms) -> Confirms {
    let mut is_final = false;
    let confirmed = remote.again_within(QUICK).and_then(|mut anew| {
        // the new system may call the key that deployed it by another name
        let other = anew.name != ours;
        let answer = anew.ask(&Request::Confirm { number: Some(number), since: 0, other });
        // A connection that is refused may be let in later; what is said about the deployment itself stays so.
        is_final = answer.as_ref().is_err_and(|error| error.is::<Refusal>());
        answer
    });
    match confirmed {
        Ok(_) => Confirms::Done,
        Err(error) => {
            if is_final || before == Confirms::No {
                eprintln!("deployment {number} cannot be confirmed{}: {error:#}", if is_final { "" } else { " yet" });
            }
            if is_final { Confirms::Done } else { Confirms::Again }
        }
    }
}
