//! `pearwood lint`: clippy natively, and for the targets of the kernel and the boxes.

use anyhow::Result;
use clap::Args;
use pearwood::build::{self, package_name};
use pearwood::progress;
use pearwood::setup::Toolchain;
use pearwood::setup::rust::{COMPONENT, KERNEL};
use pearwood::workspace::Workspace;
use std::process::{Command, ExitCode};

#[derive(Args)]
pub struct Lint {}

impl Lint {
    pub fn run(self) -> Result<ExitCode> {
        let toolchain = build::ready_toolchain()?;
        let workspace = Workspace::find()?;
        let lint = |what: &str, mut clippy: Command, arguments: &[&str]| {
            clippy.current_dir(&workspace.root).arg("clippy").args(arguments);
            clippy.arg("--target-dir").arg(&workspace.target).args(["--", "-D", "warnings"]);
            progress::run(&format!("Linting {what}"), &mut clippy)
        };
        lint("the native crates", Toolchain::native_cargo(), &["--all-targets"])?;
        let kernel = ["--package", "kernel", "--target", KERNEL];
        lint("the kernel", toolchain.command("cargo-clippy"), &kernel)?;
        let whole = [&kernel[..], &["--all-features"]].concat();
        lint("the kernel with all features", toolchain.command("cargo-clippy"), &whole)?;
        let names =
            workspace.component_crates().iter().map(|folder| package_name(folder)).collect::<Result<Vec<_>>>()?;
        let mut arguments = vec!["--target", COMPONENT];
        arguments.extend(names.iter().flat_map(|name| ["--package", name]));
        lint("the components", toolchain.command("cargo-clippy"), &arguments)?;
        Ok(ExitCode::SUCCESS)
    }
}
