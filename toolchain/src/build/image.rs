//! Images: everything that a node needs of a system, signed.

use super::{Compiler, Components, Target, assets};
use crate::linux::{FileDisk, block_on, fill_random};
use crate::progress::Step;
use crate::system;
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;
use wasm_host::engine::Kind;
use wasm_host::image::{Builder, Header, Image, PublicKey, SecretKey, Source, head_length};
use wasm_host::platform::{Disk, Extent};
use wasm_host::slots::{About, Rank, SlotName};
use wasm_host::volumes::slots_of;

/// Images with more bytes are read from their files as that is needed.
const IN_MEMORY: u64 = 256 << 20;

/// What an image's file is a multiple of, so that it can be a disk.
const BLOCK: u64 = 4096;

/// The most bytes of an image that are written at a time.
const PART: usize = 256 << 10;

/// The same, of the version that the clock gives.
pub fn image(system: &Components, target: Target, key: &SecretKey) -> Result<Vec<u8>> {
    image_of(system, target, key, None)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Compiles a system's components for a target and packs them with their assets, in memory.
///
/// A node takes no older version than what it has run. None: the seconds since 1970.
pub fn image_of(system: &Components, target: Target, key: &SecretKey, version: Option<u64>) -> Result<Vec<u8>> {
    Ok(builder(system, target, version)?.finish(key)?)
}

/// The same, in a file of this process's.
pub fn pack(system: &Components, target: Target, key: &SecretKey, version: Option<u64>) -> Result<Packed> {
    // what a process that was killed has left goes with the images of earlier runs
    let directory = Workspace::find()?.run_directory(&system.system.name)?;
    let mut file = tempfile::Builder::new().prefix(".packing-").suffix(".image").tempfile_in(directory)?;
    let builder = builder(system, target, version)?;
    let (mut length, mut hash) = (0, blake3::Hasher::new());
    let mut step = None;
    builder.write(key, |bytes| {
        length += bytes.len() as u64;
        hash.update(bytes);
        if length > IN_MEMORY {
            let step = step.get_or_insert_with(|| Step::start("Packing the image"));
            if length % (64 << 20) < bytes.len() as u64 {
                step.at(&format!("{} MiB", length >> 20));
            }
        }
        file.write_all(bytes).map_err(|error| error.to_string())
    })?;
    if let Some(step) = step {
        step.done();
    }
    file.as_file().set_len(length.next_multiple_of(BLOCK)).context("the image's file")?;
    Ok(Packed { file, length, name: hash.finalize().to_hex()[..16].to_string() })
}

fn builder(system: &Components, target: Target, version: Option<u64>) -> Result<Builder> {
    let workspace = Workspace::find()?;
    let lean = Compiler::new(target, Kind::Lean)?;
    let concurrent = Compiler::new(target, Kind::Concurrent)?;
    let cache = workspace.target.join("aot");
    let source = &system.system.source;
    let mut builder = Builder::new(&source.file, &source.text);
    builder.plan(system.plan(version.unwrap_or_else(now)));
    for (name, component) in &system.components {
        let compiler = match system::engine_of(&component.description) {
            Kind::Lean => &lean,
            Kind::Concurrent => &concurrent,
        };
        builder.artifact(name, compiler.settings(), compiler.compile(name, &component.binary, &cache)?);
    }
    for spec in &system.system.boxes {
        for file in assets::gather(&system.system, spec, &system.base, &workspace)? {
            builder.asset_of(&spec.name, &file.path, Box::new(file.content), file.modified);
        }
    }
    let trusted = system.system.trust.iter().flatten();
    for endorsement in trusted.filter_map(|trusted| trusted.endorsement) {
        builder.endorsement(endorsement);
    }
    Ok(builder)
}

/// An image in a file, which is removed when this is dropped.
pub struct Packed {
    pub file: tempfile::NamedTempFile,
    /// bytes of the image; the file may be a little longer
    pub length: u64,
    /// what tells it from others
    pub name: String,
}

impl Packed {
    /// The image; if it is large, its files are read as they are needed.
    pub fn open(&self, trusted: &[PublicKey]) -> Result<Image<'static>> {
        self.open_for(|| (), trusted)
    }

    /// The same. `notify` is called when something was read.
    pub fn open_for(&self, notify: impl Fn() + Send + 'static, trusted: &[PublicKey]) -> Result<Image<'static>> {
        if self.length <= IN_MEMORY {
            return Ok(Image::open(self.start(self.length)?, trusted)?);
        }
        let head = self.start(head_length(&self.start(self.length.min(PART as u64 * 64))?)?)?;
        let disk = Arc::new(FileDisk::open(self.file.path(), notify).context("the image's file")?);
        Ok(Image::open_head(head, Source::new(Extent::new(disk, 0, None, true)?, ()), trusted)?)
    }

    fn start(&self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length)?];
        self.file.as_file().read_exact_at(&mut bytes, 0).context("the image's file")?;
        Ok(bytes)
    }
}

/// Writes the image that a file holds into a slot of a disk, to be what is started from it next, and to be used where it lies.
pub fn install(image: &File, disk: Arc<dyn Disk>, reserve: u64, who: &str) -> Result<SlotName> {
    let mut part = vec![0; PART];
    let read = |part: &mut [u8], at: u64| image.read_exact_at(part, at).context("the image's file");
    read(&mut part[..Header::LENGTH], 0)?;
    let header = Header::read(&part)?;
    let mut manifest = vec![0; usize::try_from(header.manifest_length())?];
    read(&mut manifest, 0)?;
    let store = block_on(slots_of(disk, Some(reserve), &fill_random)).map_err(|why| anyhow!("{why}"))?;
    let store = store.context("the disk has no slots for systems")?;
    let step = Step::start("Writing the image to the disk");
    let space = block_on(store.space(header.length))?;
    for at in (0..header.length).step_by(PART) {
        part.truncate(PART.min((header.length - at) as usize));
        read(&mut part, at)?;
        block_on(space.write(at, &part))?;
        if at % (64 << 20) == 0 {
            step.at(&format!("{} of {} MiB", at >> 20, header.length >> 20));
        }
    }
    let about = About { time: Some(now()), who: who.into(), ..About::default() };
    let slot = block_on(store.enter(&space, wasm_host::image::hash(&manifest), Rank::Next, &about))?;
    step.done();
    Ok(slot)
}
