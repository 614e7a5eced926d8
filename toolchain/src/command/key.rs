//! `pearwood key`

use anyhow::Result;
use clap::{Args, Subcommand};
use pearwood::keys;
use std::process::ExitCode;
use wasm_host::image::{Endorsement, PublicKey};

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
    /// Vouch for a key: nodes that were started to trust one then take images of the other
    Endorse {
        /// The new key: its name, or its public half
        key: String,
        /// The key that is trusted
        #[arg(long, value_name = "NAME", default_value = keys::DEVELOPMENT)]
        by: String,
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
                show(&[name], &[key.public()]);
            }
            What::Endorse { key, by } => {
                let public = match key.parse() {
                    Ok(public) => public,
                    Err(_) => keys::find(&key)?.public(),
                };
                let Endorsement { key, by, signature } = keys::find(&by)?.endorse(&public);
                let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
                println!("trust = [{{ key = \"{key}\", by = \"{by}\", signature = \"{signature}\" }}]");
            }
            What::Show { name: Some(name) } => {
                let key = keys::find(&name)?.public();
                show(&[name], &[key]);
            }
            What::Show { name: None } => {
                // it is there from the first time on that it is needed
                keys::find(keys::DEVELOPMENT)?;
                let names = keys::names()?;
                let public = |name: &String| Ok(keys::find(name)?.public());
                let keys = names.iter().map(public).collect::<Result<Vec<_>>>()?;
                show(&names, &keys);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// As the setting of the control box that names them.
fn show(names: &[String], keys: &[PublicKey]) {
    let entry = |(name, key)| format!("    {{ key = \"{key}\", role = \"deploy\", name = \"{name}\" }},\n");
    let entries: String = names.iter().zip(keys).map(entry).collect();
    println!("# for [box.control.config]; roles: view, operate, deploy\nkeys = [\n{entries}]");
}
