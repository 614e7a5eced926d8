//! An image as it lies in one piece, however it came to be here.

use super::{EngineSettings, Header, Image, ImageError, Kind};
use alloc::vec::Vec;

/// Reads an image from its start to its end. What is read has been held against its hash.
///
/// Code for engines that are set otherwise than the node's is left out: zeroes stand for it, as they do for what is
/// between the blobs.
pub struct Stream<'i, 'a> {
    image: &'i Image<'a>,
    length: u64,
    /// by their places, which do not overlap
    pieces: Vec<Piece>,
    next: usize,
    at: u64,
}

struct Piece {
    at: u64,
    length: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Manifest,
    /// its position
    Blob(usize),
    /// the position of its box's table, and its own
    File(usize, usize),
}

impl<'a> Image<'a> {
    /// Bytes of the image in one piece.
    pub fn length(&self) -> u64 {
        Header::read(&self.manifest).map_or(0, |header| header.length)
    }

    /// Reads all that a node of these engines needs.
    pub fn stream(&self, node: &[EngineSettings]) -> Result<Stream<'_, 'a>, ImageError> {
        let mut pieces = Vec::new();
        pieces.push(Piece { at: 0, length: self.manifest.len() as u64, what: What::Manifest });
        for (index, stored) in self.entries.iter().enumerate() {
            let entry = &stored.entry;
            match &entry.kind {
                Kind::Artifact(settings) if !node.contains(settings) => continue,
                Kind::Assets { offset, .. } => {
                    let assets = self.assets(&entry.name)?;
                    let file = |(file, place): (_, u64)| Piece {
                        at: offset + place,
                        length: assets.get(file).map_or(0, |asset| asset.size()),
                        what: What::File(index, file),
                    };
                    pieces.extend(assets.places().enumerate().map(file));
                }
                _ => {}
            }
            pieces.push(Piece { at: entry.offset, length: entry.length, what: What::Blob(index) });
        }
        pieces.retain(|piece| piece.length > 0);
        pieces.sort_by_key(|piece| piece.at);
        Ok(Stream { image: self, length: self.length(), pieces, next: 0, at: 0 })
    }
}

impl Stream<'_, '_> {
    /// Appends what comes next to `buffer`: at most `most` bytes, none at the end.
    pub fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, ImageError> {
        let before = buffer.len();
        let mut room = most as u64;
        while room > 0 && self.at < self.length {
            let piece = self.pieces.get(self.next);
            let start = piece.map_or(self.length, |piece| piece.at);
            let count = if self.at < start {
                let zeroes = room.min(start - self.at);
                buffer.resize(buffer.len() + zeroes as usize, 0);
                zeroes
            } else if let Some(piece) = piece {
                let from = self.at - piece.at;
                let count = room.min(piece.length - from);
                self.take(piece.what, from, count, buffer)?;
                if from + count == piece.length {
                    self.next += 1;
                }
                count
            } else {
                break;
            };
            self.at += count;
            room -= count;
        }
        Ok(buffer.len() - before)
    }

    fn take(&self, what: What, from: u64, count: u64, buffer: &mut Vec<u8>) -> Result<(), ImageError> {
        let before = buffer.len();
        match what {
            What::Manifest => buffer.extend_from_slice(super::format::part(&self.image.manifest, from, count)),
            What::Blob(index) => {
                let bytes = self.image.blob(&self.image.entries[index])?;
                buffer.extend_from_slice(super::format::part(bytes, from, count));
            }
            What::File(index, file) => {
                let assets = self.image.assets(&self.image.entries[index].entry.name)?;
                if let Some(asset) = assets.get(file) {
                    buffer.extend_from_slice(asset.read(from, count)?);
                }
            }
        }
        if (buffer.len() - before) as u64 == count {
            Ok(())
        } else {
            Err(ImageError::Truncated { has: self.at + (buffer.len() - before) as u64, needs: self.length })
        }
    }
}

#[cfg(all(test, feature = "build"))]
mod tests {
    use crate::{
        engine,
        image::{Assembly, Builder, Image, SecretKey},
    };
    use alloc::vec::Vec;

    fn read(image: &Image<'_>, step: usize) -> Vec<u8> {
        let node = engine::all_requirements(engine::LINUX_TRIPLE);
        let (mut stream, mut bytes) = (image.stream(&node).unwrap(), Vec::new());
        while stream.read(&mut bytes, step).unwrap() > 0 {}
        bytes
    }

    fn built(other_target: bool) -> Vec<u8> {
        let mut builder = Builder::new("system.toml", "[system]\nname = \"x\"\n[box.one]\ncomponent = \"one\"\n");
        builder.artifact("one", engine::requirements(engine::LINUX_TRIPLE), [7; 9_000].to_vec());
        if other_target {
            builder.artifact("one", engine::requirements(engine::KERNEL_TRIPLE), [8; 5_000].to_vec());
        }
        for (path, size) in [("a", 0), ("b", 1), ("large", 200_000), ("like-b", 1), ("z", 4_096)] {
            builder.asset("one", path, (0..size).map(|i| (i % 251) as u8).collect(), 0);
        }
        builder.finish(&SecretKey::from_seed(&[1; 32])).unwrap()
    }

    #[test]
    fn what_is_read_is_the_image() {
        let bytes = built(false);
        let trusted = [SecretKey::from_seed(&[1; 32]).public()];
        let image = Image::open(&bytes[..], &trusted).unwrap();
        assert_eq!(image.length(), bytes.len() as u64);
        for step in [1 << 20, 65_536, 4_095, 7] {
            assert!(read(&image, step) == bytes, "{step}");
        }
        let node = engine::all_requirements(engine::LINUX_TRIPLE);
        let mut assembly = Assembly::new(image.manifest().clone(), &trusted, &node, 1 << 30).unwrap();
        assembly.reuse(&image).unwrap();
        assert!(read(&assembly.finish().unwrap(), 10_000) == bytes, "put together from blobs");
    }

    #[test]
    fn code_for_others_is_left_out() {
        let bytes = built(true);
        let trusted = [SecretKey::from_seed(&[1; 32]).public()];
        let found = read(&Image::open(&bytes[..], &trusted).unwrap(), 65_536);
        assert_eq!(found.len(), bytes.len());
        let differs = |byte: u8| found.iter().zip(&bytes).filter(|(found, was)| found != was && **was == byte).count();
        assert_eq!((differs(8), found.iter().zip(&bytes).filter(|(a, b)| a != b).count()), (5_000, 5_000));
        // and what is left is the same again
        assert!(read(&Image::open(&found[..], &trusted).unwrap(), 65_536) == found);
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let bytes = built(false);
        let trusted = [SecretKey::from_seed(&[1; 32]).public()];
        let node = engine::all_requirements(engine::LINUX_TRIPLE);
        for place in (5_000..bytes.len()).step_by(1_777) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 4;
            let image = Image::open(&bytes[..], &trusted).unwrap();
            let all = || -> Result<Vec<u8>, crate::image::ImageError> {
                let (mut stream, mut read) = (image.stream(&node)?, Vec::new());
                while stream.read(&mut read, 50_000)? > 0 {}
                Ok(read)
            };
            match all() {
                Err(_) => {}
                // between the blobs, where nothing is looked at
                Ok(read) => assert!(read != bytes && read == built(false), "{place}"),
            }
        }
    }
}
