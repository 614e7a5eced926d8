//! A volume, or whatever part of a disk the box's arrow grants: sectors, numbered from 0.
//!
//! Each call sleeps until the disk has answered. A box that wants many requests under way at once, or several disks, uses the
//! records of `wit::block` at the port itself.

use super::ports;
use crate::bindings::pearwood::hardware::block;
use std::fmt;
use wit::{
    Batch, Peer, Records,
    block::{Attach, Command, Error as Kind, Event},
};

/// Bytes of one request.
const PIECE: usize = 65_536;

#[derive(Debug)]
pub struct Disk {
    port: u32,
    /// bytes
    pub sector_size: usize,
    pub sectors: u64,
    pub read_only: bool,
}

/// Why a disk did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// as `wit/hardware/hardware.wit` says
    Disk(Kind),
    /// The disk has answered what nobody understands.
    Protocol,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Disk(Kind::OutOfRange) => "the sectors are not there, or not granted",
            Error::Disk(Kind::Unaligned) => "the data are not a whole number of sectors",
            Error::Disk(Kind::TooLarge) => "the request is too large for the disk",
            Error::Disk(Kind::ReadOnly) => "the disk is read-only",
            Error::Disk(Kind::Io) => "the disk has failed to do it",
            Error::Disk(Kind::Unsupported) => "the disk cannot do that",
            Error::Disk(Kind::Gone) => "the disk is gone",
            Error::Protocol => "the disk's answer is not understood",
        })
    }
}

impl std::error::Error for Error {}

impl Disk {
    /// The disk of the box's arrow. Sleeps until it is there.
    ///
    /// # Errors
    /// [`Error::Protocol`].
    pub fn open() -> Result<Self, Error> {
        let port = block::client(&[]);
        loop {
            for record in Records::new(&ports::receive(port)).flatten() {
                if let Some(Peer::Attach(0, attach)) = Peer::decode(&record) {
                    let Attach { sector_size, sectors, read_only, .. } =
                        Attach::decode(attach).map_err(|_| Error::Protocol)?;
                    return Ok(Disk { port, sector_size: sector_size as usize, sectors, read_only });
                }
            }
            ports::wait(u64::MAX);
        }
    }

    /// So many sectors, from `first` on.
    ///
    /// # Errors
    /// [`Error::Disk`]; what was read before is lost.
    pub fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, Error> {
        let (mut data, most) = (Vec::new(), (PIECE / self.sector_size) as u64);
        let mut done = 0;
        while done < count {
            let count = (count - done).min(most);
            data.extend(self.call(Command::Read { ticket: 0, first: first + done, count: count as u32 })?);
            done += count;
        }
        Ok(data)
    }

    /// Whole sectors, from `first` on. A sector is written as a whole or not at all; they are durable after
    /// [`flush`](Disk::flush).
    ///
    /// # Errors
    /// [`Error::Disk`]; some of the sectors may be written.
    pub fn write(&mut self, first: u64, data: &[u8]) -> Result<(), Error> {
        let sectors = PIECE / self.sector_size;
        for (first, data) in (first..).step_by(sectors).zip(data.chunks(PIECE)) {
            self.call(Command::Write { ticket: 0, first, data })?;
        }
        Ok(())
    }

    /// Returns when all that was written is durable.
    ///
    /// # Errors
    /// [`Error::Disk`]; any of it may not be.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.call(Command::Flush { ticket: 0 }).map(drop)
    }

    /// What is in so many sectors, from `first` on, is not needed any more: they are zeroes from then on, and durably so after
    /// [`flush`](Disk::flush).
    ///
    /// # Errors
    /// [`Error::Disk`], with `Kind::Unsupported` where the disk cannot do that: then they are what they were.
    pub fn discard(&mut self, first: u64, count: u64) -> Result<(), Error> {
        self.call(Command::Discard { ticket: 0, first, count }).map(drop)
    }

    fn call(&mut self, command: Command<'_>) -> Result<Vec<u8>, Error> {
        let mut batch = Batch::new();
        command.encode(&mut batch);
        let mut is_sent = false;
        loop {
            is_sent = is_sent || ports::send(self.port, 0, batch.as_bytes());
            for record in Records::new(&ports::receive(self.port)).flatten() {
                if let Some(Peer::Detach(..)) = Peer::decode(&record) {
                    return Err(Error::Disk(Kind::Gone));
                }
                match Event::decode(&record) {
                    Ok(Event::Data { data, .. }) => return Ok(data.to_vec()),
                    Ok(Event::Done { .. }) => return Ok(Vec::new()),
                    Ok(Event::Failed { error, .. }) => return Err(Error::Disk(error)),
                    Ok(_) => {}
                    Err(_) => return Err(Error::Protocol),
                }
            }
            ports::wait(u64::MAX);
        }
    }
}
