//! One file per command.

mod bench;
mod build;
mod check;
mod console;
mod deploy;
mod doctor;
mod figures;
mod graph;
mod hash_password;
mod help;
mod key;
mod lint;
mod logs;
mod manage;
mod new;
mod ps;
mod swap;
mod table;
mod top;
mod up;
mod volumes;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use pearwood::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Builds systems of boxes and runs them. Without a command: runs the example website.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Build a system and run it on a node
    Up(up::Up),
    /// Build a system and write its image
    Build(build::Build),
    /// Check a system's declaration against its components
    Check(check::Check),
    /// Draw a system
    Graph(graph::Graph),
    /// Make a new system with a box of its own
    New(new::New),
    /// Show what boxes say: on a node, or on the console of one that ran here
    Logs(logs::Logs),
    /// Show the boxes of a node
    Ps(ps::Ps),
    /// Show what the boxes of a node report of themselves: requests by host, certificates, orders and so on
    Figures(figures::Figures),
    /// Show the boxes of a node as they work
    Top(top::Top),
    #[command(flatten)]
    Manage(manage::Manage),
    /// Show what is on the disks of a node
    Volumes(volumes::Volumes),
    /// Change a volume of a node
    #[command(subcommand)]
    Volume(volumes::Volume),
    /// Go back to the system that ran before the last deployment
    Rollback(deploy::Rollback),
    /// Build a system and put it in the place of the one that a node runs
    Deploy(deploy::Deploy),
    /// Put another component in the place of a box's
    Swap(swap::Swap),
    /// Serve a node's web console on this machine
    Console(console::Console),
    /// Make and show the keys by which nodes know you
    Key(key::Key),
    /// Hash a password for a rule of the box `http`: it is asked for, or the line on standard input
    HashPassword(hash_password::HashPassword),
    /// Measure a node: instructions per request, time to the first answer, memory, sizes
    Bench(bench::Bench),
    /// Show what this machine has of what Pearwood needs, and put it right
    Doctor(doctor::Doctor),
    /// Explain a command, or system.toml: `help system`
    Help(help::Help),
    /// Lint all crates for all their targets
    #[command(hide = true)]
    Lint(lint::Lint),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum On {
    /// A virtual machine with Pearwood's own kernel
    #[default]
    Qemu,
    /// A process of this machine
    Linux,
}

pub fn run() -> Result<ExitCode> {
    let command = Arguments::parse().command.unwrap_or_else(|| Command::Up(up::Up::parse_from(["up"])));
    match command {
        Command::Up(up) => up.run(),
        Command::Build(build) => build.run(),
        Command::Check(check) => check.run(),
        Command::Graph(graph) => graph.run(),
        Command::New(new) => new.run(),
        Command::Logs(logs) => logs.run(),
        Command::Ps(ps) => ps.run(),
        Command::Figures(figures) => figures.run(),
        Command::Top(top) => top.run(),
        Command::Manage(manage) => manage.run(),
        Command::Volumes(volumes) => volumes.run(),
        Command::Volume(volume) => volume.run(),
        Command::Rollback(rollback) => rollback.run(),
        Command::Deploy(deploy) => deploy.run(),
        Command::Swap(swap) => swap.run(),
        Command::Console(console) => console.run(),
        Command::Key(key) => key.run(),
        Command::HashPassword(hash) => hash.run(),
        Command::Bench(bench) => bench.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Help(help) => help.run(),
        Command::Lint(lint) => lint.run(),
    }
}

const HERE: &str = "system.toml";

/// The system that a command is about: the one named, or the one in this folder.
fn system_path(named: Option<PathBuf>) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(path),
        None if Path::new(HERE).is_file() => Ok(HERE.into()),
        None => bail!(
            "this folder has no {HERE}; name the folder or the file of a system, or begin one with `pearwood new`"
        ),
    }
}

/// The same, or else the example website, for whoever only wants to see something run.
fn system_or_example(named: Option<PathBuf>) -> Result<PathBuf> {
    if named.is_some() || Path::new(HERE).is_file() {
        return system_path(named);
    }
    let example = Workspace::find()?.root.join("examples/website");
    eprintln!("this folder has no {HERE}; the example {} runs instead", example.display());
    Ok(example)
}
