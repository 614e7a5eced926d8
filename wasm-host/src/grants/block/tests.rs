//! What an arrow grants of a disk can be reached, and nothing else, whatever a box asks for.

use super::*;
use crate::platform::{
    Disk, Geometry,
    fake::{FakeDisk, block_on},
};
use alloc::{boxed::Box, vec, vec::Vec};
use core::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

const READY: Ready = Ready::port(5);

/// A disk whose transfers end when the test says so, in any order.
struct Held {
    disk: FakeDisk,
    began: Mutex<Vec<Arc<Transfer>>>,
}

#[derive(Default)]
struct Transfer {
    over: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Transfer {
    fn end(&self) {
        self.over.store(true, Relaxed);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

impl Held {
    fn begin<T: Send + 'static>(&self, pending: Pending<T>) -> Pending<T> {
        let transfer = Arc::<Transfer>::default();
        self.began.lock().push(transfer.clone());
        Box::pin(async move {
            poll_fn(|cx| {
                *transfer.waker.lock() = Some(cx.waker().clone());
                if transfer.over.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            pending.await
        })
    }

    /// Ends the transfer that began as the `number`th.
    fn end(&self, number: usize) {
        let transfer = self.began.lock()[number].clone();
        transfer.end();
    }
}

impl Disk for Held {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }
    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        self.begin(self.disk.read(first, sectors))
    }
    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        self.begin(self.disk.write(first, data))
    }
    fn flush(&self) -> Pending<()> {
        self.begin(self.disk.flush())
    }
}

struct Granted {
    blocks: Arc<Blocks>,
    signal: Arc<Signal>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Data(u32, Vec<u8>),
    Done(u32),
    Failed(u32, Error),
}

use Answer::{Data, Done, Failed};

impl Granted {
    fn new(disk: Arc<dyn Disk>, first: u64, sectors: Option<u64>, read_only: bool) -> Self {
        let signal = Arc::<Signal>::default();
        let extent = Extent::new(disk, first, sectors, read_only).unwrap();
        Granted { blocks: Arc::new(Blocks::new(extent, "disk3", &signal, READY)), signal }
    }

    fn send(&self, commands: &[Command<'_>]) -> Result<bool, Refused> {
        let mut batch = Batch::new();
        commands.iter().for_each(|command| command.encode(&mut batch));
        self.blocks.send(batch.as_bytes())
    }

    fn receive(&self) -> Vec<Answer> {
        let mut batch = Batch::new();
        self.blocks.receive(&mut batch, wit::MAX_BATCH);
        let answers = batch.records().map(|record| match Event::decode(&record.unwrap()).unwrap() {
            Event::Data { ticket, data } => Data(ticket, data.to_vec()),
            Event::Done { ticket } => Done(ticket),
            Event::Failed { ticket, error } => Failed(ticket, error),
            other => panic!("{other:?}"),
        });
        answers.collect()
    }

    /// What is received if the box has been woken.
    fn wakes(&self) -> Vec<Answer> {
        if self.signal.take().contains(READY) { self.receive() } else { Vec::new() }
    }

    /// How one command ends at once.
    fn one(&self, command: Command<'_>) -> Answer {
        assert_eq!(self.send(&[command]), Ok(true));
        let mut answers = self.wakes();
        assert_eq!(answers.len(), 1, "{command:?}: {answers:?}");
        answers.remove(0)
    }
}

fn read(ticket: u32, first: u64, count: u32) -> Command<'static> {
    Command::Read { ticket, first, count }
}

fn write(ticket: u32, first: u64, data: &[u8]) -> Command<'_> {
    Command::Write { ticket, first, data }
}

fn flush(ticket: u32) -> Command<'static> {
    Command::Flush { ticket }
}

#[test]
fn a_box_is_told_what_it_has() {
    let disk = Arc::new(FakeDisk::new(4_096, 100));
    let attach = |granted: &Granted| {
        let bytes = granted.blocks.attach();
        let Attach { sector_size, sectors, read_only, depth, name } = Attach::decode(&bytes).unwrap();
        assert_eq!((depth, name), (DEPTH as u32, "disk3"));
        (sector_size, sectors, read_only)
    };
    assert_eq!(attach(&Granted::new(disk.clone(), 10, Some(20), false)), (4_096, 20, false));
    assert_eq!(attach(&Granted::new(disk, 10, None, true)), (4_096, 90, true));
}

#[test]
fn what_is_written_is_read_again_and_is_durable() {
    let disk = Arc::new(FakeDisk::new(512, 100));
    let granted = Granted::new(disk.clone(), 10, Some(20), false);
    assert_eq!(granted.one(write(1, 3, &[0x70; 1_024])), Done(1));
    assert_eq!(granted.one(flush(2)), Done(2));
    let expected: Vec<u8> = [0, 0x70, 0x70, 0].iter().flat_map(|byte| [*byte; 512]).collect();
    assert_eq!(granted.one(read(u32::MAX, 2, 4)), Data(u32::MAX, expected));
    assert_eq!(granted.one(write(1, 19, &[1; 512])), Done(1), "a ticket is free when it was answered");
    let found = block_on(disk.after_power_cut(1).read(0, 100)).unwrap();
    let expected: Vec<u8> =
        (0..100).flat_map(|sector| [if [13, 14].contains(&sector) { 0x70 } else { 0 }; 512]).collect();
    assert!(found == expected, "the last was not flushed");
}

#[test]
fn nothing_outside_the_grant_can_be_reached() {
    let disk = Arc::new(FakeDisk::new(512, 4_000));
    let granted = Granted::new(disk.clone(), 10, Some(20), false);
    let data = [9; 10_240];
    for (first, bytes, error) in [
        (20, 512, Error::OutOfRange),
        (19, 1_024, Error::OutOfRange),
        (u64::MAX, 512, Error::OutOfRange),
        (u64::MAX - 9, 10_240, Error::OutOfRange),
        (0x7f_ffff_ffff_ffff, 512, Error::OutOfRange),
        (0, 511, Error::Unaligned),
        (0, 1, Error::Unaligned),
        (99, 513, Error::Unaligned),
    ] {
        assert_eq!(granted.one(write(7, first, &data[..bytes])), Failed(7, error), "{first} {bytes}");
    }
    for (first, count) in
        [(20, 1), (0, 21), (0, u32::MAX), (u64::MAX, u32::MAX), (u64::MAX, 1), (u64::MAX - 9, 20), (21, 0)]
    {
        assert_eq!(granted.one(read(7, first, count)), Failed(7, Error::OutOfRange), "{first} {count}");
    }
    assert_eq!(granted.one(write(7, 0, b"")), Done(7));
    assert_eq!(granted.one(read(7, 20, 0)), Data(7, vec![]));
    assert_eq!(disk.operations(), 0);
    assert_eq!(granted.one(flush(7)), Done(7));
    assert_eq!(disk.operations(), 1, "only the flush");
}

#[test]
fn what_is_not_needed_is_zeroes() {
    let disk = Arc::new(FakeDisk::new(512, 100));
    block_on(disk.write(0, vec![7; 51_200])).unwrap();
    let discard = |ticket, first, count| Command::Discard { ticket, first, count };
    let granted = Granted::new(disk.clone(), 10, Some(20), false);
    assert_eq!(granted.one(discard(1, 0, 1)), Failed(1, Error::Unsupported));
    disk.can_zero();
    for (first, count) in [(20, 1), (0, 21), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 1), (21, 0)] {
        assert_eq!(granted.one(discard(2, first, count)), Failed(2, Error::OutOfRange), "{first} {count}");
    }
    assert_eq!(granted.one(discard(3, 4, 16)), Done(3));
    assert_eq!(granted.one(discard(4, 20, 0)), Done(4));
    let found = block_on(disk.read(0, 100)).unwrap();
    assert!(found == (0..100).flat_map(|it| [if (14..30).contains(&it) { 0 } else { 7 }; 512]).collect::<Vec<u8>>());
    let reads = Granted::new(disk, 10, Some(20), true);
    assert_eq!(reads.one(discard(5, 0, 1)), Failed(5, Error::ReadOnly));
}

/// What takes long is done in parts, and one request after the other.
#[test]
fn zeroes_are_made_in_parts() {
    let disk = Arc::new(FakeDisk::new(4_096, 33_000));
    disk.can_zero();
    disk.damage(|bytes| bytes.fill(7));
    let granted = Granted::new(disk.clone(), 0, None, false);
    let discard = |ticket, first, count| Command::Discard { ticket, first, count };
    assert_eq!(granted.send(&[discard(1, 0, 32_999), discard(2, 32_999, 1)]), Ok(true));
    assert_eq!(disk.operations(), 1);
    assert_eq!(granted.wakes(), []);
    assert_eq!(disk.operations(), 2);
    assert_eq!(granted.wakes(), [Done(1), Done(2)]);
    assert_eq!(disk.operations(), 4);
    assert!(block_on(disk.read(0, 33_000)).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn a_request_transfers_so_much_and_no_more() {
    let granted = Granted::new(Arc::new(FakeDisk::new(512, 4_000)), 0, None, false);
    let data = vec![5; MAX_TRANSFER + 512];
    assert_eq!(granted.one(write(1, 0, &data[..MAX_TRANSFER])), Done(1));
    assert_eq!(granted.one(write(1, 0, &data)), Failed(1, Error::TooLarge));
    assert_eq!(granted.one(read(1, 0, 128)), Data(1, data[..MAX_TRANSFER].to_vec()));
    assert_eq!(granted.one(read(1, 0, 129)), Failed(1, Error::TooLarge));
    assert_eq!(granted.one(read(1, 0, 4_000)), Failed(1, Error::TooLarge));
}

#[test]
fn a_disk_that_is_only_to_be_read() {
    let disk = Arc::new(FakeDisk::new(4_096, 10));
    let granted = Granted::new(disk.clone(), 0, None, true);
    assert_eq!(granted.one(read(1, 9, 1)), Data(1, vec![0; 4_096]));
    assert_eq!(granted.one(write(2, 0, &[1; 4_096])), Failed(2, Error::ReadOnly));
    assert_eq!((disk.operations(), granted.blocks.is_read_only()), (0, true));
}

#[test]
fn errors_of_the_disk_are_the_boxes_to_see() {
    for (error, seen) in [
        (DiskError::Io, Error::Io),
        (DiskError::NoMemory, Error::Io),
        (DiskError::Unsupported, Error::Unsupported),
        (DiskError::Gone, Error::Gone),
    ] {
        let disk = Arc::new(FakeDisk::new(512, 10));
        disk.fail(error);
        let granted = Granted::new(disk, 0, None, false);
        assert_eq!(granted.one(read(1, 0, 1)), Failed(1, seen));
        assert_eq!(granted.one(write(2, 0, &[1; 512])), Failed(2, seen));
        assert_eq!(granted.one(flush(3)), Failed(3, seen));
    }
}

fn held() -> (Arc<Held>, Granted) {
    let disk = Arc::new(Held { disk: FakeDisk::new(512, 1_000), began: Mutex::default() });
    (disk.clone(), Granted::new(disk, 0, None, false))
}

#[test]
fn many_are_under_way_and_end_in_any_order() {
    let (disk, granted) = held();
    assert_eq!(granted.send(&[write(10, 0, &[1; 512]), write(11, 1, &[2; 512]), read(12, 5, 1)]), Ok(true));
    assert_eq!(granted.send(&[flush(13)]), Ok(true));
    assert_eq!((disk.began.lock().len(), granted.wakes()), (4, vec![]));
    disk.end(2);
    assert_eq!(granted.wakes(), [Data(12, vec![0; 512])]);
    disk.end(3);
    disk.end(0);
    assert_eq!(granted.wakes(), [Done(10), Done(13)]);
    assert_eq!(granted.wakes(), []);
    disk.end(1);
    assert_eq!(granted.wakes(), [Done(11)]);
}

#[test]
fn no_more_are_under_way_than_the_disk_takes() {
    let (disk, granted) = held();
    let reads: Vec<_> = (0..DEPTH as u32).map(|ticket| read(ticket, 0, 1)).collect();
    let (last, most) = reads.split_last().unwrap();
    assert_eq!(granted.send(most), Ok(true));
    assert_eq!(granted.send(&[*last, flush(99)]), Ok(false), "all of a batch or nothing");
    assert_eq!(disk.began.lock().len(), DEPTH - 1);
    assert_eq!(granted.send(&[*last]), Ok(true));
    assert_eq!(granted.send(&[flush(99)]), Ok(false));
    granted.signal.take();
    disk.end(4);
    assert_eq!(granted.send(&[flush(99)]), Ok(false), "not before the box has its answer");
    assert_eq!(granted.wakes(), [Data(4, vec![0; 512])]);
    assert_eq!(granted.signal.take(), Ready::ROOM);
    assert_eq!(granted.send(&[flush(99)]), Ok(true));
    // no receiver takes such a batch ever
    let more: Vec<_> = (0..=DEPTH as u32).map(flush).collect();
    assert!(matches!(granted.send(&more), Err(Refused::TooLong { .. })));
    assert_eq!(granted.blocks.send(b"garbage"), Err(Refused::Malformed));
    let mut short = Batch::new();
    short.push(Command::READ, 1, b"");
    let (_, other) = held();
    assert_eq!(other.blocks.send(short.as_bytes()), Err(Refused::Malformed));
}

#[test]
fn answers_wait_for_the_box_until_it_takes_them() {
    let granted = Granted::new(Arc::new(FakeDisk::new(512, 1_000)), 0, None, false);
    let reads: Vec<_> = (0..DEPTH as u32).map(|ticket| read(ticket, 0, 128)).collect();
    assert_eq!(granted.send(&reads), Ok(true));
    let mut tickets = Vec::new();
    let mut turns = 0;
    while tickets.len() < DEPTH {
        let answers = granted.wakes();
        assert!((1..=3).contains(&answers.len()), "a batch takes no more, and the flag is up while some are left");
        tickets.extend(answers.iter().map(|answer| match answer {
            Data(ticket, data) if data.len() == MAX_TRANSFER => *ticket,
            other => panic!("{other:?}"),
        }));
        turns += 1;
    }
    assert_eq!((tickets, turns), ((0..DEPTH as u32).collect(), 6));
    assert_eq!(granted.wakes(), []);
}

#[test]
fn an_instance_that_begins_anew_gets_nothing_of_another() {
    let (disk, granted) = held();
    let writes: Vec<_> = (0..DEPTH as u32).map(|ticket| write(ticket, ticket.into(), &[7; 512])).collect();
    assert_eq!(granted.send(&writes), Ok(true));
    disk.end(0);
    granted.blocks.detach();
    granted.blocks.renew();
    granted.signal.take();
    (1..8).for_each(|number| disk.end(number));
    assert_eq!(granted.receive(), []);
    assert_eq!(granted.send(&[read(3, 0, 1)]), Ok(true), "its tickets and its room are its own");
    disk.end(DEPTH);
    assert_eq!(granted.wakes(), [Data(3, vec![7; 512])], "what the other has written is there");
    (8..DEPTH).for_each(|number| disk.end(number));
    assert_eq!(granted.receive(), []);
}
