//! Kernels, one beside the other for each set of features.

use super::{Components, cargo, crypto};
use crate::files;
use crate::setup::{Lock, Toolchain};
use crate::system::known::Kind;
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow, bail};
use object::LittleEndian;
use object::elf::{FileHeader64, PF_W, PF_X};
use object::pod;
use object::read::elf::{FileHeader, ProgramHeader};
use std::fs;
use std::path::PathBuf;

type Header = FileHeader64<LittleEndian>;

/// The features that a system needs of its kernel: WASI, and the cryptography that the node lends, each if it has a box for it, or could
/// be given one while it runs.
pub fn features(system: &Components) -> &'static [&'static str] {
    let is_wasi = |name: &str| name.starts_with("wasi:");
    let mut descriptions = system.components.values().map(|component| &component.description);
    let needs = descriptions.any(|description| {
        let mut interfaces = description.imports.iter().chain(&description.exports);
        description.is_concurrent() || interfaces.any(|interface| is_wasi(&interface.name))
    });
    let mut arrows = system.system.boxes.iter().flat_map(|spec| &spec.arrows);
    let changes = arrows.any(|arrow| Kind::of(&arrow.interface) == Kind::Control);
    let lends = system.routes.boxes.iter().any(|routes| !routes.lent.is_empty());
    match (needs || changes, lends || changes) {
        (true, true) => &["wasi", "crypto"],
        (true, false) => &["wasi"],
        (false, true) => &["crypto"],
        (false, false) => &[],
    }
}

/// Builds a kernel. Beside it, with `.symbols` added to its name, is the same with symbols.
pub fn build(workspace: &Workspace, toolchain: &Toolchain, features: &[&str]) -> Result<PathBuf> {
    let directory = workspace.target.join("node");
    // cargo puts all of them in the same place
    let lock = Lock::hold_in(&directory, "kernel")?;
    if features.iter().any(|feature| ["crypto", "selftest"].contains(feature)) {
        crypto::build(workspace, toolchain)?;
    }
    let built = cargo::kernel(workspace, toolchain, features)?;
    let built = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    drop(lock);
    let name = ["kernel"].iter().chain(features).copied().collect::<Vec<_>>().join("-");
    let kernel = directory.join(&name);
    segments_are_right(&built)?;
    files::replace(&directory.join(name + ".symbols"), &built)?;
    files::replace(&kernel, &stripped(built).context("the kernel is not the ELF file that it should be")?)?;
    Ok(kernel)
}

/// What is executable is not writable (`kernel/link.ld`), whatever is linked into it.
fn segments_are_right(file: &[u8]) -> Result<()> {
    let header = Header::parse(file)?;
    for segment in header.program_headers(LittleEndian, file)? {
        let flags = segment.p_flags(LittleEndian);
        if flags & (PF_W | PF_X) == PF_W | PF_X {
            bail!("a segment of the kernel, at {:#x}, is writable and executable", segment.p_vaddr(LittleEndian));
        }
    }
    Ok(())
}

/// What is loaded of an ELF file: no symbols, and no table of sections.
fn stripped(mut file: Vec<u8>) -> Result<Vec<u8>> {
    let header = Header::parse(&*file)?;
    let segments = header.program_headers(LittleEndian, &*file)?;
    let end = segments.iter().map(|segment| segment.p_offset(LittleEndian) + segment.p_filesz(LittleEndian)).max();
    file.truncate(end.and_then(|end| usize::try_from(end).ok()).unwrap_or(file.len()));
    let (header, _) = pod::from_bytes_mut::<Header>(&mut file).map_err(|()| anyhow!("its header is cut short"))?;
    (header.e_shoff, header.e_shnum, header.e_shstrndx) = Default::default();
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// On a program that is at hand.
    #[test]
    fn a_stripped_program_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("true");
        let whole = fs::read("/bin/true").unwrap();
        let stripped = stripped(whole.clone()).unwrap();
        assert!(stripped.len() < whole.len());
        fs::copy("/bin/true", &path).unwrap();
        fs::write(&path, &stripped).unwrap();
        assert!(Command::new(&path).status().unwrap().success());
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for file in [&b""[..], b"\x7fELF", &[0; 200]] {
            assert!(super::stripped(file.to_vec()).is_err());
        }
    }
}
