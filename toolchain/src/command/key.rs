//! `pearwood key`

use anyhow::Result;
use clap::{Args, Subcommand};
use pearwood::keys;
use std::process::ExitCode;
use wasm_host::image::PublicKey;

#[derive(Args)]
pub struct Key {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key
    New {
        /// What it is called here
        name: String,
    },
    /// Show the public half of a key, or of all
    Show {
        /// The key's name
        name: Option<String>,
    },
}

impl Key {
    pub fn run(self) -> Result<ExitCode> {
        match self.what {
            What::New { name } => {
                let key = keys::make(&name)?;
                eprintln!("made {}", keys::path(&name)?.display());
                show(&name, &key.public());
            }
            What::Show { name: Some(name) } => show(&name, &keys::find(&name)?.public()),
            What::Show { name: None } => {
                // it is there from the first time on that it is needed
                keys::find(keys::DEVELOPMENT)?;
                for name in keys::names()? {
                    show(&name, &keys::find(&name)?.public());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// As an entry of the control box's settings.
fn show(name: &str, key: &PublicKey) {
    println!("config.keys = [{{ key = \"{key}\", role = \"deploy\", name = \"{name}\" }}]");
}
