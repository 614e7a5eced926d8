//! The `pearwood` command.
#![forbid(unsafe_code)]

mod command;

use std::io::{self, ErrorKind};
use std::panic;
use std::process::ExitCode;

/// How programs end that are ended by SIGPIPE, as a shell sees it.
const UNREAD: u8 = 141;

fn main() -> ExitCode {
    quiet_without_a_reader();
    match command::run() {
        Ok(code) => code,
        // on its own it is that of standard output: what goes wrong elsewhere says where
        Err(error) if error.chain().len() == 1 && is_unread(error.downcast_ref()) => ExitCode::from(UNREAD),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_unread(error: Option<&io::Error>) -> bool {
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// `println!` panics if whoever read the output has gone, as `head` does when it has enough. That is no fault of anybody's.
fn quiet_without_a_reader() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(UNREAD.into());
        }
        before(info);
    }));
}
