//! Writes images.

use super::assets::{CHUNK, File};
use super::format::{Entry, Header, Kind, PAGE};
use super::{Endorsement, EngineSettings, ImageError, MAX_ENDORSEMENTS, SecretKey, format, hash};
use crate::plan::Plan;
use alloc::{collections::BTreeMap, string::String, vec::Vec};

/// Files smaller than a page share pages.
const SMALL: u64 = 16;

/// Collects what goes into an image. The same parts make the same image, whatever the order they came in.
#[derive(Debug)]
pub struct Builder {
    file: String,
    source: String,
    plan: Option<Plan>,
    artifacts: Vec<(String, EngineSettings, Vec<u8>)>,
    assets: BTreeMap<String, Vec<(String, Vec<u8>, u64)>>,
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
    /// If two parts have one name, or there are more than 16 endorsements.
    pub fn finish(mut self, key: &SecretKey) -> Result<Vec<u8>, ImageError> {
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
            let (table, content) = lay_out(files);
            let table = postcard::to_allocvec(&table).expect("tables are plain data");
            let entry = blobs.push(Kind::Assets { offset: 0, length: content.len() as u64 }, box_name, table);
            blobs.contents.push((entry, content));
        }
        blobs.write(key, &self.endorsements)
    }
}

/// Puts files one after another: large ones at pages' starts, so that they can be mapped.
fn lay_out(files: Vec<(String, Vec<u8>, u64)>) -> (Vec<File>, Vec<u8>) {
    let mut content = Vec::new();
    let table = files.into_iter().map(|(path, bytes, modified)| {
        let size = bytes.len() as u64;
        let offset = pad(&mut content, if size < PAGE { SMALL } else { PAGE });
        let chunks = if size > CHUNK { bytes.chunks(CHUNK as usize).map(hash).collect() } else { Vec::new() };
        content.extend_from_slice(&bytes);
        File { path, offset, size, modified, hash: hash(&bytes), chunks }
    });
    (table.collect(), content)
}

fn pad(bytes: &mut Vec<u8>, alignment: u64) -> u64 {
    let length = (bytes.len() as u64).next_multiple_of(alignment);
    bytes.resize(length as usize, 0);
    length
}

#[derive(Default)]
struct Blobs {
    entries: Vec<Entry>,
    blobs: Vec<Vec<u8>>,
    /// Files of assets, and the entries of their tables.
    contents: Vec<(usize, Vec<u8>)>,
}

impl Blobs {
    fn push(&mut self, kind: Kind, name: String, bytes: Vec<u8>) -> usize {
        self.entries.push(Entry { kind, name, offset: 0, length: bytes.len() as u64, hash: hash(&bytes) });
        self.blobs.push(bytes);
        self.entries.len() - 1
    }

    fn write(mut self, key: &SecretKey, endorsements: &[Endorsement]) -> Result<Vec<u8>, ImageError> {
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
        let mut image = header.write();
        endorsements.iter().for_each(|endorsement| image.extend(endorsement.write()));
        image.extend_from_slice(&index);
        for (entry, blob) in self.entries.iter().zip(&self.blobs) {
            image.resize(entry.offset as usize, 0);
            image.extend_from_slice(blob);
        }
        for (entry, content) in &self.contents {
            if let Kind::Assets { offset, .. } = self.entries[*entry].kind {
                image.resize(offset as usize, 0);
                image.extend_from_slice(content);
            }
        }
        Ok(image)
    }

    /// Gives each blob its place from `start` on; returns where the last one ends.
    fn place(&mut self, start: u64) -> u64 {
        let mut end = start;
        for entry in &mut self.entries {
            entry.offset = end.next_multiple_of(PAGE);
            end = entry.offset + entry.length;
        }
        for (index, content) in &self.contents {
            let entry = &mut self.entries[*index];
            let offset = end.next_multiple_of(PAGE);
            let length = content.len() as u64;
            entry.kind = Kind::Assets { offset, length };
            end = offset + length;
        }
        end
    }
}
