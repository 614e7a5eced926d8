//! The node's network cable: frames go in beside those of QEMU's network, and all that the node sends can be seen.
//!
//! QEMU joins sockets to the card with network filters: `filter-redirector` puts what it reads on the way to the card,
//! `filter-mirror` copies what the card sends. QEMU's own network never sees the frames that go in. On the sockets
//! each frame follows its length (u32, big endian).

use crate::node::{PATIENCE, TestNode};
use pearwood::node::Qemu;
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Where a cable comes out, for the time before the machine runs.
pub struct Socket(TempDir);

/// A cable of a machine that runs.
pub struct Wire {
    inward: UnixStream,
    outward: Receiver<Vec<u8>>,
    _socket: Socket,
}

impl Socket {
    /// A machine with its cable laid bare.
    pub fn on(machine: Qemu) -> (Qemu, Self) {
        let socket = Socket(tempfile::tempdir().expect("a folder"));
        let chardev = |name: &str| format!("socket,id={name},path={},server=on,wait=off", socket.path(name).display());
        let machine =
            machine.arguments(["-chardev".into(), chardev("in"), "-chardev".into(), chardev("out")]).arguments([
                "-object",
                "filter-redirector,id=inject,netdev=net0,queue=tx,indev=in",
                "-object",
                "filter-mirror,id=watch,netdev=net0,queue=rx,outdev=out",
            ]);
        (machine, socket)
    }

    /// A machine whose frames all come out, and go on to QEMU's network only where nobody here wants them: it would reset the
    /// connections that others make.
    pub fn through(machine: Qemu) -> (Qemu, Self) {
        let socket = Socket(tempfile::tempdir().expect("a folder"));
        let chardev = |name: &str| format!("socket,id={name},path={},server=on,wait=off", socket.path(name).display());
        let arguments = ["in", "out", "back"].into_iter().flat_map(|name| ["-chardev".into(), chardev(name)]);
        // what the card sends passes the filters from the last one on
        let machine = machine.arguments(arguments.collect::<Vec<_>>()).arguments([
            "-object",
            "filter-redirector,id=inject,netdev=net0,queue=tx,indev=in",
            "-object",
            "filter-redirector,id=return,netdev=net0,queue=rx,indev=back",
            "-object",
            "filter-redirector,id=watch,netdev=net0,queue=rx,outdev=out",
        ]);
        (machine, socket)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Wire {
    /// Frames that the node sends are passed on if `wanted` wants them.
    pub fn connect(socket: Socket, wanted: impl Fn(&[u8]) -> bool + Send + 'static) -> Self {
        let inward = UnixStream::connect(socket.path("in")).expect("QEMU's socket");
        inward.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        let outward = UnixStream::connect(socket.path("out")).expect("QEMU's socket");
        let (sender, receiver) = channel();
        let (returned, returns) = channel();
        if let Ok(back) = UnixStream::connect(socket.path("back")) {
            thread::spawn(move || give_back(back, &returns));
        }
        thread::spawn(move || watch(outward, &wanted, &sender, &returned));
        Wire { inward, outward: receiver, _socket: socket }
    }

    /// A frame of no bytes is left out: QEMU takes it for one that the card has no room for, and lets none pass after it.
    pub fn send(&mut self, frame: &[u8]) {
        if frame.is_empty() {
            return;
        }
        let length = u32::try_from(frame.len()).expect("a short frame").to_be_bytes();
        self.inward.write_all(&[&length, frame].concat()).expect("QEMU takes frames");
    }

    /// The next frame, if one comes within that time.
    pub fn next(&self, within: Duration) -> Option<Vec<u8>> {
        self.outward.recv_timeout(within).ok()
    }

    /// Waits for a frame that fits; those before it are gone.
    pub fn wait_for(&self, node: &TestNode, what: &str, fits: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        loop {
            match self.outward.recv_timeout(PATIENCE) {
                Ok(frame) if fits(&frame) => return frame,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {what}; the console ends with:\n{}", node.node.console().end())
                }
                Err(RecvTimeoutError::Disconnected) => panic!("no {what}; QEMU ended: {}", node.node.console().end()),
            }
        }
    }
}

/// Writes what QEMU's network is to have. On a thread of its own, which may wait for QEMU while that waits for the one that reads.
fn give_back(mut stream: UnixStream, frames: &Receiver<Vec<u8>>) {
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a short frame").to_be_bytes();
        if stream.write_all(&[&length, &frame[..]].concat()).is_err() {
            return;
        }
    }
}

/// Reads at all times: QEMU stands still while nobody takes what it writes. What is not wanted is returned.
fn watch(
    mut stream: UnixStream,
    wanted: &impl Fn(&[u8]) -> bool,
    frames: &Sender<Vec<u8>>,
    returned: &Sender<Vec<u8>>,
) {
    let mut next = || -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame)?;
        Ok(frame)
    };
    loop {
        match next() {
            // nobody takes it where frames go on by themselves
            Ok(frame) if !wanted(&frame) => drop(returned.send(frame)),
            Ok(frame) => {
                if frames.send(frame).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
