//! The files that boxes carry along.

use super::{compress, drawing};
use crate::progress;
use crate::reference;
use crate::setup::Toolchain;
use crate::system::{AssetSource, Assets, BoxSpec, Diagnostic, System};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use wasm_host::image;

/// A file as it will be in the image.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Relative, `/`-separated.
    pub path: String,
    pub content: Content,
    /// Seconds since 1970.
    pub modified: u64,
}

/// The content of a file. That of a file of this machine is read as it is needed: there may be more than memory has room for.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    File { path: PathBuf, size: u64 },
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { size, .. } => *size,
        }
    }

    /// All of it.
    pub fn read(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Content::Bytes(bytes) => Ok(bytes.into()),
            Content::File { path, .. } => {
                Ok(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into())
            }
        }
    }
}

impl image::Content for Content {
    fn size(&self) -> u64 {
        Content::size(self)
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), String> {
        match self {
            Content::Bytes(bytes) => image::Content::read(bytes, at, buffer),
            Content::File { path, .. } => fs::File::open(path)
                .and_then(|file| file.read_exact_at(buffer, at))
                .map_err(|error| format!("cannot read {}: {error}", path.display())),
        }
    }
}

/// Gathers the files of a box, whose system's file is in `base`.
pub fn gather(system: &System, spec: &BoxSpec, base: &Path, workspace: &Workspace) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for assets in &spec.assets {
        one(system, assets, base, workspace, &mut files)
            .with_context(|| format!("{}:{}: box `{}`", system.source.file, assets.at.line, spec.name))?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        bail!("{}: box `{}` has two assets at `{}`", system.source.file, spec.name, pair[0].path);
    }
    if !files.is_empty() {
        compress::add_variants(&mut files, &workspace.target.join("pearwood").join("variants"))?;
    }
    Ok(files)
}

/// The folders and files that a system names and that are not there.
pub fn missing(system: &System, base: &Path) -> Vec<Diagnostic> {
    let all = system.boxes.iter().flat_map(|spec| spec.assets.iter().map(move |assets| (spec, assets)));
    let faults = all.filter_map(|(spec, assets)| {
        let (what, path, is_there): (_, _, fn(&Path) -> bool) = match &assets.source {
            AssetSource::Folder(folder) => ("folder", base.join(folder), Path::is_dir),
            AssetSource::File(file) => ("file", base.join(file), Path::is_file),
            AssetSource::Rustdoc(_) | AssetSource::Graph | AssetSource::Reference => return None,
        };
        let message = format!("box `{}`: its assets are to come from the {what} {}", spec.name, path.display());
        let fault = || system.diagnostic(assets.at, format!("{message}, which is not there")).of_box(&spec.name);
        (!is_there(&path)).then(fault)
    });
    faults.collect()
}

fn one(system: &System, assets: &Assets, base: &Path, workspace: &Workspace, files: &mut Vec<File>) -> Result<()> {
    match &assets.source {
        AssetSource::Folder(folder) => walk(&base.join(folder), &assets.to, files),
        AssetSource::File(file) => {
            files.push(read(&base.join(file), assets.to.clone())?);
            Ok(())
        }
        AssetSource::Rustdoc(name) => walk(&rustdoc(workspace, name)?, &assets.to, files),
        AssetSource::Graph => {
            files.push(made(system, assets, drawing::svg(system, Default::default())));
            Ok(())
        }
        AssetSource::Reference => {
            files.push(made(system, assets, reference::page()));
            Ok(())
        }
    }
}

/// What no file has is as old as the declaration.
fn made(system: &System, assets: &Assets, content: String) -> File {
    let modified = modified(Path::new(&system.source.file));
    File { path: assets.to.clone(), content: Content::Bytes(content.into_bytes()), modified }
}

/// All files of a folder. Names that begin with a dot are left out, but for `.well-known` (RFC 8615).
fn walk(folder: &Path, to: &str, files: &mut Vec<File>) -> Result<()> {
    let entries = folder.read_dir().with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read the folder {}", folder.display()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!("the name of {} is not UTF-8", path.display());
        };
        if name.starts_with('.') && name != ".well-known" {
            continue;
        }
        let to = if to.is_empty() { name.to_string() } else { format!("{to}/{name}") };
        // follows links, and says so if they lead nowhere
        let kind = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            walk(&path, &to, files)?;
        } else if kind.is_file() {
            files.push(read(&path, to)?);
        } else {
            bail!("{} is neither a file nor a folder", path.display());
        }
    }
    Ok(())
}

fn read(path: &Path, to: String) -> Result<File> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(File { path: to, content: Content::File { path: path.into(), size }, modified: modified(path) })
}

/// Seconds since 1970; 0 where they are not known.
fn modified(path: &Path) -> u64 {
    let time = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_secs())
}

/// Builds the documentation of one of the workspace's crates.
fn rustdoc(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    // each crate's pages apart, so that none bring in another's; what was compiled for them is shared with other builds
    let target = workspace.target.join("documentation").join(name);
    let mut cargo = Toolchain::native_cargo();
    cargo.current_dir(&workspace.root).args(["doc", "--no-deps", "--package", name]);
    cargo.arg("--target-dir").arg(&target).env("CARGO_BUILD_BUILD_DIR", &workspace.target);
    progress::run(&format!("Documenting {name}"), &mut cargo)?;
    Ok(target.join("doc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in [("index.html", "a"), ("css/site.css", "b"), (".git/x", "c"), (".well-known/y", "d")] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let mut files = Vec::new();
        walk(folder.path(), "www", &mut files).unwrap();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["www/.well-known/y", "www/css/site.css", "www/index.html"]);
        assert!(files.iter().all(|file| file.modified > 0));
    }

    #[test]
    fn what_is_not_there_is_found_before_anything_is_built() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "a").unwrap();
        let text = "[system]\nname = \"s\"\n[box.a]\ncomponent = \"a\"\n\
            assets = [{ file = \"a.txt\" }, { folder = \"public\" }]\n[box.b]\ncomponent = \"b\"\nassets = \"a.txt\"\n";
        let system = System::parse("system.toml", text).unwrap();
        let faults = missing(&system, folder.path());
        let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.place.line, fault.message)).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("5: box `a`: its assets are to come from the folder ") && told[0].contains("public")
        );
        assert!(told[1].starts_with("8: box `b`"), "a file where a folder is meant: {told:?}");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = walk(Path::new("/no/such/folder"), "", &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder"), "{error}");
    }
}
