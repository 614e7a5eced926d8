//! What `wasi:cli` is in all versions: the environment is the box's config, and there are no terminals.

/// A terminal, of which there is never one.
pub enum NoTerminal {}

/// The face of a version. `$cwd`: its name for the function that tells the directory.
macro_rules! face {
    ($cwd:ident) => {
        use super::bindings::wasi::cli::{
            environment, exit, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
        };
        use crate::wasi::{Exit, cli::NoTerminal};

        impl environment::Host for State {
            /// The box's config: `config.greeting = "Hello"` is `greeting=Hello`, and nested keys are joined by dots.
            fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
                Ok(self.handle.spec.config.clone())
            }

            /// The box's name, which is its program's.
            fn get_arguments(&mut self) -> Result<Vec<String>> {
                Ok(vec![self.handle.spec.name.clone()])
            }

            fn $cwd(&mut self) -> Result<Option<String>> {
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
    };
}

pub(super) use face;
