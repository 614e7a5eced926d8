//! What a client follows: logs, and deployments.

use crate::{
    message::{LogLine, LogLines, Request, Response},
    power::Power,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What one client may follow at once.
const MOST: usize = 8;

/// Boxes whose logs are followed together.
const MAX_BOXES: usize = 512;

#[derive(Default)]
pub struct Streams(BTreeMap<u32, Stream>);

enum Stream {
    /// The next line of each box.
    Logs { name: Option<String>, next: BTreeMap<String, u64> },
    /// The record that was said last.
    Watch { number: u64, said: String },
}

impl Streams {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn cancel(&mut self, id: u32) {
        self.0.remove(&id);
    }

    fn add(&mut self, id: u32, stream: Stream) -> Option<Response> {
        if self.0.len() >= MOST {
            return Some(Response::Refused(format!("{MOST} logs and deployments are followed already")));
        }
        self.0.insert(id, stream);
        None
    }

    /// The lines that there are; followed or not, they come as one response.
    pub fn logs(&mut self, id: u32, name: Option<&str>, follow: bool, power: &mut impl Power) -> Option<Response> {
        if let Some(name) = name
            && let Err(why) = power.text(&Request::Lines { name, first: u64::MAX })
        {
            return Some(Response::Refused(why));
        }
        let mut next = BTreeMap::new();
        let lines = lines(name, &mut next, power);
        if !follow {
            return Some(Response::Text(json(&lines)));
        }
        // what there is now comes with the first look
        drop(lines);
        self.add(id, Stream::Logs { name: name.map(Into::into), next: BTreeMap::new() })
    }

    pub fn watch(&mut self, id: u32, number: u64, power: &mut impl Power) -> Option<Response> {
        match record(number, power) {
            None => Some(Response::Refused(format!("there was no deployment {number} since the node's boot"))),
            Some(Record { text, is_over: true }) => Some(Response::Text(text)),
            Some(_) => self.add(id, Stream::Watch { number, said: String::new() }),
        }
    }

    /// What has come since the last look.
    pub fn look(&mut self, power: &mut impl Power) -> Vec<(u32, Response)> {
        let mut responses = Vec::new();
        self.0.retain(|&id, stream| match stream {
            Stream::Logs { name, next } => {
                let lines = lines(name.as_deref(), next, power);
                if !lines.is_empty() {
                    responses.push((id, Response::More(json(&lines))));
                }
                true
            }
            Stream::Watch { number, said } => match record(*number, power) {
                Some(Record { text, is_over: false }) => {
                    if text != *said {
                        said.clone_from(&text);
                        responses.push((id, Response::More(text)));
                    }
                    true
                }
                Some(Record { text, .. }) => {
                    responses.push((id, Response::Text(text)));
                    false
                }
                None => {
                    responses.push((id, Response::Refused(format!("deployment {number} was forgotten"))));
                    false
                }
            },
        });
        responses
    }
}

fn json(lines: &[LogLines]) -> String {
    serde_json::to_string(lines).unwrap_or_default()
}

#[derive(Deserialize)]
struct Description {
    boxes: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn lines(name: Option<&str>, next: &mut BTreeMap<String, u64>, power: &mut impl Power) -> Vec<LogLines> {
    let names: Vec<String> = match name {
        Some(name) => vec![name.into()],
        None => {
            let description = power.text(&Request::Describe).ok();
            let description = description.and_then(|text| serde_json::from_str::<Description>(&text).ok());
            description.map_or_else(Vec::new, |all| all.boxes.into_iter().map(|named| named.name).collect())
        }
    };
    next.retain(|name, _| names.contains(name));
    let mut all = Vec::new();
    for name in names.into_iter().take(MAX_BOXES) {
        let first = next.get(&name).copied().unwrap_or_default();
        let Ok(text) = power.text(&Request::Lines { name: &name, first }) else { continue };
        let Ok(lines) = serde_json::from_str::<Vec<LogLine>>(&text) else { continue };
        if let Some(last) = lines.last() {
            next.insert(name.clone(), last.number + 1);
            all.push(LogLines { name, lines });
        }
    }
    all
}

struct Record {
    text: String,
    is_over: bool,
}

fn record(number: u64, power: &mut impl Power) -> Option<Record> {
    let history: Value = serde_json::from_str(&power.text(&Request::History).ok()?).ok()?;
    let record = history.as_array()?.iter().rev().find(|record| record["number"] == number)?;
    Some(Record { text: record.to_string(), is_over: !record["ended"].is_null() })
}
