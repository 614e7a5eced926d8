//! `wasi:cli` 0.3: what is printed goes to the box's log, and there is nothing to read.

use super::{
    bindings::wasi::cli::{stderr, stdin, stdout, types},
    streams::ToLog,
};
use crate::{
    boxes::State,
    wasi::{Promise, context::Text},
};
use alloc::{string::String, vec, vec::Vec};
use wasmtime::{
    Error, Result,
    component::{Access, FutureReader, HasSelf, Resource, StreamReader},
};

crate::wasi::cli::face!(get_initial_cwd);

type Outcome = core::result::Result<(), types::ErrorCode>;

impl types::Host for State {}

impl stdin::Host for State {}
impl stdin::HostWithStore<State> for HasSelf<State> {
    fn read_via_stream(mut access: Access<'_, State, Self>) -> Result<(StreamReader<u8>, FutureReader<Outcome>)> {
        let stream = StreamReader::new(&mut access, Vec::new())?;
        let outcome = FutureReader::new(&mut access, async { Ok::<_, Error>(Outcome::Ok(())) })?;
        Ok((stream, outcome))
    }
}

/// What comes from the stream goes to the log, line by line.
fn print(
    mut access: Access<'_, State, HasSelf<State>>,
    stream: StreamReader<u8>,
    to: Text,
) -> Result<FutureReader<Outcome>> {
    let (done, ended) = Promise::new();
    stream.pipe(&mut access, ToLog { to, _done: done })?;
    FutureReader::new(&mut access, async move {
        // it is settled by the stream's end, which says nothing more
        ended.await.unwrap_or(());
        Ok::<_, Error>(Outcome::Ok(()))
    })
}

impl stdout::Host for State {}
impl stdout::HostWithStore<State> for HasSelf<State> {
    fn write_via_stream(access: Access<'_, State, Self>, data: StreamReader<u8>) -> Result<FutureReader<Outcome>> {
        print(access, data, Text::Out)
    }
}

impl stderr::Host for State {}
impl stderr::HostWithStore<State> for HasSelf<State> {
    fn write_via_stream(access: Access<'_, State, Self>, data: StreamReader<u8>) -> Result<FutureReader<Outcome>> {
        print(access, data, Text::Err)
    }
}
