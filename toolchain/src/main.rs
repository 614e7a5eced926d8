//! The `pearwood` command.
#![forbid(unsafe_code)]

mod command;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::panic;
use std::process::{self, ExitCode};

/// How programs end that are ended by SIGPIPE, as a shell sees it.
const UNREAD: u8 = 141;

fn main() -> ExitCode {
    end_without_output();
    let ended = command::run().and_then(|code| Ok(io::stdout().flush().map(|()| code)?));
    match ended {
        Ok(code) => code,
        // on its own it is that of standard output: what goes wrong elsewhere says where
        Err(error) => match error.downcast_ref::<io::Error>().filter(|_| error.chain().len() == 1) {
            Some(unwritten) => ExitCode::from(unwritable(unwritten.kind(), unwritten)),
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// The command's status when standard output cannot be written. If whoever read it has gone, as `head` does when it has enough,
/// that is no fault of anybody's.
fn unwritable(kind: ErrorKind, why: &dyn Display) -> u8 {
    if kind == ErrorKind::BrokenPipe {
        return UNREAD;
    }
    eprintln!("error: standard output cannot be written: {why}");
    1
}

/// `println!` panics where standard output cannot be written, and `eprintln!` where standard error cannot. All commands write by
/// these, so that is where they end.
fn end_without_output() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stderr") {
            // there is nowhere to say so
            process::exit(1);
        }
        if let Some(why) = text.strip_prefix("failed printing to stdout: ") {
            let kind = if why.contains("Broken pipe") { ErrorKind::BrokenPipe } else { ErrorKind::Other };
            process::exit(unwritable(kind, &why).into());
        }
        before(info);
    }));
}
