//! Disks that are files of this machine, or block devices.

use rustix::fs::{FallocateFlags, fallocate};
use std::{
    fs::File,
    io::{Error, ErrorKind, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
};
use wasm_host::platform::{Disk, DiskError, Geometry, Pending, refused};

const SECTOR: u32 = 512;

/// A file as a disk of 512-byte sectors. A thread of its own does what it is asked for, one thing after another.
pub struct FileDisk {
    geometry: Geometry,
    /// there until it is dropped
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Waits until the file is let go of: whoever opens it next must not find it in use.
impl Drop for FileDisk {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Job {
    operation: Operation,
    promise: Arc<Promise>,
}

enum Operation {
    Read {
        at: u64,
        bytes: usize,
    },
    Write {
        at: u64,
        data: Vec<u8>,
    },
    Flush,
    /// in bytes
    Zero {
        at: u64,
        bytes: u64,
    },
}

/// What becomes of a job.
#[derive(Default)]
struct Promise {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    result: Option<Result<Vec<u8>, DiskError>>,
    waker: Option<Waker>,
}

impl FileDisk {
    /// Opens a disk, and keeps others from opening it. `notify` is called when something was done.
    pub fn open(path: &Path, notify: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let writable = File::options().read(true).write(true).open(path);
        let (file, read_only) = match writable {
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                (File::open(path)?, true)
            }
            file => (file?, false),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::ResourceBusy, "another node uses it"));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        // the metadata of a block device do not say how large it is
        let sectors = (&file).seek(SeekFrom::End(0))? / u64::from(SECTOR);
        let (jobs, queue) = mpsc::channel::<Job>();
        let name = format!("disk {}", path.display());
        let thread = thread::Builder::new().name("disk".into()).spawn(move || {
            for Job { operation, promise } in queue {
                let result = operation.perform(&file);
                promise.keep(result.map_err(|error| match error.kind() {
                    ErrorKind::Unsupported => DiskError::Unsupported,
                    _ => {
                        eprintln!("{name}: {error}");
                        DiskError::Io
                    }
                }));
                notify();
            }
        })?;
        let geometry = Geometry { sector_size: SECTOR, sectors, read_only };
        Ok(FileDisk { geometry, jobs: Some(jobs), thread: Some(thread) })
    }

    fn begin(&self, operation: Operation) -> Waiting {
        let promise = Arc::<Promise>::default();
        let job = Job { operation, promise: promise.clone() };
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            promise.keep(Err(DiskError::Gone));
        }
        Waiting(promise)
    }
}

impl Operation {
    fn perform(self, file: &File) -> std::io::Result<Vec<u8>> {
        match self {
            Operation::Read { at, bytes } => {
                let mut data = vec![0; bytes];
                file.read_exact_at(&mut data, at)?;
                Ok(data)
            }
            Operation::Write { at, data } => file.write_all_at(&data, at).map(|()| Vec::new()),
            Operation::Flush => file.sync_data().map(|()| Vec::new()),
            // a hole, whose place others can have (fallocate(2))
            Operation::Zero { at, bytes } => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                Ok(fallocate(file, flags, at, bytes).map(|()| Vec::new())?)
            }
        }
    }
}

impl Promise {
    fn keep(&self, result: Result<Vec<u8>, DiskError>) {
        let waker = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.result = Some(result);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Waiting(Arc<Promise>);

impl Future for Waiting {
    type Output = Result<Vec<u8>, DiskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Disk for FileDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&self, first: u64, sectors: u32) -> Pending<Vec<u8>> {
        if let Err(error) = self.geometry.check(first, sectors.into()) {
            return refused(error);
        }
        let (at, bytes) = (first * u64::from(SECTOR), sectors as usize * SECTOR as usize);
        Box::pin(self.begin(Operation::Read { at, bytes }))
    }

    fn write(&self, first: u64, data: Vec<u8>) -> Pending<()> {
        if let Err(error) = self.geometry.check_write(first, data.len()) {
            return refused(error);
        }
        let waiting = self.begin(Operation::Write { at: first * u64::from(SECTOR), data });
        Box::pin(async move { waiting.await.map(drop) })
    }

    fn zero(&self, first: u64, sectors: u64) -> Pending<()> {
        if let Err(error) = self.geometry.check_zero(first, sectors) {
            return refused(error);
        }
        if sectors == 0 {
            return Box::pin(core::future::ready(Ok(())));
        }
        let sector = u64::from(SECTOR);
        let waiting = self.begin(Operation::Zero { at: first * sector, bytes: sectors * sector });
        Box::pin(async move { waiting.await.map(drop) })
    }

    fn flush(&self) -> Pending<()> {
        let waiting = self.begin(Operation::Flush);
        Box::pin(async move { waiting.await.map(drop) })
    }
}

/// Waits for what a disk does, on a thread that has nothing else to do.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        file
    }

    #[test]
    fn sectors_are_where_they_belong_in_the_file() {
        let file = file(5_200);
        let disk = FileDisk::open(file.path(), || ()).unwrap();
        assert_eq!(disk.geometry(), Geometry { sector_size: 512, sectors: 10, read_only: false });
        block_on(disk.write(3, vec![8; 1_024])).unwrap();
        block_on(disk.flush()).unwrap();
        let expected: Vec<u8> =
            (0..10).flat_map(|sector| [if [3, 4].contains(&sector) { 8 } else { 7 }; 512]).collect();
        assert_eq!(block_on(disk.read(0, 10)).unwrap(), expected);
        let stored = std::fs::read(file.path()).unwrap();
        assert_eq!((&stored[..5_120], &stored[5_120..]), (&expected[..], &[7; 80][..]));
        assert_eq!(block_on(disk.read(10, 1)), Err(DiskError::OutOfRange));
        assert_eq!(block_on(disk.write(9, vec![0; 1_024])), Err(DiskError::OutOfRange));
        assert_eq!(block_on(disk.write(0, vec![0; 1])), Err(DiskError::Unaligned));
    }

    #[test]
    fn zeroes_take_no_place() {
        let file = file(1 << 20);
        let disk = FileDisk::open(file.path(), || ()).unwrap();
        block_on(disk.flush()).unwrap();
        match block_on(disk.zero(1, 2_046)) {
            Ok(()) => {}
            // not of every file system
            Err(error) => return assert_eq!(error, DiskError::Unsupported),
        }
        let read = block_on(disk.read(0, 2_048)).unwrap();
        assert!(read[..512] == [7; 512] && read[512..(1 << 20) - 512].iter().all(|byte| *byte == 0));
        assert!(read[(1 << 20) - 512..] == [7; 512] && file.path().metadata().unwrap().len() == 1 << 20);
        assert_eq!(block_on(disk.zero(2_047, 2)), Err(DiskError::OutOfRange));
    }

    #[test]
    fn a_file_that_got_shorter_is_an_error() {
        let file = file(5_120);
        let disk = FileDisk::open(file.path(), || ()).unwrap();
        file.as_file().set_len(512).unwrap();
        assert_eq!(block_on(disk.read(5, 1)), Err(DiskError::Io));
        assert_eq!(block_on(disk.read(0, 1)).unwrap(), [7; 512]);
    }

    #[test]
    fn a_disk_is_one_nodes() {
        let file = file(5_120);
        let disk = FileDisk::open(file.path(), || ()).unwrap();
        assert!(FileDisk::open(file.path(), || ()).err().unwrap().to_string().contains("another node"));
        drop(disk.write(0, vec![1; 512]));
        drop(disk);
        let disk = FileDisk::open(file.path(), || ()).unwrap();
        assert_eq!(block_on(disk.read(0, 1)).unwrap(), [1; 512]);
    }

    #[test]
    fn what_is_not_waited_for_is_done_all_the_same_and_in_order() {
        let file = file(5_120);
        let disk = FileDisk::open(file.path(), || ()).unwrap();
        drop(disk.write(0, vec![1; 512]));
        block_on(disk.write(0, vec![2; 512])).unwrap();
        assert_eq!(block_on(disk.read(0, 1)).unwrap(), [2; 512]);
    }
}
