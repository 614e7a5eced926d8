//! `wasi:cli` 0.2: what is printed goes to the box's log, and there is nothing to read.

use super::{
    bindings::wasi::cli::{stderr, stdin, stdout},
    streams::{InputStream, OutputStream},
};
use crate::{boxes::State, wasi::context::Text};
use alloc::{string::String, vec, vec::Vec};
use wasmtime::{Error, Result, component::Resource};

crate::wasi::cli::face!(initial_cwd);

impl stdin::Host for State {
    fn get_stdin(&mut self) -> Result<Resource<InputStream>> {
        self.wasi.push(InputStream::Empty)
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> Result<Resource<OutputStream>> {
        self.wasi.push(OutputStream::Log(Text::Out))
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> Result<Resource<OutputStream>> {
        self.wasi.push(OutputStream::Log(Text::Err))
    }
}
