//! What is read of files on a disk is right or is not given; what is kept of it is paid for, and given back.

use super::*;
use crate::{
    image::{Assets, Builder, Image, SecretKey, Source, head_length},
    platform::{
        Disk, DiskError, Extent, Geometry,
        fake::{FakeDisk, block_on},
    },
};
use alloc::{boxed::Box, string::ToString, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 40;

fn content() -> Vec<u8> {
    (0..BLOCKS * BLOCK - 7).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// A disk that answers when it is open, and counts what it is asked.
struct Slow {
    disk: FakeDisk,
    is_open: Arc<AtomicBool>,
    reads: AtomicUsize,
}

impl Disk for Slow {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        self.reads.fetch_add(1, Relaxed);
        let (is_open, read) = (self.is_open.clone(), self.disk.read(first, sectors));
        Box::pin(async move {
            core::future::poll_fn(|_| if is_open.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
            read.await
        })
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        self.disk.write(first, data)
    }

    fn flush(&self) -> Pending<()> {
        self.disk.flush()
    }
}

struct World {
    disk: Arc<Slow>,
    assets: Assets<'static>,
    pieces: Arc<Pieces>,
    budget: Arc<Budget>,
}

/// An image of some files on a disk, and a budget for so many blocks of them.
fn world(blocks: usize) -> World {
    let key = SecretKey::from_seed(&[7; 32]);
    let mut builder = Builder::new("system.toml", "[system]");
    builder.asset("site", "big", content(), 0).asset("site", "small", b"small".to_vec(), 0);
    builder.asset("site", "tiny", b"tiny".to_vec(), 0).asset("site", "empty", Vec::new(), 0);
    let mut bytes = builder.finish(&key).unwrap();
    let head = head_length(&bytes).unwrap();
    assert!(head < 40_000, "{head}: all but the files");
    bytes.resize(bytes.len().next_multiple_of(4_096), 0);
    let head = bytes[..head as usize].to_vec();
    let disk = FakeDisk::of(bytes, 512);
    let disk = Arc::new(Slow { disk, is_open: Arc::new(AtomicBool::new(true)), reads: AtomicUsize::new(0) });
    let source = Source::new(Extent::new(disk.clone(), 0, None, true).unwrap(), ());
    let image = Image::open_head(head, source, &[key.public()]).unwrap();
    let assets = image.assets("site").unwrap();
    assert!(assets.are_on_disk());
    let budget = Budget::new((blocks * (BLOCK + ENTRY)) as u64);
    World { disk, assets, pieces: Pieces::new(&budget), budget }
}

impl World {
    fn get(&self, path: &str, offset: u64) -> Poll<Result<Vec<u8>, Fault>> {
        let piece = self.assets.find(path).unwrap().piece(offset).unwrap();
        let from = (offset - piece.offset) as usize;
        self.pieces.get(&piece, || Waker::noop().clone(), |bytes| bytes[from..].to_vec())
    }

    fn block(&self, number: usize) -> Poll<Result<Vec<u8>, Fault>> {
        self.get("big", (number * BLOCK) as u64)
    }

    fn reads(&self) -> usize {
        self.disk.reads.load(Relaxed)
    }
}

#[test]
fn pieces_are_what_the_files_have() {
    let world = world(100);
    let content = content();
    for offset in [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 77, content.len() - 1] {
        let end = content.len().min((offset / BLOCK + 1) * BLOCK);
        assert!(world.get("big", offset as u64) == Poll::Ready(Ok(content[offset..end].to_vec())), "{offset}");
    }
    assert_eq!(world.get("small", 1), Poll::Ready(Ok(b"mall".to_vec())));
    assert_eq!(world.get("tiny", 0), Poll::Ready(Ok(b"tiny".to_vec())), "in the same block of the disk");
    let find = |path: &str| world.assets.find(path).unwrap();
    assert!(find("empty").piece(0).is_none() && find("small").piece(5).is_none());
    assert!(find("small").bytes().unwrap_err().to_string().contains("is on the disk"));
    assert_eq!(world.reads(), 6, "each piece once");
}

#[test]
fn the_budget_pays_and_what_was_used_last_stays() {
    let world = world(4);
    for block in [0, 1, 2, 3, 0, 4] {
        assert!(world.block(block).is_ready());
        assert!(world.budget.used() <= world.budget.limit());
    }
    let reads = world.reads();
    for block in [0, 2, 3, 4] {
        assert!(world.block(block).is_ready());
    }
    assert_eq!(world.reads(), reads, "1 was not used for longest");
    assert!(world.block(1).is_ready());
    assert_eq!(world.reads(), reads + 1);
    drop(world.pieces);
    assert_eq!(world.budget.used(), 0);
}

#[test]
fn what_else_needs_memory_gets_it() {
    let world = world(4);
    for block in 0..4 {
        assert!(world.block(block).is_ready());
    }
    let one = BLOCK + ENTRY;
    let charge = Charge::new(&world.budget, one + 1).unwrap();
    assert_eq!(world.budget.used(), (3 * one + 1) as u64, "as much as was needed, and no more");
    assert!(Charge::new(&world.budget, 4 * one).is_none(), "more than there can be");
    let rest = Charge::new(&world.budget, 3 * one - 1).unwrap();
    assert_eq!(world.block(0), Poll::Ready(Err(Fault::NoRoom(one))));
    assert!(Fault::NoRoom(one).to_string().contains("leaves no room for 65 KiB"));
    drop((charge, rest));
    assert!(matches!(world.block(0), Poll::Ready(Ok(_))));
}

/// The disk is slow: nothing waits for it but who asked, and it is asked for no more than it can do at a time.
#[test]
fn a_slow_disk_is_asked_once_for_each_piece() {
    let world = world(100);
    world.disk.is_open.store(false, Relaxed);
    for _ in 0..3 {
        for block in 0..BLOCKS {
            assert!(world.block(block).is_pending());
        }
    }
    assert_eq!(world.reads(), DEPTH);
    world.disk.is_open.store(true, Relaxed);
    let done = (0..BLOCKS).filter(|block| world.block(*block).is_ready()).count();
    assert_eq!((done, world.reads()), (BLOCKS, BLOCKS));
}

/// With room for less than is asked for at a time, everybody comes to their end.
#[test]
fn nobody_starves_where_there_is_room_for_few() {
    let world = world(3);
    let mut left: Vec<usize> = (0..BLOCKS).collect();
    for round in 0..100 {
        world.disk.is_open.store(round % 2 == 1, Relaxed);
        let before = left.len();
        left.retain(|block| world.block(*block).is_pending());
        assert!(left.len() < before || round % 2 == 0 || left.is_empty(), "round {round}: {left:?}");
    }
    assert_eq!(left, [0; 0]);
}

#[test]
fn what_is_damaged_or_cannot_be_read_is_not_given() {
    let world = world(4);
    let place = |disk: &FakeDisk| {
        let all = block_on(disk.read(0, disk.geometry().sectors as u32)).unwrap();
        // its name is in the table, which comes before
        all.windows(4).rposition(|bytes| bytes == b"tiny").unwrap()
    };
    let tiny = place(&world.disk.disk);
    world.disk.disk.damage(|bytes| bytes[tiny] ^= 1);
    assert_eq!(world.get("tiny", 0), Poll::Ready(Err(Fault::Piece(PieceError::Corrupt))));
    assert_eq!(world.get("small", 0), Poll::Ready(Ok(b"small".to_vec())));
    world.disk.disk.damage(|bytes| bytes[tiny] ^= 1);
    assert_eq!(world.get("tiny", 0), Poll::Ready(Ok(b"tiny".to_vec())), "it is not remembered");
    world.disk.disk.fail(DiskError::Io);
    assert_eq!(world.block(3), Poll::Ready(Err(Fault::Piece(PieceError::Disk(DiskError::Io)))));
    assert_eq!(world.get("tiny", 0), Poll::Ready(Ok(b"tiny".to_vec())), "what is here is here");
    let kept = b"small".len() + b"tiny".len() + 2 * ENTRY;
    assert_eq!(world.budget.used(), kept as u64, "nothing of what could not be read");
    assert_eq!(world.pieces.inner.lock().reading, 0);
}
