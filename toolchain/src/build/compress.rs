//! Compressed variants of assets: beside `site.css` also `site.css.br` and `site.css.gz`, which the site box sends to
//! clients that take them. Compressing at build time costs the node nothing and can afford the best ratio.

use super::assets::{Content, File};
use crate::files;
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Files smaller than this fit in a packet or two as they are.
const SMALLEST: u64 = 1024;

/// What compresses well. Pictures, sound, fonts (woff2) and archives are compressed already.
const TEXT: &[&str] = &[
    "atom",
    "css",
    "csv",
    "geojson",
    "htm",
    "html",
    "ico",
    "ics",
    "js",
    "json",
    "jsonld",
    "map",
    "md",
    "mjs",
    "rss",
    "svg",
    "toml",
    "tsv",
    "ttf",
    "txt",
    "wasm",
    "webmanifest",
    "xhtml",
    "xml",
    "xsl",
    "yaml",
    "yml",
];

#[derive(Clone, Copy)]
struct Coding {
    suffix: &'static str,
    compress: fn(&[u8]) -> Result<Vec<u8>>,
    unpack: for<'a> fn(&'a [u8]) -> Box<dyn Read + 'a>,
}

const CODINGS: [Coding; 2] = [
    Coding { suffix: ".br", compress: brotli, unpack: |packed| Box::new(brotli::Decompressor::new(packed, 1 << 16)) },
    Coding { suffix: ".gz", compress: gzip, unpack: |packed| Box::new(MultiGzDecoder::new(packed)) },
];

/// Whether all that can be read is that content. No more than that is unpacked.
fn unpacks_to(mut unpacked: impl Read, mut content: &[u8]) -> bool {
    let mut part = [0; 1 << 14];
    loop {
        match unpacked.read(&mut part) {
            Ok(0) => return content.is_empty(),
            Ok(length) => match content.strip_prefix(&part[..length]) {
                Some(rest) => content = rest,
                None => return false,
            },
            Err(_) => return false,
        }
    }
}

/// Adds the variants that are worth it, and not there already, to the files of a box. One that is there already must be what it
/// is a variant of: clients get one or the other, and the same content.
///
/// What was compressed is kept in `cache` by its content's hash; on a second run nothing is compressed again.
pub fn add_variants(files: &mut Vec<File>, cache: &Path) -> Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make the folder {}", cache.display()))?;
    let there: BTreeMap<&str, &File> = files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut wanted = Vec::new();
    for file in &*files {
        for coding in CODINGS {
            let name = format!("{}{}", file.path, coding.suffix);
            match there.get(name.as_str()) {
                Some(variant) if !unpacks_to((coding.unpack)(&variant.content.read()?), &file.content.read()?) => {
                    bail!(
                        "{name} is not {} compressed, though clients that take it would get it in place of that: remove \
                     it (variants of text are made at build), compress the file again, or rename it",
                        file.path
                    )
                }
                Some(_) => {}
                None if file.content.size() >= SMALLEST && is_text(&file.path) => wanted.push((file, coding, name)),
                None => {}
            }
        }
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<File>> {
        let mut made = Vec::new();
        while let Some((file, coding, name)) = wanted.get(next.fetch_add(1, Relaxed)) {
            let content = file.content.read()?;
            let packed = cached(&content, *coding, cache).with_context(|| format!("cannot compress {}", file.path))?;
            if is_worth_it(content.len(), packed.len()) {
                made.push(File { path: name.clone(), content: Content::Bytes(packed), modified: file.modified });
            }
        }
        Ok(made)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let made: Result<Vec<Vec<File>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("compressors do not panic")).collect()
    });
    files.extend(made?.into_iter().flatten());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    TEXT.contains(&extension.as_str())
}

/// A tenth saved, or the variant is not worth its place in the image.
fn is_worth_it(plain: usize, compressed: usize) -> bool {
    compressed < plain - plain / 10
}

fn cached(content: &[u8], coding: Coding, cache: &Path) -> Result<Vec<u8>> {
    let kept = cache.join(format!("{}{}", blake3::hash(content).to_hex(), coding.suffix));
    if let Ok(compressed) = fs::read(&kept) {
        return Ok(compressed);
    }
    let compressed = (coding.compress)(content)?;
    files::replace(&kept, &compressed)?;
    Ok(compressed)
}

fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    // Quality 11 takes ten times as long for a few hundredths more.
    let parameters = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &content[..], &mut compressed, &parameters)?;
    Ok(compressed)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    // Without name and time the same content gives the same bytes.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: impl Into<Vec<u8>>) -> File {
        File { path: path.into(), content: Content::Bytes(content.into()), modified: 7 }
    }

    fn noise(bytes: u32) -> Vec<u8> {
        (0..bytes).flat_map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[..1].to_vec()).collect()
    }

    #[test]
    fn text_gets_variants_that_unpack_to_it() {
        let text = "boxes and arrows ".repeat(200);
        let mut by_hand = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        by_hand.write_all(text.as_bytes()).unwrap();
        let by_hand = by_hand.finish().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let mut first = Vec::new();
        for round in 0..2 {
            let mut files = vec![
                file("a.css", text.as_str()),
                file("b.html", "short"),
                file("c.jpg", text.as_str()),
                file("d.txt", noise(5_000)),
                file("e.js", text.as_str()),
                file("e.js.gz", by_hand.as_slice()),
            ];
            add_variants(&mut files, cache.path()).unwrap();
            let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
            assert_eq!(
                paths,
                ["a.css", "a.css.br", "a.css.gz", "b.html", "c.jpg", "d.txt", "e.js", "e.js.br", "e.js.gz"],
                "round {round}"
            );
            assert_eq!(files[8].content, Content::Bytes(by_hand.clone()));
            assert!(files.iter().all(|file| file.modified == 7));
            let mut unpacked = String::new();
            flate2::read::GzDecoder::new(&files[2].content.read().unwrap()[..]).read_to_string(&mut unpacked).unwrap();
            assert_eq!(unpacked, text);
            let mut unpacked = Vec::new();
            brotli::BrotliDecompress(&mut &files[1].content.read().unwrap()[..], &mut unpacked).unwrap();
            assert_eq!(unpacked, text.as_bytes());
            if round == 0 {
                first = files;
            } else {
                assert_eq!(files, first, "from the cache");
            }
        }
    }

    /// H4: a page that is newer than its compressed variant is not shipped with that.
    #[test]
    fn a_variant_of_something_else_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        let old = "the page as it was".repeat(2_000);
        for (suffix, packed) in [(".gz", gzip(old.as_bytes()).unwrap()), (".br", brotli(old.as_bytes()).unwrap())] {
            let cut = &packed[..packed.len() - 5];
            let longer = old.clone() + "x";
            for (page, variant) in [
                ("the page as it is now", &packed[..]),
                (&old[..old.len() - 1], &packed),
                (&longer, &packed),
                ("", &packed),
                (&old, b"by hand"),
                (&old, cut),
            ] {
                let mut files = vec![file("page.html", page), file(&format!("page.html{suffix}"), variant)];
                let why = add_variants(&mut files, cache.path()).unwrap_err().to_string();
                assert!(why.contains(&format!("page.html{suffix} is not page.html compressed")), "{why}");
            }
            let mut files = vec![file("page.html", old.as_str()), file(&format!("page.html{suffix}"), packed)];
            add_variants(&mut files, cache.path()).unwrap();
            assert_eq!(files.len(), 3);
        }
    }
}
