//! What the image holds, arranged by what clients ask for: URL paths lead to resources, resources have
//! representations (the file itself, and its precompressed variants).

use crate::{assets::Entry, encoding::Encoding, listing, media_type, settings::Settings, target};
use rustc_hash::{FxHashMap, FxHasher};
use std::{hash::Hasher, rc::Rc};

/// Something with a URL.
#[derive(Debug)]
pub struct Resource {
    /// The file's path in the assets.
    pub path: Rc<str>,
    /// The representation that is the file itself.
    identity: u32,
    /// Those in [`Encoding::COMPRESSED`] that there are.
    variants: Variants,
}

impl Resource {
    #[inline]
    pub fn identity(&self) -> u32 {
        self.identity
    }

    /// More than one representation.
    #[inline]
    pub fn varies(&self) -> bool {
        self.variants.iter().any(Option::is_some)
    }

    /// The representation in that coding.
    pub fn variant(&self, encoding: Encoding) -> Option<u32> {
        match Encoding::COMPRESSED.iter().position(|known| *known == encoding) {
            Some(at) => self.variants[at],
            None => Some(self.identity),
        }
    }
}

/// A file as it is sent for a resource.
#[derive(Debug)]
pub struct Representation {
    pub resource: u32,
    pub content: Content,
    pub encoding: Encoding,
    pub size: u64,
    /// a strong entity tag, quotes included: another one for each content
    pub etag: [u8; ETAG],
    pub modified: u64,
    /// for multipart bodies; as good as certain not to occur in the content, whose hash it is
    pub boundary: [u8; BOUNDARY],
}

#[derive(Debug)]
pub enum Content {
    /// That of the asset with this index.
    Asset(u32),
    /// A page that the box has made.
    Made(Box<[u8]>),
}

pub const ETAG: usize = 2 + 32;
pub const BOUNDARY: usize = 32;

#[derive(Debug, Default)]
pub struct Catalogue {
    resources: Vec<Resource>,
    representations: Vec<Representation>,
    /// By decoded path without the first `/`; a folder with an index is there with its last `/`.
    paths: FxHashMap<Box<str>, u32>,
    not_found: Option<u32>,
    /// paths of files that no URL can name
    pub unreachable: Vec<String>,
}

impl Catalogue {
    pub fn new(entries: Vec<Entry>, settings: &Settings) -> Self {
        let variants = variants(&entries);
        let mut catalogue = Catalogue::default();
        catalogue.paths.reserve(entries.len());
        for (entry, at) in entries.iter().zip(0..) {
            if !target::nameable(&entry.path) {
                catalogue.unreachable.push(entry.path.clone());
                continue;
            }
            let resource = catalogue.resources.len() as u32;
            let encoding = settings.encoding(&entry.path);
            let identity = catalogue.add(resource, entry, Content::Asset(at), encoding);
            let mut variants = variants.get(entry.path.as_str()).copied().unwrap_or_default();
            for (variant, encoding) in variants.iter_mut().zip(Encoding::COMPRESSED) {
                // All representations of a resource change at once.
                let of = |at: u32| Entry { modified: entry.modified, ..entries[at as usize].clone() };
                *variant = variant.map(|at| catalogue.add(resource, &of(at), Content::Asset(at), encoding));
            }
            catalogue.resources.push(Resource { path: entry.path.as_str().into(), identity, variants });
            catalogue.paths.insert(entry.path.as_str().into(), resource);
            if let Some(folder) = settings.folder_of(&entry.path) {
                catalogue.paths.insert(folder.into(), resource);
            }
        }
        for (folder, page) in listing::pages(&entries, |path| catalogue.find(path).is_some(), settings) {
            catalogue.add_page(folder, page);
        }
        if settings.clean_urls {
            for (resource, at) in catalogue.resources.iter().zip(0..) {
                if let Some(path) = resource.path.strip_suffix(".html")
                    && target::nameable(path)
                    && settings.folder_of(&resource.path).is_none()
                {
                    catalogue.paths.entry(path.into()).or_insert(at);
                }
            }
        }
        catalogue.not_found = catalogue.paths.get(settings.not_found.as_str()).copied();
        catalogue
    }

    fn add(&mut self, resource: u32, entry: &Entry, content: Content, encoding: Encoding) -> u32 {
        let mut etag = [b'"'; ETAG];
        etag[1..ETAG - 1].copy_from_slice(&hex(&entry.hash[..16]));
        let boundary = hex(&entry.hash[16..]);
        let (size, modified) = (entry.size, entry.modified);
        let representation = Representation { resource, content, encoding, size, etag, modified, boundary };
        self.representations.push(representation);
        self.representations.len() as u32 - 1
    }

    /// A page that is no file, unless there is a file for its path.
    fn add_page(&mut self, path: String, page: String) {
        if self.paths.contains_key(path.as_str()) {
            return;
        }
        let mut hash = [0; 32];
        for (seed, part) in hash.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut hasher = FxHasher::default();
            hasher.write_usize(seed);
            hasher.write(page.as_bytes());
            *part = hasher.finish().to_le_bytes();
        }
        let resource = self.resources.len() as u32;
        let entry = Entry { path: String::new(), size: page.len() as u64, hash, modified: 0 };
        let content = Content::Made(page.into_bytes().into());
        let identity = self.add(resource, &entry, content, Encoding::Identity);
        self.resources.push(Resource { path: path.as_str().into(), identity, variants: Variants::default() });
        self.paths.insert(path.into(), resource);
    }

    /// What a decoded path without its first `/` leads to.
    #[inline]
    pub fn find(&self, path: &str) -> Option<u32> {
        self.paths.get(path).copied()
    }

    /// What to send where there is nothing.
    pub fn not_found(&self) -> Option<u32> {
        self.not_found
    }

    #[inline]
    pub fn resource(&self, resource: u32) -> &Resource {
        &self.resources[resource as usize]
    }

    #[inline]
    pub fn representation(&self, representation: u32) -> &Representation {
        &self.representations[representation as usize]
    }

    pub fn representations(&self) -> usize {
        self.representations.len()
    }

    /// The media type of a resource.
    pub fn media_type<'a>(&self, resource: u32, settings: &'a Settings) -> &'a str {
        let resource = self.resource(resource);
        if matches!(self.representation(resource.identity).content, Content::Made(_)) {
            return "text/html; charset=utf-8";
        }
        let path = &resource.path;
        let of = |extension: &str| settings.types.get(&extension.to_ascii_lowercase()).map(String::as_str);
        let set = settings.media_type(path).or_else(|| media_type::extension(path).and_then(of));
        set.unwrap_or_else(|| media_type::of(path))
    }
}

/// By the path of what they are variants of: the indices of precompressed files, as in [`Encoding::COMPRESSED`].
fn variants(entries: &[Entry]) -> FxHashMap<&str, Variants> {
    let mut variants: FxHashMap<&str, Variants> = FxHashMap::default();
    for (entry, at) in entries.iter().zip(0..) {
        for (place, encoding) in Encoding::COMPRESSED.into_iter().enumerate() {
            if let Some(path) = entry.path.strip_suffix(encoding.suffix()) {
                variants.entry(path).or_default()[place] = Some(at);
            }
        }
    }
    variants
}

type Variants = [Option<u32>; Encoding::COMPRESSED.len()];

/// The digits of 16 bytes.
fn hex(bytes: &[u8]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(paths: &[&str]) -> Catalogue {
        let entries = paths.iter().zip(1..).map(|(path, n)| Entry {
            path: path.to_string(),
            size: n,
            hash: [n as u8; 32],
            modified: n,
        });
        Catalogue::new(entries.collect(), &Settings::default())
    }

    #[test]
    fn folders_with_an_index() {
        let catalogue = catalogue(&["a/b.html", "a/index.html", "index.html", "noindex.html", "xindex.html"]);
        assert_eq!(catalogue.find(""), catalogue.find("index.html"));
        assert_eq!(catalogue.find("a/"), catalogue.find("a/index.html"));
        assert!(catalogue.find("").is_some() && catalogue.find("a/").is_some());
        assert_eq!((catalogue.find("a"), catalogue.find("no"), catalogue.find("x")), (None, None, None));
    }

    #[test]
    fn variants_belong_to_a_file_and_are_files() {
        let catalogue = catalogue(&["a.css", "a.css.br", "a.css.gz", "b.tar.gz", "c.js", "c.js.gz"]);
        let resource = |path| catalogue.resource(catalogue.find(path).unwrap());
        let a = resource("a.css");
        assert!(a.variant(Encoding::Brotli).is_some() && a.variant(Encoding::Gzip).is_some());
        let brotli = catalogue.representation(a.variant(Encoding::Brotli).unwrap());
        assert!(matches!(brotli.content, Content::Asset(1)) && brotli.size == 2 && brotli.modified == 1);
        assert_ne!(brotli.etag, catalogue.representation(a.identity()).etag);
        assert!(!resource("a.css.br").varies() && !resource("b.tar.gz").varies());
        let c = resource("c.js");
        assert!(c.variant(Encoding::Gzip).is_some() && c.variant(Encoding::Brotli).is_none());
    }

    #[test]
    fn what_no_url_can_name() {
        let catalogue = catalogue(&["../etc/passwd", "/abs", "a//b", "good"]);
        assert_eq!(catalogue.unreachable, ["../etc/passwd", "/abs", "a//b"]);
        assert_eq!(catalogue.find("../etc/passwd"), None);
        assert!(catalogue.find("good").is_some());
    }
}
