//! `wasi:cli`: the environment is the box's config, what is printed goes to its log, and there is nothing to read.

use super::{
    bindings::wasi::cli::{
        environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
        terminal_stdout, types,
    },
    streams::ToLog,
};
use crate::{
    boxes::State,
    wasi::{Exit, Promise, context::Text},
};
use alloc::{string::String, vec, vec::Vec};
use wasmtime::{
    Error, Result,
    component::{Access, FutureReader, HasSelf, Resource, StreamReader},
};

type Outcome = core::result::Result<(), types::ErrorCode>;

/// A terminal, of which there is never one.
pub enum NoTerminal {}

impl types::Host for State {}

impl environment::Host for State {
    /// The box's config: `config.greeting = "Hello"` is `greeting=Hello`, and nested keys are joined by dots.
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(self.handle.spec.config.clone())
    }

    /// The box's name, which is its program's.
    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(vec![self.handle.spec.name.clone()])
    }

    fn get_initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for State {
    fn exit(&mut self, status: core::result::Result<(), ()>) -> Result<()> {
        Err(Error::new(Exit(status.is_err().into())))
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        Err(Error::new(Exit(code)))
    }
}

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

impl terminal_input::Host for State {}
impl terminal_input::HostTerminalInput for State {
    fn drop(&mut self, terminal: Resource<NoTerminal>) -> Result<()> {
        self.wasi.take(terminal).map(drop)
    }
}

impl terminal_output::Host for State {}
impl terminal_output::HostTerminalOutput for State {
    fn drop(&mut self, terminal: Resource<NoTerminal>) -> Result<()> {
        self.wasi.take(terminal).map(drop)
    }
}

impl terminal_stdin::Host for State {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<NoTerminal>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for State {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<NoTerminal>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for State {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<NoTerminal>>> {
        Ok(None)
    }
}
