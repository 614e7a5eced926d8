//! `pearwood hash-password`

use anyhow::{Context, Result, bail};
use clap::Args;
use console::Term;
use http::PasswordHash;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

#[derive(Args)]
pub struct HashPassword {}

impl HashPassword {
    pub fn run(self) -> Result<ExitCode> {
        let password = if io::stdin().is_terminal() { ask()? } else { io::read_to_string(io::stdin())? };
        // one line, whoever has written it
        let password = password.strip_suffix('\n').map_or(&*password, |line| line.strip_suffix('\r').unwrap_or(line));
        if password.contains('\n') {
            bail!("a password is one line");
        }
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).context("the system has no random bytes")?;
        println!("{}", PasswordHash::of(password.as_bytes(), salt).map_err(anyhow::Error::msg)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads it twice, without showing it.
fn ask() -> Result<String> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        bail!("there is no terminal to ask at; pass the password on standard input");
    }
    let read = |prompt: &str| -> Result<String> {
        eprint!("{prompt}: ");
        terminal.read_secure_line().context("the terminal cannot be read")
    };
    let password = read("Password")?;
    if read("Again")? != password {
        bail!("these are two different passwords");
    }
    Ok(password)
}
