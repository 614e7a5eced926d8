//! `pearwood lint`: clippy natively, and for the targets of the kernel and the boxes.

use anyhow::Result;
use clap::{Args, ValueEnum};
use pearwood::build::{self, package_name};
use pearwood::progress;
use pearwood::setup::Toolchain;
use pearwood::workspace::Workspace;
use std::process::{Command, ExitCode};

#[derive(Args)]
pub struct Lint {
    /// Only these
    #[arg(value_enum)]
    what: Vec<What>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum What {
    /// What runs on this machine, with its tests
    Native,
    /// The kernel, without features and with all
    Kernel,
    /// The crates of boxes
    Components,
}

impl Lint {
    pub fn run(self) -> Result<ExitCode> {
        let toolchain = build::ready_toolchain()?;
        let workspace = Workspace::find()?;
        let wanted = |what| self.what.is_empty() || self.what.contains(&what);
        if wanted(What::Native) {
            let mut clippy = Toolchain::native_cargo();
            clippy
                .current_dir(&workspace.root)
                .args(["clippy", "--all-targets", "--target-dir"])
                .arg(&workspace.target);
            lint("the native crates", clippy)?;
        }
        if wanted(What::Kernel) {
            lint("the kernel", build::kernel_command(&workspace, &toolchain, "clippy", &[])?)?;
            let mut whole = build::kernel_command(&workspace, &toolchain, "clippy", &[])?;
            whole.arg("--all-features");
            lint("the kernel with all features", whole)?;
        }
        if wanted(What::Components) {
            let mut clippy = build::component_command(&workspace, &toolchain, "clippy")?;
            clippy.current_dir(&workspace.root);
            for folder in workspace.component_crates() {
                clippy.args(["--package", &package_name(&folder)?]);
            }
            lint("the components", clippy)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn lint(what: &str, mut clippy: Command) -> Result<()> {
    progress::run(&format!("Linting {what}"), clippy.args(["--", "-D", "warnings"]))?;
    Ok(())
}
