//! Debian packages.

use super::programs;
use crate::progress::{self, Step};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Installs packages if this process may; else the error tells the command that does.
pub fn install(packages: &[&str]) -> Result<()> {
    if programs::find("apt-get").is_none() {
        bail!("please install, with your system's package manager, what Debian packages as: {}", packages.join(" "));
    }
    if !is_permitted() {
        bail!("please run:\n\n    {}\n", command_line(packages));
    }
    renew()?;
    let step = Step::start(format!("Installing {}", packages.join(", ")));
    let result = install_from_lists(&step, packages);
    result.with_context(|| format!("these packages could not be installed: {}", packages.join(" ")))?;
    step.done();
    Ok(())
}

/// Whether this process may install packages.
pub fn is_permitted() -> bool {
    programs::find("apt-get").is_some() && rustix::process::geteuid().is_root()
}

/// The command that a person would type.
pub fn command_line(packages: &[&str]) -> String {
    let arguments = install_arguments(packages, conflicts(packages)).join(" ");
    format!("sudo apt-get update && sudo apt-get {arguments}")
}

/// Fetches the lists of packages, once: old ones name versions that are too old, or gone. Without a network those that are
/// there have to do.
pub fn renew() -> Result<()> {
    static RENEWED: OnceLock<()> = OnceLock::new();
    if RENEWED.get().is_none() {
        let fetched = progress::run("Fetching the lists of packages", apt_get().arg("update"));
        if let Err(error) = fetched
            && !has_lists()
        {
            return Err(error).context("the lists of packages could not be fetched");
        }
        let _ = RENEWED.set(());
    }
    Ok(())
}

/// The version that would be installed of a package, as far as the lists know.
pub fn candidate(package: &str) -> Option<String> {
    let policy =
        Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output();
    candidate_in(&String::from_utf8_lossy(&policy.ok()?.stdout)).map(Into::into)
}

fn candidate_in(policy: &str) -> Option<&str> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    Some(version).filter(|version| *version != "(none)")
}

fn install_from_lists(step: &Step, packages: &[&str]) -> Result<()> {
    progress::run_within(step, apt_get().args(install_arguments(packages, conflicts(packages))))?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
    // another apt may be at work, as on machines that have just booted
    command.args(["-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3"]);
    command
}

fn install_arguments(packages: &[&str], downgrade: Option<String>) -> Vec<String> {
    let mut arguments: Vec<String> = ["install", "-y", "--no-install-recommends"].map(String::from).to_vec();
    if downgrade.is_some() {
        arguments.push("--allow-downgrades".into());
    }
    arguments.extend(packages.iter().map(|package| package.to_string()));
    arguments.extend(downgrade);
    arguments
}

/// What has to be downgraded for the packages to go in.
///
/// Some images of Debian 12 have `qemu-utils` from backports, which keeps the release's `qemu-system-x86` out.
fn conflicts(packages: &[&str]) -> Option<String> {
    if !packages.contains(&"qemu-system-x86") || programs::find("apt-get").is_none() {
        return None;
    }
    let installed = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "qemu-utils"]).output().ok()?;
    if !installed.status.success() || !String::from_utf8_lossy(&installed.stdout).contains("~bpo") {
        return None;
    }
    let simulated = Command::new("apt-get")
        .args(["install", "-s", "--no-install-recommends", "qemu-system-x86"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    if simulated.status.success() {
        return None;
    }
    Some(format!("qemu-utils/{}", codename(&std::fs::read_to_string("/etc/os-release").ok()?)?))
}

fn codename(os_release: &str) -> Option<&str> {
    os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).map(|name| name.trim_matches('"'))
}

/// Whether apt knows any packages: images for containers come without lists.
fn has_lists() -> bool {
    let Ok(entries) = Path::new("/var/lib/apt/lists").read_dir() else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run() {
        let plain = install_arguments(&["wrk", "curl"], None).join(" ");
        assert_eq!(plain, "install -y --no-install-recommends wrk curl");
        let downgrade = install_arguments(&["qemu-system-x86"], Some("qemu-utils/bookworm".into())).join(" ");
        assert_eq!(
            downgrade,
            "install -y --no-install-recommends --allow-downgrades qemu-system-x86 qemu-utils/bookworm"
        );
    }

    #[test]
    fn d18_what_would_be_installed_is_read_before_it_is() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.85.0+dfsg3-1~deb12u1\n  Version table:\n";
        assert_eq!(candidate_in(policy), Some("1.85.0+dfsg3-1~deb12u1"));
        assert_eq!(candidate_in("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
    }

    #[test]
    fn the_release_is_known_by_its_code_name() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(codename("ID=arch\n"), None);
    }
}
