//! Writes images.

use super::assets::{CHUNK, File};
use super::format::{Entry, Header, Kind, PAGE};
use super::{Endorsement, EngineSettings, Hash, ImageError, MAX_ENDORSEMENTS, SecretKey, format, hash};
use crate::plan::Plan;
use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};
use core::fmt;

/// Files smaller than a page share pages.
const SMALL: u64 = 16;

/// The content of a file, which need not be in memory.
pub trait Content {
    fn size(&self) -> u64;

    /// Fills the buffer with the bytes from `at` on, all of which there are.
    ///
    /// # Errors
    /// Why they cannot be read, in words.
    fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), String>;
}

impl Content for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), String> {
        buffer.copy_from_slice(&self[at as usize..][..buffer.len()]);
        Ok(())
    }
}

impl fmt::Debug for dyn Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size())
    }
}

/// A file: its path, content and time.
type Given = (String, Box<dyn Content>, u64);

/// Collects what goes into an image. The same parts make the same image, whatever the order they came in.
#[derive(Debug)]
pub struct Builder {
    file: String,
    source: String,
    plan: Option<Plan>,
    artifacts: Vec<(String, EngineSettings, Vec<u8>)>,
    assets: BTreeMap<String, Vec<Given>>,
    endorsements: Vec<Endorsement>,
}

impl Builder {
    /// Begins an image of the system that `source` declares. `file` is what messages will call it.
    pub fn new(file: &str, source: &str) -> Self {
        Builder {
            file: file.into(),
            source: source.into(),
            plan: None,
            artifacts: Vec::new(),
            assets: BTreeMap::new(),
            endorsements: Vec::new(),
        }
    }

    /// What a node makes the system by. Without one, no node does.
    pub fn plan(&mut self, plan: Plan) -> &mut Self {
        self.plan = Some(plan);
        self
    }

    /// A component's code.
    pub fn artifact(&mut self, component: &str, settings: EngineSettings, code: Vec<u8>) -> &mut Self {
        self.artifacts.push((component.into(), settings, code));
        self
    }

    /// A file of a box. `path` is relative and `/`-separated, `modified` in seconds since 1970.
    pub fn asset(&mut self, box_name: &str, path: &str, content: Vec<u8>, modified: u64) -> &mut Self {
        self.asset_of(box_name, path, Box::new(content), modified)
    }

    /// The same of a file that is read twice: when the image is finished, and when it is written.
    pub fn asset_of(&mut self, box_name: &str, path: &str, content: Box<dyn Content>, modified: u64) -> &mut Self {
        self.assets.entry(box_name.into()).or_default().push((path.into(), content, modified));
        self
    }

    /// What has a node take the image that was started with an older key.
    pub fn endorsement(&mut self, endorsement: Endorsement) -> &mut Self {
        self.endorsements.push(endorsement);
        self
    }

    /// The image's bytes.
    ///
    /// # Errors
    /// If two parts have one name, or there are more than 16 endorsements, or a file cannot be read.
    pub fn finish(self, key: &SecretKey) -> Result<Vec<u8>, ImageError> {
        let mut image = Vec::new();
        self.write(key, |bytes| {
            image.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(image)
    }

    /// Gives the image's bytes to `sink`, one part after another, which may fail in words.
    ///
    /// # Errors
    /// The same, or that of the sink, or if a file has changed meanwhile.
    pub fn write(mut self, key: &SecretKey, sink: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), ImageError> {
        self.artifacts.sort_by(|a, b| (&a.0, &a.1.target, &a.1.wasmtime).cmp(&(&b.0, &b.1.target, &b.1.wasmtime)));
        let mut blobs = Blobs::default();
        blobs.push(Kind::System, self.file, self.source.into_bytes());
        if let Some(plan) = self.plan {
            blobs.push(Kind::Plan, String::new(), plan.encode());
        }
        for (name, settings, code) in self.artifacts {
            blobs.push(Kind::Artifact(settings), name, code);
        }
        for (box_name, mut files) in self.assets {
            files.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(twice) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                let name = alloc::format!("{box_name}: {}", twice[0].0);
                return Err(ImageError::Duplicate { what: "asset", name });
            }
            let (table, length) = lay_out(&box_name, &files)?;
            let bytes = postcard::to_allocvec(&table).expect("tables are plain data");
            let entry = blobs.push(Kind::Assets { offset: 0, length }, box_name, bytes);
            let contents = table.into_iter().zip(files.into_iter().map(|(_, content, _)| content));
            blobs.contents.push((entry, contents.collect()));
        }
        blobs.write(key, &self.endorsements, Sink { sink, at: 0 })
    }
}

/// Puts files one after another: large ones at pages' starts, so that they can be mapped. Yields what they take together.
fn lay_out(box_name: &str, files: &[Given]) -> Result<(Vec<File>, u64), ImageError> {
    let mut end = 0_u64;
    let mut table = Vec::new();
    for (path, content, modified) in files {
        let size = content.size();
        let offset = end.next_multiple_of(if size < PAGE { SMALL } else { PAGE });
        let (mut whole, mut chunks) = (blake3::Hasher::new(), Vec::new());
        each_chunk(&**content, |chunk| {
            whole.update(chunk);
            chunks.extend((size > CHUNK).then(|| hash(chunk)));
            Ok(())
        })
        .map_err(|why| unreadable(box_name, path, why))?;
        let hash = Hash(*whole.finalize().as_bytes());
        table.push(File { path: path.clone(), offset, size, modified: *modified, hash, chunks });
        end = offset + size;
    }
    Ok((table, end))
}

fn each_chunk(content: &dyn Content, mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let mut buffer = Vec::new();
    for at in (0..content.size()).step_by(CHUNK as usize) {
        buffer.resize(CHUNK.min(content.size() - at) as usize, 0);
        content.read(at, &mut buffer)?;
        take(&buffer)?;
    }
    Ok(())
}

fn unreadable(box_name: &str, path: &str, why: String) -> ImageError {
    ImageError::Unreadable { name: format!("{box_name}: {path}"), why }
}

/// Where the image goes, and how much of it is there.
struct Sink<S> {
    sink: S,
    at: u64,
}

impl<S: FnMut(&[u8]) -> Result<(), String>> Sink<S> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.at += bytes.len() as u64;
        (self.sink)(bytes)
    }

    /// Zeroes to that place, which is less than a page away.
    fn pad(&mut self, to: u64) -> Result<(), String> {
        let zeroes = [0; PAGE as usize];
        while self.at < to {
            self.put(&zeroes[..PAGE.min(to - self.at) as usize])?;
        }
        Ok(())
    }
}

type Files = Vec<(File, Box<dyn Content>)>;

#[derive(Default)]
struct Blobs {
    entries: Vec<Entry>,
    blobs: Vec<Vec<u8>>,
    /// Files of assets, and the entries of their tables.
    contents: Vec<(usize, Files)>,
}

impl Blobs {
    fn push(&mut self, kind: Kind, name: String, bytes: Vec<u8>) -> usize {
        self.entries.push(Entry { kind, name, offset: 0, length: bytes.len() as u64, hash: hash(&bytes) });
        self.blobs.push(bytes);
        self.entries.len() - 1
    }

    fn write<S: FnMut(&[u8]) -> Result<(), String>>(
        mut self,
        key: &SecretKey,
        endorsements: &[Endorsement],
        mut sink: Sink<S>,
    ) -> Result<(), ImageError> {
        // Offsets are of variable length in the index, so where the blobs begin depends on where they begin:
        // with the largest possible offsets it cannot get longer.
        self.place(u64::MAX / 2);
        let longest = postcard::to_allocvec(&self.entries).expect("the index is plain data").len() as u64;
        if endorsements.len() > MAX_ENDORSEMENTS {
            return Err(ImageError::BadIndex);
        }
        let before = (Header::LENGTH + endorsements.len() * Endorsement::LENGTH) as u64;
        let length = self.place(before + longest);
        let index = postcard::to_allocvec(&self.entries).expect("the index is plain data");
        let index_length = u32::try_from(index.len()).map_err(|_| ImageError::BadIndex)?;
        let endorsed = endorsements.len() as u32;
        let mut header = Header { index_length, length, key_id: key.public().id(), signature: [0; 64], endorsed };
        header.signature = key.sign(&header.message(&index));
        format::read_index(&index, &header)?;
        let failed = |why| ImageError::Unwritten { why };
        let mut manifest = header.write();
        endorsements.iter().for_each(|endorsement| manifest.extend(endorsement.write()));
        manifest.extend_from_slice(&index);
        sink.put(&manifest).map_err(failed)?;
        for (entry, blob) in self.entries.iter().zip(&self.blobs) {
            sink.pad(entry.offset).and_then(|()| sink.put(blob)).map_err(failed)?;
        }
        for (entry, contents) in &self.contents {
            let entry = &self.entries[*entry];
            let Kind::Assets { offset, .. } = entry.kind else { continue };
            sink.pad(offset).map_err(failed)?;
            for (file, content) in contents {
                let mut hashes =
                    if file.chunks.is_empty() { core::slice::from_ref(&file.hash).iter() } else { file.chunks.iter() };
                sink.pad(offset + file.offset).map_err(failed)?;
                let written = each_chunk(&**content, |chunk| {
                    if hashes.next() != Some(&hash(chunk)) {
                        return Err("it has changed while the image was made".into());
                    }
                    sink.put(chunk)
                });
                written.map_err(|why| unreadable(&entry.name, &file.path, why))?;
            }
        }
        Ok(())
    }

    /// Gives each blob its place from `start` on; returns where the last one ends.
    fn place(&mut self, start: u64) -> u64 {
        let mut end = start;
        for entry in &mut self.entries {
            entry.offset = end.next_multiple_of(PAGE);
            end = entry.offset + entry.length;
        }
        for (index, _) in &self.contents {
            let entry = &mut self.entries[*index];
            let offset = end.next_multiple_of(PAGE);
            let length = if let Kind::Assets { length, .. } = entry.kind { length } else { 0 };
            entry.kind = Kind::Assets { offset, length };
            end = offset + length;
        }
        end
    }
}
