//! What is brought is bounded, counted, and given back.

use super::*;

#[test]
fn what_is_no_part_of_the_image_is_not_taken() {
    let running = start(ONE, &[("one", component(FOREVER))]).unwrap();
    let old: &Node = &running.node;
    let stranger = SecretKey::from_seed(&[9; 32]);
    let why = begin(old, &other(&stranger, b"x"), 1 << 20).err().unwrap();
    assert!(why.contains("does not trust"), "{why}");
    let bytes = other(&key(), &[1; 5_000]);
    assert!(begin(old, &bytes, 10).err().unwrap().contains("too large"));

    let new = Image::open(&bytes[..], &[key().public()]).unwrap();
    let mut upload = begin(old, &bytes, 1 << 20).unwrap();
    let lacks = upload.lacks();
    let hash = lacks.first_chunk::<32>().unwrap();
    let blobs = new.blobs().unwrap();
    let (_, blob) = blobs.iter().find(|(known, _)| known.0 == *hash).unwrap();
    let length = blob.len() as u64;
    let mut refused = |hash: &[u8], length: u64, offset: u64, part: &[u8], why: &str| {
        let error = upload.put(hash, length, offset, part).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(&[1; 31], length, 0, blob, "a hash of 31 bytes");
    refused(&[1; 32], length, 0, blob, "none that the image lacks");
    refused(hash, u64::MAX, 0, blob, "bytes in this image");
    refused(hash, length, 5, blob, "does not follow");
    refused(hash, length, 0, &vec![0; blob.len() + 1], "longer than");
    refused(hash, length, 0, &vec![0xee; blob.len()], "no blob that the image lacks");
    upload.put(hash, length, 0, blob).unwrap();
}

/// What an upload of one large file is made of.
struct Large {
    running: Running,
    bytes: Vec<u8>,
    hash: [u8; 32],
    length: u64,
}

impl Large {
    fn new() -> Self {
        let running = start(ONE, &[("one", component(FOREVER))]).unwrap();
        let file = vec![5; 300_000];
        let hash = crate::image::hash(&file).0;
        Large { running, bytes: other(&key(), &file), hash, length: file.len() as u64 }
    }

    fn used(&self) -> u64 {
        self.running.node.uploads.used()
    }

    /// Begins it and brings all but the file.
    fn begin(&self, room: u64) -> Result<Upload, String> {
        let mut upload = begin(&self.running.node, &self.bytes, room)?;
        let new = Image::open(&self.bytes[..], &[key().public()]).unwrap();
        let blobs = new.blobs().unwrap();
        while let Some(hash) = upload.lacks().as_chunks::<32>().0.iter().find(|hash| **hash != self.hash) {
            let (_, blob) = blobs.iter().find(|(known, _)| known.0 == *hash).unwrap();
            upload.put(hash, blob.len() as u64, 0, blob)?;
        }
        Ok(upload)
    }

    fn part(&self, upload: &mut Upload, offset: u64, length: usize) -> Result<(), String> {
        upload.put(&self.hash, self.length, offset, &vec![5; length])
    }
}

#[test]
fn what_is_brought_counts_until_it_is_dropped() {
    let large = Large::new();
    let mut upload = large.begin(1 << 20).unwrap();
    let before = large.used();
    assert!(before > 0, "the manifest and the table");
    large.part(&mut upload, 0, 30_000).unwrap();
    assert_eq!(large.used(), before + large.length, "all of a blob at once, since there must be room for it");
    large.part(&mut upload, 0, 10).unwrap();
    assert_eq!(large.used(), before + large.length, "begun again");
    for offset in (10..large.length).step_by(29_999) {
        large.part(&mut upload, offset, 29_999.min((large.length - offset) as usize)).unwrap();
    }
    assert_eq!((large.used(), upload.missing_bytes()), (before + large.length, 0));
    drop(upload);
    assert_eq!(large.used(), 0);
}

#[test]
fn bytes_that_are_others_are_given_back() {
    let large = Large::new();
    let mut upload = large.begin(1 << 20).unwrap();
    let before = large.used();
    let why = upload.put(&large.hash, large.length, 0, &vec![6; large.length as usize]).unwrap_err();
    assert!(why.contains("no blob that the image lacks"), "{why}");
    assert_eq!(large.used(), before);
    let mut bytes = vec![5; large.length as usize];
    *bytes.last_mut().unwrap() ^= 1;
    upload.put(&large.hash, large.length, 0, &bytes).unwrap_err();
    assert_eq!(large.used(), before);
}

#[test]
fn no_more_is_brought_than_is_granted() {
    let large = Large::new();
    // what is in a table is known only when the table is there
    let mut upload = large.begin(200_000).unwrap();
    let why = large.part(&mut upload, 0, 10).unwrap_err();
    assert!(why.contains("the arrow to `pearwood:control/node` grants an `upload` of 195 KiB"), "{why}");
    drop(upload);
    let assembly = large
        .running
        .node
        .assemble(Image::open(&large.bytes[..], &[key().public()]).unwrap().manifest().to_vec(), 1 << 30);
    let why = Upload::begin(assembly.unwrap(), Bound::Free(100), &large.running.node.uploads).err().unwrap();
    assert!(why.contains("half of the node's free memory is 0 KiB"), "{why}");
    assert_eq!(large.used(), 0);
}

#[test]
fn the_arrow_says_how_much() {
    let running = with_power("arrows.\"pearwood:control/node\" = { node = true, upload = \"2 MiB\" }").unwrap();
    let node = &running.node;
    let plan = &node.running().plan;
    let upload = |name| plan.upload_of(plan.position(name).unwrap());
    assert_eq!((upload("control"), upload("two")), (Some(2 << 20), None));
    let bytes = other(&key(), b"x");
    let manifest = Image::open(&bytes[..], &[key().public()]).unwrap().manifest().to_vec();
    assert_eq!(node.begin_upload(manifest, "control").unwrap().bound, Bound::Granted(2 << 20));
}
