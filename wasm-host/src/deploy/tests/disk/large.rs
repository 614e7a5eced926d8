//! Images that are more than a node's memory has room for: they come to the disk as they are brought, and are used there.

use super::*;
use crate::{
    image::{Hash, ImageError},
    node::{Lacks, Upload, upload::Bound},
    slots::Kept,
};
use alloc::vec;
use core::{
    pin::pin,
    task::{Context, Poll, Waker},
};

const BIG: usize = 1_100_000;
/// Half of it is more than components take, and less than the large file.
const MEMORY: u64 = 2 << 20;

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut random = crate::platform::fake::Random(seed.into());
    (0..length).map(|_| random.below(256) as u8).collect()
}

fn files(version: u8) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    vec![
        ("site", "a-small", vec![version; 100]),
        ("site", "b-big", noise(1, BIG)),
        ("site", "c-small", b"the same".to_vec()),
        ("site", "d-other", noise(version, 150_001)),
        // the same as something that is no file
        ("site", "system.toml", SITE.as_bytes().to_vec()),
        ("site", "z-twice", vec![version; 100]),
        ("site", "zz-empty", Vec::new()),
    ]
}

fn large(version: u8) -> Arc<Image<'static>> {
    fixture::image_with(SITE, &with_client(&site(version)), &files(version))
}

/// What never waits for anything but a turn of the others.
fn settled<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn begin(world: &World, image: &Image<'_>) -> Result<Upload, String> {
    let (node, store) = (&world.running.node, store(world));
    let assembly = node.assemble_on(image.manifest().to_vec(), store.slot_bytes(), true);
    let assembly = assembly.map_err(|error: ImageError| error.to_string())?;
    Upload::begin_on(assembly, Bound::Free(node.room()), &node.uploads, Some(store))
}

/// Brings what is lacking. Yields how many bytes that were.
fn bring(upload: &mut Upload, image: &Image<'_>, step: usize) -> Result<usize, String> {
    let blobs = image.blobs().unwrap();
    let mut brought = 0;
    loop {
        let hashes = match upload.asks()? {
            Lacks::Hashes(hashes) => hashes,
            Lacks::Copies(_) => {
                settled(upload.work());
                continue;
            }
        };
        if hashes.is_empty() {
            return Ok(brought);
        }
        for name in hashes.as_chunks::<32>().0 {
            let (_, blob) = blobs.iter().find(|(known, _)| *known == Hash(*name)).unwrap();
            for (index, part) in blob.chunks(step).enumerate() {
                upload.put(name, blob.len() as u64, (index * step) as u64, part)?;
                settled(upload.work());
            }
            brought += blob.len();
        }
    }
}

fn brings(world: &mut World, version: u8) -> Result<(usize, Outcome), String> {
    let image = large(version);
    let mut upload = Some(begin(world, &image)?);
    let brought = bring(upload.as_mut().unwrap(), &image, 30 << 10)?;
    let node = world.running.node.clone();
    let number = node.deploy_upload(&mut upload, quick())?;
    let deployment = node.deployments.find(number.expect("a change")).unwrap();
    Ok((brought, world.over(&deployment)))
}

/// The files of what runs are those of a version, to the last byte.
fn serves(world: &World, version: u8) {
    assert!(world.running.node.running().image.is_on_disk());
    let assets = world.running.node.find("site").unwrap().assets();
    assert_eq!(assets.len(), files(version).len());
    for (_, path, content) in files(version) {
        let asset = assets.find(path).unwrap();
        let mut read = Vec::new();
        while let Some(piece) = asset.piece(read.len() as u64) {
            read.extend(piece.verified(block_on(piece.read())).unwrap_or_else(|error| panic!("{path}: {error}")));
        }
        assert!(read == content, "{path}");
    }
}

fn small(world: World) -> World {
    world.running.platform.set_memory(MEMORY);
    world
}

/// What is started with the disk, which must hold a system.
fn reboot(disk: &Arc<FakeDisk>) -> (Arc<Store>, Image<'static>) {
    let store = Arc::new(block_on(Store::open(disk.clone())).unwrap().expect("it has slots"));
    let key = [fixture::key().public()];
    let accept = |kept: &Kept| kept.check(&key).map_err(|error| error.to_string());
    let chosen = block_on(store.choose(MEMORY / 2, accept, |_| ()));
    let image = chosen.expect("a system").image.open(&key).unwrap();
    assert!(image.is_on_disk());
    (store, image)
}

fn version_of(image: &Image<'_>) -> u8 {
    let assets = image.assets("site").unwrap();
    let piece = assets.find("a-small").unwrap().piece(0).unwrap();
    piece.verified(block_on(piece.read())).unwrap()[0]
}

#[test]
fn it_is_brought_to_the_disk_and_only_what_is_new() {
    let disk = Arc::new(blank());
    let mut world = small(boot(&disk));
    let (brought, outcome) = brings(&mut world, b'2').unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!(brought > BIG, "{brought}");
    serves(&world, b'2');
    assert_eq!(runs(&mut world), b'2');
    for version in b'3'..=b'6' {
        let (brought, outcome) = brings(&mut world, version).unwrap();
        assert_eq!(outcome, Outcome::Done);
        assert!(brought < BIG, "{brought}: the large file is copied");
        serves(&world, version);
        let (_, image) = reboot(&Arc::new(disk.after_power_cut(1)));
        assert_eq!(version_of(&image), version);
    }
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    serves(&world, b'5');
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    serves(&world, b'6');
    assert_eq!(world.running.node.uploads.used(), 0);
}

#[test]
fn one_that_fits_and_one_that_does_not_take_turns() {
    let disk = Arc::new(blank());
    let mut world = small(boot(&disk));
    assert_eq!(brings(&mut world, b'2').unwrap().1, Outcome::Done);
    assert_eq!(deploys(&mut world, &site(b'3')).1, Outcome::Done);
    assert!(!world.running.node.running().image.is_on_disk());
    assert_eq!(brings(&mut world, b'4').unwrap().1, Outcome::Done);
    serves(&world, b'4');
    assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
    assert_eq!(runs(&mut world), b'3');
}

/// What runs where it lies is not written over, whatever comes and goes.
#[test]
fn what_is_used_is_not_written_over() {
    let disk = Arc::new(blank());
    let mut world = small(boot(&disk));
    brings(&mut world, b'2').unwrap();
    brings(&mut world, b'3').unwrap();
    let images: Vec<_> = (b'4'..b'8').map(large).collect();
    for image in &images {
        // one that is dropped half way
        let mut upload = begin(&world, image).unwrap();
        bring(&mut upload, image, 10_000).unwrap();
        serves(&world, b'3');
        // and it is nobody else's meanwhile
        assert_eq!(deploys(&mut world, &site(b'2')).1, Outcome::Done);
        assert_eq!(rolls_back(&mut world), Step::Over(Outcome::Done));
        serves(&world, b'3');
        drop(upload);
        assert_eq!(runs(&mut world), b'3');
    }
}

#[test]
fn what_is_damaged_on_the_disk_is_brought_again() {
    let disk = Arc::new(blank());
    let mut world = small(boot(&disk));
    brings(&mut world, b'2').unwrap();
    block_on(disk.flush()).unwrap();
    let part = noise(1, BIG)[100_000..100_100].to_vec();
    disk.damage(|bytes| {
        let place = bytes.windows(part.len()).position(|found| found == part).unwrap();
        bytes[place] ^= 1;
    });
    let (brought, outcome) = brings(&mut world, b'3').unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!(brought > BIG, "{brought}");
    serves(&world, b'3');
}

#[test]
fn what_is_not_the_images_is_not_taken() {
    let disk = Arc::new(blank());
    let world = small(boot(&disk));
    let image = large(b'2');
    let mut upload = begin(&world, &image).unwrap();
    let big = crate::image::hash(&noise(1, BIG));
    // the table first
    while upload
        .asks()
        .is_ok_and(|lacks| matches!(lacks, Lacks::Hashes(hashes) if !hashes.as_chunks().0.contains(&big.0)))
    {
        let name = upload.lacks()[..32].to_vec();
        let blobs = image.blobs().unwrap();
        let (_, blob) = blobs.iter().find(|(known, _)| known.0[..] == name).unwrap();
        upload.put(&name, blob.len() as u64, 0, blob).unwrap();
        settled(upload.work());
    }
    let mut content = noise(1, BIG);
    content[70_000] ^= 1;
    upload.put(&big.0, BIG as u64, 0, &content[..66_000]).unwrap();
    let why = upload.put(&big.0, BIG as u64, 66_000, &content[66_000..]).unwrap_err();
    assert!(why.contains("what is at 65536 is not what its image says"), "{why}");
    assert!(upload.put(&big.0, BIG as u64, 66_000, &content[66_000..]).unwrap_err().contains("does not follow"));
    let used = world.running.node.uploads.used();
    assert!(used < MEMORY / 2, "{used}: not the file");
    bring(&mut upload, &image, 100_000).unwrap();
    assert!(world.running.node.uploads.used() < MEMORY / 2, "nor all files");
    drop(upload);
    assert_eq!(world.running.node.uploads.used(), 0);
}

#[test]
fn a_disk_that_fails_ends_the_upload_and_nothing_else() {
    let disk = Arc::new(blank());
    let mut world = small(boot(&disk));
    brings(&mut world, b'2').unwrap();
    disk.fail_writes();
    let why = brings(&mut world, b'3').unwrap_err();
    assert!(why.contains("the disk reports an error"), "{why}");
    serves(&world, b'2');
    assert_eq!(runs(&mut world), b'2');
}

/// Power fails at each write while an image is brought and deployed.
#[test]
fn power_that_fails_leaves_the_old_system_or_the_new() {
    let disk = Arc::new(blank());
    brings(&mut small(boot(&disk)), b'2').unwrap();
    let prepared = disk.after_power_cut(1);
    let mut operations = 0;
    loop {
        let disk = Arc::new(prepared.after_power_cut(0));
        let mut world = {
            let (store, image) = reboot(&disk);
            let platform = FakePlatform::leak();
            platform.add_disk(disk.clone());
            platform.set_slots(store);
            small(World::with_image(platform, Arc::new(image)))
        };
        serves(&world, b'2');
        let before = disk.operations();
        disk.power_fails_after(operations);
        let brought = brings(&mut world, b'3').is_ok();
        let lasts = world.running.node.history().pop().and_then(|record| record.lasts);
        let done = brought && matches!(lasts, Some(Lasts::Kept { .. }));
        for seed in 0..6 {
            let (_, image) = reboot(&Arc::new(disk.after_power_cut(seed)));
            let found = version_of(&image);
            assert!(found == b'3' || found == b'2' && !done, "after {operations}, seed {seed}: {found}");
        }
        if disk.operations() - before <= operations {
            assert!(done, "without a power cut it is done");
            return;
        }
        operations += 5;
        assert!(operations < 400);
    }
}
