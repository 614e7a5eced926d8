//! What it costs to replace a box of a node that serves: the pause that clients see, the node's work, what travels.

use super::{Counted, PATIENCE, client::Client, counters};
use crate::{
    Launch,
    build::{self, Target},
    keys,
    remote::{Accept, Remote, send_image, watch},
    workspace::Workspace,
};
use anyhow::{Context, Result, bail};
use control::hex;
use manage::{Request, Settings};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};
use tempfile::TempDir;
use wasm_host::image::Image;

/// Ports of `examples/managed`.
const HTTP: u16 = 80;
const CONTROL: u16 = 7327;

const SECOND: u64 = 1_000_000_000;

/// Answers that a client has before the swap begins, and after its end.
const ANSWERS: u64 = 100;

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A page of the website: the box `site` begins anew with other files.
    Page,
    /// The component of the box `http`.
    Http,
    /// A setting of the box `net`: no connection is broken off, and clients are told to open others.
    Net,
}

impl What {
    pub const ALL: [What; 3] = [What::Page, What::Http, What::Net];

    pub const fn name(self) -> &'static str {
        match self {
            What::Page => "a page",
            What::Http => "the component of http",
            What::Net => "a setting of net",
        }
    }
}

/// What a swap came to. Instructions are also nanoseconds of the guest's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swap {
    /// the longest that one client waited from one answer to the next, in instructions
    pub pause: u64,
    /// half of the time it waits less than this while nothing is replaced
    pub usual: u64,
    /// from the request for it until it is done, with no other work
    pub instructions: u64,
    /// bytes of the image that went to the node
    pub sent: u64,
}

/// A node that is managed.
pub struct Managed {
    counted: Counted,
    remote: Remote,
    system: TempDir,
    /// what differs from swap to swap
    versions: [u32; 3],
}

impl Managed {
    pub fn start() -> Result<Self> {
        let system = tempfile::tempdir()?;
        fs::create_dir(system.path().join("public"))?;
        write(&system, [0; 3])?;
        let launch = Launch::prepare(system.path())?;
        let (counted, _) = Counted::start(launch.reachable(), HTTP)?;
        let listens = format!("listening on port {CONTROL}");
        counted.node.console().wait_from(0, &listens, |line| line.contains(&listens), PATIENCE)?;
        let address = format!("127.0.0.1:{}", counted.node.port(CONTROL));
        let remote = Remote::connect(&address, keys::development()?, keys::DEVELOPMENT, Accept::Any)?;
        Ok(Managed { counted, remote, system, versions: [0; 3] })
    }

    pub fn measure(&mut self, what: What) -> Result<Swap> {
        let sent = self.send(what)?;
        let before = self.instructions()?;
        self.swap()?;
        let instructions = self.instructions()? - before;
        self.send(what)?;
        let (usual, pause) = self.under_load()?;
        Ok(Swap { pause, usual, instructions, sent })
    }

    fn instructions(&self) -> Result<u64> {
        Ok(counters::read(&self.counted.socket)?.instructions)
    }

    /// Brings a system to the node that differs in one thing from the one that runs.
    fn send(&mut self, what: What) -> Result<u64> {
        self.versions[what as usize] += 1;
        write(&self.system, self.versions)?;
        let mut system = build::components(self.system.path())?;
        if self.versions[What::Http as usize] % 2 == 1 {
            let http = system.components.get_mut("http").context("no component `http`")?;
            change(&mut http.binary)?;
        }
        let key = keys::development()?;
        let image = build::image(&system, Target::Kernel, &key)?;
        let image = Image::open(image, &[key.public()])?;
        // building may have taken longer than a connection stays
        self.remote = self.remote.again()?;
        Ok(send_image(&mut self.remote, &image, |_| {})?.bytes)
    }

    fn swap(&mut self) -> Result<()> {
        let settings = Settings { ready: 60 * SECOND, drain: 60 * SECOND, trial: 0, confirm: 0, ..Settings::default() };
        let number = self.remote.number(&Request::Deploy(settings))?;
        let outcome = watch(&mut self.remote, number, Duration::ZERO, |_| {})?;
        if !outcome.is_done {
            bail!("deployment {number}: {}", outcome.record.text);
        }
        Ok(())
    }

    /// Swaps while a client asks without a break. What it waited as a rule before, and at most meanwhile.
    fn under_load(&mut self) -> Result<(u64, u64)> {
        let (socket, port) = (self.counted.socket.clone(), self.counted.port);
        let (swapping, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let answers = AtomicU64::new(0);
        thread::scope(|scope| {
            let client = scope.spawn(|| ask(&socket, port, &answers, &swapping, &over));
            let wait = |more: u64| {
                let until = answers.load(Relaxed) + more;
                while answers.load(Relaxed) < until && !client.is_finished() {
                    thread::yield_now();
                }
            };
            wait(ANSWERS);
            swapping.store(true, Relaxed);
            let swapped = self.swap();
            wait(ANSWERS);
            over.store(true, Relaxed);
            let longest = client.join().map_err(|_| anyhow::anyhow!("the client has panicked"))?;
            swapped.and(longest)
        })
    }
}

/// Asks until it is over. Where an answer says that the connection ends, another is opened.
fn ask(socket: &Path, port: u16, answers: &AtomicU64, swapping: &AtomicBool, over: &AtomicBool) -> Result<(u64, u64)> {
    let mut client = Client::connect(port.into(), "/", 1)?;
    let (mut usual, mut pause) = (Vec::new(), 0);
    let mut last = counters::read(socket)?.instructions;
    while !over.load(Relaxed) {
        let swaps = swapping.load(Relaxed);
        client.run_anew(1)?;
        let now = counters::read(socket)?.instructions;
        if swaps {
            pause = pause.max(now - last);
        } else {
            usual.push(now - last);
        }
        last = now;
        answers.fetch_add(1, Relaxed);
    }
    usual.sort_unstable();
    Ok((usual.get(usual.len() / 2).copied().unwrap_or_default(), pause))
}

/// The example, with the user's key.
fn write(folder: &TempDir, [page, _, net]: [u32; 3]) -> Result<()> {
    let example = Workspace::find()?.root.join("examples/managed/system.toml");
    let key = hex(&keys::development()?.public().to_bytes());
    let text = fs::read_to_string(&example)
        .with_context(|| format!("cannot read {}", example.display()))?
        .replace("[box.net]\n", &format!("[box.net]\nconfig.keep-alive = {}\n", 60 + net % 2))
        .replace("# keys = ", &format!("keys = [{{ key = \"{key}\", role = \"deploy\", name = \"bench\" }}] # "));
    fs::write(folder.path().join("system.toml"), text)?;
    let page = format!("<title>{page}</title>\n{}", "A page of about a kilobyte. ".repeat(36));
    fs::write(folder.path().join("public/index.html"), page)?;
    Ok(())
}

/// Makes another component of one, which does the same.
fn change(component: &mut [u8]) -> Result<()> {
    const BEFORE: &[u8] = b"listening on port";
    const AFTER: &[u8] = b"listening at port";
    let place = component.windows(BEFORE.len()).position(|bytes| bytes == BEFORE);
    let place = place.context("the component of http has another text than expected")?;
    component[place..][..AFTER.len()].copy_from_slice(AFTER);
    Ok(())
}
