//! What an instance's faces keep.

use super::{http::Client, keyvalue::Buckets};
use crate::boxes::{BoxHandle, Budget, Charge, log::Level, log::MAX_LINE};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use spin::Mutex;
use wasmtime::{
    Error, Result,
    component::{Resource, ResourceTable},
};

/// What a resource takes beside its own size, with what is made for it.
const RESOURCE: usize = 192;

/// Resources that an instance may keep from one request to the next.
const KEPT: usize = 64;

pub struct Context {
    /// never contended: the lock makes of it what may be looked at from anywhere
    table: Mutex<ResourceTable>,
    /// for what is in the table
    charge: Charge,
    /// for what is on its way to the box
    passing: Charge,
    pub budget: Arc<Budget>,
    /// where its requests go, if it has an arrow for them
    pub client: Option<Arc<Client>>,
    /// what it keeps, if it has an arrow for that
    pub buckets: Option<Arc<Buckets>>,
    lines: [Vec<u8>; 2],
}

/// Where a box writes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    Out,
    Err,
}

impl Context {
    /// `most`: resources that it may have at once. What they take is charged.
    pub fn new(budget: &Arc<Budget>, most: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(most);
        Context {
            table: Mutex::new(table),
            charge: Charge::none(budget),
            passing: Charge::none(budget),
            budget: budget.clone(),
            client: None,
            buckets: None,
            lines: Default::default(),
        }
    }

    pub fn push<T: Send + 'static>(&mut self, resource: T) -> Result<Resource<T>> {
        if !self.charge.resize(self.charge.bytes() as usize + size_of::<T>() + RESOURCE) {
            return Err(Error::msg("its memory limit leaves no room for another resource"));
        }
        let table = self.table.get_mut();
        let most = table.max_capacity();
        table.push(resource).map_err(|_| Error::msg(format!("has {most} resources and wants more")))
    }

    pub fn get<T: 'static>(&mut self, resource: &Resource<T>) -> Result<&mut T> {
        Ok(self.table.get_mut().get_mut(resource)?)
    }

    pub fn take<T: 'static>(&mut self, resource: Resource<T>) -> Result<T> {
        let taken = self.table.get_mut().delete(resource)?;
        self.charge.resize((self.charge.bytes() as usize).saturating_sub(size_of::<T>() + RESOURCE));
        Ok(taken)
    }

    /// Pays for bytes that a function gives the box, until it gives others.
    pub fn pass(&mut self, bytes: usize) -> Result<()> {
        match self.passing.resize(bytes) {
            true => Ok(()),
            false => Err(Error::msg(format!("asked for {bytes} bytes at once, and its memory limit leaves less"))),
        }
    }

    /// Whether so much is left of earlier requests that a fresh instance is better.
    pub fn is_littered(&mut self) -> bool {
        self.table.get_mut().iter_mut().nth(KEPT).is_some()
    }

    /// Whether nothing is left of earlier requests.
    pub fn is_empty(&mut self) -> bool {
        self.table.get_mut().iter_mut().next().is_none()
    }

    /// How many resources there are.
    pub fn resources(&mut self) -> usize {
        self.table.get_mut().iter_mut().count()
    }

    /// Takes text of a box, and writes the lines that it completes to the box's log.
    pub fn text(&mut self, handle: &BoxHandle, to: Text, bytes: &[u8]) {
        let line = &mut self.lines[to as usize];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            // what is beyond a line's limit is not kept
            line.extend_from_slice(&text[..text.len().min(MAX_LINE.saturating_sub(line.len()))]);
            if ends {
                write(handle, to, line);
            }
        }
    }

    /// Writes the lines that were begun.
    pub fn flush_text(&mut self, handle: &BoxHandle) {
        for to in [Text::Out, Text::Err] {
            let line = &mut self.lines[to as usize];
            if !line.is_empty() {
                write(handle, to, line);
            }
        }
    }
}

/// Writes what a box says in some context, line by line.
pub fn say(handle: &BoxHandle, level: Level, context: &str, text: &str) {
    let cut = |text: &str| String::from(&text[..text.floor_char_boundary(MAX_LINE)]);
    let context = cut(context);
    for line in cut(text).lines() {
        match context.is_empty() {
            true => handle.write(level, line),
            false => handle.write(level, &format!("{context}: {line}")),
        }
    }
}

fn write(handle: &BoxHandle, to: Text, line: &mut Vec<u8>) {
    let level = match to {
        Text::Out => Level::Info,
        Text::Err => Level::Warn,
    };
    let text = String::from_utf8_lossy(line);
    handle.write(level, text.trim_end_matches('\r'));
    line.clear();
}
